//! One write on its way into an engine's transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;
use tracing::error;

use crate::engine::Scope;
use crate::engine::sql::Param;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};

/// Where a caller hears what became of its job.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T>>;

/// What one caller wants written, all of it or nothing. An engine runs it in a transaction, keeps what it
/// wrote or takes that back, and tells the caller after the commit or its failure.
pub(crate) trait Job: Send {
    /// Runs it. Whether what it wrote is to be kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// What it wrote could not be kept.
    fn fail(&mut self, error: StoreError);

    /// Whether it does the same if it is run again, after everything that it wrote was taken back.
    fn may_run_again(&self) -> bool;

    /// Its scope, and what it will read.
    fn foreseen(&self) -> (&Scope, &Reads);

    /// Tells the caller how it went: `None` once the commit is on disk, or why there was none.
    fn tell(self: Box<Self>, failed: Option<StoreError>);
}

/// A statement that a job is about to read with, so that an engine whose database is far away can read for
/// many jobs at once. No job that can be repeated, of another scope, changes what it reads; a job that reads
/// by other statements than it has foreseen only waits longer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Foreseen {
    /// The text, to the letter.
    pub(crate) sql: &'static str,
    /// Its values.
    pub(crate) values: Vec<Param<'static>>,
}

/// What is foreseen of a job's reads.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// What it reads first.
    pub(crate) foreseen: Vec<Foreseen>,
    /// It will read more: it goes behind those that do not, so that they do not wait along with it.
    pub(crate) and_more: bool,
}

impl Foreseen {
    /// A statement with these values.
    pub(crate) fn new(sql: &'static str, values: &[Param<'_>]) -> Self {
        Self { sql, values: values.iter().map(Param::to_static).collect() }
    }
}

/// A job of one caller: its work, what came of it, and where the caller waits.
struct OfCaller<T, F> {
    scope: Scope,
    work: F,
    again: bool,
    reads: Reads,
    outcome: Option<Result<T>>,
    tell: oneshot::Sender<Result<T>>,
}

/// A job that may be run once.
pub(crate) fn once<T, F>(scope: Scope, work: F) -> (Box<dyn Job>, Answer<T>)
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
{
    let mut work = Some(work);
    let work = move |tx: &mut Tx<'_>| match work.take() {
        Some(work) => work(tx),
        None => Err(StoreError::Failed("a write that may run once was run again".to_owned())),
    };
    boxed(scope, false, Reads::default(), work)
}

/// A job that does the same when it is run again, and what it will read.
pub(crate) fn repeatable<T, F>(scope: Scope, reads: Reads, work: F) -> (Box<dyn Job>, Answer<T>)
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
{
    boxed(scope, true, reads, work)
}

fn boxed<T, F>(scope: Scope, again: bool, reads: Reads, work: F) -> (Box<dyn Job>, Answer<T>)
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    (Box::new(OfCaller { scope, work, again, reads, outcome: None, tell }), told)
}

impl<T, F> Job for OfCaller<T, F>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(tx))).unwrap_or_else(|_| {
            error!("a write of {} panicked; it was rolled back", self.scope);
            Err(StoreError::Failed("a write panicked".into()))
        });
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error));
    }

    fn may_run_again(&self) -> bool {
        self.again
    }

    fn foreseen(&self) -> (&Scope, &Reads) {
        (&self.scope, &self.reads)
    }

    fn tell(self: Box<Self>, failed: Option<StoreError>) {
        let outcome = match (self.outcome, failed) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(error)) => Err(error),
            (Some(Ok(done)), None) => Ok(done),
            (None, None) => Err(StoreError::Closed),
        };
        // A caller that went away still has its job committed; nobody is left to tell.
        let _ = self.tell.send(outcome);
    }
}
