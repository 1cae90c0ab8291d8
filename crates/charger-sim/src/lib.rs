//! Chargers that exist in software only: one that behaves like a real one, or thousands that make load.
//!
//! [`charger::Charger`] is the charger itself: a state machine that is told what happened and when,
//! and says what to do about it; it knows no socket and no clock. [`session::run`] puts it on a
//! socket; [`director::Director`] takes it through the steps of a [`scenario`] or of a terminal.
//! [`load::run`] drives many far simpler chargers, which cost the machine as little as possible.
//!
//! Invariant: nothing here knows the gateway; all that is shared with it is the protocol.

pub mod act;
pub mod chance;
pub mod charger;
mod charging;
mod commands;
pub mod configuration;
pub mod connection;
mod connector;
pub mod console;
pub mod director;
mod dispatch;
pub mod load;
mod messages;
pub mod meter;
pub mod notice;
pub mod options;
mod outbox;
mod power;
mod profile;
pub mod progress;
mod remote;
mod samples;
pub mod scenario;
mod schedule;
pub mod session;
mod statuses;
pub mod step;
mod trigger;
pub mod trust;

#[cfg(test)]
mod tests;

pub use charger::Charger;
pub use notice::{Acknowledged, Notice};
pub use options::{ChargerOptions, Sessions};
