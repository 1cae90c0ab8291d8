//! The engine that chargers talk to: from a TCP connection to a stored message and its answer.
//!
//! [`listener`] accepts, [`door`] is where handshakes are made, [`handshake`] decides, [`credentials`] checks passwords, [`connection`] is the actor around one WebSocket and
//! [`session`] its mind; [`callout`] asks others for verdicts on id tags; [`registry`] knows who is connected,
//! [`liveness`] who has fallen silent, [`overdue`] which commands have waited too long, [`orphans`] whose stop
//! will not come any more.
//!
//! **Invariant**: `session` knows no socket, no clock and no database.

pub mod callout;
mod closing;
mod connection;
pub mod credentials;
mod door;
mod drain;
pub mod handshake;
mod hashers;
mod listener;
mod liveness;
mod metered;
mod orphans;
mod overdue;
mod pace;
pub mod password;
pub mod refused;
pub mod registry;
mod rejections;
pub mod session;
mod signing;
mod strikes;
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

use callout::CallOut;
use credentials::Passwords;
use door::Door;
use handshake::MissingSubprotocol;
use outbound::post::Poster;
use pace::{Pace, Rate};
use password::LightKey;
use refused::{Cause, Trace, shown_path};
use registry::{Leave, Registry};
use rejections::Rejections;
use store::{CallPolicy, Store};
use tls::{Authorities, Authority, Tls};
use vocabulary::adjustable::Adjustable;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::forwarded::TrustedProxies;
use vocabulary::ocpp::Validation;

/// What becomes of a station that nobody registered (`stations.unknown`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is registered on the spot.
    Accept,
    /// It is registered, and its boots are answered `Pending`.
    Pending,
    /// It is turned away with 404.
    Reject,
}

/// How chargers are let in and served.
#[derive(Clone)]
pub struct Settings {
    /// The path prefixes a station may connect under; none listed means any.
    pub paths: Vec<String>,
    /// What becomes of a handshake without subprotocol.
    pub missing_subprotocol: MissingSubprotocol,
    /// What becomes of strangers.
    pub unknown: Admission,
    /// Who has connected with a security profile is refused below it from then on.
    pub ratchet_profile: bool,
    /// How strictly messages are read.
    pub validation: Validation,
    /// How long a new connection is not called before it has booted.
    pub first_call_delay: Duration,
    /// How long a peer may be silent before it is pinged; zero never pings.
    pub ping_interval: Duration,
    /// How long a station may be silent before it counts as offline.
    pub offline_after: Duration,
    /// How long nothing may be heard of an orphaned transaction before it is completed without its stop.
    pub orphan_after: Duration,
    /// What may be asked; it may change while chargers are served.
    pub limits: Arc<Adjustable<Limits>>,
    /// The proxies whose word about their clients counts.
    pub proxies: TrustedProxies,
    /// What certificates that they hand on must lead to; `None`: they have seen to that themselves.
    pub client_authorities: Option<Arc<Authorities>>,
    /// The organisation that client certificates must be issued to, if not any.
    pub client_organization: Option<String>,
    /// A certificate that was sent to a station becomes the only one that opens for it, once it was used.
    pub pin_certificates: bool,
    /// Who signs the certificates that stations ask for, if anybody.
    pub authority: Option<Arc<Authority>>,
    /// Who is asked for verdicts on id tags, if anybody.
    pub call_out: Option<callout::Settings>,
}

/// What a station, or all of them, may ask of the gateway (`[limits]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, in bytes; a connection keeps the one it began with.
    pub message_size_bytes: usize,
    /// Messages a second per station in the long run.
    pub messages_per_second: u32,
    /// Messages that may come at once.
    pub message_burst: u32,
    /// Open sockets.
    pub connections: usize,
    /// New sockets a second.
    pub handshakes_per_second: u32,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long a socket may be silent before it is closed; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// Strangers that are registered in a minute.
    pub discovered_per_minute: u32,
    /// Wrong or missing credentials a minute that are looked at of one station at one address.
    pub bad_credentials_per_minute: u32,
}

impl Limits {
    fn handshakes(&self) -> Rate {
        let per_second = f64::from(self.handshakes_per_second);
        Rate { per_second, burst: per_second }
    }

    fn discoveries(&self) -> Rate {
        let per_minute = f64::from(self.discovered_per_minute);
        Rate { per_second: per_minute / 60.0, burst: per_minute }
    }

    fn messages(&self) -> Rate {
        Rate { per_second: f64::from(self.messages_per_second), burst: f64::from(self.message_burst) }
    }
}

/// An address that chargers connect to.
pub struct Listener {
    /// The setting that says so, as `table.key`.
    pub key: &'static str,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What chargers are greeted with there; `None`: nothing is encrypted.
    pub tls: Option<Arc<Tls>>,
}

/// Why no chargers are served.
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
    Door(io::Error),
}

/// The engine, shared by all its tasks.
pub struct Stations {
    settings: Settings,
    policy: Arc<CallPolicy>,
    store: Store,
    clock: Clock,
    registry: Arc<Registry>,
    passwords: Arc<Passwords>,
    call_out: Option<CallOut>,
    call_outs: Arc<callout::Counts>,
    rejections: Mutex<Rejections>,
    trace: Mutex<Trace>,
    refused: Arc<refused::Counts>,
    handshakes: Mutex<Pace>,
    discoveries: Mutex<Pace>,
    /// TCP connections that are open, refused ones among them.
    open: AtomicUsize,
    tasks: TaskTracker,
    stop: CancellationToken,
    door: Door,
}

/// A station that is read slower notices within so long that the limit is another one.
const LIMITS_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stations {
    /// Binds the listeners and begins to serve chargers; returns the real addresses, in the same order.
    ///
    /// # Errors
    /// If an address cannot be bound, or there is no randomness.
    pub fn start(
        store: Store,
        clock: Clock,
        poster: Poster,
        listeners: Vec<Listener>,
        settings: Settings,
        policy: CallPolicy,
        light_key: Option<LightKey>,
    ) -> Result<(Arc<Self>, Vec<SocketAddr>), NotStarted> {
        let door = Door::open().map_err(NotStarted::Door)?;
        let (mut bound, mut addresses) = (Vec::new(), Vec::new());
        for Listener { key, address, tls } in listeners {
            let refused = |reason| NotStarted::Listen { key, address, reason };
            let listener = door.bind(address).map_err(refused)?;
            addresses.push(listener.local_addr().map_err(refused)?);
            bound.push((listener, tls));
        }
        let limits = settings.limits.get();
        let passwords = Passwords::new(light_key, limits.bad_credentials_per_minute);
        let passwords = passwords.map_err(NotStarted::Passwords)?;
        let now = Instant::now();
        let call_outs = Arc::<callout::Counts>::default();
        let call_out = settings.call_out.clone();
        let stations = Arc::new(Self {
            call_out: call_out
                .map(|settings| CallOut::new(settings, poster, clock.clone(), call_outs.clone())),
            call_outs,
            policy: Arc::new(policy),
            store,
            clock,
            registry: Arc::default(),
            passwords: Arc::new(passwords),
            rejections: Mutex::default(),
            trace: Mutex::default(),
            refused: Arc::default(),
            handshakes: Mutex::new(Pace::at(limits.handshakes(), now)),
            discoveries: Mutex::new(Pace::at(limits.discoveries(), now)),
            open: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            door,
            settings,
        });
        for (listener, tls) in bound {
            let accept = listener::accept(stations.clone(), listener, tls, Handle::current());
            stations.tasks.spawn_on(accept, stations.door.handle());
        }
        stations.tasks.spawn(liveness::watch(stations.clone()));
        stations.tasks.spawn(overdue::watch(stations.clone()));
        stations.tasks.spawn(orphans::watch(stations.clone()));
        Ok((stations, addresses))
    }

    /// Stops accepting, closes every socket with 1001 and waits, at most until `deadline`, until the
    /// end of each is on disk.
    pub async fn stop(&self, deadline: Duration) {
        self.stop.cancel();
        self.registry.ask_all_to_leave(Leave::Shutdown);
        self.tasks.close();
        if timeout(deadline, self.tasks.wait()).await.is_err() {
            warn!("{} connections had not ended when the time for it was over", self.tasks.len());
        }
    }

    /// Who is connected, and since when nothing was heard of whom.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Checks passwords, and hashes new ones.
    pub fn passwords(&self) -> &Arc<Passwords> {
        &self.passwords
    }

    /// How the questions to the authorisation endpoint went.
    pub fn call_outs(&self) -> &Arc<callout::Counts> {
        &self.call_outs
    }

    /// How many connections were refused, and why.
    pub fn refused(&self) -> &Arc<refused::Counts> {
        &self.refused
    }

    /// Leaves a trace of a connection that comes to nothing; `path`: what it has asked for.
    fn note_refused(&self, address: IpAddr, cause: Cause, path: Option<&str>) {
        let address = address.to_canonical();
        let tell = lock(&self.trace).note(&self.refused, self.store.monotonic().now(), address, cause);
        let path = path.map(|path| format!(" to {}", shown_path(path))).unwrap_or_default();
        let (reason, words) = (cause.as_str(), cause.words());
        match tell {
            true => warn!(reason, "a connection from {address}{path} was refused: {words}"),
            false => debug!(reason, "a connection from {address}{path} was refused: {words}"),
        }
    }

    /// Tells of the refusals that were folded.
    fn tell_of_refused(&self, now: Timestamp) {
        let folded = lock(&self.trace).sweep(now);
        for folded in folded {
            warn!("{folded}");
        }
    }

    fn take_handshake(&self, now: Instant) -> bool {
        lock(&self.handshakes).take(now).is_ok()
    }

    fn take_discovery(&self, now: Instant) -> bool {
        lock(&self.discoveries).take(now).is_ok()
    }

    fn rejections(&self) -> MutexGuard<'_, Rejections> {
        lock(&self.rejections)
    }

    /// Takes other limits, for those who are connected too.
    pub fn set_limits(&self, limits: Limits) {
        self.settings.limits.set(limits);
        let now = Instant::now();
        lock(&self.handshakes).follow(limits.handshakes(), now);
        lock(&self.discoveries).follow(limits.discoveries(), now);
        self.passwords.bear_per_minute(limits.bad_credentials_per_minute);
    }

    fn message_pace(&self) -> Pace {
        Pace::at(self.settings.limits.get().messages(), Instant::now())
    }

    /// Takes one message at the pace of its station; else how long until it is worth asking again.
    fn take_message(&self, pace: &mut Pace) -> Result<(), Duration> {
        let now = Instant::now();
        pace.follow(self.settings.limits.get().messages(), now);
        pace.take(now).map_err(|wait| wait.min(LIMITS_LOOKED_AT_EVERY))
    }
}
