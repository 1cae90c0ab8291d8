//! Removes what is past its time: a reader looks for rows in windows, the writer removes a few of them in
//! each of many short steps, in batches that nobody else is in.
//!
//! **Invariant**: what has not come to its end stays, whatever its age: deliveries that wait with their
//! events, and what a replay that is under way may still bring back. The newest event stays too: ids and rows
//! count on from it.

mod conditions;
mod expired;
mod removal;
#[cfg(test)]
mod tests;

pub use expired::Expired;
pub use removal::Removed;

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
    /// Bulk commands that have come to their end, with the list of their stations.
    BulkCommands,
    /// Reservations that nobody waits for any more.
    Reservations,
    /// What connectors and stations have been, station by station; what held at the border stays.
    History,
    /// Lanes of URLs that came with events, once their last delivery is gone, whatever the time.
    Origins,
}
