//! The rows of one database on their way into another: from SQLite into PostgreSQL.

use std::ops::ControlFlow;

use crate::LogPosition;
use crate::engine::embedded::database_file::DatabaseFile;
use crate::engine::postgres::copying::CopyIn;
use crate::engine::postgres::{driver, row_numbers, tables};
use crate::engine::sql::{CellValue, Param, Value};
use crate::engine::sqlite;
use crate::engine::tables::Table;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use vocabulary::id::IdMint;

/// Tables that only several nodes need, beside those of every engine (`shared/own.sql`).
pub(crate) const OWN: [&str; 5] = ["head", "lane_leases", "schema_version", "signals", "webhook_changes"];

/// Of these, what has rows in a database where nothing has happened.
const NEVER_EMPTY: [&str; 2] = ["head", "schema_version"];

/// What becomes of a cell on its way; `None`: it stays as it is.
pub(crate) type CellChange<'a> = &'a dyn Fn(&str, &CellValue<'_>) -> Result<Option<Value>>;

impl DatabaseFile {
    /// Its tables; those that others refer to come before these.
    pub(crate) fn tables(&self) -> Result<Vec<Table>> {
        sqlite::tables::in_order(self.conn())
    }
}

impl Read<'_> {
    /// The names of all tables of this database of PostgreSQL.
    #[cfg(test)]
    pub(crate) fn table_names(&self) -> Result<Vec<String>> {
        self.shared().map_or(Ok(Vec::new()), tables::names)
    }

    /// The names of a table's columns there.
    #[cfg(test)]
    pub(crate) fn columns_of(&self, table: &str) -> Result<Vec<String>> {
        let known = self.shared().map_or(Ok(Vec::new()), |conn| tables::columns(conn, table))?;
        Ok(known.into_iter().map(|(name, _)| name).collect())
    }
}

impl Tx<'_> {
    /// The tables of this database that have rows, and how many.
    pub(crate) fn filled_tables(&self) -> Result<Vec<(String, i64)>> {
        let mut filled = Vec::new();
        for table in tables::names(self.postgres()?)? {
            if NEVER_EMPTY.contains(&table.as_str())
                || !self.has(&format!("SELECT 1 FROM {table} LIMIT 1"), &[])?
            {
                continue;
            }
            filled.push((table.clone(), count(self, &table)?));
        }
        Ok(filled)
    }

    /// Waits as long as it takes: for what is done once, and to everything.
    pub(crate) fn be_patient(&self) -> Result<()> {
        self.postgres()?.batch(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
             SET LOCAL idle_in_transaction_session_timeout = 0",
        )
    }

    /// Takes out all indexes that can be made again, so that rows come faster. Returns what makes them.
    pub(crate) fn without_indexes(&self) -> Result<Vec<String>> {
        let conn = self.postgres()?;
        let (names, made_by): (Vec<String>, Vec<String>) = tables::free_indexes(conn)?.into_iter().unzip();
        if !names.is_empty() {
            conn.batch(&format!("DROP INDEX {}", names.join(", ")))?;
        }
        Ok(made_by)
    }

    /// Makes an index.
    pub(crate) fn make_index(&self, made_by: &str) -> Result<()> {
        self.postgres()?.batch(made_by).map_err(|error| told_of(made_by, error))
    }

    /// Counts what there is, so that statements are planned by it.
    pub(crate) fn analyze(&self) -> Result<()> {
        let conn = self.postgres()?;
        tables::names(conn)?.into_iter().try_for_each(|table| conn.batch(&format!("ANALYZE {table}")))
    }

    /// Copies all rows of a table out of `source` into the table of that name here, each cell as `change`
    /// says. `progress` hears how many have gone now and then. Returns how many there are.
    pub(crate) fn carry(
        &self,
        source: &Read<'_>,
        table: &Table,
        change: Option<CellChange<'_>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64> {
        let mut copy = CopyIn::begin(self.postgres()?, table)?;
        let mut rows = 0;
        let select = format!("SELECT {} FROM {}", table.columns.join(", "), table.name);
        source.each(&select, &[], |row| {
            if copy.row()? {
                progress(rows);
            }
            for (nth, column) in table.columns.iter().enumerate() {
                let cell = row.cell(nth)?;
                match change.map_or(Ok(None), |change| change(column, &cell))? {
                    None => copy.cell(nth, cell)?,
                    Some(changed) => copy.cell(nth, as_cell(&changed))?,
                }
            }
            rows += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        let arrived = copy.finish().map_err(|error| told_of(&table.name, error))?;
        // Of the database itself, which may have put rows elsewhere, or left some out.
        let found = count(self, &table.name)?;
        if arrived != rows || i64::try_from(rows) != Ok(found) {
            return Err(StoreError::Failed(format!(
                "{}: {rows} rows have gone, {arrived} have arrived, {found} are there",
                table.name
            )));
        }
        Ok(rows)
    }

    /// Goes on behind every number and id of `source`.
    pub(crate) fn count_on_from(&mut self, source: &DatabaseFile) -> Result<()> {
        row_numbers::go_on_behind(self.postgres()?, |table, column| {
            let greatest = format!("SELECT coalesce(max({column}), 0) FROM {table}");
            let there: i64 = match OWN.contains(&table) {
                true => 0,
                false => source.read().one(&greatest, &[], |row| row.get(0))?,
            };
            Ok(there.max(sqlite::tables::last_number(source.conn(), table)?))
        })?;
        let newest = source.newest_ids()?;
        *self.mint = IdMint::after(newest.mint.last().max(self.mint.last()));
        // SQLite remembers rows that were removed.
        let newest_event = newest.event.number().max(sqlite::tables::last_number(source.conn(), "events")?);
        self.after_commit.newest_event = Some(LogPosition::from_number(newest_event));
        if let Some(counted) = self.counted {
            counted.begin_anew(newest_event);
        }
        Ok(())
    }

    fn postgres(&self) -> Result<&driver::Connection> {
        self.shared().ok_or_else(|| StoreError::Failed("this is no database of PostgreSQL".to_owned()))
    }
}

/// What PostgreSQL says of something of ours.
fn told_of(what: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Failed(reason) => StoreError::Failed(format!("{what}: {reason}")),
        other => other,
    }
}

/// How many rows a table has.
pub(crate) fn count(db: &Read<'_>, table: &str) -> Result<i64> {
    db.one(&format!("SELECT count(*) FROM {table}"), &[] as &[Param<'_>], |row| row.get(0))
}

fn as_cell(value: &Value) -> CellValue<'_> {
    match value {
        Value::Null => CellValue::Null,
        Value::Int(number) => CellValue::Int(*number),
        Value::Real(number) => CellValue::Real(*number),
        Value::Text(text) => CellValue::Text(text),
        Value::Bytes(bytes) => CellValue::Bytes(bytes),
    }
}
