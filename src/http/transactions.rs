//! Transactions: charging sessions as the chargers reported them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::page;
use super::path::Id;
use super::problem::Result;
use super::query::{NoQuery, Query};
use crate::api::problem::Problem;
use crate::api::transaction::{Status, Transaction};
use crate::api::{Order, Page};
use crate::clock::Timestamp;
use crate::store::TransactionFilter;

/// How transactions are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TransactionsQuery {
    /// The station it runs on.
    #[param(min_length = 1, max_length = 64)]
    station_id: Option<String>,
    /// The customer it belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// The connector it runs on.
    #[param(minimum = 0)]
    connector_id: Option<i64>,
    /// Whether it is over.
    #[param(inline)]
    status: Option<Status>,
    /// Who started it; letter case does not matter.
    #[param(min_length = 1, max_length = 255)]
    id_tag: Option<String>,
    /// Only those of which some fact about the stop is not the charger's own, or none of them.
    inferred: Option<bool>,
    /// Its start arrived then or later.
    #[param(inline)]
    since: Option<Timestamp>,
    /// Its start arrived before that.
    #[param(inline)]
    until: Option<Timestamp>,
    /// It began then or later, by the charger's own clock.
    #[param(inline)]
    started_since: Option<Timestamp>,
    /// It began before that.
    #[param(inline)]
    started_until: Option<Timestamp>,
    /// It ended then or later, by the charger's own clock.
    #[param(inline)]
    stopped_since: Option<Timestamp>,
    /// It ended before that.
    #[param(inline)]
    stopped_until: Option<Timestamp>,
    /// Something about it changed then or later; with `order=asc` the list is sorted by that, for polling.
    #[param(inline)]
    updated_since: Option<Timestamp>,
    /// Which end of the list comes first.
    #[param(inline)]
    order: Option<Order>,
    /// How many rows at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List transactions
#[utoipa::path(get, path = "/transactions", tag = "transactions", params(TransactionsQuery),
    responses((status = 200, body = Page<Transaction>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(query): Query<TransactionsQuery>,
) -> Result<Json<Page<Transaction>>> {
    let filter = TransactionFilter {
        station_id: query.station_id,
        owner_id: caller.owner_filter(query.owner_id)?,
        connector_id: query.connector_id,
        status: query.status,
        id_tag: query.id_tag,
        inferred: query.inferred,
        since: query.since,
        until: query.until,
        started_since: query.started_since,
        started_until: query.started_until,
        stopped_since: query.stopped_since,
        stopped_until: query.stopped_until,
        updated_since: query.updated_since,
    };
    let list = match filter.sorts_by_update(query.order == Some(Order::Asc)) {
        true => "transactions-by-update",
        false => "transactions",
    };
    let slice = page::slice(list, query.cursor.as_deref(), query.order, query.limit)?;
    let listed = state.store.transactions(filter, slice.clone()).await?;
    Ok(Json(page::page(list, &slice, listed, |transaction| transaction)))
}

/// Get a transaction
#[utoipa::path(get, path = "/transactions/{id}", tag = "transactions",
    params(("id" = i64, Path, description = "The number that OCPP knows it by")),
    responses((status = 200, body = Transaction)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Transaction>> {
    let found = match id.parse() {
        Ok(number) => state.store.transaction(number).await?,
        Err(_) => None,
    };
    found
        .filter(|transaction| caller.sees(transaction.owner_id.as_deref()))
        .map(Json)
        .ok_or_else(|| Problem::not_found(format_args!("transaction {id}")))
}
