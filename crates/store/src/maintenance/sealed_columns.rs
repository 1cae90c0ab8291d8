//! Every column whose cells are sealed, and the way through them.
//!
//! **Invariant**: what is sealed anywhere is in [`COLUMNS`], so that another key reaches all of it.

use crate::cells::NO_HEADERS;
use crate::engine::sql::{Value, values_of};
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::secrecy::vault::{Cell, Vault, cell};

/// Rows that are read at once.
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
pub(crate) const CREDENTIALS: Column = column("webhooks", "credentials", cell::CREDENTIALS);
const PREVIOUS_SECRET: Column = Column {
    keys: &["webhook_id"],
    unique: false,
    ..column("webhook_previous_secrets", "signing_secret", cell::PREVIOUS_SECRET)
};
pub(crate) const EVENT_HEADERS: Column = column("events", "custom_headers", cell::EVENT_HEADERS);
pub(crate) const DELIVERY_SECRET: Column = column("deliveries", "secret", cell::DELIVERY_SECRET);
pub(crate) const COMMAND_PAYLOAD: Column = column("commands", "sealed_payload", cell::COMMAND_PAYLOAD);
pub(crate) const BULK_PAYLOAD: Column = column("bulk_commands", "sealed_payload", cell::BULK_PAYLOAD);

const REQUEST: &[&str] = &["api_key_id", "idempotency_key"];
pub(crate) const REQUEST_HASH: Column =
    Column { keys: REQUEST, ..column("idempotent_requests", "request_hash", cell::REQUEST_HASH) };
const REQUEST_ANSWER: Column =
    Column { keys: REQUEST, ..column("idempotent_requests", "body", cell::REQUEST_ANSWER) };

/// All of them.
pub(crate) const COLUMNS: [Column; 11] = [
    SIGNING_SECRET,
    SECRET_VALUE,
    WEBHOOK_HEADERS,
    CREDENTIALS,
    PREVIOUS_SECRET,
    EVENT_HEADERS,
    DELIVERY_SECRET,
    COMMAND_PAYLOAD,
    BULK_PAYLOAD,
    REQUEST_HASH,
    REQUEST_ANSWER,
];

impl Column {
    /// The condition on a row that has something in this column.
    pub(crate) fn filled(&self) -> String {
        format!("{0} IS NOT NULL AND {0} <> '{NO_HEADERS}'", self.column)
    }

    /// Writes into each cell that is filled what `change` makes of its row's name and of what it holds.
    /// Returns how many cells there were. It goes a page at a time, so that a long log is not held in memory.
    fn change(&self, w: &Tx<'_>, mut change: impl FnMut(&str, &Value) -> Result<Value>) -> Result<usize> {
        let Self { table, column, .. } = self;
        let (names, places) = (self.keys.join(", "), self.places(3));
        let update =
            format!("UPDATE {table} SET {column} = ?1 WHERE ({names}) = ({places}) AND {column} = ?2");
        let (mut changed, mut last) = (0, None);
        loop {
            let page = self.page(w, last.as_ref())?;
            let is_last = !self.unique || page.len() < PAGE;
            changed += page.len();
            for Sealed { keys, value } in page {
                let mut values = vec![change(&name(&keys), &value)?, value];
                values.extend(keys.iter().cloned());
                w.run(&update, &values_of(&values))?;
                last = Some(keys);
            }
            if is_last {
                return Ok(changed);
            }
        }
    }

    /// The next cells that are filled, behind the row that `after` names.
    fn page(&self, db: &Read<'_>, after: Option<&Vec<Value>>) -> Result<Vec<Sealed>> {
        let names = self.keys.join(", ");
        let behind = match after {
            Some(_) => format!(" AND ({names}) > ({})", self.places(1)),
            None => String::new(),
        };
        // Keys that are not unique come all at once: a page could end between two rows of one.
        let limit = match self.unique {
            true => format!(" LIMIT {PAGE}"),
            false => String::new(),
        };
        let (table, column, filled) = (self.table, self.column, self.filled());
        let select =
            format!("SELECT {column}, {names} FROM {table} WHERE {filled}{behind} ORDER BY {names}{limit}");
        let after = values_of(after.map_or(&[], Vec::as_slice));
        db.all(&select, &after, |row| {
            let keys = (1..=self.keys.len()).map(|column| row.get(column)).collect::<Result<_>>()?;
            Ok(Sealed { keys, value: row.get(0)? })
        })
    }

    /// `?first, ?(first + 1)` and so on, one for each key.
    fn places(&self, first: usize) -> String {
        let places: Vec<String> = (first..first + self.keys.len()).map(|place| format!("?{place}")).collect();
        places.join(", ")
    }

    /// The same content under another key.
    ///
    /// # Errors
    /// Where something cannot be opened with the one it should be sealed under.
    pub(crate) fn reseal(&self, w: &Tx<'_>, old: &Vault) -> Result<usize> {
        self.change(w, |row, sealed| match sealed {
            Value::Text(text) => {
                Ok(Value::Text(w.vault.seal(self.cell, row, &old.open(self.cell, row, text)?)?))
            }
            Value::Bytes(bytes) => Ok(Value::Bytes(w.vault.seal_bytes(
                self.cell,
                row,
                &old.open_bytes(self.cell, row, bytes)?,
            )?)),
            _ => Err(self.holds_a_number()),
        })
    }

    /// What a test has put there in the clear, sealed.
    #[cfg(test)]
    pub(crate) fn seal(&self, w: &Tx<'_>) -> Result<usize> {
        self.change(w, |row, plain| match plain {
            Value::Text(text) => Ok(Value::Text(w.vault.seal(self.cell, row, text)?)),
            Value::Bytes(bytes) => Ok(Value::Bytes(w.vault.seal_bytes(self.cell, row, bytes)?)),
            _ => Err(self.holds_a_number()),
        })
    }

    fn holds_a_number(&self) -> StoreError {
        StoreError::Corrupt(format!("{}.{} holds a number", self.table, self.column))
    }

    /// Something else in the place of each text, sealed.
    pub(crate) fn write(&self, w: &Tx<'_>, mut text: impl FnMut() -> Result<String>) -> Result<usize> {
        self.change(w, |row, _| Ok(Value::Text(w.vault.seal(self.cell, row, &text()?)?)))
    }

    /// How many cells are filled.
    pub(crate) fn count(&self, db: &Read<'_>) -> Result<i64> {
        let count = format!("SELECT count(*) FROM {} WHERE {}", self.table, self.filled());
        db.one(&count, &[], |row| row.get(0))
    }
}

/// A cell that is filled.
struct Sealed {
    /// What names its row.
    keys: Vec<Value>,
    value: Value,
}

/// A row's name, as [`Vault`] is told of it.
fn name(keys: &[Value]) -> String {
    let spelled = |key: &Value| match key {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    keys.iter().map(spelled).collect::<Vec<_>>().join("/")
}
