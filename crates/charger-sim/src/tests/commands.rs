//! Commands about cars, tags and connectors: each from real state, in virtual time.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, MINUTE};
use crate::act::{Act, CannotAct};
use crate::charger::Input;
use vocabulary::ocpp::v16::FromCentralSystem;

fn tag(id_tag: &str, connector: u32) -> Act {
    Act::Tag { id_tag: id_tag.to_owned(), connector: Some(connector) }
}

/// Why something cannot be done.
fn refusal(bench: &mut Bench, act: &Act) -> CannotAct {
    match bench.charger.act(bench.now, act) {
        Err(refusal) => refusal,
        Ok(outputs) => panic!("it was done: {outputs:?}"),
    }
}

fn later(bench: &Bench, by: Duration) -> String {
    bench.now.after(by).to_string()
}

#[test]
fn every_command_is_answered_and_none_with_not_supported() {
    let certificate = include_str!("../../../../tests/tls/ca.pem");
    let time = "2026-04-14T12:00:00Z";
    let requests = [
        ("CancelReservation", json!({"reservationId": 1})),
        ("ChangeAvailability", json!({"connectorId": 1, "type": "Operative"})),
        ("ChangeConfiguration", json!({"key": "HeartbeatInterval", "value": "100"})),
        ("ClearCache", json!({})),
        ("ClearChargingProfile", json!({})),
        ("DataTransfer", json!({"vendorId": "x"})),
        ("GetCompositeSchedule", json!({"connectorId": 0, "duration": 60})),
        ("GetConfiguration", json!({})),
        ("GetDiagnostics", json!({"location": "ftp://x/y"})),
        ("GetLocalListVersion", json!({})),
        ("RemoteStartTransaction", json!({"idTag": "T"})),
        ("RemoteStopTransaction", json!({"transactionId": 1})),
        ("ReserveNow", json!({"connectorId": 1, "expiryDate": time, "idTag": "T", "reservationId": 1})),
        ("Reset", json!({"type": "Soft"})),
        ("SendLocalList", json!({"listVersion": 1, "updateType": "Full"})),
        (
            "SetChargingProfile",
            json!({"connectorId": 0, "csChargingProfiles": {
                "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "ChargePointMaxProfile",
                "chargingProfileKind": "Relative", "chargingSchedule": {
                    "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 0.3}]}}}),
        ),
        ("TriggerMessage", json!({"requestedMessage": "Heartbeat"})),
        ("UnlockConnector", json!({"connectorId": 1})),
        ("UpdateFirmware", json!({"location": "ftp://x/y", "retrieveDate": time})),
        ("CertificateSigned", json!({"certificateChain": certificate})),
        (
            "DeleteCertificate",
            json!({"certificateHashData": {
                "hashAlgorithm": "SHA256", "issuerNameHash": "0", "issuerKeyHash": "0", "serialNumber": "0"}}),
        ),
        ("ExtendedTriggerMessage", json!({"requestedMessage": "Heartbeat"})),
        ("GetInstalledCertificateIds", json!({"certificateType": "ManufacturerRootCertificate"})),
        ("GetLog", json!({"log": {"remoteLocation": "x"}, "logType": "SecurityLog", "requestId": 1})),
        (
            "InstallCertificate",
            json!({"certificateType": "ManufacturerRootCertificate", "certificate": certificate}),
        ),
        (
            "SignedUpdateFirmware",
            json!({"requestId": 1, "firmware": {"location": "x", "retrieveDateTime": time,
                "signingCertificate": certificate, "signature": "AA=="}}),
        ),
    ];
    assert_eq!(requests.len(), FromCentralSystem::ALL.len());
    for action in FromCentralSystem::ALL {
        let (_, payload) = requests.iter().find(|(name, _)| *name == action.as_str()).expect("a request");
        let mut bench = Bench::by_hand(2);
        let answer = bench.ask(action.as_str(), payload.clone());
        assert!(answer.is_object(), "{action}: {answer}");
    }
}

#[test]
fn a_remote_start_waits_for_the_cable_as_long_as_the_configuration_says() {
    let mut bench = Bench::by_hand(1);
    let from = bench.calls.len();
    bench.check("RemoteStartTransaction", json!({"idTag": "T", "connectorId": 1}), "Accepted");
    bench.serve();
    bench.pass_served(Duration::from_secs(59));
    assert_eq!(bench.statuses(from, 1), ["Preparing"]);
    bench.check("RemoteStartTransaction", json!({"idTag": "U", "connectorId": 1}), "Rejected");
    bench.pass_served(Duration::from_secs(2));
    assert_eq!(bench.statuses(from, 1), ["Preparing", "Available"]);
    assert_eq!(bench.told(from, "StartTransaction"), [&Value::Null; 0]);

    // With the cable in first, charging begins at once; unplugging ends it.
    bench.act(Act::Plug(1));
    bench.check("RemoteStartTransaction", json!({"idTag": "T"}), "Accepted");
    bench.serve();
    assert_eq!(bench.last("StartTransaction")["idTag"], "T");
    bench.act(Act::Unplug(1));
    bench.serve();
    assert_eq!(bench.last("StopTransaction")["reason"], "EVDisconnected");
    assert_eq!(bench.charger.status(1).as_deref(), Some("Available"));
}

#[test]
fn availability_waits_for_the_session_and_outlives_a_reboot() {
    let mut bench = Bench::by_hand(2);
    bench.charge(1, "T");
    bench.check("ChangeAvailability", json!({"connectorId": 9, "type": "Inoperative"}), "Rejected");
    bench.check("ChangeAvailability", json!({"connectorId": 2, "type": "Inoperative"}), "Accepted");
    bench.check("ChangeAvailability", json!({"connectorId": 0, "type": "Inoperative"}), "Scheduled");
    bench.serve();
    assert_eq!(bench.charger.status(1).as_deref(), Some("Charging"));
    assert_eq!(bench.last("StatusNotification")["connectorId"], 0, "the whole charger is out of service");
    bench.act(tag("T", 1));
    bench.act(Act::Unplug(1));
    bench.serve();
    assert_eq!(bench.charger.status(1).as_deref(), Some("Unavailable"));
    assert_eq!(refusal(&mut bench, &tag("T", 2)), CannotAct::OutOfService(2));
    bench.check("RemoteStartTransaction", json!({"idTag": "T"}), "Rejected");
    bench.check("Reset", json!({"type": "Hard"}), "Accepted");
    bench.cut();
    bench.pass(MINUTE);
    let from = bench.calls.len();
    bench.tell(Input::Connected);
    bench.serve();
    assert_eq!(
        [0, 1, 2].map(|id| bench.statuses(from, id)),
        [["Unavailable"], ["Unavailable"], ["Unavailable"]]
    );
    bench.check("ChangeAvailability", json!({"connectorId": 0, "type": "Operative"}), "Accepted");
    assert_eq!([1, 2].map(|id| bench.charger.status(id).expect("it is there")), ["Available"; 2]);
}

#[test]
fn unlocking_ends_the_session_unless_there_is_nothing_to_unlock() {
    let mut bench = Bench::by_hand(1);
    bench.charge(1, "T");
    bench.check("UnlockConnector", json!({"connectorId": 7}), "NotSupported");
    bench.check("UnlockConnector", json!({"connectorId": 1}), "Unlocked");
    bench.serve();
    assert_eq!(bench.last("StopTransaction")["reason"], "UnlockCommand");
    bench.act(Act::Break { connector: 1, error_code: "ConnectorLockFailure".to_owned() });
    bench.serve();
    assert_eq!(bench.last("StatusNotification")["errorCode"], "ConnectorLockFailure");
    bench.check("UnlockConnector", json!({"connectorId": 1}), "UnlockFailed");
    let mut bench = Bench::booted(|options| options.fixed_cables = true);
    bench.check("UnlockConnector", json!({"connectorId": 1}), "NotSupported");
}

#[test]
fn reservations_are_granted_by_real_state() {
    let mut bench = Bench::by_hand(3);
    let reserve = |bench: &Bench, id: i64, connector: u32| json!({"connectorId": connector, "expiryDate": later(bench, MINUTE), "idTag": "T", "reservationId": id});
    bench.act(Act::Plug(1));
    bench.act(Act::Break { connector: 2, error_code: "OtherError".to_owned() });
    bench.check("ChangeAvailability", json!({"connectorId": 3, "type": "Inoperative"}), "Accepted");
    bench.serve();
    for (connector, status) in
        [(1, "Occupied"), (2, "Faulted"), (3, "Unavailable"), (9, "Rejected"), (0, "Occupied")]
    {
        bench.check("ReserveNow", reserve(&bench, 1, connector), status);
    }
    let mut past = reserve(&bench, 1, 1);
    past["expiryDate"] = bench.now.before(MINUTE).to_string().into();
    bench.act(Act::Unplug(1));
    bench.check("ReserveNow", past, "Rejected");
    bench.check("ReserveNow", reserve(&bench, 1, 1), "Accepted");
    bench.check("ReserveNow", reserve(&bench, 2, 1), "Occupied");
    bench.check("ReserveNow", reserve(&bench, 1, 1), "Accepted");
    bench.serve();
    assert_eq!(bench.last("StatusNotification")["status"], "Reserved");
    bench.check("CancelReservation", json!({"reservationId": 2}), "Rejected");
    bench.check("CancelReservation", json!({"reservationId": 1}), "Accepted");
    assert_eq!(bench.charger.status(1).as_deref(), Some("Available"));
    bench.check("ReserveNow", reserve(&bench, 3, 0), "Accepted");
    bench.check("ReserveNow", reserve(&bench, 4, 0), "Occupied");
    assert_eq!(bench.charger.status(1).as_deref(), Some("Available"), "any connector is not this one");
}

#[test]
fn a_reservation_is_used_by_its_tag_or_group_and_ends_by_itself() {
    let mut bench = Bench::by_hand(1);
    let reserve = |bench: &Bench, id: i64| {
        json!({"connectorId": 1, "expiryDate": later(bench, MINUTE), "idTag": "T", "parentIdTag": "G",
            "reservationId": id})
    };
    bench.check("ReserveNow", reserve(&bench, 1), "Accepted");
    bench.serve();
    let from = bench.calls.len();
    bench.pass_served(MINUTE);
    assert_eq!(bench.statuses(from, 1), ["Available"], "its time is over");

    bench.check("ReserveNow", reserve(&bench, 2), "Accepted");
    bench.check("RemoteStartTransaction", json!({"idTag": "X"}), "Rejected");
    bench.serve();
    bench.act(Act::Plug(1));
    bench.act(tag("X", 1));
    bench.reply(&json!({"idTagInfo": {"status": "Accepted", "parentIdTag": "other"}}));
    assert_eq!(bench.charger.status(1).as_deref(), Some("Reserved"), "somebody else's");
    bench.act(tag("Y", 1));
    bench.reply(&json!({"idTagInfo": {"status": "Accepted", "parentIdTag": "g"}}));
    assert_eq!(bench.last("StartTransaction")["reservationId"], 2);
    bench.serve();
    bench.check("CancelReservation", json!({"reservationId": 2}), "Rejected");
    bench.act(Act::Unplug(1));
    bench.serve();
    bench.charge(1, "T");
    assert_eq!(bench.last("StartTransaction").get("reservationId"), None, "used once");
}

#[test]
fn the_local_list_decides_where_nobody_is_asked() {
    let mut bench = Bench::by_hand(1);
    let list = |version: i64, kind: &str, entries: Value| json!({"listVersion": version, "updateType": kind, "localAuthorizationList": entries});
    let good = json!([{"idTag": "GOOD", "idTagInfo": {"status": "Accepted"}},
        {"idTag": "BAD", "idTagInfo": {"status": "Blocked"}}]);
    assert_eq!(bench.ask("GetLocalListVersion", json!({})), json!({"listVersion": 0}));
    bench.check("SendLocalList", list(4, "Full", good), "Accepted");
    assert_eq!(bench.ask("GetLocalListVersion", json!({})), json!({"listVersion": 4}));
    bench.check("SendLocalList", list(4, "Differential", json!([])), "VersionMismatch");

    bench.check("ChangeConfiguration", json!({"key": "LocalPreAuthorize", "value": "true"}), "Accepted");
    let from = bench.calls.len();
    bench.charge(1, "good");
    assert_eq!(bench.told(from, "Authorize"), [&Value::Null; 0]);
    assert_eq!(bench.told(from, "StartTransaction").len(), 1);
    bench.act(Act::Unplug(1));
    bench.serve();

    bench.act(Act::Disconnect(10 * MINUTE));
    bench.act(Act::Plug(1));
    bench.act(tag("BAD", 1));
    assert_eq!(bench.charger.status(1).as_deref(), Some("Preparing"));
    bench.act(tag("GOOD", 1));
    assert_eq!(bench.charger.status(1).as_deref(), Some("Charging"));

    bench.check("ChangeConfiguration", json!({"key": "LocalAuthListEnabled", "value": "false"}), "Accepted");
    assert_eq!(bench.ask("GetLocalListVersion", json!({})), json!({"listVersion": -1}));
    bench.check("SendLocalList", list(9, "Full", json!([])), "NotSupported");
}

#[test]
fn the_cache_helps_until_it_is_cleared_or_switched_off() {
    let mut bench = Bench::by_hand(1);
    bench.check("ChangeConfiguration", json!({"key": "LocalPreAuthorize", "value": "true"}), "Accepted");
    let mut asked = Vec::new();
    for clear in [false, true, false] {
        if clear {
            bench.check("ClearCache", json!({}), "Accepted");
        }
        let from = bench.calls.len();
        bench.charge(1, "T");
        asked.push(bench.told(from, "Authorize").len());
        bench.act(Act::Unplug(1));
        bench.serve();
    }
    assert_eq!(asked, [1, 1, 0]);
    bench.check(
        "ChangeConfiguration",
        json!({"key": "AuthorizationCacheEnabled", "value": "false"}),
        "Accepted",
    );
    bench.check("ClearCache", json!({}), "Rejected");
}

#[test]
fn offline_unknown_tags_charge_only_where_that_is_allowed() {
    let mut bench = Bench::by_hand(1);
    bench.act(Act::Disconnect(10 * MINUTE));
    bench.act(Act::Plug(1));
    bench.act(tag("NEW", 1));
    assert_eq!(bench.charger.status(1).as_deref(), Some("Preparing"), "waits for the connection");
    assert_eq!(refusal(&mut bench, &tag("NEW", 1)), CannotAct::ReaderBusy(1));
    let mut bench = Bench::by_hand(1);
    bench.act(Act::Set { key: "AllowOfflineTxForUnknownId".to_owned(), value: "true".to_owned() });
    bench.act(Act::Disconnect(10 * MINUTE));
    bench.act(Act::Plug(1));
    bench.act(tag("NEW", 1));
    assert_eq!(bench.charger.status(1).as_deref(), Some("Charging"));
}

#[test]
fn a_car_that_leaves_may_come_back_where_the_configuration_says_so() {
    let mut bench = Bench::by_hand(1);
    bench.act(Act::Set { key: "StopTransactionOnEVSideDisconnect".to_owned(), value: "false".to_owned() });
    bench.charge(1, "T");
    let from = bench.calls.len();
    bench.act(Act::Unplug(1));
    bench.serve();
    bench.act(Act::Plug(1));
    bench.serve();
    assert_eq!(bench.statuses(from, 1), ["SuspendedEV", "Charging"]);
    assert_eq!(refusal(&mut bench, &tag("X", 1)), CannotAct::OtherTag(1, "T".to_owned()));
    bench.act(tag("t", 1));
    bench.serve();
    let stop = bench.last("StopTransaction");
    assert_eq!((&stop["reason"], &stop["idTag"]), (&json!("Local"), &json!("t")));
}

#[test]
fn a_power_cut_is_told_after_the_boot_and_the_statuses() {
    let mut bench = Bench::by_hand(1);
    bench.charge(1, "T");
    bench.pass_served(3 * MINUTE);
    bench.take_log();
    bench.act(Act::PowerLoss(MINUTE));
    assert_eq!(bench.take_log(), ["cut"]);
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.take_log(), [""; 0]);
    bench.pass(Duration::from_secs(1));
    let from = bench.calls.len();
    bench.tell(Input::Connected);
    bench.serve();
    assert_eq!(
        bench.take_log(),
        ["dial", "BootNotification", "StatusNotification", "StatusNotification", "StopTransaction"]
    );
    assert_eq!(bench.statuses(from, 1), ["Finishing"]);
    let stop = bench.last("StopTransaction");
    assert_eq!((&stop["reason"], &stop["transactionId"]), (&json!("PowerLoss"), &json!(4711)));
}

#[test]
fn data_transfer_is_understood_from_one_vendor() {
    let mut bench = Bench::by_hand(1);
    let echo = json!({"vendorId": "chargehook.sim", "messageId": "echo", "data": "hello"});
    assert_eq!(bench.ask("DataTransfer", echo), json!({"status": "Accepted", "data": "hello"}));
    bench.check(
        "DataTransfer",
        json!({"vendorId": "chargehook.sim", "messageId": "sing"}),
        "UnknownMessageId",
    );
    bench.check("DataTransfer", json!({"vendorId": "somebody"}), "UnknownVendorId");
}
