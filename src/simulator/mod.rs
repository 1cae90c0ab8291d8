//! Chargers that exist in software only: one that behaves like a real one, or thousands that make load.
//!
//! [`charger::Charger`] is the charger itself: a state machine that is told what happened and when,
//! and says what to do about it; it knows no socket and no clock. [`session::run`] puts it on a
//! socket. [`load::run`] drives many far simpler chargers, which cost the machine as little as possible.
//!
//! Invariant: nothing here knows the gateway; all that is shared with it is the protocol.

pub mod chance;
pub mod charger;
mod charging;
mod commands;
pub mod configuration;
pub mod connection;
mod connector;
pub mod console;
pub mod load;
pub mod meter;
pub mod notice;
pub mod options;
mod outbox;
pub mod progress;
pub mod session;

#[cfg(test)]
mod tests;

pub use charger::Charger;
pub use notice::{Acknowledged, Notice};
pub use options::{ChargerOptions, Sessions};
