//! The connectors of all stations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::page::{self, Paging};
use super::problem::Result;
use super::query::{And, Parameters, Query};
use store::ConnectorFilter;
use vocabulary::api::problem::FieldError;
use vocabulary::api::station::Connector;
use vocabulary::api::{Order, Page};
use vocabulary::ocpp::{CONNECTOR_STATUSES, ERROR_CODES};

const LIST: &str = "connectors";

/// Statuses that may be asked for at once.
const STATUSES_MAX: usize = 32;

/// How connectors are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectorsQuery {
    /// Its status as the charger spells it, or several with commas between them: `Faulted,Unavailable`.
    #[param(min_length = 1, max_length = 500)]
    status: Option<String>,
    /// Its error code, such as `GroundFailure`.
    #[param(min_length = 1, max_length = 200)]
    error_code: Option<String>,
    /// Its station.
    #[param(min_length = 1, max_length = 64)]
    station_id: Option<String>,
    /// The place where its station stands.
    #[param(min_length = 1, max_length = 200)]
    site: Option<String>,
    /// The customer its station belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Whether its station has a live connection.
    connected: Option<bool>,
}

impl Parameters for ConnectorsQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(LIST, Order::Desc, given, errors);
        let statuses = given["status"].as_str().map(|text| text.split(','));
        if statuses.clone().is_some_and(|mut statuses| statuses.any(|status| status.trim().is_empty())) {
            errors.push(FieldError::new("status", "must be statuses with commas between them"));
        }
        if statuses.clone().is_some_and(|statuses| statuses.count() > STATUSES_MAX) {
            errors.push(FieldError::new("status", format!("must be at most {STATUSES_MAX} statuses")));
        }
        let statuses = statuses.into_iter().flatten().map(str::trim).filter(|status| !status.is_empty());
        one_of("status", CONNECTOR_STATUSES, statuses, errors);
        one_of("error_code", ERROR_CODES, given["error_code"].as_str(), errors);
    }
}

/// Refuses words that OCPP does not have: no connector would ever be found by them.
fn one_of<'a>(
    field: &str,
    legal: &[&str],
    given: impl IntoIterator<Item = &'a str>,
    errors: &mut Vec<FieldError>,
) {
    if given.into_iter().any(|word| !legal.contains(&word)) {
        errors.push(FieldError::new(field, format!("must be one of {}", legal.join(", "))));
    }
}

/// List the connectors of all stations
///
/// In the order in which their stations became known, and of each station by number: the newest station and
/// the highest number come first. Number 0 is a station as a whole.
#[utoipa::path(get, path = "/connectors", tag = "connectors", params(ConnectorsQuery, Paging),
    responses((status = 200, body = Page<Connector>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<ConnectorsQuery, Paging>>,
) -> Result<Json<Page<Connector>>> {
    let slice = paging.slice(LIST)?;
    let statuses = query.status.iter().flat_map(|text| text.split(','));
    let filter = ConnectorFilter {
        statuses: statuses.map(|status| status.trim().to_owned()).collect(),
        error_code: query.error_code,
        station_id: query.station_id,
        site: query.site,
        owner_id: caller.owner_filter(query.owner_id)?,
        connected: query.connected,
    };
    let listed = state.store.all_connectors(filter, caller.owner_id.clone(), slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |connector| connector)))
}
