//! Statistics of a webhook.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::path::Id;
use super::problem::Result;
use super::query::{Parameters, Query};
use super::webhooks::visible;
use crate::delivery::breaker::State as Lane;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook_stats::{Breaker, BreakerState, WebhookStats};
use vocabulary::clock::Monotonic;
use vocabulary::units::Span;

/// The default window.
const WINDOW: Duration = Duration::from_secs(86_400);

/// How long a window may be.
const WITHIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(400 * 86_400));

/// The window of a webhook's statistics.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuery {
    /// Deliveries created in this time up to now: `1s` to `400d`, `24h` by default.
    #[param(inline)]
    window: Option<Span>,
}

impl Parameters for StatsQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        let (least, most) = WITHIN;
        let window = given["window"].as_str().and_then(|text| text.parse::<Span>().ok());
        if window.is_some_and(|window| !(least..=most).contains(&window.0)) {
            errors.push(FieldError::new("window", format!("must be {} to {}", Span(least), Span(most))));
        }
    }
}

/// Get a webhook's statistics
///
/// The call always takes a short time: of a window with more than 100,000 deliveries the newest 100,000 are
/// counted, and `since` says where they begin.
#[utoipa::path(get, path = "/webhooks/{id}/stats", tag = "webhooks",
    params(("id" = i64, Path, description = "The webhook"), StatsQuery),
    responses((status = 200, body = WebhookStats)), security(("api_key" = ["read"])))]
pub(super) async fn stats(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<StatsQuery>,
) -> Result<Json<WebhookStats>> {
    let window = query.window.unwrap_or(Span(WINDOW));
    let webhook = visible(&state, &caller, &id).await?.webhook;
    let numbers = state.store.webhook_numbers(webhook.id, state.clock.now().before(window.0)).await?;
    let sent = numbers.counts.success + numbers.counts.failed;
    let lane = state.lanes.borrow().get(&webhook.id).map_or(Lane::Closed, |lane| lane.breaker);
    Ok(Json(WebhookStats {
        window,
        since: numbers.since,
        counts: numbers.counts,
        success_rate: (sent > 0).then(|| numbers.counts.success as f64 / sent as f64),
        latency_ms: numbers.latency_ms,
        backlog: numbers.backlog,
        oldest_due_at: numbers.oldest_due_at,
        breaker: breaker(lane, &state.monotonic),
    }))
}

fn breaker(lane: Lane, monotonic: &Monotonic) -> Breaker {
    match lane {
        Lane::Closed => Breaker { state: BreakerState::Closed, since: None, next_probe_at: None },
        Lane::Ramp { .. } => Breaker { state: BreakerState::Ramp, since: None, next_probe_at: None },
        Lane::Open { since, probe_at, .. } => Breaker {
            state: BreakerState::Open,
            since: Some(monotonic.to_wall(since)),
            next_probe_at: Some(monotonic.to_wall(probe_at)),
        },
    }
}
