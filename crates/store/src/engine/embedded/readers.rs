//! A small pool of connections that only read.
//!
//! **Invariant**: a reader holds no snapshot longer than one page of results, so that the WAL can be
//! checkpointed and started anew.

use std::path::PathBuf;
use std::sync::Mutex;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::engine::embedded::connect;
use crate::error::{Result, StoreError};

pub(crate) struct Readers {
    path: PathBuf,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Of which `at_most` so many may run at once.
    pub(crate) fn new(path: PathBuf, at_most: usize) -> Self {
        Self { path, permits: Semaphore::new(at_most), idle: Mutex::new(Vec::new()) }
    }

    /// Runs `query` on a blocking thread with a connection of the pool.
    pub(crate) async fn read<T, F>(self: &std::sync::Arc<Self>, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let readers = self.clone();
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        tokio::task::spawn_blocking(move || {
            let taken = readers.lock_idle().pop();
            let conn = match taken {
                Some(conn) => conn,
                None => connect::open_reader(&readers.path)?,
            };
            let answer = query(&conn);
            readers.lock_idle().push(conn);
            answer
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A reader that panicked left at worst one connection fewer.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
