//! `TriggerMessage` and `ExtendedTriggerMessage`: the answer first, then the message.

use serde_json::Value;

use super::charger::Charger;
use super::messages::{TriggerMessageStatus as Status, requests};
use super::outbox::{About, Message};
use super::profile::whole;
use vocabulary::clock::Timestamp;

impl Charger {
    /// Answers both; `extended` for the one of the security extension, whose firmware is the signed one.
    pub(super) fn trigger(&mut self, now: Timestamp, payload: &Value, extended: bool) -> Status {
        let connector_id = match &payload["connectorId"] {
            Value::Null => None,
            id => match whole(id).and_then(|id| u32::try_from(id).ok()) {
                Some(id) if id as usize <= self.connectors.len() => Some(id),
                _ => return Status::Rejected,
            },
        };
        // It is about to go down: what it would say would not be true for long.
        if self.reboot.is_some() {
            return Status::Rejected;
        }
        match payload["requestedMessage"].as_str().unwrap_or_default() {
            "BootNotification" => self.push_boot(true),
            "Heartbeat" => {
                let mut message = Message::new(&requests::heartbeat(), About::Heartbeat);
                message.triggered = true;
                self.outbox.push(message);
            }
            "StatusNotification" => self.report_statuses(now, connector_id),
            // There is no meter for the charger as a whole.
            "MeterValues" if connector_id == Some(0) => return Status::Rejected,
            "MeterValues" => self.report_meters(now, connector_id),
            "FirmwareStatusNotification" => self.push_firmware_status(extended),
            "DiagnosticsStatusNotification" => self.push_upload_status(true),
            "LogStatusNotification" => self.push_upload_status(false),
            "SignChargePointCertificate" => {
                if !self.request_certificate() {
                    return Status::Rejected;
                }
            }
            _ => return Status::NotImplemented,
        }
        Status::Accepted
    }
}
