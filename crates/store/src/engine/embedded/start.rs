//! The start of the engine: its database is opened, and what the last run has left is settled before anybody
//! writes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use crate::engine::batch::Batch;
use crate::engine::embedded::Embedded;
use crate::engine::embedded::checkpoint::Checkpoint;
use crate::engine::embedded::data_dir::DATABASE;
use crate::engine::embedded::newest_ids::NewestIds;
use crate::engine::embedded::writer::WriterState;
use crate::engine::embedded::{connect, monotonic, residue, upgrade};
use crate::engine::membership::Membership;
use crate::engine::schema::SCHEMA;
use crate::engine::statistics::Statistics;
use crate::error::Result;
use crate::files;
use crate::secrecy::vault::Vault;
use crate::signals::Signals;
use vocabulary::clock::{Clock, Monotonic};
use vocabulary::subscription::SubscriptionSet;

/// A database that is open, at today's schema, while nobody writes yet.
pub(crate) struct Opening {
    path: PathBuf,
    state: WriterState,
    lock: Option<File>,
}

impl Opening {
    /// As [`Opening::of`].
    pub(in crate::engine) fn open(
        data_dir: &Path,
        clock: Clock,
        vault: Vault,
        lock: Option<File>,
        membership: &Arc<Membership>,
        subscriptions: impl FnOnce(&Connection) -> Result<SubscriptionSet>,
    ) -> Result<Self> {
        let path = data_dir.join(DATABASE);
        files::create_for_owner(&path)?;
        let mut conn = connect::open_writer(&path)?;
        match lock {
            Some(_) => {
                upgrade::upgrade(&mut conn, &path, SCHEMA)?;
                // Nobody else writes, so this may take its time.
                residue::sweep(&conn)?;
            }
            None => upgrade::upgrade_beside(&mut conn, &path, SCHEMA)?,
        }
        let NewestIds { event, mint } = NewestIds::of(&conn)?;
        let (monotonic, wall_offset_ms) = monotonic::resume(&conn, &clock)?;
        let statistics = Arc::new(Statistics::default());
        let state = WriterState {
            subscriptions: subscriptions(&conn)?,
            checkpoint: Checkpoint::start(&path, &mut conn, statistics.clone())?,
            conn,
            clock,
            monotonic,
            wall_offset_ms: lock.is_some().then_some(wall_offset_ms),
            membership: membership.clone(),
            mint,
            signals: Arc::new(Signals::new(event)),
            statistics,
            vault,
        };
        Ok(Self { path, state, lock })
    }

    /// The monotonic clock, which goes on from where the last run has left it.
    pub(crate) fn monotonic(&self) -> Monotonic {
        self.state.monotonic.clone()
    }

    /// Whom commits wake.
    pub(crate) fn signals(&self) -> Arc<Signals> {
        self.state.signals.clone()
    }

    /// Does `work` in a transaction of its own.
    pub(in crate::engine) fn transact(
        &mut self,
        work: impl FnOnce(&Connection, Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        self.state.transact(work)
    }

    /// Begins to write, and to read.
    pub(crate) fn start(self) -> Result<Embedded> {
        Embedded::start(&self.path, self.state, self.lock)
    }
}
