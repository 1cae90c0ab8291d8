//! The log: events as they are appended, listed, searched and removed.

pub(crate) mod append;
pub(crate) mod event_list;
pub(crate) mod event_row;
pub(crate) mod ingest;
pub(crate) mod messages;
pub(crate) mod not_matched;
pub(crate) mod payload_judge;
pub(crate) mod removed_before;
pub(crate) mod retention;
pub(crate) mod row_set;
pub(crate) mod search;
pub(crate) mod stretch;
pub(crate) mod subscriptions;
pub(crate) mod waiting_deliveries;
