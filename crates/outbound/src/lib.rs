//! Every request and every message that leaves the gateway: where it may go, how it is signed, what it
//! contains, and its outcome.
//!
//! Nothing here knows webhooks, schedules or the store: the delivery engine says what to send, and gets an
//! [`outcome::Outcome`] back.

pub mod body;
mod broker_failure;
pub mod broker_url;
pub mod brokers;
pub mod destination;
// Without any broker nobody dials.
#[cfg_attr(not(feature = "nats"), allow(dead_code))]
mod dial;
pub mod headers;
pub mod lookup;
pub mod outcome;
pub mod post;
pub mod resolve;
pub mod retry_after;
mod secret_mask;
mod settings;
pub mod signature;
mod trust;

pub use settings::Outbound;
