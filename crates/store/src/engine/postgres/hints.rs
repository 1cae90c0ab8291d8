//! Hints between nodes that something was committed (`LISTEN`, `NOTIFY`), on a connection of their own: a
//! `NOTIFY` in a commit would take a lock over the whole server.
//!
//! They are no more than hints. Where they do not come through, as behind some poolers, whoever waits for
//! them looks by himself.

use tokio::sync::mpsc;
use tokio_postgres::Client;

use crate::engine::postgres::address::Address;
use crate::error::{Result, StoreError};

/// Gives hints to other nodes, and gets theirs.
pub(crate) struct Hints {
    client: Client,
    channel: String,
    arrived: mpsc::Receiver<()>,
}

impl Hints {
    /// Begins to listen. Other databases and schemas of the server do not hear one another.
    pub(crate) async fn listen(address: &Address) -> Result<Self> {
        // One that nobody has looked at yet is as good as many.
        let (tell, arrived) = mpsc::channel(1);
        let client = address
            .connect_and_tell(move || {
                let _ = tell.try_send(());
            })
            .await?;
        let channel = format!("chargehook_{}", address.schema());
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        Ok(Self { client, channel, arrived })
    }

    /// Waits for a hint.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) async fn next(&mut self) -> Result<()> {
        let gone = || StoreError::Away("the connection for hints broke".to_owned());
        self.arrived.recv().await.ok_or_else(gone)
    }

    /// Gives one.
    pub(crate) async fn give(&self) -> Result<()> {
        Ok(self.client.batch_execute(&format!("NOTIFY {}", self.channel)).await?)
    }
}
