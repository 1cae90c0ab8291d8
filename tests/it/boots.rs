//! Chargers that boot again and again, and those that were asked to (quirk Q32).

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::clock::Clock;

use crate::golden::NOW;
use crate::harness::{Charger, Running, eventually, start_by};
use crate::scripted::obey;

async fn living_by(clock: &Clock) -> Running {
    start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await
}

/// Boots ten seconds later: the interval that it is given.
async fn boots(clock: &Clock, charger: &mut Charger) -> Value {
    clock.advance(Duration::from_secs(10));
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "1"});
    charger.call("BootNotification", boot).await["interval"].clone()
}

/// Whether the station is flagged, and what is odd about its last boot.
async fn is_looping(gateway: &Running) -> (bool, Value) {
    let station = gateway.get("/stations/CP").await;
    let flagged = station["flags"].as_array().expect("a list").contains(&json!("boot_loop"));
    let boot = gateway.events_of("CP", "BootNotification").await.pop().expect("a boot");
    (flagged, boot["violations"].clone())
}

fn a_loop_of(boots: usize) -> (bool, Value) {
    let problem = format!("boot_loop: {boots} boots within 5 minutes that nobody asked for");
    (true, json!([{"field": null, "problem": problem}]))
}

fn no_loop() -> (bool, Value) {
    (false, json!([]))
}

#[tokio::test]
async fn three_boots_within_minutes_are_a_loop_until_it_is_over() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.charger("CP").await;
    for _ in 0..2 {
        assert_eq!(boots(&clock, &mut charger).await, 300);
        assert_eq!(is_looping(&gateway).await, no_loop());
    }
    for nth in 3..=4 {
        assert_eq!(boots(&clock, &mut charger).await, 600, "it takes its time");
        assert_eq!(is_looping(&gateway).await, a_loop_of(nth));
    }
    // It stays up: no boot has to tell that it is over.
    clock.advance(Duration::from_secs(299));
    charger.still_serves().await;
    assert!(is_looping(&gateway).await.0);
    clock.advance(Duration::from_secs(1));
    charger.still_serves().await;
    assert!(!is_looping(&gateway).await.0);
    // A boot now and then is none.
    for _ in 0..4 {
        clock.advance(Duration::from_secs(141));
        assert_eq!(boots(&clock, &mut charger).await, 300);
        assert_eq!(is_looping(&gateway).await, no_loop());
    }
}

#[tokio::test]
async fn boots_that_somebody_asked_for_do_not_count() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.charger("CP").await;
    boots(&clock, &mut charger).await;
    boots(&clock, &mut charger).await;
    let (boot, key) = (json!({"requestedMessage": "BootNotification"}), "0123456789abcdef0123456789abcdef");
    let change = |key: &str, value: &str| json!({"key": key, "value": value});
    for (action, payload, verdict) in [
        ("Reset", json!({"type": "Hard"}), "Accepted"),
        ("Reset", json!({"type": "Soft"}), "Accepted"),
        ("TriggerMessage", boot.clone(), "Accepted"),
        ("ExtendedTriggerMessage", boot.clone(), "Accepted"),
        ("ChangeConfiguration", change("SecurityProfile", "1"), "Accepted"),
        ("ChangeConfiguration", change("VendorThing", "1"), "RebootRequired"),
    ] {
        let asked = payload.clone();
        obey(&gateway, &mut charger, "CP", action, asked, json!({"status": verdict})).await;
        assert_eq!(boots(&clock, &mut charger).await, 300, "{action} {payload}");
        assert_eq!(is_looping(&gateway).await, no_loop(), "{action} {payload}");
    }
    // What the charger does after a new password is shown to nobody, and told by its answer alone.
    let asking = crate::scripted::ask(
        &gateway,
        "CP",
        json!({"action": "ChangeConfiguration", "payload": change("AuthorizationKey", key)}),
    );
    let called = charger.called().await;
    charger.answer(&called.id, json!({"status": "Accepted"})).await;
    asking.await.expect("asks to the end");
    boots(&clock, &mut charger).await;
    assert_eq!(is_looping(&gateway).await, no_loop());
    for status in ["Installing", "Installed"] {
        charger.call("FirmwareStatusNotification", json!({"status": status})).await;
        boots(&clock, &mut charger).await;
        assert_eq!(is_looping(&gateway).await, no_loop(), "{status}");
    }
    // What it has refused explains nothing; nor what asks for no boot.
    for (action, payload, verdict) in [
        ("Reset", json!({"type": "Hard"}), "Rejected"),
        ("ChangeConfiguration", change("HeartbeatInterval", "60"), "Accepted"),
    ] {
        obey(&gateway, &mut charger, "CP", action, payload, json!({"status": verdict})).await;
    }
    boots(&clock, &mut charger).await;
    assert_eq!(is_looping(&gateway).await, a_loop_of(3));
}

#[tokio::test]
async fn neither_an_approval_nor_the_gateways_own_restart_make_a_loop() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let body = json!({"station_id": "CP", "boot_status": "pending"});
    assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
    let mut charger = gateway.charger("CP").await;
    boots(&clock, &mut charger).await;
    boots(&clock, &mut charger).await;
    assert_eq!(gateway.api("PATCH", "/stations/CP", Some(json!({"boot_status": "accepted"}))).await.0, 200);
    boots(&clock, &mut charger).await;
    assert_eq!(is_looping(&gateway).await, no_loop());
    assert_eq!(gateway.api("POST", "/stations/CP/disconnect", None).await.0, 202);
    eventually("it is gone", || async {
        (gateway.get("/stations/CP").await["connected"] == false).then_some(())
    })
    .await;
    let mut charger = gateway.charger("CP").await;
    boots(&clock, &mut charger).await;
    assert_eq!(is_looping(&gateway).await, no_loop(), "hung up on");
    drop(charger);
    let gateway = gateway.restart_by(&clock).await;
    let mut charger = gateway.charger("CP").await;
    boots(&clock, &mut charger).await;
    assert_eq!(is_looping(&gateway).await, no_loop(), "started anew");
    boots(&clock, &mut charger).await;
    assert_eq!(is_looping(&gateway).await, a_loop_of(3), "that one was its own");
}
