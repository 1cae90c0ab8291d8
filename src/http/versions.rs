//! Versions of resources: `ETag` in answers, `If-Match` in changes (RFC 9110, section 13).

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::problem::{ErrorAnswer, Result};
use store::Changed;
use vocabulary::clock::Timestamp;

/// The version of a resource that was last changed then. In the store this time grows with every change.
fn tag(updated_at: Timestamp) -> String {
    format!("\"{:x}\"", updated_at.unix_ms())
}

/// `status` and `body`, with the version it has.
pub(super) fn tagged(status: StatusCode, updated_at: Timestamp, body: &impl Serialize) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    if let Ok(value) = HeaderValue::try_from(tag(updated_at)) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// 304: the caller has this version already.
pub(super) fn not_modified(updated_at: Timestamp) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    if let Ok(value) = HeaderValue::try_from(tag(updated_at)) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// The versions that a request names.
#[derive(Debug, Clone, Default)]
pub(super) struct Preconditions {
    if_match: Option<Vec<String>>,
    if_none_match: Option<Vec<String>>,
}

impl Preconditions {
    /// Whether `If-Match`, if there is one, names this version.
    ///
    /// # Errors
    /// 412 if it does not.
    pub(super) fn check(&self, updated_at: Timestamp) -> Result<()> {
        match &self.if_match {
            Some(wanted) if !names(wanted, updated_at) => Err(ErrorAnswer::precondition_failed()),
            _ => Ok(()),
        }
    }

    /// Whether the request names a version. If it does, a change in between is an error for the caller.
    pub(super) fn insists(&self) -> bool {
        self.if_match.is_some()
    }

    /// The resource as a change to the version that was read has left it. `None`: it was changed between
    /// reading and writing, so the request is to be applied to the new state.
    ///
    /// # Errors
    /// `unknown` if it was deleted meanwhile; 412 if it was changed and the request names a version.
    pub(super) fn settle<T>(
        &self,
        changed: Changed<T>,
        unknown: impl FnOnce() -> ErrorAnswer,
    ) -> Result<Option<T>> {
        match changed {
            Changed::Done(resource) => Ok(Some(resource)),
            Changed::Unknown => Err(unknown()),
            Changed::Stale if self.insists() => Err(ErrorAnswer::precondition_failed()),
            Changed::Stale => Ok(None),
        }
    }

    /// Whether the caller has this version already.
    pub(super) fn has(&self, updated_at: Timestamp) -> bool {
        self.if_none_match.as_ref().is_some_and(|known| names(known, updated_at))
    }
}

fn names(tags: &[String], updated_at: Timestamp) -> bool {
    let present = tag(updated_at);
    tags.iter().any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == present)
}

fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    Some(
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(|entry| entry.trim().to_owned())
            .collect(),
    )
}

impl<S: Send + Sync> FromRequestParts<S> for Preconditions {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> std::result::Result<Self, std::convert::Infallible> {
        Ok(Self {
            if_match: read(&parts.headers, &IF_MATCH),
            if_none_match: read(&parts.headers, &IF_NONE_MATCH),
        })
    }
}
