//! Reads what the rules look at: a few statements in one read transaction, each bounded.

pub(super) mod command;
mod events;
mod refusals;
pub(super) mod session;
pub(super) mod station;
pub(super) mod tag;
