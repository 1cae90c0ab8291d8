//! The shared engine: PostgreSQL, which several gateways may use at once.

mod foreseen;
pub(crate) mod head;
mod readers;
mod schema;
pub(crate) mod start;
pub(crate) mod writer;

use std::sync::Arc;

use crate::engine::postgres::address::Address;
use crate::engine::postgres::driver::Connection;
use crate::engine::queue::Writer;
use crate::engine::shared::readers::Readers;
use crate::engine::shared::writer::WriterState;
use crate::engine::statistics::Statistics;
use crate::error::Result;

/// What is asked for that may be read at once.
const READERS: usize = 4;

/// Claims whose events may be read at once.
const DELIVERY_READERS: usize = 2;

/// PostgreSQL: one connection that writes, and a few that read.
pub(crate) struct Shared {
    writer: Writer,
    readers: Arc<Readers>,
    /// Those of what is to be delivered.
    delivery_readers: Arc<Readers>,
    /// One connection that may write beside the writer: signs of life, which wait for nobody.
    control: Arc<Readers>,
    address: Address,
    statistics: Arc<Statistics>,
}

impl Shared {
    /// Begins to write, and to read.
    pub(crate) fn start(reading: Address, state: WriterState) -> Result<Self> {
        let statistics = state.statistics.clone();
        let address = state.address.clone();
        Ok(Self {
            writer: Writer::start(move |queue| state.write_until_closed(queue))?,
            readers: Arc::new(Readers::new(reading.clone(), READERS)),
            delivery_readers: Arc::new(Readers::new(reading, DELIVERY_READERS)),
            control: Arc::new(Readers::new(address.clone(), 1)),
            address,
            statistics,
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

    pub(crate) async fn control<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.control.read(work).await
    }

    /// Where the database is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn close(&self) {
        self.writer.close();
    }

    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}
