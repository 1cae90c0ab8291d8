//! Transactions: charging sessions as the chargers reported them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::body::Optional;
use super::page::{self, Paging};
use super::path::Id;
use super::problem::{self, ErrorAnswer, Result};
use super::query::{And, NoQuery, Parameters, Query};
use store::{
    Closed, ManualStop, MeterValueFilter, Missing, SUMMARY_ROWS_MAX, Summary, SummaryQuestion,
    TransactionFilter,
};
use vocabulary::api::problem::FieldError;
use vocabulary::api::text::Bound;
use vocabulary::api::transaction::{
    CloseInput, EnergyQuality, Grouping, MeterValue, Status, Transaction, TransactionSummaries,
};
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::units::Span;
use vocabulary::words::listed;
use vocabulary::zone::Zone;

/// How far in the future the end of a session may be: a charger's clock may be ahead.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Which transactions are listed, or summed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TransactionsQuery {
    /// The station it runs on.
    #[param(min_length = 1, max_length = 64)]
    station_id: Option<String>,
    /// The customer it belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Where its station stands.
    #[param(min_length = 1, max_length = 200)]
    site: Option<String>,
    /// The connector it runs on.
    #[param(minimum = 0)]
    connector_id: Option<i64>,
    /// Its status.
    #[param(inline)]
    status: Option<Status>,
    /// The id tag that started it, in any letter case.
    #[param(min_length = 1, max_length = 255)]
    id_tag: Option<String>,
    /// Only transactions whose stop is inferred in some part, or none of them.
    inferred: Option<bool>,
    /// Only transactions that another start followed on their connector before their own stop came, or none
    /// of them.
    orphaned: Option<bool>,
    /// How far its energy can be relied on.
    #[param(inline)]
    energy_quality: Option<EnergyQuality>,
    /// It has charged at least so much, in Wh: by `energy_wh`, else by the estimate or the energy so far.
    #[param(minimum = 0)]
    min_energy_wh: Option<i64>,
    /// It took at least so long, or has been under way for so long.
    #[param(inline)]
    min_duration: Option<Span>,
    /// It started then or later, by the charger's own clock.
    #[param(inline, value_type = Option<Bound>)]
    started_since: Option<Timestamp>,
    /// It started before that.
    #[param(inline, value_type = Option<Bound>)]
    started_until: Option<Timestamp>,
    /// It ended then or later, by the charger's own clock.
    #[param(inline, value_type = Option<Bound>)]
    stopped_since: Option<Timestamp>,
    /// It ended before that.
    #[param(inline, value_type = Option<Bound>)]
    stopped_until: Option<Timestamp>,
    /// It was changed then or later; with `order=asc` a list is sorted by that, for polling.
    ///
    /// A changed row moves behind every cursor and behind the last `updated_at` of a page, so that nothing is
    /// missed: continue with `next_cursor`, and at the end with that `updated_at`.
    #[param(inline, value_type = Option<Bound>)]
    updated_since: Option<Timestamp>,
}

impl Parameters for TransactionsQuery {}

impl TransactionsQuery {
    /// Those that `caller` may see.
    ///
    /// # Errors
    /// A 403 if another owner is named.
    fn filter(self, caller: &Caller) -> Result<TransactionFilter> {
        Ok(TransactionFilter {
            station_id: self.station_id,
            owner_id: caller.owner_filter(self.owner_id)?,
            connector_id: self.connector_id,
            status: self.status,
            id_tag: self.id_tag,
            inferred: self.inferred,
            orphaned: self.orphaned,
            energy_quality: self.energy_quality,
            min_energy_wh: self.min_energy_wh,
            min_duration: self.min_duration.map(|span| span.0),
            site: self.site,
            since: None,
            until: None,
            started_since: self.started_since,
            started_until: self.started_until,
            stopped_since: self.stopped_since,
            stopped_until: self.stopped_until,
            updated_since: self.updated_since,
        })
    }
}

/// When the starts of the listed transactions arrived.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ArrivedQuery {
    /// Its start arrived then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// Its start arrived before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for ArrivedQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        let by_update = given["order"] == "asc" && !given["updated_since"].is_null();
        page::wrong_cursor(list_sorted(by_update), Order::Desc, given, errors);
    }
}

/// The list as cursors name it.
fn list_sorted(by_update: bool) -> &'static str {
    if by_update { "transactions-by-update" } else { "transactions" }
}

/// List transactions
#[utoipa::path(get, path = "/transactions", tag = "transactions", params(TransactionsQuery, ArrivedQuery, Paging),
    responses((status = 200, body = Page<Transaction>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, And(arrived, paging))): Query<And<TransactionsQuery, And<ArrivedQuery, Paging>>>,
) -> Result<Json<Page<Transaction>>> {
    let ArrivedQuery { since, until } = arrived;
    let filter = TransactionFilter { since, until, ..query.filter(&caller)? };
    let list = list_sorted(filter.sorts_by_update(paging.order == Some(Order::Asc)));
    let slice = paging.slice(list)?;
    let listed = state.store.transactions(filter, slice.clone()).await?;
    Ok(Json(page::page(list, &slice, listed, |transaction| transaction)))
}

/// How transactions are summed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SummaryQuery {
    /// What a row is about: one or more of `owner`, `station`, `site`, `day`, `month` and `energy_quality`,
    /// with commas between them.
    #[param(value_type = String, required = true, min_length = 1, max_length = 100, example = "owner,month")]
    group_by: Option<String>,
    /// They ended then or later, by the charger's own clock.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// They ended before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
    /// The IANA name of the time zone in which days and months begin; UTC without it.
    #[param(min_length = 1, max_length = 64, example = "Europe/Berlin")]
    time_zone: Option<String>,
}

impl Parameters for SummaryQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        if let Err(message) = groupings(given["group_by"].as_str()) {
            errors.push(FieldError::new("group_by", message));
        }
        if let Some(Err(unknown)) = given["time_zone"].as_str().map(str::parse::<Zone>) {
            errors.push(FieldError::new("time_zone", unknown.to_string()));
        }
    }
}

/// What is grouped by.
///
/// # Errors
/// What is wrong with the text.
fn groupings(text: Option<&str>) -> std::result::Result<Vec<Grouping>, String> {
    let known = listed(Grouping::WORDS).replace(" or ", " and ");
    let Some(text) = text else { return Err(format!("is missing: one or more of {known}")) };
    let mut groupings = Vec::new();
    for word in text.split(',').map(str::trim) {
        let grouping: Grouping =
            word.parse().map_err(|_| format!("{word:?} is none of {known}, with commas between them"))?;
        if groupings.contains(&grouping) {
            return Err(format!("names {word} twice"));
        }
        groupings.push(grouping);
    }
    Ok(groupings)
}

/// Sum transactions
///
/// What sessions come to that have ended, with a row per group. `energy_wh` sums the sessions whose energy is
/// `metered` alone, `estimated_wh` those where it is `estimated`. Sessions without a stop are left out. More
/// than 20,000 rows are a 422.
#[utoipa::path(get, path = "/transactions/summary", tag = "transactions",
    params(SummaryQuery, TransactionsQuery),
    responses((status = 200, body = TransactionSummaries)), security(("api_key" = ["read"])))]
pub(super) async fn summary(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(summed, query)): Query<And<SummaryQuery, TransactionsQuery>>,
) -> Result<Json<TransactionSummaries>> {
    let by = groupings(summed.group_by.as_deref())
        .map_err(|message| ErrorAnswer::invalid_field("group_by", message))?;
    let zone = summed.time_zone.as_deref().and_then(|name| name.parse().ok()).unwrap_or(Zone::UTC);
    let filter = query.filter(&caller)?;
    // Both pairs say when they ended.
    let filter = TransactionFilter {
        stopped_since: filter.stopped_since.max(summed.since),
        stopped_until: [filter.stopped_until, summed.until].into_iter().flatten().min(),
        ..filter
    };
    match state.store.transaction_summary(SummaryQuestion { filter, by, zone }).await? {
        Summary::Rows(data) => Ok(Json(TransactionSummaries { data })),
        Summary::TooMany => Err(ErrorAnswer::invalid_field(
            "group_by",
            format!("gives more than {SUMMARY_ROWS_MAX} rows: ask for a shorter time, or group by less"),
        )),
    }
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
    visible(&state, &caller, &id).await.map(Json)
}

/// The transaction, if there is one that the caller may see.
pub(super) async fn visible(state: &ApiState, caller: &Caller, id: &str) -> Result<Transaction> {
    let known = id.parse().ok();
    let found = match known {
        Some(number) => state.store.transaction(number).await?,
        None => None,
    };
    match found.filter(|transaction| caller.sees(transaction.owner_id.as_deref())) {
        Some(transaction) => Ok(transaction),
        None => {
            let what = format!("transaction {id}");
            Err(problem::missing(&state.store, &what, known.map(Missing::Transaction)).await)
        }
    }
}

fn unknown(id: &str) -> ErrorAnswer {
    ErrorAnswer::not_found(format_args!("transaction {id}"))
}

/// How a transaction's meter values are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MeterValuesQuery {
    /// The measurand, such as `Energy.Active.Import.Register`.
    #[param(min_length = 1, max_length = 100)]
    measurand: Option<String>,
    /// The context, such as `Sample.Periodic` or `Transaction.End`.
    #[param(min_length = 1, max_length = 100)]
    context: Option<String>,
    /// The phase, or the pair of phases, such as `L1`.
    #[param(min_length = 1, max_length = 100)]
    phase: Option<String>,
    /// The location, such as `Outlet`.
    #[param(min_length = 1, max_length = 100)]
    location: Option<String>,
    /// `Raw` or `SignedData`.
    #[param(min_length = 1, max_length = 100)]
    format: Option<String>,
    /// It arrived then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// It arrived before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
    /// Which end of the session comes first; its beginning by default.
    #[param(inline)]
    order: Option<Order>,
    /// How many rows at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
}

impl Parameters for MeterValuesQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor("meter-values ", Order::Asc, given, errors);
    }
}

/// List a transaction's meter values
///
/// By the charger's time; values without a time are placed where they arrived. Values that are equal in time
/// and content are listed once, whether they came with `MeterValues` or with the `transactionData` of a stop,
/// also after the end of the session.
#[utoipa::path(get, path = "/transactions/{id}/meter-values", tag = "transactions",
    params(("id" = i64, Path, description = "The number that OCPP knows it by"), MeterValuesQuery),
    responses((status = 200, body = Page<MeterValue>)), security(("api_key" = ["read"])))]
pub(super) async fn meter_values(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<MeterValuesQuery>,
) -> Result<Json<Page<MeterValue>>> {
    let transaction = visible(&state, &caller, &id).await?;
    let filter = MeterValueFilter {
        measurand: query.measurand,
        context: query.context,
        phase: query.phase,
        location: query.location,
        format: query.format,
        since: query.since,
        until: query.until,
    };
    let list = format!("meter-values {}", transaction.transaction_id);
    let order = query.order.unwrap_or(Order::Asc);
    let slice = page::slice(&list, query.cursor.as_deref(), Some(order), query.limit)?;
    let listed = state.store.meter_values(transaction.transaction_id, filter, slice.clone()).await?;
    Ok(Json(page::page(&list, &slice, listed, |value| value)))
}

/// Close a transaction
///
/// Closes a transaction whose stop never came: it becomes `completed` and `inferred`, and
/// `TransactionCompleted` is sent. If the charger's own stop comes later, it replaces these values, with a
/// `TransactionCorrected`. The charger gets no message; `RemoteStopTransaction` ends a session that is still
/// running. 409 if it is completed.
#[utoipa::path(post, path = "/transactions/{id}/close", tag = "transactions",
    params(("id" = i64, Path, description = "The number that OCPP knows it by")),
    request_body = CloseInput,
    responses((status = 200, body = Transaction)), security(("api_key" = ["write"])))]
pub(super) async fn close(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    Optional(input): Optional<CloseInput>,
) -> Result<Json<Transaction>> {
    let transaction = visible(&state, &caller, &id).await?;
    if transaction.status == Status::Completed {
        return Err(completed(&id));
    }
    if let Some(stopped_at) = input.stopped_at {
        if transaction.started_at.is_some_and(|started_at| stopped_at < started_at) {
            return Err(ErrorAnswer::invalid_field("stopped_at", "is before the start of the session"));
        }
        if stopped_at > state.clock.now().after(AHEAD_MAX) {
            return Err(ErrorAnswer::invalid_field("stopped_at", "is more than a day ahead"));
        }
    }
    let closing =
        ManualStop { stopped_at: input.stopped_at, meter_stop_wh: input.meter_stop, reason: input.reason };
    match state.store.close_transaction(transaction.transaction_id, closing).await? {
        Closed::Done(transaction) => Ok(Json(*transaction)),
        Closed::Completed => Err(completed(&id)),
        Closed::Unknown => Err(unknown(&id)),
    }
}

fn completed(id: &str) -> ErrorAnswer {
    ErrorAnswer::conflict(format!("transaction {id} is completed"))
}
