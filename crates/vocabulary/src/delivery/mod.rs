//! Deliveries, one event on its way to one webhook: in which shape, why, how far, and what went wrong.

mod answer_class;
mod body_format;
mod error_code;
mod status;
mod trigger;

pub use answer_class::AnswerClass;
pub use body_format::BodyFormat;
pub use error_code::ErrorCode;
pub use status::{DeliveryStatus, DiscardReason};
pub use trigger::Trigger;
