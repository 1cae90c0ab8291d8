//! Statements on PostgreSQL: values in, rows out. Every text is prepared once per connection.
//!
//! A connection is driven by whoever waits for its answer, on that thread. Each method that returns has made
//! one round trip, one more where a text is new; what needs no answer of its own ([`Connection::ahead`])
//! travels with the next statement.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt, future};
use tokio::runtime::Runtime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

use crate::engine::postgres::address::Address;
use crate::engine::postgres::cells::{Bound, Sent, unescaped};
use crate::engine::postgres::dialect::{self, Translated};
use crate::engine::sql::{CellValue, FromCell, Param};
use crate::error::{Result, StoreError};

/// Texts that are kept prepared; beyond it all are prepared anew.
const STATEMENT_CACHE: usize = 1_000;

/// Rows that are fetched at once where only some may be wanted.
const PORTION: i32 = 200;

/// A connection, of one thread at a time.
pub(crate) struct Connection {
    /// Always there, until it is dropped.
    runtime: Option<Runtime>,
    client: RefCell<Client>,
    statements: RefCell<HashMap<Box<str>, Known>>,
    /// Statements that go ahead of the next one.
    ahead: RefCell<String>,
    in_transaction: Cell<bool>,
    changes: Cell<u64>,
    round_trips: Cell<u64>,
}

/// What is known of a text of ours.
struct Known {
    translated: Translated,
    /// Prepared for values of these types.
    prepared: Vec<(Vec<Type>, Arc<Statement>)>,
}

/// A row as the driver has it.
pub(crate) struct RawRow {
    row: tokio_postgres::Row,
    /// Cells whose text was stored in another form.
    unescaped: Vec<(usize, String)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which an asynchronous caller must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Away`] if nobody answers; [`StoreError::Failed`] if it is refused.
    pub(crate) fn open(address: &Address) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Failed(format!("no room for a connection: {error}")))?;
        let client = runtime.block_on(address.connect())?;
        Ok(Self {
            runtime: Some(runtime),
            client: RefCell::new(client),
            statements: RefCell::default(),
            ahead: RefCell::default(),
            in_transaction: Cell::new(false),
            changes: Cell::new(0),
            round_trips: Cell::new(0),
        })
    }

    /// Whether it is of no more use.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.borrow().is_closed()
    }

    /// How often it has waited for an answer.
    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips.get()
    }

    fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.round_trips.set(self.round_trips.get() + 1);
        match &self.runtime {
            Some(runtime) => runtime.block_on(answer),
            None => unreachable!("it is there until the connection is dropped"),
        }
    }

    /// Sends `sql`, without values and without an answer, ahead of the next statement.
    pub(crate) fn ahead(&self, sql: &str) {
        let mut ahead = self.ahead.borrow_mut();
        ahead.push_str(sql);
        ahead.push(';');
    }

    /// Runs `sql`, which may be several statements, behind those that are to go ahead.
    pub(crate) fn batch(&self, sql: &str) -> Result<()> {
        let text = std::mem::take(&mut *self.ahead.borrow_mut()) + sql;
        self.wait(self.client.borrow().batch_execute(&text))?;
        Ok(())
    }

    /// Runs a statement and commits, in one round trip.
    ///
    /// # Errors
    /// The statement's, or the commit's: nothing was committed then, unless the connection broke.
    pub(crate) fn commit_with(&self, sql: &str, params: &[Param<'_>]) -> Result<()> {
        let (bound, types) = self.bind(sql, params)?;
        let statement = self.prepare(sql, &types)?;
        let ahead = std::mem::take(&mut *self.ahead.borrow_mut());
        let client = self.client.borrow();
        let first = client.batch_execute(&ahead);
        let second = client.query_raw(&*statement, bound.iter().map(|value| value as &(dyn ToSql + Sync)));
        let third = client.batch_execute("COMMIT");
        let (first, second, third) = self.wait(future::join3(first, second, third));
        first?;
        second?;
        Ok(third?)
    }

    /// Says that a transaction has begun, or that it has ended.
    pub(crate) fn set_in_transaction(&self, is: bool) {
        self.in_transaction.set(is);
    }

    /// Forgets what was to go ahead.
    pub(crate) fn forget_ahead(&self) {
        self.ahead.borrow_mut().clear();
    }

    /// The statement, prepared for values of these types.
    fn prepare(&self, sql: &str, types: &[Type]) -> Result<Arc<Statement>> {
        let translated = {
            let statements = self.statements.borrow();
            let known = &statements[sql];
            if let Some((_, statement)) = known.prepared.iter().find(|(of, _)| of == types) {
                return Ok(statement.clone());
            }
            known.translated.text.clone()
        };
        let statement = Arc::new(self.wait(self.client.borrow().prepare_typed(&translated, types))?);
        if let Some(known) = self.statements.borrow_mut().get_mut(sql) {
            known.prepared.push((types.to_vec(), statement.clone()));
        }
        Ok(statement)
    }

    /// The values as the statement takes them, and their types.
    fn bind<'a>(&self, sql: &str, params: &'a [Param<'_>]) -> Result<(Vec<Bound<'a>>, Vec<Type>)> {
        let mut statements = self.statements.borrow_mut();
        if !statements.contains_key(sql) {
            if statements.len() >= STATEMENT_CACHE {
                statements.clear();
            }
            let translated = dialect::translate(sql);
            statements.insert(sql.into(), Known { translated, prepared: Vec::new() });
        }
        let lists = &statements[sql].translated.lists;
        let bound = params.iter().enumerate().map(|(nth, param)| {
            Bound::new(param, lists.iter().find(|(at, _)| *at == nth).map(|(_, of)| *of))
        });
        let bound: Vec<Bound<'a>> = bound.collect::<Result<_>>()?;
        let types = bound.iter().map(Bound::declared).collect();
        Ok((bound, types))
    }

    /// Runs a statement: its rows, and how many it has inserted, changed or deleted.
    fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<(Vec<RawRow>, u64)> {
        let (bound, types) = self.bind(sql, params)?;
        let statement = self.prepare(sql, &types)?;
        let ahead = std::mem::take(&mut *self.ahead.borrow_mut());
        let client = self.client.borrow();
        let first = async {
            match ahead.is_empty() {
                true => Ok(()),
                false => client.batch_execute(&ahead).await,
            }
        };
        let second = async {
            let values = bound.iter().map(|value| value as &(dyn ToSql + Sync));
            let mut stream = pin!(client.query_raw(&*statement, values).await?);
            let mut rows = Vec::new();
            while let Some(row) = stream.next().await {
                rows.push(row?);
            }
            Ok((rows, stream.rows_affected().unwrap_or(0)))
        };
        // Both are on their way before the first answer comes.
        let (first, second): (_, std::result::Result<_, tokio_postgres::Error>) =
            self.wait(future::join(first, second));
        first?;
        let (rows, affected) = second?;
        let rows = rows.into_iter().map(RawRow::new).collect::<Result<_>>()?;
        Ok((rows, affected))
    }

    /// Rows one by one, as long as `read` goes on, of a statement that may yield many more.
    fn some_of(
        &self,
        sql: &str,
        params: &[Param<'_>],
        read: &mut impl FnMut(&RawRow) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (bound, types) = self.bind(sql, params)?;
        let statement = self.prepare(sql, &types)?;
        let values = bound.iter().map(|value| value as &(dyn ToSql + Sync));
        let mut client = self.client.borrow_mut();
        let part = self.wait(client.build_transaction().read_only(true).start())?;
        let portal = self.wait(part.bind_raw(&*statement, values))?;
        let mut goes_on = true;
        while goes_on {
            let rows = self.wait(part.query_portal(&portal, PORTION))?;
            goes_on = rows.len() == PORTION as usize;
            for row in rows {
                if read(&RawRow::new(row)?)?.is_break() {
                    goes_on = false;
                    break;
                }
            }
        }
        // Nobody drives the connection between two statements: what is only dropped would stay open until the
        // next one, and what it has seen would have to be kept for it.
        Ok(self.wait(part.rollback())?)
    }
}

pub(crate) fn one<T>(
    conn: &Connection,
    sql: &str,
    params: &[Param<'_>],
    read: impl FnOnce(&RawRow) -> Result<T>,
) -> Result<T> {
    let none = || StoreError::Failed("the statement yields no row".to_owned());
    maybe(conn, sql, params, read)?.ok_or_else(none)
}

pub(crate) fn maybe<T>(
    conn: &Connection,
    sql: &str,
    params: &[Param<'_>],
    read: impl FnOnce(&RawRow) -> Result<T>,
) -> Result<Option<T>> {
    conn.query(sql, params)?.0.first().map(read).transpose()
}

pub(crate) fn each(
    conn: &Connection,
    sql: &str,
    params: &[Param<'_>],
    mut read: impl FnMut(&RawRow) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let only_reads = sql.trim_start().starts_with("SELECT");
    if only_reads && !conn.in_transaction.get() && !sql.contains("LIMIT") {
        return conn.some_of(sql, params, &mut read);
    }
    for row in conn.query(sql, params)?.0 {
        if read(&row)?.is_break() {
            break;
        }
    }
    Ok(())
}

pub(crate) fn run(conn: &Connection, sql: &str, params: &[Param<'_>]) -> Result<usize> {
    let (_, affected) = conn.query(sql, params)?;
    conn.changes.set(conn.changes.get() + affected);
    Ok(affected as usize)
}

/// Inserts one row; the number that it got.
pub(crate) fn insert_counted(conn: &Connection, sql: &str, params: &[Param<'_>]) -> Result<i64> {
    conn.changes.set(conn.changes.get() + 1);
    one(conn, &format!("{sql} RETURNING seq"), params, |row| get(row, 0))
}

/// How many rows were inserted, changed or deleted since the connection was opened.
pub(crate) fn changes(conn: &Connection) -> u64 {
    conn.changes.get()
}

pub(crate) fn next_number(conn: &Connection, table: &str) -> Result<i64> {
    let sql = format!("SELECT nextval(pg_get_serial_sequence('{table}', 'id'))");
    one(conn, &sql, &[], |row| get(row, 0))
}

/// What stands in a cell, as what is wanted.
pub(crate) fn get<T: FromCell>(row: &RawRow, column: usize) -> Result<T> {
    T::from_cell(cell(row, column)?).map_err(|reason| StoreError::cell(column_name(row, column), reason))
}

pub(crate) fn cell(row: &RawRow, column: usize) -> Result<CellValue<'_>> {
    if let Some((_, text)) = row.unescaped.iter().find(|(of, _)| *of == column) {
        return Ok(CellValue::Text(text));
    }
    let sent: Option<Sent<'_>> =
        row.row.try_get(column).map_err(|error| StoreError::cell(column_name(row, column), error))?;
    Ok(match sent {
        None => CellValue::Null,
        Some(Sent::Int(number)) => CellValue::Int(number),
        Some(Sent::Real(number)) => CellValue::Real(number),
        Some(Sent::Text(text)) => CellValue::Text(text),
        Some(Sent::Bytes(bytes)) => CellValue::Bytes(bytes),
    })
}

pub(crate) fn column_name(row: &RawRow, column: usize) -> String {
    row.row.columns().get(column).map_or("?", |column| column.name()).to_owned()
}

/// The bytes of all texts and blobs of a row.
pub(crate) fn weight(row: &RawRow) -> Result<usize> {
    (0..row.row.len()).try_fold(0, |bytes, column| {
        Ok(bytes
            + match cell(row, column)? {
                CellValue::Text(text) => text.len(),
                CellValue::Bytes(blob) => blob.len(),
                _ => 0,
            })
    })
}

impl RawRow {
    fn new(row: tokio_postgres::Row) -> Result<Self> {
        let mut unescaped_cells = Vec::new();
        for column in 0..row.len() {
            if row.columns()[column].type_() == &Type::TEXT
                && let Some(text) = row.try_get::<_, Option<&str>>(column)?
                && let Some(text) = unescaped(text)
            {
                unescaped_cells.push((column, text));
            }
        }
        Ok(Self { row, unescaped: unescaped_cells })
    }
}
