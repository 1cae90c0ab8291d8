//! What of a configuration that was read again is put in force while the gateway runs.

use tracing::warn;

use super::{
    Certificates, Gateway, StartError, api_bounds, api_files, api_limits, doubt, ocpp_files, station_limits,
    unusable, unusable_authority,
};
use crate::config::{Config, Reread};
use tls::Prepared;
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
            Ok::<_, StartError>((prepared, doubt(&config, certificates.authority.as_deref(), now)))
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
        let limits = &config.limits;
        self.stations.set_limits(station_limits(config));
        self.api_bounds.set(api_bounds(config));
        self.api_state.config.limits.set(api_limits(config));
        self.api_state.streams.set(limits.streams as usize);
        self.api_state.requests.set(limits.api_requests_per_second, limits.api_bad_keys_per_second);
    }

    /// Whether there is anything that is read from files of TLS.
    pub fn has_certificates(&self) -> bool {
        let Certificates { ocpp, api, handed_on, authority } = &self.certificates;
        ocpp.is_some() || api.is_some() || handed_on.is_some() || authority.is_some()
    }
}

impl Certificates {
    /// Reads the files of a configuration that has the same kinds of them.
    fn prepare(&self, config: &Config) -> Result<Vec<Prepared>, StartError> {
        let ocpp = &config.ocpp;
        let mut prepared = Vec::new();
        if let Some(tls) = &self.ocpp {
            prepared.push(tls.prepare(ocpp_files(config)).map_err(unusable("ocpp"))?);
        }
        if let Some(tls) = &self.api {
            prepared.push(tls.prepare(api_files(config)).map_err(unusable("api"))?);
        }
        if let Some((authorities, path)) = self.handed_on.as_ref().zip(ocpp.tls_client_ca.clone()) {
            let read = authorities.prepare(path, ocpp.tls_client_crl.clone());
            prepared.push(read.map_err(unusable("ocpp"))?);
        }
        if let Some(authority) = &self.authority {
            prepared.push(authority.prepare_again().map_err(unusable_authority)?);
        }
        Ok(prepared)
    }
}
