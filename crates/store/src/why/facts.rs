//! What the rules look at: facts on record, as plain data. Whoever reads them stands in `gather`.

use serde_json::Value;

use vocabulary::api::command::Command;
use vocabulary::api::id_tag::IdTag;
use vocabulary::api::station::{Connector, Station};
use vocabulary::api::transaction::Transaction;
use vocabulary::api::why::{Fact, FactKind};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::ocpp::boot_status::BootStatus;

#[cfg(test)]
use serde::Deserialize;

/// How long a charger waits for a cable (`ConnectionTimeOut`) if its configuration is not known, in seconds:
/// what most of them come with.
const CONNECTION_TIMEOUT_DEFAULT_S: u64 = 60;

/// An event.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) at: Timestamp,
    #[cfg_attr(test, serde(default))]
    pub(crate) station_id: Option<String>,
    #[cfg_attr(test, serde(default))]
    pub(crate) transaction_id: Option<i64>,
    #[cfg_attr(test, serde(default))]
    pub(crate) payload: Value,
    #[cfg_attr(test, serde(default))]
    pub(crate) response: Value,
    /// Why its tag was refused.
    #[cfg_attr(test, serde(default))]
    pub(crate) id_tag_reason: Option<String>,
}

impl Seen {
    /// A fact that is taken from it.
    pub(crate) fn fact(&self, text: impl Into<String>) -> Fact {
        Fact { at: self.at, text: text.into(), kind: FactKind::Event, id: Some(self.id.clone()) }
    }

    pub(crate) fn is(&self, event: &str) -> bool {
        self.event == event
    }

    /// A text member of its payload.
    pub(crate) fn text(&self, member: &str) -> Option<&str> {
        self.payload[member].as_str()
    }

    /// A number of its payload.
    pub(crate) fn number(&self, member: &str) -> Option<i64> {
        self.payload[member].as_i64()
    }

    /// The verdict on its tag, as the charger was answered.
    pub(crate) fn tag_status(&self) -> Option<&str> {
        self.response["idTagInfo"]["status"].as_str()
    }
}

/// A station as it is now.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct StationNow {
    #[cfg_attr(test, serde(flatten))]
    pub(crate) station: Station,
    /// Nothing was heard of it for too long, though its socket may be open.
    #[cfg_attr(test, serde(default))]
    pub(crate) silent: bool,
    /// When it last booted.
    #[cfg_attr(test, serde(default))]
    pub(crate) booted_at: Option<Timestamp>,
    /// What that boot was answered.
    #[cfg_attr(test, serde(default))]
    pub(crate) booted_as: Option<BootStatus>,
}

impl std::ops::Deref for StationNow {
    type Target = Station;

    fn deref(&self) -> &Station {
        &self.station
    }
}

impl StationNow {
    /// Whether it is connected and heard of.
    pub(crate) fn is_online(&self) -> bool {
        self.connected && !self.silent
    }

    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }
}

/// Refused handshakes of one identity.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct RefusedIdentity {
    pub(crate) identity: String,
    /// The last reason.
    pub(crate) reason: String,
    /// The answer; `None`: there was no request to answer.
    pub(crate) http_status: Option<u16>,
    pub(crate) remote_addr: String,
    pub(crate) count: u64,
    pub(crate) first_at: Timestamp,
    pub(crate) last_at: Timestamp,
}

/// Connections from one address that ended before they named anybody.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct RefusedAddress {
    pub(crate) address: String,
    /// The last reason, for people.
    pub(crate) words: String,
    pub(crate) count: u64,
    pub(crate) last_at: Timestamp,
    /// How many stations have last connected from there.
    pub(crate) stations: u64,
}

/// What is known of a station that somebody asks about.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct StationFacts {
    pub(crate) now: Timestamp,
    pub(crate) identity: String,
    /// `None`: no such station is registered; it was only ever refused.
    pub(crate) station: Option<StationNow>,
    #[cfg_attr(test, serde(default))]
    pub(crate) connectors: Vec<Connector>,
    #[cfg_attr(test, serde(default))]
    pub(crate) refused: Option<RefusedIdentity>,
    /// At its last address; all of the last day, if it never connected.
    #[cfg_attr(test, serde(default))]
    pub(crate) refused_addresses: Vec<RefusedAddress>,
    /// Its newest events of those types that tell something, the newest first.
    #[cfg_attr(test, serde(default))]
    pub(crate) events: Vec<Seen>,
    /// Its newest commands, the newest first.
    #[cfg_attr(test, serde(default))]
    pub(crate) commands: Vec<Command>,
    /// Its active sessions.
    #[cfg_attr(test, serde(default))]
    pub(crate) sessions: Vec<Transaction>,
    #[cfg_attr(test, serde(default))]
    pub(crate) connection_timeout_s: Option<u64>,
}

impl StationFacts {
    /// Of an identity of which nothing is known yet.
    pub(crate) fn of(identity: String, now: Timestamp) -> Self {
        Self {
            now,
            identity,
            station: None,
            connectors: Vec::new(),
            refused: None,
            refused_addresses: Vec::new(),
            events: Vec::new(),
            commands: Vec::new(),
            sessions: Vec::new(),
            connection_timeout_s: None,
        }
    }
}

/// What is known of a session that somebody asks about.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct SessionFacts {
    pub(crate) now: Timestamp,
    pub(crate) session: Transaction,
    /// When its start arrived.
    pub(crate) created_at: Timestamp,
    /// Who has said that it ended: `stop`, `close`, `orphan`.
    #[cfg_attr(test, serde(default))]
    pub(crate) ended_by: Option<String>,
    /// A reading of the meter was sent with decimals, where whole Wh are due.
    #[cfg_attr(test, serde(default))]
    pub(crate) meter_decimals: bool,
    /// What the connector's meter had come to before.
    #[cfg_attr(test, serde(default))]
    pub(crate) meter_before_wh: Option<i64>,
    /// Its events but for meter values: the first ones, then the newest ones, in order.
    #[cfg_attr(test, serde(default))]
    pub(crate) events: Vec<Seen>,
    /// When its newest meter value arrived.
    #[cfg_attr(test, serde(default))]
    pub(crate) metered_at: Option<Timestamp>,
    /// What its connector has reported while it ran, the newest first.
    #[cfg_attr(test, serde(default))]
    pub(crate) statuses: Vec<Seen>,
    #[cfg_attr(test, serde(default))]
    pub(crate) station: Option<StationNow>,
    #[cfg_attr(test, serde(default))]
    pub(crate) connector: Option<Connector>,
    /// The session that followed on its connector.
    #[cfg_attr(test, serde(default))]
    pub(crate) follower: Option<Transaction>,
    /// Its station's newest commands, the newest first.
    #[cfg_attr(test, serde(default))]
    pub(crate) commands: Vec<Command>,
}

/// What is known of a command that somebody asks about.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct CommandFacts {
    pub(crate) now: Timestamp,
    pub(crate) command: Command,
    /// The connector that it is about, if it names one.
    #[cfg_attr(test, serde(default))]
    pub(crate) connector_id: Option<i64>,
    #[cfg_attr(test, serde(default))]
    pub(crate) station: Option<StationNow>,
    #[cfg_attr(test, serde(default))]
    pub(crate) connectors: Vec<Connector>,
    /// Events of its station from a little before it was sent on, the oldest first.
    #[cfg_attr(test, serde(default))]
    pub(crate) events: Vec<Seen>,
    /// Commands of its station around it, the newest first, without itself.
    #[cfg_attr(test, serde(default))]
    pub(crate) others: Vec<Command>,
    /// Active sessions of its station.
    #[cfg_attr(test, serde(default))]
    pub(crate) sessions: Vec<Transaction>,
    #[cfg_attr(test, serde(default))]
    pub(crate) connection_timeout_s: Option<u64>,
}

/// How tags are judged that nobody has registered.
#[derive(Debug, Clone, Copy)]
pub struct TagPolicy {
    /// What becomes of a tag that nobody knows.
    pub unknown: UnknownIdTag,
    /// An endpoint is asked first.
    pub endpoint: bool,
}

/// A registration of a tag, and whose it is.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct TagFacts {
    pub(crate) now: Timestamp,
    pub(crate) id_tag: String,
    /// The registration that was asked for.
    #[cfg_attr(test, serde(default))]
    pub(crate) tag: Option<IdTag>,
    /// Registrations of other owners, as far as they may be told.
    #[cfg_attr(test, serde(default))]
    pub(crate) elsewhere: Vec<IdTag>,
    /// Sessions that count against its limit.
    #[cfg_attr(test, serde(default))]
    pub(crate) charging: Vec<Transaction>,
    /// Where it was held lately, the newest first, with the station's owner.
    #[cfg_attr(test, serde(default))]
    pub(crate) shown: Vec<Shown>,
    /// Whether unregistered tags may charge.
    pub(crate) accepts_unknown: bool,
    /// Whether an endpoint is asked first.
    #[cfg_attr(test, serde(default))]
    pub(crate) endpoint: bool,
}

/// A tag that was held against a charger.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Deserialize))]
pub(crate) struct Shown {
    #[cfg_attr(test, serde(flatten))]
    pub(crate) seen: Seen,
    /// The owner of its station then.
    #[cfg_attr(test, serde(default))]
    pub(crate) owner_id: Option<String>,
}

/// How long a charger waits for a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CableWait {
    pub(crate) seconds: u64,
    /// Its configuration says so.
    pub(crate) known: bool,
}

impl CableWait {
    pub(crate) fn of(configured_s: Option<u64>) -> Self {
        let configured = configured_s.filter(|seconds| *seconds > 0);
        Self { seconds: configured.unwrap_or(CONNECTION_TIMEOUT_DEFAULT_S), known: configured.is_some() }
    }
}
