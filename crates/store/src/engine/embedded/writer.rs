//! The one thread that writes: it takes every job that waits, runs each in a savepoint, commits once
//! and only then tells the callers (group commit).
//!
//! **Invariant**: a caller hears `Ok` only after the commit that holds its job is on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::warn;

use crate::engine::Priority;
use crate::engine::batch::{Batch, Completion};
use crate::engine::embedded::checkpoint::Checkpoint;
use crate::engine::embedded::monotonic;
use crate::engine::embedded::statistics::Statistics;
use crate::error::{Result, StoreError};
use crate::secrecy::vault::Vault;
use crate::signals::{AfterCommit, Signals};
use vocabulary::clock::{Clock, Monotonic};
use vocabulary::id::IdMint;
use vocabulary::subscription::SubscriptionSet;

/// Whether it goes when nobody else waits, or has waited for long, and then one at a time.
fn gives_way(priority: Priority) -> bool {
    matches!(priority, Priority::Bulky | Priority::Retention)
}

/// In the order in which they go.
const PRIORITIES: [Priority; 5] =
    [Priority::Inbound, Priority::Outcome, Priority::Api, Priority::Bulky, Priority::Retention];

/// Jobs that may wait per priority; beyond it callers wait, which slows sockets down, not the store.
const QUEUED_JOBS: usize = 8_192;

/// Jobs per commit: bounds how long the first of them waits.
const BATCH_JOBS: usize = 1_000;

/// Of which so many may be of one kind that is not a charger's: bounds how long one that speaks now waits for
/// those who came before it. A commit for a hundred costs them next to nothing more than one for a thousand.
const LESSER_JOBS: usize = 100;

/// Batches that go before one that gives way, which would hold up everybody of its own.
const PASSED_OVER_MAX: u32 = 8;

/// Runs in the transaction that is open on the connection, or hears why there is none; tells whether what it
/// wrote is to be kept.
pub(crate) type Job = Box<dyn FnOnce(Result<(&Connection, Batch<'_>)>) -> (bool, Completion) + Send>;

struct Queued {
    job: Job,
    _permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Queues {
    waiting: [VecDeque<Queued>; PRIORITIES.len()],
    /// How many batches went before the first of each, if it gives way.
    passed_over: [u32; PRIORITIES.len()],
    closed: bool,
}

impl Queues {
    /// Moves into an empty `batch` what goes next.
    fn take(&mut self, batch: &mut Vec<Queued>) {
        for priority in PRIORITIES {
            let waiting = &mut self.waiting[priority as usize];
            let passed_over = &mut self.passed_over[priority as usize];
            if gives_way(priority)
                && !waiting.is_empty()
                && !batch.is_empty()
                && *passed_over < PASSED_OVER_MAX
            {
                *passed_over += 1;
                continue;
            }
            *passed_over = 0;
            let most = match priority {
                Priority::Inbound => BATCH_JOBS,
                Priority::Outcome | Priority::Api => LESSER_JOBS,
                Priority::Bulky | Priority::Retention => 1,
            };
            let taken = waiting.len().min(most).min(BATCH_JOBS - batch.len());
            batch.extend(waiting.drain(..taken));
        }
    }
}

/// The callers' end of the writer.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    permits: [Arc<Semaphore>; PRIORITIES.len()],
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Shared {
    queues: Mutex<Queues>,
    arrived: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whatever ends the thread, nobody is left waiting for it: those who wait and those who come are told
/// that the store is closed.
struct CloseOnExit<'a>(&'a Shared);

impl Drop for CloseOnExit<'_> {
    fn drop(&mut self) {
        let mut queues = self.0.lock();
        queues.closed = true;
        queues.waiting.iter_mut().for_each(VecDeque::clear);
    }
}

/// Everything the thread owns.
pub(crate) struct WriterState {
    pub(crate) conn: Connection,
    pub(crate) clock: Clock,
    pub(crate) monotonic: Monotonic,
    /// How far the database says that the wall is ahead of the monotonic clock; `None`: that is for another
    /// process to say.
    pub(crate) wall_offset_ms: Option<i64>,
    pub(crate) mint: IdMint,
    pub(crate) subscriptions: SubscriptionSet,
    pub(crate) signals: Arc<Signals>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) vault: Vault,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(state: WriterState) -> Result<Self> {
        let shared = Arc::new(Shared { queues: Mutex::default(), arrived: Condvar::new() });
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || state.write_until_closed(&of_thread))
            .map_err(|error| StoreError::Failed(format!("no thread for the writer: {error}")))?;
        let permits = std::array::from_fn(|_| Arc::new(Semaphore::new(QUEUED_JOBS)));
        Ok(Self { shared, permits, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `job` in the next batch, and returns what its caller is `told` once it is durable.
    ///
    /// # Errors
    /// The job's own error, with nothing of it written; or [`StoreError::Commit`] for the whole batch.
    pub(crate) async fn write<T>(
        &self,
        priority: Priority,
        job: Job,
        told: oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        let permit = self.permits[priority as usize].clone().acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        {
            let mut queues = self.shared.lock();
            if queues.closed {
                return Err(StoreError::Closed);
            }
            queues.waiting[priority as usize].push_back(Queued { job, _permit: permit });
        }
        self.shared.arrived.notify_one();
        told.await.unwrap_or_else(|_| match self.shared.lock().closed {
            true => Err(StoreError::Closed),
            false => Err(StoreError::Commit("the transaction could not begin".to_owned())),
        })
    }

    /// Lets what waits be written, then ends the thread. Later writes are refused.
    pub(crate) fn close(&self) {
        self.refuse_more();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn refuse_more(&self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_one();
    }
}

impl Drop for Writer {
    /// The thread does not outlive its callers, not even of a gateway that did not start.
    fn drop(&mut self) {
        self.refuse_more();
    }
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
            mint: &mut self.mint,
            subscriptions: &mut self.subscriptions,
            vault: &self.vault,
            after_commit: &mut after_commit,
        };
        work(&self.conn, batch)?;
        tx.commit()?;
        self.signals.raise(after_commit);
        Ok(())
    }

    fn write_until_closed(mut self, shared: &Shared) {
        let _last = CloseOnExit(shared);
        let mut batch = Vec::with_capacity(BATCH_JOBS);
        loop {
            {
                let mut queues = shared.lock();
                while queues.waiting.iter().all(VecDeque::is_empty) {
                    if queues.closed {
                        return;
                    }
                    queues = shared.arrived.wait(queues).unwrap_or_else(PoisonError::into_inner);
                }
                queues.take(&mut batch);
            }
            self.commit(&mut batch);
            self.checkpoint.after_commit(&self.conn);
        }
    }

    /// One transaction for the whole batch; then every caller hears how it went.
    fn commit(&mut self, batch: &mut Vec<Queued>) {
        let began = Instant::now();
        let jobs = batch.len();
        let mut after_commit = AfterCommit::default();
        let mut completions = Vec::with_capacity(jobs);
        let mut waiting = batch.drain(..);
        let failed = self.run(&mut waiting, &mut after_commit, &mut completions).err();
        self.statistics.committed(jobs, began.elapsed());
        self.statistics.note_failure(failed.as_ref(), self.clock.now());
        match &failed {
            None => self.signals.raise(after_commit),
            Some(error) => {
                vocabulary::log_limit::limited!(warn: "a batch of {jobs} writes was not committed: {error}");
                let _ = self.conn.execute_batch("ROLLBACK");
                completions.extend(waiting.map(|Queued { job, .. }| job(Err(error.clone())).1));
                take_back(&mut self.subscriptions, after_commit);
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
    ) -> Result<()> {
        execute(&self.conn, "BEGIN IMMEDIATE")?;
        let (now, monotonic, wall_offset_ms) =
            (self.clock.now(), self.monotonic.now(), self.monotonic.wall_offset_ms());
        self.note_step(wall_offset_ms)?;
        for Queued { job, _permit } in waiting {
            let begun = execute(&self.conn, "SAVEPOINT job");
            let mut of_job = AfterCommit::default();
            let batch = Batch {
                now,
                monotonic,
                wall_offset_ms,
                mint: &mut self.mint,
                subscriptions: &mut self.subscriptions,
                vault: &self.vault,
                after_commit: &mut of_job,
            };
            let (keep, completion) = job(begun.clone().map(|()| (&self.conn, batch)));
            completions.push(completion);
            begun?;
            if keep {
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

/// What is rolled back has replaced compiled subscriptions: back to those of before, the last one first.
fn take_back(subscriptions: &mut SubscriptionSet, after_commit: AfterCommit) {
    for (webhook_id, before) in after_commit.webhooks.into_iter().rev() {
        subscriptions.put(webhook_id, before);
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
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::engine::embedded::connect;
    use crate::engine::embedded::data_dir::DATABASE;
    use crate::engine::{BULKY_BYTES, Engine};
    use crate::{Scope, Store};

    #[tokio::test]
    async fn callers_of_a_batch_that_cannot_begin_hear_that_it_was_not_committed() {
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

    /// Sizes of the batches that a queue is taken in, by priority.
    fn batches(queues: &mut Queues, arriving: Priority) -> Vec<[usize; PRIORITIES.len()]> {
        let mut sizes = Vec::new();
        let mut batch = Vec::new();
        loop {
            let before = queues.waiting.each_ref().map(VecDeque::len);
            queues.take(&mut batch);
            if batch.is_empty() {
                return sizes;
            }
            batch.clear();
            let after = queues.waiting.each_ref().map(VecDeque::len);
            sizes.push(std::array::from_fn(|nth| before[nth] - after[nth]));
            // Somebody speaks all the time, until what gave way has gone.
            if after[Priority::Bulky as usize] > 0 {
                queues.waiting[arriving as usize].push_back(a_job());
            }
        }
    }

    fn a_job() -> Queued {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("the only one");
        Queued { job: Box::new(|_| (true, Box::new(|_| ()))), _permit: permit }
    }

    #[test]
    fn what_is_bulky_goes_alone_and_gives_way_but_not_for_ever() {
        assert_eq!(Priority::Inbound.of_bytes(BULKY_BYTES - 1), Priority::Inbound);
        assert_eq!(Priority::Inbound.of_bytes(BULKY_BYTES), Priority::Bulky);
        let mut queues = Queues::default();
        queues.waiting[Priority::Bulky as usize].extend([a_job(), a_job()]);
        // Nobody else is there: at once, and by itself.
        queues.take(&mut Vec::new());
        assert_eq!(queues.waiting[Priority::Bulky as usize].len(), 1);
        queues.waiting[Priority::Inbound as usize].push_back(a_job());
        let batches = batches(&mut queues, Priority::Inbound);
        let passed_over = PASSED_OVER_MAX as usize;
        assert!(batches[..passed_over].iter().all(|batch| *batch == [1, 0, 0, 0, 0]), "{batches:?}");
        assert_eq!(batches[passed_over..], [[1, 0, 0, 1, 0]], "after so many it goes with them");
    }

    /// Waits until so many jobs of a kind wait for the writer.
    async fn queued(store: &Store, priority: Priority, count: usize) {
        let began = Instant::now();
        let Engine::Embedded(embedded) = &store.inner.engine;
        while embedded.writer.shared.lock().waiting[priority as usize].len() < count {
            assert!(began.elapsed() < Duration::from_secs(20), "{count} of {priority:?} never waited");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_charger_waits_for_no_more_than_one_batch_of_the_outcomes_that_came_before_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        let order = Arc::new(Mutex::new(Vec::new()));
        let (go, may_go) = channel::<()>();
        let (tell_begun, begun) = channel::<()>();
        let (tell_inbound_waits, inbound_waits) = channel::<()>();
        let first = Arc::new(Mutex::new(Some((tell_begun, inbound_waits))));
        let job = |priority: Priority, then: Box<dyn FnOnce() + Send>| {
            let (store, order) = (store.clone(), order.clone());
            tokio::spawn(async move {
                let write = store.write(priority, Scope::Installation, move |_| {
                    order.lock().expect("sound").push(priority);
                    then();
                    Ok(())
                });
                write.await.expect("it commits");
            })
        };
        // The writer is kept busy until all of them wait.
        let (tell_busy, busy) = channel::<()>();
        let keep_busy = move || {
            tell_busy.send(()).expect("the test waits");
            may_go.recv().expect("told to go");
        };
        let mut jobs = vec![job(Priority::Api, Box::new(keep_busy))];
        tokio::task::block_in_place(|| busy.recv()).expect("it begins");
        for _ in 0..2 * LESSER_JOBS {
            let first = first.clone();
            let wait_if_first = move || {
                if let Some((tell_begun, inbound_waits)) = first.lock().expect("sound").take() {
                    tell_begun.send(()).expect("the test waits");
                    inbound_waits.recv().expect("told to go on");
                }
            };
            jobs.push(job(Priority::Outcome, Box::new(wait_if_first)));
        }
        queued(&store, Priority::Outcome, 2 * LESSER_JOBS).await;
        go.send(()).expect("the writer waits");
        tokio::task::block_in_place(|| begun.recv()).expect("the outcomes' turn");
        jobs.push(job(Priority::Inbound, Box::new(|| {})));
        queued(&store, Priority::Inbound, 1).await;
        tell_inbound_waits.send(()).expect("the writer waits");
        for job in jobs {
            job.await.expect("it ends");
        }
        let order = order.lock().expect("sound");
        let outcomes_before = order
            .iter()
            .take_while(|priority| **priority != Priority::Inbound)
            .filter(|p| **p == Priority::Outcome);
        assert_eq!(outcomes_before.count(), LESSER_JOBS, "of {}", 2 * LESSER_JOBS);
    }
}
