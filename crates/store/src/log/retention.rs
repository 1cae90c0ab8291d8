//! Removes what is past its time: a reader looks for rows in windows, the writer removes a few of them in each
//! of many short steps, in batches that nobody else is in.
//!
//! **Invariant**: what has not come to its end stays, whatever its age: deliveries that wait with their events,
//! and what a replay that is under way may still bring back. The newest event stays too: ids and rows count on
//! from it.

mod expired;
mod removal;
#[cfg(test)]
mod tests;

pub use expired::Expired;
pub use removal::Removed;

/// Whether a replay looks through events; others look through deliveries.
const WALKS_EVENTS: &str = "(r.selection ->> '$.kind' = 'replay' AND r.selection ->> '$.only' <> 'failed')";

/// That a reservation is used, cancelled or rejected, or that its time is over.
const RESERVATION_OVER: &str = "(status NOT IN ('active', 'unknown') OR expiry_date_ms < ?1)";

/// That no delivery goes to an origin.
const ORIGIN_UNUSED: &str = "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.origin_id = origins.id)";

/// What one rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiring {
    /// Events and their deliveries, but for these types, which have rules of their own.
    Events {
        /// The names of the types.
        except: Vec<String>,
    },
    /// Events of one type, with their deliveries.
    EventsOf(String),
    /// Deliveries that have come to their end.
    Deliveries,
    /// Commands that have come to their end.
    Commands,
    /// Transactions that are completed, with their meter values.
    Transactions,
    /// Entries of the audit log.
    Audit,
    /// Replays that have come to their end.
    Replays,
    /// Reservations that nobody waits for any more.
    Reservations,
    /// Lanes of URLs that came with events, once their last delivery is gone, whatever the time.
    Origins,
}

/// That no replay under way may still bring back the delivery `d`.
fn not_in_replay() -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM replays r WHERE r.status = 'running'
            AND iif({WALKS_EVENTS}, d.event_seq, d.seq) > r.position
            AND iif({WALKS_EVENTS}, d.event_seq, d.seq) <= r.end_position)"
    )
}

/// That the event `e` has no delivery that is still needed, and is not needed itself.
fn event_may_go() -> String {
    format!(
        "e.seq < (SELECT max(seq) FROM events)
         AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq
            AND NOT (d.completed_at_ms IS NOT NULL AND {}))
         AND NOT EXISTS (SELECT 1 FROM replays r WHERE r.status = 'running' AND {WALKS_EVENTS}
            AND e.seq > r.position AND e.seq <= r.end_position)",
        not_in_replay()
    )
}
