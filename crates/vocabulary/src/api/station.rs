//! Stations and their connectors.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use super::import::ImportResult;
use crate::clock::Timestamp;
use crate::id::{SerialNumber, StationId};
use crate::ocpp::Validation;
use crate::ocpp::boot_status::BootStatus;
use crate::units::ByteSize;

fn yes() -> bool {
    true
}

/// What is written in a station: the body of `POST` beside `station_id`, and of `PATCH`.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StationInput {
    /// Its identity: the last segment of the URL it connects to. Only a station made here is also found
    /// under another letter case.
    pub station_id: StationId,
    /// For people.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// The customer it belongs to.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub owner_id: Option<String>,
    /// The place where it stands, such as a car park.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub site: Option<String>,
    /// Its Basic auth password; 32 to 40 hex digits are also taken as the bytes they stand for. Never shown
    /// again; null removes it.
    #[serde(default)]
    #[schema(min_length = 8, max_length = 40, write_only)]
    pub password: Option<String>,
    /// The lowest security profile it may connect with. A connection with a higher one raises it, unless
    /// `stations.ratchet_profile` is false; taking the password away lowers what connections with it have
    /// raised.
    #[serde(default)]
    #[schema(default = 0, minimum = 0, maximum = 3)]
    pub min_security_profile: u8,
    /// The name its client certificate carries, if not its identity.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    pub certificate_name: Option<String>,
    /// The serial number of its client certificate, in hex with or without colons: no other certificate opens
    /// then, whatever it names, but one that the gateway sends to it (`CertificateSigned`), whose number
    /// takes the place of this one once the station has connected with it. Null: any certificate that names
    /// it opens.
    #[serde(default)]
    #[schema(
        value_type = Option<String>,
        max_length = 80,
        pattern = "^(0[xX])?[0-9A-Fa-f]([: ]?[0-9A-Fa-f])*$",
        example = "4F:A0:01"
    )]
    pub certificate_serial: Option<SerialNumber>,
    /// What its boot is answered with.
    #[serde(default)]
    #[schema(default = "accepted")]
    pub boot_status: BootStatus,
    /// Refused at the handshake.
    #[serde(default)]
    #[schema(default = false)]
    pub blocked: bool,
    /// How strictly its messages are read; null: as the gateway is configured.
    #[serde(default)]
    pub validation: Option<Validation>,
    /// IANA name of the time zone that its times without zone are in; null is UTC.
    #[serde(default)]
    #[schema(
        max_length = 64,
        pattern = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
        example = "Europe/Berlin"
    )]
    pub time_zone: Option<String>,
    /// The largest message it may send; null: as the gateway is configured.
    #[serde(default)]
    pub message_size: Option<ByteSize>,
    /// Whether the gateway pings its socket.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub ping: bool,
    /// Whatever an integrator wants to keep with it, at most 16 KiB.
    #[serde(default)]
    #[schema(value_type = Object, default = json!({}))]
    pub metadata: Map<String, Value>,
}

impl std::fmt::Debug for StationInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StationInput").field("station_id", &self.station_id).finish_non_exhaustive()
    }
}

/// What is changed of a station: the body of `PATCH`. The fields of [`StationInput`] but its identity,
/// none required.
#[derive(Debug)]
pub struct StationPatch;

super::text::all_optional!(StationPatch, StationInput, without["station_id"]);

/// A charging station as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Station {
    /// Its identity.
    pub station_id: String,
    /// For people.
    pub name: Option<String>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// The place where it stands, such as a car park.
    pub site: Option<String>,
    /// Whether it has a live connection.
    pub connected: bool,
    /// Since when it is, or when it last was.
    pub connected_at: Option<Timestamp>,
    /// When something was last received from it.
    pub last_seen_at: Option<Timestamp>,
    /// The name of the node it is connected to, one of `GET /nodes`; null while it is not connected.
    pub node: Option<String>,
    /// When its newest connection ended that no other had taken over; it stays while a later one lasts. Of a
    /// connection that was open when the gateway was killed: its last message.
    pub disconnected_at: Option<Timestamp>,
    /// Why that was: what the charger said when it closed its socket, or `closed_by_station`,
    /// `connection_lost`, `gateway_stopped`, `shutdown`, or another reason of a `StationDisconnected`.
    pub disconnect_reason: Option<String>,
    /// Since when nothing comes from it: the end of its connection, or its last message where the socket
    /// stayed open. Null while it is connected and heard of, and if it was never connected.
    pub offline_since: Option<Timestamp>,
    /// The address it (last) connected from.
    pub remote_addr: Option<String>,
    /// As told in its boot notification.
    pub vendor: Option<String>,
    /// As told in its boot notification.
    pub model: Option<String>,
    /// As told in its boot notification.
    pub serial_number: Option<String>,
    /// As told in its boot notification.
    pub firmware_version: Option<String>,
    /// The subprotocol, such as `ocpp1.6`.
    pub protocol: Option<String>,
    /// The security profile it (last) connected with, 0 to 3.
    pub security_profile: Option<u8>,
    /// The lowest security profile it may connect with, as it was written or a connection has raised it.
    pub min_security_profile: u8,
    /// The name its client certificate carries, if not its identity.
    pub certificate_name: Option<String>,
    /// The serial number of the one client certificate that opens for it, in hex: lower case, no zeros in
    /// front.
    #[schema(value_type = Option<String>, example = "4fa001")]
    pub certificate_serial: Option<SerialNumber>,
    /// What its boot is answered with.
    pub boot_status: BootStatus,
    /// Refused at the handshake.
    pub blocked: bool,
    /// How strictly its messages are read; null: as the gateway is configured.
    pub validation: Option<Validation>,
    /// The time zone of its times without zone.
    pub time_zone: Option<String>,
    /// The largest message it may send; null: as the gateway is configured.
    pub message_size: Option<ByteSize>,
    /// Whether the gateway pings its socket.
    pub ping: bool,
    /// How far its clock is ahead of the gateway's, in milliseconds; negative if it is behind, null while
    /// nobody knows. Only what a wrong clock alone can cause counts. A time that lies behind its arrival may
    /// be that of a message which waited in an offline queue: it changes nothing until three messages agree
    /// on it that cannot have come out of one, because their clock runs along with ours (three of one kind
    /// about one connector, or of any kind over half a minute). A time within ten seconds of its arrival, one
    /// ahead of it and one years behind it (a clock that was never set) count at once.
    pub clock_skew_ms: Option<i64>,
    /// From its last `FirmwareStatusNotification`.
    pub firmware_status: Option<String>,
    /// From its last `DiagnosticsStatusNotification`.
    pub diagnostics_status: Option<String>,
    /// From its last `LogStatusNotification`.
    pub log_status: Option<String>,
    /// The version of the local list it has.
    pub local_list_version: Option<i64>,
    /// Whether it has a password.
    pub password_set: bool,
    /// Oddities seen, each once, until what they tell is over: `missing_subprotocol`, `odd_path`,
    /// `identity_in_other_case`, `hex_password` until it connects without; `flapping` (its connections
    /// replace one another all the time: two chargers with one identity?) until one lasts for a minute;
    /// `clock_skew` (more than five minutes off) and `clock:never_set` until its clock is right;
    /// `before_boot` (it spoke before its first boot) until it boots again; `boot_loop` (three boots or more
    /// within five minutes that nobody asked for: not after a Reset, a trigger, a new password, profile,
    /// certificate or firmware, an approval, or a start of the gateway) until it boots or stays up as others
    /// do, its heartbeat interval doubled meanwhile; `unresponsive` (three commands in a row went unanswered)
    /// until it answers one. All others are codes of violations, with the field in front where the code alone
    /// says too little (`csr:unreadable`, `meterStop:implausible`), and reasons of `MessageRejected`: they
    /// tell of its firmware, and last until it boots with another version.
    pub flags: Vec<String>,
    /// What it has shown it cannot do: `unsupported:SendLocalList`, until it does it or boots with another
    /// firmware.
    pub abilities: Vec<String>,
    /// The newest error that one of its connectors has reported and not cleared since (`NoError`); null if
    /// there is none.
    pub last_error: Option<StationError>,
    /// Whatever an integrator keeps with it.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// When it was made, or first connected.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An error that a connector has reported and not cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StationError {
    /// The connector; 0 is the station as a whole.
    pub connector_id: i64,
    /// As told in its `StatusNotification`.
    #[schema(example = "GroundFailure")]
    pub error_code: String,
    /// As told in its `StatusNotification`.
    pub vendor_error_code: Option<String>,
    /// As told in its `StatusNotification`.
    pub info: Option<String>,
    /// When the connector came to have this error code, by the charger's own time as far as its clock can be
    /// relied on; telling of it again changes nothing.
    pub at: Timestamp,
}

/// A connector as its newest `StatusNotification` tells, by the charger's own time: an older one that comes
/// out of an offline queue changes nothing here. Number 0 is the station as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connector {
    /// Its station.
    pub station_id: String,
    /// The place where its station stands.
    pub site: Option<String>,
    /// The customer its station belongs to.
    pub owner_id: Option<String>,
    /// Whether its station has a live connection; if not, nobody knows whether it still is as it was.
    pub connected: bool,
    /// Its number.
    pub connector_id: i64,
    /// As told in its last `StatusNotification`.
    pub status: Option<String>,
    /// Since when it has this status, by the charger's own time as far as its clock can be relied on; telling
    /// of it again changes nothing.
    pub since: Timestamp,
    /// As told in its last `StatusNotification`.
    pub error_code: Option<String>,
    /// As told in its last `StatusNotification`.
    pub info: Option<String>,
    /// As told in its last `StatusNotification`.
    pub vendor_error_code: Option<String>,
    /// The transaction that runs on it.
    pub transaction_id: Option<i64>,
    /// The charger's own time of the status.
    pub occurred_at: Option<Timestamp>,
    /// When the status arrived.
    pub updated_at: Timestamp,
}

/// A configuration key of a station, as it was last read or set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationKey {
    /// Its name, as the station spells it if it has told of it.
    #[schema(example = "HeartbeatInterval")]
    pub key: String,
    /// Its value, as it was last read or set. Never that of an `AuthorizationKey`.
    pub value: Option<String>,
    /// Whether it cannot be set; null if the station has not said.
    pub readonly: Option<bool>,
    /// False if the station has said that it knows no such key.
    pub known: bool,
    /// It was set, and takes effect with the station's next boot.
    pub pending_reboot: bool,
    /// When the station last told of it.
    pub read_at: Option<Timestamp>,
    /// When it was last set, or was to be.
    pub set_at: Option<Timestamp>,
}

/// What became of a request to close a station's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disconnecting {
    /// The station.
    pub station_id: String,
    /// Always true: its socket is being closed.
    pub disconnecting: bool,
}

/// What became of one row of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedStation {
    /// Which row, from 1; the header line of a CSV is not counted.
    pub row: u64,
    /// The station, if the row names one.
    pub station_id: Option<String>,
    /// `created`, `updated` or `invalid`.
    pub result: ImportResult,
    /// What is wrong with the row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<super::problem::FieldError>,
}
