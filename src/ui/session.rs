//! Somebody who has signed in: what every handler of a page gets first.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{Html, IntoResponse, Response};
use http::header::{LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, StatusCode};

use super::Dashboard;
use super::components::chip::Tone;
use super::components::layout::{self, Count, Frame, Message};
use super::failure::{Failure, sentence};
use super::flash;
use crate::client::{Client, ClientError};
use crate::http::serve::Peer;
use crate::http::{self as api, Identity};
use vocabulary::clock::Timestamp;

/// A signed-in browser. Its client calls the API with the key that was signed in with.
pub(super) struct Session {
    /// The API, as this key sees it.
    pub(super) client: Client,
    /// The key.
    pub(super) identity: Identity,
    /// When the request came.
    pub(super) now: Timestamp,
    token: String,
    message: Option<Message>,
    counts: Vec<Count>,
    dashboard: Arc<Dashboard>,
}

impl Session {
    /// The token that forms send along.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// What surrounds a page.
    pub(super) fn frame(&self) -> Frame {
        Frame {
            key_name: self.identity.key_name().to_owned(),
            owner_id: self.identity.owner_id().map(str::to_owned),
            is_admin: self.identity.may("admin"),
            token: self.token.clone(),
            message: self.message.clone(),
            counts: self.counts.clone(),
            now: self.now,
        }
    }

    /// Answers a form: leads to `path`, which shows what was done.
    pub(super) fn done(&self, path: &str, text: impl Into<String>) -> Response {
        self.lead(path, Message { tone: Tone::Ok, text: text.into() })
    }

    /// Answers a form whose call was made: leads to `path`, which shows what was done, or why it was not.
    ///
    /// # Errors
    /// If the key is valid no longer, or the gateway failed.
    pub(super) fn outcome<T>(
        &self,
        made: Result<T, ClientError>,
        path: &str,
        done: impl FnOnce(T) -> String,
    ) -> Result<Response, Failure> {
        match made {
            Ok(answer) => Ok(self.done(path, done(answer))),
            Err(ClientError::Refused(problem)) if problem.status != 401 => {
                let errors =
                    problem.errors.iter().map(|error| format!(" {}: {}.", error.field, error.message));
                let detail = problem.detail.as_deref().unwrap_or(&problem.title);
                let text = sentence(detail) + errors.collect::<String>().as_str();
                Ok(self.lead(path, Message { tone: Tone::Bad, text }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Answers a form whose call was made: leads to `path`, which shows what it has come to.
    pub(super) fn told(&self, path: &str, tone: Tone, text: impl Into<String>) -> Response {
        self.lead(path, Message { tone, text: text.into() })
    }

    fn lead(&self, path: &str, message: Message) -> Response {
        let mut response = (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response();
        let set = flash::set(&self.dashboard.state.browser_sessions, &message);
        if let Some(cookie) = set.and_then(|line| line.parse().ok()) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

impl FromRequestParts<Arc<Dashboard>> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, ui: &Arc<Dashboard>) -> Result<Self, Response> {
        let now = ui.state.clock.now();
        let Some(session) = ui.state.browser_sessions.of(&parts.headers, now) else {
            return Err(sign_in(parts));
        };
        let peer = parts.extensions.get::<Peer>().copied();
        let identity = match api::identity(&ui.state, &session, peer.map(|peer| peer.0)).await {
            Ok(identity) => identity,
            Err(problem) if problem.status == 401 => return Err(sign_in(parts)),
            Err(problem) => return Err(Failure::from(problem).into_response()),
        };
        let mut carried = Extensions::new();
        carried.insert(session.signed_in());
        peer.map(|peer| carried.insert(peer));
        let client = ui.client.carrying(carried);
        let counts = match parts.method {
            Method::GET => ui.counts.of(&identity, &client).await,
            // Most forms end in a redirect; a page with what is wrong in one does without.
            _ => Vec::new(),
        };
        Ok(Self {
            client,
            identity,
            now,
            token: session.form_token(),
            message: flash_of(ui, &parts.headers),
            counts,
            dashboard: ui.clone(),
        })
    }
}

/// A page that refetches itself leaves the message to the page that people see next.
fn flash_of(ui: &Dashboard, headers: &HeaderMap) -> Option<Message> {
    (!headers.contains_key("x-live")).then(|| flash::of(&ui.state.browser_sessions, headers)).flatten()
}

/// The way to the login, and back from there. A link on another site comes without the cookie: the page is
/// asked for once more from here.
fn sign_in(parts: &Parts) -> Response {
    let is_page = parts.method == Method::GET;
    let is_from_elsewhere = parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if is_page && is_from_elsewhere {
        return Html(layout::again().into_string()).into_response();
    }
    let asked = parts.uri.path_and_query().filter(|_| is_page).map(|path| path.as_str().to_owned());
    Failure::SignIn { next: asked.filter(|path| path != "/ui/") }.into_response()
}
