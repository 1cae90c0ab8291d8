//! What the use cases run on.
//!
//! A use case works with a [`Tx`] or a [`Read`] and names no driver; an [`Engine`] runs it. Each engine
//! promises:
//!
//! - **Durable**: [`Engine::write`] returns `Ok` only after the commit that holds the job is on disk. An
//!   error means that nothing of the job was written. One job that fails or panics is rolled back alone.
//! - **In order**: rows of the log, minted ids and sequences grow in commit order. Whoever has read up to a
//!   [`LogPosition`](crate::LogPosition) finds nothing new below it later.
//! - **Alone in its scope**: between what a job reads and its commit, nobody else writes rows of its
//!   [`Scope`]. A few counters and caches are written in any scope; [`Scope`] lists them.
//! - **Chargers first**: jobs go by [`Priority`], and a bounded number waits; beyond it callers wait.
//! - **Told after**: what a job leaves in `after_commit` reaches the signals after its commit, and never if
//!   it was rolled back.
//! - **Reads** see what was last committed, statement by statement: two statements of one [`Read`] may see
//!   two commits.

pub(crate) mod batch;
pub(crate) mod carrying;
pub(crate) mod counted;
pub(crate) mod embedded;
pub(crate) mod job;
pub(crate) mod membership;
pub(crate) mod offline;
pub(crate) mod postgres;
pub(crate) mod queue;
pub(crate) mod row;
pub(crate) mod schema;
pub(crate) mod shared;
pub(crate) mod sql;
pub(crate) mod sqlite;
pub(crate) mod statistics;
pub(crate) mod tables;
pub(crate) mod tx;

use std::fmt;

use crate::engine::embedded::Embedded;
use crate::engine::job::{Reads, once, repeatable};
use crate::engine::postgres::hints::Hints;
use crate::engine::queue::Writer;
use crate::engine::shared::Shared;
use crate::engine::statistics::Statistics;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use vocabulary::id::{StationId, WebhookId};

/// What runs the use cases.
pub(crate) enum Engine {
    /// SQLite, in this process.
    Embedded(Embedded),
    /// PostgreSQL, which other nodes may use as well.
    Shared(Box<Shared>),
}

impl Engine {
    /// Runs `work` in a transaction and returns once it is durable.
    ///
    /// # Errors
    /// `work`'s own error, with nothing of it written; or [`StoreError::Commit`]
    /// for all jobs that were to be committed together.
    pub(crate) async fn write<T, F>(&self, priority: Priority, scope: Scope, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (job, told) = once(scope, work);
        self.writer().write(priority, job, told).await
    }

    /// The same for work that does the same if it is run again after all that it wrote was taken back, and
    /// whose `reads` are foreseen. Many such are written together with few waits for a database
    /// that is far away.
    ///
    /// # Errors
    /// Those of [`Engine::write`].
    pub(crate) async fn write_repeatable<T, F>(
        &self,
        priority: Priority,
        scope: Scope,
        reads: Reads,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (job, told) = repeatable(scope, reads, work);
        self.writer().write(priority, job, told).await
    }

    /// The thread that writes.
    fn writer(&self) -> &Writer {
        match self {
            Self::Embedded(embedded) => embedded.writer(),
            Self::Shared(shared) => shared.writer(),
        }
    }

    /// Runs `query`, which somebody waits for.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> Result<T> + Send + 'static,
    {
        match self {
            Self::Embedded(embedded) => embedded.read(|conn| query(&Read::of(conn))).await,
            Self::Shared(shared) => shared.read(|conn| query(&Read::of_shared(conn))).await,
        }
    }

    /// Runs `query`, which brings deliveries their bodies: no list that somebody asks for holds it up.
    pub(crate) async fn read_to_deliver<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> Result<T> + Send + 'static,
    {
        match self {
            Self::Embedded(embedded) => embedded.read_to_deliver(|conn| query(&Read::of(conn))).await,
            Self::Shared(shared) => shared.read_to_deliver(|conn| query(&Read::of_shared(conn))).await,
        }
    }

    /// Whether other nodes may work on the same database.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// Runs `work`, which waits for no writer: signs of life, and looks at other nodes.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where there are no other nodes.
    pub(crate) async fn control<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> Result<T> + Send + 'static,
    {
        self.shared()?.control(|conn| work(&Read::of_shared(conn))).await
    }

    /// Ends the sessions that another node writes with.
    pub(crate) async fn end_sessions(&self, epoch: i64) -> Result<()> {
        let schema = self.shared()?.address().schema().to_owned();
        self.control(move |db| shared::start::end_sessions(db, &schema, epoch)).await
    }

    /// Hints between nodes.
    pub(crate) async fn hints(&self) -> Result<Hints> {
        Hints::listen(self.shared()?.address()).await
    }

    fn shared(&self) -> Result<&Shared> {
        match self {
            Self::Shared(shared) => Ok(shared),
            Self::Embedded(_) => Err(StoreError::Failed("this store has no other nodes".to_owned())),
        }
    }

    /// Writes what waits, then ends; later writes are refused. Blocks until the last commit.
    pub(crate) fn close(&self) {
        match self {
            Self::Embedded(embedded) => embedded.close(),
            Self::Shared(shared) => shared.close(),
        }
    }

    /// What it counts of itself.
    pub(crate) fn statistics(&self) -> &Statistics {
        match self {
            Self::Embedded(embedded) => embedded.statistics(),
            Self::Shared(shared) => shared.statistics(),
        }
    }
}

/// Who goes first when several wait. What chargers sent comes before everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Messages of chargers, and the coming and going of their connections.
    Inbound,
    /// Claims and outcomes of deliveries.
    Outcome,
    /// What integrators ask for.
    Api,
    /// What is so large that nobody should wait for its commit.
    Bulky,
    /// The removal of what is past its time.
    Retention,
}

/// From here on a commit of it alone takes longer than a hundred small ones together.
pub(crate) const BULKY_BYTES: usize = 64 << 10;

impl Priority {
    /// The same for something of that size: chargers that speak now do not wait for a megabyte of another.
    pub(crate) fn of_bytes(self, bytes: usize) -> Self {
        if bytes < BULKY_BYTES { self } else { Self::Bulky }
    }
}

/// What a job's changes depend on and change: of several nodes one at a time writes in a scope.
///
/// In any scope a job may append events and deliveries, and write rows that nobody else knows yet. It may
/// also write these, which many scopes share, so an engine of several nodes has to order them by itself:
///
/// - Counters: the numbers of transactions and of their changes (`sessions::transactions`), the sequences of
///   webhooks and stations (`log::append`), the tallies of deliveries (`deliveries::tallies`), what bulk
///   commands count (`commands::bulk_counts`).
/// - Caches of which any row may be deleted: answers of the authorization endpoint and answers to requests
///   with an `Idempotency-Key`, whose oldest rows are deleted when a new one is written (`access`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One station, with its sessions, commands and connection.
    Station(StationId),
    /// One webhook, with its deliveries. A number below zero is an origin, with the deliveries to its direct
    /// URLs (`deliveries::direct_url`).
    Webhook(WebhookId),
    /// Several of these, in any order.
    Webhooks(Vec<WebhookId>),
    /// Everything: what is of no station and no webhook (keys, tags, retention), or of unknown ones.
    Installation,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Station(station) => write!(f, "station {station}"),
            Self::Webhook(webhook) => write!(f, "webhook {webhook}"),
            Self::Webhooks(webhooks) => write!(f, "webhooks {webhooks:?}"),
            Self::Installation => f.write_str("the installation"),
        }
    }
}
