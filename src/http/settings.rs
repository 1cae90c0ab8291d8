//! The settings of the REST API.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use tls::Files;
use vocabulary::forwarded::{self, TrustedProxies};
use vocabulary::setting::{Broken, Rules, table};
use vocabulary::units::{ByteSize, Span};

table! {
    /// `[api]`: the REST API.
    pub struct Api {
        /// Address and port of the HTTP listener; port 0 takes a free one.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        /// PEM files of certificate chains; none: no TLS.
        tls_certificate: Vec<PathBuf> = Vec::new(),
        /// The PEM file of each chain's key.
        tls_key: Vec<PathBuf> = Vec::new(),
        /// Networks of proxies whose headers about their clients are trusted.
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// Address and port of a listener of its own for `/metrics`, in plain HTTP; `None`: `listen` answers
        /// it.
        metrics_listen: Option<SocketAddr> = None,
        /// Whether the dashboard is served, at `/ui/`.
        dashboard: bool = true,
        /// How long somebody stays signed in to the dashboard, in hours.
        session_hours: u32 = 12,
        /// Origins beside the listener's own (`https://gateway.example.com`): pages of theirs may use the
        /// API with a key, and forms of the dashboard may be sent from there, where a proxy changes the
        /// `Host`.
        allowed_origins: Vec<String> = Vec::new(),
    }
}

table! {
    /// `[limits]`, as far as it is about the API: what one client, or one owner, may ask of it.
    #[derive(Copy)]
    pub struct ApiLimits {
        /// The largest body of an API request.
        api_body: ByteSize = ByteSize(1 << 20),
        /// Streams of server-sent events, requests that wait for an event, and lists of several pages that
        /// are written as a CSV, that may be open at once.
        streams: u32 = 256,
        /// Requests a second that one API key may make; as many at once.
        api_requests_per_second: u32 = 500,
        /// Requests a second with bad API keys that one address may make; as many at once.
        api_bad_keys_per_second: u32 = 50,
        /// Open API connections.
        api_connections: u32 = 2_000,
        /// How long an API client may take to send a request's head or its body, to send the next request, or
        /// to read a part of its answer.
        api_patience: Span = Span::seconds(30),
        /// Webhooks that one owner may have; those without owner count together.
        webhooks: u32 = 1_000,
    }
}

impl Rules for Api {
    fn check(&self, broken: &mut Broken) {
        self.tls_files().check("api", broken);
        forwarded::check_trusted(&self.trusted_proxies, broken);
        broken.unless(
            (1..=SESSION_HOURS_MAX).contains(&self.session_hours),
            "session_hours",
            "must be from 1 to 8760, which is a year",
        );
        broken.unless(
            self.allowed_origins.iter().all(|origin| is_origin(origin)),
            "allowed_origins",
            "must be origins such as https://gateway.example.com, without a path",
        );
    }
}

/// The longest session of the dashboard: a year.
const SESSION_HOURS_MAX: u32 = 8_760;

/// Whether a browser may send this text as its `Origin`.
fn is_origin(text: &str) -> bool {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.is_some_and(|url| url.origin().ascii_serialization() == text)
}

impl Rules for ApiLimits {
    fn check(&self, broken: &mut Broken) {
        broken.unless_positive(&[
            ("streams", self.streams),
            ("api_requests_per_second", self.api_requests_per_second),
            ("api_bad_keys_per_second", self.api_bad_keys_per_second),
            ("api_connections", self.api_connections),
            ("webhooks", self.webhooks),
        ]);
        broken.unless_positive(&[("api_patience", self.api_patience)]);
        broken.unless_message_size(self.api_body, "api_body");
    }
}

impl Api {
    /// The files of its certificates.
    pub fn tls_files(&self) -> Files {
        Files { certificates: self.tls_certificate.clone(), keys: self.tls_key.clone(), ..Files::default() }
    }

    /// The proxies whose headers are trusted.
    pub fn proxies(&self) -> TrustedProxies {
        TrustedProxies { networks: self.trusted_proxies.clone(), certificate_header: None }
    }
}
