//! Finds what is past its time: a window of rows, and of those what may go.

use std::ops::ControlFlow;

use super::Expiring;
use super::conditions::{ORIGIN_UNUSED, RESERVATION_OVER, event_may_go, not_in_replay, replays_of_events};
use crate::Store;
use crate::engine::sql::{Value, values_of};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::history::aging;
use vocabulary::clock::Timestamp;

/// Rows looked at in one read.
const WINDOW: usize = 1_000;

/// That a row came to its end before the time.
const COMPLETED: &str = "coalesce(completed_at_ms < ?2, FALSE)";

/// What one read found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// What may be removed.
    pub rows: Vec<i64>,
    /// Where the next read goes on; `None`: nothing behind it is old enough.
    pub position: Option<i64>,
}

impl Store {
    /// Looks for what `expiring` says and is older than `before`, behind the row `position`; removes nothing.
    pub async fn expired(&self, expiring: Expiring, before: Timestamp, position: i64) -> Result<Expired> {
        self.read(move |db| look(db, &expiring, before, position)).await
    }
}

/// Where rows of a kind are looked for, and what is asked of each.
struct Look {
    table: &'static str,
    /// The rows' numbers, in whose order they were made.
    row: &'static str,
    /// Which of them are looked at, beside their number.
    which: &'static str,
    /// That one is old.
    old: &'static str,
    /// That it may go.
    may_go: String,
    /// What the conditions need from `?2` on.
    values: Vec<Value>,
}

fn look(db: &Read<'_>, expiring: &Expiring, before: Timestamp, position: i64) -> Result<Expired> {
    let look = Look::of(db, expiring, before)?;
    let sql = look.sql();
    let values: Vec<Value> = [Value::from(position)].into_iter().chain(look.values).collect();
    let mut expired = Expired::default();
    let (mut looked_at, mut any_old) = (0, false);
    db.each(&sql, &values_of(&values), |row| {
        let number = row.get(0)?;
        any_old |= row.get::<bool>(1)?;
        if row.get(2)? {
            expired.rows.push(number);
        }
        looked_at += 1;
        expired.position = Some(number);
        Ok(ControlFlow::Continue(()))
    })?;
    // Rows come in the order they were made in, but a clock that was set back mixes their times: a window
    // without any old one is the end.
    if looked_at < WINDOW || !any_old {
        expired.position = None;
    }
    Ok(expired)
}

impl Look {
    fn of(db: &Read<'_>, expiring: &Expiring, before: Timestamp) -> Result<Self> {
        Ok(match expiring {
            Expiring::Events { except } => {
                let others = "e.event NOT IN (SELECT value FROM json_each(?4))";
                let except = serde_json::to_string(except)?;
                Self { may_go: event_is_old_and(others), ..Self::events(db, before, except)? }
            }
            Expiring::EventsOf(event) => {
                Self { which: " AND e.event = ?4", ..Self::events(db, before, event.clone())? }
            }
            Expiring::Deliveries => Self {
                table: "deliveries d",
                row: "d.seq",
                which: "",
                old: "d.created_at_ms < ?2",
                may_go: format!("coalesce(d.completed_at_ms < ?2, FALSE) AND {}", not_in_replay()),
                values: vec![before.into(), replays_of_events(db)?.into()],
            },
            Expiring::Commands => {
                Self::rows("commands", "seq", &format!("{COMPLETED} AND outcome_due_ms IS NULL"), before)
            }
            Expiring::Transactions => Self::rows("transactions", "transaction_id", COMPLETED, before),
            Expiring::Replays => Self::rows("replays", "seq", COMPLETED, before),
            Expiring::BulkCommands => {
                Self::rows("bulk_commands", "seq", &format!("{COMPLETED} AND is_open = 0"), before)
            }
            Expiring::Reservations => {
                let over = format!("updated_at_ms < ?2 AND {RESERVATION_OVER}");
                Self::rows("reservations", "seq", &over, before)
            }
            Expiring::Audit => Self { old: "at_ms < ?2", ..Self::rows("audit", "seq", "at_ms < ?2", before) },
            // A station is looked at whenever it was made.
            Expiring::History => Self {
                old: "TRUE",
                ..Self::rows(
                    "stations s",
                    "s.seq",
                    &format!("coalesce({}, FALSE)", aging::HAS_OLD_ROWS),
                    before,
                )
            },
            // Whatever the time.
            Expiring::Origins => {
                Self { old: "TRUE", values: Vec::new(), ..Self::rows("origins", "id", ORIGIN_UNUSED, before) }
            }
        })
    }

    /// Events; `?4` is `types`.
    fn events(db: &Read<'_>, before: Timestamp, types: String) -> Result<Self> {
        Ok(Self {
            table: "events e",
            row: "e.seq",
            which: "",
            old: "e.timestamp_ms < ?2",
            may_go: event_is_old_and("TRUE"),
            values: vec![before.into(), replays_of_events(db)?.into(), types.into()],
        })
    }

    /// Rows that were made at `created_at_ms`, and that no replay keeps.
    fn rows(table: &'static str, row: &'static str, may_go: &str, before: Timestamp) -> Self {
        let old = "created_at_ms < ?2";
        Self { table, row, which: "", old, may_go: may_go.to_owned(), values: vec![before.into()] }
    }

    fn sql(&self) -> String {
        let Self { table, row, which, old, may_go, .. } = self;
        format!(
            "SELECT {row}, {old}, {may_go} FROM {table} WHERE {row} > ?1{which} ORDER BY {row} LIMIT {WINDOW}"
        )
    }
}

fn event_is_old_and(condition: &str) -> String {
    format!("e.timestamp_ms < ?2 AND {condition} AND {}", event_may_go())
}
