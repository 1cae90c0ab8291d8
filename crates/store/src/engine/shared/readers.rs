//! A small pool of connections that only read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::engine::postgres::address::Address;
use crate::engine::postgres::driver::Connection;
use crate::error::{Result, StoreError};

pub(crate) struct Readers {
    address: Address,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Of which `at_most` so many may run at once.
    pub(crate) fn new(address: Address, at_most: usize) -> Self {
        Self { address, permits: Semaphore::new(at_most), idle: Mutex::default() }
    }

    /// Runs `query` on a blocking thread with a connection of the pool.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let readers = self.clone();
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        tokio::task::spawn_blocking(move || {
            let taken = readers.idle().pop().filter(|conn| !conn.is_closed());
            let conn = match taken {
                Some(conn) => conn,
                None => Connection::open(&readers.address)?,
            };
            let answer = query(&conn);
            // Whatever went wrong on it: a new one is as good.
            if answer.is_ok() {
                readers.idle().push(conn);
            }
            answer
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // A reader that panicked left at worst one connection fewer.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
