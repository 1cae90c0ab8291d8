//! Everything at a glance.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::problem::Result;
use super::query::{Parameters, Query};
use crate::delivery::breaker::State as Breaker;
use store::{GatewayFacts, LaneFact, OverviewQuestion, attention};
use tls::{Authority, Tls};
use vocabulary::api::overview::{Overview, SessionFigures, StorageFigures};
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;
use vocabulary::zone::Zone;

/// An answer is given again for so long, and for so many times as long as it took to make: however large the
/// database, and however many look, most of the time it is left alone.
const KEPT: Duration = Duration::from_secs(1);
const KEPT_FACTOR: u32 = 20;

/// Answers that are kept before those are looked for that nobody asks for any more.
const KEPT_MAX: usize = 64;

/// The certificates of the gateway's that may expire.
#[derive(Default)]
pub struct OwnCertificates {
    /// Of the listener for stations.
    pub stations: Option<Arc<Tls>>,
    /// Of the API.
    pub api: Option<Arc<Tls>>,
    /// Of the authority that signs the stations' own.
    pub authority: Option<Arc<Authority>>,
}

impl OwnCertificates {
    fn ends(&self) -> Vec<(&'static str, Timestamp)> {
        let ends = [
            ("the OCPP listener", self.stations.as_ref().and_then(|tls| tls.expires_at())),
            ("the API", self.api.as_ref().and_then(|tls| tls.expires_at())),
            ("the stations' authority", self.authority.as_ref().and_then(|authority| authority.expires_at())),
        ];
        ends.into_iter().filter_map(|(name, end)| Some((name, end?))).collect()
    }
}

/// Whose numbers, and when today began.
type Asked = (Option<String>, Timestamp);

struct Kept {
    until: Instant,
    overview: Arc<Overview>,
}

/// The answers of the last moments. Who asks while one is made waits for it.
#[derive(Default)]
pub struct Overviews {
    kept: Mutex<HashMap<Asked, Arc<tokio::sync::Mutex<Option<Kept>>>>>,
}

impl Overviews {
    fn place(&self, asked: &Asked) -> Arc<tokio::sync::Mutex<Option<Kept>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX && !kept.contains_key(asked) {
            let now = Instant::now();
            kept.retain(|_, place| {
                place.try_lock().map_or(true, |kept| kept.as_ref().is_some_and(|kept| kept.until > now))
            });
        }
        kept.entry(asked.clone()).or_default().clone()
    }
}

/// What is asked of an overview.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OverviewQuery {
    /// Only the numbers of this customer.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Where today began at midnight, as an IANA name such as `Europe/Berlin`; without it, in UTC.
    #[param(max_length = 100)]
    time_zone: Option<String>,
}

impl Parameters for OverviewQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        if let Some(Err(unknown)) = given["time_zone"].as_str().map(str::parse::<Zone>)
            && !errors.iter().any(|error| error.field == "time_zone")
        {
            errors.push(FieldError::new("time_zone", unknown.to_string()));
        }
    }
}

/// Get everything at a glance
///
/// Counts of what there is, and what a person should see to. It takes some milliseconds, however large the
/// database, and is counted anew at most once a second. A key that is bound to an owner gets the numbers of
/// its own stations, sessions, webhooks and deliveries; of the gateway itself it is told nothing.
#[utoipa::path(get, path = "/overview", tag = "overview", params(OverviewQuery),
    responses((status = 200, body = Overview)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(query): Query<OverviewQuery>,
) -> Result<Json<Arc<Overview>>> {
    let owner_id = caller.owner_filter(query.owner_id)?;
    // What cannot be read was refused before.
    let zone = query.time_zone.and_then(|name| name.parse().ok());
    overview(&state, owner_id, zone).await.map(Json)
}

/// The overview of all there is, or of one customer's.
pub(super) async fn overview(
    state: &ApiState,
    owner_id: Option<String>,
    zone: Option<Zone>,
) -> Result<Arc<Overview>> {
    let today_began_at = zone.unwrap_or(Zone::UTC).day_began_at(state.clock.now());
    let asked = (owner_id, today_began_at);
    let place = state.overviews.place(&asked);
    let mut kept = place.lock().await;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.until > Instant::now()) {
        return Ok(kept.overview.clone());
    }
    let began = Instant::now();
    let overview = Arc::new(count(state, asked).await?);
    let until = Instant::now() + KEPT.max(began.elapsed() * KEPT_FACTOR);
    *kept = Some(Kept { until, overview: overview.clone() });
    Ok(overview)
}

async fn count(state: &ApiState, (owner_id, today_began_at): Asked) -> Result<Overview> {
    let now = state.clock.now();
    let question = OverviewQuestion {
        owner_id: owner_id.clone(),
        now,
        started_at: state.monotonic.to_wall(state.started),
        today_began_at,
        lanes: lanes(state),
    };
    let glance = state.store.overview(question).await?;
    let (storage, gateway) = match &owner_id {
        None => of_gateway(state).await,
        Some(_) => (StorageFigures::default(), None),
    };
    let power_last_hour = state.power.of(owner_id.as_deref());
    Ok(Overview {
        at: now,
        stations: glance.stations,
        connectors: glance.connectors,
        sessions: SessionFigures { power_last_hour, ..glance.sessions },
        deliveries: glance.deliveries,
        webhooks: glance.webhooks,
        storage,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: state.monotonic.now().since(state.started).as_secs(),
        attention: attention(&glance.facts, gateway.as_ref()),
    })
}

/// The webhooks that the delivery engine knows something of.
fn lanes(state: &ApiState) -> BTreeMap<WebhookId, LaneFact> {
    let disable_after_ms = state.settings.disable_after.0.as_millis() as u64;
    let views = state.lanes.borrow();
    let facts = views.iter().filter_map(|(id, lane)| {
        let open_since = match lane.breaker {
            Breaker::Open { since, .. } => Some(state.monotonic.to_wall(since)),
            Breaker::Closed | Breaker::Ramp { .. } => None,
        };
        let is_well = open_since.is_none() && !lane.out_of_order;
        (!is_well).then_some((*id, LaneFact { open_since, unreadable: lane.out_of_order, disable_after_ms }))
    });
    facts.collect()
}

/// What is known of the gateway itself.
async fn of_gateway(state: &ApiState) -> (StorageFigures, Option<GatewayFacts>) {
    let (disk, space) = tokio::join!(state.store.disk(), state.store.space());
    let used_bytes = space.ok().map(|space| space.used_bytes());
    let free_bytes = disk.map(|disk| disk.free_bytes);
    let max_bytes = state.settings.retention.max_database_size.map(|size| size.0);
    let facts = GatewayFacts {
        not_writing: state.store.statistics().failing().map(|failing| (failing.since, failing.reason)),
        not_ready: state.readiness.reasons(),
        disk: free_bytes.map(|free| (free, state.settings.server.warn_free_space.0)),
        database: used_bytes.zip(max_bytes),
        certificates: state.certificates.ends(),
    };
    (StorageFigures { used_bytes, free_bytes }, Some(facts))
}
