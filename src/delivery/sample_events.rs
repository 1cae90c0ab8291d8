//! Synthetic events for tests of a webhook: one canonical payload per event type.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use vocabulary::api::transaction::{EnergyQuality, Status, Transaction};
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent, category_of};
use vocabulary::ocpp::authorization::AuthorizationStatus;
use vocabulary::ocpp::protocol::Protocol;

/// The station that sample events are about.
const STATION: &str = "WALLBOX_001";

/// A sample of `event`. A name that is no event type of the gateway is a custom one.
pub(super) fn event(event: &str, now: Timestamp) -> NewEvent {
    let category = category_of(event).unwrap_or(Category::Custom);
    let about_station =
        matches!(category, Category::Ocpp | Category::Command | Category::Station | Category::Transaction);
    let payload = payload(event, category, now);
    let of_ocpp = matches!(category, Category::Ocpp | Category::Command);
    NewEvent {
        protocol: of_ocpp.then(Protocol::default),
        station_id: about_station.then(|| STATION.to_owned()),
        occurred_at: occurred_at(&payload),
        transaction_id: ["transactionId", "transaction_id"].iter().find_map(|name| payload[name].as_i64()),
        ..NewEvent::new(category, event, now, raw(payload))
    }
}

/// The time by the charger's clock, read as in chargers' messages.
fn occurred_at(payload: &Value) -> Option<Timestamp> {
    let told = [&payload["timestamp"], &payload["meterValue"][0]["timestamp"], &payload["stopped_at"]];
    told.iter().find_map(|time| time.as_str()?.parse().ok())
}

fn raw(value: Value) -> Box<RawValue> {
    // All keys of a `Value` are strings, so it always has a JSON form.
    to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// A session of an hour.
fn session(revision: i64, started_at: Timestamp, stopped_at: Timestamp) -> Transaction {
    Transaction {
        transaction_id: 100_000_001,
        station_id: STATION.to_owned(),
        connector_id: Some(1),
        owner_id: None,
        id_tag: Some("04A2B3C4D5E6F7".to_owned()),
        id_tag_status: AuthorizationStatus::Accepted,
        id_tag_reason: None,
        reservation_id: None,
        command_id: None,
        status: Status::Completed,
        orphaned: false,
        inferred: false,
        started_at: Some(started_at),
        stopped_at: Some(stopped_at),
        meter_start: Some(12_000),
        meter_stop: Some(23_450),
        first_register_wh: Some(12_000),
        last_register_wh: Some(23_450),
        stop_reason: Some("EVDisconnected".to_owned()),
        stop_id_tag: Some("04A2B3C4D5E6F7".to_owned()),
        revision,
        updated_at: stopped_at,
        energy_wh: Some(11_450),
        energy_estimated_wh: Some(11_450),
        energy_quality: EnergyQuality::Metered,
        power_w: None,
        energy_so_far_wh: None,
        soc_percent: None,
        duration_s: Some(3_600),
    }
}

fn payload(event: &str, category: Category, now: Timestamp) -> Value {
    let earlier = now.before(std::time::Duration::from_secs(3_600));
    match event {
        "Authorize" => json!({"idTag": "04A2B3C4D5E6F7"}),
        "BootNotification" => json!({
            "chargePointVendor": "ExampleVendor", "chargePointModel": "Wallbox 22",
            "chargePointSerialNumber": "WB22-000001", "firmwareVersion": "1.4.2",
        }),
        "DataTransfer" => {
            json!({"vendorId": "com.example", "messageId": "Diagnostics", "data": "{\"ok\":true}"})
        }
        "DiagnosticsStatusNotification" => json!({"status": "Uploaded"}),
        "FirmwareStatusNotification" => json!({"status": "Installed"}),
        "Heartbeat" => json!({}),
        "MeterValues" => json!({
            "connectorId": 1, "transactionId": 100_000_001,
            "meterValue": [{"timestamp": now, "sampledValue": [
                {"value": "15230", "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
                {"value": "10987.5", "measurand": "Power.Active.Import", "unit": "W"},
            ]}],
        }),
        "StartTransaction" => json!({
            "connectorId": 1, "idTag": "04A2B3C4D5E6F7", "meterStart": 12_000, "timestamp": now,
            "transactionId": 100_000_001,
        }),
        "StatusNotification" => {
            json!({"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": now})
        }
        "StopTransaction" => json!({
            "transactionId": 100_000_001, "idTag": "04A2B3C4D5E6F7", "meterStop": 23_450, "timestamp": now,
            "reason": "EVDisconnected",
        }),
        "SecurityEventNotification" => json!({"type": "FirmwareUpdated", "timestamp": now}),
        "SignCertificate" => json!({
            "csr": "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
        }),
        "LogStatusNotification" => json!({"status": "Uploaded", "requestId": 1}),
        "SignedFirmwareStatusNotification" => json!({"status": "Installed", "requestId": 1}),
        "RemoteStartOutcome" => {
            json!({"command_id": sample_id("cmd"), "outcome": "started", "transaction_id": 100_000_001})
        }
        "StationDiscovered" => json!({}),
        "StationConnected" => {
            json!({"remote_addr": "203.0.113.7:49152", "protocol": Protocol::default().as_str(), "security_profile": 1})
        }
        "StationDisconnected" => {
            json!({"code": 1_000, "reason": "closed", "duration_ms": 3_600_000, "replaced": false})
        }
        "StationRejected" => json!({
            "identity": STATION, "reason": "bad_credentials", "http_status": 401,
            "remote_addr": "203.0.113.7:49152", "count": 1,
        }),
        "StationOffline" | "StationOnline" => json!({}),
        "MessageRejected" => {
            json!({"raw": "[2,\"1\",\"Boot\",{}]", "size": 18, "reason": "unknown_action", "answer": "NotImplemented"})
        }
        "TransactionCompleted" | "TransactionCorrected" => {
            let revision = if event == "TransactionCompleted" { 1 } else { 2 };
            // All of its members have a JSON form.
            let mut payload = serde_json::to_value(session(revision, earlier, now)).unwrap_or_default();
            payload["missing"] = json!([]);
            payload["meter_values_truncated"] = json!(false);
            payload["meter_values"] = json!([{
                "occurred_at": now, "received_at": now, "measurand": "Energy.Active.Import.Register",
                "context": "Transaction.End", "phase": null, "location": "Outlet", "format": "Raw",
                "unit": "Wh", "value": "23450", "value_base": "23450", "derived": false,
            }]);
            if revision > 1 {
                payload["changed"] = json!(["energy_wh"]);
            }
            payload
        }
        "WebhookFailing" | "WebhookDisabled" | "WebhookRecovered" => {
            json!({"webhook_id": 1, "reason": format!("every delivery has failed since {earlier}"),
                   "failing_since": earlier})
        }
        "DeliveryFailed" => json!({
            "delivery_id": sample_id("dlv"), "event_id": sample_id("evt"), "webhook_id": 1, "attempts": 8,
            "last_error": {"code": "http_status", "message": "the endpoint answered 500 Internal Server Error"},
            "count": 1,
        }),
        "GatewayRestored" => json!({
            "backup_at": earlier, "restored_at": now, "transaction_ids_skipped": 1_000_000,
            "station_seq_skipped": 1_000_000, "webhook_sequence_skipped": 1_000_000,
        }),
        "NodeJoined" => json!({"name": "gateway-2", "epoch": 7}),
        "NodeLost" => json!({"name": "gateway-1", "epoch": 6, "stations": 1_200}),
        vocabulary::event::PING => json!({"message": "This is a test from chargehook."}),
        _ if category == Category::Command => json!({
            "command_id": sample_id("cmd"), "status": "completed", "request": {},
            "response": {"status": "Accepted"}, "error": null, "metadata": null,
        }),
        _ => json!({}),
    }
}

fn sample_id(prefix: &str) -> String {
    format!("{prefix}_{}", "0".repeat(26))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::event::types;

    #[test]
    fn every_type_has_a_sample_that_is_an_object() {
        for (category, name) in types() {
            let sample = event(name, Timestamp::from_unix_ms(1_776_170_096_789));
            assert_eq!(sample.category, category, "{name}");
            assert!(sample.payload.get().starts_with('{'), "{name}: {}", sample.payload);
            let has_facts = category != Category::System || sample.payload.get() != "{}";
            assert!(has_facts, "{name}");
        }
    }

    #[test]
    fn a_sample_has_the_facts_that_a_charger_s_own_message_would_have() {
        let now = Timestamp::from_unix_ms(1_776_170_096_789);
        for (name, occurs, of_transaction) in [
            ("StartTransaction", true, true),
            ("MeterValues", true, true),
            ("StopTransaction", true, true),
            ("TransactionCompleted", true, true),
            ("StatusNotification", true, false),
            ("Heartbeat", false, false),
            ("ping", false, false),
        ] {
            let sample = event(name, now);
            assert_eq!(sample.occurred_at, occurs.then_some(now), "{name}");
            assert_eq!(sample.transaction_id.is_some(), of_transaction, "{name}");
        }
    }
}
