//! What the charger does when the central system asks for something: a CALL is held against its schema,
//! obeyed and answered, from the charger's real state whatever the action.

use serde_json::{Value, json};

use super::charger::{Charger, Output};
use super::messages::{self, DataTransferStatus, GetConfigurationResponse, TriggerMessageStatus};
use super::notice::{Notice, raw};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::frame::{self, Call, ErrorCode};
use vocabulary::ocpp::schema::Part;
use vocabulary::ocpp::v16::FromCentralSystem as Command;
use vocabulary::ocpp::v16::schemas::SCHEMAS;

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
            Ok(command) => self.checked(now, command, &payload),
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

    /// Held against its schema first; then obeyed.
    fn checked(&mut self, now: Timestamp, command: Command, payload: &Value) -> Answer {
        if let Some(breach) = SCHEMAS.breaches(Part::Request, command.as_str(), payload).first() {
            // A message that no charger knows is one that this charger cannot send.
            if breach.violation.field.as_deref() == Some("requestedMessage")
                && payload["requestedMessage"].is_string()
            {
                return Ok(messages::triggered(TriggerMessageStatus::NotImplemented));
            }
            let field = breach.violation.field.as_deref().unwrap_or("the payload");
            let words = format!("{field}: {}", breach.violation.problem);
            return Err((breach.code, words));
        }
        self.obey(now, command, payload)
    }

    /// Answers `GetConfiguration`, if not too much is asked at once.
    pub(super) fn get_configuration(&self, payload: &Value) -> Result<GetConfigurationResponse, Refusal> {
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

/// Answers `DataTransfer`: a status, and what comes back.
pub(super) fn data_transfer(payload: &Value) -> (DataTransferStatus, Option<String>) {
    match (payload["vendorId"].as_str(), payload["messageId"].as_str()) {
        (Some(VENDOR), Some("echo")) => {
            (DataTransferStatus::Accepted, payload["data"].as_str().map(str::to_owned))
        }
        (Some(VENDOR), _) => (DataTransferStatus::UnknownMessageId, None),
        _ => (DataTransferStatus::UnknownVendorId, None),
    }
}
