//! What everybody in chargehook talks about: ids, time, events, subscriptions, the bodies of the REST API,
//! and OCPP.
//!
//! **Invariant**: no I/O but for the system's clock and randomness; nothing here knows a store, a socket or a
//! runtime.

pub mod adjustable;
pub mod api;
pub mod broker;
pub mod bucket;
pub mod clock;
pub mod delivery;
pub mod der;
pub mod event;
pub mod forwarded;
pub mod history;
pub mod id;
pub mod log_limit;
pub mod lookup_key;
pub mod month;
pub mod ocpp;
pub mod positions;
pub mod rate;
pub mod setting;
pub mod similar_name;
pub mod spreadsheet;
pub mod subscription;
pub mod units;
pub mod webhook;
pub mod words;
pub mod zone;
