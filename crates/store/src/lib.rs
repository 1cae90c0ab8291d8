//! The store: everything that must survive is here, in one SQLite file.
//!
//! Public methods are use cases: each is one transaction, returns once it is durable, and shows no
//! SQL and no rusqlite type. Writes go through one thread ([`writer`]), reads through a small pool
//! ([`readers`]); after a commit the engines are told by [`signals`].
//!
//! **Invariant**: one function inserts events (`events::append`), and in the same transaction it
//! inserts one delivery per webhook that matches.

mod abilities;
mod alone;
mod api_keys;
mod audit;
mod authorizations;
mod backup;
mod bills;
mod boots;
mod calls;
mod cells;
mod certificate_renewal;
mod certificates;
mod checkpoint;
mod closings;
mod command_end;
mod command_list;
mod commands;
mod configuration;
mod connections;
mod deliveries;
mod delivery_list;
mod effects;
mod energy;
mod error;
mod event_log;
mod event_row;
mod events;
pub mod files;
mod health;
mod horizon;
mod id_tags;
mod idempotency;
mod identity;
mod in_order;
mod ingest;
mod key_change;
mod key_rotation;
mod lanes;
mod listing;
mod local_list;
mod lost_key;
mod messages;
mod meter_values;
mod oddities;
mod origins;
mod outcomes;
mod pauses;
mod presence;
mod readers;
mod recording;
mod remote_start;
mod replay_search;
mod replays;
mod resend_walk;
mod reservations;
mod restore;
mod retention;
mod schema;
mod sealed;
mod sealing;
mod search;
mod secrets;
mod secrets_key;
#[cfg(any(test, feature = "testing"))]
pub mod seed;
mod signals;
mod space;
mod station_access;
mod stations;
mod statistics;
mod steady;
mod thinning;
mod transaction_list;
mod transactions;
mod upgrade;
mod vault;
mod webhook_stats;
mod webhooks;
mod writer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::watch;

pub use api_keys::{KEY_USE_STEP, KeyFacts, NewKey};
pub use audit::{AuditFilter, Change, ChangeAnswer};
pub use authorizations::{OutsideVerdicts, Question};
pub use backup::{BackupError, CopyProgress, MadeBackup, back_up};
pub use calls::{Advice, Answered, CallPolicy};
pub use certificate_renewal::UsedCertificate;
pub use certificates::Signing;
pub use closings::{Closed, Closing};
pub use command_list::CommandFilter;
pub use commands::{CalledBack, NewCommand, Ordered, Turn, Unfit};
pub use connections::{Connected, ConnectionEnd, Rejected, Unwelcome, Welcome};
pub use deliveries::{Canceled, Resent};
pub use delivery_list::{Delivery, DeliveryFilter, DeliveryPage};
pub use error::{KeyFault, Result, StoreError, UnreadableSetting};
pub use event_log::{EventFilter, Stretch, Unwanted};
pub use horizon::{Missing, Standing};
pub use id_tags::IdTagFilter;
pub use idempotency::{KeptAnswer, RequestStanding};
pub use ingest::{Destination, IngestOutcome, NewIngest};
pub use key_change::{KeptAsTheyWere, KeyChanged, change_key, copy_key};
pub use key_rotation::UsedPassword;
pub use lanes::{
    Claimed, Elsewhere, EventsToDeliver, LaneClaim, LaneClaimed, LaneSettings, LaneState, SigningSecretText,
};
pub use listing::{Listed, Slice};
pub use lost_key::{LosingWebhook, Losses, drop_secrets, losses};
pub use messages::MessageFilter;
pub use meter_values::MeterValueFilter;
pub use outcomes::{DeliveryFailure, Finish, GivenUp, Next, NotMade};
pub use pauses::Paused;
pub use recording::{Recording, RequestKey};
pub use replays::{CountedReplay, ReplayFilter, ReplayStep};
pub use resend_walk::ResendWalk;
pub use reservations::ReservationFilter;
pub use restore::{Restore, Restored, Steps, restore};
pub use retention::{Expired, Expiring, Removed};
pub use search::Indexed;
pub use secrets_key::{KeySource, NEW_KEY_VARIABLE, NoSecretsKey, SecretsKey};
pub use signals::{CommandEnd, LanesDue};
pub use space::{Disk, Space};
pub use station_access::StationAccess;
pub use stations::{Created, Imported, StationFilter, StationToImport};
pub use statistics::{Histogram, Statistics};
pub use transaction_list::TransactionFilter;
pub use webhook_stats::WebhookNumbers;
pub use webhooks::{Changed, StoredWebhook};

use checkpoint::Checkpoint;
use readers::Readers;
use recording::RunningRequests;
use search::SearchIndex;
use signals::Signals;
use vault::Vault;
use vocabulary::clock::{Clock, Steady};
use vocabulary::id::{ApiKeyId, CommandId, DeliveryId, EventId, IdMint, ReplayId, ReservationId};
use writer::{Pen, Priority, Writer, Writing};

/// What is asked for that may be read at once.
const READERS: usize = 4;

/// Claims whose events may be read at once: one is read while the one before it begins to be sent.
const DELIVERY_READERS: usize = 2;

/// The database's name in the data directory.
const DATABASE: &str = "chargehook.db";

/// A handle on the store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Writer,
    readers: Arc<Readers>,
    /// Those of what is to be delivered.
    delivery_readers: Arc<Readers>,
    signals: Arc<Signals>,
    statistics: Arc<Statistics>,
    steady: Steady,
    /// Requests with an `Idempotency-Key` that are being served.
    running: Arc<RunningRequests>,
    data_dir: PathBuf,
    /// Once it was opened.
    search: OnceLock<Arc<SearchIndex>>,
    vault: Vault,
    /// Held until the store is closed: one `serve` per data directory.
    lock: Mutex<Option<File>>,
}

impl Store {
    /// [`Store::open_with`], with the key of its secrets in the directory.
    ///
    /// # Errors
    /// As there.
    pub fn open(data_dir: &Path, clock: Clock) -> Result<Self> {
        Self::open_with(data_dir, &KeySource::file_in(data_dir), clock)
    }

    /// Opens the store of `data_dir` for a gateway: takes the directory's lock, brings the schema up to
    /// date, seals what older versions kept in the clear, and settles what the last run left open
    /// (connections, attempts). A key that is a file is made with the database.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another gateway runs here; [`StoreError::Foreign`], [`StoreError::Key`],
    /// [`StoreError::NewerSchema`] and [`StoreError::NoRoom`], with nothing touched; I/O.
    pub fn open_with(data_dir: &Path, key: &KeySource, clock: Clock) -> Result<Self> {
        let database = database_in(data_dir)?;
        files::create_directory(data_dir)?;
        let lock = lock(data_dir)?;
        let vault = sealing::unlock(&database, key)?;
        // As an earlier version, a copy or a hand has left them.
        let logged = |file: &Path| ["", "-wal", "-shm"].map(|suffix| files::with_suffix(file, suffix));
        let kept = [logged(&database), logged(&data_dir.join(search::FILE))].concat();
        files::warn_of_open(kept.iter().map(PathBuf::as_path));
        Self::start(data_dir, clock, Some(lock), vault)
    }

    /// Whether a store was ever made in `data_dir`.
    pub fn exists_in(data_dir: &Path) -> bool {
        data_dir.join(DATABASE).exists()
    }

    /// Opens the store beside a gateway that may be running, for a short errand such as making an API key.
    /// What is sealed in it cannot be read or written this way.
    ///
    /// # Errors
    /// As [`Store::open`]; in place of [`StoreError::InUse`] [`StoreError::InUseByEarlier`], if the schema would
    /// have to be changed under a gateway that runs.
    pub fn open_beside(data_dir: &Path, clock: Clock) -> Result<Self> {
        database_in(data_dir)?;
        files::create_directory(data_dir)?;
        Self::start(data_dir, clock, None, Vault::locked())
    }

    /// With the directory's lock: as its only gateway.
    fn start(data_dir: &Path, clock: Clock, lock: Option<File>, vault: Vault) -> Result<Self> {
        let path = data_dir.join(DATABASE);
        files::create_for_owner(&path)?;
        let mut conn = schema::open_writer(&path)?;
        let version = schema::version(&conn)?;
        let fresh = version == 0;
        // A gateway that runs goes on writing by the schema that it knows: nobody changes it meanwhile.
        let is_older = !fresh && version != schema::NEWEST;
        let _nobody_else = match lock.is_none() && is_older {
            true => Some(self::lock(data_dir).map_err(|error| match error {
                StoreError::InUse(directory) => {
                    StoreError::InUseByEarlier { directory, found: version, known: schema::NEWEST }
                }
                other => other,
            })?),
            false => None,
        };
        upgrade::upgrade(&mut conn, &path)?;
        if lock.is_some() {
            sealing::settle(&mut conn, &vault, fresh)?;
        }
        let (newest_event, mint) = newest_ids(&conn)?;
        let (steady, wall_ahead_ms) = steady::resume(&conn, &clock)?;
        let signals = Arc::new(Signals::new(newest_event));
        let statistics = Arc::new(Statistics::default());
        let mut pen = Pen {
            subscriptions: webhooks::load_subscriptions(&conn)?,
            checkpoint: Checkpoint::start(&path, &mut conn, statistics.clone())?,
            conn,
            clock,
            steady: steady.clone(),
            wall_ahead_ms: lock.is_some().then_some(wall_ahead_ms),
            mint,
            signals: signals.clone(),
            statistics: statistics.clone(),
            vault: vault.clone(),
        };
        if lock.is_some() {
            pen.transact(connections::settle)?;
            pen.transact(commands::settle)?;
            pen.transact(idempotency::settle)?;
            pen.transact(|writing| outcomes::recover(writing.conn, writing.steady))?;
        }
        let writer = Writer::start(pen)?;
        let readers = Arc::new(Readers::new(path.clone(), READERS));
        let delivery_readers = Arc::new(Readers::new(path, DELIVERY_READERS));
        let inner = Inner {
            writer,
            readers,
            delivery_readers,
            signals,
            statistics,
            steady,
            running: Arc::default(),
            vault,
            data_dir: data_dir.to_owned(),
            search: OnceLock::new(),
            lock: Mutex::new(lock),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The newest event's row, and each one after it. Mark it as seen before you query.
    pub fn tail(&self) -> watch::Receiver<i64> {
        self.inner.signals.tail()
    }

    /// Waits until some webhook has deliveries to look at. For the delivery engine alone.
    pub async fn lanes_due(&self) -> LanesDue {
        self.inner.signals.lanes_due().await
    }

    /// Commits once and reads once: whether the store can serve.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub async fn probe(&self) -> Result<()> {
        self.write(Priority::Api, |w| {
            w.conn
                .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('probed_at_ms', ?1)")?
                .execute([w.now.unix_ms()])?;
            Ok(())
        })
        .await?;
        self.read(|conn| Ok(conn.prepare_cached("SELECT 1 FROM meta LIMIT 1")?.exists([]).map(drop)?)).await
    }

    /// What the writer counts of itself.
    pub fn statistics(&self) -> &Statistics {
        &self.inner.statistics
    }

    /// Writes what waits, closes the store and frees its directory for another gateway, whoever still
    /// holds a handle; later writes fail with [`StoreError::Closed`]. Blocks until the last commit.
    pub fn close(&self) {
        self.inner.writer.close();
        drop(self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    async fn write<T, F>(&self, priority: Priority, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writing<'_>) -> Result<T> + Send + 'static,
    {
        match Recording::current() {
            Some(recording) => recording.write(&self.inner.writer, priority, work).await,
            None => self.inner.writer.write(priority, work).await,
        }
    }

    /// A key for `purpose` that is not in the database and stays the same as long as that of its secrets
    /// does; `None` if the store was opened without it.
    pub fn derived_key(&self, purpose: &str) -> Option<[u8; 32]> {
        self.inner.vault.derived(purpose)
    }

    /// What opens secrets that a reader has found.
    fn vault(&self) -> Vault {
        self.inner.vault.clone()
    }

    async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.inner.readers.read(query).await
    }
}

/// The database of a data directory, which need not exist.
///
/// # Errors
/// [`StoreError::Foreign`] if something else stands there. Nothing was touched.
fn database_in(data_dir: &Path) -> Result<PathBuf> {
    let path = data_dir.join(DATABASE);
    identity::look(&path, &identity::DATABASE)?;
    Ok(path)
}

fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("lock");
    // Whoever can open the file can hold its lock, so that nobody else may, whatever the directory's mode.
    let file = files::open_for_owner(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(files::file_error(&path, &error)),
    }
}

/// The newest event's row, and a mint that goes on behind everything that was ever minted.
fn newest_ids(conn: &Connection) -> Result<(i64, IdMint)> {
    let event: Option<(i64, EventId)> = conn
        .query_row("SELECT seq, id FROM events ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, cells::parsed(row, 1)?))
        })
        .optional()?;
    let (seq, event) = event.map_or((0, 0), |(seq, id)| (seq, id.value()));
    // The newest of all may be of any kind: where the clock has stepped back, the next one is only one more.
    let others = [
        newest_id(conn, "deliveries")?.map(DeliveryId::value),
        newest_id(conn, "commands")?.map(CommandId::value),
        newest_id(conn, "replays")?.map(ReplayId::value),
        newest_id(conn, "reservations")?.map(ReservationId::value),
        newest_id(conn, "api_keys")?.map(ApiKeyId::value),
    ];
    let newest = others.into_iter().flatten().fold(event, u128::max);
    Ok((seq, IdMint::after(newest)))
}

fn newest_id<T>(conn: &Connection, table: &str) -> Result<Option<T>>
where
    T: std::str::FromStr<Err = vocabulary::id::InvalidId>,
{
    let sql = format!("SELECT id FROM {table} ORDER BY seq DESC LIMIT 1");
    Ok(conn.query_row(&sql, [], |row| cells::parsed(row, 0)).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_id_is_given_twice_whatever_kind_was_the_newest_before_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        store.seed_events("CP", 1).await.expect("an event");
        store
            .seed_run(
                "INSERT INTO replays (id, selection, status, matched, position, end_position, requested_by_id,
                                      requested_by_name, asked_at_ms, created_at_ms)
                 VALUES ('rpl_7zzzzzzzzzzzzzzzzzzzzzzzz0', '{\"kind\":\"resend\"}', 'running', 0, 0, 0, 'k', 'k', 0, 0)",
            )
            .await;
        store.close();
        let store = Store::open(dir.path(), Clock::System).expect("again");
        let next = store.seed_events("CP", 1).await.expect("an event");
        assert_eq!(next[0].to_string(), "evt_7zzzzzzzzzzzzzzzzzzzzzzzz1");
    }
}
