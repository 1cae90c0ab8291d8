//! Cases of a central system's test list, by their numbers: charging profiles, as they go on the wire.

use serde_json::{Value, json};

use crate::harness::{Running, start};
use crate::scripted::{ask, obey, refused};

fn profile(purpose: &str, more: &Value) -> Value {
    let mut profile = json!({"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute", "chargingSchedule": {"duration": 3600,
            "startSchedule": "2030-01-01T00:00:00Z", "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}, {"startPeriod": 1800, "limit": 8.5}]}});
    for (name, value) in more.as_object().expect("members") {
        profile[name] = value.clone();
    }
    profile
}

fn without(mut payload: Value, pointer: &str, name: &str) -> Value {
    payload.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object").remove(name);
    payload
}

fn with(mut payload: Value, pointer: &str, value: Value) -> Value {
    *payload.pointer_mut(pointer).expect("a place") = value;
    payload
}

async fn accepted(gateway: &Running, charger: &mut crate::harness::Charger, action: &str, payload: Value) {
    let command = obey(gateway, charger, "CP", action, payload, json!({"status": "Accepted"})).await;
    assert_eq!(command["accepted"], true);
}

#[tokio::test]
async fn case_51_a_remote_start_with_a_profile() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let start = |profile: Value| json!({"idTag": "TAG", "connectorId": 1, "chargingProfile": profile});
    let right = start(profile("TxProfile", &json!({})));
    accepted(&gateway, &mut charger, "RemoteStartTransaction", right.clone()).await;
    for (wrong, field) in [
        (start(profile("TxDefaultProfile", &json!({}))), "payload.chargingProfile.chargingProfilePurpose"),
        (start(profile("TxProfile", &json!({"transactionId": 7}))), "payload.chargingProfile.transactionId"),
        (
            with(right, "/chargingProfile/chargingSchedule/chargingSchedulePeriod/0/startPeriod", json!(5)),
            "payload.chargingProfile.chargingSchedule.chargingSchedulePeriod.0.startPeriod",
        ),
    ] {
        assert_eq!(refused(&gateway, "CP", "RemoteStartTransaction", wrong).await, [field]);
    }
}

#[tokio::test]
async fn case_75_a_default_profile() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let times = json!({"validFrom": "2030-01-01T00:00:00Z", "validTo": "2030-12-31T00:00:00Z"});
    let right = json!({"connectorId": 0, "csChargingProfiles": profile("TxDefaultProfile", &times)});
    // Nothing is left out and nothing added: `obey` compares the whole payload.
    accepted(&gateway, &mut charger, "SetChargingProfile", right.clone()).await;
    let mut tied = right.clone();
    tied["csChargingProfiles"]["transactionId"] = json!(7);
    let wrong = refused(&gateway, "CP", "SetChargingProfile", tied).await;
    assert_eq!(wrong, ["payload.csChargingProfiles.transactionId"]);
    let mut recurring = right;
    recurring["csChargingProfiles"]["recurrencyKind"] = json!("Daily");
    let wrong = refused(&gateway, "CP", "SetChargingProfile", recurring).await;
    assert_eq!(wrong, ["payload.csChargingProfiles.recurrencyKind"]);
}

#[tokio::test]
async fn case_76_a_profile_of_a_running_transaction() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
    let number = charger.call("StartTransaction", start).await["transactionId"].clone();
    let of = json!({"transactionId": number});
    let right = json!({"connectorId": 1, "csChargingProfiles": profile("TxProfile", &of)});
    accepted(&gateway, &mut charger, "SetChargingProfile", right.clone()).await;
    let nobodys = without(right.clone(), "/csChargingProfiles", "transactionId");
    let wrong = refused(&gateway, "CP", "SetChargingProfile", nobodys).await;
    assert_eq!(wrong, ["payload.csChargingProfiles.transactionId"]);
    let everywhere = with(right, "/connectorId", json!(0));
    assert_eq!(refused(&gateway, "CP", "SetChargingProfile", everywhere).await, ["payload.connectorId"]);
}

#[tokio::test]
async fn case_77_a_composite_schedule() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let payload = json!({"connectorId": 1, "duration": 600, "chargingRateUnit": "W"});
    let schedule = json!({"duration": 600, "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 11000.5, "numberPhases": 3}]});
    for (response, accepted) in [
        (
            json!({"status": "Accepted", "connectorId": 1, "scheduleStart": "2026-04-14T12:00:00Z",
                "chargingSchedule": schedule}),
            true,
        ),
        (json!({"status": "Rejected"}), false),
    ] {
        let command =
            obey(&gateway, &mut charger, "CP", "GetCompositeSchedule", payload.clone(), response).await;
        assert_eq!((&command["accepted"], &command["violations"]), (&json!(accepted), &json!([])));
    }
}

#[tokio::test]
async fn case_78_profiles_are_cleared_by_what_was_named_only() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for payload in [
        json!({"id": 1}),
        json!({"connectorId": 1, "chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 0}),
        json!({"stackLevel": 2}),
        json!({}),
    ] {
        accepted(&gateway, &mut charger, "ClearChargingProfile", payload).await;
    }
    let unknown = json!({"status": "Unknown"});
    let command = obey(&gateway, &mut charger, "CP", "ClearChargingProfile", json!({"id": 9}), unknown).await;
    assert_eq!(command["accepted"], false);
}

#[tokio::test]
async fn case_79_limits_have_one_decimal_on_the_wire() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    // Written by hand, members in order of the alphabet: a test must not trust the numbers it is about.
    let periods: Vec<String> = (1..=9_999)
        .map(|tenths| {
            let limit = if tenths % 10 == 0 {
                (tenths / 10).to_string()
            } else {
                format!("{}.{}", tenths / 10, tenths % 10)
            };
            format!(r#"{{"limit":{limit},"startPeriod":{}}}"#, tenths - 1)
        })
        .collect();
    let schedule = format!(r#"{{"chargingRateUnit":"A","chargingSchedulePeriod":[{}]}}"#, periods.join(","));
    let profile = format!(
        r#"{{"chargingProfileId":1,"stackLevel":0,"chargingProfilePurpose":"TxDefaultProfile","chargingProfileKind":"Relative","chargingSchedule":{schedule}}}"#
    );
    let payload: Box<serde_json::value::RawValue> =
        serde_json::from_str(&format!(r#"{{"connectorId":1,"csChargingProfiles":{profile}}}"#))
            .expect("JSON");
    let body = format!(r#"{{"action":"SetChargingProfile","payload":{payload}}}"#);
    let asking = ask(&gateway, "CP", serde_json::from_str(&body).expect("JSON"));
    let called = charger.called().await;
    let sent = called.text.split_once(r#""chargingSchedulePeriod":["#).expect("periods").1;
    assert!(sent.starts_with(&periods.join(",")), "every limit as it was asked: {sent:.300}");
    charger.answer(&called.id, json!({"status": "Accepted"})).await;
    assert_eq!(asking.await.expect("asks").0, 200);

    for limit in ["0.30000000000000004", "0.25", "16.01"] {
        let wrong = body.replacen(r#""limit":0.3,"#, &format!(r#""limit":{limit},"#), 1);
        let wrong: Value = serde_json::from_str(&wrong).expect("JSON");
        let fields = refused(&gateway, "CP", "SetChargingProfile", wrong["payload"].clone()).await;
        assert_eq!(fields, ["payload.csChargingProfiles.chargingSchedule.chargingSchedulePeriod.2.limit"]);
    }
}
