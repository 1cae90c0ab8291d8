//! Whether a start was sent before: a retry gets the answer of the first one.

use crate::LogPosition;
use crate::engine::job::Foreseen;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::sessions::transactions::repetition::is_identified_by_its_time;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagInfo, IdTagReason, TagVerdict, id_tag_key};
use vocabulary::ocpp::fact::SessionStarted;

/// A transaction that was started before.
pub(crate) struct StartedTransaction {
    pub(crate) transaction_id: i64,
    /// The event that started it.
    pub(crate) event_seq: LogPosition,
    id_tag_status: AuthorizationStatus,
    id_tag_reason: Option<IdTagReason>,
}

impl StartedTransaction {
    /// What was said of its tag.
    pub(crate) fn verdict(&self) -> TagVerdict {
        TagVerdict { info: IdTagInfo::bare(self.id_tag_status), reason: self.id_tag_reason }
    }
}

/// What [`started_by`] reads first.
pub(crate) fn foreseen_start(station: &StationId, start: &SessionStarted) -> Foreseen {
    Foreseen::new(
        "SELECT transaction_id, start_event_seq, id_tag_status, status = 'active', created_at_ms, id_tag_reason
         FROM transactions
         WHERE station_id = ?1 AND start_timestamp_text IS NOT DISTINCT FROM ?2
           AND connector_id IS NOT DISTINCT FROM ?3 AND id_tag_key IS NOT DISTINCT FROM ?4
           AND meter_start_wh IS NOT DISTINCT FROM ?5
         ORDER BY transaction_id DESC LIMIT 1",
        params![
            station,
            start.timestamp_text,
            start.connector_id,
            start.id_tag.as_deref().map(id_tag_key),
            start.meter_start_wh,
        ],
    )
}

/// The transaction that this very start has started before: same connector, tag, time and meter reading.
/// Where the time tells nothing, as on a clock that was never set, it is a retry only as long as that one is
/// open.
pub(crate) fn started_by(
    db: &Read<'_>,
    station: &StationId,
    start: &SessionStarted,
    occurred_at: Option<Timestamp>,
) -> Result<Option<StartedTransaction>> {
    let Foreseen { sql, values } = foreseen_start(station, start);
    let newest = db.maybe(sql, &values, |row| {
        let started = StartedTransaction {
            transaction_id: row.get(0)?,
            event_seq: row.get(1)?,
            id_tag_status: row.parsed(2)?,
            id_tag_reason: row.maybe_word(5)?,
        };
        Ok((started, row.get::<bool>(3)?, row.get::<Timestamp>(4)?))
    })?;
    let Some((started, is_open, received_at)) = newest else { return Ok(None) };
    let text = start.timestamp_text.as_deref();
    let is_retry = is_open || is_identified_by_its_time(db, station, text, occurred_at, received_at)?;
    Ok(is_retry.then_some(started))
}
