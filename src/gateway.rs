//! The whole gateway in one value: store, chargers' listener, delivery engine and REST API.

mod disk;
mod reload;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Config;
use crate::delivery::{self, EngineHandle};
use crate::http::serve::Bounds;
use crate::http::{self, ApiConfig, ApiLimits, ApiState, Places, Readiness, RequestRates};
use crate::indexing;
use crate::retention;
use crate::station::password::LightKey;
use crate::station::{self, Stations};
use outbound::post::{Poster, PosterError};
use store::{CallPolicy, OutsideVerdicts, Store, StoreError};
use tls::{Authorities, Authority, AuthoritySettings, File, Files, Tls, TlsError};
use vocabulary::adjustable::Adjustable;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::forwarded::TrustedProxies;

pub use reload::NotReloaded;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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

/// What connections are encrypted with, and clients known by.
#[derive(Clone, Default)]
struct Certificates {
    ocpp: Option<Arc<Tls>>,
    api: Option<Arc<Tls>>,
    /// Of certificates that proxies hand on.
    handed_on: Option<Arc<Authorities>>,
    /// Who signs those of stations.
    authority: Option<Arc<Authority>>,
}

/// A running gateway. Dropping it does not stop it: call [`Gateway::stop`].
pub struct Gateway {
    store: Store,
    stations: Arc<Stations>,
    deliveries: EngineHandle,
    stop_deliveries: CancellationToken,
    retention: JoinHandle<()>,
    indexing: JoinHandle<()>,
    /// The API, and metrics where they have a place of their own.
    api: Vec<JoinHandle<()>>,
    stop_api: CancellationToken,
    /// What looks after files and disk beside everything else.
    watches: Vec<JoinHandle<()>>,
    certificates: Certificates,
    api_state: Arc<ApiState>,
    api_bounds: Arc<Adjustable<Bounds>>,
    ocpp_addr: SocketAddr,
    ocpps_addr: Option<SocketAddr>,
    api_addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    stop_deadline: Duration,
}

impl Gateway {
    /// Opens the store, starts the engines and then the listeners.
    ///
    /// # Errors
    /// If the data directory is in use or unusable, or an address cannot be bound.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        // Before anything is touched: what is wrong here is the operator's to mend.
        let certificates = Certificates::load(&config)?;
        if let Some(doubt) = doubt(&config, certificates.authority.as_deref(), clock.now()) {
            warn!("{doubt}");
        }
        let (data_dir, key, store_clock) =
            (config.server.data_dir.clone(), config.secrets_key(), clock.clone());
        let store = tokio::task::spawn_blocking(move || Store::open_with(&data_dir, &key, store_clock))
            .await
            .map_err(|_| StoreError::Closed)??;
        let poster = poster(&config)?;
        // Bound before anything runs: a port that is taken must leave nothing behind.
        let api_listener = bind("api.listen", config.api.listen).await?;
        let api_addr = api_listener.local_addr().map_err(refused("api.listen", config.api.listen))?;
        let metrics_listener = match config.api.metrics_listen {
            Some(address) => Some(bind("api.metrics_listen", address).await?),
            None => None,
        };
        let metrics_addr = metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let (stations, ocpp_addrs) = Stations::start(
            store.clone(),
            clock.clone(),
            poster.clone(),
            listeners(&config, certificates.ocpp.as_ref()),
            station::Settings {
                authority: certificates.authority.clone(),
                ..station_settings(&config, certificates.handed_on.clone())
            },
            call_policy(&config),
            store.derived_key("passwords of stations").map(LightKey::new),
        )?;
        let mut ocpp_addrs = ocpp_addrs.into_iter();
        let ocpp_addr = ocpp_addrs.next().unwrap_or(config.ocpp.listen);
        let ocpps_addr = ocpp_addrs.next();
        let stop_deliveries = CancellationToken::new();
        let deliveries = delivery::Engine::start(
            store.clone(),
            poster.clone(),
            delivery_settings(&config),
            clock.clone(),
            stop_deliveries.clone(),
        );
        let stop_api = CancellationToken::new();
        let retention =
            retention::start(store.clone(), &retention_settings(&config), clock.clone(), stop_api.clone());
        let indexing = indexing::start(store.clone(), stop_api.clone());
        let api_state = Arc::new(ApiState {
            store: store.clone(),
            clock,
            poster,
            passwords: stations.passwords().clone(),
            stations: stations.registry().clone(),
            call_outs: stations.call_outs().clone(),
            refused: stations.refused().clone(),
            lanes: deliveries.views(),
            requests: RequestRates::new(
                config.limits.api_requests_per_second,
                config.limits.api_bad_keys_per_second,
            ),
            readiness: Readiness::default(),
            config: ApiConfig {
                limits: Adjustable::new(api_limits(&config)),
                messages_for: config.retention.messages.limit(),
                max_database_bytes: config.retention.max_database_size.map(|size| size.0),
                warn_free_bytes: config.server.warn_free_space.0,
                metrics_elsewhere: metrics_listener.is_some(),
                ..ApiConfig::default()
            },
            stop: stop_api.clone(),
            streams: Places::new(config.limits.streams as usize),
        });
        let mut watches = certificates.watch(&stop_api);
        watches.push(tokio::spawn(disk::watch(
            store.clone(),
            config.server.data_dir.clone(),
            config.server.warn_free_space.0,
            stop_api.clone(),
        )));
        let proxies =
            TrustedProxies { networks: config.api.trusted_proxies.clone(), ..TrustedProxies::default() };
        let router = http::router(api_state.clone());
        let bounds = Arc::new(Adjustable::new(api_bounds(&config)));
        let api_served = http::serve::serve(
            api_listener,
            certificates.api.clone(),
            Arc::new(proxies),
            bounds.clone(),
            router,
            stop_api.clone(),
        );
        let mut api = vec![tokio::spawn(api_served)];
        if let Some(listener) = metrics_listener {
            let router = http::metrics_router(api_state.clone());
            let bounds = bounds.clone();
            let served = http::serve::serve(listener, None, Arc::default(), bounds, router, stop_api.clone());
            api.push(tokio::spawn(served));
        }
        let stop_deadline = config.server.stop_deadline.0;
        Ok(Self {
            store,
            stations,
            deliveries,
            stop_deliveries,
            retention,
            indexing,
            api,
            stop_api,
            watches,
            certificates,
            api_state,
            api_bounds: bounds,
            ocpp_addr,
            ocpps_addr,
            api_addr,
            metrics_addr,
            stop_deadline,
        })
    }

    /// Where chargers connect, with the real port.
    pub fn ocpp_addr(&self) -> SocketAddr {
        self.ocpp_addr
    }

    /// Where chargers connect with TLS, with the real port, if that is another place.
    pub fn ocpps_addr(&self) -> Option<SocketAddr> {
        self.ocpps_addr
    }

    /// Where the REST API answers, with the real port.
    pub fn api_addr(&self) -> SocketAddr {
        self.api_addr
    }

    /// Where metrics are answered, with the real port, if that is another place.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The store, for programs that embed the gateway.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Stops in order: accept nothing more, close sockets, finish sends, close the store. What is not
    /// done when the time is over is done after the next start.
    pub async fn stop(self) {
        let deadline = Instant::now() + self.stop_deadline;
        self.stop_api.cancel();
        self.stations.stop(self.stop_deadline / 2).await;
        self.stop_deliveries.cancel();
        self.deliveries.join().await;
        // They end with the step they are at.
        let _ = tokio::join!(self.retention, self.indexing);
        // A client that keeps its connection open does not keep the gateway.
        for api in self.api {
            let abort = api.abort_handle();
            if timeout_at(deadline, api).await.is_err() {
                abort.abort();
            }
        }
        for watch in self.watches {
            let _ = watch.await;
        }
        let store = self.store;
        // Blocks until the last commit.
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

impl Certificates {
    /// Reads all files that a configuration names.
    fn load(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            ocpp: load_tls("ocpp", ocpp_files(config))?,
            handed_on: client_authorities(config)?,
            api: load_tls("api", api_files(config))?,
            authority: authority(config)?,
        })
    }

    /// Has them read anew whenever they change.
    fn watch(&self, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let Self { ocpp, api, handed_on, authority } = self.clone();
        let mut watches: Vec<_> =
            ocpp.into_iter().chain(api).map(|tls| tokio::spawn(tls.watch(stop.clone()))).collect();
        watches.extend(handed_on.map(|all| tokio::spawn(all.watch(stop.clone()))));
        watches.extend(authority.map(|authority| tokio::spawn(authority.watch(stop.clone()))));
        watches
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(refused(key, address))
}

fn refused(key: &'static str, address: SocketAddr) -> impl FnOnce(io::Error) -> StartError {
    move |reason| StartError::Listen { key, address, reason }
}

fn load_tls(table: &'static str, files: Files) -> Result<Option<Arc<Tls>>, StartError> {
    if files.certificates.is_empty() {
        return Ok(None);
    }
    Tls::load(files).map(Some).map_err(unusable(table))
}

/// Names the setting of a table whose file cannot be used.
fn unusable(table: &'static str) -> impl Fn(TlsError) -> StartError {
    move |fault| {
        let key = match fault.file {
            File::Certificate => "tls_certificate",
            File::Key => "tls_key",
            File::ClientCa => "tls_client_ca",
            File::ClientCrl => "tls_client_crl",
        };
        StartError::Tls { key: format!("{table}.{key}"), fault }
    }
}

fn ocpp_files(config: &Config) -> Files {
    let ocpp = &config.ocpp;
    Files {
        certificates: ocpp.tls_certificate.clone(),
        keys: ocpp.tls_key.clone(),
        client_ca: ocpp.tls_client_ca.clone(),
        client_crl: ocpp.tls_client_crl.clone(),
    }
}

/// What certificates that proxies hand on must lead to.
fn client_authorities(config: &Config) -> Result<Option<Arc<Authorities>>, StartError> {
    let ocpp = &config.ocpp;
    let path = ocpp.tls_client_ca.clone().filter(|_| ocpp.tls_client_cert_header.is_some());
    let load = |path| Authorities::load(path, ocpp.tls_client_crl.clone()).map_err(unusable("ocpp"));
    path.map(load).transpose()
}

/// The authority of stations' certificates, if one is configured.
fn authority(config: &Config) -> Result<Option<Arc<Authority>>, StartError> {
    let ocpp = &config.ocpp;
    let Some((certificate, key)) = ocpp.certificate_ca.clone().zip(ocpp.certificate_ca_key.clone()) else {
        return Ok(None);
    };
    let settings = AuthoritySettings {
        certificate,
        key,
        validity: ocpp.certificate_validity.0,
        organization: ocpp.tls_client_organization.clone(),
    };
    Authority::load(settings).map(Some).map_err(unusable_authority)
}

fn unusable_authority(fault: TlsError) -> StartError {
    let key = if fault.file == File::Key { "ocpp.certificate_ca_key" } else { "ocpp.certificate_ca" };
    StartError::Tls { key: key.to_owned(), fault }
}

fn api_files(config: &Config) -> Files {
    let api = &config.api;
    Files { certificates: api.tls_certificate.clone(), keys: api.tls_key.clone(), ..Files::default() }
}

/// Reads the certificates and keys that a configuration names, as a start would. What is returned is a doubt
/// about them that a start would only warn of.
///
/// # Errors
/// [`StartError::Tls`].
pub fn check_files(config: &Config, now: Timestamp) -> Result<Option<String>, StartError> {
    let certificates = Certificates::load(config)?;
    Ok(doubt(config, certificates.authority.as_deref(), now))
}

/// Why stations could not come back with what the gateway signs for them, if so. Not a fault: the one file may be
/// on its way, and is read when it has come.
fn doubt(config: &Config, authority: Option<&Authority>, now: Timestamp) -> Option<String> {
    let (authority, ocpp) = (authority?, &config.ocpp);
    let useless = "stations cannot connect with the certificates that ocpp.certificate_ca signs";
    match &ocpp.tls_client_ca {
        Some(roots) => {
            let trusted = authority.is_trusted_by(roots, ocpp.tls_client_crl.as_deref(), now);
            let reason = trusted.err()?;
            Some(format!("{useless}: {} (ocpp.tls_client_ca) does not trust them: {reason}", roots.display()))
        }
        // Whoever hands them on has checked them.
        None if ocpp.tls_client_cert_header.is_some() => None,
        None => Some(format!("{useless}: without ocpp.tls_client_ca they are not asked for any")),
    }
}

fn api_bounds(config: &Config) -> Bounds {
    let limits = &config.limits;
    Bounds { connections: limits.api_connections as usize, patience: limits.api_patience.0 }
}

fn api_limits(config: &Config) -> ApiLimits {
    let limits = &config.limits;
    ApiLimits {
        body_max_bytes: limits.api_body.0 as usize,
        body_patience: limits.api_patience.0,
        webhooks: limits.webhooks,
    }
}

/// A listener of its own for TLS leaves the other one plain.
fn listeners(config: &Config, tls: Option<&Arc<Tls>>) -> Vec<station::Listener> {
    let first = |tls| station::Listener { key: "ocpp.listen", address: config.ocpp.listen, tls };
    match config.ocpp.tls_listen {
        Some(address) => {
            vec![first(None), station::Listener { key: "ocpp.tls_listen", address, tls: tls.cloned() }]
        }
        None => vec![first(tls.cloned())],
    }
}

fn poster(config: &Config) -> Result<Poster, StartError> {
    let extra_ca = config
        .delivery
        .extra_ca
        .as_ref()
        .map(|path| {
            std::fs::read(path).map_err(|error| StartError::ExtraCa(format!("{}: {error}", path.display())))
        })
        .transpose()?;
    Ok(Poster::new(config.guard(), extra_ca.as_deref())?)
}

fn delivery_settings(config: &Config) -> delivery::Settings {
    delivery::Settings {
        permits: config.delivery.max_in_flight as usize,
        bytes: config.delivery.max_in_flight_size.0,
        // Half for the chargers' sockets, half for what is being sent.
        shutdown_grace: config.server.stop_deadline.0 / 2,
        auto_disable_after: Some(config.delivery.auto_disable_after.0),
    }
}

fn retention_settings(config: &Config) -> retention::Settings {
    let kept = &config.retention;
    retention::Settings {
        events: kept.events,
        by_type: kept.by_type.clone(),
        deliveries: kept.deliveries,
        commands: kept.commands,
        transactions: kept.transactions,
        audit: kept.audit,
        max_database_bytes: kept.max_database_size.map(|size| size.0),
    }
}

fn station_settings(config: &Config, authorities: Option<Arc<Authorities>>) -> station::Settings {
    let ocpp = &config.ocpp;
    station::Settings {
        paths: ocpp.paths.clone(),
        missing_subprotocol: ocpp.missing_subprotocol,
        unknown: config.stations.unknown,
        ratchet_profile: config.stations.ratchet_profile,
        validation: ocpp.validation,
        first_call_delay: ocpp.first_call_delay.0,
        ping_interval: ocpp.ping_interval.0,
        offline_after: config.offline_after(),
        orphan_after: config.transactions.orphan_after.0,
        limits: Arc::new(Adjustable::new(station_limits(config))),
        proxies: TrustedProxies {
            networks: ocpp.trusted_proxies.clone(),
            certificate_header: ocpp.tls_client_cert_header.clone(),
        },
        client_authorities: authorities,
        client_organization: ocpp.tls_client_organization.clone(),
        pin_certificates: ocpp.certificate_pin,
        authority: None,
        call_out: call_out(config),
    }
}

fn station_limits(config: &Config) -> station::Limits {
    let limits = &config.limits;
    station::Limits {
        message_size_bytes: limits.message_size.0 as usize,
        messages_per_second: limits.messages_per_second,
        message_burst: limits.message_burst,
        connections: limits.connections as usize,
        handshakes_per_second: limits.handshakes_per_second,
        handshake_timeout: limits.handshake_timeout.0,
        idle_timeout: limits.idle_timeout.map(|limit| limit.0),
        discovered_per_minute: limits.discovered_per_minute,
        bad_credentials_per_minute: limits.bad_credentials_per_minute,
    }
}

/// The configuration has seen to it that a URL has its secret.
fn call_out(config: &Config) -> Option<station::callout::Settings> {
    let authorization = &config.authorization;
    Some(station::callout::Settings {
        url: authorization.url.clone()?,
        timeout: authorization.timeout.0,
        signing_secret: authorization.signing_secret.clone()?,
    })
}

fn call_policy(config: &Config) -> CallPolicy {
    CallPolicy {
        heartbeat_interval_s: config.ocpp.heartbeat_interval.0.as_secs() as u32,
        unknown_id_tag: config.authorization.unknown_id_tag,
        outside_verdicts: call_out(config).map(|_| OutsideVerdicts {
            cache: config.authorization.cache.0,
            fallback: config.authorization.fallback,
        }),
        data_transfer_vendors: config.ocpp.data_transfer_vendors.clone(),
    }
}
