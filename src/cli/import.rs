//! Imports of any kind: sends the rows, and shows those that were left out.

use serde::de::DeserializeOwned;

use super::session::Session;
use super::table::{Table, or_dash, whole};
use super::{Failure, input};
use crate::client::Call;
use vocabulary::api::Page;
use vocabulary::api::import::ImportResult;
use vocabulary::api::problem::FieldError;

/// The result of one row of any kind.
pub(super) struct RowResult<'a> {
    pub(super) number: u64,
    pub(super) name: Option<&'a str>,
    pub(super) result: ImportResult,
    pub(super) errors: &'a [FieldError],
}

/// Sends a file's rows, then shows those that were left out and counts the others. `heading` names the
/// resource.
///
/// # Errors
/// [`Failure::LeftOut`] if any were, beside those of the call.
pub(super) async fn run<T: DeserializeOwned>(
    session: &Session,
    file: &str,
    heading: &'static str,
    send: impl FnOnce(&'static str, Vec<u8>) -> Call<Page<T>>,
    row: fn(&T) -> RowResult<'_>,
) -> Result<(), Failure> {
    let rows = input::content(file)?;
    // A CSV begins with the name of a column, JSON with a bracket.
    let is_json = rows.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte == b'[');
    let content_type = if is_json { "application/json" } else { "text/csv" };
    let tell = |page: &Page<T>| told(heading, &page.data.iter().map(row).collect::<Vec<_>>());
    let page = session.show(send(content_type, rows), tell).await?;
    let left_out = page.data.iter().map(row).filter(|row| row.result == ImportResult::Invalid).count();
    if left_out == 0 { Ok(()) } else { Err(Failure::LeftOut(left_out)) }
}

fn told(heading: &'static str, rows: &[RowResult<'_>]) -> String {
    let invalid = rows.iter().filter(|row| row.result == ImportResult::Invalid);
    let lines: Vec<[String; 3]> = invalid
        .map(|row| {
            let wrong: Vec<String> =
                row.errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            [row.number.to_string(), or_dash(row.name), wrong.join("; ").trim().to_owned()]
        })
        .collect();
    let mut text = String::new();
    let left_out = lines.len();
    if left_out > 0 {
        // Errors are never cut, because they are the purpose of the table.
        text.push_str(&Table::new([whole("ROW"), whole(heading), whole("LEFT OUT BECAUSE")]).lines(lines));
        text.push('\n');
    }
    let count = |result| rows.iter().filter(|row| row.result == result).count();
    let (created, updated) = (count(ImportResult::Created), count(ImportResult::Updated));
    text.push_str(&format!("{created} created, {updated} changed, {left_out} left out\n"));
    text
}
