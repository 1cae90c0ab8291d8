//! Stretches of the log, for whoever follows it.

use std::ops::ControlFlow;

use crate::engine::sql::{params, values_of};
use crate::error::Result;
use crate::listing::Fits;
use crate::log::event_list::EventFilter;
use crate::log::payload_judge::JudgedLimit;
use crate::log::{event_row, removed_before};
use crate::{LogPosition, Store};
use vocabulary::event::Event;
use vocabulary::id::EventId;

/// Rows of the log that one look at a stretch goes through at most, whether they fit or not.
const STRETCH_ROWS: i64 = 20_000;

/// Events that one look brings at most.
const STRETCH_EVENTS: usize = 100;

/// Payloads and answers that one look brings, in bytes; the event that goes beyond is the last.
const STRETCH_BYTES: usize = 256 << 10;

/// A stretch of the log, oldest first.
#[derive(Debug)]
pub struct Stretch {
    /// What of it was wanted.
    pub events: Vec<Event>,
    /// The position that it reaches to; what comes next begins behind it.
    pub reaches: LogPosition,
}

impl Store {
    /// What `filter` wants of the events behind `after`, as far as one look goes, and not behind `newest`.
    /// Costs the same however little of it fits.
    pub async fn stretch(
        &self,
        filter: EventFilter,
        after: LogPosition,
        newest: LogPosition,
    ) -> Result<Stretch> {
        self.read(move |db| {
            // Positions count on by millions where a backup was restored: a gap is no stretch.
            let first: Option<LogPosition> = db.maybe(
                "SELECT seq FROM events WHERE seq > ?1 ORDER BY seq LIMIT 1",
                params![after],
                |row| row.get(0),
            )?;
            let end = first.map_or(newest, |first| newest.min(behind(first, STRETCH_ROWS)));
            let judge = filter.judge(JudgedLimit::default());
            let mut conditions = filter.conditions();
            conditions.and("e.seq > ? AND e.seq <= ?", [after.into(), end.into()]);
            let sql = format!(
                "SELECT {} FROM events e WHERE {} ORDER BY e.seq",
                event_row::COLUMNS,
                conditions.text()
            );
            let mut stretch = Stretch { events: Vec::new(), reaches: end.max(after) };
            let (mut bytes, mut seen) = (0, after);
            db.each(&sql, &values_of(&conditions.into_values()), |row| {
                let fits = match &judge {
                    Some(judge) => judge.judge(event_row::payload(row)?),
                    None => Fits::Yes,
                };
                if fits == Fits::Enough {
                    stretch.reaches = seen;
                    return Ok(ControlFlow::Break(()));
                }
                seen = event_row::position(row)?;
                if fits == Fits::No {
                    return Ok(ControlFlow::Continue(()));
                }
                let event = event_row::read(row)?;
                bytes += event.payload.get().len();
                bytes += event.response.as_ref().map_or(0, |response| response.get().len());
                let position = event.position;
                stretch.events.push(event);
                if stretch.events.len() == STRETCH_EVENTS || bytes >= STRETCH_BYTES {
                    stretch.reaches = position;
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(stretch)
        })
        .await
    }

    /// The newest event that is no newer than this id, whether that very event is still there or not. `None`
    /// if newer ones are removed, or everything that is kept is newer, so that nobody can say what came
    /// between; the id zero is in front of everything that is kept.
    pub async fn event_position(&self, id: EventId) -> Result<Option<LogPosition>> {
        self.read(move |db| {
            let is_zero = id.value() == 0;
            if !is_zero && removed_before::has_passed(db, &id.to_string())? {
                return Ok(None);
            }
            // Ids are minted in commit order, so both orders are the same.
            let found = db.maybe(
                "SELECT seq FROM events WHERE id <= ?1 ORDER BY id DESC LIMIT 1",
                params![id],
                |row| row.get(0),
            )?;
            match found {
                None if is_zero || !db.has("SELECT 1 FROM events LIMIT 1", &[])? => {
                    Ok(Some(LogPosition::START))
                }
                found => Ok(found),
            }
        })
        .await
    }
}

/// So many positions behind this one.
fn behind(position: LogPosition, rows: i64) -> LogPosition {
    LogPosition::from_number(position.number().saturating_add(rows))
}
