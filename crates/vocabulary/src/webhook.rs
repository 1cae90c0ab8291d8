//! Webhooks: what one is doing, and in which order its deliveries are made.

use crate::words::words;

words! {
    /// What a webhook is doing.
    pub enum WebhookStatus {
        /// Deliveries are made.
        Active = "active",
        /// Deliveries wait, and no attempt is spent.
        Paused = "paused",
        /// Switched off by somebody; matching events make `discarded` deliveries.
        Disabled = "disabled",
        /// Switched off by the gateway, after long failure or a 410.
        AutoDisabled = "auto_disabled",
    }
}

impl WebhookStatus {
    /// Whether it is neither disabled nor auto-disabled.
    pub fn is_enabled(self) -> bool {
        matches!(self, Self::Active | Self::Paused)
    }
}

words! {
    /// In which order deliveries are made.
    #[derive(Default)]
    pub enum Ordering {
        /// Best-effort chronological.
        #[default]
        None = "none",
        /// Each station's events strictly one after the other.
        Station = "station",
    }
}
