//! Jobs on their way to the thread that writes them: who goes next, how many may wait, and how their callers
//! hear that the store was closed.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::Priority;
use crate::engine::job::{Answer, Job};
use crate::error::{Result, StoreError};

/// Whether it goes when nobody else waits, or has waited for long, and then one at a time.
fn gives_way(priority: Priority) -> bool {
    matches!(priority, Priority::Bulky | Priority::Retention)
}

/// In the order in which they go.
const PRIORITIES: [Priority; 5] =
    [Priority::Inbound, Priority::Outcome, Priority::Api, Priority::Bulky, Priority::Retention];

/// Jobs that may wait per priority; beyond it callers wait, which slows sockets down, not the store.
const QUEUED_JOBS: usize = 8_192;

/// Of a batch so many may be of one kind that is not a charger's: bounds how long one that speaks now waits
/// for those who came before it. A commit for a hundred costs them next to nothing more than one for a
/// thousand.
const LESSER_JOBS: usize = 100;

/// Batches that go before one that gives way, which would hold up everybody of its own.
const PASSED_OVER_MAX: u32 = 8;

/// A job that waits, and its place in the queue.
pub(crate) struct Queued {
    pub(crate) job: Box<dyn Job>,
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
    /// Moves into an empty `batch` what goes next, `most` jobs at most.
    fn take(&mut self, batch: &mut Vec<Queued>, most: usize) {
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
            let of_kind = match priority {
                Priority::Inbound => most,
                Priority::Outcome | Priority::Api => LESSER_JOBS,
                Priority::Bulky | Priority::Retention => 1,
            };
            let taken = waiting.len().min(of_kind).min(most - batch.len());
            batch.extend(waiting.drain(..taken));
        }
    }
}

/// Where the thread that writes takes its jobs from.
#[derive(Default)]
pub(crate) struct Queue {
    queues: Mutex<Queues>,
    arrived: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work and moves into an empty `batch` what goes next, `most` jobs at most; `false` once the
    /// queue is closed and empty.
    pub(crate) fn next(&self, batch: &mut Vec<Queued>, most: usize) -> bool {
        let mut queues = self.lock();
        while queues.waiting.iter().all(VecDeque::is_empty) {
            if queues.closed {
                return false;
            }
            queues = self.arrived.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        queues.take(batch, most);
        true
    }

    fn refuse_more(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }
}

/// Whatever ends the thread, nobody is left waiting for it: those who wait and those who come are told that
/// the store is closed.
struct CloseOnExit<'a>(&'a Queue);

impl Drop for CloseOnExit<'_> {
    fn drop(&mut self) {
        let mut queues = self.0.lock();
        queues.closed = true;
        queues.waiting.iter_mut().for_each(VecDeque::clear);
    }
}

/// The callers' end of the thread that writes.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    permits: [Arc<Semaphore>; PRIORITIES.len()],
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which does `write` until the queue is closed.
    pub(crate) fn start(write: impl FnOnce(&Queue) + Send + 'static) -> Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = queue.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                let _last = CloseOnExit(&of_thread);
                write(&of_thread);
            })
            .map_err(|error| StoreError::Failed(format!("no thread for the writer: {error}")))?;
        let permits = std::array::from_fn(|_| Arc::new(Semaphore::new(QUEUED_JOBS)));
        Ok(Self { queue, permits, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `job` in the next batch, and returns what its caller is `told` once it is durable.
    ///
    /// # Errors
    /// The job's own error, with nothing of it written; or [`StoreError::Commit`] for the whole batch.
    pub(crate) async fn write<T>(&self, priority: Priority, job: Box<dyn Job>, told: Answer<T>) -> Result<T> {
        let permit = self.permits[priority as usize].clone().acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        {
            let mut queues = self.queue.lock();
            if queues.closed {
                return Err(StoreError::Closed);
            }
            queues.waiting[priority as usize].push_back(Queued { job, _permit: permit });
        }
        self.queue.arrived.notify_one();
        told.await.unwrap_or_else(|_| match self.queue.lock().closed {
            true => Err(StoreError::Closed),
            false => Err(StoreError::Commit("the transaction could not begin".to_owned())),
        })
    }

    /// Lets what waits be written, then ends the thread. Later writes are refused.
    pub(crate) fn close(&self) {
        self.queue.refuse_more();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    /// The thread does not outlive its callers, not even of a gateway that did not start.
    fn drop(&mut self) {
        self.queue.refuse_more();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::BULKY_BYTES;
    use crate::engine::job::once;
    use crate::{Scope, Store};
    use vocabulary::clock::Clock;

    /// Sizes of the batches that a queue is taken in, by priority.
    fn batches(queues: &mut Queues, arriving: Priority) -> Vec<[usize; PRIORITIES.len()]> {
        let mut sizes = Vec::new();
        let mut batch = Vec::new();
        loop {
            let before = queues.waiting.each_ref().map(VecDeque::len);
            queues.take(&mut batch, 1_000);
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
        Queued { job: once(Scope::Installation, |_| Ok(())).0, _permit: permit }
    }

    #[test]
    fn what_is_bulky_goes_alone_and_gives_way_but_not_for_ever() {
        assert_eq!(Priority::Inbound.of_bytes(BULKY_BYTES - 1), Priority::Inbound);
        assert_eq!(Priority::Inbound.of_bytes(BULKY_BYTES), Priority::Bulky);
        let mut queues = Queues::default();
        queues.waiting[Priority::Bulky as usize].extend([a_job(), a_job()]);
        // Nobody else is there: at once, and by itself.
        queues.take(&mut Vec::new(), 1_000);
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
        while store.inner.engine.writer().queue.lock().waiting[priority as usize].len() < count {
            assert!(began.elapsed() < Duration::from_secs(20), "{count} of {priority:?} never waited");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_charger_waits_for_no_more_than_one_batch_of_the_outcomes_that_came_before_it() {
        if crate::test_store::is_shared() {
            return;
        }
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
