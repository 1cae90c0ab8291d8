//! How far a delivery has come, and why it was discarded.

use crate::words::words;

words! {
    /// How far a delivery has come.
    pub enum DeliveryStatus {
        /// Waits for its first attempt.
        Scheduled = "scheduled",
        /// An attempt is under way.
        Processing = "processing",
        /// Waits for its next attempt.
        Retry = "retry",
        /// Answered 2xx.
        Success = "success",
        /// Dead-lettered: the schedule is used up.
        Failed = "failed",
        /// Canceled, or its webhook was disabled or deleted.
        Discarded = "discarded",
    }
}

impl DeliveryStatus {
    /// Whether it has come to its end.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Discarded)
    }
}

words! {
    /// Why a delivery was discarded.
    pub enum DiscardReason {
        /// Somebody canceled it.
        Canceled = "canceled",
        /// Its webhook was disabled.
        WebhookDisabled = "webhook_disabled",
        /// Its webhook was deleted.
        WebhookDeleted = "webhook_deleted",
    }
}
