//! Every column whose cells are sealed, and the way through them.
//!
//! **Invariant**: what is sealed anywhere is in [`COLUMNS`], so that another key reaches all of it.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::cells::NO_HEADERS;
use crate::error::{Result, StoreError};
use crate::secrecy::vault::{Cell, Vault, cell};

/// Rows that are changed between two looks.
const PAGE: usize = 500;

/// A column, and what names its rows.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    table: &'static str,
    column: &'static str,
    /// The columns that name a row, as [`Vault`] is told of it: joined by a slash.
    keys: &'static [&'static str],
    /// Whether they name one row alone.
    unique: bool,
    cell: Cell,
}

const fn column(table: &'static str, column: &'static str, cell: Cell) -> Column {
    Column { table, column, keys: &["id"], unique: true, cell }
}

pub(crate) const SIGNING_SECRET: Column = column("webhooks", "signing_secret", cell::SIGNING_SECRET);
pub(crate) const SECRET_VALUE: Column = column("webhooks", "secret_value", cell::SECRET_VALUE);
pub(crate) const WEBHOOK_HEADERS: Column = column("webhooks", "custom_headers", cell::WEBHOOK_HEADERS);
const PREVIOUS_SECRET: Column = Column {
    keys: &["webhook_id"],
    unique: false,
    ..column("webhook_previous_secrets", "signing_secret", cell::PREVIOUS_SECRET)
};
pub(crate) const EVENT_HEADERS: Column = column("events", "custom_headers", cell::EVENT_HEADERS);
pub(crate) const DELIVERY_SECRET: Column = column("deliveries", "secret", cell::DELIVERY_SECRET);
pub(crate) const COMMAND_PAYLOAD: Column = column("commands", "sealed_payload", cell::COMMAND_PAYLOAD);

const REQUEST: &[&str] = &["api_key_id", "idempotency_key"];
pub(crate) const REQUEST_HASH: Column =
    Column { keys: REQUEST, ..column("idempotent_requests", "request_hash", cell::REQUEST_HASH) };
const REQUEST_ANSWER: Column =
    Column { keys: REQUEST, ..column("idempotent_requests", "body", cell::REQUEST_ANSWER) };

/// All of them.
pub(crate) const COLUMNS: [Column; 9] = [
    SIGNING_SECRET,
    SECRET_VALUE,
    WEBHOOK_HEADERS,
    PREVIOUS_SECRET,
    EVENT_HEADERS,
    DELIVERY_SECRET,
    COMMAND_PAYLOAD,
    REQUEST_HASH,
    REQUEST_ANSWER,
];

impl Column {
    /// The condition on a row that has something in this column.
    pub(crate) fn filled(&self) -> String {
        format!("{0} IS NOT NULL AND {0} <> '{NO_HEADERS}'", self.column)
    }

    /// Writes into each cell that is filled what `change` makes of its row's name and what it holds; how many
    /// there were. A page at a time, so that a long log is not held in memory.
    pub(crate) fn change(
        &self,
        conn: &Connection,
        mut change: impl FnMut(&str, Value) -> Result<Value>,
    ) -> Result<usize> {
        let Self { table, column, keys, .. } = self;
        let places =
            |from: usize| -> Vec<String> { (0..keys.len()).map(|n| format!("?{}", from + n)).collect() };
        let names = keys.join(", ");
        // Keys that are not unique come all at once: a page could end between two rows of one.
        let limit = if self.unique { PAGE as i64 } else { -1 };
        let from = format!("SELECT {names}, {column} FROM {table} WHERE {}", self.filled());
        let mut first = conn.prepare(&format!("{from} ORDER BY {names} LIMIT {limit}"))?;
        let after = format!("({names}) > ({})", places(1).join(", "));
        let mut next = conn.prepare(&format!("{from} AND {after} ORDER BY {names} LIMIT {limit}"))?;
        let which = format!("({names}) = ({}) AND {column} = ?2", places(3).join(", "));
        let mut update = conn.prepare(&format!("UPDATE {table} SET {column} = ?1 WHERE {which}"))?;
        let (mut changed, mut last) = (0, None::<Vec<Value>>);
        loop {
            let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Vec<Value>> {
                (0..=keys.len()).map(|n| row.get(n)).collect()
            };
            let rows: Vec<Vec<Value>> = match &last {
                None => first.query_map([], read)?.collect::<rusqlite::Result<_>>()?,
                Some(last) => {
                    next.query_map(params_from_iter(last), read)?.collect::<rusqlite::Result<_>>()?
                }
            };
            let whole = !self.unique || rows.len() < PAGE;
            for mut row in rows {
                let Some(before) = row.pop() else { continue };
                let after = change(&name(&row), before.clone())?;
                update.execute(params_from_iter([&after, &before].into_iter().chain(&row)))?;
                changed += 1;
                last = Some(row);
            }
            if whole {
                return Ok(changed);
            }
        }
    }

    /// The same content under another key.
    ///
    /// # Errors
    /// Where something cannot be opened with the one it should be sealed under.
    pub(crate) fn reseal(&self, conn: &Connection, old: &Vault, new: &Vault) -> Result<usize> {
        self.change(conn, |row, sealed| match sealed {
            Value::Text(text) => Ok(new.seal(self.cell, row, &old.open(self.cell, row, &text)?)?.into()),
            Value::Blob(bytes) => {
                Ok(new.seal_bytes(self.cell, row, &old.open_bytes(self.cell, row, &bytes)?)?.into())
            }
            _ => Err(StoreError::Corrupt(format!("{}.{} holds a number", self.table, self.column))),
        })
    }

    /// What a test has put there in the clear, sealed.
    #[cfg(test)]
    pub(crate) fn seal(&self, conn: &Connection, vault: &Vault) -> Result<usize> {
        self.change(conn, |row, plain| match plain {
            Value::Text(text) => Ok(vault.seal(self.cell, row, &text)?.into()),
            Value::Blob(bytes) => Ok(vault.seal_bytes(self.cell, row, &bytes)?.into()),
            _ => Err(StoreError::Corrupt(format!("{}.{} holds a number", self.table, self.column))),
        })
    }

    /// Something else in the place of each text, sealed.
    pub(crate) fn write(
        &self,
        conn: &Connection,
        vault: &Vault,
        mut text: impl FnMut() -> Result<String>,
    ) -> Result<usize> {
        self.change(conn, |row, _| Ok(vault.seal(self.cell, row, &text()?)?.into()))
    }

    /// How many cells are filled.
    pub(crate) fn count(&self, conn: &Connection) -> Result<i64> {
        let count = format!("SELECT count(*) FROM {} WHERE {}", self.table, self.filled());
        Ok(conn.query_row(&count, [], |row| row.get(0))?)
    }
}

fn name(keys: &[Value]) -> String {
    let parts: Vec<String> = keys
        .iter()
        .map(|key| match key {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            _ => String::new(),
        })
        .collect();
    parts.join("/")
}
