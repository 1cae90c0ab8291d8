//! The shape of a delivery's body. `outbound::body` writes each of them.

use crate::words::words;

words! {
    /// The shape of a delivery's body.
    #[derive(Default)]
    #[schema(as = WebhookFormat)]
    pub enum BodyFormat {
        /// Everything at the top level, with `payload`.
        #[default]
        Flat = "flat",
        /// `id`, `type`, `createdAt` and `data`.
        Envelope = "envelope",
        /// The Standard Webhooks shape: `type`, `timestamp`, `data`.
        Standard = "standard",
        /// CloudEvents 1.0, structured JSON.
        CloudEvents = "cloudevents",
    }
}
