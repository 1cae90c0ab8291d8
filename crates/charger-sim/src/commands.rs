//! What the charger answers when the central system asks for something: from its real state, whatever
//! the action. Each answer is made where the state is; here is only who answers what.

use serde_json::{Value, json};

use super::charger::{Charger, Output};
use super::notice::{Notice, raw};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::frame::{self, Call, ErrorCode};
use vocabulary::ocpp::schema::{self, Part};
use vocabulary::ocpp::v16::FromCentralSystem as Command;

/// The vendor whose `DataTransfer` this charger understands; its one message, `echo`, comes back.
const VENDOR: &str = "chargehook.sim";

/// The CALLERROR to refuse with, and its words.
pub(super) type Refusal = (ErrorCode, String);

/// The payload of the CALLRESULT, or a refusal.
pub(super) type Answer = Result<Value, Refusal>;

impl Charger {
    /// Answers a CALL of the central system, then does what it asks.
    pub(super) fn commanded(&mut self, now: Timestamp, call: &Call) {
        let payload = match serde_json::from_str(call.payload.get()) {
            Ok(Value::Null) | Err(_) => json!({}),
            Ok(payload) => payload,
        };
        // Whatever the command makes the charger say or do comes after its answer.
        let consequences = self.out.len();
        let answer = match call.action.parse::<Command>() {
            Ok(command) => self.obey(now, command, &payload),
            Err(_) => Err((ErrorCode::NotImplemented, "no such action in OCPP 1.6".to_owned())),
        };
        let (text, told) = match answer {
            Ok(answer) => (format!("[3,{},{answer}]", call.id.as_json()), answer),
            Err((code, description)) => {
                let text = frame::encode_error(&call.id, code, &description);
                (text, json!({"error": code, "description": description}))
            }
        };
        let commanded = Notice::Commanded {
            action: call.action.clone(),
            payload: call.payload.clone(),
            answer: raw(&told),
        };
        let first = [Output::Send(text), Output::Notice(Box::new(commanded))];
        self.out.splice(consequences..consequences, first);
    }

    fn obey(&mut self, now: Timestamp, command: Command, payload: &Value) -> Answer {
        if let Some(breach) = schema::breaches(Part::Request, command.as_str(), payload).first() {
            // A message that no charger knows is one that this charger cannot send.
            if breach.violation.field.as_deref() == Some("requestedMessage")
                && payload["requestedMessage"].is_string()
            {
                return Ok(json!({"status": "NotImplemented"}));
            }
            let field = breach.violation.field.as_deref().unwrap_or("the payload");
            let words = format!("{field}: {}", breach.violation.problem);
            return Err((breach.code, words));
        }
        match command {
            Command::GetConfiguration => self.get_configuration(payload),
            Command::ChangeConfiguration => self.change_configuration(now, payload),
            Command::ChangeAvailability => self.change_availability(now, payload),
            Command::RemoteStartTransaction => self.remote_start(now, payload),
            Command::RemoteStopTransaction => self.remote_stop(now, payload),
            Command::UnlockConnector => self.unlock(now, payload),
            Command::Reset => self.reset(now, payload),
            Command::ClearCache => self.clear_cache(),
            Command::DataTransfer => data_transfer(payload),
            Command::TriggerMessage | Command::ExtendedTriggerMessage => {
                self.trigger(now, payload, command == Command::ExtendedTriggerMessage)
            }
            Command::SendLocalList => self.send_local_list(payload),
            Command::GetLocalListVersion => self.local_list_version(),
            Command::ReserveNow => self.reserve(now, payload),
            Command::CancelReservation => self.cancel_reservation(now, payload),
            Command::SetChargingProfile => self.set_charging_profile(now, payload),
            Command::ClearChargingProfile => self.clear_charging_profile(now, payload),
            Command::GetCompositeSchedule => self.composite_schedule(now, payload),
            Command::UpdateFirmware => self.update_firmware(now, payload),
            Command::SignedUpdateFirmware => self.update_signed_firmware(now, payload),
            Command::GetDiagnostics => self.get_diagnostics(now, payload),
            Command::GetLog => self.get_log(now, payload),
            Command::InstallCertificate => self.install_certificate(now, payload),
            Command::GetInstalledCertificateIds => self.installed_certificates(payload),
            Command::DeleteCertificate => self.delete_certificate(payload),
            Command::CertificateSigned => self.certificate_signed(now, payload),
        }
    }

    fn get_configuration(&self, payload: &Value) -> Answer {
        let keys = payload["key"].as_array().map(Vec::as_slice).unwrap_or_default();
        let keys: Vec<String> = keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
        let most = self.configuration.whole("GetConfigurationMaxKeys");
        if keys.len() as u64 > most {
            let words = format!("key: more than GetConfigurationMaxKeys ({most}) at once");
            return Err((ErrorCode::OccurenceConstraintViolation, words));
        }
        Ok(self.configuration.describe(&keys))
    }

    /// The connector that `connectorId` names; `None` if there is no such one.
    pub(super) fn connector_index(&self, payload: &Value) -> Option<usize> {
        let id = super::profile::whole(&payload["connectorId"])?;
        self.connectors.iter().position(|connector| i64::from(connector.id) == id)
    }
}

fn data_transfer(payload: &Value) -> Answer {
    Ok(match (payload["vendorId"].as_str(), payload["messageId"].as_str()) {
        (Some(VENDOR), Some("echo")) => match &payload["data"] {
            Value::Null => json!({"status": "Accepted"}),
            data => json!({"status": "Accepted", "data": data}),
        },
        (Some(VENDOR), _) => json!({"status": "UnknownMessageId"}),
        _ => json!({"status": "UnknownVendorId"}),
    })
}
