//! A database that no gateway works on, to be changed as a whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::engine::embedded::data_dir::{database_in, lock};
use crate::engine::embedded::database_file::DatabaseFile;
use crate::engine::embedded::residue::Residue;
use crate::engine::postgres::address::Address;
use crate::engine::shared::start::Opening;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::log::subscriptions::load_subscriptions;
use crate::maintenance::open::errand;
use crate::maintenance::unlock;
use crate::nodes;
use crate::secrecy::vault::Vault;
use vocabulary::clock::Clock;

/// Where a database is.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In a data directory: SQLite.
    Directory(&'a Path),
    /// On a server of PostgreSQL.
    Shared(&'a Address),
}

impl<'a> From<&'a Path> for Place<'a> {
    fn from(data_dir: &'a Path) -> Self {
        Self::Directory(data_dir)
    }
}

impl<'a> From<&'a Address> for Place<'a> {
    fn from(address: &'a Address) -> Self {
        Self::Shared(address)
    }
}

/// A database, while no gateway works on it.
pub(crate) enum Quiet {
    /// The file of a data directory, and the directory's lock, by which no gateway runs there.
    File { path: PathBuf, lock: Option<File> },
    /// A database of PostgreSQL. That no node is active is looked at in the transaction that changes it.
    Shared(Box<Opening>),
}

impl Quiet {
    /// Opens it to be changed.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::NodesActive`].
    pub(crate) fn open(place: Place<'_>, clock: &Clock) -> Result<Self> {
        let mut opened = Self::look_at(place, clock)?;
        match &mut opened {
            Self::File { path, lock: held } => *held = Some(lock(crate::files::directory_of(path))?),
            // What follows should not even begin.
            Self::Shared(opening) => opening.read(nodes::refuse_active)?,
        }
        Ok(opened)
    }

    /// Opens it to look at it, also beside a gateway.
    pub(crate) fn look_at(place: Place<'_>, clock: &Clock) -> Result<Self> {
        Ok(match place {
            Place::Directory(data_dir) => Self::File { path: database_in(data_dir)?, lock: None },
            Place::Shared(address) => Self::Shared(Box::new(errand(address, clock)?)),
        })
    }

    /// What stands in it.
    pub(crate) fn read<T>(&self, query: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        match self {
            Self::File { path, .. } => query(&DatabaseFile::look_at(path)?.read()),
            Self::Shared(opening) => opening.read(query),
        }
    }

    /// The entry that only the right key opens; `None`: nothing in it was ever sealed.
    pub(crate) fn check(&self) -> Result<Option<String>> {
        match self {
            Self::File { path, .. } => unlock::check_in(&DatabaseFile::look_at(path)?),
            Self::Shared(opening) => opening.read(unlock::check_of),
        }
    }

    /// Brings it to today's schema, and does all of `work`, or nothing. Nodes that were silent for their
    /// lease are lost by that: one that wakes joins anew.
    pub(crate) fn write<T>(
        &mut self,
        clock: &Clock,
        vault: &Vault,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::File { path, .. } => {
                let mut database = DatabaseFile::open(path)?;
                database.upgrade()?;
                database.write(clock, vault, load_subscriptions, work)
            }
            Self::Shared(opening) => {
                opening.unlock(vault.clone());
                let mut done = None;
                opening.write(|w| {
                    nodes::refuse_active(w)?;
                    nodes::lose_silent(w)?;
                    done = Some(work(w)?);
                    Ok(())
                })?;
                done.ok_or(StoreError::Closed)
            }
        }
    }

    /// Sees to what a change of the key leaves where nothing looks any more.
    pub(crate) fn sweep(&self) -> Result<Residue> {
        match self {
            Self::File { path, .. } => DatabaseFile::open(path)?.sweep(),
            Self::Shared(_) => Ok(Residue::UntilVacuum),
        }
    }
}
