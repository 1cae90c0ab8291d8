//! `chargehook serve`: the gateway as a process, from its ready line to its last commit.

mod reload;

use std::io::Write;
use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::gateway::{Gateway, StartError};
use crate::keys::{self, API_KEY_VARIABLE, FirstKey, KeyError};
use vocabulary::clock::Clock;

pub use reload::Reloads;

/// Open files that a gateway at its default limits may need: a socket per charger and some to spare.
const OPEN_FILES: u64 = 65_536;

/// Why `serve` ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The gateway did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no admin key, and none could be made.
    #[error(transparent)]
    FirstKey(#[from] KeyError),
    /// The ready line could not be written, or signals not be waited for.
    #[error("{0}")]
    Process(#[from] std::io::Error),
}

/// Raises the limit on open files as far as the system lets us; every charger is one.
pub fn raise_open_files_limit() {
    match rlimit::increase_nofile_limit(OPEN_FILES) {
        Ok(limit) if limit < OPEN_FILES => warn!(
            "this process may open {limit} files, and every charger is one: raise the limit (ulimit -n) for more"
        ),
        Ok(_) => {}
        Err(error) => warn!("the limit on open files could not be raised: {error}"),
    }
}

/// What the process is told by signals. From the moment it listens SIGHUP does not end it any more.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// # Errors
    /// If the system lets nobody wait for them.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// What comes next.
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::End("SIGINT"),
            _ = self.terminate.recv() => Told::End("SIGTERM"),
            _ = self.hangup.recv() => Told::Reread,
        }
    }

    /// Returns when the process is to end. What else it is told is told later.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => info!("SIGINT: stopping"),
            _ = self.terminate.recv() => info!("SIGTERM: stopping"),
        }
    }
}

/// Starts a gateway; `None` if a signal has ended the process first.
async fn start(config: Config, clock: Clock, signals: &mut Signals) -> Result<Option<Gateway>, StartError> {
    let stop = CancellationToken::new();
    let mut starting = pin!(Gateway::start_unless(config, clock, &stop));
    let started = tokio::select! {
        started = &mut starting => started,
        () = signals.end() => {
            stop.cancel();
            starting.await
        }
    };
    match started {
        Ok(gateway) if stop.is_cancelled() => {
            gateway.stop().await;
            Ok(None)
        }
        Err(StartError::Stopped) => Ok(None),
        started => started.map(Some),
    }
}

/// What a signal says.
enum Told {
    /// The process is to end, says the signal of this name.
    End(&'static str),
    /// The configuration is to be read again.
    Reread,
}

/// Runs a gateway until SIGINT or SIGTERM; SIGHUP has it read its configuration again. Prints the ready line,
/// and nothing else, to stdout.
///
/// # Errors
/// If the gateway does not start.
pub async fn run(config: Config, mut signals: Signals, reloads: Reloads) -> Result<(), ServeError> {
    raise_open_files_limit();
    let (clock, data_dir) = (Clock::System, config.server.data_dir.clone());
    let given = keys::given()?;
    if !config.store.is_shared() {
        keys::check_given(&data_dir, given.as_deref())?;
    }
    let mut running = config.clone();
    let Some(gateway) = start(config, clock.clone(), &mut signals).await? else { return Ok(()) };
    match keys::ensure_first(gateway.store(), &data_dir, given.as_deref(), clock.now()).await {
        Ok(FirstKey::Generated(path)) => info!("the admin key was generated: {}", path.display()),
        Ok(FirstKey::Given) => info!("the key in {API_KEY_VARIABLE} is the admin key now"),
        Ok(FirstKey::Existing { given_is_valid: Some(false) }) => {
            warn!("{API_KEY_VARIABLE} is no valid key of this database; it is ignored");
        }
        Ok(FirstKey::Existing { .. }) => {}
        Err(error) => {
            gateway.stop().await;
            return Err(error.into());
        }
    }
    if let Some(address) = gateway.metrics_addr() {
        info!("metrics are at http://{address}/metrics");
    }
    if let Some(url) = gateway.dashboard_url() {
        info!("the dashboard is at {url}");
    }
    let ocpps = gateway.ocpps_addr().map(|address| format!(" ocpps={address}")).unwrap_or_default();
    let ready = format!("chargehook ready ocpp={} api={}{ocpps}\n", gateway.ocpp_addr(), gateway.api_addr());
    let mut stdout = std::io::stdout();
    stdout.write_all(ready.as_bytes())?;
    stdout.flush()?;
    loop {
        match signals.next().await {
            Told::End(signal) => {
                info!("{signal}: stopping");
                break;
            }
            Told::Reread => running = reloads.run(&gateway, running).await,
        }
    }
    gateway.stop().await;
    info!("stopped");
    Ok(())
}
