//! A database whose file is opened without a gateway: to look at it, or to change it while no gateway runs on
//! it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use crate::engine::batch::Batch;
use crate::engine::embedded::copying::CopyProgress;
use crate::engine::embedded::file_identity::Found;
use crate::engine::embedded::newest_ids::NewestIds;
use crate::engine::embedded::residue::Residue;
use crate::engine::embedded::{connect, copying, file_header, file_identity, monotonic, residue, upgrade};
use crate::engine::schema::SCHEMA;
use crate::error::{Result, StoreError};
use crate::files::file_error;
use crate::secrecy::vault::Vault;
use crate::signals::AfterCommit;
use vocabulary::clock::Clock;
use vocabulary::subscription::SubscriptionSet;

/// A database that is opened without a gateway.
pub(crate) struct DatabaseFile {
    conn: Connection,
    path: PathBuf,
}

impl DatabaseFile {
    /// Opens it to look at it. Its files stay as they are, the write-ahead log included.
    pub(crate) fn look_at(path: &Path) -> Result<Self> {
        Ok(Self { conn: connect::open_untouched(path)?, path: path.to_owned() })
    }

    /// Opens what is to be copied: a database of this program, with something in it. Nothing of it is
    /// changed.
    ///
    /// # Errors
    /// [`StoreError::Foreign`], [`StoreError::Development`], [`StoreError::NewerSchema`].
    pub(crate) fn source(path: &Path) -> Result<Self> {
        // SQLite would make one.
        std::fs::metadata(path).map_err(|error| file_error(path, &error))?;
        let empty = || StoreError::Foreign { path: path.to_owned(), reason: "nothing is in it".to_owned() };
        if file_identity::look(path, &file_header::DATABASE)? == Found::Nothing {
            return Err(empty());
        }
        let source = Self::look_at(path)?;
        match SCHEMA.version_of(&source.conn)? {
            0 => Err(empty()),
            _ => Ok(source),
        }
    }

    /// Sees from now on what stands in it now.
    pub(crate) fn hold_still(&self) -> Result<()> {
        self.conn.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
        Ok(())
    }

    /// What was given last.
    pub(in crate::engine) fn newest_ids(&self) -> Result<NewestIds> {
        NewestIds::of(&self.conn)
    }

    /// Whether it has an earlier schema than this program.
    pub(crate) fn is_of_earlier_version(&self) -> Result<bool> {
        Ok(SCHEMA.version_of(&self.conn)? < SCHEMA.newest())
    }

    /// Opens it to change it. Nobody else writes: the caller holds the lock of its directory, or knows it
    /// alone.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { conn: connect::open_writer(path)?, path: path.to_owned() })
    }

    /// Brings it to today's schema. A copy of a database that has an older one is kept.
    ///
    /// # Errors
    /// As [`upgrade::upgrade`].
    pub(crate) fn upgrade(&mut self) -> Result<()> {
        upgrade::upgrade(&mut self.conn, &self.path, SCHEMA)
    }

    /// The same of what is a copy already: none is kept.
    pub(crate) fn migrate(&mut self) -> Result<()> {
        SCHEMA.migrate(&mut self.conn)
    }

    /// Whether it has any schema: a file may be there in which nothing was ever written.
    pub(crate) fn has_schema(&self) -> Result<bool> {
        let made = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')";
        Ok(self.conn.query_row(made, [], |row| row.get(0))?)
    }

    /// The connection that it is open on.
    pub(in crate::engine) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// Does all of `work` in a transaction, or nothing. The next start goes on with the same monotonic clock.
    /// No engine is told of anything.
    pub(in crate::engine) fn transact<T>(
        &mut self,
        clock: &Clock,
        vault: &Vault,
        mut subscriptions: SubscriptionSet,
        work: impl FnOnce(&Connection, Batch<'_>) -> Result<T>,
    ) -> Result<T> {
        let (monotonic, _) = monotonic::resume(&self.conn, clock)?;
        let NewestIds { mut mint, .. } = NewestIds::of(&self.conn)?;
        let mut after_commit = AfterCommit::default();
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let batch = Batch {
            now: clock.now(),
            monotonic: monotonic.now(),
            wall_offset_ms: monotonic.wall_offset_ms(),
            epoch: 0,
            mint: &mut mint,
            subscriptions: &mut subscriptions,
            vault,
            after_commit: &mut after_commit,
            counted: None,
            may_run_again: false,
        };
        let done = work(&tx, batch)?;
        tx.commit()?;
        Ok(done)
    }

    /// Sets an entry of `meta`.
    pub(crate) fn set_entry(&self, key: &str, value: i64) -> Result<()> {
        let set = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.conn.execute(set, (key, value))?;
        Ok(())
    }

    /// Writes the file anew if something is left in it of how its secrets were sealed before.
    pub(crate) fn sweep(&self) -> Result<Residue> {
        residue::sweep(&self.conn)
    }

    /// Copies everything that can be seen now to the file `to`, a step at a time.
    pub(crate) fn copy_to(&self, to: &Path, progress: &mut dyn FnMut(CopyProgress)) -> Result<()> {
        copying::copy(&self.conn, to, progress)
    }

    /// Opens a copy as a file that is whole by itself, without a write-ahead log.
    pub(crate) fn open_copy(path: &Path) -> Result<Self> {
        Ok(Self { conn: copying::open_copy(path)?, path: path.to_owned() })
    }

    /// What a disk, or a copy, may have done to it; `None`: it is whole. Reads all of it.
    pub(crate) fn damage(&self) -> Option<String> {
        copying::damage(&self.conn)
    }

    /// Closes it as a file that is whole by itself, and on disk.
    pub(crate) fn close_whole(self) -> Result<()> {
        self.conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        drop(self.conn);
        let synced = std::fs::File::open(&self.path).and_then(|file| file.sync_all());
        synced.map_err(|error| file_error(&self.path, &error))
    }

    /// Runs statements, past all rules.
    #[cfg(test)]
    pub(crate) fn run_all(&self, statements: &str) {
        self.conn.execute_batch(statements).expect("they run");
    }
}
