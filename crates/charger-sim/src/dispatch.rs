//! Which part of the charger does what a command says, and the message that answers it.

use rust_ocpp::v1_6::messages::cancel_reservation::CancelReservationResponse;
use rust_ocpp::v1_6::messages::change_availability::ChangeAvailabilityResponse;
use rust_ocpp::v1_6::messages::change_configuration::ChangeConfigurationResponse;
use rust_ocpp::v1_6::messages::clear_cache::ClearCacheResponse;
use rust_ocpp::v1_6::messages::clear_charging_profile::ClearChargingProfileResponse;
use rust_ocpp::v1_6::messages::data_transfer::DataTransferResponse;
use rust_ocpp::v1_6::messages::get_diagnostics::GetDiagnosticsResponse;
use rust_ocpp::v1_6::messages::get_local_list_version::GetLocalListVersionResponse;
use rust_ocpp::v1_6::messages::remote_start_transaction::RemoteStartTransactionResponse;
use rust_ocpp::v1_6::messages::remote_stop_transaction::RemoteStopTransactionResponse;
use rust_ocpp::v1_6::messages::reserve_now::ReserveNowResponse;
use rust_ocpp::v1_6::messages::reset::ResetResponse;
use rust_ocpp::v1_6::messages::send_local_list::SendLocalListResponse;
use rust_ocpp::v1_6::messages::set_charging_profile::SetChargingProfileResponse;
use rust_ocpp::v1_6::messages::unlock_connector::UnlockConnectorResponse;
use rust_ocpp::v1_6::messages::update_firmware::UpdateFirmwareResponse;
use serde_json::Value;

use super::charger::Charger;
use super::commands::{self, Answer};
use super::messages::security::{GetInstalledCertificateIdsResponse, StatusResponse};
use super::messages::{composite_schedule, payload as json, triggered};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::v16::FromCentralSystem as Command;

impl Charger {
    /// Does what a command says that keeps to its schema, and makes the answer.
    pub(super) fn obey(&mut self, now: Timestamp, command: Command, payload: &Value) -> Answer {
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
