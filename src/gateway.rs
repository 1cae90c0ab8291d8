//! The whole gateway in one value: store, chargers' listener, delivery engine and REST API.

mod api;
mod certificates;
mod disk;
mod joining;
mod reload;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::delivery::{self, EngineHandle};
use crate::http::{ApiState, BrowserSessions, LimitsInForce, Overviews, OwnCertificates, Readiness};
use crate::indexing;
use crate::power_history;
use crate::retention;
use crate::station::{self, Addresses, ReservedAddresses, Stations};
use crate::ui::OneTimeLinks;
use api::{Listeners, RunningApi};
use certificates::Certificates;
use outbound::Outbound;
use outbound::post::{Poster, PosterError};
use store::{Identity, Opened, Store, StoreError, Vault};
use tls::TlsError;
use vocabulary::api::node::{Node, Status};
use vocabulary::clock::{Clock, Monotonic};

pub use certificates::check_files;
pub use reload::NotReloaded;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It was asked to stop before it had started.
    #[error("the gateway was stopped while it waited for its database")]
    Stopped,
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `delivery.extra_ca` could not be used.
    #[error("delivery.extra_ca: {0}")]
    ExtraCa(String),
    /// The HTTP client for deliveries could not be made.
    #[error(transparent)]
    Poster(#[from] PosterError),
    /// Certificates or keys could not be used.
    #[error("{key}: {fault}")]
    Tls {
        /// The setting, as `table.key`.
        key: String,
        /// The file, and what is wrong with it.
        fault: TlsError,
    },
    /// Chargers cannot be served.
    #[error(transparent)]
    Stations(#[from] station::NotStarted),
    /// The dashboard has no way to the API.
    #[error("the dashboard: {0}")]
    Dashboard(String),
    /// A listener of the API's could not be bound.
    #[error("{key}: cannot listen on {address}: {reason}")]
    Listen {
        /// The setting, as `table.key`.
        key: &'static str,
        /// The address of the configuration.
        address: SocketAddr,
        /// The operating system's words.
        reason: io::Error,
    },
}

/// A running gateway. Dropping it does not stop it: call [`Gateway::stop`].
pub struct Gateway {
    store: Store,
    stations: Arc<Stations>,
    ocpp: Addresses,
    deliveries: EngineHandle,
    stop_deliveries: CancellationToken,
    retention: JoinHandle<()>,
    indexing: JoinHandle<()>,
    api: RunningApi,
    stop_api: CancellationToken,
    /// What looks after files and disk beside everything else.
    watches: Vec<JoinHandle<()>>,
    /// What makes this a node, until everything else has ended.
    membership: Vec<JoinHandle<()>>,
    stop_membership: CancellationToken,
    /// What `/readyz` says.
    readiness: Readiness,
    certificates: Certificates,
    stop_deadline: Duration,
    /// How long sockets may take that go to other nodes.
    drain: Duration,
    has_dashboard: bool,
    sign_in_links: Arc<OneTimeLinks>,
    clock: Clock,
}

impl Gateway {
    /// Opens the store, starts the engines and then the listeners. A database elsewhere is waited for.
    ///
    /// # Errors
    /// If the data directory is in use or unusable, a database refuses us, or an address cannot be bound.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        Self::start_unless(config, clock, &CancellationToken::new()).await
    }

    /// The same, but `stop` ends the wait for a database.
    ///
    /// # Errors
    /// As [`Gateway::start`]; [`StartError::Stopped`].
    pub async fn start_unless(
        config: Config,
        clock: Clock,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        // Before anything is touched: what is wrong here is the operator's to mend.
        let certificates = Certificates::load(&config)?;
        certificates.warn_of_doubt(&config, clock.now());
        let poster = poster(&config.outbound)?;
        // Bound before anything runs: a port that is taken must leave nothing behind.
        let (opened, listeners, reserved) = match config.store.address()? {
            // Who starts a second gateway by mistake shall hear of the directory, not of a port.
            None => {
                let opened = open_store(&config, clock.clone()).await?;
                (opened, Listeners::bind(&config.api).await?, ReservedAddresses::take(&config.ocpp)?)
            }
            // A node says who it is and where it is found before it begins.
            Some(address) => {
                let listeners = Listeners::bind(&config.api).await?;
                let reserved = ReservedAddresses::take(&config.ocpp)?;
                let ocpp = reserved.addresses().listen;
                let identity = Identity {
                    ocpp_addr: Some(ocpp.to_string()),
                    api_addr: Some(listeners.api_addr().to_string()),
                    ..identity(&config, ocpp.port())
                };
                let waiting = (&listeners, certificates.api());
                let opened =
                    joining::join(&config, (address, identity), clock.clone(), waiting, stop).await?;
                (opened, listeners, reserved)
            }
        };
        let (store, monotonic, vault) =
            (opened.store.clone(), opened.monotonic.clone(), opened.vault.clone());
        let ocpp = reserved.addresses();
        let stations = Stations::start(
            opened,
            clock.clone(),
            poster.clone(),
            config.station(),
            certificates.stations.clone(),
            reserved,
        )?;
        let (stop_deliveries, stop_api) = (CancellationToken::new(), CancellationToken::new());
        let stop_membership = CancellationToken::new();
        let membership = vec![
            tokio::spawn({
                let (store, stop) = (store.clone(), stop_membership.clone());
                async move { store.be_node(stop).await }
            }),
            tokio::spawn({
                let (store, stop) = (store.clone(), stop_membership.clone());
                async move { store.hear_others(stop).await }
            }),
        ];
        let (stop_deadline, drain) = (config.server.stop_deadline.0, config.node.drain.0);
        let deliveries = delivery::Engine::start(
            (store.clone(), monotonic.clone()),
            poster.clone(),
            &config.delivery,
            // Half for the chargers' sockets, half for what is being sent.
            stop_deadline / 2,
            clock.clone(),
            stop_deliveries.clone(),
        );
        let retention = retention::start(store.clone(), &config.retention, clock.clone(), stop_api.clone());
        let indexing = indexing::start(store.clone(), stop_api.clone());
        let mut watches = certificates.watch(&stop_api);
        watches.push(tokio::spawn(disk::watch(store.clone(), config.server.clone(), stop_api.clone())));
        let (power, looks) = power_history::start(store.clone(), clock.clone(), stop_api.clone());
        watches.push(looks);
        let engines = (&*stations, &deliveries);
        let opened = (store.clone(), vault);
        let seen_by = clock.clone();
        let readiness = Readiness::default();
        let state = ApiState {
            power,
            certificates: certificates.own(),
            readiness: readiness.clone(),
            ..api_state(&config, opened, (clock, monotonic), poster, engines, stop_api.clone())
        };
        let sign_in_links = Arc::<OneTimeLinks>::default();
        let has_dashboard = config.api.dashboard;
        let api = listeners.serve(Arc::new(state), certificates.api(), sign_in_links.clone())?;
        store.set_addresses(Some(ocpp.listen.to_string()), Some(api.addr.to_string()));
        Ok(Self {
            store,
            stations,
            ocpp,
            deliveries,
            stop_deliveries,
            retention,
            indexing,
            api,
            stop_api,
            watches,
            membership,
            stop_membership,
            readiness,
            certificates,
            stop_deadline,
            drain,
            has_dashboard,
            sign_in_links,
            clock: seen_by,
        })
    }

    /// Where chargers connect, with the real port.
    pub fn ocpp_addr(&self) -> SocketAddr {
        self.ocpp.listen
    }

    /// Where chargers connect with TLS, with the real port, if that is another place.
    pub fn ocpps_addr(&self) -> Option<SocketAddr> {
        self.ocpp.tls_listen
    }

    /// Where the REST API answers, with the real port.
    pub fn api_addr(&self) -> SocketAddr {
        self.api.addr
    }

    /// Where metrics are answered, with the real port, if that is another place.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.api.metrics_addr
    }

    /// Where the dashboard is; `None` if it is switched off.
    pub fn dashboard_url(&self) -> Option<String> {
        let scheme = if self.certificates.api().is_some() { "https" } else { "http" };
        self.has_dashboard.then(|| format!("{scheme}://{}/", self.api_addr()))
    }

    /// A link that signs in to the dashboard with `key`, once and within ten minutes.
    pub fn sign_in_link(&self, key: &str) -> Option<String> {
        let path = self.sign_in_links.make(key, self.clock.now())?;
        self.dashboard_url().map(|url| format!("{}{path}", url.trim_end_matches('/')))
    }

    /// The store, for programs that embed the gateway.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether there are nodes that chargers can go to.
    async fn others_serve(&self) -> bool {
        let ours = *self.store.epochs().borrow();
        let serves = |node: &Node| node.status == Status::Active && node.epoch != ours;
        self.store.is_shared() && self.store.nodes().await.is_ok_and(|nodes| nodes.iter().any(serves))
    }

    /// Stops in order: accept nothing more, close sockets, finish sends, close the store. What is not
    /// done when the time is over is done after the next start.
    pub async fn stop(self) {
        // Load balancers ask for it: no charger is to be led here any more.
        self.readiness.report("gateway", Some("it stops".to_owned()));
        self.store.begin_to_leave().await;
        if self.others_serve().await {
            self.stations.hand_over(self.drain).await;
        }
        // The sockets had a time of their own.
        let deadline = Instant::now() + self.stop_deadline;
        self.stop_api.cancel();
        self.stations.stop(self.stop_deadline / 2).await;
        self.stop_deliveries.cancel();
        self.deliveries.join().await;
        // They end with the step they are at.
        let _ = tokio::join!(self.retention, self.indexing);
        self.api.end(deadline).await;
        for watch in self.watches {
            let _ = watch.await;
        }
        self.store.leave().await;
        self.stop_membership.cancel();
        for task in self.membership {
            let _ = task.await;
        }
        let store = self.store;
        // Blocks until the last commit.
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

/// Who this node is, before it is known where it is found.
fn identity(config: &Config, ocpp_port: u16) -> Identity {
    Identity {
        name: config.node.name_on(&machine(), ocpp_port),
        ocpp_addr: None,
        api_addr: None,
        lease: config.node.lease.0,
    }
}

/// What the machine is called.
fn machine() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Opens the store beside the async threads.
async fn open_store(config: &Config, clock: Clock) -> Result<Opened, StoreError> {
    let (data_dir, key) = (config.server.data_dir.clone(), config.secrets_key());
    let identity = identity(config, config.ocpp.listen.port());
    let opened = tokio::task::spawn_blocking(move || Store::open_as(identity, &data_dir, &key, clock)).await;
    opened.map_err(|_| StoreError::Closed)?
}

/// What the API's handlers work with.
fn api_state(
    config: &Config,
    (store, vault): (Store, Vault),
    (clock, monotonic): (Clock, Monotonic),
    poster: Poster,
    (stations, deliveries): (&Stations, &EngineHandle),
    stop: CancellationToken,
) -> ApiState {
    ApiState {
        store,
        clock,
        started: monotonic.now(),
        monotonic,
        poster,
        passwords: stations.passwords().clone(),
        stations: stations.registry().clone(),
        call_outs: stations.call_outs().clone(),
        refused: stations.refused().clone(),
        lanes: deliveries.views(),
        power: Arc::default(),
        certificates: OwnCertificates::default(),
        overviews: Overviews::default(),
        readiness: Readiness::default(),
        settings: config.http(),
        browser_sessions: BrowserSessions::new(vault),
        limits: Arc::new(LimitsInForce::new(config.api_limits)),
        stop,
    }
}

fn poster(settings: &Outbound) -> Result<Poster, StartError> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|error| StartError::ExtraCa(format!("{}: {error}", path.display())))
    };
    let extra_ca = settings.extra_ca.as_ref().map(read).transpose()?;
    Ok(Poster::new(settings.guard(), extra_ca.as_deref())?)
}
