//! How a webhook is doing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::units::Span;
use crate::words::words;

/// How a webhook is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookStats {
    /// The window that was asked for.
    pub window: Span,
    /// Deliveries made from then on are counted. It is later than the window's begin if the window holds more
    /// than 100,000 of them: then the newest 100,000 are.
    pub since: Timestamp,
    /// How many deliveries of the window are in which state.
    pub counts: StatusCounts,
    /// Which share of those that came to an end by being sent has arrived, 0 to 1; null if none did.
    pub success_rate: Option<f64>,
    /// How long the endpoint takes to answer; null if it has not.
    pub latency_ms: Latency,
    /// Deliveries that have not come to their end, of the window or older.
    pub backlog: u64,
    /// When the first of those that wait is, or was, due.
    pub oldest_due_at: Option<Timestamp>,
    /// The circuit breaker.
    pub breaker: Breaker,
    /// What ended in the last 24 hours, whatever the window, by quarters of an hour, the oldest first; those
    /// in which nothing ended are left out.
    pub quarters: Vec<Quarter>,
}

/// How a webhook has been doing for 24 hours: a row of `GET /webhooks/stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookGlance {
    /// The webhook.
    pub webhook_id: i64,
    /// Deliveries that have arrived in 24 hours, to a quarter of an hour.
    pub succeeded_24h: u64,
    /// Deliveries that have become dead letters in 24 hours, to a quarter of an hour.
    pub failed_24h: u64,
    /// Which share of both has arrived, 0 to 1; null if there are none.
    pub success_rate: Option<f64>,
    /// How long the endpoint takes to answer, over the newest 200 deliveries of 24 hours; null if it has not.
    pub latency_ms: Latency,
    /// Deliveries that have not come to their end.
    pub backlog: u64,
    /// When the first of those that wait is, or was, due.
    pub oldest_due_at: Option<Timestamp>,
    /// The circuit breaker.
    pub breaker: Breaker,
    /// What ended in the 24 hours, by quarters of an hour, the oldest first; those in which nothing ended are
    /// left out.
    pub quarters: Vec<Quarter>,
}

/// What became of the deliveries that ended in a quarter of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quarter {
    /// Its begin.
    pub at: Timestamp,
    /// So many have arrived.
    pub succeeded: u64,
    /// So many have become dead letters.
    pub failed: u64,
}

/// Deliveries by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusCounts {
    /// Wait for their first attempt.
    pub scheduled: u64,
    /// Are being sent.
    pub processing: u64,
    /// Wait for their next attempt.
    pub retry: u64,
    /// Have arrived.
    pub success: u64,
    /// Are dead letters.
    pub failed: u64,
    /// Were canceled, or their webhook was disabled.
    pub discarded: u64,
}

/// Milliseconds from the start of an attempt to its end, over the answered attempts of the window's newest
/// 10,000 deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Half of them were at least as fast.
    pub p50: Option<u64>,
    /// 95 of a hundred were at least as fast.
    pub p95: Option<u64>,
}

/// A webhook's circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookBreaker)]
pub struct Breaker {
    /// What it is doing.
    pub state: BreakerState,
    /// Since when it is open.
    pub since: Option<Timestamp>,
    /// When it lets the next probe through, if it is open.
    pub next_probe_at: Option<Timestamp>,
}

words! {
    /// What a circuit breaker is doing.
    pub enum BreakerState {
        /// Everything passes.
        Closed = "closed",
        /// One probe at a time passes.
        Open = "open",
        /// The endpoint is back: a few pass, more with each success.
        Ramp = "ramp",
    }
}
