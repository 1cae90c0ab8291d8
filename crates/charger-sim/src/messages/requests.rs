//! The CALLs of a charger.

use rust_ocpp::v1_6::messages::authorize::AuthorizeRequest;
use rust_ocpp::v1_6::messages::boot_notification::BootNotificationRequest;
use rust_ocpp::v1_6::messages::diagnostics_status_notification::DiagnosticsStatusNotificationRequest;
use rust_ocpp::v1_6::messages::firmware_status_notification::FirmwareStatusNotificationRequest;
use rust_ocpp::v1_6::messages::heart_beat::HeartbeatRequest;
use rust_ocpp::v1_6::messages::meter_values::MeterValuesRequest;
use rust_ocpp::v1_6::messages::start_transaction::StartTransactionRequest;
use rust_ocpp::v1_6::messages::status_notification::StatusNotificationRequest;
use rust_ocpp::v1_6::messages::stop_transaction::StopTransactionRequest;
use serde::Serialize;

use super::{
    ChargePointErrorCode, ChargePointStatus, DiagnosticsStatus, FirmwareStatus, Measurand, MeterValue, Phase,
    ReadingContext, Reason, SampledValue, UnitOfMeasure, security, time, whole,
};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::v16::FromChargePoint;

/// The most characters of `chargePointSerialNumber` (OCPP 1.6, `CiString25Type`).
const SERIAL_CHARS_MAX: usize = 25;

/// The number in a `StopTransaction` whose `StartTransaction` got none: "one you never numbered".
pub(crate) const UNNUMBERED: i32 = -1;

/// What a charger can ask or tell: the payload of a CALL, which is of one action.
pub(crate) trait Request: Serialize {
    /// The action whose payload this is.
    const ACTION: FromChargePoint;
}

macro_rules! requests {
    ($($request:ty => $action:ident),* $(,)?) => {
        $(impl Request for $request {
            const ACTION: FromChargePoint = FromChargePoint::$action;
        })*
    };
}

requests! {
    AuthorizeRequest => Authorize,
    BootNotificationRequest => BootNotification,
    DiagnosticsStatusNotificationRequest => DiagnosticsStatusNotification,
    FirmwareStatusNotificationRequest => FirmwareStatusNotification,
    HeartbeatRequest => Heartbeat,
    MeterValuesRequest => MeterValues,
    StartTransactionRequest => StartTransaction,
    StatusNotificationRequest => StatusNotification,
    StopTransactionRequest => StopTransaction,
    security::LogStatusNotification => LogStatusNotification,
    security::SecurityEventNotification<'_> => SecurityEventNotification,
    security::SignCertificate => SignCertificate,
    security::SignedFirmwareStatusNotification => SignedFirmwareStatusNotification,
}

/// How `station` introduces itself; its identity is its serial number, as far as there is room.
pub(crate) fn boot(
    station: &str,
    vendor: &str,
    model: &str,
    firmware_version: &str,
) -> BootNotificationRequest {
    BootNotificationRequest {
        charge_point_vendor: vendor.to_owned(),
        charge_point_model: model.to_owned(),
        charge_point_serial_number: Some(station.chars().take(SERIAL_CHARS_MAX).collect()),
        firmware_version: Some(firmware_version.to_owned()),
        meter_type: Some("simulated".to_owned()),
        ..BootNotificationRequest::default()
    }
}

pub(crate) fn heartbeat() -> HeartbeatRequest {
    HeartbeatRequest {}
}

pub(crate) fn authorize(id_tag: &str) -> AuthorizeRequest {
    AuthorizeRequest { id_tag: id_tag.to_owned() }
}

pub(crate) fn status(
    connector_id: u32,
    status: ChargePointStatus,
    error_code: ChargePointErrorCode,
    at: Timestamp,
) -> StatusNotificationRequest {
    StatusNotificationRequest {
        connector_id,
        status,
        error_code,
        timestamp: Some(time(at)),
        ..StatusNotificationRequest::default()
    }
}

pub(crate) fn start(
    connector_id: u32,
    id_tag: &str,
    meter_start_wh: i64,
    reservation_id: Option<i32>,
    at: Timestamp,
) -> StartTransactionRequest {
    StartTransactionRequest {
        connector_id,
        id_tag: id_tag.to_owned(),
        meter_start: whole(meter_start_wh),
        reservation_id,
        timestamp: time(at),
    }
}

/// The end of a transaction whose number is not known yet; `data` becomes its `transactionData`.
pub(crate) fn stop(
    id_tag: Option<String>,
    meter_stop_wh: i64,
    reason: Reason,
    data: Vec<MeterValue>,
    at: Timestamp,
) -> StopTransactionRequest {
    StopTransactionRequest {
        id_tag,
        meter_stop: whole(meter_stop_wh),
        timestamp: time(at),
        transaction_id: UNNUMBERED,
        reason: Some(reason),
        transaction_data: Some(data).filter(|data| !data.is_empty()),
    }
}

/// Meter values of a transaction whose number is not known yet, or of none.
pub(crate) fn meter_values(connector_id: u32, value: MeterValue) -> MeterValuesRequest {
    MeterValuesRequest { connector_id, transaction_id: None, meter_value: vec![value] }
}

/// What was measured at one moment.
pub(crate) fn meter_value(
    mut samples: Vec<SampledValue>,
    context: &ReadingContext,
    at: Timestamp,
) -> MeterValue {
    for sample in &mut samples {
        sample.context = Some(context.clone());
    }
    MeterValue { timestamp: time(at), sampled_value: samples }
}

/// One measured number; [`meter_value`] says when and why it was measured.
pub(crate) fn sample(
    measurand: Measurand,
    value: String,
    unit: UnitOfMeasure,
    phase: Option<Phase>,
) -> SampledValue {
    SampledValue { value, measurand: Some(measurand), unit: Some(unit), phase, ..SampledValue::default() }
}

pub(crate) fn firmware_status(status: FirmwareStatus) -> FirmwareStatusNotificationRequest {
    FirmwareStatusNotificationRequest { status }
}

pub(crate) fn diagnostics_status(status: DiagnosticsStatus) -> DiagnosticsStatusNotificationRequest {
    DiagnosticsStatusNotificationRequest { status }
}
