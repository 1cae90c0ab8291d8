//! The router as a whole, on a temporary store: one request in, one answer out.

mod access;
mod audit;
mod document;
mod events;
mod input;
mod stations;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::keys;
use outbound::destination::Guard;
use store::{Connected, KeySource, Opened};
use vocabulary::api::access::ApiKeyInput;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// A router on a store of its own, and keys to it.
struct Api {
    router: Router,
    store: Store,
    admin: String,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    /// The fields that a 422 names, sorted.
    fn wrong_fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut fields: Vec<&str> = errors.iter().filter_map(|error| error["field"].as_str()).collect();
        fields.sort_unstable();
        fields
    }

    fn message(&self, field: &str) -> &str {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().find(|error| error["field"] == field).and_then(|e| e["message"].as_str()).unwrap_or("")
    }

    fn etag(&self) -> String {
        self.headers["etag"].to_str().expect("visible").to_owned()
    }
}

impl Api {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let opened = Store::open_with(dir.path(), &KeySource::file_in(dir.path()), clock.clone());
        let Opened { store, vault, .. } = opened.expect("opens");
        let admin = key(&store, &["admin"], None).await;
        let state = ApiState {
            store: store.clone(),
            clock,
            monotonic: store.monotonic().clone(),
            poster: Poster::new(Guard::default(), None).expect("a poster"),
            passwords: Arc::new(Passwords::new(None, 10).expect("random")),
            stations: Arc::default(),
            call_outs: Arc::default(),
            refused: Arc::default(),
            lanes: watch::Sender::new(LaneViews::default()).subscribe(),
            power: Arc::default(),
            certificates: OwnCertificates::default(),
            overviews: Overviews::default(),
            started: store.monotonic().now(),
            readiness: Readiness::default(),
            settings: Settings::default(),
            browser_sessions: BrowserSessions::new(vault),
            limits: Arc::new(LimitsInForce::new(ApiLimits { streams: 8, ..ApiLimits::default() })),
            stop: CancellationToken::new(),
        };
        let stop = state.stop.clone();
        Self { router: router(Arc::new(state)), store, admin, stop, _dir: dir }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        // A stream has no end that could be waited for.
        let endless = parts.extensions.get::<serve::Endless>().is_some();
        let body = if endless { Body::empty() } else { body };
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn call(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_with(key, method, path, body, &[]).await
    }

    async fn call_with(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("x-api-key", key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("a request")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(&self.admin, Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(&self.admin, Method::POST, path, Some(body)).await
    }
}

async fn key(store: &Store, scopes: &[&str], owner: Option<&str>) -> String {
    let input = ApiKeyInput {
        name: "test".into(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        owner_id: owner.map(str::to_owned),
        expires_at: None,
    };
    keys::create(store, input).await.expect("made").key.expect("shown once")
}

/// A literal public address: nothing has to be resolved.
const URL: &str = "https://8.8.8.8/hook";
