//! What use cases work with: [`Read`], which only reads, and [`Tx`], a job's part of a transaction.

use std::ops::{ControlFlow, Deref};

use crate::engine::batch::Batch;
use crate::engine::counted::Counted;
use crate::engine::postgres;
use crate::engine::row::Row;
use crate::engine::sql::Param;
use crate::engine::sqlite::free_space::Space;
use crate::engine::sqlite::{driver, free_space, row_numbers};
use crate::error::Result;
use crate::secrecy::vault::Vault;
use crate::signals::AfterCommit;
use vocabulary::clock::Timestamp;
use vocabulary::id::IdMint;
use vocabulary::subscription::SubscriptionSet;

/// Reads. A row's reader runs no statement of its own; collect the rows first.
#[derive(Clone, Copy)]
pub(crate) struct Read<'a> {
    session: Session<'a>,
}

#[derive(Clone, Copy)]
enum Session<'a> {
    Embedded(&'a driver::Connection),
    Shared(&'a postgres::driver::Connection),
}

impl<'a> Read<'a> {
    /// On a connection of SQLite.
    pub(crate) fn of(conn: &'a driver::Connection) -> Self {
        Self { session: Session::Embedded(conn) }
    }

    /// On a connection to PostgreSQL.
    pub(crate) fn of_shared(conn: &'a postgres::driver::Connection) -> Self {
        Self { session: Session::Shared(conn) }
    }

    /// The only row, or the first one.
    ///
    /// # Errors
    /// Without any; what `read` says.
    #[inline]
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: &[Param<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        match self.session {
            Session::Embedded(conn) => driver::one(conn, sql, params, |row| read(&Row::Embedded(row))),
            Session::Shared(conn) => postgres::driver::one(conn, sql, params, |row| read(&Row::Shared(row))),
        }
    }

    /// The only row, or the first one, if there is any.
    ///
    /// # Errors
    /// What `read` says.
    #[inline]
    pub(crate) fn maybe<T>(
        &self,
        sql: &str,
        params: &[Param<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.session {
            Session::Embedded(conn) => driver::maybe(conn, sql, params, |row| read(&Row::Embedded(row))),
            Session::Shared(conn) => {
                postgres::driver::maybe(conn, sql, params, |row| read(&Row::Shared(row)))
            }
        }
    }

    /// All rows.
    ///
    /// # Errors
    /// What `read` says, at the first row that it cannot read.
    #[inline]
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        params: &[Param<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.each(sql, params, |row| {
            rows.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// Row by row, as long as `read` goes on.
    ///
    /// # Errors
    /// What `read` says.
    #[inline]
    pub(crate) fn each(
        &self,
        sql: &str,
        params: &[Param<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match self.session {
            Session::Embedded(conn) => driver::each(conn, sql, params, |row| read(&Row::Embedded(row))),
            Session::Shared(conn) => postgres::driver::each(conn, sql, params, |row| read(&Row::Shared(row))),
        }
    }

    /// The connection, where it is one to PostgreSQL.
    pub(in crate::engine) fn shared(&self) -> Option<&'a postgres::driver::Connection> {
        match self.session {
            Session::Embedded(_) => None,
            Session::Shared(conn) => Some(conn),
        }
    }

    /// The room that the database takes now.
    pub(crate) fn space(&self) -> Result<Space> {
        match self.session {
            Session::Embedded(conn) => free_space::space(conn),
            Session::Shared(conn) => postgres::space::space(conn),
        }
    }

    /// Whether there is any row.
    #[inline]
    pub(crate) fn has(&self, sql: &str, params: &[Param<'_>]) -> Result<bool> {
        Ok(self.maybe(sql, params, |_| Ok(()))?.is_some())
    }
}

/// What a job works with: its part of the open transaction, and the counters that only an engine's writer
/// holds.
pub(crate) struct Tx<'a> {
    read: Read<'a>,
    /// When the batch began.
    pub(crate) now: Timestamp,
    /// The same moment on the monotonic clock: what waits is due by it.
    pub(crate) monotonic: Timestamp,
    /// How far the wall is ahead of it.
    pub(crate) wall_offset_ms: i64,
    /// The number of the node that writes: what it holds is held under it.
    pub(crate) epoch: i64,
    /// Gives ids in commit order.
    pub(crate) mint: &'a mut IdMint,
    /// Every webhook's subscription, as of the last commit or of this batch.
    pub(crate) subscriptions: &'a mut SubscriptionSet,
    /// Seals and opens what is secret.
    pub(crate) vault: &'a Vault,
    /// Whom to wake once this job is on disk; forgotten with it if it is rolled back.
    pub(crate) after_commit: &'a mut AfterCommit,
    /// What the batch counts in memory; `None` where the database is as near.
    pub(crate) counted: Option<&'a Counted>,
    may_run_again: bool,
}

impl<'a> Tx<'a> {
    /// A job's part of the transaction that is open on `read`.
    pub(crate) fn new(read: Read<'a>, batch: Batch<'a>) -> Self {
        let Batch { now, monotonic, wall_offset_ms, epoch, mint, subscriptions, vault, after_commit, .. } =
            batch;
        let (counted, may_run_again) = (batch.counted, batch.may_run_again);
        Self {
            read,
            now,
            monotonic,
            wall_offset_ms,
            epoch,
            mint,
            subscriptions,
            vault,
            after_commit,
            counted,
            may_run_again,
        }
    }

    /// Whether the job may be run once more, so that it has to keep what it works with.
    pub(crate) fn may_run_again(&self) -> bool {
        self.may_run_again
    }

    /// Whether other nodes may work on the same database.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.read.session, Session::Shared(_))
    }

    /// Runs a statement that yields no rows; how many it has inserted, changed or deleted.
    #[inline]
    pub(crate) fn run(&self, sql: &str, params: &[Param<'_>]) -> Result<usize> {
        match self.read.session {
            Session::Embedded(conn) => driver::run(conn, sql, params),
            Session::Shared(conn) => postgres::driver::run(conn, sql, params),
        }
    }

    /// Runs a statement whose outcome the job does not look at: where the database is far away it travels
    /// with the next one that somebody waits for, and many rows of one statement together. If it fails the
    /// job has failed.
    #[inline]
    pub(crate) fn send(&self, sql: &str, params: &[Param<'_>]) -> Result<()> {
        match self.read.session {
            Session::Embedded(conn) => driver::run(conn, sql, params).map(drop),
            Session::Shared(conn) => {
                postgres::driver::send(conn, sql, params);
                Ok(())
            }
        }
    }

    /// What jobs behind this one in the batch have read ahead may have changed by now.
    pub(crate) fn outdate_foreseen(&self) {
        if let Session::Shared(conn) = self.read.session {
            conn.offer_no_more();
        }
    }

    /// The number that the next row of `table` gets, whose rows are numbered once and for all; insert it with
    /// this one.
    pub(crate) fn next_number(&self, table: &str) -> Result<i64> {
        match self.read.session {
            Session::Embedded(conn) => driver::next_number(conn, table),
            Session::Shared(conn) => postgres::driver::next_number(conn, table),
        }
    }

    /// Counts what is inserted, changed or deleted; it has changed since if anything was.
    pub(crate) fn changes(&self) -> u64 {
        match self.read.session {
            Session::Embedded(conn) => driver::changes(conn),
            Session::Shared(conn) => postgres::driver::changes(conn),
        }
    }

    /// Inserts one row into a table that counts its rows in `seq`; returns the number that the row got.
    #[inline]
    pub(crate) fn insert_counted(&self, sql: &str, params: &[Param<'_>]) -> Result<i64> {
        match self.read.session {
            Session::Embedded(conn) => driver::insert_counted(conn, sql, params),
            Session::Shared(conn) => postgres::driver::insert_counted(conn, sql, params),
        }
    }

    /// Moves on the numbers that rows get by themselves, of every table by the step that `step` names for it:
    /// numbers that somebody else may have seen are not given again.
    pub(crate) fn skip_row_numbers(&self, step: impl Fn(&str) -> i64) -> Result<()> {
        match self.read.session {
            Session::Embedded(conn) => row_numbers::skip(conn, step),
            Session::Shared(conn) => postgres::row_numbers::skip(conn, step),
        }
    }

    /// Gives a few free pages of the database back.
    pub(crate) fn shrink(&self) -> Result<()> {
        match self.read.session {
            Session::Embedded(conn) => free_space::shrink(conn),
            // PostgreSQL does that by itself.
            Session::Shared(_) => Ok(()),
        }
    }

    /// What the wall shows at a moment of the monotonic clock.
    pub(crate) fn to_wall(&self, moment: Timestamp) -> Timestamp {
        Timestamp::from_unix_ms(moment.unix_ms() + self.wall_offset_ms)
    }
}

impl<'a> Deref for Tx<'a> {
    type Target = Read<'a>;

    #[inline]
    fn deref(&self) -> &Read<'a> {
        &self.read
    }
}
