//! Everything at a glance: counts of what there is, and what a person should see to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::words::words;

/// Everything at a glance. It is counted anew at most once a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// When it was counted.
    pub at: Timestamp,
    /// Stations; each is in every count that fits.
    pub stations: StationCounts,
    /// Connectors by the status that they last reported; number 0, the station as a whole, is left out.
    /// `Unknown` have reported none; beyond twenty different ones the rarest are `Other`.
    #[schema(value_type = Object, example = json!({"Available": 3, "Charging": 1}))]
    pub connectors: BTreeMap<String, u64>,
    /// Charging sessions.
    pub sessions: SessionFigures,
    /// Deliveries to webhooks and to URLs of their own.
    pub deliveries: DeliveryFigures,
    /// Webhooks; each is in every count that fits.
    pub webhooks: WebhookCounts,
    /// The room that there is; a key that is bound to an owner is not told.
    pub storage: StorageFigures,
    /// The gateway's version.
    pub version: String,
    /// For how long it has run, in seconds.
    pub uptime_s: u64,
    /// What a person should see to, the most urgent first; empty if all is well. Where much is wrong in the
    /// same way, one entry stands for all of it.
    pub attention: Vec<Attention>,
}

/// Stations by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StationCounts {
    /// All that are registered or have connected.
    pub total: u64,
    /// Have a live connection.
    pub connected: u64,
    /// Have connected before, and now are not, or have not been heard of for too long.
    pub offline: u64,
    /// Have never connected.
    pub never_connected: u64,
    /// Their boot is answered `Pending`.
    pub pending: u64,
    /// Are refused at the handshake.
    pub blocked: u64,
}

/// Charging sessions now and today.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionFigures {
    /// That run now; those that another start followed on their connector (`orphaned`) are left out.
    pub active: u64,
    /// The power that they last reported, together, in W.
    pub power_w: i64,
    /// The energy of the metered sessions that ended today, in Wh.
    pub energy_today_wh: i64,
    /// The power of the last hour, one value a minute, the oldest first; it begins with the gateway's start.
    pub power_last_hour: Vec<PowerAt>,
}

/// The power of all sessions together at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PowerAt {
    /// When.
    pub at: Timestamp,
    /// How much, in W.
    pub power_w: i64,
}

/// Deliveries that wait, and what became of those of the last 24 hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryFigures {
    /// Wait for their first or next attempt.
    pub waiting: u64,
    /// Are being sent.
    pub in_flight: u64,
    /// The age of the oldest one that waits, in seconds; null if none does.
    pub oldest_waiting_s: Option<u64>,
    /// Have arrived within the last 24 hours, exact to a quarter of an hour.
    pub succeeded_24h: u64,
    /// Have become dead letters within the last 24 hours, exact to a quarter of an hour.
    pub failed_24h: u64,
    /// Are dead letters, of whatever age: nobody has sent them again.
    pub dead_letters: u64,
}

/// Webhooks by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookCounts {
    /// All of them.
    pub total: u64,
    /// Their circuit breaker is open: only probes are sent.
    pub failing: u64,
    /// Are paused.
    pub paused: u64,
    /// Are disabled, by somebody or because they failed for too long.
    pub disabled: u64,
}

/// The room that there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageFigures {
    /// Of the database, by what is in it.
    pub used_bytes: Option<u64>,
    /// Of the file system that it is on; null where that cannot be told.
    pub free_bytes: Option<u64>,
}

words! {
    /// How urgent something is.
    pub enum Severity {
        /// Something does not work.
        Bad = "bad",
        /// Something will not work soon, or works in part.
        Warn = "warn",
        /// Somebody may want to know.
        Info = "info",
    }
}

words! {
    /// What is the matter.
    #[schema(as = AttentionKind)]
    pub enum Kind {
        /// Nothing can be written: no charger is answered.
        StorageFailing = "storage_failing",
        /// The file system of the data directory is nearly full.
        DiskNearlyFull = "disk_nearly_full",
        /// A certificate has expired, or is about to.
        CertificateExpires = "certificate_expires",
        /// Stations are offline that have something in common.
        StationsOffline = "stations_offline",
        /// A webhook's endpoint does not take what it is sent.
        WebhookFailing = "webhook_failing",
        /// A webhook is disabled: events are not delivered to it.
        WebhookDisabled = "webhook_disabled",
        /// A webhook has a setting that cannot be read, so nothing is sent to it.
        WebhookUnreadable = "webhook_unreadable",
        /// A connector reports a fault.
        ConnectorFaulted = "connector_faulted",
        /// A station is offline.
        StationOffline = "station_offline",
        /// Deliveries that were given up, and that nobody has sent again.
        DeadLetters = "dead_letters",
        /// The database is nearly as large as it may become.
        DatabaseNearlyFull = "database_nearly_full",
        /// Chargers are refused at the handshake because of their credentials.
        RefusedHandshakes = "refused_handshakes",
        /// A station's connections replace one another all the time.
        StationFlapping = "station_flapping",
        /// A station boots again and again.
        BootLoop = "boot_loop",
        /// A station does not answer commands.
        StationUnresponsive = "station_unresponsive",
        /// A station's clock is wrong.
        ClockWrong = "clock_wrong",
        /// A station's boot is answered `Pending` until somebody approves it.
        BootPending = "boot_pending",
        /// A station's boot is answered `Rejected`, and it comes again and again.
        BootRejected = "boot_rejected",
        /// The energy of a session contradicts itself.
        EnergyImplausible = "energy_implausible",
        /// Nothing tells how much energy a session took.
        EnergyMissing = "energy_missing",
        /// A session's stop has never come, and another one has begun on its connector.
        SessionOrphaned = "session_orphaned",
        /// A session has been active for days.
        SessionLong = "session_long",
        /// A webhook has been paused for more than a day.
        WebhookPaused = "webhook_paused",
        /// The gateway was started a moment ago, and stations are still coming back.
        GatewayStarted = "gateway_started",
    }
}

words! {
    /// What something is about.
    #[schema(as = AttentionSubjectKind)]
    pub enum SubjectKind {
        /// A webhook; the id is its number.
        Webhook = "webhook",
        /// A station.
        Station = "station",
        /// A connector; the id is `STATION/CONNECTOR`.
        Connector = "connector",
        /// A site, such as a car park.
        Site = "site",
        /// The network address that stations come from.
        Address = "address",
        /// A session; the id is its transaction id.
        Transaction = "transaction",
        /// A certificate of the gateway's; the id is what it is for.
        Certificate = "certificate",
        /// The gateway itself.
        Gateway = "gateway",
    }
}

/// What something is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AttentionSubject)]
pub struct Subject {
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub kind: SubjectKind,
    /// Which one; null if it is several, or the gateway.
    pub id: Option<String>,
}

/// Something that a person should see to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attention {
    /// How urgent it is.
    pub severity: Severity,
    /// What is the matter, as a word.
    pub kind: Kind,
    /// Since when, or when it will be; null if nobody knows.
    pub since: Option<Timestamp>,
    /// What is the matter.
    #[schema(example = "6 stations of site P4 are offline")]
    pub text: String,
    /// Why, as far as the facts tell, in one sentence.
    #[schema(example = "All six left within 2 s at 07:55 UTC: likely the site's uplink.")]
    pub cause: String,
    /// What it is about.
    pub subject: Subject,
    /// How many things it stands for.
    pub count: u64,
    /// Those things, twenty of them at most.
    pub ids: Vec<String>,
}
