//! What is written of a request of the API beside what it changes: its entry in the audit log, and the mark
//! of its `Idempotency-Key`.
//!
//! Both are written in the transaction of the first change that the request makes, and completed in another
//! one when the request is answered. So a request that is refused before it changes anything costs no commit,
//! and one that changes something costs two.
//!
//! **Invariant**: there is no change without its entry and no entry without a change, whenever the process is
//! killed or the disk is full. A change outside the store ([`Store::put_on_record`]) comes after its entry.

use std::sync::Arc;

use crate::Store;
use crate::access::audit::{self, Change, ChangeAnswer};
use crate::access::idempotency::{self, KeptAnswer};
use crate::access::running_requests::RequestKey;
use crate::engine::tx::Tx;
use crate::engine::{Engine, Priority, Scope};
use crate::error::Result;

tokio::task_local! {
    /// The request that the task serves.
    static CURRENT: Arc<Recording>;
}

/// A request that may change something, while it is served.
pub struct Recording {
    change: Change,
    key: Option<RequestKey>,
    /// The number of its entry, once that is on disk. Held while the change that it goes with is written.
    entry: tokio::sync::Mutex<Option<i64>>,
}

impl Recording {
    /// Nothing is written yet.
    pub fn of(change: Change, key: Option<RequestKey>) -> Arc<Self> {
        Arc::new(Self { change, key, entry: tokio::sync::Mutex::default() })
    }

    /// That of the request that this task serves.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Whether it has changed something, or is about to change something outside the store.
    pub async fn is_on_record(&self) -> bool {
        self.entry.lock().await.is_some()
    }

    /// Writes `work`, and the entry with it if this is the request's first change.
    pub(crate) async fn write<T, F>(
        self: Arc<Self>,
        engine: &Engine,
        priority: Priority,
        scope: Scope,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let mut entry = self.entry.lock().await;
        if entry.is_some() {
            drop(entry);
            return engine.write(priority, scope, work).await;
        }
        let ours = self.clone();
        let written = engine.write(priority, scope, move |w| {
            // Before the change, which may delete what the request is about.
            let owner_id = audit::owner_of_change(w, &ours.change)?;
            let before = w.changes();
            let done = work(w)?;
            let entry = match w.changes() == before {
                true => None,
                false => Some(ours.open(w, owner_id)?),
            };
            Ok((done, entry))
        });
        let (done, opened) = written.await?;
        *entry = opened;
        Ok(done)
    }

    fn open(&self, w: &Tx<'_>, owner_id: Option<String>) -> Result<i64> {
        if let Some(key) = &self.key {
            idempotency::begin(w, key)?;
        }
        audit::insert(w, &self.change, owner_id)
    }
}

impl Store {
    /// Serves a request: what `handler` writes goes on record.
    pub async fn recorded<H: Future>(&self, recording: Arc<Recording>, handler: H) -> H::Output {
        CURRENT.scope(recording, handler).await
    }

    /// Puts the request that this task serves on record, because it is about to change something that the
    /// store does not know of.
    ///
    /// # Errors
    /// It is not on record then, and must change nothing.
    pub async fn put_on_record(&self) -> Result<()> {
        let Some(recording) = Recording::current() else { return Ok(()) };
        let mut entry = recording.entry.lock().await;
        if entry.is_none() {
            let ours = recording.clone();
            let opened = self.inner.engine.write(Priority::Api, Scope::Installation, move |w| {
                let owner_id = audit::owner_of_change(w, &ours.change)?;
                ours.open(w, owner_id)
            });
            *entry = Some(opened.await?);
        }
        Ok(())
    }

    /// Adds to a request on record how it was answered, and keeps its answer under its `Idempotency-Key` or
    /// frees that, in one transaction. A request that has changed nothing gets its entry here.
    ///
    /// # Errors
    /// It is on record without an answer then, its key is taken, and this may be called again.
    pub async fn settle_request(
        &self,
        recording: Arc<Recording>,
        answer: ChangeAnswer,
        kept: Option<KeptAnswer>,
    ) -> Result<()> {
        let entry = *recording.entry.lock().await;
        let settle = move |w: &mut Tx<'_>| {
            let entry = match entry {
                Some(entry) => entry,
                None => audit::insert(w, &recording.change, audit::owner_of_change(w, &recording.change)?)?,
            };
            audit::settle(w, entry, &answer)?;
            match (&recording.key, kept) {
                (Some(key), Some(answer)) => idempotency::keep(w, key, &answer),
                (Some(key), None) => idempotency::forget(w, key.api_key, &key.key),
                (None, _) => Ok(()),
            }
        };
        self.inner.engine.write(Priority::Api, Scope::Installation, settle).await
    }
}
