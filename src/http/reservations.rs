//! Reservations of stations.

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
use store::ReservationFilter;
use vocabulary::api::problem::FieldError;
use vocabulary::api::reservation::{Reservation, Status};
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;

const LIST: &str = "reservations";

/// How reservations are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReservationsQuery {
    /// The station of the reservation.
    #[param(min_length = 1, max_length = 64)]
    station_id: Option<String>,
    /// The customer the station belonged to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Its status.
    #[param(inline)]
    status: Option<Status>,
    /// Its `ReserveNow` ended then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// Its `ReserveNow` ended before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for ReservationsQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

/// List reservations
///
/// Each is listed once its `ReserveNow` has ended: `active` if the station accepted it, `rejected` if not,
/// `unknown` if it never answered. A transaction that names it makes it `used`, a `CancelReservation` that is
/// accepted `canceled`, and time `expired`. A `ReserveNow` with the same `reservationId` replaces it, unless
/// the station rejects that and keeps the one before.
#[utoipa::path(get, path = "/reservations", tag = "reservations", params(ReservationsQuery, Paging),
    responses((status = 200, body = Page<Reservation>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<ReservationsQuery, Paging>>,
) -> Result<Json<Page<Reservation>>> {
    let slice = paging.slice(LIST)?;
    let filter = ReservationFilter {
        station_id: query.station_id,
        owner_id: caller.owner_filter(query.owner_id)?,
        status: query.status,
        since: query.since,
        until: query.until,
    };
    let listed = state.store.reservations(filter, slice.clone(), state.clock.now()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |reservation| reservation)))
}
