//! Cells that hold more than SQLite knows, for rooms that work with its rows: to be replaced by `cells`.

use std::collections::BTreeMap;
use std::fmt::Display;

use rusqlite::Row;
use rusqlite::types::Type;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::UnreadableSetting;
use crate::secrecy::vault::{Cell, Vault};
use vocabulary::clock::Timestamp;

/// A text that is something's own spelling.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get::<_, String>(column)?.parse().map_err(|error| unreadable(column, error))
}

/// The same, or NULL.
pub(crate) fn maybe_parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error| unreadable(column, error))).transpose()
}

/// JSON text.
pub(crate) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

/// The same, or NULL.
pub(crate) fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(serde_json::from_str).transpose().map_err(|error| unreadable(column, error))
}

/// JSON text, kept as it is.
pub(crate) fn raw(row: &Row<'_>, column: usize) -> rusqlite::Result<Box<RawValue>> {
    RawValue::from_string(row.get(column)?).map_err(|error| unreadable(column, error))
}

/// A word of an enum, spelled as its JSON is.
pub(crate) fn word<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| unreadable(column, error))
}

/// The same, or NULL.
pub(crate) fn maybe_word<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?.as_str_or_null()?.map(|_| word(row, column)).transpose()
}

/// Says which setting it was that could not be read.
pub(crate) fn setting<T>(
    (table, id, column): (&'static str, &dyn Display, &'static str),
    read: rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    read.map_err(|error| match error {
        rusqlite::Error::FromSqlConversionFailure(place, kind, cause) => {
            let reason = cause.to_string();
            let setting = UnreadableSetting { table, id: id.to_string(), column, reason };
            rusqlite::Error::FromSqlConversionFailure(place, kind, Box::new(setting))
        }
        other => other,
    })
}

/// Unix milliseconds.
pub(crate) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_unix_ms)
}

/// Unix milliseconds, or NULL.
pub(crate) fn maybe_moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_unix_ms))
}

/// A text that is sealed, opened.
pub(crate) fn sealed(
    row: &Row<'_>,
    column: usize,
    vault: &Vault,
    (cell, id): (Cell, &dyn Display),
) -> rusqlite::Result<String> {
    let text = row.get_ref(column)?.as_str()?;
    vault.open(cell, id, text).map_err(|error| unreadable(column, error))
}

/// The same, or NULL.
pub(crate) fn maybe_sealed(
    row: &Row<'_>,
    column: usize,
    vault: &Vault,
    place: (Cell, &dyn Display),
) -> rusqlite::Result<Option<String>> {
    row.get_ref(column)?.as_str_or_null()?.map(|_| sealed(row, column, vault, place)).transpose()
}

/// Headers that are sealed, opened; none are written `{}`, or are NULL.
pub(crate) fn headers(
    row: &Row<'_>,
    column: usize,
    vault: &Vault,
    place: (Cell, &dyn Display),
) -> rusqlite::Result<BTreeMap<String, String>> {
    match row.get_ref(column)?.as_str_or_null()? {
        None | Some(NO_HEADERS) => Ok(BTreeMap::new()),
        Some(_) => {
            let text = sealed(row, column, vault, place)?;
            serde_json::from_str(&text).map_err(|error| unreadable(column, error))
        }
    }
}

/// How headers are written that are none: there is nothing to seal.
pub(crate) const NO_HEADERS: &str = "{}";

pub(crate) fn unreadable<E: std::error::Error + Send + Sync + 'static>(
    column: usize,
    error: E,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
