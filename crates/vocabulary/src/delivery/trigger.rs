//! Why a delivery's attempt is made.

use crate::words::words;

words! {
    /// Why a delivery's attempt is made: `X-Webhook-Trigger`.
    pub enum Trigger {
        /// The event itself, or its schedule of retries.
        Event = "event",
        /// Somebody asked for it again.
        Resend = "resend",
        /// A replay of a time range.
        Replay = "replay",
        /// A test call. No delivery is stored with it.
        Test = "test",
    }
}
