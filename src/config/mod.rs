//! The settings of the gateway: one plain structure per table of the configuration file.
//!
//! A setting is declared once, in `tables!` below: its name there is the key of the file and, with its
//! table, the name of its environment variable. [`source`] merges what file, environment and command line
//! say; [`setting`] reads single values; [`error`] says what is wrong with them, all of it at once.

mod error;
mod log_level;
mod reread;
mod setting;
mod source;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::retention::{Keep, KeepType};
use crate::station::Admission;
use crate::station::handshake::MissingSubprotocol;
use outbound::destination::{Guard, PrivateUrl};
use outbound::signature::SigningSecret;
use store::{KeySource, SecretsKey};
use vocabulary::ocpp::Validation;
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::units::{ByteSize, Span};

pub use error::{ConfigError, Fault, Reason, Source};
pub use log_level::{InvalidLogLevel, LogLevel};
pub use reread::{Change, Reread};
pub use setting::LogFormat;
pub use source::{Override, Sources};

use setting::{Given, Setting};

/// The documented default file, as `chargehook config default` prints it.
pub const DEFAULT_FILE: &str = include_str!("../../config/chargehook.toml");

/// Declares the tables of the configuration: their structures, defaults and keys, and how a key is set.
macro_rules! tables {
    ($($(#[$table_doc:meta])* $table:ident: $Table:ident {
        $($(#[$key_doc:meta])* $key:ident: $Type:ty = $default:expr,)+
    })+) => {
        $(
            $(#[$table_doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $Table {
                $($(#[$key_doc])* pub $key: $Type,)+
            }

            impl Default for $Table {
                fn default() -> Self {
                    Self { $($key: $default,)+ }
                }
            }
        )+

        /// The whole configuration, one field per table of the file.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Config {
            $($(#[$table_doc])* pub $table: $Table,)+
        }

        /// Every table with its keys.
        const TABLES: &[(&str, &[&str])] = &[$((stringify!($table), &[$(stringify!($key)),+]),)+];

        impl Config {
            /// Sets one key; `None` if there is no such key.
            fn set(&mut self, table: &str, key: &str, given: Given<'_>) -> Option<Result<(), String>> {
                match (table, key) {
                    $($((stringify!($table), stringify!($key)) => {
                        Some(<$Type as Setting>::read(given).map(|value| self.$table.$key = value))
                    })+)+
                    _ => None,
                }
            }

            /// The keys in which another configuration is different.
            fn differing(&self, other: &Self) -> Vec<(&'static str, &'static str)> {
                let mut keys = Vec::new();
                $($(if self.$table.$key != other.$table.$key {
                    keys.push((stringify!($table), stringify!($key)));
                })+)+
                keys
            }

            /// Takes over one key of another configuration.
            fn take(&mut self, from: &Self, table: &str, key: &str) {
                match (table, key) {
                    $($((stringify!($table), stringify!($key)) => {
                        self.$table.$key = from.$table.$key.clone();
                    })+)+
                    _ => {}
                }
            }
        }
    };
}

tables! {
    /// `[server]`: the process as a whole.
    server: Server {
        /// The directory of the database, its lock and the first admin key.
        data_dir: PathBuf = PathBuf::from("./data"),
        /// How long a stop waits for what is being sent; what is left is sent after the next start.
        stop_deadline: Span = Span::seconds(10),
        /// Free bytes of the data directory's file system below which the gateway warns; zero never does.
        warn_free_space: ByteSize = ByteSize(1 << 30),
    }

    /// `[secrets]`: the key of what is secret in the database.
    secrets: Secrets {
        /// The file of the key, made with the database; `None`: `secrets.key` in the data directory.
        key_file: Option<PathBuf> = None,
        /// The key itself; then no file is looked at.
        key: Option<SecretsKey> = None,
    }

    /// `[ocpp]`: the listener that chargers connect to, and how they are served.
    ocpp: Ocpp {
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
        /// Networks of proxies that say truly where their clients come from, and how.
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// The header in which they hand on a station's certificate; `None`: they hand on none.
        tls_client_cert_header: Option<HeaderName> = None,
        /// A PEM file of revocation lists, of stations' certificates that are not let in any more.
        tls_client_crl: Option<PathBuf> = None,
        /// A PEM file of the certificate that issues stations' certificates, and of those between it and its root;
        /// `None`: the gateway signs none.
        certificate_ca: Option<PathBuf> = None,
        /// The PEM file of its key.
        certificate_ca_key: Option<PathBuf> = None,
        /// How long the certificates hold that are signed with it.
        certificate_validity: Span = Span::seconds(365 * 86_400),
        /// Once a station has used a certificate that it was sent, no other one opens for it.
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

    /// `[api]`: the REST API.
    api: Api {
        /// Address and port of the HTTP listener; port 0 takes a free one.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        /// PEM files of certificate chains; none: no TLS.
        tls_certificate: Vec<PathBuf> = Vec::new(),
        /// The PEM file of each chain's key.
        tls_key: Vec<PathBuf> = Vec::new(),
        /// Networks of proxies that say truly where their clients come from.
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// Address and port of a listener of its own for `/metrics`, in plain HTTP; `None`: `listen` answers it.
        metrics_listen: Option<SocketAddr> = None,
    }

    /// `[stations]`: rules for all stations.
    stations: Stations {
        /// What becomes of a station that is not registered.
        unknown: Admission = Admission::Accept,
        /// Raises a station's `min_security_profile` to the profile it has connected with.
        ratchet_profile: bool = true,
        /// How long a station may be silent until `StationOffline`; `None` is three heartbeat intervals.
        offline_after: Option<Span> = None,
    }

    /// `[authorization]`: what id tags are answered.
    authorization: Authorization {
        /// The verdict on an id tag that is not registered, where no endpoint is asked.
        unknown_id_tag: UnknownIdTag = UnknownIdTag::Accept,
        /// The endpoint that is asked for a verdict first.
        url: Option<PrivateUrl> = None,
        /// How long its answer may take.
        timeout: Span = Span::seconds(2),
        /// How long its last answer about a tag stands in for one that does not come; zero keeps none.
        cache: Span = Span::seconds(86_400),
        /// The verdict on a tag of which neither the endpoint, its last answer nor the registered tags tell.
        fallback: UnknownIdTag = UnknownIdTag::Invalid,
        /// The key that signs the questions.
        signing_secret: Option<SigningSecret> = None,
    }

    /// `[transactions]`: charging sessions.
    transactions: Transactions {
        /// An orphaned transaction of which nothing was heard for so long is completed without its stop.
        orphan_after: Span = Span::seconds(86_400),
    }

    /// `[delivery]`: how webhooks are sent, and where they may go.
    delivery: Delivery {
        /// Networks that deliveries may reach although they are not public.
        allowed_networks: Vec<IpNet> = Vec::new(),
        /// Refuses `http://` URLs.
        https_only: bool = false,
        /// A PEM file of certificate authorities that are trusted beside the public ones.
        extra_ca: Option<PathBuf> = None,
        /// How many requests may be under way at once, over all webhooks.
        max_in_flight: u32 = 1024,
        /// How many bytes of memory they may hold, over all webhooks.
        max_in_flight_size: ByteSize = ByteSize(64 << 20),
        /// A webhook whose every delivery has failed for so long is disabled.
        auto_disable_after: Span = Span::seconds(5 * 86_400),
    }

    /// `[retention]`: how long what is kept.
    retention: Retention {
        /// Events, with their deliveries, from their arrival on.
        events: Keep = Keep::days(30),
        /// Events of these types, instead.
        by_type: Vec<KeepType> = vec![KeepType { event: "Heartbeat".to_owned(), keep: Keep::days(1) }],
        /// Deliveries, from their end on; at most as long as their event.
        deliveries: Keep = Keep::days(30),
        /// How far back the messages of a station are shown; they go with their events and commands.
        messages: Keep = Keep::days(30),
        /// Commands, from their end on.
        commands: Keep = Keep::days(90),
        /// Entries of the audit log.
        audit: Keep = Keep::days(400),
        /// Transactions with their meter values, from their end on.
        transactions: Keep = Keep::Forever,
        /// Beyond this size of the database the oldest events and commands go before their time; `None`: no limit.
        max_database_size: Option<ByteSize> = None,
    }

    /// `[limits]`: what one peer, or all of them, may ask of the gateway.
    limits: Limits {
        /// The largest OCPP message; a larger one closes the socket with 1009.
        message_size: ByteSize = ByteSize(1 << 20),
        /// Messages a second that one station is read at in the long run; beyond it the socket is read slower.
        messages_per_second: u32 = 100,
        /// Messages that one station may send at once before `messages_per_second` slows it down.
        message_burst: u32 = 1_000,
        /// Open station sockets.
        connections: u32 = 25_000,
        /// New station sockets a second.
        handshakes_per_second: u32 = 2_000,
        /// How long a handshake may take.
        handshake_timeout: Span = Span::seconds(10),
        /// Closes a socket on which nothing, pongs included, was received for so long; `None` never does. No
        /// shorter than a charger without anything to say may be silent.
        idle_timeout: Option<Span> = None,
        /// Unknown stations that are registered in a minute.
        discovered_per_minute: u32 = 600,
        /// Wrong or missing credentials a minute that are looked at of one station at one address, and ten
        /// times as many of an address.
        bad_credentials_per_minute: u32 = 10,
        /// The largest body of an API request.
        api_body: ByteSize = ByteSize(1 << 20),
        /// Streams of server-sent events, and requests that wait for an event, that may be open at once.
        streams: u32 = 256,
        /// Requests a second that one API key may make; as many at once.
        api_requests_per_second: u32 = 500,
        /// Requests a second with bad API keys that one address may make; as many at once.
        api_bad_keys_per_second: u32 = 50,
        /// Open API connections.
        api_connections: u32 = 2_000,
        /// How long an API client may take to send a request's head or its body, to send the next one, or to
        /// take something of its answer.
        api_patience: Span = Span::seconds(30),
        /// Webhooks that one owner may have; those without owner count together.
        webhooks: u32 = 1_000,
    }

    /// `[log]`: what is written to stderr.
    log: Log {
        /// How a line looks.
        format: LogFormat = LogFormat::Text,
        /// What is logged: a level, or directives such as `info,chargehook::delivery=debug`.
        level: LogLevel = LogLevel::from_level(tracing::Level::INFO),
    }
}

impl Config {
    /// How long a station may be silent until it is offline: as set, or three heartbeat intervals.
    pub fn offline_after(&self) -> Duration {
        self.stations.offline_after.unwrap_or(Span(self.ocpp.heartbeat_interval.0 * 3)).0
    }

    /// Where the key of the database's secrets comes from.
    pub fn secrets_key(&self) -> KeySource {
        match (&self.secrets.key, &self.secrets.key_file) {
            (Some(key), _) => KeySource::Given(key.clone()),
            (None, Some(path)) => KeySource::File(path.clone()),
            (None, None) => KeySource::file_in(&self.server.data_dir),
        }
    }

    /// Where requests of the gateway's own may go.
    pub fn guard(&self) -> Guard {
        Guard { allowed: self.delivery.allowed_networks.clone(), https_only: self.delivery.https_only }
    }

    /// What single values cannot tell: each key that is out of range, and why.
    fn out_of_range(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut found = Vec::new();
        let mut require = |holds: bool, table, key, rule: &str| {
            if !holds {
                found.push((table, key, rule.to_owned()));
            }
        };
        let whole_seconds = |span: Span| span.0.subsec_nanos() == 0 && span.0.as_secs() > 0;
        let heartbeat = self.ocpp.heartbeat_interval;
        require(
            whole_seconds(heartbeat) && heartbeat.0.as_secs() <= i32::MAX as u64,
            "ocpp",
            "heartbeat_interval",
            "is sent in whole seconds: at least 1s",
        );
        require(
            self.ocpp.paths.iter().all(|path| path.starts_with('/')),
            "ocpp",
            "paths",
            "every prefix begins with '/', such as \"/ocpp\"",
        );
        let (ocpp, api) = (&self.ocpp, &self.api);
        for (table, certificates, keys) in
            [("ocpp", &ocpp.tls_certificate, &ocpp.tls_key), ("api", &api.tls_certificate, &api.tls_key)]
        {
            let rule = format!("lists one key for each file of {table}.tls_certificate, in the same order");
            require(certificates.len() == keys.len(), table, "tls_key", &rule);
        }
        let (own_tls, handed_on) = (!ocpp.tls_certificate.is_empty(), ocpp.tls_client_cert_header.is_some());
        require(
            ocpp.tls_listen.is_none() || own_tls,
            "ocpp",
            "tls_listen",
            "needs ocpp.tls_certificate and ocpp.tls_key",
        );
        require(
            ocpp.tls_client_ca.is_none() || own_tls || handed_on,
            "ocpp",
            "tls_client_ca",
            "needs ocpp.tls_certificate and ocpp.tls_key, or ocpp.tls_client_cert_header",
        );
        require(
            ocpp.tls_client_organization.is_none() || ocpp.tls_client_ca.is_some() || handed_on,
            "ocpp",
            "tls_client_organization",
            "needs ocpp.tls_client_ca or ocpp.tls_client_cert_header",
        );
        require(
            !handed_on || !ocpp.trusted_proxies.is_empty(),
            "ocpp",
            "tls_client_cert_header",
            "needs ocpp.trusted_proxies: nobody else's header counts",
        );
        for (table, networks) in [("ocpp", &ocpp.trusted_proxies), ("api", &api.trusted_proxies)] {
            require(
                networks.iter().all(|network| network.prefix_len() > 0),
                table,
                "trusted_proxies",
                "must not be every address there is: whoever is trusted can claim any address, and any station",
            );
        }
        require(
            ocpp.tls_client_crl.is_none() || ocpp.tls_client_ca.is_some(),
            "ocpp",
            "tls_client_crl",
            "needs ocpp.tls_client_ca",
        );
        require(
            ocpp.certificate_ca.is_some() == ocpp.certificate_ca_key.is_some(),
            "ocpp",
            if ocpp.certificate_ca.is_some() { "certificate_ca_key" } else { "certificate_ca" },
            "ocpp.certificate_ca and ocpp.certificate_ca_key go together",
        );
        require(
            (Span::seconds(3_600)..=Span::seconds(20 * 365 * 86_400)).contains(&ocpp.certificate_validity),
            "ocpp",
            "certificate_validity",
            "must be from 1h to 7300d",
        );
        let authorization = &self.authorization;
        require(
            authorization.url.is_none() || authorization.signing_secret.is_some(),
            "authorization",
            "signing_secret",
            "must be set where authorization.url is: whsec_ and the base64 of 24 to 64 bytes",
        );
        if let Some(Err(refusal)) =
            authorization.url.as_ref().map(|url| self.guard().check_url(&url.0, false))
        {
            require(false, "authorization", "url", &refusal.to_string());
        }
        // A charger waits for its answer, and some hang up after half a minute.
        require(
            authorization.timeout > Span::seconds(0) && authorization.timeout <= Span::seconds(20),
            "authorization",
            "timeout",
            "must be more than nothing and at most 20s",
        );
        let positive = "must be more than nothing";
        require(
            self.stations.offline_after.is_none_or(|after| after > Span::seconds(0)),
            "stations",
            "offline_after",
            positive,
        );
        require(self.transactions.orphan_after > Span::seconds(0), "transactions", "orphan_after", positive);
        require(self.delivery.max_in_flight > 0, "delivery", "max_in_flight", positive);
        require(
            self.delivery.max_in_flight_size >= ByteSize(1 << 20),
            "delivery",
            "max_in_flight_size",
            "must be 1MiB or more",
        );
        require(
            self.delivery.auto_disable_after > Span::seconds(0),
            "delivery",
            "auto_disable_after",
            positive,
        );
        let mut types: Vec<&str> = self.retention.by_type.iter().map(|rule| rule.event.as_str()).collect();
        types.sort_unstable();
        require(types.is_sorted_by(|a, b| a < b), "retention", "by_type", "names an event type twice");
        require(
            self.retention.max_database_size.is_none_or(|size| size >= ByteSize(16 << 20)),
            "retention",
            "max_database_size",
            "must be at least 16MiB",
        );
        let limits = &self.limits;
        for (key, value) in [
            ("messages_per_second", limits.messages_per_second),
            ("message_burst", limits.message_burst),
            ("connections", limits.connections),
            ("handshakes_per_second", limits.handshakes_per_second),
            ("discovered_per_minute", limits.discovered_per_minute),
            ("bad_credentials_per_minute", limits.bad_credentials_per_minute),
            ("streams", limits.streams),
            ("api_requests_per_second", limits.api_requests_per_second),
            ("api_bad_keys_per_second", limits.api_bad_keys_per_second),
            ("api_connections", limits.api_connections),
            ("webhooks", limits.webhooks),
        ] {
            require(value > 0, "limits", key, positive);
        }
        require(limits.handshake_timeout > Span::seconds(0), "limits", "handshake_timeout", positive);
        require(limits.api_patience > Span::seconds(0), "limits", "api_patience", positive);
        // Two heartbeats may get lost; one that is merely waited for must close nothing.
        let lively = heartbeat.0.saturating_mul(3).max(self.ocpp.ping_interval.0.saturating_mul(3));
        require(
            limits.idle_timeout.is_none_or(|after| after.0 >= lively),
            "limits",
            "idle_timeout",
            "must be at least three times ocpp.heartbeat_interval and ocpp.ping_interval: \
             a charger that has nothing to say is not gone",
        );
        let size = ByteSize(1 << 10)..=ByteSize(1 << 30);
        let sizes = "must be from 1KiB to 1GiB";
        require(size.contains(&limits.message_size), "limits", "message_size", sizes);
        require(size.contains(&limits.api_body), "limits", "api_body", sizes);
        found
    }
}
