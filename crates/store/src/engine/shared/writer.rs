//! The thread that writes to PostgreSQL: it takes the jobs that wait, runs each behind a savepoint, commits
//! once and only then tells the callers.
//!
//! A batch holds the log's head from its beginning to its commit, so that what it reads, the ids and numbers
//! that it gives and the subscriptions that it matches with are those of the newest commit of any node.
//!
//! **Invariant**: a caller hears `Ok` only after the commit that holds its job is on disk. Whether a commit
//! was made whose answer never came is looked up before anybody hears anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::engine::batch::{Batch, Completion, take_back};
use crate::engine::membership::Membership;
use crate::engine::postgres::address::Address;
use crate::engine::postgres::driver::{self, Connection};
use crate::engine::queue::{Queue, Queued};
use crate::engine::shared::head::Head;
use crate::engine::sql::params;
use crate::engine::statistics::Statistics;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::secrecy::vault::Vault;
use crate::signals::{AfterCommit, Signals};
use vocabulary::clock::{Clock, Monotonic};
use vocabulary::subscription::SubscriptionSet;

/// Jobs per commit. PostgreSQL is slow with transactions of more than 64 savepoints that have written.
const BATCH_JOBS: usize = 60;

/// How long a commit whose answer never came is looked for while its session may still end in it.
const LOOKING_UP: Duration = Duration::from_secs(20);

/// The same while the database cannot even be reached: everybody waits for it, and who hears that it is not
/// known repeats what he sent.
const LOOKING_UP_UNREACHED: Duration = Duration::from_secs(3);

/// Everything the thread owns.
pub(crate) struct WriterState {
    pub(crate) address: Address,
    /// None while there is none.
    pub(crate) conn: Option<Connection>,
    pub(crate) clock: Clock,
    pub(crate) monotonic: Monotonic,
    pub(crate) head: Head,
    pub(crate) subscriptions: SubscriptionSet,
    pub(crate) signals: Arc<Signals>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) vault: Vault,
    pub(crate) membership: Arc<Membership>,
    /// Makes this process a node.
    pub(crate) join: Join,
}

/// Makes this process a node, in a transaction that is open.
pub(crate) type Join = fn(&mut Tx<'_>, &Arc<Membership>) -> Result<()>;

impl WriterState {
    /// Runs one job in a transaction of its own, before the thread starts or while this process is no node.
    /// Returns the epoch that it has left.
    pub(crate) fn transact(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<()>) -> Result<i64> {
        let mut after_commit = AfterCommit::default();
        let epoch = self.membership.epoch();
        let conn = connected(&mut self.conn, &self.address, &self.membership)?;
        let taken = self.head.take(conn, &mut self.subscriptions, Some(epoch).filter(|epoch| *epoch != 0));
        let done = taken.and_then(|_| {
            let batch = Batch {
                now: self.clock.now(),
                monotonic: self.monotonic.now(),
                wall_offset_ms: self.monotonic.wall_offset_ms(),
                epoch,
                mint: &mut self.head.mint,
                subscriptions: &mut self.subscriptions,
                vault: &self.vault,
                after_commit: &mut after_commit,
            };
            let mut tx = Tx::new(Read::of_shared(conn), batch);
            work(&mut tx)?;
            Ok(tx.epoch)
        });
        let committed = done.and_then(|epoch| {
            self.head.commit(conn, &after_commit, epoch)?;
            Ok(epoch)
        });
        match committed {
            Ok(epoch) => {
                self.signals.raise(after_commit);
                self.signals.tell_others();
                Ok(epoch)
            }
            Err(error) => {
                take_back(&mut self.subscriptions, after_commit);
                roll_back(&mut self.conn, &error);
                Err(error)
            }
        }
    }

    /// Makes this process a node. What others have told until then is no news to it.
    pub(crate) fn be_node(&mut self) -> Result<()> {
        let (join, membership) = (self.join, self.membership.clone());
        let mut heard = 0;
        let epoch = self.transact(|w| {
            heard = w.one("SELECT coalesce(max(seq), 0) FROM signals", &[], |row| row.get(0))?;
            join(w, &membership)
        })?;
        self.membership.has_heard(heard);
        self.membership.joined(epoch);
        // The session is known to others by its node from now on.
        self.conn = None;
        Ok(())
    }

    /// Writes what `queue` brings until it is closed.
    pub(crate) fn write_until_closed(mut self, queue: &Queue) {
        let mut batch = Vec::with_capacity(BATCH_JOBS);
        while queue.next(&mut batch, BATCH_JOBS) {
            self.write(&mut batch);
        }
    }

    /// One transaction for the whole batch; then every caller hears how it went.
    fn write(&mut self, batch: &mut Vec<Queued>) {
        let began = Instant::now();
        let jobs = batch.len();
        let mut after_commit = AfterCommit::default();
        let mut completions = Vec::with_capacity(jobs);
        let mut waiting = batch.drain(..);
        let written = self.run(&mut waiting, &mut after_commit, &mut completions);
        let failed = written.as_ref().err().cloned();
        self.statistics.committed(jobs, began.elapsed());
        self.statistics.note_failure(failed.as_ref(), self.clock.now());
        match &failed {
            None => {
                self.signals.raise(after_commit);
                if written.unwrap_or(true) {
                    self.signals.tell_others();
                }
            }
            Some(error) => {
                vocabulary::log_limit::limited!(warn: "a batch of {jobs} writes was not committed: {error}");
                completions.extend(waiting.map(|queued| (queued.job)(Err(error.clone())).1));
                take_back(&mut self.subscriptions, after_commit);
                roll_back(&mut self.conn, error);
                if matches!(error, StoreError::Fenced) {
                    self.membership.fenced();
                    self.signals.nodes_have_changed();
                }
            }
        }
        for completion in completions {
            completion(failed.clone());
        }
    }

    fn run(
        &mut self,
        waiting: &mut impl Iterator<Item = Queued>,
        after_commit: &mut AfterCommit,
        completions: &mut Vec<Completion>,
    ) -> Result<bool> {
        if self.membership.is_node() && self.membership.epoch() == 0 {
            self.be_node()?;
        }
        let epoch = self.membership.epoch();
        let conn = connected(&mut self.conn, &self.address, &self.membership)?;
        let before = conn.round_trips();
        let transaction =
            self.head.take(conn, &mut self.subscriptions, Some(epoch).filter(|epoch| *epoch != 0))?;
        let (now, monotonic, wall_offset_ms) =
            (self.clock.now(), self.monotonic.now(), self.monotonic.wall_offset_ms());
        for Queued { job, .. } in waiting {
            conn.ahead("SAVEPOINT job");
            let mut of_job = AfterCommit::default();
            let batch = Batch {
                now,
                monotonic,
                wall_offset_ms,
                epoch,
                mint: &mut self.head.mint,
                subscriptions: &mut self.subscriptions,
                vault: &self.vault,
                after_commit: &mut of_job,
            };
            let (keep, completion) = job(Ok(&mut Tx::new(Read::of_shared(conn), batch)));
            completions.push(completion);
            if keep {
                after_commit.join(of_job);
            } else {
                take_back(&mut self.subscriptions, of_job);
                conn.ahead("ROLLBACK TO SAVEPOINT job");
            }
            conn.ahead("RELEASE SAVEPOINT job");
            if conn.is_closed() {
                return Err(StoreError::Away("the connection broke".to_owned()));
            }
        }
        let committed = self.head.commit(conn, after_commit, epoch);
        self.statistics.waited(conn.round_trips() - before);
        match committed {
            Err(error) if conn.is_closed() => self.look_up(&transaction, error),
            done => done,
        }
    }

    /// Finds out whether a transaction whose commit was never answered was committed; others may wait for it
    /// then.
    fn look_up(&mut self, transaction: &str, error: StoreError) -> Result<bool> {
        // Whoever asks meanwhile why nothing is written shall hear it.
        self.statistics.note_failure(Some(&error), self.clock.now());
        let began = Instant::now();
        let mut reached = began;
        while began.elapsed() < LOOKING_UP && reached.elapsed() < LOOKING_UP_UNREACHED {
            self.conn = None;
            let status = connected(&mut self.conn, &self.address, &self.membership).and_then(|conn| {
                let sql = "SELECT pg_xact_status(CAST(CAST(?1 AS TEXT) AS xid8))";
                driver::one(conn, sql, params![transaction], |row| driver::get::<Option<String>>(row, 0))
            });
            if !matches!(status, Err(StoreError::Away(_))) {
                reached = Instant::now();
            }
            match status.ok().flatten().as_deref() {
                Some("committed") => return Ok(true),
                Some("aborted") => return Err(error),
                // Its session has not noticed yet that nobody is there, or the server is away.
                _ => std::thread::sleep(Duration::from_millis(200)),
            }
        }
        Err(error)
    }
}

/// The connection; a new one where there is none.
fn connected<'a>(
    conn: &'a mut Option<Connection>,
    address: &Address,
    membership: &Membership,
) -> Result<&'a Connection> {
    if conn.as_ref().is_some_and(Connection::is_closed) {
        *conn = None;
    }
    match conn {
        Some(conn) => Ok(conn),
        None => {
            let new = Connection::open(address)?;
            // A node that hangs must not hold the head for longer than others wait for it.
            let patience = membership.identity().lease.as_millis() * 2 / 3;
            new.batch(&format!(
                "SET application_name = '{}'; SET statement_timeout = {patience};
                 SET idle_in_transaction_session_timeout = {patience}",
                session_name(address.schema(), membership.epoch())
            ))?;
            Ok(conn.insert(new))
        }
    }
}

/// By which others know the session of a node that writes. PostgreSQL keeps 63 bytes of it.
pub(crate) fn session_name(schema: &str, epoch: i64) -> String {
    format!("chargehook {epoch} {schema:.38}")
}

/// Ends a transaction that is not to be committed, because of this error; without a connection it has ended.
fn roll_back(conn: &mut Option<Connection>, error: &StoreError) {
    // Where it leads may be a standby by now, and the primary another server under the same address.
    if matches!(error, StoreError::Away(_)) {
        *conn = None;
    }
    if let Some(open) = conn {
        open.forget_ahead();
        open.set_in_transaction(false);
        if open.batch("ROLLBACK").is_err() {
            *conn = None;
        }
    }
}
