//! The facts that attention is made of: plain data, as it was read.

use std::collections::BTreeMap;

use vocabulary::api::transaction::EnergyQuality;
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::webhook::WebhookStatus;

/// What was read.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When.
    pub now: Timestamp,
    /// When the gateway was started.
    pub started_at: Timestamp,
    /// Stations that have ever connected.
    pub stations_known: u64,
    /// How many stations there are at the sites of [`Facts::stations`].
    pub site_sizes: BTreeMap<String, u64>,
    /// Stations that are offline, odd, or not accepted.
    pub stations: Vec<TroubledStation>,
    /// Identities that try to connect and are not let in, the latest first.
    pub refused: Vec<RefusedStation>,
    /// Addresses whose connections end before they name anybody.
    pub failing_addresses: Vec<FailingAddress>,
    /// Connectors that report a fault.
    pub faulted: Vec<FaultedConnector>,
    /// Sessions that need a look.
    pub sessions: SessionFacts,
    /// Webhooks that do not do well.
    pub webhooks: Vec<WebhookFact>,
}

/// What only the running gateway knows.
#[derive(Debug, Clone)]
pub struct GatewayFacts {
    /// Since when nothing can be written, and why.
    pub not_writing: Option<(Timestamp, String)>,
    /// What keeps it from serving beside that.
    pub not_ready: Vec<String>,
    /// Bytes free where the data directory is, and how few are a warning.
    pub disk: Option<(u64, u64)>,
    /// Bytes that the database uses, and how many it may.
    pub database: Option<(u64, u64)>,
    /// What its certificates are for, and when they expire.
    pub certificates: Vec<(&'static str, Timestamp)>,
}

/// A station that is offline, odd, or not accepted.
#[derive(Debug, Clone)]
pub struct TroubledStation {
    /// Which one.
    pub station_id: String,
    /// Where it stands.
    pub site: Option<String>,
    /// Where its last connection came from, without the port.
    pub address: Option<String>,
    /// It has a live connection.
    pub connected: bool,
    /// It was not heard of for too long, or is not connected.
    pub offline: bool,
    /// When its last connection began.
    pub connected_at: Option<Timestamp>,
    /// When it left, or was last heard of if it has not.
    pub left_at: Option<Timestamp>,
    /// Why its last connection ended, as its event says it.
    pub disconnect_reason: Option<String>,
    /// What its boots are answered with.
    pub boot_status: BootStatus,
    /// Its oddities.
    pub flags: Vec<String>,
    /// How far its clock is ahead.
    pub clock_skew_ms: Option<i64>,
    /// When the first of its last commands was sent that all went unanswered.
    pub unanswered_since: Option<Timestamp>,
}

/// An identity that tries to connect and is not let in.
#[derive(Debug, Clone)]
pub struct RefusedStation {
    /// The identity that it offers.
    pub identity: String,
    /// The station of that name; `None`: none is registered.
    pub station_id: Option<String>,
    /// The last reason, as its event says it.
    pub reason: String,
    /// Where it last came from, with the port.
    pub remote_addr: String,
    /// How often it was refused.
    pub count: u64,
    /// Since when: the first refusal, or the end of its last connection.
    pub since: Timestamp,
    /// When it was refused last.
    pub last_at: Timestamp,
}

/// An address whose connections end before they name anybody.
#[derive(Debug, Clone)]
pub struct FailingAddress {
    /// The IP address.
    pub address: String,
    /// The last reason, for people.
    pub words: String,
    /// How many connections there were.
    pub count: u64,
    /// When the first one was.
    pub first_at: Timestamp,
    /// When the last one was.
    pub last_at: Timestamp,
}

/// A connector that reports a fault.
#[derive(Debug, Clone)]
pub struct FaultedConnector {
    /// Its station.
    pub station_id: String,
    /// Its number.
    pub connector_id: i64,
    /// The code of OCPP, if it is one.
    pub error_code: Option<String>,
    /// The vendor's code.
    pub vendor_error_code: Option<String>,
    /// What it says.
    pub info: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// How often it has become faulted within a week, this time included; 0: nobody knows.
    pub times_this_week: u64,
}

/// Sessions that need a look.
#[derive(Debug, Clone, Default)]
pub struct SessionFacts {
    /// Whose energy is not metered, of the last days.
    pub doubtful: Vec<DoubtfulSession>,
    /// That another one followed, and whose stop has not come.
    pub orphaned: Vec<OpenSession>,
    /// That have been active for days.
    pub long: Vec<OpenSession>,
}

/// A session whose energy cannot be relied on.
#[derive(Debug, Clone)]
pub struct DoubtfulSession {
    /// Its number.
    pub transaction_id: i64,
    /// Where it was.
    pub station_id: String,
    /// `implausible` or `missing`.
    pub quality: EnergyQuality,
    /// When it was completed.
    pub completed_at: Timestamp,
}

/// A session that has not ended.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// Its number.
    pub transaction_id: i64,
    /// Where it is.
    pub station_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When something was last heard of it, where that is known.
    pub heard_at: Option<Timestamp>,
}

/// What the delivery engine knows of a webhook that does not do well.
#[derive(Debug, Clone, Copy, Default)]
pub struct LaneFact {
    /// Since when its breaker is open.
    pub open_since: Option<Timestamp>,
    /// A setting of it cannot be read.
    pub unreadable: bool,
    /// How long it may fail before it is disabled, in milliseconds; 0: nobody knows.
    pub disable_after_ms: u64,
}

/// A webhook that does not do well.
#[derive(Debug, Clone)]
pub struct WebhookFact {
    /// Its number; `None`: deliveries to URLs that came with their events.
    pub id: Option<WebhookId>,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub status: WebhookStatus,
    /// Since when that is so, where it is paused or disabled.
    pub since: Option<Timestamp>,
    /// Why it is disabled or paused.
    pub reason: Option<String>,
    /// Since when every delivery fails.
    pub failing_since: Option<Timestamp>,
    /// What the delivery engine knows.
    pub lane: LaneFact,
    /// What went wrong last: its code and its words.
    pub last_error: Option<(String, String)>,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Its dead letters.
    pub dead_letters: u64,
    /// When the newest of them was given up.
    pub newest_dead_at: Option<Timestamp>,
}
