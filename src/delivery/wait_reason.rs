//! Why a delivery waits, in one word.

use store::Delivery;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;

use super::lane::{LaneView, LaneViews};

/// `schedule`, `breaker`, `rate_limit`, `order`, `slot`, `settings` or `paused`; `None` if it does not wait.
pub fn wait_reason(delivery: &Delivery, lanes: &LaneViews, now: Timestamp) -> Option<&'static str> {
    if !matches!(delivery.status, DeliveryStatus::Scheduled | DeliveryStatus::Retry) {
        return None;
    }
    if delivery.paused {
        return Some("paused");
    }
    let lane = delivery.lane.and_then(|id| lanes.get(&id));
    if lane.is_some_and(|lane| lane.out_of_order) {
        return Some("settings");
    }
    if delivery.next_attempt_at.is_some_and(|due_at| due_at > now) {
        return Some("schedule");
    }
    if delivery.behind_another {
        return Some("order");
    }
    // It is due and nothing holds it back: it only waits for its turn.
    Some(lane.map_or("slot", held_back_by))
}

fn held_back_by(lane: &LaneView) -> &'static str {
    match lane.breaker {
        super::breaker::State::Open { .. } => "breaker",
        _ if lane.rate_limited => "rate_limit",
        _ => "slot",
    }
}
