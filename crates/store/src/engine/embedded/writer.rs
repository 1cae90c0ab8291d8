//! The one thread that writes: it takes every job that waits, runs each in a savepoint, commits once
//! and only then tells the callers (group commit).
//!
//! **Invariant**: a caller hears `Ok` only after the commit that holds its job is on disk.

use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;
use tracing::warn;

use crate::engine::batch::{Batch, take_back};
use crate::engine::embedded::checkpoint::Checkpoint;
use crate::engine::embedded::monotonic;
use crate::engine::membership::Membership;
use crate::engine::queue::{Queue, Queued};
use crate::engine::statistics::Statistics;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::secrecy::vault::Vault;
use crate::signals::{AfterCommit, Signals};
use vocabulary::clock::{Clock, Monotonic};
use vocabulary::id::IdMint;
use vocabulary::subscription::SubscriptionSet;

/// Jobs per commit: bounds how long the first of them waits.
const BATCH_JOBS: usize = 1_000;

/// Everything the thread owns.
pub(crate) struct WriterState {
    pub(crate) conn: Connection,
    pub(crate) clock: Clock,
    pub(crate) monotonic: Monotonic,
    /// How far the database says that the wall is ahead of the monotonic clock; `None`: that is for another
    /// process to say.
    pub(crate) wall_offset_ms: Option<i64>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) mint: IdMint,
    pub(crate) subscriptions: SubscriptionSet,
    pub(crate) signals: Arc<Signals>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) vault: Vault,
}

impl WriterState {
    /// Runs one job in a transaction of its own, before the thread starts.
    pub(crate) fn transact(&mut self, work: impl FnOnce(&Connection, Batch<'_>) -> Result<()>) -> Result<()> {
        let mut after_commit = AfterCommit::default();
        let tx = self.conn.unchecked_transaction()?;
        let batch = Batch {
            now: self.clock.now(),
            monotonic: self.monotonic.now(),
            wall_offset_ms: self.monotonic.wall_offset_ms(),
            epoch: self.membership.epoch(),
            mint: &mut self.mint,
            subscriptions: &mut self.subscriptions,
            vault: &self.vault,
            after_commit: &mut after_commit,
            counted: None,
            may_run_again: false,
        };
        work(&self.conn, batch)?;
        tx.commit()?;
        self.signals.raise(after_commit);
        Ok(())
    }

    /// Writes what `queue` brings until it is closed.
    pub(crate) fn write_until_closed(mut self, queue: &Queue) {
        let mut batch = Vec::with_capacity(BATCH_JOBS);
        while queue.next(&mut batch, BATCH_JOBS) {
            self.commit(&mut batch);
            self.checkpoint.after_commit(&self.conn);
        }
    }

    /// One transaction for the whole batch; then every caller hears how it went.
    fn commit(&mut self, batch: &mut Vec<Queued>) {
        let began = Instant::now();
        let jobs = batch.len();
        let mut after_commit = AfterCommit::default();
        let failed = self.run(batch, &mut after_commit).err();
        self.statistics.committed(jobs, began.elapsed());
        self.statistics.note_failure(failed.as_ref(), self.clock.now());
        match &failed {
            None => self.signals.raise(after_commit),
            Some(error) => {
                vocabulary::log_limit::limited!(warn: "a batch of {jobs} writes was not committed: {error}");
                let _ = self.conn.execute_batch("ROLLBACK");
                take_back(&mut self.subscriptions, after_commit);
            }
        }
        for queued in batch.drain(..) {
            queued.job.tell(failed.clone());
        }
    }

    fn run(&mut self, jobs: &mut [Queued], after_commit: &mut AfterCommit) -> Result<()> {
        execute(&self.conn, "BEGIN IMMEDIATE")?;
        let (now, monotonic, wall_offset_ms) =
            (self.clock.now(), self.monotonic.now(), self.monotonic.wall_offset_ms());
        let epoch = self.membership.epoch();
        self.note_step(wall_offset_ms)?;
        for Queued { job, .. } in jobs {
            execute(&self.conn, "SAVEPOINT job")?;
            let mut of_job = AfterCommit::default();
            let batch = Batch {
                now,
                monotonic,
                wall_offset_ms,
                epoch,
                mint: &mut self.mint,
                subscriptions: &mut self.subscriptions,
                vault: &self.vault,
                after_commit: &mut of_job,
                counted: None,
                may_run_again: false,
            };
            if job.run(&mut Tx::new(Read::of(&self.conn), batch)) {
                after_commit.join(of_job);
            } else {
                take_back(&mut self.subscriptions, of_job);
                execute(&self.conn, "ROLLBACK TO job")?;
            }
            execute(&self.conn, "RELEASE job")?;
        }
        execute(&self.conn, "COMMIT")?;
        self.wall_offset_ms = self.wall_offset_ms.and(Some(wall_offset_ms));
        Ok(())
    }

    /// Writes down that the clock was set, before anything else is written.
    fn note_step(&self, wall_offset_ms: i64) -> Result<()> {
        match self.wall_offset_ms {
            Some(known_ms) if known_ms != wall_offset_ms => monotonic::note(&self.conn, wall_offset_ms)
                .map_err(|error| StoreError::Commit(error.to_string())),
            _ => Ok(()),
        }
    }
}

fn execute(conn: &Connection, sql: &str) -> Result<()> {
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(drop)
        .map_err(|error| StoreError::Commit(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Priority;
    use crate::engine::embedded::connect;
    use crate::engine::embedded::data_dir::DATABASE;
    use crate::{Scope, Store};

    #[tokio::test]
    async fn callers_of_a_batch_that_cannot_begin_hear_that_it_was_not_committed() {
        if crate::test_store::is_shared() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        store
            .write(Priority::Api, Scope::Installation, |w| w.one("PRAGMA busy_timeout = 0", &[], |_| Ok(())))
            .await
            .expect("it commits");
        let other = connect::open_writer(&dir.path().join(DATABASE)).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("takes the lock");
        let refused = store.write(Priority::Api, Scope::Installation, |_| Ok(())).await;
        assert!(matches!(refused, Err(StoreError::Commit(_))), "{refused:?}");
        other.execute_batch("ROLLBACK").expect("gives it back");
        store.write(Priority::Api, Scope::Installation, |_| Ok(())).await.expect("it commits again");
    }
}
