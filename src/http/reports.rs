//! Reports over the past.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::problem::{ErrorAnswer, Result};
use super::query::{Parameters, Query};
use store::{Uptime, UptimeFilter, UptimeQuestion};
use vocabulary::api::problem::FieldError;
use vocabulary::api::report::{UptimeGrouping, UptimeReport, UptimeRule};
use vocabulary::api::text::Bound;
use vocabulary::clock::Timestamp;
use vocabulary::month::Month;
use vocabulary::zone::Zone;

/// Whose uptime is reported, when, and how it is counted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UptimeQuery {
    /// A month, such as `2026-11`. One that is not over ends now. Without it and without `since`: the month
    /// that it is now.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}$", example = "2026-11")]
    month: Option<String>,
    /// In place of a month: from then on.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// With `since`: until then; without it until now.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
    /// The IANA name of the time zone in which months and years begin; UTC without it.
    #[param(min_length = 1, max_length = 64, example = "Europe/London")]
    time_zone: Option<String>,
    /// What a row is about; one connector without it.
    #[param(inline)]
    group_by: Option<UptimeGrouping>,
    /// How time is counted; `plain` without it.
    #[param(inline)]
    rule: Option<UptimeRule>,
    /// Only so many rows: those with the lowest uptime, the lowest first.
    #[param(minimum = 1, maximum = 10_000)]
    worst: Option<u32>,
    /// One station.
    #[param(min_length = 1, max_length = 64)]
    station_id: Option<String>,
    /// Stations that stand there.
    #[param(min_length = 1, max_length = 200)]
    site: Option<String>,
    /// Stations that belong to this customer.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
}

impl Parameters for UptimeQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        let text = |name: &str| given[name].as_str();
        let moment = |name: &str| text(name).and_then(|text| text.parse::<Timestamp>().ok());
        if let Some(Err(wrong)) = text("month").map(str::parse::<Month>) {
            errors.push(FieldError::new("month", wrong.to_string()));
        }
        if let Some(Err(unknown)) = text("time_zone").map(str::parse::<Zone>) {
            errors.push(FieldError::new("time_zone", unknown.to_string()));
        }
        for bound in ["since", "until"] {
            if text("month").is_some() && text(bound).is_some() {
                errors.push(FieldError::new(bound, "may not be given with month"));
            }
        }
        if text("month").is_none() && text("until").is_some() && text("since").is_none() {
            errors.push(FieldError::new("since", "must be given with until"));
        }
        if moment("since").zip(moment("until")).is_some_and(|(since, until)| since >= until) {
            errors.push(FieldError::new("until", "must be after since"));
        }
    }
}

/// The time that is asked for, as far as it has passed.
///
/// # Errors
/// A 422 if it has not begun.
fn span(query: &UptimeQuery, zone: Zone, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
    let month = query.month.as_deref().and_then(|month| month.parse::<Month>().ok());
    let (field, since, until) = match (month, query.since) {
        (None, Some(since)) => ("since", since, query.until.unwrap_or(now)),
        (month, _) => {
            let month = month.unwrap_or_else(|| Month::of(now, zone));
            ("month", month.begin(zone), month.next().begin(zone))
        }
    };
    match since <= now {
        true => Ok((since, until.min(now))),
        false => Err(ErrorAnswer::invalid_field(field, "lies in the future")),
    }
}

/// Report uptime
///
/// How long connectors were up, down and out of account in a month, or in any other span as far back as
/// `retention.history` reaches, by what the stations have told and when they could be reached. Connector 0
/// is the station as a whole: while it is faulted or unavailable, all of its connectors are. The formulas of
/// `cec` and `uk`, and what OCPP does not tell, are in docs/reports.md.
#[utoipa::path(get, path = "/reports/uptime", tag = "reports", params(UptimeQuery),
    responses((status = 200, body = UptimeReport)), security(("api_key" = ["read"])))]
pub(super) async fn uptime(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(query): Query<UptimeQuery>,
) -> Result<Json<UptimeReport>> {
    let zone = query.time_zone.as_deref().and_then(|name| name.parse().ok()).unwrap_or(Zone::UTC);
    let (since, until) = span(&query, zone, state.clock.now())?;
    let filter = UptimeFilter {
        station_id: query.station_id,
        site: query.site,
        owner_id: caller.owner_filter(query.owner_id)?,
    };
    let rule = query.rule.unwrap_or(UptimeRule::Plain);
    let group_by = query.group_by.unwrap_or(UptimeGrouping::Connector);
    let question = UptimeQuestion { since, until, zone, rule, group_by, worst: query.worst };
    let Uptime { rows: data, row_count, total } = state.store.uptime(filter, question).await?;
    Ok(Json(UptimeReport { since, until, rule, group_by, total, row_count, data }))
}
