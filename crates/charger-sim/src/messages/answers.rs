//! The CALLRESULTs of a charger: who answers what, and as which message. The outcome comes from where the
//! state is.

use rust_ocpp::v1_6::messages::cancel_reservation::CancelReservationResponse;
use rust_ocpp::v1_6::messages::change_availability::ChangeAvailabilityResponse;
use rust_ocpp::v1_6::messages::change_configuration::ChangeConfigurationResponse;
use rust_ocpp::v1_6::messages::clear_cache::ClearCacheResponse;
use rust_ocpp::v1_6::messages::clear_charging_profile::ClearChargingProfileResponse;
use rust_ocpp::v1_6::messages::data_transfer::DataTransferResponse;
use rust_ocpp::v1_6::messages::get_composite_schedule::GetCompositeScheduleResponse;
use rust_ocpp::v1_6::messages::get_diagnostics::GetDiagnosticsResponse;
use rust_ocpp::v1_6::messages::get_local_list_version::GetLocalListVersionResponse;
use rust_ocpp::v1_6::messages::remote_start_transaction::RemoteStartTransactionResponse;
use rust_ocpp::v1_6::messages::remote_stop_transaction::RemoteStopTransactionResponse;
use rust_ocpp::v1_6::messages::reserve_now::ReserveNowResponse;
use rust_ocpp::v1_6::messages::reset::ResetResponse;
use rust_ocpp::v1_6::messages::send_local_list::SendLocalListResponse;
use rust_ocpp::v1_6::messages::set_charging_profile::SetChargingProfileResponse;
use rust_ocpp::v1_6::messages::trigger_message::TriggerMessageResponse;
use rust_ocpp::v1_6::messages::unlock_connector::UnlockConnectorResponse;
use rust_ocpp::v1_6::messages::update_firmware::UpdateFirmwareResponse;
use rust_ocpp::v1_6::types::{
    ChargingRateUnitType, ChargingSchedule, ChargingSchedulePeriod, GetCompositeScheduleStatus,
};
use serde_json::Value;

use super::security::{GetInstalledCertificateIdsResponse, StatusResponse};
use super::{TriggerMessageStatus, payload as json, time, whole};
use crate::charger::Charger;
use crate::commands::{self, Answer};
use crate::profile::Unit;
use crate::schedule::Composite;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::v16::FromCentralSystem as Command;

impl Charger {
    /// Does what a command says that keeps to its schema, and makes the answer.
    pub(crate) fn obey(&mut self, now: Timestamp, command: Command, payload: &Value) -> Answer {
        Ok(match command {
            Command::GetConfiguration => json(&self.get_configuration(payload)?),
            Command::ChangeConfiguration => {
                json(&ChangeConfigurationResponse { status: self.change_configuration(now, payload) })
            }
            Command::ChangeAvailability => {
                json(&ChangeAvailabilityResponse { status: self.change_availability(now, payload) })
            }
            Command::RemoteStartTransaction => {
                json(&RemoteStartTransactionResponse { status: self.remote_start(now, payload) })
            }
            Command::RemoteStopTransaction => {
                json(&RemoteStopTransactionResponse { status: self.remote_stop(now, payload) })
            }
            Command::UnlockConnector => json(&UnlockConnectorResponse { status: self.unlock(now, payload) }),
            Command::Reset => json(&ResetResponse { status: self.reset(now, payload) }),
            Command::ClearCache => json(&ClearCacheResponse { status: self.clear_cache() }),
            Command::DataTransfer => {
                let (status, data) = commands::data_transfer(payload);
                json(&DataTransferResponse { status, data })
            }
            Command::TriggerMessage | Command::ExtendedTriggerMessage => {
                triggered(self.trigger(now, payload, command == Command::ExtendedTriggerMessage))
            }
            Command::SendLocalList => json(&SendLocalListResponse { status: self.send_local_list(payload) }),
            Command::GetLocalListVersion => {
                json(&GetLocalListVersionResponse { list_version: self.local_list_version() })
            }
            Command::ReserveNow => json(&ReserveNowResponse { status: self.reserve(now, payload) }),
            Command::CancelReservation => {
                json(&CancelReservationResponse { status: self.cancel_reservation(now, payload) })
            }
            Command::SetChargingProfile => {
                json(&SetChargingProfileResponse { status: self.set_charging_profile(now, payload) })
            }
            Command::ClearChargingProfile => {
                json(&ClearChargingProfileResponse { status: self.clear_charging_profile(now, payload) })
            }
            Command::GetCompositeSchedule => json(&composite_schedule(self.composite_schedule(now, payload))),
            Command::UpdateFirmware => {
                self.update_firmware(now, payload);
                json(&UpdateFirmwareResponse {})
            }
            Command::GetDiagnostics => {
                json(&GetDiagnosticsResponse { file_name: self.get_diagnostics(now, payload) })
            }
            Command::SignedUpdateFirmware => {
                json(&StatusResponse { status: self.update_signed_firmware(now, payload) })
            }
            Command::GetLog => json(&self.get_log(now, payload)),
            Command::InstallCertificate => {
                json(&StatusResponse { status: self.install_certificate(now, payload) })
            }
            Command::GetInstalledCertificateIds => {
                json(&GetInstalledCertificateIdsResponse::new(self.installed_certificates(payload)))
            }
            Command::DeleteCertificate => json(&StatusResponse { status: self.delete_certificate(payload) }),
            Command::CertificateSigned => {
                json(&StatusResponse { status: self.certificate_signed(now, payload) })
            }
        })
    }
}

/// The answer to `TriggerMessage`, and to `ExtendedTriggerMessage`.
pub(crate) fn triggered(status: TriggerMessageStatus) -> Value {
    json(&TriggerMessageResponse { status })
}

/// `None` if there is no such connector.
fn composite_schedule(schedule: Option<(u32, Composite)>) -> GetCompositeScheduleResponse {
    let Some((connector_id, composite)) = schedule else {
        let status = GetCompositeScheduleStatus::Rejected;
        return GetCompositeScheduleResponse { status, ..GetCompositeScheduleResponse::default() };
    };
    GetCompositeScheduleResponse {
        status: GetCompositeScheduleStatus::Accepted,
        connector_id: Some(whole(connector_id)),
        schedule_start: Some(time(composite.start)),
        charging_schedule: Some(charging_schedule(&composite)),
    }
}

pub(crate) fn charging_schedule(composite: &Composite) -> ChargingSchedule {
    let periods = composite.periods.iter().map(|(start, limit)| {
        // One decimal, as the schema wants it, and never more than is allowed.
        let tenths = (limit.in_unit(composite.unit) * 10.0 + 1e-6).floor();
        ChargingSchedulePeriod {
            start_period: whole(start.as_secs()),
            limit: format!("{:.1}", tenths / 10.0).parse().unwrap_or_default(),
            number_phases: (limit.phases != 3).then(|| whole(limit.phases)),
        }
    });
    ChargingSchedule {
        duration: Some(whole(composite.duration.as_secs())),
        start_schedule: Some(time(composite.start)),
        charging_rate_unit: match composite.unit {
            Unit::Ampere => ChargingRateUnitType::A,
            Unit::Watt => ChargingRateUnitType::W,
        },
        charging_schedule_period: periods.collect(),
        min_charging_rate: None,
    }
}
