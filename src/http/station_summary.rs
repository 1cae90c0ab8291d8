//! How many stations there are of each kind.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::page::ShortPaging;
use super::problem::Result;
use super::query::{And, Parameters, Query};
use super::stations::StationsQuery;
use vocabulary::api::Page;
use vocabulary::api::problem::FieldError;
use vocabulary::api::station_summary::{StationCount, StationGroup};
use vocabulary::words;

/// What stations are counted by.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Grouping {
    /// One or more of `site`, `vendor`, `model`, `firmware_version`, `owner`, `boot_status` and `connected`,
    /// with commas between them.
    #[param(min_length = 1, max_length = 200, example = "vendor,model,firmware_version")]
    group_by: String,
}

impl Parameters for Grouping {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        let known = words::listed(StationGroup::WORDS);
        match given["group_by"].as_str() {
            None => errors.push(FieldError::new("group_by", format!("is required: {known}"))),
            Some(text) => {
                for name in names(text).filter(|name| name.parse::<StationGroup>().is_err()) {
                    let message = format!("{name:?} is nothing to group by: it must be {known}");
                    errors.push(FieldError::new("group_by", message));
                }
            }
        }
    }
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// Count the stations
///
/// A row for each combination of what they are grouped by, sorted by that; null stands for stations that have
/// no such value. It takes the filters of the list, and is complete without `limit` and `cursor`.
#[utoipa::path(get, path = "/stations/summary", tag = "stations", params(Grouping, StationsQuery, ShortPaging),
    responses((status = 200, body = Page<StationCount>)), security(("api_key" = ["read"])))]
pub(super) async fn summary(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(grouping, And(query, paging))): Query<And<Grouping, And<StationsQuery, ShortPaging>>>,
) -> Result<Json<Page<StationCount>>> {
    let mut groups: Vec<StationGroup> = Vec::new();
    for group in names(&grouping.group_by).filter_map(|name| name.parse().ok()) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let counts = state.store.station_summary(query.filter(&caller)?, groups).await?;
    paging.cut(counts, common).map(Json)
}

/// What the stations of a row have in common, as one text: the row in other words, whatever it counts.
fn common(count: &StationCount) -> String {
    let common = StationCount { stations: 0, connected_count: 0, ..count.clone() };
    serde_json::to_string(&common).unwrap_or_default()
}
