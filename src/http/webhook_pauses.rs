//! Pausing webhooks and resuming them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::ApiState;
use super::auth::Caller;
use super::body;
use super::path::Id;
use super::problem::{ErrorAnswer, Result};
use super::query::NoQuery;
use super::versions::tagged;
use super::webhooks::{unknown, visible};
use store::Paused;
use vocabulary::api::webhook::{PauseInput, Webhook};
use vocabulary::units::Span;

/// How long a pause with an end may be.
const FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(366 * 86_400));

/// Pause a webhook
///
/// Its deliveries wait without attempts until it is resumed or the time is over, also after a restart;
/// running attempts end. `test` is still sent. A pause costs no time: the age at which deliveries are given
/// up and `ordering_max_wait` start again at its end, and the time to `auto_disabled` stands still. Pausing
/// again sets another end. 409 if it is disabled.
#[utoipa::path(post, path = "/webhooks/{id}/pause", tag = "webhooks",
    params(("id" = i64, Path, description = "The webhook")), request_body = Option<PauseInput>,
    responses((status = 200, body = Webhook)), security(("api_key" = ["write"])))]
pub(super) async fn pause(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    body::Optional(PauseInput { how_long }): body::Optional<PauseInput>,
) -> Result<Response> {
    let (least, most) = FOR;
    if how_long.is_some_and(|how_long| !(least..=most).contains(&how_long.0)) {
        return Err(ErrorAnswer::invalid_field("for", format!("must be {} to {}", Span(least), Span(most))));
    }
    let webhook = visible(&state, &caller, &id).await?.webhook;
    let until = how_long.map(|how_long| state.clock.now().after(how_long.0));
    answer(state.store.pause_webhook(webhook.id, until).await?, &id)
}

/// Resume a webhook
///
/// Deliveries that became due in the pause are sent at once, as fast as the webhook's limits permit. A
/// webhook that is not paused stays as it is; 409 if it is disabled.
#[utoipa::path(post, path = "/webhooks/{id}/resume", tag = "webhooks",
    params(("id" = i64, Path, description = "The webhook")),
    responses((status = 200, body = Webhook)), security(("api_key" = ["write"])))]
pub(super) async fn resume(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    _: body::NoBody,
) -> Result<Response> {
    let webhook = visible(&state, &caller, &id).await?.webhook;
    answer(state.store.resume_webhook(webhook.id).await?, &id)
}

fn answer(paused: Paused, id: &str) -> Result<Response> {
    match paused {
        Paused::Done(webhook) => Ok(tagged(StatusCode::OK, webhook.updated_at, &*webhook)),
        Paused::Disabled => Err(ErrorAnswer::conflict("it is disabled: enable it first")),
        Paused::Unknown => Err(unknown(id)),
    }
}
