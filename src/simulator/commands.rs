//! What the charger answers when the central system asks for something, from its real state.

use std::time::Duration;

use serde_json::{Value, json};

use super::charger::{Charger, Reboot, Registration};
use super::configuration::Change;
use super::connector::{Phase, Status};
use super::notice::{Notice, raw};
use super::outbox::{About, Message};
use crate::clock::Timestamp;
use crate::ocpp::frame::{self, Call, ErrorCode};
use crate::ocpp::v16::{FromCentralSystem as Command, FromChargePoint as Action};

/// A soft reset waits so long for what is still to be said.
const SOFT_RESET_PATIENCE: Duration = Duration::from_secs(10);

/// The CALLERROR to refuse with, and its words.
type Refusal = (ErrorCode, &'static str);

/// The answer, and what is to be done once it is out.
type Decision = Result<(Value, Then), Refusal>;

/// What follows once the answer is out.
enum Then {
    Nothing,
    RemoteStart { connector: usize, id_tag: String },
    RemoteStop { connector: usize },
    Reset { hard: bool },
    Trigger { message: String, connector_id: Option<u32> },
    ChangePassword(String),
    Reschedule,
    ChangeAvailability { connectors: Vec<usize>, operative: bool },
    Unlock { connector: usize },
}

impl Charger {
    /// Answers a CALL of the central system, then does what it asks.
    pub(super) fn commanded(&mut self, now: Timestamp, call: &Call) {
        let payload: Value = serde_json::from_str(call.payload.get()).unwrap_or(Value::Null);
        let (answer, then) = match call.action.parse::<Command>() {
            Ok(command) => match self.decide(command, &payload) {
                Ok((answer, then)) => (Ok(answer), then),
                Err(error) => (Err(error), Then::Nothing),
            },
            Err(_) => (Err((ErrorCode::NotImplemented, "no such action in OCPP 1.6")), Then::Nothing),
        };
        let told = match answer {
            Ok(answer) => {
                self.send(format!("[3,{},{answer}]", call.id.as_json()));
                answer
            }
            Err((code, description)) => {
                self.send(frame::encode_error(&call.id, code, description));
                json!({"error": code, "description": description})
            }
        };
        self.notice(Notice::Commanded {
            action: call.action.clone(),
            payload: call.payload.clone(),
            answer: raw(&told),
        });
        self.follow_up(now, then);
    }

    fn decide(&mut self, command: Command, payload: &Value) -> Decision {
        let status = |status: &str| json!({"status": status});
        Ok(match command {
            Command::GetConfiguration => {
                let keys = match &payload["key"] {
                    Value::Null => Vec::new(),
                    Value::Array(keys) => {
                        keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect()
                    }
                    _ => return wrong_type("key is not a list"),
                };
                (self.configuration.describe(&keys), Then::Nothing)
            }
            Command::ChangeConfiguration => self.change_configuration(payload)?,
            Command::RemoteStartTransaction => match self.remote_start(payload)? {
                Some(then) => (status("Accepted"), then),
                None => (status("Rejected"), Then::Nothing),
            },
            Command::RemoteStopTransaction => {
                let Some(id) = payload["transactionId"].as_i64() else {
                    return missing("transactionId is missing or no integer");
                };
                match self.transaction_by_id(id).filter(|_| self.registration != Registration::Pending) {
                    Some(connector) => (status("Accepted"), Then::RemoteStop { connector }),
                    None => (status("Rejected"), Then::Nothing),
                }
            }
            Command::Reset => match payload["type"].as_str() {
                Some("Hard") => (status("Accepted"), Then::Reset { hard: true }),
                Some("Soft") => (status("Accepted"), Then::Reset { hard: false }),
                Some(_) => return constraint("type is neither Hard nor Soft"),
                None => return missing("type is missing"),
            },
            Command::TriggerMessage => self.trigger(payload)?,
            Command::ChangeAvailability => self.change_availability(payload)?,
            Command::UnlockConnector => match self.connector_index(payload)? {
                Some(connector) => (status("Unlocked"), Then::Unlock { connector }),
                None => (status("NotSupported"), Then::Nothing),
            },
            Command::ClearCache => {
                self.accepted_tags.clear();
                (status("Accepted"), Then::Nothing)
            }
            Command::DataTransfer => (status("UnknownVendorId"), Then::Nothing),
            _ => {
                return Err((
                    ErrorCode::NotSupported,
                    "this charger knows the action but does not support it",
                ));
            }
        })
    }

    fn change_configuration(&mut self, payload: &Value) -> Decision {
        let (Some(key), Some(value)) = (payload["key"].as_str(), payload["value"].as_str()) else {
            return missing("key and value are texts and required");
        };
        let change = self.configuration.change(key, value);
        let then = match change {
            Change::Accepted if key.eq_ignore_ascii_case("AuthorizationKey") => {
                Then::ChangePassword(value.to_owned())
            }
            Change::Accepted => Then::Reschedule,
            _ => Then::Nothing,
        };
        if change == Change::Accepted && key.eq_ignore_ascii_case("MeterValueSampleInterval") {
            self.sample_interval = self.configuration.seconds("MeterValueSampleInterval");
        }
        Ok((json!({"status": change.as_str()}), then))
    }

    fn remote_start(&self, payload: &Value) -> Result<Option<Then>, Refusal> {
        let Some(id_tag) = payload["idTag"].as_str() else { return missing("idTag is missing") };
        let connector = match &payload["connectorId"] {
            Value::Null => self.connectors.iter().position(|connector| connector.is_free()),
            _ => self.connector_index(payload)?.filter(|&index| self.connectors[index].is_free()),
        };
        let in_service = self.registration == Registration::Accepted && self.reboot.is_none();
        let id_tag = id_tag.to_owned();
        Ok(connector.filter(|_| in_service).map(|connector| Then::RemoteStart { connector, id_tag }))
    }

    /// The connector that `connectorId` names; `None` if there is no such one.
    fn connector_index(&self, payload: &Value) -> Result<Option<usize>, Refusal> {
        let Some(id) = payload["connectorId"].as_i64() else {
            return missing("connectorId is missing or no integer");
        };
        Ok(self.connectors.iter().position(|connector| i64::from(connector.id) == id))
    }

    fn trigger(&self, payload: &Value) -> Decision {
        const TRIGGERS: [&str; 6] = [
            "BootNotification",
            "DiagnosticsStatusNotification",
            "FirmwareStatusNotification",
            "Heartbeat",
            "MeterValues",
            "StatusNotification",
        ];
        let Some(message) = payload["requestedMessage"].as_str() else {
            return missing("requestedMessage is missing");
        };
        if !TRIGGERS.contains(&message) {
            return Ok((json!({"status": "NotImplemented"}), Then::Nothing));
        }
        let connector_id = match &payload["connectorId"] {
            Value::Null => None,
            id => match id.as_u64().filter(|&id| id <= self.connectors.len() as u64) {
                Some(id) => Some(id as u32),
                None => return Ok((json!({"status": "Rejected"}), Then::Nothing)),
            },
        };
        let then = Then::Trigger { message: message.to_owned(), connector_id };
        Ok((json!({"status": "Accepted"}), then))
    }

    fn change_availability(&mut self, payload: &Value) -> Decision {
        let operative = match payload["type"].as_str() {
            Some("Operative") => true,
            Some("Inoperative") => false,
            Some(_) => return constraint("type is neither Operative nor Inoperative"),
            None => return missing("type is missing"),
        };
        let connectors: Vec<usize> = match payload["connectorId"].as_i64() {
            Some(0) => (0..self.connectors.len()).collect(),
            _ => match self.connector_index(payload)? {
                Some(index) => vec![index],
                None => return Ok((json!({"status": "Rejected"}), Then::Nothing)),
            },
        };
        let busy = connectors.iter().any(|&index| !matches!(self.connectors[index].phase, Phase::Free));
        let status = if busy && !operative { "Scheduled" } else { "Accepted" };
        Ok((json!({"status": status}), Then::ChangeAvailability { connectors, operative }))
    }

    fn follow_up(&mut self, now: Timestamp, then: Then) {
        match then {
            Then::Nothing => {}
            Then::RemoteStart { connector, id_tag } => self.plug(now, connector, id_tag, true),
            Then::RemoteStop { connector } => self.stop(now, connector, "Remote"),
            Then::Reset { hard } => self.reset(now, hard),
            Then::Trigger { message, connector_id } => self.triggered(now, &message, connector_id),
            Then::ChangePassword(key) => self.change_password(now, &key),
            Then::Reschedule => self.schedule_heartbeat(now),
            Then::ChangeAvailability { connectors, operative } => {
                for index in connectors {
                    self.connectors[index].inoperative = !operative;
                    // A connector in use goes out of service when its session ends.
                    if matches!(self.connectors[index].phase, Phase::Free) {
                        let status = if operative { Status::Available } else { Status::Unavailable };
                        self.set_status(now, index, status);
                    }
                }
            }
            Then::Unlock { connector } => self.stop(now, connector, "UnlockCommand"),
        }
    }

    fn reset(&mut self, now: Timestamp, hard: bool) {
        let reason = if hard { "HardReset" } else { "SoftReset" };
        for index in 0..self.connectors.len() {
            self.stop(now, index, reason);
        }
        // A hard reset takes what is still to be said along into the next life; a soft one says it first.
        let at_latest = if hard { now } else { now.after(SOFT_RESET_PATIENCE) };
        self.reboot = Some(Reboot { at_latest, reason: reason.to_owned(), boot: true });
    }

    fn triggered(&mut self, now: Timestamp, message: &str, connector_id: Option<u32>) {
        match message {
            "BootNotification" => self.push_boot(true),
            "Heartbeat" => self.push_triggered(Action::Heartbeat, json!({}), About::Heartbeat),
            "StatusNotification" => self.report_statuses(now, connector_id, true),
            "MeterValues" => self.report_meters(now, connector_id),
            "DiagnosticsStatusNotification" => {
                self.push_triggered(
                    Action::DiagnosticsStatusNotification,
                    json!({"status": "Idle"}),
                    About::Plain,
                );
            }
            _ => {
                self.push_triggered(
                    Action::FirmwareStatusNotification,
                    json!({"status": "Idle"}),
                    About::Plain,
                );
            }
        }
    }

    fn report_meters(&mut self, now: Timestamp, connector_id: Option<u32>) {
        let own_time = self.own_time(now);
        let measurands = self.configuration.text("MeterValuesSampledData").to_owned();
        for index in 0..self.connectors.len() {
            let connector = &mut self.connectors[index];
            if connector_id.is_some_and(|id| id != connector.id) {
                continue;
            }
            connector.meter.pass_until(own_time);
            let Some(value) = connector.meter.meter_value(&measurands, "Trigger", own_time) else { continue };
            let payload = json!({"connectorId": connector.id, "meterValue": [value]});
            let about = match connector.transaction() {
                Some(transaction) => About::Sample(transaction.local),
                None => About::Plain,
            };
            self.push_triggered(Action::MeterValues, payload, about);
        }
    }

    fn push_triggered(&mut self, action: Action, payload: Value, about: About) {
        let mut message = Message::new(action, payload, about);
        message.triggered = true;
        self.outbox.push(message);
    }
}

fn missing<T>(description: &'static str) -> Result<T, Refusal> {
    Err((ErrorCode::OccurenceConstraintViolation, description))
}

fn wrong_type<T>(description: &'static str) -> Result<T, Refusal> {
    Err((ErrorCode::TypeConstraintViolation, description))
}

fn constraint<T>(description: &'static str) -> Result<T, Refusal> {
    Err((ErrorCode::PropertyConstraintViolation, description))
}
