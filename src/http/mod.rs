//! The REST API: every route on one screen.
//!
//! A request passes limits, then its key and scope ([`auth`]), then its idempotency key; a change is recorded
//! ([`audit`]). Then its query and body are checked against the OpenAPI document ([`query`], [`body`]), and
//! only then its handler asks the store. **Invariants**: a route has an entry in the document, and every
//! entry under the base path names the scope it needs; nothing here builds SQL; no handler decides who may
//! call it.

mod api_keys;
mod audit;
mod auth;
mod body;
mod browser_session;
mod bulk_commands;
mod commands;
mod connectors;
mod cors;
mod csv;
mod csv_columns;
mod deliveries;
mod did_you_mean;
mod event_patterns;
mod event_stream;
mod events;
mod health;
mod id_tag_import;
mod id_tags;
mod idempotency;
mod import;
mod ingest;
mod limits;
mod messages;
mod metrics;
mod nodes;
mod openapi;
mod openapi_webhooks;
mod overview;
mod page;
mod path;
mod payload_filter;
mod problem;
mod query;
mod replays;
mod reports;
mod request_rates;
mod reservations;
mod schema;
mod scope;
pub mod serve;
mod settings;
mod sign_in;
mod sse;
mod station_import;
mod station_selection;
mod station_summary;
mod stations;
mod stream_places;
mod transactions;
mod versions;
mod webhook_broker;
mod webhook_input;
mod webhook_pauses;
mod webhook_stats;
mod webhooks;
mod why;
mod write_timeout;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Uri};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::util::MapRequest;
use tracing::debug;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

pub use browser_session::{BrowserSession, BrowserSessions, cookie};
pub use health::Readiness;
pub use limits::LimitsInForce;
pub use openapi::document as openapi_document;
pub use overview::{Overviews, OwnCertificates};
pub use settings::{Api, ApiLimits};
pub use sign_in::{Identity, identity, sign_in};

use crate::delivery::LaneViews;
use crate::power_history::PowerHistory;
use crate::retention::Retention;
use crate::station::callout::CallOutCounts;
use crate::station::credentials::Passwords;
use crate::station::refusal_log::RefusalCounts;
use crate::station::registry::Registry;
use crate::station::settings::Authorization;
use outbound::post::Poster;
use problem::ErrorAnswer;
use store::Store;
use vocabulary::api::bulk_command::STATION_FILTER;
use vocabulary::clock::{Clock, Monotonic, Timestamp};
use vocabulary::setting::Server;
use vocabulary::units::Span;

/// The path of all resources.
pub(crate) const BASE: &str = "/api/v1";

/// The state of the handlers.
pub struct ApiState {
    /// Everything that must survive.
    pub store: Store,
    /// The wall clock.
    pub clock: Clock,
    /// The clock that never jumps.
    pub monotonic: Monotonic,
    /// Sends test events, by the same code and guard as deliveries.
    pub poster: Poster,
    /// Hashes the passwords of stations.
    pub passwords: Arc<Passwords>,
    /// The connections of chargers.
    pub stations: Arc<Registry>,
    /// Results of the questions to the authorisation endpoint.
    pub call_outs: Arc<CallOutCounts>,
    /// How many connections of chargers were refused, and why.
    pub refused: Arc<RefusalCounts>,
    /// The state of the delivery engine's lanes.
    pub lanes: watch::Receiver<LaneViews>,
    /// The power of the last hour.
    pub power: Arc<PowerHistory>,
    /// The certificates whose end somebody should know of.
    pub certificates: OwnCertificates,
    /// The answers of the last moments that many may ask for.
    pub overviews: Overviews,
    /// When the gateway was started, by the monotonic clock.
    pub started: Timestamp,
    /// Whether the gateway can serve.
    pub readiness: Readiness,
    /// The configuration.
    pub settings: Settings,
    /// Seals and opens the cookies of browsers that have signed in.
    pub browser_sessions: BrowserSessions,
    /// Limits, and what is counted by them.
    pub limits: Arc<LimitsInForce>,
    /// Ends calls that only wait.
    pub stop: CancellationToken,
}

/// The settings of the API, beside its limits.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `[api]`
    pub api: Api,
    /// `[retention]`
    pub retention: Retention,
    /// `[authorization]`
    pub authorization: Authorization,
    /// `[delivery] auto_disable_after`
    pub disable_after: Span,
}

/// How long a request may take. Longer than the longest webhook test.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// Every route, each with its entry in the OpenAPI document.
fn routes() -> OpenApiRouter<Arc<ApiState>> {
    let api = OpenApiRouter::new()
        .routes(routes!(overview::get))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::get, webhooks::replace, webhooks::patch, webhooks::delete))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::enable))
        .routes(routes!(webhook_pauses::pause))
        .routes(routes!(webhook_pauses::resume))
        .routes(routes!(webhook_stats::of_all))
        .routes(routes!(webhook_stats::stats))
        .routes(routes!(webhooks::secret))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(replays::create))
        .routes(routes!(replays::resend))
        .routes(routes!(replays::list))
        .routes(routes!(replays::get))
        .routes(routes!(replays::cancel))
        .routes(routes!(ingest::create, events::list))
        .routes(routes!(event_stream::stream))
        .routes(routes!(events::get))
        .routes(routes!(events::deliveries))
        .routes(routes!(events::resend))
        .routes(routes!(events::types))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::get))
        .routes(routes!(deliveries::resend))
        .routes(routes!(deliveries::cancel))
        .routes(routes!(deliveries::failed))
        .routes(routes!(why::delivery))
        .routes(routes!(stations::create, stations::list))
        .routes(routes!(station_import::import))
        .routes(routes!(station_summary::summary))
        .routes(routes!(stations::get, stations::patch, stations::delete))
        .routes(routes!(stations::connectors))
        .routes(routes!(stations::configuration))
        .routes(routes!(stations::disconnect))
        .routes(routes!(why::station))
        .routes(routes!(connectors::list))
        .routes(routes!(messages::messages))
        .routes(routes!(commands::send, commands::of_station))
        .routes(routes!(commands::list))
        .routes(routes!(commands::get))
        .routes(routes!(commands::cancel))
        .routes(routes!(why::command))
        .routes(routes!(bulk_commands::create, bulk_commands::list))
        .routes(routes!(bulk_commands::get))
        .routes(routes!(bulk_commands::commands))
        .routes(routes!(bulk_commands::stations))
        .routes(routes!(bulk_commands::cancel))
        .routes(routes!(transactions::list))
        .routes(routes!(transactions::summary))
        .routes(routes!(transactions::get))
        .routes(routes!(transactions::meter_values))
        .routes(routes!(transactions::close))
        .routes(routes!(why::transaction))
        .routes(routes!(reservations::list))
        .routes(routes!(reports::uptime))
        .routes(routes!(id_tags::list))
        .routes(routes!(id_tags::get, id_tags::put, id_tags::delete))
        .routes(routes!(id_tag_import::import))
        .routes(routes!(why::id_tag))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(nodes::list));
    let of_parameters = [(STATION_FILTER, query::object_schema::<stations::StationsQuery>())];
    OpenApiRouter::with_openapi(openapi::preamble(of_parameters))
        .nest(BASE, api)
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(health::openapi))
}

/// The API as a service. The caller owns the listener and the end.
pub fn router(state: Arc<ApiState>) -> Router {
    let (router, _) = routes().split_for_parts();
    // The layer that is added last is the first to see a request.
    let api = router
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(state.clone(), csv::answer))
        .layer(from_fn(did_you_mean::add))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(state.clone(), audit::record))
        .layer(from_fn_with_state(state.clone(), idempotency::replay))
        .layer(from_fn_with_state(state.clone(), auth::authenticate))
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(state.clone(), cors::allow))
        .with_state(state);
    let docs = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    let all = api.merge(docs).layer(map_response(kept_by_nobody));
    // It runs before any route is looked up.
    Router::new().fallback_service(MapRequest::new(all, id_tags::name_import))
}

/// What answers while the gateway waits for its store to be reachable for the first time.
pub fn waiting_router(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(move || health::waiting(readiness.clone())))
        .fallback(async || ErrorAnswer::unavailable(problem::STORE_AWAY))
        .layer(map_response(kept_by_nobody))
}

/// Answers may hold secrets that are shown once, and text of strangers. So nothing may cache them, and no
/// browser may take them for a page, or show the documentation in a frame.
async fn kept_by_nobody(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'"));
    response
}

/// Metrics alone, for a listener of their own.
pub fn metrics_router(state: Arc<ApiState>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::prometheus_text))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(state)
}

/// Ends a request that takes too long, and logs every one without its query, which may name customers.
async fn in_time(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = Instant::now();
    let waits_for_station = matched.is_some_and(|path| path.as_str().ends_with(commands::PATH));
    let limit = REQUEST_TIMEOUT + if waits_for_station { commands::WAIT_MAX } else { Duration::ZERO };
    let response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ErrorAnswer::unavailable("the request took too long").into_response(),
    };
    let (status, duration_ms) = (response.status().as_u16(), began.elapsed().as_millis() as u64);
    debug!(%method, path, status, duration_ms, "{method} {path} was answered {status}");
    response
}

async fn unknown_path(uri: Uri) -> ErrorAnswer {
    ErrorAnswer::not_found(format_args!("path {}", uri.path()))
}

async fn unknown_method(method: Method, uri: Uri) -> ErrorAnswer {
    ErrorAnswer::method_not_allowed(format!("{} does not take {method}", uri.path()))
}

#[cfg(test)]
mod tests;
