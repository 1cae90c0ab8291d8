//! The requests of a charge point: their fields, and the words the specification knows for them.

use super::FromChargePoint;
use super::fields::{Fields, Reader, canonical};
use super::meter;
use crate::clock::Timestamp;
use crate::lookup_key::lookup_key;
use crate::ocpp::fact::{Booted, ConnectorStatus, Fact, MeterReadings, Report, SessionEnded, SessionStarted};

/// The fields of a request that decide something.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "variants and fields are the specification's own")]
pub enum Request {
    Authorize { id_tag: Option<String> },
    BootNotification(Booted),
    DataTransfer { vendor_id: Option<String>, message_id: Option<String> },
    DiagnosticsStatusNotification { status: Option<String> },
    FirmwareStatusNotification { status: Option<String> },
    Heartbeat,
    LogStatusNotification { status: Option<String> },
    MeterValues(MeterReadings),
    SecurityEventNotification,
    SignCertificate { csr: Option<String> },
    SignedFirmwareStatusNotification { status: Option<String> },
    StartTransaction(SessionStarted),
    StatusNotification(ConnectorStatus),
    StopTransaction(SessionEnded),
}

impl Request {
    /// What it says, in the words of every version.
    pub fn fact(&self) -> Fact<'_> {
        match self {
            Self::Authorize { id_tag } => Fact::TagShown { id_tag: id_tag.as_deref() },
            Self::BootNotification(booted) => Fact::Booted(booted),
            Self::DiagnosticsStatusNotification { status } => {
                Fact::Reported(Report::DiagnosticsStatus, status.as_deref())
            }
            Self::FirmwareStatusNotification { status }
            | Self::SignedFirmwareStatusNotification { status } => {
                let status = status.as_deref();
                Fact::FirmwareProgress {
                    status,
                    may_boot: status.is_some_and(|status| BOOTING.contains(&status)),
                }
            }
            Self::LogStatusNotification { status } => Fact::Reported(Report::LogStatus, status.as_deref()),
            Self::MeterValues(readings) => Fact::Metered(readings),
            Self::SignCertificate { csr } => Fact::CertificateRequested { csr: csr.as_deref() },
            Self::StartTransaction(started) => Fact::SessionStarted(started),
            Self::StatusNotification(status) => Fact::ConnectorStatus(status),
            Self::StopTransaction(ended) => Fact::SessionEnded(ended),
            Self::DataTransfer { .. } | Self::Heartbeat | Self::SecurityEventNotification => Fact::Other,
        }
    }
}

/// The firmware's statuses during which a charger boots without being asked.
const BOOTING: [&str; 3] = ["Installing", "InstallRebooting", "Installed"];

/// The connectors' statuses that end a reservation (OCPP 1.6, 5.13).
const OUT_OF_ORDER: [&str; 2] = ["Faulted", "Unavailable"];

/// The reason of a stop that names none (OCPP 1.6, `StopTransaction.req`).
const DEFAULT_STOP_REASON: &str = "Local";

const DIAGNOSTICS_STATUSES: &[&str] = &["Idle", "Uploaded", "UploadFailed", "Uploading"];
const FIRMWARE_STATUSES: &[&str] = &[
    "Downloaded",
    "DownloadFailed",
    "Downloading",
    "DownloadScheduled",
    "DownloadPaused",
    "Idle",
    "InstallationFailed",
    "Installing",
    "Installed",
    "InstallRebooting",
    "InstallScheduled",
    "InstallVerificationFailed",
    "InvalidSignature",
    "SignatureVerified",
];
const LOG_STATUSES: &[&str] = &[
    "BadMessage",
    "Idle",
    "NotSupportedOperation",
    "PermissionDenied",
    "Uploaded",
    "UploadFailure",
    "Uploading",
];
/// What a connector can be (OCPP 1.6 §7.7).
pub const CONNECTOR_STATUSES: &[&str] = &[
    "Available",
    "Preparing",
    "Charging",
    "SuspendedEVSE",
    "SuspendedEV",
    "Finishing",
    "Reserved",
    "Unavailable",
    "Faulted",
];
/// What a connector's error can be (OCPP 1.6 §7.6).
pub const ERROR_CODES: &[&str] = &[
    "NoError",
    "ConnectorLockFailure",
    "EVCommunicationError",
    "GroundFailure",
    "HighTemperature",
    "InternalError",
    "LocalListConflict",
    "OtherError",
    "OverCurrentFailure",
    "PowerMeterFailure",
    "PowerSwitchFailure",
    "ReaderFailure",
    "ResetFailure",
    "UnderVoltage",
    "OverVoltage",
    "WeakSignal",
];
const STOP_REASONS: &[&str] = &[
    "Local",
    "EVDisconnected",
    "Remote",
    "DeAuthorized",
    "EmergencyStop",
    "HardReset",
    "Other",
    "PowerLoss",
    "Reboot",
    "SoftReset",
    "UnlockCommand",
];

/// Reads the fields of an `action`, and the charger's own time for it.
pub(super) fn read(
    action: FromChargePoint,
    fields: &Fields<'_>,
    reader: &mut Reader,
) -> (Request, Option<Timestamp>) {
    let status = |known| fields.word("status", known);
    match action {
        FromChargePoint::Authorize => {
            (Request::Authorize { id_tag: fields.required_text("idTag", reader) }, None)
        }
        FromChargePoint::BootNotification => (Request::BootNotification(read_boot(fields, reader)), None),
        FromChargePoint::DataTransfer => {
            let vendor_id = fields.required_text("vendorId", reader);
            (Request::DataTransfer { vendor_id, message_id: fields.optional_text("messageId") }, None)
        }
        FromChargePoint::DiagnosticsStatusNotification => {
            (Request::DiagnosticsStatusNotification { status: status(DIAGNOSTICS_STATUSES) }, None)
        }
        FromChargePoint::FirmwareStatusNotification => {
            (Request::FirmwareStatusNotification { status: status(FIRMWARE_STATUSES) }, None)
        }
        FromChargePoint::SignedFirmwareStatusNotification => {
            (Request::SignedFirmwareStatusNotification { status: status(FIRMWARE_STATUSES) }, None)
        }
        FromChargePoint::LogStatusNotification => {
            (Request::LogStatusNotification { status: status(LOG_STATUSES) }, None)
        }
        FromChargePoint::Heartbeat => (Request::Heartbeat, None),
        FromChargePoint::MeterValues => {
            let meter_value = meter::read_all(fields, "meterValue", reader);
            let occurred_at = meter_value.iter().filter_map(|value| value.timestamp).max();
            let read = MeterReadings {
                connector_id: read_connector(fields, reader),
                transaction_id: fields.integer("transactionId", reader),
                meter_value,
            };
            (Request::MeterValues(read), occurred_at)
        }
        FromChargePoint::SecurityEventNotification => {
            (Request::SecurityEventNotification, fields.time("timestamp", reader))
        }
        FromChargePoint::SignCertificate => {
            (Request::SignCertificate { csr: fields.required_text("csr", reader) }, None)
        }
        FromChargePoint::StartTransaction => {
            let read = read_start(fields, reader);
            (Request::StartTransaction(read), fields.time("timestamp", reader))
        }
        FromChargePoint::StatusNotification => {
            (Request::StatusNotification(read_status(fields, reader)), fields.time("timestamp", reader))
        }
        FromChargePoint::StopTransaction => {
            let read = read_stop(fields, reader);
            (Request::StopTransaction(read), fields.time("timestamp", reader))
        }
    }
}

fn read_start(fields: &Fields<'_>, reader: &mut Reader) -> SessionStarted {
    SessionStarted {
        connector_id: read_connector(fields, reader),
        id_tag: fields.required_text("idTag", reader),
        meter_start_wh: fields.register_wh("meterStart", reader),
        meter_has_decimals: fields.has_decimals("meterStart"),
        reservation_id: fields.integer("reservationId", reader),
        timestamp_text: fields.text("timestamp").map(lookup_key),
    }
}

fn read_stop(fields: &Fields<'_>, reader: &mut Reader) -> SessionEnded {
    SessionEnded {
        transaction_id: fields.integer("transactionId", reader),
        id_tag: fields.optional_text("idTag"),
        meter_stop_wh: fields.register_wh("meterStop", reader),
        meter_has_decimals: fields.has_decimals("meterStop"),
        reason: fields
            .word("reason", STOP_REASONS)
            .map(|reason| known_or(reason, STOP_REASONS, "Other"))
            .or_else(|| Some(DEFAULT_STOP_REASON.to_owned())),
        timestamp_text: fields.text("timestamp").map(lookup_key),
        transaction_data: meter::read_all(fields, "transactionData", reader),
    }
}

fn read_boot(fields: &Fields<'_>, reader: &mut Reader) -> Booted {
    Booted {
        vendor: fields.required_text("chargePointVendor", reader),
        model: fields.required_text("chargePointModel", reader),
        serial_number: fields
            .optional_text("chargePointSerialNumber")
            .or_else(|| fields.optional_text("chargeBoxSerialNumber")),
        firmware_version: fields.optional_text("firmwareVersion"),
    }
}

fn read_status(fields: &Fields<'_>, reader: &mut Reader) -> ConnectorStatus {
    // OCPP 1.5's name for what 1.6 calls EVCommunicationError.
    let renamed = |code: String| match code.eq_ignore_ascii_case("Mode3Error") {
        true => "EVCommunicationError".to_owned(),
        false => code,
    };
    let status = fields.word("status", CONNECTOR_STATUSES);
    let error_code =
        fields.word("errorCode", ERROR_CODES).map(|code| known_or(renamed(code), ERROR_CODES, "OtherError"));
    ConnectorStatus {
        connector_id: read_connector(fields, reader),
        is_out_of_order: status.as_deref().is_some_and(|status| OUT_OF_ORDER.contains(&status)),
        status,
        has_error: error_code.as_deref().is_some_and(|code| code != "NoError"),
        error_code,
        info: fields.optional_text("info"),
        vendor_error_code: fields.optional_text("vendorErrorCode"),
    }
}

fn read_connector(fields: &Fields<'_>, reader: &mut Reader) -> Option<i64> {
    let connector = fields.integer("connectorId", reader)?;
    if connector < 0 {
        reader.note(&fields.path_of("connectorId"), "implausible: connectors count from 0");
    }
    Some(connector)
}

/// The word itself if the specification knows it, else the one it has for everything else (quirk Q11).
fn known_or(word: String, known: &[&'static str], other: &str) -> String {
    if canonical(&word, known).is_some() { word } else { other.to_owned() }
}
