//! The thread that writes to PostgreSQL: it takes the jobs that wait, runs them in one transaction, commits
//! once and only then tells the callers.
//!
//! A batch holds the log's head from its beginning to its commit, so that what it reads, the ids and numbers
//! that it gives and the subscriptions that it matches with are those of the newest commit of any node.
//!
//! What it waits for is the way to the database and back, so it goes there seldom. Jobs that may be run again
//! come first, without savepoints: what they have foreseen is read for all of them at once, and what they
//! write goes together. If a statement of theirs fails, all is taken back and each of them is run once more
//! behind a savepoint, as the other jobs are, so that the one at fault fails alone.
//!
//! **Invariant**: a caller hears `Ok` only after the commit that holds its job is on disk. Whether a commit
//! was made whose answer never came is looked up before anybody hears anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::engine::batch::{Batch, take_back};
use crate::engine::membership::Membership;
use crate::engine::postgres::address::Address;
use crate::engine::postgres::driver::{self, Connection};
use crate::engine::queue::{Queue, Queued};
use crate::engine::shared::foreseen::ForeseenOfAll;
use crate::engine::shared::head::Head;
use crate::engine::sql::params;
use crate::engine::statistics::Statistics;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::secrecy::vault::Vault;
use crate::signals::{AfterCommit, Signals};
use vocabulary::clock::{Clock, Monotonic, Timestamp};
use vocabulary::subscription::SubscriptionSet;

/// Jobs per commit: bounds how long the first of them waits.
const BATCH_JOBS: usize = 500;

/// Of them so many behind savepoints. PostgreSQL is slow with transactions of more than 64 savepoints that
/// have written.
const SAVEPOINTS: usize = 60;

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
        let of_node = Some(epoch).filter(|epoch| *epoch != 0);
        let taken = self.head.take(conn, &mut self.subscriptions, of_node, &[]);
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
                counted: Some(&self.head.counted),
                may_run_again: false,
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
            let (mut repeatable, mut once): (Vec<_>, Vec<_>) =
                batch.drain(..).partition(|queued| queued.job.may_run_again());
            // Of one station there is never more than one of these, so that it does not matter who is first.
            repeatable.sort_by_key(|queued| queued.job.foreseen().1.and_more);
            loop {
                let more = once.split_off(once.len().min(SAVEPOINTS));
                self.write(repeatable, once);
                if more.is_empty() {
                    break;
                }
                (repeatable, once) = (Vec::new(), more);
            }
        }
    }

    /// One transaction for the whole batch; then every caller hears how it went.
    fn write(&mut self, mut repeatable: Vec<Queued>, mut once: Vec<Queued>) {
        let began = Instant::now();
        let jobs = repeatable.len() + once.len();
        let mut after_commit = AfterCommit::default();
        let mut written = self.run(&mut repeatable, &mut once, &mut after_commit, false);
        if let Err(Failed::Together(error)) = &written {
            take_back(&mut self.subscriptions, std::mem::take(&mut after_commit));
            roll_back(&mut self.conn, error);
            written = self.run(&mut repeatable, &mut once, &mut after_commit, true);
        }
        let written = written.map_err(|(Failed::Together(error) | Failed::All(error))| error);
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
                take_back(&mut self.subscriptions, after_commit);
                roll_back(&mut self.conn, error);
                if matches!(error, StoreError::Fenced) {
                    self.membership.fenced();
                    self.signals.nodes_have_changed();
                }
            }
        }
        for queued in repeatable.into_iter().chain(once) {
            queued.job.tell(failed.clone());
        }
    }

    /// Runs the jobs and commits. `apart`: each behind a savepoint, so that none fails for another.
    fn run(
        &mut self,
        repeatable: &mut [Queued],
        once: &mut [Queued],
        after_commit: &mut AfterCommit,
        apart: bool,
    ) -> std::result::Result<bool, Failed> {
        if self.membership.is_node() && self.membership.epoch() == 0 {
            self.be_node()?;
        }
        let epoch = self.membership.epoch();
        let conn = connected(&mut self.conn, &self.address, &self.membership)?;
        let before = conn.round_trips();
        let foreseen = if apart { ForeseenOfAll::default() } else { ForeseenOfAll::of(repeatable) };
        let of_node = Some(epoch).filter(|epoch| *epoch != 0);
        let taken = self.head.take(conn, &mut self.subscriptions, of_node, &foreseen.statements)?;
        let mut offered = foreseen.by_job(taken.offered);
        let times = (self.clock.now(), self.monotonic.now(), self.monotonic.wall_offset_ms());
        let mut jobs = Jobs {
            conn,
            head: &mut self.head,
            subscriptions: &mut self.subscriptions,
            vault: &self.vault,
            times,
            epoch,
        };
        let together = if apart { &mut [][..] } else { &mut *repeatable };
        let several = together.len();
        for (queued, offered) in together.iter_mut().zip(&mut offered) {
            conn.offer(std::mem::take(offered));
            let kept = jobs.run_together(queued, after_commit);
            conn.offer(Vec::new());
            kept?;
        }
        if several > 0 && !once.is_empty() {
            conn.flush().map_err(|error| together_or_all(conn, error))?;
        }
        let apart = if apart { repeatable } else { &mut [][..] };
        let has_apart = !apart.is_empty() || !once.is_empty();
        for queued in apart.iter_mut().chain(once) {
            jobs.run_apart(queued, after_commit)?;
        }
        let committed = self.head.commit(conn, after_commit, epoch);
        self.statistics.waited(conn.round_trips() - before);
        match committed {
            Err(error) if conn.is_closed() => Ok(self.look_up(&taken.transaction, error)?),
            Err(StoreError::Commit(reason)) if several > 0 && !has_apart => {
                Err(Failed::Together(StoreError::Commit(reason)))
            }
            done => Ok(done?),
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

/// Why a batch was not committed.
enum Failed {
    /// One of the jobs that were run together is at fault.
    Together(StoreError),
    /// Nothing can be written, or whoever is at fault has failed alone.
    All(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::All(error)
    }
}

fn together_or_all(conn: &Connection, error: StoreError) -> Failed {
    match conn.is_closed() {
        true => Failed::All(error),
        false => Failed::Together(error),
    }
}

/// What jobs are run with, one after the other.
struct Jobs<'a> {
    conn: &'a Connection,
    head: &'a mut Head,
    subscriptions: &'a mut SubscriptionSet,
    vault: &'a Vault,
    /// Wall, monotonic clock, and how far the first is ahead.
    times: (Timestamp, Timestamp, i64),
    epoch: i64,
}

impl Jobs<'_> {
    /// Runs a job without a savepoint. What it wrote is taken back as long as nothing of it has been sent.
    fn run_together(
        &mut self,
        queued: &mut Queued,
        after_commit: &mut AfterCommit,
    ) -> std::result::Result<(), Failed> {
        let (waiting, sent) = (self.conn.waiting(), self.conn.sent());
        let mark = self.head.counted.mark();
        let mut of_job = AfterCommit::default();
        let keep = self.run(queued, &mut of_job, true);
        if self.conn.is_closed() {
            return Err(Failed::All(StoreError::Away("the connection broke".to_owned())));
        }
        if self.conn.is_spoiled() || (!keep && self.conn.sent() != sent) {
            take_back(self.subscriptions, of_job);
            return Err(Failed::Together(StoreError::Failed("a write of the batch failed".to_owned())));
        }
        match keep {
            true => after_commit.join(of_job),
            false => {
                take_back(self.subscriptions, of_job);
                self.conn.forget_since(waiting);
                self.head.counted.take_back(mark);
            }
        }
        Ok(())
    }

    /// Runs a job behind a savepoint, and waits until all that it wrote is there.
    fn run_apart(&mut self, queued: &mut Queued, after_commit: &mut AfterCommit) -> Result<()> {
        self.conn.ahead("SAVEPOINT job");
        let (waiting, sent) = (self.conn.waiting(), self.conn.sent());
        let mark = self.head.counted.mark();
        let mut of_job = AfterCommit::default();
        let mut keep = self.run(queued, &mut of_job, false);
        if keep && self.conn.is_spoiled() {
            queued.job.fail(StoreError::Failed("a statement of the write has failed".to_owned()));
            keep = false;
        }
        // What waited before it has gone with the first that it waited for.
        let not_its_own = if self.conn.sent() == sent { waiting } else { 0 };
        if keep
            && self.conn.waiting() > not_its_own
            && let Err(error) = self.conn.flush()
        {
            queued.job.fail(error);
            keep = false;
        }
        match keep {
            true => after_commit.join(of_job),
            false => {
                take_back(self.subscriptions, of_job);
                self.head.counted.take_back(mark);
                self.conn.forget_since(not_its_own);
                self.conn.is_sound_again();
                self.conn.ahead("ROLLBACK TO SAVEPOINT job");
            }
        }
        self.conn.ahead("RELEASE SAVEPOINT job");
        match self.conn.is_closed() {
            true => Err(StoreError::Away("the connection broke".to_owned())),
            false => Ok(()),
        }
    }

    fn run(&mut self, queued: &mut Queued, of_job: &mut AfterCommit, may_run_again: bool) -> bool {
        let (now, monotonic, wall_offset_ms) = self.times;
        let Head { mint, counted, .. } = &mut *self.head;
        let batch = Batch {
            now,
            monotonic,
            wall_offset_ms,
            epoch: self.epoch,
            mint,
            subscriptions: self.subscriptions,
            vault: self.vault,
            after_commit: of_job,
            counted: Some(counted),
            may_run_again,
        };
        queued.job.run(&mut Tx::new(Read::of_shared(self.conn), batch))
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
        open.forget_since(0);
        open.is_sound_again();
        open.set_in_transaction(false);
        if open.batch("ROLLBACK").is_err() {
            *conn = None;
        }
    }
}
