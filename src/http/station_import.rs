//! `POST /stations/import`: many stations at once, as JSON or CSV, with a result per row.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::auth::Caller;
use super::import::{Columns, ImportRow};
use super::problem::{ErrorAnswer, Result};
use super::query::NoQuery;
use super::{ApiState, stations};
use crate::station::credentials::hashes_at_once;
use crate::station::registry::Leave;
use store::{Imported, StationToImport};
use vocabulary::api::Page;
use vocabulary::api::problem::FieldError;
use vocabulary::api::station::{ImportResult, ImportedStation, StationInput};
use vocabulary::id::StationId;

/// Rows with a password in one import: each needs a slow hash, and all have to be done in time.
const PASSWORDS_MAX: usize = 1_000;

/// Rows of one transaction: chargers' messages are written between two of them.
const ROWS_AT_ONCE: usize = 500;

const COLUMNS: Columns = Columns { key: "station_id", cell_value };

/// A row that may be written.
struct Sound {
    place: usize,
    input: StationInput,
    station: StationToImport,
}

/// Import stations
///
/// A JSON array of objects, or a CSV (`text/csv`) whose header names the columns: those of `POST /stations`;
/// an empty cell is a member that is not given, `metadata` is JSON. An existing station is changed as by
/// `PATCH`. Wrong rows are left out and say why. At most 10,000 rows, of which at most 1,000 have a
/// `password`; a thousand take some ten seconds to be hashed.
#[utoipa::path(post, path = "/stations/import", tag = "stations",
    request_body(content((Vec<Object> = "application/json"), (String = "text/csv"))),
    responses((status = 200, body = Page<ImportedStation>, description = "What became of each row, in their order")),
    security(("api_key" = ["command"])))]
pub(super) async fn import(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    _: NoQuery,
    request: Request,
) -> Result<Json<Page<ImportedStation>>> {
    let rows = COLUMNS.read(request, &state.limits).await?;
    let with_password =
        |row: &&ImportRow| row.as_ref().is_ok_and(|row| row.get("password").is_some_and(Value::is_string));
    if rows.iter().filter(with_password).count() > PASSWORDS_MAX {
        let message = format!("has more than {PASSWORDS_MAX} rows with a password: import it in parts");
        return Err(ErrorAnswer::invalid_field("", message));
    }
    let CheckedRows { mut results, sound } = check_all(&state, &caller, rows).await?;
    let mut sound: Vec<Sound> =
        stream::iter(sound).map(|row| hashed(&state, row)).buffered(hashes_at_once()).try_collect().await?;
    while !sound.is_empty() {
        let chunk: Vec<Sound> = sound.drain(..sound.len().min(ROWS_AT_ONCE)).collect();
        write(&state, chunk, &mut results).await?;
    }
    Ok(Json(Page { data: results, next_cursor: None }))
}

/// The rows of an import, checked.
struct CheckedRows {
    /// A result for each row; those of sound rows are set once they are written.
    results: Vec<ImportedStation>,
    sound: Vec<Sound>,
}

/// Checks every row; of several rows about one station the first one counts.
async fn check_all(state: &ApiState, caller: &Caller, rows: Vec<ImportRow>) -> Result<CheckedRows> {
    let mut checked = CheckedRows { results: Vec::with_capacity(rows.len()), sound: Vec::new() };
    let mut seen = HashMap::new();
    for (place, row) in rows.into_iter().enumerate() {
        let number = place as u64 + 1;
        let named = row.as_ref().ok().and_then(|row| row.get(COLUMNS.key)?.as_str()).map(str::to_owned);
        let earlier = named.as_ref().and_then(|id| seen.insert(id.clone(), number));
        let errors = match (earlier, check(state, caller, row).await?) {
            (Some(earlier), _) => vec![FieldError::new(COLUMNS.key, format!("is that of row {earlier} too"))],
            (None, Err(errors)) => errors,
            (None, Ok((input, station))) => {
                checked.sound.push(Sound { place, input, station });
                Vec::new()
            }
        };
        let result = ImportResult::Invalid;
        checked.results.push(ImportedStation { row: number, station_id: named, result, errors });
    }
    Ok(checked)
}

/// Writes rows in one transaction, sets their results, and lets connected stations follow.
async fn write(state: &ApiState, chunk: Vec<Sound>, results: &mut [ImportedStation]) -> Result<()> {
    let kept: Vec<_> = chunk
        .iter()
        .map(|row| (row.place, row.input.station_id.clone(), row.input.blocked, stations::rules(&row.input)))
        .collect();
    let imported = chunk.into_iter().map(|row| (row.input, row.station)).collect();
    let imported = state.store.import_stations(imported).await?;
    for ((place, station_id, blocked, rules), imported) in kept.into_iter().zip(imported) {
        results[place].result = match imported {
            Imported::Created => ImportResult::Created,
            Imported::Updated => ImportResult::Updated,
            Imported::Stale => {
                let error = FieldError::new("", "the station was changed at the same time: import it again");
                results[place].errors.push(error);
                ImportResult::Invalid
            }
        };
        if imported == Imported::Updated {
            state.stations.change_rules(&station_id, rules);
        }
        if blocked && imported == Imported::Updated {
            state.stations.ask_to_leave(&station_id, Leave::Blocked);
        }
    }
    Ok(())
}

/// The row with its password hashed. That is slow on purpose, so it runs on other threads.
async fn hashed(state: &ApiState, mut row: Sound) -> Result<Sound> {
    if let Some(password) = row.input.password.take() {
        row.station.password_verifiers = Some(stations::hash_password(state, &password).await?);
    }
    Ok(row)
}

/// A cell is a text, except for members of another type.
fn cell_value(name: &str, cell: &str) -> Value {
    let read = match name {
        "min_security_profile" | "blocked" | "ping" | "metadata" => serde_json::from_str(cell).ok(),
        _ => None,
    };
    // A cell that cannot be read stays a text, which the schema then refuses.
    read.unwrap_or_else(|| cell.into())
}

/// The station that a row describes, or everything that is wrong with it.
///
/// # Errors
/// Those of the store, or a schema of the gateway that does not compile.
async fn check(
    state: &ApiState,
    caller: &Caller,
    row: ImportRow,
) -> Result<std::result::Result<(StationInput, StationToImport), Vec<FieldError>>> {
    let row = match row {
        Ok(row) => row,
        Err(error) => return Ok(Err(vec![error])),
    };
    let forgets_password = row.get("password").is_some_and(Value::is_null);
    let id = row.get(COLUMNS.key).and_then(Value::as_str).and_then(|id| StationId::new(id).ok());
    let known = match id {
        Some(id) => state.store.station(id).await?,
        None => None,
    };
    if known.as_ref().is_some_and(|known| !caller.sees(known.owner_id.as_deref())) {
        return Ok(Err(vec![FieldError::new(COLUMNS.key, "there is a station of this identity already")]));
    }
    let members = match &known {
        Some(known) => {
            let mut members = stations::present(known);
            members.extend(row);
            members
        }
        None => row,
    };
    let mut input = match stations::read(members) {
        Ok(input) => input,
        Err(refused) if refused.problem().status == 422 => return Ok(Err(refused.into_problem().errors)),
        Err(refused) => return Err(refused),
    };
    input.owner_id = match caller.owner_of_row(input.owner_id) {
        Ok(owner_id) => owner_id,
        Err(error) => return Ok(Err(vec![error])),
    };
    let station = StationToImport {
        read_at: known.map(|known| known.updated_at),
        password_verifiers: forgets_password.then(Vec::new),
    };
    Ok(Ok((input, station)))
}
