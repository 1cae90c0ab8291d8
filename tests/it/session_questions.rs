//! What operators ask of sessions: what is charging and how fast, which ones a person should look at, what a
//! month comes to, and why a card was refused.

use serde_json::{Value, json};

use crate::harness::{Charger, Running, start};

async fn begin(charger: &mut Charger, connector: i64, meter_start: i64, timestamp: &str) -> i64 {
    let payload = json!({"connectorId": connector, "idTag": "TAG", "meterStart": meter_start,
        "timestamp": timestamp});
    charger.call("StartTransaction", payload).await["transactionId"].as_i64().expect("a number")
}

async fn meter(charger: &mut Charger, number: i64, timestamp: &str, samples: Value) {
    let payload = json!({"connectorId": 1, "transactionId": number,
        "meterValue": [{"timestamp": timestamp, "sampledValue": samples}]});
    assert_eq!(charger.call("MeterValues", payload).await, json!({}));
}

async fn stop(charger: &mut Charger, number: i64, meter_stop: Value, timestamp: &str) {
    let mut stop = json!({"transactionId": number, "timestamp": timestamp});
    if !meter_stop.is_null() {
        stop["meterStop"] = meter_stop;
    }
    charger.call("StopTransaction", stop).await;
}

async fn shown(gateway: &Running, number: i64) -> Value {
    gateway.get(&format!("/transactions/{number}")).await
}

#[track_caller]
fn assert_fields(found: &Value, expected: Value) {
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&found[field], value, "{field} of {found}");
    }
}

/// So long ago, as a charger with a right clock tells it.
fn ago(minutes: u64) -> String {
    let now = vocabulary::clock::Clock::System.now();
    now.before(std::time::Duration::from_secs(minutes * 60)).to_string()
}

#[tokio::test]
async fn an_active_session_shows_what_its_newest_meter_values_say() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1, 1_000, &ago(30)).await;
    let unknown = json!({"power_w": null, "energy_so_far_wh": null, "soc_percent": null});
    assert_fields(&shown(&gateway, number).await, unknown.clone());
    let samples = json!([
        {"value": "3.5", "unit": "kWh", "measurand": "Energy.Active.Import.Register"},
        {"value": "3.7", "unit": "kW", "measurand": "Power.Active.Import", "phase": "L1"},
        {"value": "3650", "unit": "W", "measurand": "Power.Active.Import", "phase": "L2"},
        {"value": "41.6", "unit": "Percent", "measurand": "SoC", "location": "EV"}]);
    meter(&mut charger, number, &ago(20), samples).await;
    let active = shown(&gateway, number).await;
    assert_fields(&active, json!({"power_w": 7_350, "energy_so_far_wh": 2_500, "soc_percent": 42}));
    let duration_s = active["duration_s"].as_i64().expect("a number");
    assert!((1_800..1_900).contains(&duration_s), "{active}");
    // A total counts before phases, and a late value leaves a newer one.
    let total = json!([{"value": "11.04", "unit": "kW", "measurand": "Power.Active.Import"},
        {"value": "3600", "measurand": "Power.Active.Import", "phase": "L1"}]);
    meter(&mut charger, number, &ago(10), total).await;
    let late = json!([{"value": "1", "measurand": "Power.Active.Import"}]);
    meter(&mut charger, number, &ago(15), late).await;
    let listed = gateway.get("/transactions?status=active").await;
    let rest = json!({"power_w": 11_040, "energy_so_far_wh": 2_500, "soc_percent": 42});
    assert_fields(&listed["data"][0], rest);
    stop(&mut charger, number, json!(6_000), &ago(5)).await;
    let completed = shown(&gateway, number).await;
    assert_fields(&completed, unknown);
    assert_fields(&completed, json!({"energy_wh": 5_000, "energy_quality": "metered"}));
    let duration_s = completed["duration_s"].as_i64().expect("a number");
    assert!((1_499..=1_501).contains(&duration_s), "{completed}");
}
