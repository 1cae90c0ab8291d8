//! Errors of the API as problem+json. They reveal nothing about internal causes.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tracing::{error, warn};

use store::{Missing, Store, StoreError};
use vocabulary::api::problem::{FieldError, Problem};
use vocabulary::log_limit::limited;

/// The media type of every error.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// The most wrong fields in an answer. A body may have tens of thousands, and the answer would be larger than
/// the body.
const ERRORS_MAX: usize = 1_000;

/// How long a client is asked to wait when the gateway cannot serve just now.
const RETRY_AFTER_S: &str = "2";

/// The message for an unknown member of a body; [`super::did_you_mean`] adds which one may be meant.
pub(super) const UNKNOWN_FIELD: &str = "is not a known field";

/// The same for a query parameter.
pub(super) const UNKNOWN_PARAMETER: &str = "is not a known parameter";

/// What is told while the database that gateways share cannot be reached.
pub(super) const STORE_AWAY: &str = "the gateway cannot reach its database; nothing was changed";

/// A handler's result.
pub(super) type Result<T> = std::result::Result<T, ErrorAnswer>;

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct ErrorAnswer(Problem);

impl ErrorAnswer {
    fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Problem {
            kind: format!("urn:chargehook:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: Some(detail.into()),
            errors: Vec::new(),
        })
    }

    /// What the body of the answer says.
    pub(super) fn problem(&self) -> &Problem {
        &self.0
    }

    /// The same, for answers that contain it.
    pub(super) fn into_problem(self) -> Problem {
        self.0
    }

    /// 400: the request cannot be read.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be read", detail)
    }

    /// 400: the endpoint of a webhook that was to be verified did not answer 2xx.
    pub(super) fn not_verified(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "verification-failed",
            "The endpoint did not pass the test",
            detail,
        )
    }

    /// 401: no key, or none that is valid.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid API key is needed", detail)
    }

    /// 403: the key may not do this.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The API key may not do this", detail)
    }

    /// 404: there is none, or it belongs to another owner.
    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("there is no {what}"))
    }

    /// 405: the path is known, the method is not.
    pub(super) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    /// 409: not in this state.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "In conflict with the present state", detail)
    }

    /// 410: retention has removed it, or would have.
    pub(super) fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "gone", "Older than what is kept", detail)
    }

    /// 412: somebody changed it meanwhile.
    pub(super) fn precondition_failed() -> Self {
        let detail = "it was changed since: read it again, and repeat with its present ETag";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "If-Match does not hold", detail)
    }

    /// 413: over the limit.
    pub(super) fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("a body may have at most {limit_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    /// 415: a body that is not JSON.
    pub(super) fn unsupported_media_type(given: &str, taken: &str) -> Self {
        let detail = format!("the Content-Type is {given:?}: send {taken}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body is of another type", detail)
    }

    /// 422: every wrong field, a thousand at most.
    pub(super) fn invalid(mut errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "one field is wrong".to_owned(),
            n if n > ERRORS_MAX => format!("{n} fields are wrong; the first {ERRORS_MAX} are named"),
            n => format!("{n} fields are wrong"),
        };
        errors.truncate(ERRORS_MAX);
        let mut refusal =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation", "The request is not valid", detail);
        refusal.0.errors = errors;
        refusal
    }

    /// 422: one field that is wrong.
    pub(super) fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(field, message)])
    }

    /// 429: the key makes more requests than it may.
    pub(super) fn too_many_requests() -> Self {
        let detail = "this API key makes too many requests a second (limits.api_requests_per_second)";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail)
    }

    /// 429: too many bad keys came from the caller's address.
    pub(super) fn too_many_bad_keys() -> Self {
        let detail =
            "too many requests with bad API keys came from this address (limits.api_bad_keys_per_second)";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail)
    }

    /// 500: the gateway failed; the cause is in the log.
    pub(super) fn internal() -> Self {
        let detail = "the gateway failed; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// 503: not now.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now", detail)
    }
}

impl From<Problem> for ErrorAnswer {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// The answer if `what` cannot be found: 410 if it is so old that retention may have removed it. It does not
/// reveal whether it ever existed, or whose it is.
pub(super) async fn missing(store: &Store, what: &str, missing: Option<Missing>) -> ErrorAnswer {
    let Some(missing) = missing else { return ErrorAnswer::not_found(what) };
    match store.may_be_removed(missing).await {
        Ok(false) => ErrorAnswer::not_found(what),
        Ok(true) => ErrorAnswer::gone(format!(
            "there is no {what} any more: it is older than what was removed by retention"
        )),
        Err(error) => error.into(),
    }
}

impl From<StoreError> for ErrorAnswer {
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::Closed => Self::unavailable("the gateway is stopping"),
            StoreError::Commit(_) => {
                limited!(error: "a request could not be stored: {cause}");
                Self::unavailable("the gateway cannot write to its disk; nothing was changed")
            }
            StoreError::Away(_) | StoreError::Refused(_) | StoreError::Fenced => {
                limited!(warn: "a request was not carried out: {cause}");
                Self::unavailable(STORE_AWAY)
            }
            StoreError::RequestRuns => Self::conflict("a request with this Idempotency-Key is still running"),
            _ => {
                limited!(error: "a request failed in the store: {cause}");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for ErrorAnswer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let unknown =
            |error: &FieldError| [UNKNOWN_FIELD, UNKNOWN_PARAMETER].contains(&error.message.as_str());
        let names = self.0.errors.iter().any(unknown).then(|| self.0.clone());
        let mut response = (status, axum::Json(self.0)).into_response();
        if let Some(names) = names {
            response.extensions_mut().insert(names);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"chargehook\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}
