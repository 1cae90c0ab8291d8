//! Lists: conditions that are given, in an order that an index has, one page at a time.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::error::Result;
use crate::clock::Timestamp;

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The oldest first.
    pub ascending: bool,
    /// Behind this position, as [`Listed::next`] gave it.
    pub after: Option<(i64, i64)>,
    /// At most so many rows.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The position of the last one, if there are more behind it.
    pub next: Option<(i64, i64)>,
}

/// The conditions of a list, each with its values.
#[derive(Default)]
pub(super) struct Conditions {
    texts: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition; each `?` in it takes one of `values`.
    pub(super) fn and(&mut self, condition: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.texts.push(condition.into());
        self.values.extend(values);
    }

    /// Adds a condition on one value, if the value is given.
    pub(super) fn and_if<T: Into<Value>>(&mut self, condition: &str, value: Option<T>) {
        if let Some(value) = value {
            self.and(condition, [value.into()]);
        }
    }

    /// Adds a condition on a moment, if it is given.
    pub(super) fn and_at(&mut self, condition: &str, at: Option<Timestamp>) {
        self.and_if(condition, at.map(Timestamp::unix_ms));
    }
}

/// Reads the rows of `select` (without `WHERE`) that fulfil `conditions`, in the order of `keys`: one or
/// two columns of whole numbers that `select` yields first, in this order.
pub(super) fn page<T>(
    conn: &Connection,
    select: &str,
    keys: &[&str],
    mut conditions: Conditions,
    slice: &Slice,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Listed<T>> {
    let (beyond, direction) = if slice.ascending { (">", "ASC") } else { ("<", "DESC") };
    if let Some((first, second)) = slice.after {
        match keys {
            [key] => conditions.and(format!("{key} {beyond} ?"), [first.into()]),
            _ => conditions
                .and(format!("({}) {beyond} (?, ?)", keys.join(", ")), [first.into(), second.into()]),
        }
    }
    let filter = match conditions.texts.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.texts.join(" AND ")),
    };
    let order: Vec<String> = keys.iter().map(|key| format!("{key} {direction}")).collect();
    // One row more than asked for tells whether there is a next page.
    let sql = format!("{select}{filter} ORDER BY {} LIMIT {}", order.join(", "), slice.limit + 1);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(conditions.values))?;
    let mut rows = Vec::new();
    let mut last = (0, 0);
    while let Some(row) = found.next()? {
        if rows.len() == slice.limit as usize {
            return Ok(Listed { rows, next: Some(last) });
        }
        last = (row.get(0)?, if keys.len() > 1 { row.get(1)? } else { 0 });
        rows.push(read(row)?);
    }
    Ok(Listed { rows, next: None })
}
