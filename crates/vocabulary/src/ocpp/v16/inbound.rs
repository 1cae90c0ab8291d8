//! What a charge point said, read as far as anybody needs it: the fields a handler decides on.
//!
//! The raw payload stays the truth; these are taken out beside it. A field that could not be read
//! is `None` here and a violation on the event, never a lost message.

use serde_json::value::RawValue;

use super::FromChargePoint;
use crate::clock::Timestamp;
use crate::ocpp::Violation;
use crate::ocpp::frame::MessageId;

/// One CALL of a charge point, ready to be stored and answered.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The charger's id for it.
    pub message_id: MessageId,
    /// What it asks.
    pub action: FromChargePoint,
    /// The payload exactly as it came.
    pub payload: Box<RawValue>,
    /// What a handler needs of it.
    pub request: Request,
    /// The charger's own time for it, if it names one that can be read.
    pub occurred_at: Option<Timestamp>,
    /// The newest time in it as the charger's clock shows it, also one that cannot be true.
    pub clock_shows: Option<Timestamp>,
    /// What was odd, of the envelope and of the payload.
    pub violations: Vec<Violation>,
}

/// The payload's fields that decide something.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "variants and fields are the specification's own")]
pub enum Request {
    Authorize { id_tag: Option<String> },
    BootNotification(BootNotification),
    DataTransfer { vendor_id: Option<String>, message_id: Option<String> },
    DiagnosticsStatusNotification { status: Option<String> },
    FirmwareStatusNotification { status: Option<String> },
    Heartbeat,
    LogStatusNotification { status: Option<String> },
    MeterValues(MeterValues),
    SecurityEventNotification,
    SignCertificate { csr: Option<String> },
    SignedFirmwareStatusNotification { status: Option<String> },
    StartTransaction(StartTransaction),
    StatusNotification(StatusNotification),
    StopTransaction(StopTransaction),
}

/// Who a charger says it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct BootNotification {
    pub vendor: Option<String>,
    pub model: Option<String>,
    /// `chargePointSerialNumber`, else `chargeBoxSerialNumber`.
    pub serial_number: Option<String>,
    pub firmware_version: Option<String>,
}

/// A session begins.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct StartTransaction {
    pub connector_id: Option<i64>,
    pub id_tag: Option<String>,
    /// Rounded to whole Wh.
    pub meter_start_wh: Option<i64>,
    /// It had decimals: of Wh, or perhaps of kWh.
    pub meter_has_decimals: bool,
    pub reservation_id: Option<i64>,
    /// `timestamp` as text, exactly as it came: what tells a retry from another start.
    pub timestamp_text: Option<String>,
}

/// A session ends.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct StopTransaction {
    pub transaction_id: Option<i64>,
    pub id_tag: Option<String>,
    /// Rounded to whole Wh.
    pub meter_stop_wh: Option<i64>,
    /// It had decimals: of Wh, or perhaps of kWh.
    pub meter_has_decimals: bool,
    /// Canonical; `Other` for one that nobody knows, `None` (that is, `Local`) if none was sent.
    pub reason: Option<String>,
    pub timestamp_text: Option<String>,
    pub transaction_data: Vec<MeterValue>,
}

/// A connector, or the whole station (connector 0), reports how it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct StatusNotification {
    pub connector_id: Option<i64>,
    /// Canonical where it is known in any case, else as it was sent.
    pub status: Option<String>,
    /// Canonical; `OtherError` for one that nobody knows.
    pub error_code: Option<String>,
    pub info: Option<String>,
    pub vendor_error_code: Option<String>,
}

/// What meters show.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct MeterValues {
    pub connector_id: Option<i64>,
    pub transaction_id: Option<i64>,
    pub meter_value: Vec<MeterValue>,
}

/// Values sampled at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeterValue {
    /// The charger's time, if it could be read.
    pub timestamp: Option<Timestamp>,
    /// What was sampled.
    pub sampled_value: Vec<SampledValue>,
}

/// One value, its kind spelled canonically where it could be recognised (quirks Q5, Q6, Q11).
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct SampledValue {
    /// The text exactly as sent.
    pub value: String,
    /// A decimal in the base unit of its measurand (Wh, W, A, V, …); `None` if it cannot be read.
    pub value_base: Option<String>,
    pub measurand: String,
    pub context: String,
    pub phase: Option<String>,
    pub location: String,
    pub format: String,
    pub unit: Option<String>,
    /// The unit was not sent, nor is it a default of the specification: it follows from the measurand.
    pub derived: bool,
}
