//! Pages of other origins that may read the API: those that `[api] allowed_origins` names.
//!
//! Such a page sends an API key in a header of its own. A cookie opens nothing to it: the answers never say
//! `Access-Control-Allow-Credentials`, so a browser that sent one lets the page read nothing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::ApiState;

/// What a request may do beside reading.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");

/// Headers of requests that mean something here and that no page may send unasked.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, X-API-Key, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID",
);

/// Headers of answers that mean something here and that no page may read unasked.
const ANSWER_HEADERS: HeaderValue =
    HeaderValue::from_static("Content-Disposition, ETag, Idempotent-Replayed, Location, Retry-After");

/// Seconds for which a browser need not ask again.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// Answers the questions of browsers before keys are looked at (a preflight request has none), and says with
/// every other answer that a named origin may read it.
pub(super) async fn allow(State(state): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    let allowed = &state.settings.api.allowed_origins;
    if allowed.is_empty() {
        return next.run(request).await;
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let origin = origin.filter(|origin| allowed.iter().any(|allowed| allowed == origin));
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &origin {
        Some(_) if is_preflight => preflight().into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    // Also where the origin is not named: nobody in between may answer one page with another's headers.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
    response
}

fn preflight() -> (StatusCode, HeaderMap) {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE_S),
    ];
    (StatusCode::NO_CONTENT, headers.into_iter().collect())
}
