//! Statements on PostgreSQL: values in, rows out. Every text is prepared once per connection.
//!
//! A connection is driven by whoever waits for its answer, on that thread. Each method that returns an answer
//! has made one round trip, one more where a text is new; what needs no answer of its own
//! ([`Connection::ahead`], [`send`]) travels with the next statement, and what was foreseen
//! ([`Connection::offer`]) needs none.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, CopyInSink, Statement};

use crate::engine::postgres::address::Address;
use crate::engine::postgres::bulk::{self, Form};
use crate::engine::postgres::cells::Bound;
use crate::engine::postgres::dialect::{self, Translated};
use crate::engine::postgres::messages::{Message, Rows, answers};
use crate::engine::postgres::sending::{Part, Sending};
use crate::engine::sql::Param;
use crate::error::{Result, StoreError};

pub(crate) use crate::engine::postgres::raw_row::{RawRow, cell, column_name, get, weight};

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
    sending: RefCell<Sending>,
    /// How often some have gone.
    sent: Cell<u64>,
    /// What the next job reads first, read already.
    offered: RefCell<Vec<Offered>>,
    is_outdated: Cell<bool>,
    /// A statement has failed: nothing of the transaction, or since its savepoint, can be kept.
    is_spoiled: Cell<bool>,
    in_transaction: Cell<bool>,
    changes: Cell<u64>,
    round_trips: Cell<u64>,
}

/// What is known of a text of ours.
struct Known {
    translated: Translated,
    form: Form,
    tables: Arc<[Box<str>]>,
    /// Prepared for values of these types, for one row of them or for arrays.
    prepared: Vec<(Shape, Vec<Type>, Arc<Statement>)>,
}

/// For what a statement is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One row of values.
    One,
    /// Arrays of values, of which something is inserted or changed.
    Many,
    /// Arrays of values, for each of which something is read.
    Each,
}

/// A statement and its values, with the rows that it has yielded.
pub(crate) struct Offered {
    sql: &'static str,
    values: Vec<Param<'static>>,
    rows: Vec<RawRow>,
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
            sending: RefCell::default(),
            sent: Cell::new(0),
            offered: RefCell::default(),
            is_outdated: Cell::new(false),
            is_spoiled: Cell::new(false),
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

    /// Waits for an answer.
    pub(super) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.round_trips.set(self.round_trips.get() + 1);
        match &self.runtime {
            Some(runtime) => runtime.block_on(answer),
            None => unreachable!("it is there until the connection is dropped"),
        }
    }

    /// Sends `sql`, without values and without an answer, ahead of the next statement.
    pub(crate) fn ahead(&self, sql: &str) {
        self.sending.borrow_mut().text(sql);
    }

    /// Runs `sql`, which may be several statements, behind those that are to go ahead.
    pub(crate) fn batch(&self, sql: &str) -> Result<()> {
        self.exchange(vec![Message::Text(sql.to_owned())]).map(drop)
    }

    /// Sends what is to go ahead, and waits for it.
    ///
    /// # Errors
    /// The first one's that failed.
    pub(crate) fn flush(&self) -> Result<()> {
        match self.waiting() {
            0 => Ok(()),
            _ => self.exchange(Vec::new()).map(drop),
        }
    }

    /// Runs a statement and commits, in one round trip.
    ///
    /// # Errors
    /// The statement's, of one that went ahead, or the commit's: nothing was committed then, unless the
    /// connection broke.
    pub(crate) fn commit_with(&self, sql: &str, params: &[Param<'_>]) -> Result<()> {
        let statement = self.statement(sql, params)?;
        self.exchange(vec![statement, Message::Text("COMMIT".to_owned())]).map(drop)
    }

    /// Runs a statement, and reads what was foreseen, in one round trip.
    ///
    /// # Errors
    /// The first one's that failed.
    pub(crate) fn one_and_foreseen<T>(
        &self,
        (sql, params): (&str, &[Param<'_>]),
        foreseen: &[(&'static str, Vec<Vec<Param<'static>>>)],
        read: impl FnOnce(&RawRow) -> Result<T>,
    ) -> Result<(T, Vec<Vec<Offered>>)> {
        let mut messages = vec![self.statement(sql, params)?];
        for (sql, rows) in foreseen {
            messages.push(self.statement_of_rows(sql, Shape::Each, rows)?);
        }
        let mut answers = self.exchange(messages)?.into_iter();
        self.is_outdated.set(false);
        let row = answers.next().and_then(|(rows, _)| rows.into_iter().next());
        let row = row.ok_or_else(|| StoreError::Failed("the statement yields no row".to_owned()))?;
        let first = read(&RawRow::new(row, 0)?)?;
        let offered = foreseen.iter().zip(answers).map(|((sql, of), (rows, _))| {
            let mut offered: Vec<Offered> =
                of.iter().map(|values| Offered { sql, values: values.clone(), rows: Vec::new() }).collect();
            for row in rows {
                let nth: i64 = row.try_get(0)?;
                if let Some(of) = usize::try_from(nth - 1).ok().and_then(|nth| offered.get_mut(nth)) {
                    of.rows.push(RawRow::new(row, 1)?);
                }
            }
            Ok(offered)
        });
        Ok((first, offered.collect::<Result<_>>()?))
    }

    /// Answers these statements, each once, without asking the database.
    pub(crate) fn offer(&self, offered: Vec<Offered>) {
        let is_current = !self.is_outdated.get();
        *self.offered.borrow_mut() = if is_current { offered } else { Vec::new() };
    }

    /// What was foreseen with the last [`Connection::one_and_foreseen`] may have changed.
    pub(crate) fn offer_no_more(&self) {
        self.is_outdated.set(true);
        self.offered.borrow_mut().clear();
    }

    /// Begins a `COPY … FROM STDIN`.
    pub(super) fn copy_in(&self, sql: &str) -> Result<CopyInSink<Bytes>> {
        let client = self.client.borrow();
        Ok(self.wait(client.copy_in(sql))?)
    }

    /// Says that a transaction has begun, or that it has ended.
    pub(crate) fn set_in_transaction(&self, is: bool) {
        self.in_transaction.set(is);
    }

    /// How many statements are to go ahead of the next one.
    pub(crate) fn waiting(&self) -> usize {
        self.sending.borrow().len()
    }

    /// Forgets those that came after so many were waiting.
    pub(crate) fn forget_since(&self, waiting: usize) {
        self.sending.borrow_mut().forget_since(waiting);
    }

    /// How often statements have gone to the database.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Whether a statement has failed since [`Connection::is_sound_again`].
    pub(crate) fn is_spoiled(&self) -> bool {
        self.is_spoiled.get()
    }

    /// Whatever failed was taken back.
    pub(crate) fn is_sound_again(&self) {
        self.is_spoiled.set(false);
    }

    /// The statement, prepared for values of these types.
    fn prepare(&self, sql: &str, shape: Shape, types: Vec<Type>) -> Result<Arc<Statement>> {
        let text = {
            let statements = self.statements.borrow();
            let known = &statements[sql];
            let prepared = known.prepared.iter().find(|(of, these, _)| *of == shape && *these == types);
            if let Some((.., statement)) = prepared {
                return Ok(statement.clone());
            }
            let text = &known.translated.text;
            match shape {
                Shape::One => text.clone(),
                Shape::Many => bulk::many(text, types.len()),
                Shape::Each => bulk::each(text, types.len()),
            }
        };
        let statement = Arc::new(self.wait(self.client.borrow().prepare_typed(&text, &types))?);
        if let Some(known) = self.statements.borrow_mut().get_mut(sql) {
            known.prepared.push((shape, types, statement.clone()));
        }
        Ok(statement)
    }

    /// Makes a text of ours known.
    fn know(&self, sql: &str) {
        let mut statements = self.statements.borrow_mut();
        if !statements.contains_key(sql) {
            if statements.len() >= STATEMENT_CACHE {
                statements.clear();
            }
            let translated = dialect::translate(sql);
            let (form, tables) = (bulk::form(&translated.text), bulk::tables(&translated.text).into());
            statements.insert(sql.into(), Known { translated, form, tables, prepared: Vec::new() });
        }
    }

    /// A statement with its values.
    fn statement<'a>(&self, sql: &str, params: &'a [Param<'_>]) -> Result<Message<'a>> {
        self.know(sql);
        let bound: Vec<Bound<'a>> = {
            let statements = self.statements.borrow();
            let lists = &statements[sql].translated.lists;
            let bound = params.iter().enumerate().map(|(nth, param)| {
                Bound::new(param, lists.iter().find(|(at, _)| *at == nth).map(|(_, of)| *of))
            });
            bound.collect::<Result<_>>()?
        };
        let statement = self.prepare(sql, Shape::One, bound.iter().map(Bound::declared).collect())?;
        Ok(Message::Statement(statement, bound))
    }

    /// A statement with many rows of values.
    fn statement_of_rows<'a>(
        &self,
        sql: &str,
        shape: Shape,
        rows: &'a [Vec<Param<'static>>],
    ) -> Result<Message<'a>> {
        self.know(sql);
        let columns = rows.first().map_or(0, Vec::len);
        let bound: Vec<Bound<'a>> = (0..columns).map(|column| Bound::column(rows, column)).collect();
        let statement = self.prepare(sql, shape, bound.iter().map(Bound::declared).collect())?;
        Ok(Message::Statement(statement, bound))
    }

    /// Sends what is to go ahead and these messages, and waits for the answers to these.
    fn exchange(&self, messages: Vec<Message<'_>>) -> Result<Vec<Rows>> {
        let mut parts = self.sending.borrow_mut().take();
        for part in &mut parts {
            if let Part::Rows(rows) = part {
                rows.fold();
            }
        }
        let ahead = parts.iter().map(|part| match part {
            Part::Text(text) => Ok(Message::Text(text.clone())),
            Part::Rows(rows) => match &rows.rows[..] {
                [only] => self.statement(&rows.sql, only),
                many => self.statement_of_rows(&rows.sql, Shape::Many, many),
            },
        });
        let ahead: Vec<Message<'_>> =
            ahead.collect::<Result<_>>().inspect_err(|_| self.is_spoiled.set(true))?;
        let client = self.client.borrow();
        self.sent.set(self.sent.get() + 1);
        let answers = self.wait(answers(&client, ahead.into_iter().chain(messages).collect()));
        let mut answers = answers.into_iter();
        let mut of_messages = Vec::new();
        for nth in 0..answers.len() {
            match answers.next() {
                Some(Ok(rows)) if nth >= parts.len() => of_messages.push(rows),
                Some(Ok(_)) | None => {}
                Some(Err(error)) => {
                    self.is_spoiled.set(true);
                    return Err(error.into());
                }
            }
        }
        Ok(of_messages)
    }

    /// What was read already for this statement and these values.
    fn take_offered(&self, sql: &str, params: &[Param<'_>]) -> Option<Vec<RawRow>> {
        let mut offered = self.offered.borrow_mut();
        let at = offered.iter().position(|of| of.sql == sql && of.values == params)?;
        Some(offered.swap_remove(at).rows)
    }

    /// Runs a statement: its rows, and how many it has inserted, changed or deleted.
    fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<(Vec<RawRow>, u64)> {
        if let Some(rows) = self.take_offered(sql, params) {
            return Ok((rows, 0));
        }
        let statement = self.statement(sql, params)?;
        let mut answers = self.exchange(vec![statement])?;
        let (rows, affected) = answers.pop().unwrap_or_default();
        let rows = rows.into_iter().map(|row| RawRow::new(row, 0)).collect::<Result<_>>()?;
        Ok((rows, affected))
    }

    /// Rows one by one, as long as `read` goes on, of a statement that may yield many more.
    fn some_of(
        &self,
        sql: &str,
        params: &[Param<'_>],
        read: &mut impl FnMut(&RawRow) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Message::Statement(statement, bound) = self.statement(sql, params)? else { return Ok(()) };
        let values = bound.iter().map(|value| value as &(dyn ToSql + Sync));
        let mut client = self.client.borrow_mut();
        let part = self.wait(client.build_transaction().read_only(true).start())?;
        let portal = self.wait(part.bind_raw(&*statement, values))?;
        let mut goes_on = true;
        while goes_on {
            let rows = self.wait(part.query_portal(&portal, PORTION))?;
            goes_on = rows.len() == PORTION as usize;
            for row in rows {
                if read(&RawRow::new(row, 0)?)?.is_break() {
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

/// Runs a statement along with the next one that somebody waits for.
pub(crate) fn send(conn: &Connection, sql: &str, params: &[Param<'_>]) {
    conn.know(sql);
    let row = params.iter().map(Param::to_static).collect();
    let statements = conn.statements.borrow();
    let known = &statements[sql];
    conn.sending.borrow_mut().statement(sql, (known.form, &known.tables), row);
    conn.changes.set(conn.changes.get() + 1);
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
