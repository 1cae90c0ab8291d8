//! Webhooks: their settings and signing secrets, pauses, test events and numbers. Whether one works, and its
//! automatic disabling, are in `deliveries`, whose attempts tell.

pub(crate) mod numbers;
pub(crate) mod pauses;
pub(crate) mod settings;
pub(crate) mod signing_secrets;
pub(crate) mod test_events;
pub(crate) mod webhook_row;
