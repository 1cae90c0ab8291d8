//! A station's flags: what they are about, and that they go when what they tell is over.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::crash::Place;
use crate::harness::{Charger, Running, call, eventually, http_client, start};
use crate::receiver::{Answer, Receiver};
use crate::scripted::ask;

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");

async fn station(gateway: &Running, field: &str) -> Value {
    gateway.get("/stations/CP").await[field].clone()
}

async fn boot(charger: &mut Charger, firmware: &str) {
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": firmware});
    charger.call("BootNotification", boot).await;
}

#[tokio::test]
async fn oddities_of_a_connection_end_with_one_that_has_none() {
    let gateway = start(|_| {}).await;
    for (path, offered, expected) in [
        ("/ocpp/CP", vec![], json!(["missing_subprotocol"])),
        ("/ocpp//CP", vec![OCPP16], json!(["odd_path"])),
        ("/ocpp/CP", vec![OCPP16], json!([])),
    ] {
        let mut charger = Charger::connect(gateway.ocpp(), path, &offered).await.expect("welcome");
        // Once: three boots in a row would be a flag of their own.
        match offered.is_empty() {
            true => boot(&mut charger, "1").await,
            false => charger.still_serves().await,
        }
        assert_eq!(station(&gateway, "flags").await, expected, "{path}");
    }
}

#[tokio::test]
async fn oddities_of_messages_and_what_it_cannot_do_last_as_long_as_the_firmware() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    assert_eq!(station(&gateway, "flags").await, json!(["before_boot"]));
    boot(&mut charger, "1").await;
    let begin = json!({"connectorId": 1, "idTag": "T", "meterStart": 9, "timestamp": "2026-04-14T12:00:00Z"});
    let number = charger.call("StartTransaction", begin).await["transactionId"].clone();
    let stop = json!({"transactionId": number, "meterStop": 3, "timestamp": "2026-04-14T12:10:00Z", "x": 1});
    charger.call("StopTransaction", stop).await;
    let asking = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let called = charger.called().await;
    charger.send(&json!([4, called.id, "NotImplemented", "", {}]).to_string()).await;
    asking.await.expect("asks to the end");
    let of_firmware = json!(["unknown_field", "meterStop:implausible"]);
    for (firmware, flags, abilities) in
        [("1", of_firmware, json!(["unsupported:ClearCache"])), ("2", json!([]), json!([]))]
    {
        boot(&mut charger, firmware).await;
        assert_eq!(station(&gateway, "flags").await, flags, "firmware {firmware}");
        assert_eq!(station(&gateway, "abilities").await, abilities, "firmware {firmware}");
    }
}

#[tokio::test]
async fn a_breaker_that_closes_is_logged_like_one_that_opens() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let log = dir.path().join("log");
    let kept = std::fs::File::create(&log).expect("a log");
    let mut command = place.command();
    let _process = place.start(command.args(["--log-level", "warn"]).stderr(Stdio::from(kept)));
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 5 { 500 } else { 200 })).await;
    let http = http_client();
    // One after the other, so that the first five are five in a row.
    let body = json!({"url": receiver.url, "retry_schedule": ["1s"], "max_in_flight": 1});
    let (status, hook) = call(&http, place.api, "POST", "/webhooks", Some(body)).await;
    assert_eq!(status, 201, "{hook}");
    let mut charger = Charger::connect(place.ocpp, "/ocpp/CP", &[OCPP16]).await.expect("welcome");
    for _ in 0..6 {
        charger.still_serves().await;
    }
    receiver.wait_for(6).await;
    let said = eventually("both are logged", || async {
        let said = std::fs::read_to_string(&log).expect("reads");
        said.contains("its breaker closes").then_some(said)
    })
    .await;
    let line = |what: &str| said.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{said}"));
    for line in [line("its breaker is open"), line("its breaker closes")] {
        assert!(line.contains("WARN") && line.contains(&format!("webhook {}", hook["id"])), "{line}");
    }
}
