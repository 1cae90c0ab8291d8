//! Health, readiness and the OpenAPI document, outside the base path and without key.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::Value;

use super::{ApiState, openapi};
use store::Disk;
use vocabulary::api::access::Health;
use vocabulary::units::ByteSize;

/// A store that takes longer to write and read one row is not ready: who asks does not wait for it.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Why the gateway cannot serve. Every part of it can report. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    reasons: Arc<Mutex<Vec<(&'static str, String)>>>,
}

impl Readiness {
    /// Reports that `subject` keeps the gateway from serving, for `reason`; `None`: no longer.
    pub fn report(&self, subject: &'static str, reason: Option<String>) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.retain(|(known, _)| *known != subject);
        reasons.extend(reason.map(|reason| (subject, reason)));
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.iter().map(|(subject, reason)| format!("{subject}: {reason}")).collect()
    }
}

fn health(status: &str, reasons: Vec<String>, disk: Option<Disk>) -> Json<Health> {
    Json(Health {
        status: status.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        reasons,
        free_bytes: disk.map(|disk| disk.free_bytes),
    })
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn healthz() -> Json<Health> {
    health("ok", Vec::new(), None)
}

/// Whether the gateway can serve
///
/// Writes to the store and reads from it; 503 with the reasons if it cannot, or not within 2 s. `reasons` of
/// a 200 are warnings: the database uses 80 % of `retention.max_database_size`, or fewer bytes are free on
/// the file system of the data directory (`free_bytes`) than `server.warn_free_space`.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = Health),
    (status = 503, body = Health, description = "It cannot serve; `reasons` says why"),
))]
pub(super) async fn readyz(State(state): State<Arc<ApiState>>) -> (StatusCode, Json<Health>) {
    let mut reasons = state.readiness.reasons();
    match tokio::time::timeout(STORE_PATIENCE, state.store.probe()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(format!("store: {error}")),
        Err(_) => reasons.push(match state.store.statistics().failing() {
            Some(failing) => format!("store: {}", failing.reason),
            None => format!("store: it has not answered for {} s", STORE_PATIENCE.as_secs()),
        }),
    }
    let disk = state.store.disk().await;
    match reasons.is_empty() {
        true => (StatusCode::OK, health("ok", warnings(&state, disk).await, disk)),
        false => (StatusCode::SERVICE_UNAVAILABLE, health("unavailable", reasons, disk)),
    }
}

async fn warnings(state: &ApiState, disk: Option<Disk>) -> Vec<String> {
    let mut warnings = Vec::new();
    let max_size = state.settings.retention.max_database_size;
    if let (Some(ByteSize(max_bytes)), Ok(space)) = (max_size, state.store.space().await) {
        let used_bytes = space.used_bytes();
        if is_nearly_full(used_bytes, max_bytes) {
            warnings.push(format!(
                "store: {used_bytes} of the {max_bytes} bytes of retention.max_database_size are used; beyond them the \
                 oldest events are removed before their time"
            ));
        }
    }
    let ByteSize(least_bytes) = state.settings.server.warn_free_space;
    if let Some(Disk { free_bytes, .. }) = disk.filter(|disk| disk.free_bytes < least_bytes) {
        warnings.push(format!(
            "disk: only {free_bytes} bytes are free where the data directory is, fewer than the {least_bytes} of \
             server.warn_free_space; once there are none, nothing is stored"
        ));
    }
    warnings
}

/// Whether four fifths are used, which is a warning.
pub(super) fn is_nearly_full(used_bytes: u64, max_bytes: u64) -> bool {
    used_bytes >= max_bytes / 5 * 4
}

/// The same while the gateway waits for its store: it cannot serve yet.
pub(super) async fn waiting(readiness: Readiness) -> (StatusCode, Json<Health>) {
    (StatusCode::SERVICE_UNAVAILABLE, health("unavailable", readiness.reasons(), None))
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses(
    (status = 200, content_type = "application/json", description = "The OpenAPI 3.1 document of this API"),
))]
pub(super) async fn openapi() -> Json<&'static Value> {
    Json(openapi::document())
}
