//! A database that no engine runs on: what is done with it works with [`Read`] and [`Tx`] too.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::engine::embedded::database_file::DatabaseFile;
use crate::engine::embedded::start::Opening;
use crate::engine::membership::Membership;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::secrecy::vault::Vault;
use vocabulary::clock::Clock;
use vocabulary::subscription::SubscriptionSet;

/// Compiles the subscriptions of all webhooks, which appended events are matched with.
pub(crate) type Subscriptions = fn(&Read<'_>) -> Result<SubscriptionSet>;

impl DatabaseFile {
    /// What stands in it.
    pub(crate) fn read(&self) -> Read<'_> {
        Read::of(self.conn())
    }

    /// Does all of `work`, or nothing. No engine is told of anything.
    pub(crate) fn write<T>(
        &mut self,
        clock: &Clock,
        vault: &Vault,
        subscriptions: Subscriptions,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        let subscriptions = subscriptions(&self.read())?;
        self.transact(clock, vault, subscriptions, |conn, batch| work(&mut Tx::new(Read::of(conn), batch)))
    }
}

impl Opening {
    /// Opens the database of `data_dir`, which is made if there is none. `lock`: that of the directory, which
    /// a gateway holds; without it, the database is opened beside a gateway that may be running.
    ///
    /// # Errors
    /// `NewerSchema` and `NoRoom`; without the lock also `InUseByEarlier`. Nothing was changed then.
    pub(crate) fn of(
        data_dir: &Path,
        clock: Clock,
        vault: Vault,
        lock: Option<File>,
        membership: &Arc<Membership>,
        subscriptions: Subscriptions,
    ) -> Result<Self> {
        Self::open(data_dir, clock, vault, lock, membership, |conn| subscriptions(&Read::of(conn)))
    }

    /// Does `work` in a transaction of its own.
    pub(crate) fn write(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<()>) -> Result<()> {
        self.transact(|conn, batch| work(&mut Tx::new(Read::of(conn), batch)))
    }
}
