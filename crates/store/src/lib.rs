//! The store: everything that must survive a restart.
//!
//! Public methods are use cases: each is one transaction, returns once it is durable, and shows no SQL and no
//! type of a database library. They run on an [`engine`]: SQLite in one file, or PostgreSQL. It writes on one
//! thread and reads on a small pool. After a commit, [`signals`] wake those who wait for what was written.
//!
//! `# Errors`: where a use case says nothing of them, they are the store's own ([`StoreError`]), and nothing
//! of it was written.
//!
//! **Invariant**: one function inserts events (`log::append::append`), and in the same transaction it inserts
//! one delivery for each webhook whose subscription matches.

mod access;
mod calls;
mod commands;
mod deliveries;
mod engine;
mod history;
mod log;
mod maintenance;
mod nodes;
mod other_nodes;
mod overview;
mod secrecy;
mod sessions;
mod station_state;
mod stations;
mod webhooks;
mod why;

mod cells;
mod changed;
mod command_result;
mod error;
pub mod files;
mod listing;
mod search_words;
#[cfg(any(test, feature = "testing"))]
pub mod seed;
mod signals;
#[cfg(any(test, feature = "testing"))]
pub mod test_store;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

pub use access::api_keys::{ApiKeyFilter, KEY_USE_STEP, KeyFacts, NewKey};
pub use access::audit::{AuditFilter, Change, ChangeAnswer};
pub use access::id_tags::{IdTagFilter, PutTag};
pub use access::idempotency::{KeptAnswer, RequestState};
pub use access::request_record::Recording;
pub use access::running_requests::RequestKey;
pub use access::tag_rules::{OutsideVerdicts, TagRules};
pub use calls::authorization_question::Question;
pub use calls::{Advice, Answered, CallPolicy, Calls};
pub use changed::Changed;
pub use commands::bulk::cancel::CanceledBulk;
pub use commands::bulk::list::{BulkFilter, BulkStationFilter};
pub use commands::bulk::step::BulkStep;
pub use commands::bulk::{BulkCreation, NewBulkCommand, OpenBulkCommand};
pub use commands::list::CommandFilter;
pub use commands::queue::{Cancellation, Creation, NewCommand, NextCommand};
pub use commands::readiness::NotReady;
pub use deliveries::changes::{Canceled, Resent};
pub use deliveries::claim::{Claimed, EventsToDeliver, LaneClaimed};
pub use deliveries::dead_letters::{DeliveryFailure, GivenUp};
pub use deliveries::direct_url::DirectUrl;
pub use deliveries::lane_settings::{BrokerSettings, LaneClaim, LaneSettings, LaneState, SigningSecretText};
pub use deliveries::lanes::DueLane;
pub use deliveries::lately::Lately;
pub use deliveries::list::{Delivery, DeliveryFilter};
pub use deliveries::outcomes::{Finish, Next, NotMade};
pub use deliveries::replays::{CanceledReplay, CountedReplay, ReplayFilter, ReplayStep, ResendWalk};
pub use deliveries::tallies::{Ended, TALLIES_KEPT};
pub use engine::embedded::copying::CopyProgress;
pub use engine::embedded::residue::Residue;
pub use engine::membership::Identity;
pub use engine::postgres::address::{Address, InvalidAddress};
pub use engine::postgres::settings::{StorePassword, StoreSettings, StoreUrl};
pub use engine::sqlite::free_space::{Disk, Space};
pub use engine::statistics::{Failing, Histogram, Statistics};
pub use error::{KeyFault, NoSecretsKey, Result, StoreError, UnreadableCell, UnreadableSetting};
pub use history::uptime_report::{Uptime, UptimeFilter, UptimeQuestion};
pub use listing::{Listed, Slice};
pub use log::event_list::EventFilter;
pub use log::ingest::{Destination, IngestOutcome, NewIngest};
pub use log::messages::{MessageFilter, MessagePage, MessagePosition, NoMessagePosition, PlacedMessage};
pub use log::not_matched::UnmatchedWebhook;
pub use log::removed_before::{Missing, ResumePoint};
pub use log::retention::{Expired, Expiring, Removed};
pub use log::search::Indexed;
pub use log::stretch::Stretch;
pub use maintenance::backup::{BackupError, MadeBackup, back_up};
pub use maintenance::counts::{Advanced, Steps, advance_counts};
pub use maintenance::key_change::{KeyChangeRefused, KeyChanged, change_key, copy_key};
pub use maintenance::key_lost::{LosingWebhook, Losses, drop_secrets, losses};
pub use maintenance::migrate::{Migrated, Migration, MigrationProgress, migrate};
pub use maintenance::open::Opened;
pub use maintenance::quiet::Place;
pub use maintenance::restore::{Restore, Restored, restore};
pub use nodes::ThisNode;
pub use overview::facts::{
    DoubtfulSession, Facts, FaultedConnector, GatewayFacts, LaneFact, OpenSession, SessionFacts,
    TroubledStation, WebhookFact,
};
pub use overview::{Glance, OverviewQuestion, attention};
pub use secrecy::key_source::{KeySource, NEW_KEY_VARIABLE, SecretsKey};
pub use secrecy::settings::Secrets;
pub use secrecy::vault::Vault;
pub use sessions::close::{Closed, ManualStop};
pub use sessions::meter_values::MeterValueFilter;
pub use sessions::reservation_list::ReservationFilter;
pub use sessions::summary::{SUMMARY_ROWS_MAX, Summary, SummaryQuestion};
pub use sessions::transaction_list::TransactionFilter;
pub use signals::told::StationNews;
pub use signals::{CommandEnd, LanesDue};
pub use station_state::certificate_renewal::UsedCertificate;
pub use station_state::handshake_facts::StationAccess;
pub use station_state::password_change::UsedPassword;
pub use stations::certificate_signing::Signing;
pub use stations::connections::{Admission, Connected, ConnectionEnd, Unwelcome, Welcome};
pub use stations::connector_list::ConnectorFilter;
pub use stations::filter::{StationFilter, StationSort};
pub use stations::provisioning::{Created, Imported, StationToImport};
pub use stations::refusals::{Refusal, RefusedConnection, Rejected};
pub use vocabulary::positions::{DeliveryRow, LogPosition};
pub use webhooks::numbers::WebhookNumbers;
pub use webhooks::pauses::Paused;
pub use webhooks::settings::{CreatedWebhook, WebhookFilter};
pub use webhooks::webhook_row::StoredWebhook;
pub use why::{TagPolicy, why_delivery};

use access::running_requests::RunningRequests;
use engine::embedded::search_index::SearchIndex;
use engine::membership::Membership;
use engine::sql::params;
use engine::tx::{Read, Tx};
use engine::{Engine, Priority, Scope};
use history::kept_counts::KeptCounts;
use signals::Signals;
use vocabulary::clock::{Clock, Monotonic};

/// A handle on the store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    signals: Arc<Signals>,
    monotonic: Monotonic,
    membership: Arc<Membership>,
    /// The wall clock.
    clock: Clock,
    /// Requests with an `Idempotency-Key` that are being served.
    running: Arc<RunningRequests>,
    data_dir: PathBuf,
    /// What becomes of id tags, once that is known.
    tags: OnceLock<TagRules>,
    /// Once it was opened.
    search: OnceLock<Arc<SearchIndex>>,
    vault: Vault,
    /// How far reports on uptime have counted.
    uptime_counts: KeptCounts,
}

impl Store {
    /// Where the newest event stands, and each one after it. Mark it as seen before you query.
    pub fn tail(&self) -> watch::Receiver<LogPosition> {
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
        self.write(Priority::Api, Scope::Installation, |w| {
            w.run(
                "INSERT INTO meta (key, value) VALUES ('probed_at_ms', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                params![w.now],
            )
        })
        .await?;
        self.read(|read| read.has("SELECT 1 FROM meta LIMIT 1", &[]).map(drop)).await
    }

    /// Writes down that the clock was set, where nothing else is written meanwhile.
    pub async fn note_clock(&self) -> Result<()> {
        // Every batch begins with it.
        self.write(Priority::Api, Scope::Installation, |_| Ok(())).await
    }

    /// What the writer counts of itself.
    pub fn statistics(&self) -> &Statistics {
        self.inner.engine.statistics()
    }

    /// Writes what waits, closes the store and frees its directory for another gateway, whoever still holds a
    /// handle. Later writes fail with [`StoreError::Closed`]. Blocks until the last commit.
    pub fn close(&self) {
        self.inner.engine.close();
    }

    async fn write<T, F>(&self, priority: Priority, scope: Scope, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        match Recording::current() {
            Some(recording) => recording.write(&self.inner.engine, priority, scope, work).await,
            None => self.inner.engine.write(priority, scope, work).await,
        }
    }

    /// What opens secrets that a reader has found.
    fn vault(&self) -> Vault {
        self.inner.vault.clone()
    }

    async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> Result<T> + Send + 'static,
    {
        self.inner.engine.read(query).await
    }
}
