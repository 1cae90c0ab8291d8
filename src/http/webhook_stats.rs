//! Statistics of webhooks: of one, and of each in a list.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::page::{self, Paging};
use super::path::Id;
use super::problem::Result;
use super::query::{And, Parameters, Query};
use super::webhooks::{LIST, WebhooksQuery, visible};
use crate::delivery::breaker::State as Lane;
use store::Lately;
use vocabulary::api::Page;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook_stats::{Breaker, BreakerState, Quarter, WebhookGlance, WebhookStats};
use vocabulary::clock::Monotonic;
use vocabulary::id::WebhookId;
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
    let now = state.clock.now();
    let numbers = state.store.webhook_numbers(webhook.id, now.before(window.0)).await?;
    let quarters = state.store.webhook_quarters(webhook.id, now.before(WINDOW)).await?;
    Ok(Json(WebhookStats {
        window,
        since: numbers.since,
        counts: numbers.counts,
        success_rate: share(numbers.counts.success, numbers.counts.failed),
        latency_ms: numbers.latency_ms,
        backlog: numbers.backlog,
        oldest_due_at: numbers.oldest_due_at,
        breaker: breaker_of(&state, webhook.id),
        quarters,
    }))
}

/// Get the statistics of the webhooks
///
/// How each has been doing for 24 hours: the same webhooks in the same order as `GET /webhooks` lists them
/// with these parameters, and its cursors. A page takes a short time, however many deliveries there are.
#[utoipa::path(get, path = "/webhooks/stats", tag = "webhooks", operation_id = "all_stats",
    params(WebhooksQuery, Paging),
    responses((status = 200, body = Page<WebhookGlance>)), security(("api_key" = ["read"])))]
pub(super) async fn of_all(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<WebhooksQuery, Paging>>,
) -> Result<Json<Page<WebhookGlance>>> {
    let slice = paging.slice(LIST)?;
    let listed = state.store.webhooks(query.filter(&caller)?, slice.clone()).await?;
    let ids: Vec<WebhookId> = listed.rows.iter().map(|webhook| webhook.id).collect();
    let lately = state.store.webhooks_lately(ids, state.clock.now().before(WINDOW)).await?;
    let mut lately = lately.into_iter();
    let mut page = page::page(LIST, &slice, listed, |webhook| {
        lately.next().map(|lately| glance(&state, webhook.id, lately))
    });
    let data = page.data.drain(..).flatten().collect();
    Ok(Json(Page { data, next_cursor: page.next_cursor }))
}

fn glance(state: &ApiState, id: WebhookId, lately: Lately) -> WebhookGlance {
    let sum = |part: fn(&Quarter) -> u64| lately.quarters.iter().map(part).sum();
    let (succeeded, failed) = (sum(|quarter| quarter.succeeded), sum(|quarter| quarter.failed));
    WebhookGlance {
        webhook_id: id,
        succeeded_24h: succeeded,
        failed_24h: failed,
        success_rate: share(succeeded, failed),
        latency_ms: lately.latency_ms,
        backlog: lately.backlog,
        oldest_due_at: lately.oldest_due_at,
        breaker: breaker_of(state, id),
        quarters: lately.quarters,
    }
}

/// Which share of those that were sent has arrived.
fn share(succeeded: u64, failed: u64) -> Option<f64> {
    let sent = succeeded + failed;
    (sent > 0).then(|| succeeded as f64 / sent as f64)
}

fn breaker_of(state: &ApiState, id: WebhookId) -> Breaker {
    let lane = state.lanes.borrow().get(&id).map_or(Lane::Closed, |lane| lane.breaker);
    breaker(lane, &state.monotonic)
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
