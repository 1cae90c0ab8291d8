//! What the messages of chargers say, whatever version of the protocol says it: the fields that something is
//! decided by.
//!
//! The raw payload stays the truth; these are taken out beside it. A field that could not be read
//! is `None` here and a violation on the event, never a lost message.

use crate::clock::Timestamp;
use crate::words::words;

/// What a message says, as far as anything follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fact<'a> {
    /// Somebody shows an id tag, and may charge or not.
    TagShown {
        /// The tag as it came.
        id_tag: Option<&'a str>,
    },
    /// The charger has started, and wants to be served.
    Booted(&'a Booted),
    /// A session has begun.
    SessionStarted(&'a SessionStarted),
    /// Meters were read.
    Metered(&'a MeterReadings),
    /// A session has ended.
    SessionEnded(&'a SessionEnded),
    /// A connector has changed its state.
    ConnectorStatus(&'a ConnectorStatus),
    /// How far an update of the firmware has come.
    FirmwareProgress {
        /// Its status, in the version's own word.
        status: Option<&'a str>,
        /// The charger may boot for it at any time from now on.
        may_boot: bool,
    },
    /// The charger reports something of itself from which nothing else follows; the last report counts.
    Reported(Report, Option<&'a str>),
    /// The charger asks for a certificate.
    CertificateRequested {
        /// The signing request, as PEM.
        csr: Option<&'a str>,
    },
    /// Nothing but that it was sent.
    Other,
}

words! {
    /// What a charger may report of itself. The word names the column of the station's row that keeps it.
    pub enum Report {
        /// How far an update of the firmware has come.
        FirmwareStatus = "firmware_status",
        /// How far the upload of diagnostics has come.
        DiagnosticsStatus = "diagnostics_status",
        /// How far the upload of a log has come.
        LogStatus = "log_status",
    }
}

/// Who a charger says it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct Booted {
    pub vendor: Option<String>,
    pub model: Option<String>,
    /// `chargePointSerialNumber`, else `chargeBoxSerialNumber`.
    pub serial_number: Option<String>,
    pub firmware_version: Option<String>,
}

/// A session begins.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct SessionStarted {
    pub connector_id: Option<i64>,
    pub id_tag: Option<String>,
    /// Rounded to whole Wh.
    pub meter_start_wh: Option<i64>,
    /// It had decimals: of Wh, or perhaps of kWh.
    pub meter_has_decimals: bool,
    pub reservation_id: Option<i64>,
    /// What `timestamp` is looked up by, exactly as it came ([`lookup_key`]): it tells a retry from another
    /// start.
    ///
    /// [`lookup_key`]: crate::lookup_key::lookup_key
    pub timestamp_text: Option<String>,
}

/// A session ends.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct SessionEnded {
    /// Our number, as the charger gives it back.
    pub transaction_id: Option<i64>,
    pub id_tag: Option<String>,
    /// Rounded to whole Wh.
    pub meter_stop_wh: Option<i64>,
    /// It had decimals: of Wh, or perhaps of kWh.
    pub meter_has_decimals: bool,
    /// Canonical; `Other` for one that nobody knows, and what the version means where none was sent.
    pub reason: Option<String>,
    pub timestamp_text: Option<String>,
    pub transaction_data: Vec<MeterValue>,
}

/// A connector, or the whole station (connector 0), reports how it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct ConnectorStatus {
    pub connector_id: Option<i64>,
    /// Canonical where it is known in any case, else as it was sent.
    pub status: Option<String>,
    /// Canonical; `OtherError` for one that nobody knows.
    pub error_code: Option<String>,
    pub info: Option<String>,
    pub vendor_error_code: Option<String>,
    /// It has reported an error, and not that there is none.
    pub has_error: bool,
    /// Nothing can be charged there, and a reservation is not kept.
    pub is_out_of_order: bool,
}

/// What meters show, of a session or of none.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "fields are the specification's own")]
pub struct MeterReadings {
    pub connector_id: Option<i64>,
    /// Our number, as the charger gives it back.
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
