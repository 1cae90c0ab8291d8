//! One write on its way into an engine's transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;
use tracing::error;

use crate::engine::Scope;
use crate::engine::batch::Completion;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};

/// Whether what a job wrote is to be kept, and whom to tell how its commit went.
pub(crate) type Ran = (bool, Completion);

/// Where a caller hears what became of its job.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T>>;

/// What one caller wants written, all of it or nothing; and where the caller hears of it.
///
/// An engine runs the job in a transaction, or tells it why there is none. It keeps what the job wrote if the
/// first part of the answer is `true`, else takes it back, and calls the second part after the commit or its
/// failure.
pub(crate) fn job<T, F>(scope: Scope, work: F) -> (impl FnOnce(Result<&mut Tx<'_>>) -> Ran + Send, Answer<T>)
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    let job = move |tx: Result<&mut Tx<'_>>| {
        let outcome = tx.and_then(|tx| {
            catch_unwind(AssertUnwindSafe(|| work(tx))).unwrap_or_else(|_| {
                error!("a write of {scope} panicked; it was rolled back");
                Err(StoreError::Failed("a write panicked".into()))
            })
        });
        let keep = outcome.is_ok();
        let completion: Completion = Box::new(move |failed: Option<StoreError>| {
            // A caller that went away still has its job committed; nobody is left to tell.
            let _ = tell.send(match failed {
                Some(error) => outcome.and(Err(error)),
                None => outcome,
            });
        });
        (keep, completion)
    };
    (job, told)
}
