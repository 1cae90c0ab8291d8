//! The engine that chargers talk to: from a TCP connection to a stored message and its answer.
//!
//! [`addresses`] are bound, [`listener`] accepts connections, on the threads of [`handshake_runtime`].
//! [`handshake`] decides, [`credentials`] checks passwords. [`connection`] is the actor around one WebSocket
//! and [`session`] its logic. [`callout`] asks an operator's endpoint for verdicts on id tags. [`registry`]
//! knows who is connected. [`offline_watch`] finds stations that have fallen silent, [`overdue_commands`]
//! ends commands that have waited too long, [`bulk_commands`] makes those to many stations at their rate, and
//! [`orphaned_transactions`] completes transactions whose stop will not come any more.
//!
//! **Invariant**: `session` knows no socket, no clock and no database.

mod addresses;
mod bulk_commands;
pub mod callout;
mod certificate_signing;
mod certificates;
mod closing;
mod connection;
mod counted_stream;
pub mod credentials;
pub mod handshake;
mod handshake_runtime;
mod hash_threads;
mod listener;
mod login_limit;
mod offline_watch;
mod orphaned_transactions;
mod other_nodes;
mod overdue_commands;
pub mod password;
mod rate_limiter;
mod refusal_events;
pub mod refusal_log;
mod refusals_due;
pub mod registry;
pub mod session;
pub mod settings;
mod websocket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use addresses::BoundListener;
use callout::{CallOut, CallOutCounts};
use credentials::Passwords;
use handshake_runtime::HandshakeRuntime;
use outbound::post::Poster;
use password::LightKey;
use rate_limiter::RateLimiter;
use refusal_events::RefusalEvents;
use refusal_log::{Cause, RefusalCounts, RefusalLog, shown_path};
use refusals_due::RefusalsDue;
use registry::{Leave, Registry};
use settings::Limits;
use store::{Calls, Opened, Store};
use vocabulary::adjustable::Adjustable;
use vocabulary::clock::{Clock, Monotonic, Timestamp};
use vocabulary::forwarded::TrustedProxies;
use vocabulary::log_limit::limited;

pub use addresses::{Addresses, ReservedAddresses};
pub use certificates::Certificates;
pub use settings::{Admission, Settings};

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// A listener could not be bound.
    #[error("{key}: cannot listen on {address}: {reason}")]
    Listen {
        /// The setting, as `table.key`.
        key: &'static str,
        /// The address of the configuration.
        address: SocketAddr,
        /// The operating system's words.
        reason: io::Error,
    },
    /// Passwords cannot be checked: there is no randomness, or no thread.
    #[error("passwords cannot be checked: {0}")]
    Passwords(io::Error),
    /// There are no threads for handshakes.
    #[error("no threads for handshakes: {0}")]
    HandshakeRuntime(io::Error),
}

/// The engine, shared by all its tasks.
pub struct Stations {
    settings: Settings,
    /// The limits in force.
    limits: Adjustable<Limits>,
    /// The proxies whose headers about their clients are trusted.
    proxies: TrustedProxies,
    certificates: Certificates,
    calls: Calls,
    store: Store,
    clock: Clock,
    monotonic: Monotonic,
    registry: Arc<Registry>,
    passwords: Arc<Passwords>,
    call_out: Option<CallOut>,
    call_outs: Arc<CallOutCounts>,
    refusal_events: Mutex<RefusalEvents>,
    refusal_log: Mutex<RefusalLog>,
    refusals_due: Mutex<RefusalsDue>,
    refused: Arc<RefusalCounts>,
    handshakes: Mutex<RateLimiter>,
    discoveries: Mutex<RateLimiter>,
    /// Open TCP connections, refused ones included.
    open: AtomicUsize,
    tasks: TaskTracker,
    /// Nobody is let in any more.
    doors: CancellationToken,
    stop: CancellationToken,
    handshake_runtime: HandshakeRuntime,
}

/// A station that is read more slowly follows a changed limit within this time.
const LIMITS_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stations {
    /// Listens at these addresses and begins to serve chargers.
    ///
    /// # Errors
    /// If nobody may listen at one, or there is no randomness.
    pub fn start(
        Opened { store, monotonic, vault }: Opened,
        clock: Clock,
        poster: Poster,
        settings: Settings,
        certificates: Certificates,
        addresses: ReservedAddresses,
    ) -> Result<Arc<Self>, NotStarted> {
        let (handshake_runtime, bound) = addresses.listen(certificates.tls.as_ref())?;
        let limits = settings.limits;
        let light_key = vault.derived("passwords of stations").map(LightKey::new);
        let passwords = Passwords::new(light_key, limits.bad_credentials_per_minute);
        let passwords = passwords.map_err(NotStarted::Passwords)?;
        let now = Instant::now();
        let call_outs = Arc::<CallOutCounts>::default();
        let registry = Arc::<Registry>::default();
        registry.begin_epoch(*store.epochs().borrow());
        let stations = Arc::new(Self {
            call_out: CallOut::new(&settings.authorization, poster, clock.clone(), call_outs.clone()),
            call_outs,
            calls: store.calls(settings.call_policy()),
            store,
            clock,
            monotonic,
            registry,
            passwords: Arc::new(passwords),
            refusal_events: Mutex::default(),
            refusal_log: Mutex::default(),
            refusals_due: Mutex::default(),
            refused: Arc::default(),
            handshakes: Mutex::new(RateLimiter::at(limits.handshakes(), now)),
            discoveries: Mutex::new(RateLimiter::at(limits.discoveries(), now)),
            open: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            doors: CancellationToken::new(),
            stop: CancellationToken::new(),
            handshake_runtime,
            limits: Adjustable::new(limits),
            proxies: settings.ocpp.proxies(),
            certificates,
            settings,
        });
        for BoundListener { listener, tls } in bound {
            let accept = listener::accept(stations.clone(), listener, tls, Handle::current());
            stations.tasks.spawn_on(accept, stations.handshake_runtime.handle());
        }
        stations.tasks.spawn(offline_watch::watch(stations.clone()));
        stations.tasks.spawn(overdue_commands::watch(stations.clone()));
        stations.tasks.spawn(bulk_commands::run(stations.clone()));
        stations.tasks.spawn(orphaned_transactions::watch(stations.clone()));
        stations.tasks.spawn(other_nodes::listen(stations.clone()));
        stations.tasks.spawn(other_nodes::follow_epoch(stations.clone()));
        Ok(stations)
    }

    /// Accepts nobody more, and closes the sockets one after the other (1012), spread over `time`: the
    /// chargers come back to other nodes, and not all at once.
    pub async fn hand_over(&self, time: Duration) {
        self.doors.cancel();
        let connected = self.registry.connected_stations();
        let pause = time / connected.len().max(1) as u32;
        let mut next = Instant::now();
        for station in connected {
            tokio::time::sleep_until(next).await;
            self.registry.ask_to_leave(&station, Leave::HandedOver);
            next += pause;
        }
    }

    /// Stops accepting, closes every socket with 1001, and waits until the end of each is on disk, `deadline`
    /// at most.
    pub async fn stop(&self, deadline: Duration) {
        self.doors.cancel();
        self.stop.cancel();
        self.registry.ask_all_to_leave(Leave::Shutdown);
        self.tasks.close();
        if timeout(deadline, self.tasks.wait()).await.is_err() {
            warn!("{} connections had not ended when the time for it was over", self.tasks.len());
        }
    }

    /// Which stations are connected, and when each was last heard of.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Checks passwords, and hashes new ones.
    pub fn passwords(&self) -> &Arc<Passwords> {
        &self.passwords
    }

    /// Results of the questions to the authorisation endpoint.
    pub fn call_outs(&self) -> &Arc<CallOutCounts> {
        &self.call_outs
    }

    /// How many connections were refused, and why.
    pub fn refused(&self) -> &Arc<RefusalCounts> {
        &self.refused
    }

    /// Logs and counts a refused connection; `path` is the path of its request.
    fn note_refused(&self, address: IpAddr, cause: Cause, path: Option<&str>) {
        let address = address.to_canonical();
        let tell = lock(&self.refusal_log).note(&self.refused, self.monotonic.now(), address, cause);
        if path.is_none() && cause.says_something() {
            lock(&self.refusals_due).note_address(self.clock.now(), address, cause);
        }
        let path = path.map(|path| format!(" to {}", shown_path(path))).unwrap_or_default();
        let (reason, words) = (cause.as_str(), cause.words());
        match tell {
            true => warn!(reason, "a connection from {address}{path} was refused: {words}"),
            false => debug!(reason, "a connection from {address}{path} was refused: {words}"),
        }
    }

    /// Logs the refusals that were folded.
    fn tell_of_refused(&self, now: Timestamp) {
        let folded = lock(&self.refusal_log).sweep(now);
        for folded in folded {
            warn!("{folded}");
        }
    }

    /// Writes down who was refused since this was done last.
    async fn record_refusals(&self) {
        let due = lock(&self.refusals_due).take();
        let Some((identities, connections)) = due else { return };
        if let Err(error) = self.store.note_refusals(identities, connections).await {
            limited!(warn: "refused connections could not be recorded: {error}");
        }
    }

    fn take_handshake(&self, now: Instant) -> bool {
        lock(&self.handshakes).take(now).is_ok()
    }

    fn take_discovery(&self, now: Instant) -> bool {
        lock(&self.discoveries).take(now).is_ok()
    }

    fn refusals_due(&self) -> MutexGuard<'_, RefusalsDue> {
        lock(&self.refusals_due)
    }

    fn refusal_events(&self) -> MutexGuard<'_, RefusalEvents> {
        lock(&self.refusal_events)
    }

    /// Changes the limits, also for connected stations.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
        let now = Instant::now();
        lock(&self.handshakes).follow(limits.handshakes(), now);
        lock(&self.discoveries).follow(limits.discoveries(), now);
        self.passwords.bear_per_minute(limits.bad_credentials_per_minute);
    }

    fn handshake_timeout(&self) -> Duration {
        self.limits.get().handshake_timeout.0
    }

    fn message_limiter(&self) -> RateLimiter {
        RateLimiter::at(self.limits.get().messages(), Instant::now())
    }

    /// Takes a token for one message. `Err`: how long to wait before the next try.
    fn take_message(&self, limiter: &mut RateLimiter) -> Result<(), Duration> {
        let now = Instant::now();
        limiter.follow(self.limits.get().messages(), now);
        limiter.take(now).map_err(|wait| wait.min(LIMITS_LOOKED_AT_EVERY))
    }
}
