//! Webhooks: their settings and secrets, pauses, health and numbers.

pub(crate) mod numbers;
pub(crate) mod pauses;
pub(crate) mod settings;
pub(crate) mod signing_secrets;
pub(crate) mod test_events;
pub(crate) mod webhook_row;
