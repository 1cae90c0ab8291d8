//! Whether two equal messages are one that was sent twice.

use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::station_clock::was_never_set;
use vocabulary::ocpp::time;

/// Whether the time of a message that first came at `first_received_at` tells it from a later one that says
/// the same. It does if it was near its arrival, or if the station's clock is right by now. Without battery
/// one begins with the same day at every boot, and the starts of two sessions can be equal to the letter.
pub(super) fn is_identified_by_its_time(
    db: &Read<'_>,
    station: &StationId,
    text: Option<&str>,
    occurred_at: Option<Timestamp>,
    first_received_at: Timestamp,
) -> Result<bool> {
    if occurred_at.is_some_and(|at| !was_never_set(at.unix_ms().saturating_sub(first_received_at.unix_ms())))
    {
        return Ok(true);
    }
    let skew_ms: Option<Option<i64>> =
        db.maybe("SELECT clock_skew_ms FROM stations WHERE station_id = ?1", params![station], |row| {
            row.get(0)
        })?;
    Ok(match skew_ms.flatten() {
        Some(skew_ms) if was_never_set(skew_ms) => false,
        // A session from before the clock was set, which comes out of the queue again.
        Some(_) => occurred_at.is_some() || text.is_some_and(time::is_never_set),
        None => occurred_at.is_some(),
    })
}
