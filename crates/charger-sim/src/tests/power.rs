//! Charging profiles over the wire, and power that obeys them.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, MINUTE, text_of};
use crate::act::Act;

fn profile(id: i64, purpose: &str, periods: &[(i64, f64)]) -> Value {
    let periods: Vec<Value> =
        periods.iter().map(|(start, limit)| json!({"startPeriod": start, "limit": limit})).collect();
    json!({"chargingProfileId": id, "stackLevel": 0, "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": periods}})
}

fn set(connector: u32, profile: &Value) -> Value {
    json!({"connectorId": connector, "csChargingProfiles": profile})
}

/// The power in the last meter values of a connector, W.
fn power_w(bench: &mut Bench, connector: u32) -> f64 {
    bench.act(Act::Meter(connector));
    bench.serve();
    let samples = bench.last("MeterValues")["meterValue"][0]["sampledValue"].as_array().expect("samples");
    let power = samples.iter().find(|sample| sample["measurand"] == "Power.Active.Import").expect("power");
    power["value"].as_str().expect("a text").parse().expect("a number")
}

#[test]
fn profiles_are_taken_where_they_belong() {
    let mut bench = Bench::by_hand(2);
    let tx = profile(1, "TxProfile", &[(0, 5_000.0)]);
    let max = profile(2, "ChargePointMaxProfile", &[(0, 9_000.0)]);
    let default = profile(3, "TxDefaultProfile", &[(0, 4_000.0)]);
    let mut high = default.clone();
    high["stackLevel"] = 21.into();
    let mut late = default.clone();
    late["chargingSchedule"]["chargingSchedulePeriod"][0]["startPeriod"] = 60.into();
    for (connector, profile, status) in [
        (1, &tx, "Rejected"),
        (0, &tx, "Rejected"),
        (1, &max, "Rejected"),
        (0, &max, "Accepted"),
        (0, &default, "Accepted"),
        (3, &default, "Rejected"),
        (1, &high, "Rejected"),
        (1, &late, "Rejected"),
    ] {
        bench.check("SetChargingProfile", set(connector, profile), status);
    }
    bench.charge(1, "T");
    bench.check("SetChargingProfile", set(1, &tx), "Accepted");
    let mut other = tx.clone();
    other["transactionId"] = 5.into();
    bench.check("SetChargingProfile", set(1, &other), "Rejected");
    other["transactionId"] = 4711.into();
    bench.check("SetChargingProfile", set(1, &other), "Accepted");
    bench.check("ClearChargingProfile", json!({"id": 1}), "Accepted");
    bench.check("ClearChargingProfile", json!({"id": 1}), "Unknown");
    bench.check("ClearChargingProfile", json!({}), "Accepted");
    bench.check("ClearChargingProfile", json!({}), "Unknown");
}

#[test]
fn power_obeys_the_profiles_to_the_second() {
    let mut bench = Bench::by_hand(1);
    let steps = [(0, 6_000.0), (100, 2_000.0), (200, 0.0), (300, 3_000.0)];
    bench.check("SetChargingProfile", set(0, &profile(1, "TxDefaultProfile", &steps)), "Accepted");
    bench.charge(1, "T");
    let from = bench.calls.len();
    let mut seen = Vec::new();
    for _ in 0..4 {
        bench.pass_served(Duration::from_secs(50));
        seen.push(power_w(&mut bench, 1));
        bench.pass_served(Duration::from_secs(50));
    }
    assert_eq!(seen, [6_000.0, 2_000.0, 0.0, 3_000.0]);
    assert_eq!(bench.statuses(from, 1), ["SuspendedEVSE", "Charging"]);
    bench.act(Act::Unplug(1));
    bench.serve();
    let start = bench.last("StartTransaction")["meterStart"].as_i64().expect("Wh");
    let energy = bench.last("StopTransaction")["meterStop"].as_i64().expect("Wh") - start;
    assert_eq!(energy, (6_000 + 2_000 + 3_000) / 36, "power × time");
}

#[test]
fn cars_share_what_the_charger_may_draw_and_a_transactions_own_profile_ends_with_it() {
    let mut bench = Bench::by_hand(2);
    bench.check(
        "SetChargingProfile",
        set(0, &profile(1, "ChargePointMaxProfile", &[(0, 8_000.0)])),
        "Accepted",
    );
    bench.charge(1, "T");
    assert_eq!(power_w(&mut bench, 1), 8_000.0);
    bench.charge(2, "U");
    bench.pass_served(Duration::from_secs(1));
    assert_eq!(power_w(&mut bench, 1), 8_000.0 / 2.0, "since the second car came");
    bench.act(Act::Unplug(2));
    bench.serve();
    assert_eq!(power_w(&mut bench, 1), 8_000.0);
    bench.act(Act::Unplug(1));
    bench.serve();

    let remote =
        json!({"idTag": "T", "connectorId": 1, "chargingProfile": profile(7, "TxProfile", &[(0, 1_500.0)])});
    bench.check("RemoteStartTransaction", remote, "Accepted");
    bench.act(Act::Plug(1));
    bench.serve();
    assert_eq!(power_w(&mut bench, 1), 1_500.0);
    let wrong = json!({"idTag": "U", "chargingProfile": profile(8, "TxDefaultProfile", &[(0, 1.0)])});
    bench.check("RemoteStartTransaction", wrong, "Rejected");
    bench.act(Act::Unplug(1));
    bench.check("ClearChargingProfile", json!({"id": 7}), "Unknown");
}

#[test]
fn the_composite_schedule_is_what_will_happen() {
    let mut bench = Bench::by_hand(2);
    bench.check(
        "SetChargingProfile",
        set(0, &profile(1, "ChargePointMaxProfile", &[(0, 6_900.0)])),
        "Accepted",
    );
    bench.charge(1, "T");
    let own = profile(2, "TxProfile", &[(0, 10_000.0), (120, 3_450.0)]);
    bench.check("SetChargingProfile", set(1, &own), "Accepted");
    bench.pass_served(MINUTE);
    let schedule = |bench: &mut Bench, connector: u32, unit: &str| {
        bench.ask(
            "GetCompositeSchedule",
            json!({"connectorId": connector, "duration": 600, "chargingRateUnit": unit}),
        )
    };
    let answer = schedule(&mut bench, 1, "A");
    let start = &answer["scheduleStart"];
    assert_eq!(text_of(start).parse(), Ok(bench.now));
    assert_eq!(
        answer["chargingSchedule"],
        json!({"duration": 600, "startSchedule": start, "chargingRateUnit": "A", "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 10.0}, {"startPeriod": 60, "limit": 5.0}]})
    );
    let periods = |answer: &Value| answer["chargingSchedule"]["chargingSchedulePeriod"].clone();
    assert_eq!(periods(&schedule(&mut bench, 0, "W")), json!([{"startPeriod": 0, "limit": 6_900.0}]));
    assert_eq!(periods(&schedule(&mut bench, 2, "W")), json!([{"startPeriod": 0, "limit": 6_900.0}]));
    assert_eq!(schedule(&mut bench, 3, "W"), json!({"status": "Rejected"}));
}
