//! Signing in with an API key, and who has signed in. The same checks and limits as for keys in headers.

use std::net::IpAddr;
use std::time::Duration;

use super::ApiState;
use super::auth::{self, Caller};
use super::browser_session::BrowserSession;
use super::problem::ErrorAnswer;
use crate::keys;
use vocabulary::api::problem::Problem;
use vocabulary::id::ApiKeyId;
use vocabulary::ocpp::command::CommandAction;

/// The key that somebody has signed in with.
#[derive(Clone)]
pub struct Identity(Caller);

impl Identity {
    /// The id of the key.
    pub fn key_id(&self) -> ApiKeyId {
        self.0.key_id
    }

    /// The name of the key.
    pub fn key_name(&self) -> &str {
        &self.0.key_name
    }

    /// The only customer that it may see, if it is bound to one.
    pub fn owner_id(&self) -> Option<&str> {
        self.0.owner_id.as_deref()
    }

    /// Whether it has this scope (`read`, `write`, `command`, `admin`).
    pub fn may(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|given| given == "admin" || given == scope)
    }

    /// Whether it may send this command.
    pub fn may_send(&self, action: CommandAction) -> bool {
        self.0.may_send(action).is_ok()
    }
}

/// Begins a session with an API key: the value of its cookie.
///
/// # Errors
/// The problem that a request with this key would have: 401 for a key that is not valid, 429 after too many
/// of them.
pub async fn sign_in(state: &ApiState, key: &str, address: Option<IpAddr>) -> Result<String, Problem> {
    let hash = keys::hash(key.trim());
    auth::identify(state, hash, address).await.map_err(ErrorAnswer::into_problem)?;
    let hours = u64::from(state.settings.api.session_hours);
    let ends_at = state.clock.now().after(Duration::from_secs(hours * 3_600));
    let begun = state.browser_sessions.begin(hash, ends_at);
    begun.map(|(value, _)| value).map_err(|error| ErrorAnswer::from(error).into_problem())
}

/// Who has signed in.
///
/// # Errors
/// As [`sign_in`], if the key is valid no longer.
pub async fn identity(
    state: &ApiState,
    session: &BrowserSession,
    address: Option<IpAddr>,
) -> Result<Identity, Problem> {
    let caller = auth::identify(state, session.signed_in().key_hash(), address).await;
    caller.map(Identity).map_err(ErrorAnswer::into_problem)
}
