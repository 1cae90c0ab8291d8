//! SIGHUP: the configuration is read again, and what becomes of it is told in the log.

use std::sync::Arc;

use tracing::{Level, enabled, error, info, warn};

use crate::config::{Change, Config, ConfigError};
use crate::gateway::Gateway;
use crate::telemetry::LogFilter;
use vocabulary::clock::Clock;

/// How the configuration is read again, and what is logged by it.
pub struct Reloads {
    filter: LogFilter,
    read: Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>,
}

impl Reloads {
    /// `read` reads what the process was started with: the same options, environment and file.
    pub fn new(
        filter: LogFilter,
        read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        Self { filter, read: Arc::new(read) }
    }

    /// Reads the configuration and puts in force what can be; what is in force afterwards.
    pub(super) async fn run(&self, gateway: &Gateway, running: Config) -> Config {
        let read = self.read.clone();
        let next = match tokio::task::spawn_blocking(move || read()).await {
            Ok(Ok(next)) => next,
            Ok(Err(faults)) => return refused(&faults.to_string(), running),
            Err(broken) => return refused(&broken.to_string(), running),
        };
        let reread = match gateway.reload(&running, &next, Clock::System.now()).await {
            Ok(reread) => reread,
            Err(refusal) => return refused(&refusal.to_string(), running),
        };
        let tell = || told(&reread.applied, &reread.restart, gateway.has_certificates());
        // Whichever level shows the lines.
        let before = enabled!(Level::INFO);
        if before {
            tell();
        }
        self.filter.set(&reread.config.log.level);
        if !before {
            tell();
        }
        reread.config
    }
}

/// One line for each fault; none shows the value of a secret.
fn refused(faults: &str, running: Config) -> Config {
    for fault in faults.lines() {
        error!("SIGHUP: the configuration cannot be used, nothing was changed: {fault}");
    }
    running
}

fn told(applied: &[Change], restart: &[Change], certificates: bool) {
    let files = if certificates { "; the files of TLS were read anew" } else { "" };
    match applied.is_empty() {
        true => info!(
            "SIGHUP: the configuration was read again, nothing in it that could be changed is different{files}"
        ),
        false => info!("SIGHUP: the configuration was read again, in force now: {}{files}", list(applied)),
    }
    if !restart.is_empty() {
        warn!("SIGHUP: different in the configuration, and in force only after a restart: {}", list(restart));
    }
}

fn list(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
