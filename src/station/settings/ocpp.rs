//! `[ocpp]`: the listener that chargers connect to.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use http::HeaderName;
use ipnet::IpNet;

use crate::station::handshake::MissingSubprotocol;
use tls::{AuthoritySettings, Files};
use vocabulary::forwarded::{self, TrustedProxies};
use vocabulary::ocpp::Validation;
use vocabulary::setting::{Broken, Rules, table};
use vocabulary::units::Span;

table! {
    /// `[ocpp]`: the listener that chargers connect to, and how they are served.
    pub struct Ocpp {
        /// Address and port of the WebSocket listener; port 0 takes a free one.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000)),
        /// A second listener, for TLS alone; without it `listen` itself speaks TLS if there is a certificate.
        tls_listen: Option<SocketAddr> = None,
        /// PEM files of certificate chains; none: no TLS.
        tls_certificate: Vec<PathBuf> = Vec::new(),
        /// The PEM file of each chain's key.
        tls_key: Vec<PathBuf> = Vec::new(),
        /// A PEM file of the authorities of stations' certificates; `None`: stations show none.
        tls_client_ca: Option<PathBuf> = None,
        /// The organisation that stations' certificates must be issued to; `None`: any.
        tls_client_organization: Option<String> = None,
        /// Networks of proxies whose headers about their clients are trusted.
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// The header in which they hand on a station's certificate; `None`: they hand on none.
        tls_client_cert_header: Option<HeaderName> = None,
        /// A PEM file of revocation lists: stations' certificates that are refused.
        tls_client_crl: Option<PathBuf> = None,
        /// A PEM file of the certificate that issues stations' certificates, and of those between it and its
        /// root; `None`: the gateway signs none.
        certificate_ca: Option<PathBuf> = None,
        /// The PEM file of its key.
        certificate_ca_key: Option<PathBuf> = None,
        /// How long the certificates are valid that it signs.
        certificate_validity: Span = Span::seconds(365 * 86_400),
        /// Once a station has used a certificate that it was sent, no other one is accepted from it.
        certificate_pin: bool = false,
        /// The path prefixes a station may connect under; none listed means any.
        paths: Vec<String> = Vec::new(),
        /// What becomes of a handshake without a subprotocol.
        missing_subprotocol: MissingSubprotocol = MissingSubprotocol::Accept,
        /// How strictly messages are read, unless a station has its own rule.
        validation: Validation = Validation::Lenient,
        /// The interval, in whole seconds on the wire, that an accepted boot is answered with.
        heartbeat_interval: Span = Span::seconds(300),
        /// How long a new connection is not called, unless it boots before that.
        first_call_delay: Span = Span::seconds(2),
        /// How often a WebSocket ping goes to each station; zero sends none.
        ping_interval: Span = Span::seconds(30),
        /// The `vendorId`s whose `DataTransfer` is accepted; any other is answered `UnknownVendorId`.
        data_transfer_vendors: Vec<String> = Vec::new(),
    }
}

impl Ocpp {
    /// The files of certificates.
    pub fn tls_files(&self) -> Files {
        Files {
            certificates: self.tls_certificate.clone(),
            keys: self.tls_key.clone(),
            client_ca: self.tls_client_ca.clone(),
            client_crl: self.tls_client_crl.clone(),
        }
    }

    /// The authority of stations' certificates, if one is configured.
    pub fn authority(&self) -> Option<AuthoritySettings> {
        let (certificate, key) = self.certificate_ca.clone().zip(self.certificate_ca_key.clone())?;
        let validity = self.certificate_validity.0;
        Some(AuthoritySettings {
            certificate,
            key,
            validity,
            organization: self.tls_client_organization.clone(),
        })
    }

    /// The authorities of certificates that proxies hand on, if there are any.
    pub fn handed_on_ca(&self) -> Option<&Path> {
        self.tls_client_ca.as_deref().filter(|_| self.tls_client_cert_header.is_some())
    }

    /// The proxies whose headers are trusted.
    pub fn proxies(&self) -> TrustedProxies {
        TrustedProxies {
            networks: self.trusted_proxies.clone(),
            certificate_header: self.tls_client_cert_header.clone(),
        }
    }

    fn check_tls(&self, broken: &mut Broken) {
        let (own_tls, handed_on) = (!self.tls_certificate.is_empty(), self.tls_client_cert_header.is_some());
        let has_ca = self.tls_client_ca.is_some();
        self.tls_files().check("ocpp", broken);
        broken.unless(
            self.tls_listen.is_none() || own_tls,
            "tls_listen",
            "needs ocpp.tls_certificate and ocpp.tls_key",
        );
        broken.unless(
            !has_ca || own_tls || handed_on,
            "tls_client_ca",
            "needs ocpp.tls_certificate and ocpp.tls_key, or ocpp.tls_client_cert_header",
        );
        broken.unless(
            self.tls_client_organization.is_none() || has_ca || handed_on,
            "tls_client_organization",
            "needs ocpp.tls_client_ca or ocpp.tls_client_cert_header",
        );
        broken.unless(
            !handed_on || !self.trusted_proxies.is_empty(),
            "tls_client_cert_header",
            "needs ocpp.trusted_proxies: nobody else's header counts",
        );
        forwarded::check_trusted(&self.trusted_proxies, broken);
        broken.unless(self.tls_client_crl.is_none() || has_ca, "tls_client_crl", "needs ocpp.tls_client_ca");
    }

    fn check_authority(&self, broken: &mut Broken) {
        broken.unless(
            self.certificate_ca.is_some() == self.certificate_ca_key.is_some(),
            if self.certificate_ca.is_some() { "certificate_ca_key" } else { "certificate_ca" },
            "ocpp.certificate_ca and ocpp.certificate_ca_key go together",
        );
        let validity = Span::seconds(3_600)..=Span::seconds(20 * 365 * 86_400);
        broken.unless(
            validity.contains(&self.certificate_validity),
            "certificate_validity",
            "must be from 1h to 7300d",
        );
    }
}

impl Rules for Ocpp {
    fn check(&self, broken: &mut Broken) {
        let heartbeat = self.heartbeat_interval.0;
        let whole_seconds = heartbeat.subsec_nanos() == 0 && heartbeat.as_secs() > 0;
        broken.unless(
            whole_seconds && heartbeat.as_secs() <= i32::MAX as u64,
            "heartbeat_interval",
            "is sent in whole seconds: at least 1s",
        );
        broken.unless(
            self.paths.iter().all(|path| path.starts_with('/')),
            "paths",
            "every prefix begins with '/', such as \"/ocpp\"",
        );
        self.check_tls(broken);
        self.check_authority(broken);
    }
}
