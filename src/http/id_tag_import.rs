//! `POST /id-tags/import`: many tags at once, as JSON or CSV, with a result per row.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Number, Value};

use super::auth::Caller;
use super::import::{Columns, ImportRow};
use super::problem::Result;
use super::query::NoQuery;
use super::{ApiState, body, id_tags};
use store::PutTag;
use vocabulary::api::Page;
use vocabulary::api::id_tag::{IdTagInput, ImportResult, ImportedRow};
use vocabulary::api::problem::FieldError;

/// The column, or member, that names the tag.
const TAG: &str = "id_tag";

const COLUMNS: Columns = Columns { key: TAG, cell_value };

/// Import id tags
///
/// A JSON array of objects, or a CSV (`text/csv`) whose header names the columns: `id_tag` and the members of
/// `IdTagInput`; an empty cell is a member that is not given. Wrong rows are left out and say why. The others
/// are registered together; each replaces an earlier registration of its tag. At most 10,000 rows.
#[utoipa::path(post, path = "/id-tags/import", tag = "id tags",
    request_body(content((Vec<Object> = "application/json"), (String = "text/csv"))),
    responses((status = 200, body = Page<ImportedRow>, description = "What became of each row, in their order")),
    security(("api_key" = ["write"])))]
pub(super) async fn import(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    _: NoQuery,
    request: Request,
) -> Result<Json<Page<ImportedRow>>> {
    let rows = COLUMNS.read(request, &state.limits).await?;
    let mut results = Vec::with_capacity(rows.len());
    let mut accepted = Vec::new();
    for (place, row) in rows.into_iter().enumerate() {
        let CheckedRow { id_tag, input } = check(&caller, row)?;
        let errors = match input {
            Ok(input) => {
                accepted.push((place, id_tag.clone().unwrap_or_default(), input));
                Vec::new()
            }
            Err(errors) => errors,
        };
        results.push(ImportedRow { row: place as u64 + 1, id_tag, result: ImportResult::Invalid, errors });
    }
    let (places, tags): (Vec<usize>, Vec<_>) =
        accepted.into_iter().map(|(place, id_tag, input)| (place, (id_tag, input))).unzip();
    let put = state.store.put_id_tags(tags).await?;
    for (place, put) in places.into_iter().zip(put) {
        results[place].result = match put {
            PutTag::Created => ImportResult::Created,
            PutTag::Replaced => ImportResult::Updated,
        };
    }
    Ok(Json(Page { data: results, next_cursor: None }))
}

/// A cell is a text, except the one member that is a number.
fn cell_value(name: &str, cell: &str) -> Value {
    match cell.parse::<i64>() {
        Ok(number) if name == "max_active_transactions" => Value::Number(Number::from(number)),
        _ => cell.into(),
    }
}

/// A row of the import.
struct CheckedRow {
    /// The tag, if the row names one.
    id_tag: Option<String>,
    /// Its members, or everything that is wrong with the row.
    input: std::result::Result<IdTagInput, Vec<FieldError>>,
}

/// Reads a row and checks it.
///
/// # Errors
/// Only if a schema of the gateway does not compile.
fn check(caller: &Caller, row: ImportRow) -> Result<CheckedRow> {
    let mut row = match row {
        Ok(row) => row,
        Err(error) => return Ok(CheckedRow { id_tag: None, input: Err(vec![error]) }),
    };
    let id_tag = match row.remove(TAG) {
        Some(Value::String(id_tag)) => Some(id_tag),
        _ => None,
    };
    let row = Value::Object(row);
    let mut errors = body::errors::<IdTagInput>(&row)?;
    match id_tag.as_deref().map(id_tags::legal) {
        None => errors.push(FieldError::new(TAG, "is missing, or no text")),
        Some(Err(message)) => errors.push(FieldError::new(TAG, message)),
        Some(Ok(())) => {}
    }
    if !errors.is_empty() {
        return Ok(CheckedRow { id_tag, input: Err(errors) });
    }
    let mut input: IdTagInput = body::into(row)?;
    let input = match caller.owner_of_row(input.owner_id.take()) {
        Ok(owner_id) => Ok(IdTagInput { owner_id, ..input }),
        Err(error) => Err(vec![error]),
    };
    Ok(CheckedRow { id_tag, input })
}
