//! Imports: many resources at once, as JSON or CSV, with a result per row.

use axum::extract::Request;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::problem::{ErrorAnswer, Result};
use super::{LimitsInForce, body};
use vocabulary::api::problem::FieldError;

/// Rows of one import: bounds how long the writer works on it.
pub(super) const ROWS_MAX: usize = 10_000;

/// One row, as far as it could be read.
pub(super) type ImportRow = std::result::Result<Map<String, Value>, FieldError>;

/// The columns of one kind of import.
pub(super) struct Columns {
    /// The column, or member, that every row needs.
    pub(super) key: &'static str,
    /// The value of a cell in a column.
    pub(super) cell_value: fn(&str, &str) -> Value,
}

impl Columns {
    /// The rows of a request: a JSON array of objects, or a CSV whose first line names the columns. An empty
    /// cell is a member that is not given.
    ///
    /// # Errors
    /// 400 if the body is neither, 413 if it is too large, 415 if it says that it is something else, 422 if
    /// it has too many rows.
    pub(super) async fn read(&self, request: Request, limits: &LimitsInForce) -> Result<Vec<ImportRow>> {
        let given = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?").to_owned());
        let is_csv = given
            .as_ref()
            .is_some_and(|given| given.trim_start().to_ascii_lowercase().starts_with("text/csv"));
        let bytes = body::arrived(request.into_body(), limits).await?;
        if let Some(given) = given.filter(|given| !is_csv && !body::is_json(given)) {
            return Err(ErrorAnswer::unsupported_media_type(&given, "application/json or text/csv"));
        }
        let rows = if is_csv { self.rows_of_csv(&bytes)? } else { rows_of_json(&bytes)? };
        if rows.len() > ROWS_MAX {
            let message = format!("has more than {ROWS_MAX} rows: import it in parts");
            return Err(ErrorAnswer::invalid_field("", message));
        }
        Ok(rows)
    }

    fn rows_of_csv(&self, bytes: &Bytes) -> Result<Vec<ImportRow>> {
        let malformed = |error: csv::Error| ErrorAnswer::malformed(format!("the body is no CSV: {error}"));
        // Spreadsheets put a byte order mark in front.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(bytes);
        let names = reader.headers().map_err(malformed)?.clone();
        if !names.iter().any(|name| name == self.key) {
            let key = self.key;
            let message = format!("the first line of the CSV must name the columns, {key} among them");
            return Err(ErrorAnswer::malformed(message));
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(malformed)?;
            if record.len() > names.len() {
                rows.push(Err(FieldError::new("", "has more cells than the first line has columns")));
                continue;
            }
            let cells = names.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
            let members = cells.map(|(name, cell)| (name.to_owned(), (self.cell_value)(name, cell)));
            rows.push(Ok(members.collect()));
        }
        Ok(rows)
    }
}

fn rows_of_json(bytes: &Bytes) -> Result<Vec<ImportRow>> {
    let rows: Vec<Value> = serde_json::from_slice(bytes)
        .map_err(|error| ErrorAnswer::malformed(format!("the body is no JSON array of objects: {error}")))?;
    let object = |row| match row {
        Value::Object(row) => Ok(row),
        _ => Err(FieldError::new("", "must be an object")),
    };
    Ok(rows.into_iter().map(object).collect())
}
