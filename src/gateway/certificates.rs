//! The files of TLS that a configuration names: read at the start, when they change, and when it is read
//! again.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::StartError;
use crate::config::Config;
use crate::http::OwnCertificates;
use crate::station;
use tls::{Authorities, Authority, File, Files, Prepared, Tls, TlsError};
use vocabulary::clock::Timestamp;

/// What connections are encrypted with, and clients known by.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// Of chargers.
    pub(super) stations: station::Certificates,
    /// Of the API.
    api: Option<Arc<Tls>>,
}

impl Certificates {
    /// Reads all files that a configuration names.
    pub(super) fn load(config: &Config) -> Result<Self, StartError> {
        let ocpp = &config.ocpp;
        let load_authorities =
            |path: &std::path::Path| Authorities::load(path.to_owned(), ocpp.tls_client_crl.clone());
        Ok(Self {
            stations: station::Certificates {
                tls: load_tls("ocpp", ocpp.tls_files())?,
                handed_on: ocpp.handed_on_ca().map(load_authorities).transpose().map_err(unusable("ocpp"))?,
                authority: ocpp.authority().map(Authority::load).transpose().map_err(unusable_authority)?,
            },
            api: load_tls("api", config.api.tls_files())?,
        })
    }

    /// What the API is encrypted with.
    pub(super) fn api(&self) -> Option<Arc<Tls>> {
        self.api.clone()
    }

    /// Those of the gateway itself.
    pub(super) fn own(&self) -> OwnCertificates {
        OwnCertificates {
            stations: self.stations.tls.clone(),
            api: self.api(),
            authority: self.stations.authority.clone(),
        }
    }

    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        let station::Certificates { tls, handed_on, authority } = &self.stations;
        tls.is_none() && self.api.is_none() && handed_on.is_none() && authority.is_none()
    }

    /// Has them read anew whenever they change.
    pub(super) fn watch(&self, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let Self { stations: station::Certificates { tls, handed_on, authority }, api } = self.clone();
        let mut watches: Vec<_> =
            tls.into_iter().chain(api).map(|tls| tokio::spawn(tls.watch(stop.clone()))).collect();
        watches.extend(handed_on.map(|all| tokio::spawn(all.watch(stop.clone()))));
        watches.extend(authority.map(|authority| tokio::spawn(authority.watch(stop.clone()))));
        watches
    }

    /// Reads the files of a configuration that has the same kinds of them.
    pub(super) fn prepare(&self, config: &Config) -> Result<Vec<Prepared>, StartError> {
        let ocpp = &config.ocpp;
        let mut prepared = Vec::new();
        if let Some(tls) = &self.stations.tls {
            prepared.push(tls.prepare(ocpp.tls_files()).map_err(unusable("ocpp"))?);
        }
        if let Some(tls) = &self.api {
            prepared.push(tls.prepare(config.api.tls_files()).map_err(unusable("api"))?);
        }
        if let Some((authorities, path)) = self.stations.handed_on.as_ref().zip(ocpp.tls_client_ca.clone()) {
            let read = authorities.prepare(path, ocpp.tls_client_crl.clone());
            prepared.push(read.map_err(unusable("ocpp"))?);
        }
        if let Some(authority) = &self.stations.authority {
            prepared.push(authority.prepare_again().map_err(unusable_authority)?);
        }
        Ok(prepared)
    }

    /// Why stations could not come back with what the gateway signs for them, if so. Not a fault: the one
    /// file may be on its way, and is read when it has come.
    pub(super) fn doubt(&self, config: &Config, now: Timestamp) -> Option<String> {
        let (authority, ocpp) = (self.stations.authority.as_ref()?, &config.ocpp);
        let useless = "stations cannot connect with the certificates that ocpp.certificate_ca signs";
        match &ocpp.tls_client_ca {
            Some(roots) => {
                let trusted = authority.is_trusted_by(roots, ocpp.tls_client_crl.as_deref(), now);
                let reason = trusted.err()?;
                Some(format!(
                    "{useless}: {} (ocpp.tls_client_ca) does not trust them: {reason}",
                    roots.display()
                ))
            }
            // Whoever hands them on has checked them.
            None if ocpp.tls_client_cert_header.is_some() => None,
            None => Some(format!("{useless}: without ocpp.tls_client_ca they are not asked for any")),
        }
    }

    /// Tells the log of a doubt.
    pub(super) fn warn_of_doubt(&self, config: &Config, now: Timestamp) {
        if let Some(doubt) = self.doubt(config, now) {
            warn!("{doubt}");
        }
    }
}

/// Reads the certificates and keys that a configuration names, as a start would. What is returned is a doubt
/// about them that a start would only warn of.
///
/// # Errors
/// [`StartError::Tls`].
pub fn check_files(config: &Config, now: Timestamp) -> Result<Option<String>, StartError> {
    let certificates = Certificates::load(config)?;
    Ok(certificates.doubt(config, now))
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

fn unusable_authority(fault: TlsError) -> StartError {
    let key = if fault.file == File::Key { "ocpp.certificate_ca_key" } else { "ocpp.certificate_ca" };
    StartError::Tls { key: key.to_owned(), fault }
}
