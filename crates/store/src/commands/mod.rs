//! Commands to stations: created, sent, ended, and what follows from their end.

pub(crate) mod bulk;
mod bulk_counts;
pub(crate) mod consequences;
pub(crate) mod end;
pub(crate) mod list;
pub(crate) mod outcome;
pub(crate) mod queue;
pub(crate) mod readiness;
mod refused_tag;
pub(crate) mod row;
