//! Authentication and authorisation of API calls, in one place, before any handler runs.
//!
//! An operation needs the scope that its OpenAPI entry names, so each has both.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Method};

use super::browser_session::SignedIn;
use super::problem::{ErrorAnswer, Result};
use super::scope::RequiredScope;
use super::serve::Peer;
use super::{ApiState, openapi};
use crate::keys;
use store::KeyFacts;
use vocabulary::api::command::RequestedBy;
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;
use vocabulary::id::ApiKeyId;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::subscription::glob_fits;

/// The prefix of scopes for single commands.
const COMMAND_OF: &str = "command:";

/// The API key of a request. Not `Debug`: a key that somebody has chosen can be guessed from its hash.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) key_id: ApiKeyId,
    pub(super) key_name: String,
    pub(super) scopes: Vec<String>,
    /// The only customer that it may see, if it is bound to one.
    pub(super) owner_id: Option<String>,
    /// The hash by which the store knows it.
    hash: [u8; 32],
}

impl Caller {
    /// Whether its scopes include the required one. A scope `command:PATTERN` is for single commands only.
    fn may(&self, required: RequiredScope) -> bool {
        self.scopes.iter().any(|scope| match required {
            RequiredScope::SomeCommand => {
                matches!(scope.as_str(), "admin" | "command") || scope.starts_with(COMMAND_OF)
            }
            _ => scope == "admin" || scope == required.name(),
        })
    }

    /// Checks whether it may send this command. This is the only check that needs the body, because a scope
    /// can name actions.
    ///
    /// # Errors
    /// 403 if it may not.
    pub(super) fn may_send(&self, action: CommandAction) -> Result<()> {
        let may = self.scopes.iter().any(|scope| match scope.strip_prefix(COMMAND_OF) {
            Some(pattern) => glob_fits(pattern.as_bytes(), action.as_str().as_bytes()),
            None => matches!(scope.as_str(), "admin" | "command"),
        });
        let need = || format!("this call needs the scope \"command\" or \"command:{action}\"");
        may.then_some(()).ok_or_else(|| ErrorAnswer::forbidden(need()))
    }

    /// The key as commands and replays show it.
    pub(super) fn requested_by(&self) -> RequestedBy {
        RequestedBy { id: self.key_id, name: self.key_name.clone() }
    }

    /// Whether the caller may see resources of `owner`.
    pub(super) fn sees(&self, owner: Option<&str>) -> bool {
        self.owner_id.is_none() || self.owner_id.as_deref() == owner
    }

    /// Checks whether it may see what is of the whole installation, and of no owner.
    ///
    /// # Errors
    /// 403 if it is bound to an owner.
    pub(super) fn may_see_installation(&self) -> Result<()> {
        let refused = || {
            ErrorAnswer::forbidden(
                "this API key is bound to an owner, and may not read what is of the whole installation",
            )
        };
        self.owner_id.is_none().then_some(()).ok_or_else(refused)
    }

    /// The owner of a resource that it creates.
    ///
    /// # Errors
    /// 403 if a bound key names another owner.
    pub(super) fn owner_for(&self, named: Option<String>) -> Result<Option<String>> {
        self.owner_of_row(named).map_err(|error| ErrorAnswer::forbidden(error.message))
    }

    /// The same for one row of an import.
    ///
    /// # Errors
    /// What is wrong with the row if a bound key names another owner in it.
    pub(super) fn owner_of_row(
        &self,
        named: Option<String>,
    ) -> std::result::Result<Option<String>, FieldError> {
        match (&self.owner_id, named) {
            (Some(bound), Some(named)) if *bound != named => Err(FieldError::new(
                "owner_id",
                "this API key is bound to an owner, and may not name another one as owner_id",
            )),
            (Some(bound), _) => Ok(Some(bound.clone())),
            (None, named) => Ok(named),
        }
    }

    /// The owner by which a list is filtered.
    ///
    /// # Errors
    /// 403 if a bound key names another owner.
    pub(super) fn owner_filter(&self, named: Option<String>) -> Result<Option<String>> {
        self.owner_for(named)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ErrorAnswer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        // `authenticate` sets it on everything under the base path; without it the call is refused.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ErrorAnswer::unauthorized("no API key was given"))
    }
}

/// The key of a request, from either header.
fn presented(headers: &HeaderMap) -> Result<&str> {
    let given = match (headers.get("x-api-key"), headers.get(AUTHORIZATION)) {
        (Some(key), _) => std::str::from_utf8(key.as_bytes()).ok(),
        (None, Some(value)) => std::str::from_utf8(value.as_bytes()).ok().and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key)
        }),
        (None, None) => {
            return Err(ErrorAnswer::unauthorized(
                "no API key was given: send it as X-API-Key, or as Authorization: Bearer",
            ));
        }
    };
    given.map(str::trim).filter(|key| !key.is_empty()).ok_or_else(|| {
        ErrorAnswer::unauthorized(
            "the API key cannot be read: send it as X-API-Key, or as Authorization: Bearer",
        )
    })
}

/// The hash of a request's key: of one that its headers bring, or of one that somebody has signed in with. A
/// cookie alone changes nothing, so that no other site can have a browser make a change.
fn presented_hash(state: &ApiState, request: &Request) -> Result<[u8; 32]> {
    if let Some(signed_in) = request.extensions().get::<SignedIn>() {
        return Ok(signed_in.key_hash());
    }
    let headers = request.headers();
    let has_key = headers.contains_key("x-api-key") || headers.contains_key(AUTHORIZATION);
    if !has_key
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && let Some(session) = state.browser_sessions.of(headers, state.clock.now())
    {
        return Ok(session.signed_in().key_hash());
    }
    presented(headers).map(keys::hash)
}

/// The key is looked up on every request, so that a key which another process creates or revokes counts at
/// once. It is not looked up for an address that has just tried too many bad keys.
pub(super) async fn identify(state: &ApiState, hash: [u8; 32], address: Option<IpAddr>) -> Result<Caller> {
    let now = state.clock.now();
    if !state.limits.requests.may_present(&hash, address, now) {
        return Err(ErrorAnswer::too_many_bad_keys());
    }
    let bad = |words| {
        state.limits.requests.was_bad(&hash, address, now);
        ErrorAnswer::unauthorized(words)
    };
    let known = state.store.api_key(hash).await?;
    let KeyFacts { id, name, scopes, owner_id, expires_at, last_used_at } =
        known.ok_or_else(|| bad("this API key is not known, or was revoked"))?;
    if expires_at.is_some_and(|end| end <= now) {
        return Err(bad("this API key has expired"));
    }
    if !state.limits.requests.admit(&hash, now) {
        return Err(ErrorAnswer::too_many_requests());
    }
    note_use(state, id, last_used_at, now);
    Ok(Caller { key_id: id, key_name: name, scopes, owner_id, hash })
}

/// Whether the key is still valid, for calls that never end.
pub(super) async fn still_good(state: &ApiState, caller: &Caller) -> bool {
    match state.store.api_key(caller.hash).await {
        Ok(Some(known)) => known.expires_at.is_none_or(|end| end > state.clock.now()),
        // If the store fails, the call is refused.
        Ok(None) | Err(_) => false,
    }
}

/// `last_used_at` is exact to the minute: a write per request would cost more than the request.
fn note_use(state: &ApiState, id: ApiKeyId, last_used_at: Option<Timestamp>, now: Timestamp) {
    if last_used_at.is_some_and(|used| now.since(used) < store::KEY_USE_STEP) {
        return;
    }
    let store = state.store.clone();
    tokio::spawn(async move {
        if let Err(error) = store.note_key_use(id).await {
            tracing::debug!(%error, "the use of an API key was not noted");
        }
    });
}

/// Passes a request under the base path if its key has the scope of the operation.
///
/// A request to an unknown path or method passes too, and gets its 404 or 405, but only with a valid key:
/// without one nothing is revealed.
pub(super) async fn authenticate(
    State(state): State<Arc<ApiState>>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !path.strip_prefix(super::BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return next.run(request).await;
    }
    let address = request.extensions().get::<Peer>().map(|peer| peer.0);
    let presented = presented_hash(&state, &request);
    let identified = match presented {
        Ok(hash) => identify(&state, hash, address).await,
        Err(problem) => Err(problem),
    };
    let caller = match identified {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let required = matched.and_then(|path| openapi::required_scope(request.method(), path.as_str()));
    if let Some(required) = required.filter(|required| !caller.may(*required)) {
        let scope = required.name();
        return ErrorAnswer::forbidden(format!(
            "this call needs the scope {scope:?}, which this API key does not have"
        ))
        .into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}
