//! What must fit together within one command (OCPP 1.6 §5 and §7; security whitepaper §5).

use std::collections::HashSet;

use super::{Given, Wrong, local_list, profile, secret};
use crate::clock::Timestamp;
use crate::ocpp::v16::FromCentralSystem;

/// The digits an `AuthorizationKey` may have: 16 to 20 bytes in hex (whitepaper A00.FR.205).
const KEY_DIGITS: std::ops::RangeInclusive<usize> = 32..=40;

/// What may be asked of one connector alone with a trigger.
const OF_A_CONNECTOR: [&str; 2] = ["StatusNotification", "MeterValues"];

/// Adds what the fields of `given` contradict.
pub(super) fn check(action: FromCentralSystem, given: Given<'_>, now: Timestamp, wrong: &mut Wrong) {
    use FromCentralSystem as Action;
    match action {
        Action::ChangeConfiguration => authorization_key(given, wrong),
        Action::ClearChargingProfile => clear_charging_profile(given, wrong),
        Action::GetConfiguration => configuration_keys(given, wrong),
        Action::GetDiagnostics => in_order(given, "startTime", "stopTime", wrong),
        Action::GetLog => {
            if let Some(log) = object(given, "log") {
                in_order(Given { object: log, path: "log" }, "oldestTimestamp", "latestTimestamp", wrong);
            }
        }
        Action::RemoteStartTransaction => {
            real_connector(given, "a transaction runs on a connector", wrong);
            if let Some(object) = object(given, "chargingProfile") {
                profile::check_of_remote_start(Given { object, path: "chargingProfile" }, wrong);
            }
        }
        Action::ReserveNow => {
            if given.time("expiryDate").is_some_and(|expiry| expiry <= now) {
                wrong.add("expiryDate", "must lie in the future: the reservation would be over at once");
            }
            if given.integer("reservationId").is_some_and(|id| id < 0) {
                wrong.add("reservationId", "must be at least 0");
            }
        }
        Action::SendLocalList => local_list::check(given, wrong),
        Action::SetChargingProfile => {
            if let Some(object) = object(given, "csChargingProfiles") {
                let profile = Given { object, path: "csChargingProfiles" };
                profile::check_of_set(profile, given.integer("connectorId"), wrong);
            }
        }
        Action::SignedUpdateFirmware => {
            if let Some(object) = object(given, "firmware") {
                let firmware = Given { object, path: "firmware" };
                in_order(firmware, "retrieveDateTime", "installDateTime", wrong);
            }
        }
        Action::TriggerMessage | Action::ExtendedTriggerMessage => trigger(given, wrong),
        Action::UnlockConnector => real_connector(given, "0 is the station as a whole", wrong),
        // The schema and the values alone say all there is.
        Action::CancelReservation
        | Action::CertificateSigned
        | Action::ChangeAvailability
        | Action::ClearCache
        | Action::DataTransfer
        | Action::DeleteCertificate
        | Action::GetCompositeSchedule
        | Action::GetInstalledCertificateIds
        | Action::GetLocalListVersion
        | Action::InstallCertificate
        | Action::RemoteStopTransaction
        | Action::Reset
        | Action::UpdateFirmware => {}
    }
}

fn object<'a>(given: Given<'a>, name: &str) -> Option<&'a serde_json::Map<String, serde_json::Value>> {
    given.object.get(name).and_then(serde_json::Value::as_object)
}

/// What begins must not end before; the schema has said what is no time.
pub(super) fn in_order(given: Given<'_>, first: &str, then: &str, wrong: &mut Wrong) {
    if let (Some(begin), Some(end)) = (given.time(first), given.time(then))
        && end < begin
    {
        wrong.add(given.path_of(then), format!("must not lie before {first}"));
    }
}

fn real_connector(given: Given<'_>, because: &str, wrong: &mut Wrong) {
    if given.integer("connectorId") == Some(0) {
        wrong.add("connectorId", format!("must be at least 1: {because}"));
    }
}

fn authorization_key(given: Given<'_>, wrong: &mut Wrong) {
    let (Some(key), Some(value)) = (given.text("key"), given.text("value")) else { return };
    if !secret::is_authorization_key(key) {
        return;
    }
    let digits = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_hex = digits && KEY_DIGITS.contains(&value.len()) && value.len() % 2 == 0;
    if !is_hex && !secret::is_literal_key(value) {
        wrong.add(
            "value",
            "must be 16 to 20 bytes in hex (32 to 40 digits, an even number of them), or 16 to 40 printable ASCII \
             characters that are no hex, for a charger that takes them as they are",
        );
    }
}

fn configuration_keys(given: Given<'_>, wrong: &mut Wrong) {
    let keys = given.object.get("key").and_then(serde_json::Value::as_array);
    let mut seen = HashSet::new();
    for (index, key) in keys.into_iter().flatten().enumerate() {
        if let Some(key) = key.as_str()
            && !seen.insert(key.to_ascii_lowercase())
        {
            wrong.add(format!("key.{index}"), "is asked for twice: letter case does not tell keys apart");
        }
    }
}

fn clear_charging_profile(given: Given<'_>, wrong: &mut Wrong) {
    if !given.has("id") {
        return;
    }
    for criterion in ["connectorId", "chargingProfilePurpose", "stackLevel"] {
        if given.has(criterion) {
            wrong.add(criterion, "must be left out with an id, which names one profile already");
        }
    }
}

fn trigger(given: Given<'_>, wrong: &mut Wrong) {
    if let Some(message) = given.text("requestedMessage")
        && given.has("connectorId")
        && !OF_A_CONNECTOR.contains(&message)
    {
        wrong.add(
            "connectorId",
            format!("must be left out: {message} is about no connector, only StatusNotification and MeterValues are"),
        );
    }
}
