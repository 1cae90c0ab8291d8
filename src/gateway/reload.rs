//! What of a configuration that was read again is put in force while the gateway runs.

use tracing::warn;

use super::{Gateway, StartError};
use crate::config::{Config, Reread};
use vocabulary::clock::Timestamp;

/// Why nothing of a configuration was put in force.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    /// Rules that it would break together with what needs a restart, one to a line.
    #[error("{}", .0.join("\n"))]
    Rules(Vec<String>),
    /// A file cannot be used.
    #[error(transparent)]
    Files(#[from] StartError),
    /// There is no thread to read files on.
    #[error("the files could not be read: {0}")]
    Unread(String),
}

impl Gateway {
    /// Puts in force what `next` has in other limits and other files, of the latter also those that are only
    /// new under their old names: all of it, or nothing. What is returned tells what that is and what needs a
    /// restart.
    ///
    /// # Errors
    /// [`NotReloaded`]: everything is as it was.
    pub async fn reload(
        &self,
        running: &Config,
        next: &Config,
        now: Timestamp,
    ) -> Result<Reread, NotReloaded> {
        let reread = running.reread(next).map_err(NotReloaded::Rules)?;
        let (certificates, config) = (self.certificates.clone(), reread.config.clone());
        let read = tokio::task::spawn_blocking(move || {
            let prepared = certificates.prepare(&config)?;
            Ok::<_, StartError>((prepared, certificates.doubt(&config, now)))
        });
        let (prepared, doubt) = read.await.map_err(|error| NotReloaded::Unread(error.to_string()))??;
        prepared.into_iter().for_each(|put| put());
        if let Some(doubt) = doubt {
            warn!("{doubt}");
        }
        self.set_limits(&reread.config);
        Ok(reread)
    }

    fn set_limits(&self, config: &Config) {
        self.stations.set_limits(config.limits);
        self.api.limits.set(config.api_limits);
    }

    /// Whether there is anything that is read from files of TLS.
    pub fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }
}
