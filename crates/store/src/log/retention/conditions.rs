//! When something may go: what rows are looked for by, and what is asked once more before one is removed.
//!
//! In all of them `?1` is the row, or that behind which rows are looked for; `?2` is the time before which
//! they are old; `?3` lists the replays that look through events, see [`replays_of_events`].

use crate::engine::tx::Read;
use crate::error::Result;
use crate::log::row_set::as_list;
use vocabulary::api::replay::Selection;

/// That a reservation is used, canceled or rejected, or that its time is over.
pub(super) const RESERVATION_OVER: &str = "(status NOT IN ('active', 'unknown') OR expiry_date_ms < ?2)";

/// That no delivery goes to an origin.
pub(super) const ORIGIN_UNUSED: &str =
    "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.origin_id = origins.id)";

/// That a replay `r` looks through events; others look through deliveries.
const OF_EVENTS: &str = "r.seq IN (SELECT CAST(value AS BIGINT) FROM json_each(?3))";

/// The replays under way that look through events, as one value.
pub(super) fn replays_of_events(db: &Read<'_>) -> Result<String> {
    let running = db.all("SELECT seq, selection FROM replays WHERE status = 'running'", &[], |row| {
        // One that cannot be read ends at its next step; until then it keeps what it may be about.
        let is_of_events = row.json(1).map_or(true, |selection: Selection| selection.is_of_events());
        Ok(is_of_events.then_some(row.get::<i64>(0)?))
    })?;
    Ok(as_list(&running.into_iter().flatten().collect::<Vec<_>>()))
}

/// That no replay under way may still bring back the delivery `d`.
pub(super) fn not_in_replay() -> String {
    let looked_through = format!("CASE WHEN {OF_EVENTS} THEN d.event_seq ELSE d.seq END");
    format!(
        "NOT EXISTS (SELECT 1 FROM replays r WHERE r.status = 'running'
            AND {looked_through} > r.position AND {looked_through} <= r.end_position)"
    )
}

/// That the event `e` has no delivery that is still needed, and is not needed itself.
pub(super) fn event_may_go() -> String {
    format!(
        "e.seq < (SELECT max(seq) FROM events)
         AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq
            AND NOT (d.completed_at_ms IS NOT NULL AND {}))
         AND NOT EXISTS (SELECT 1 FROM replays r WHERE r.status = 'running' AND {OF_EVENTS}
            AND e.seq > r.position AND e.seq <= r.end_position)",
        not_in_replay()
    )
}
