//! The dashboard: pages for people, made on the server, in the same process as the API.
//!
//! A page is a client of the API. It asks through [`crate::client`], whose requests go to the API's own
//! router without a network, and carry who has signed in as an extension that no other process can send. So
//! scopes, owners, validation, the audit log, rate limits and idempotency are those of the API, and written
//! once.
//! **Invariants**: no page knows the store; nothing is changed by a GET; no inline style and no inline script
//! (the Content-Security-Policy forbids both); everything works without JavaScript.
//!
//! A request passes [`guard`] (same origin and token for forms, headers for all), then [`session`] says who
//! has signed in, then a handler of [`pages`] asks the API and renders with [`components`].
//!
//! # How to add a page
//!
//! One file in `pages/`, one line in [`routes`], and its place in the navigation ([`components::layout`]).
//!
//! ```text
//! /// The stations.
//! pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
//!     let listed = session.client.stations(&query.parameters(FILTERS)).await;
//!     let (stations, errors) = rows(listed)?;               // 422: no rows, and what is wrong
//!     let body = render(&query, &stations, &errors, session.now);
//!     Ok(Page::new(&session, Section::Stations, "Stations", body).live())
//! }
//!
//! fn render(query: &Query, stations: &Rows<Station>, errors: &[FieldError], now: Timestamp) -> Markup {
//!     html! { (Filters::new("/ui/stations", query, errors).search("q", "Find").render()) … }
//! }
//! ```
//!
//! - **Asking**: `session.client` has every call of the API. `?` turns its errors into pages (404, 403, 422),
//!   and a key that is valid no longer into the login. [`page::optional`] is for parts that a page does
//!   without (the key lacks the scope). Ask for several things at once with `tokio::join!` and
//!   `.into_future()`.
//! - **Rendering** is a pure function from answers to `Markup`: a test calls it with a value and looks at the
//!   text. `session.now` is the time of the page.
//! - **Filters** are a GET with the API's own parameter names; [`query::Query::link`] keeps them in links.
//! - **Changing**: a handler of a POST takes `Session` and [`form::Form`], calls the API and ends with
//!   `session.outcome(answer, "/ui/…", |done| "Station X was disconnected.".into())`: a redirect to a page
//!   that shows what was done, or the API's refusal. [`components::action`] makes the button with its token;
//!   `confirmed` asks once more. A form with fields shows a 422 at them: render the page again with the
//!   problem's errors ([`components::fields`]), and `.invalid()`. What a key may not do has no button:
//!   `session.identity.may("command")`.
//! - **Live**: an element with an `id` and `data-live` ([`components::card::live_card`]) is fetched anew from
//!   its page every two seconds while that is visible and not paused; the page says `.live()`.
//! - **States** are chips ([`components::chip`]): shape, colour and word. **Times** go through
//!   [`components::time`]. **Links** to things go through [`links`].
//! - **Look** at it: light and dark, wide and at 390 pixels.

mod assets;
mod charging;
mod components;
mod counts;
mod csv;
mod curl;
mod failure;
mod flash;
mod form;
mod framed_failure;
mod guard;
mod handy_commands;
mod links;
mod one_time_links;
mod page;
mod pages;
mod query;
mod session;
mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Redirect;
use axum::routing::{any, get, post};

use crate::client::{Client, ClientError};
use crate::http::ApiState;
use counts::Counts;
use failure::Failure;
pub use one_time_links::OneTimeLinks;
use pages::{
    audit, bulk_command, bulk_commands, bulk_form, command, command_form, commands, deliveries, delivery,
    event, events, find, keys, overview, reports, resend, session as one_session, session_sums, sessions,
    station, station_form, stations, system, tags, webhook, webhook_form, webhook_replay, webhooks,
};

/// What the handlers of pages work with.
pub struct Dashboard {
    state: Arc<ApiState>,
    /// The API; without a session it may do nothing.
    client: Client,
    links: Arc<OneTimeLinks>,
    counts: Arc<Counts>,
}

/// Every page.
fn routes() -> Router<Arc<Dashboard>> {
    Router::new()
        .route("/", get(home))
        .route("/ui", get(home))
        .route("/ui/static/{name}", get(assets::file))
        .route("/ui/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/ui/logout", post(sign_in::sign_out))
        .route("/ui/", get(overview::show))
        .route("/ui/find", get(find::find))
        .route("/ui/csv/{*resource}", get(csv::list))
        .route("/ui/stations", get(stations::list))
        .route("/ui/stations/{id}", get(station::show))
        .route("/ui/stations/{id}/disconnect", post(station::disconnect))
        .route("/ui/stations/{id}/change", post(station::change))
        .route("/ui/stations/{id}/edit", get(station_form::edit).post(station_form::change))
        .route("/ui/stations/{id}/delete", post(station_form::delete))
        .route("/ui/stations/{id}/command", get(command_form::show).post(command_form::send))
        .route("/ui/sessions", get(sessions::list))
        .route("/ui/sessions/{transaction_id}", get(one_session::show))
        .route("/ui/sessions/{transaction_id}/stop", post(one_session::stop))
        .route("/ui/sessions/{transaction_id}/close", post(one_session::close))
        .route("/ui/events", get(events::list))
        .route("/ui/events/{id}", get(event::show))
        .route("/ui/events/{id}/resend", post(event::resend))
        .route("/ui/deliveries", get(deliveries::list))
        .route("/ui/deliveries/resend", get(resend::count).post(resend::start))
        .route("/ui/deliveries/{id}", get(delivery::show))
        .route("/ui/deliveries/{id}/resend", post(delivery::resend))
        .route("/ui/deliveries/{id}/cancel", post(delivery::cancel))
        .route("/ui/webhooks", get(webhooks::list))
        .route("/ui/webhooks/new", get(webhook_form::new).post(webhook_form::create))
        .route("/ui/webhooks/{id}", get(webhook::show))
        .route("/ui/webhooks/{id}/edit", get(webhook_form::edit).post(webhook_form::change))
        .route("/ui/webhooks/{id}/test", post(webhook::test))
        .route("/ui/webhooks/{id}/pause", post(webhook::pause))
        .route("/ui/webhooks/{id}/resume", post(webhook::resume))
        .route("/ui/webhooks/{id}/enable", post(webhook::enable))
        .route("/ui/webhooks/{id}/rotate", post(webhook::rotate))
        .route("/ui/webhooks/{id}/delete", post(webhook::delete))
        .route("/ui/webhooks/{id}/secret", get(webhook::secret))
        .route("/ui/webhooks/{id}/replay", get(webhook_replay::count).post(webhook_replay::start))
        .route("/ui/replays/{id}/cancel", post(webhook_replay::cancel))
        .route("/ui/commands", get(commands::list))
        .route("/ui/commands/bulk", get(bulk_commands::list).post(bulk_form::start))
        .route("/ui/commands/bulk/new", get(bulk_form::show))
        .route("/ui/commands/bulk/count", post(bulk_form::count))
        .route("/ui/commands/bulk/{id}", get(bulk_command::show))
        .route("/ui/commands/bulk/{id}/cancel", post(bulk_command::cancel))
        .route("/ui/commands/{id}", get(command::show))
        .route("/ui/commands/{id}/cancel", post(command::cancel))
        .route("/ui/tags", get(tags::list).post(tags::put))
        .route("/ui/tags/delete", post(tags::delete))
        .route("/ui/reports", get(reports::show))
        .route("/ui/reports/sessions", get(session_sums::show))
        .route("/ui/audit", get(audit::list))
        .route("/ui/keys", get(keys::list).post(keys::create))
        .route("/ui/keys/{id}/revoke", post(keys::revoke))
        .route("/ui/system", get(system::show))
        .route("/ui/{*path}", any(unknown))
}

/// The dashboard over an API; what is no page goes to the API. `links` sign in once.
///
/// # Errors
/// [`ClientError::Setup`] if there is no HTTP client.
pub fn router(state: Arc<ApiState>, api: Router, links: Arc<OneTimeLinks>) -> Result<Router, ClientError> {
    let client = Client::in_process(api.clone())?;
    let dashboard = Arc::new(Dashboard { state, client, links, counts: Arc::default() });
    // The layer that is added last is the first to see a request.
    let pages = routes()
        .layer(from_fn_with_state(dashboard.clone(), guard::forms))
        .layer(from_fn_with_state(dashboard.clone(), framed_failure::framed))
        .layer(map_response(guard::headers))
        .with_state(dashboard);
    Ok(pages.fallback_service(api))
}

/// The overview is the home. Who has not signed in is sent on from there.
async fn home() -> Redirect {
    Redirect::to("/ui/")
}

async fn unknown(_: session::Session) -> Failure {
    Failure::UnknownPath
}
