//! The embedded engine: SQLite, in one file of the data directory.

pub(crate) mod checkpoint;
pub(crate) mod connect;
pub(crate) mod copying;
pub(crate) mod data_dir;
pub(crate) mod database_file;
pub(crate) mod file_header;
pub(crate) mod file_identity;
pub(crate) mod monotonic;
pub(crate) mod newest_ids;
pub(crate) mod readers;
pub(crate) mod replacing;
pub(crate) mod residue;
mod schema;
pub(crate) mod search_index;
pub(crate) mod start;
mod upgrade;
pub(crate) mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::queue::Writer;
use crate::engine::sqlite::driver::Connection;
use crate::engine::statistics::Statistics;
use crate::error::Result;
use readers::Readers;
use writer::WriterState;

/// What is asked for that may be read at once.
pub(crate) const READERS: usize = 4;

/// Claims whose events may be read at once: one is read while the one before it begins to be sent.
const DELIVERY_READERS: usize = 2;

/// SQLite in this process: one thread that writes, and a few connections that read.
pub(crate) struct Embedded {
    writer: Writer,
    readers: Arc<Readers>,
    /// Those of what is to be delivered.
    delivery_readers: Arc<Readers>,
    statistics: Arc<Statistics>,
    /// Held until the store is closed: one `serve` per data directory.
    lock: Mutex<Option<File>>,
}

impl Embedded {
    /// Begins to write, and to read the database at `path`.
    pub(crate) fn start(path: &Path, state: WriterState, lock: Option<File>) -> Result<Self> {
        let statistics = state.statistics.clone();
        Ok(Self {
            writer: Writer::start(move |queue| state.write_until_closed(queue))?,
            readers: Arc::new(Readers::new(path.to_owned(), READERS)),
            delivery_readers: Arc::new(Readers::new(path.to_owned(), DELIVERY_READERS)),
            statistics,
            lock: Mutex::new(lock),
        })
    }

    /// The thread that writes.
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.readers.read(query).await
    }

    pub(crate) async fn read_to_deliver<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.delivery_readers.read(query).await
    }

    pub(crate) fn close(&self) {
        self.writer.close();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}
