//! The opening of a store: its directory's lock, its schema and its key, and what the last run left open.

use crate::history::kept_counts::KeptCounts;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::engine::Engine;
use crate::engine::embedded::data_dir::{self, DATABASE, database_in};
use crate::engine::embedded::start::Opening;
use crate::engine::membership::{Identity, Membership};
use crate::engine::postgres::address::Address;
use crate::engine::postgres::schemas;
use crate::engine::shared::head::Compile;
use crate::engine::shared::start;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::files;
use crate::log::search;
use crate::log::subscriptions::{load_subscription, load_subscriptions, or_out_of_order};
use crate::maintenance::unlock;
use crate::nodes::{self, lost};
use crate::other_nodes::{GATEWAY_STOPPED, Left};
use crate::secrecy::key_source::KeySource;
use crate::secrecy::vault::Vault;
use crate::sessions::unweighed;
use crate::signals::Signals;
use crate::{Inner, Store};
use vocabulary::clock::{Clock, Monotonic};

/// What compiles the subscriptions of a store that other nodes change too.
const COMPILE: Compile =
    Compile { all: load_subscriptions, one: |read, id| or_out_of_order(id, load_subscription(read, id)) };

/// A store that was opened for a gateway, and what others than the store go by.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The monotonic clock: what the store says is due is due by it.
    pub monotonic: Monotonic,
    /// What the installation's key opens.
    pub vault: Vault,
}

impl Store {
    /// [`Store::open_with`], with the key of its secrets in the directory.
    ///
    /// # Errors
    /// As there.
    pub fn open(data_dir: &Path, clock: Clock) -> Result<Self> {
        Ok(Self::open_with(data_dir, &KeySource::file_in(data_dir), clock)?.store)
    }

    /// Opens the store of `data_dir` for a gateway: takes the directory's lock, brings the schema up to date,
    /// and settles what the last run left open (connections, attempts). A key that is a file is made with the
    /// database.
    ///
    /// # Errors
    /// Of [`crate::StoreError`]: `InUse` if another gateway runs here; `Foreign`, `Development`, `Key`,
    /// `NewerSchema` and `NoRoom`, with nothing touched; I/O.
    pub fn open_with(data_dir: &Path, key: &KeySource, clock: Clock) -> Result<Opened> {
        Self::open_as(Identity::default(), data_dir, key, clock)
    }

    /// The same, under a name of its own.
    ///
    /// # Errors
    /// As there.
    pub fn open_as(identity: Identity, data_dir: &Path, key: &KeySource, clock: Clock) -> Result<Opened> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(address) = crate::test_store::shared_address(data_dir) {
            return Self::open_on_postgres(&address, Membership::alone(identity), data_dir, key, clock);
        }
        Self::open_embedded(identity, data_dir, key, clock)
    }

    /// The same, on SQLite, whatever the tests are run on.
    pub(crate) fn open_embedded(
        identity: Identity,
        data_dir: &Path,
        key: &KeySource,
        clock: Clock,
    ) -> Result<Opened> {
        let database = database_in(data_dir)?;
        files::create_directory(data_dir)?;
        let lock = data_dir::lock(data_dir)?;
        let vault = unlock::unlock(&database, key)?;
        // As a copy or a hand has left them.
        let logged = |file: &Path| ["", "-wal", "-shm"].map(|suffix| files::with_suffix(file, suffix));
        let kept = [logged(&database), logged(&data_dir.join(search::FILE))].concat();
        files::warn_of_open(kept.iter().map(PathBuf::as_path));
        let store = Self::start(data_dir, clock, Some(lock), vault.clone(), identity)?;
        Ok(Opened { monotonic: store.inner.monotonic.clone(), store, vault })
    }

    /// Opens the store at `address`, of which this is one of the nodes. The data directory holds what is this
    /// node's own: the key's file and the search index.
    ///
    /// # Errors
    /// Of [`crate::StoreError`]: `Away`, `Refused`, `Failed` (the server is of no use), `NodeRuns`, `Key`,
    /// `NewerSchema`; I/O.
    pub fn open_shared(
        address: &Address,
        identity: Identity,
        data_dir: &Path,
        key: &KeySource,
        clock: Clock,
    ) -> Result<Opened> {
        Self::open_on_postgres(address, Membership::among_others(identity), data_dir, key, clock)
    }

    fn open_on_postgres(
        address: &Address,
        membership: Membership,
        data_dir: &Path,
        key: &KeySource,
        clock: Clock,
    ) -> Result<Opened> {
        apart(|| Self::join(address, membership, data_dir, key, clock))
    }

    fn join(
        address: &Address,
        membership: Membership,
        data_dir: &Path,
        key: &KeySource,
        clock: Clock,
    ) -> Result<Opened> {
        files::create_directory(data_dir)?;
        let membership = Arc::new(membership);
        let mut opening = start::Opening::open(address, clock.clone(), COMPILE, (membership, join))?;
        let vault = unlock::vault_of(opening.read(unlock::check_of)?.as_deref(), key)?;
        opening.unlock(vault.clone());
        opening.write(unlock::settle)?;
        opening.be_node()?;
        weigh_all(|weigh| opening.write(weigh))?;
        let store = Self::of_shared(opening, data_dir, clock, vault.clone())?;
        Ok(Opened { monotonic: store.inner.monotonic.clone(), store, vault })
    }

    /// Opens the store at `address` beside its nodes, for a short errand such as making an API key. What is
    /// sealed in it cannot be read or written this way.
    ///
    /// # Errors
    /// As [`Store::open_shared`].
    pub fn open_shared_beside(address: &Address, data_dir: &Path, clock: Clock) -> Result<Self> {
        apart(|| {
            let opening = errand(address, &clock)?;
            Self::of_shared(opening, data_dir, clock, Vault::locked())
        })
    }

    fn of_shared(opening: start::Opening, data_dir: &Path, clock: Clock, vault: Vault) -> Result<Self> {
        let known = (opening.signals(), opening.monotonic(), opening.membership());
        let engine = Engine::Shared(Box::new(opening.start()?));
        Ok(Self::on(engine, known, data_dir, clock, vault))
    }

    /// The store on an engine that runs.
    fn on(
        engine: Engine,
        (signals, monotonic, membership): (Arc<Signals>, Monotonic, Arc<Membership>),
        data_dir: &Path,
        clock: Clock,
        vault: Vault,
    ) -> Self {
        let inner = Inner {
            engine,
            signals,
            monotonic,
            membership,
            clock,
            running: Arc::default(),
            vault,
            data_dir: data_dir.to_owned(),
            tags: OnceLock::new(),
            search: OnceLock::new(),
            uptime_counts: KeptCounts::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether a store was ever made in `data_dir`.
    pub fn exists_in(data_dir: &Path) -> bool {
        data_dir.join(DATABASE).exists()
    }

    /// Whether a store was ever made at `address`.
    ///
    /// # Errors
    /// Of [`crate::StoreError`]: `Away`, `Refused`.
    pub fn exists_at(address: &Address) -> Result<bool> {
        apart(|| schemas::is_made(address))
    }

    /// Opens the store beside a gateway that may be running, for a short errand such as making an API key.
    /// What is sealed in it cannot be read or written this way.
    ///
    /// # Errors
    /// As [`Store::open`]; in place of `InUse` `InUseByEarlier`, if the schema would have to be changed under
    /// a gateway that runs.
    pub fn open_beside(data_dir: &Path, clock: Clock) -> Result<Self> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(address) = crate::test_store::shared_address(data_dir) {
            return Self::open_shared_beside(&address, data_dir, clock);
        }
        database_in(data_dir)?;
        files::create_directory(data_dir)?;
        Self::start(data_dir, clock, None, Vault::locked(), Identity::default())
    }

    /// With the directory's lock: as its only gateway.
    fn start(
        data_dir: &Path,
        clock: Clock,
        lock: Option<File>,
        vault: Vault,
        identity: Identity,
    ) -> Result<Self> {
        let is_gateway = lock.is_some();
        let membership = Arc::new(Membership::alone(identity));
        let mut opening =
            Opening::of(data_dir, clock.clone(), vault.clone(), lock, &membership, load_subscriptions)?;
        if is_gateway {
            opening.write(unlock::settle)?;
            opening.write(|w| {
                lost::settle(w, Left { epoch: None, reason: GATEWAY_STOPPED })?;
                nodes::join(w, &membership)?;
                membership.joined(w.epoch);
                Ok(())
            })?;
            weigh_all(|weigh| opening.write(weigh))?;
        }
        let known = (opening.signals(), opening.monotonic(), membership);
        let engine = Engine::Embedded(opening.start()?);
        Ok(Self::on(engine, known, data_dir, clock, vault))
    }
}

/// Makes this process a node, unless the secrets have got another key since it has started.
fn join(w: &mut Tx<'_>, membership: &Arc<Membership>) -> Result<()> {
    unlock::verify(w)?;
    nodes::join(w, membership)
}

/// The database at `address`, opened beside its nodes for a short errand. What is sealed in it cannot be read
/// or written before it is unlocked. Blocks; see [`apart`].
///
/// # Errors
/// As [`Store::open_shared`].
pub(crate) fn errand(address: &Address, clock: &Clock) -> Result<start::Opening> {
    let membership = Arc::new(Membership::beside());
    start::Opening::open(address, clock.clone(), COMPILE, (membership, join))
}

/// Does `work` on a thread of its own: connections block the one that waits for them, which an asynchronous
/// caller's must not.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Weighs the sessions that an earlier version has left unweighed, some with each `write`.
fn weigh_all(mut write: impl FnMut(&mut dyn FnMut(&mut Tx<'_>) -> Result<()>) -> Result<()>) -> Result<()> {
    let mut may_be_more = true;
    while may_be_more {
        write(&mut |w| {
            may_be_more = unweighed::weigh_some(w)?;
            Ok(())
        })?;
    }
    Ok(())
}
