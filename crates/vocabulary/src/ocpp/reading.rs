//! How a charger's message is read, and how it is refused.

use super::frame::ErrorCode;
use super::{Validation, Violation};
use crate::clock::Timestamp;
use crate::zone::Zone;

/// How a message is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// How strictly.
    pub validation: Validation,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What the station's clock may show where a time names no zone; `None` if nobody knows.
    pub zone: Option<Zone>,
}

/// A message that the strict mode refuses, and how it is answered.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The CALLERROR's code.
    pub code: ErrorCode,
    /// The CALLERROR's description: the field and what is wrong with it.
    pub description: String,
    /// Everything that was odd about the payload.
    pub violations: Vec<Violation>,
}
