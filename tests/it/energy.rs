//! A bill is `metered` only where nothing that the charger sent contradicts it, and an estimate goes by
//! whatever tells of the energy: real ways of registers, through a real socket.

use serde_json::{Value, json};

use crate::harness::{Charger, Running, start};

const BEGAN: &str = "2026-04-14T12:00:00Z";
const ENDED: &str = "2026-04-14T13:00:00Z";

fn at(minute: u32) -> String {
    format!("2026-04-14T{:02}:{:02}:00Z", 12 + minute / 60, minute % 60)
}

/// A station of its own for each session, so that none is weighed by another's meter.
struct Site {
    gateway: Running,
    stations: usize,
}

struct Session {
    charger: Charger,
    number: i64,
}

impl Site {
    async fn open() -> Self {
        Self { gateway: start(|_| {}).await, stations: 0 }
    }

    async fn begin(&mut self, meter_start: Value) -> Session {
        self.stations += 1;
        let mut charger = self.gateway.booted(&format!("CP{}", self.stations)).await;
        let number = begin(&mut charger, meter_start, BEGAN).await;
        Session { charger, number }
    }

    async fn shown(&self, session: &Session) -> Value {
        self.gateway.get(&format!("/transactions/{}", session.number)).await
    }

    /// One whole session: readings of the register as (minute, sampled value), the stop after an hour.
    async fn session(&mut self, meter_start: Value, samples: &[(u32, Value)], meter_stop: Value) -> Value {
        let mut session = self.begin(meter_start).await;
        for (minute, sampled) in samples {
            session.meter(&at(*minute), sampled.clone()).await;
        }
        session.stop(meter_stop).await;
        self.shown(&session).await
    }
}

async fn begin(charger: &mut Charger, meter_start: Value, timestamp: &str) -> i64 {
    let payload =
        json!({"connectorId": 1, "idTag": "TAG", "meterStart": meter_start, "timestamp": timestamp});
    charger.call("StartTransaction", payload).await["transactionId"].as_i64().expect("a number")
}

impl Session {
    async fn meter(&mut self, timestamp: &str, sampled: Value) {
        self.meter_as(json!({"connectorId": 1, "transactionId": self.number}), timestamp, sampled).await;
    }

    /// Values with these fields beside them.
    async fn meter_as(&mut self, mut fields: Value, timestamp: &str, sampled: Value) {
        let sampled = if sampled.is_array() { sampled } else { json!([sampled]) };
        fields["meterValue"] = json!([{"timestamp": timestamp, "sampledValue": sampled}]);
        assert_eq!(self.charger.call("MeterValues", fields).await, json!({}));
    }

    async fn stop(&mut self, meter_stop: Value) {
        let stop = json!({"transactionId": self.number, "meterStop": meter_stop, "timestamp": ENDED});
        self.charger.call("StopTransaction", stop).await;
    }

    async fn stop_without_meter(&mut self) {
        let stop = json!({"transactionId": self.number, "timestamp": ENDED});
        self.charger.call("StopTransaction", stop).await;
    }
}

fn wh(value: i64) -> Value {
    json!({"value": value.to_string()})
}

fn samples(readings: &[(u32, i64)]) -> Vec<(u32, Value)> {
    readings.iter().map(|(minute, value)| (*minute, wh(*value))).collect()
}

fn energy(shown: &Value) -> (&str, &Value, &Value) {
    (shown["energy_quality"].as_str().expect("a word"), &shown["energy_wh"], &shown["energy_estimated_wh"])
}

#[tokio::test]
async fn a_wrong_end_is_never_metered() {
    let mut site = Site::open().await;
    let begin = |value: &str| (0, json!({"value": value, "context": "Transaction.Begin"}));
    for (what, start, registers, stop, energy_wh) in [
        ("a placeholder", json!(0), samples(&[(15, 909_948), (45, 910_020)]), json!(910_031), 910_031),
        (
            "its echo",
            json!(0),
            [vec![begin("0")], samples(&[(15, 909_948)])].concat(),
            json!(910_031),
            910_031,
        ),
        ("a start in kWh", json!(310), samples(&[(15, 311_500), (45, 315_000)]), json!(317_000), 316_690),
        ("a stop far off", json!(340_000), samples(&[(15, 341_000), (55, 345_000)]), json!(430_000), 90_000),
        ("kWh with decimals", json!(26.0), vec![], json!(33.25), 7),
        ("kWh, and the register tells", json!(26), samples(&[(15, 27_800), (55, 33_000)]), json!(33), 7),
    ] {
        let shown = site.session(start, &registers, stop).await;
        assert_eq!(energy(&shown).0, "implausible", "{what}: {shown}");
        assert_eq!(shown["energy_wh"], energy_wh, "{what}: as it was sent");
    }
}

#[tokio::test]
async fn ordinary_sessions_stay_metered() {
    let mut site = Site::open().await;
    let charged = |start: i64, power_w: i64, step: u32| -> Vec<(u32, Value)> {
        let readings: Vec<_> =
            (1..60 / step).map(|n| (n * step, start + power_w * i64::from(n * step) / 60)).collect();
        samples(&readings)
    };
    for (what, start, registers, stop) in [
        ("22 kW by the quarter", 5_000_000, charged(5_000_000, 22_000, 15), 5_022_000),
        ("150 kW by the quarter", 5_000_000, charged(5_000_000, 150_000, 15), 5_150_000),
        ("350 kW every five minutes", 5_000_000, charged(5_000_000, 350_000, 5), 5_350_000),
        ("a new meter", 0, charged(0, 11_000, 15), 11_000),
        ("one late sample", 100_000, samples(&[(15, 102_750), (45, 108_250), (30, 105_500)]), 111_000),
        ("one bad sample at the end", 100_000, samples(&[(15, 102_750), (45, 108_250), (59, 0)]), 111_000),
        ("garbage at the end", 100_000, samples(&[(15, 102_750), (45, 108_250), (59, 99_999_999)]), 111_000),
        ("a bad sample at the begin", 100_000, samples(&[(0, 0), (45, 108_250)]), 111_000),
        ("one sample an hour", 100_000, samples(&[(58, 110_600)]), 111_000),
        ("a register of the session", 909_948, samples(&[(0, 0), (15, 2_750), (59, 10_800)]), 920_948),
        ("a meter of the session", 0, samples(&[(1, 500_100), (30, 505_500), (59, 510_800)]), 11_000),
    ] {
        let shown = site.session(json!(start), &registers, json!(stop)).await;
        assert_eq!(energy(&shown).0, "metered", "{what}: {shown}");
    }
}

#[tokio::test]
async fn a_start_far_below_the_connectors_last_stop_is_not_metered() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    // Start, stop, and how the second session on the connector is judged.
    for (hour, (meter_start, meter_stop, quality)) in
        [(900_000, 909_948, "metered"), (850_000, 909_999, "implausible"), (909_999, 915_000, "metered")]
            .into_iter()
            .enumerate()
    {
        let number = begin(&mut charger, json!(meter_start), &format!("2026-04-14T{hour:02}:00:00Z")).await;
        let ended = format!("2026-04-14T{hour:02}:50:00Z");
        let stop = json!({"transactionId": number, "meterStop": meter_stop, "timestamp": ended});
        charger.call("StopTransaction", stop).await;
        let shown = gateway.get(&format!("/transactions/{number}")).await;
        assert_eq!(shown["energy_quality"], quality, "{shown}");
    }
    // One that counts each session anew.
    let mut charger = gateway.booted("ANEW").await;
    for (hour, meter_stop) in [(0, 12_000), (1, 8_000), (2, 15_000)] {
        let number = begin(&mut charger, json!(0), &format!("2026-04-14T{hour:02}:00:00Z")).await;
        let ended = format!("2026-04-14T{hour:02}:50:00Z");
        let stop = json!({"transactionId": number, "meterStop": meter_stop, "timestamp": ended});
        charger.call("StopTransaction", stop).await;
        assert_eq!(gateway.get(&format!("/transactions/{number}")).await["energy_quality"], "metered");
    }
}

#[tokio::test]
async fn the_registers_that_a_bill_is_weighed_by_stand_beside_it() {
    let mut site = Site::open().await;
    let shown =
        site.session(json!(1_000), &samples(&[(15, 2_000), (30, 3_000), (59, 0)]), json!(4_000)).await;
    assert_eq!((&shown["first_register_wh"], &shown["last_register_wh"]), (&json!(2_000), &json!(3_000)));
    let shown = site.session(json!(1_000), &[], json!(4_000)).await;
    assert_eq!((&shown["first_register_wh"], &shown["last_register_wh"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn an_estimate_goes_by_the_best_register_there_is() {
    let mut site = Site::open().await;
    let phase = |phase: &str, value: &str| json!({"value": value, "phase": phase});
    for (what, sampled) in [
        ("one phase", phase("L1", "4000")),
        ("three phases", json!([phase("L1", "2000"), phase("L2", "1500"), phase("L3", "500")])),
        ("the neutral conductor", phase("N", "4000")),
        ("another location", json!({"value": "4000", "location": "Inlet"})),
        (
            "begin and end in one moment",
            json!([{"value": "4000", "context": "Transaction.End"},
                                               {"value": "1000", "context": "Transaction.Begin"}]),
        ),
        ("the begin first", json!([{"value": "1000", "context": "Transaction.Begin"}, {"value": "4000"}])),
        ("the total, not a phase", json!([phase("L1", "900"), {"value": "4000"}])),
        ("the clock's too, where it is named", json!({"value": "4000", "context": "Sample.Clock"})),
        ("the outlet, not the inlet", json!([{"value": "4300", "location": "Inlet"}, {"value": "4000"}])),
    ] {
        let mut session = site.begin(json!(1_000)).await;
        session.meter(&at(45), sampled).await;
        session.stop_without_meter().await;
        let shown = site.shown(&session).await;
        assert_eq!(energy(&shown), ("estimated", &Value::Null, &json!(3_000)), "{what}: {shown}");
    }
}

#[tokio::test]
async fn phases_are_added_also_where_each_has_an_entry_of_its_own() {
    let mut site = Site::open().await;
    let mut session = site.begin(json!(1_000)).await;
    let entries: Vec<_> = ["L1", "L2", "L3"]
        .iter()
        .map(|phase| json!({"timestamp": at(30), "sampledValue": [{"value": "2000", "phase": phase}]}))
        .collect();
    let payload = json!({"connectorId": 1, "transactionId": session.number, "meterValue": entries});
    session.charger.call("MeterValues", payload).await;
    assert_eq!(site.shown(&session).await["energy_estimated_wh"], 5_000);
    // A single phase's register, or the inlet's, is another meter: it contradicts nobody.
    for sampled in
        [json!({"value": "101000", "phase": "L1"}), json!({"value": "702000", "location": "Inlet"})]
    {
        let shown = site.session(json!(300_000), &[(30, sampled)], json!(306_000)).await;
        assert_eq!(energy(&shown).0, "metered", "{shown}");
    }
}

#[tokio::test]
async fn values_without_a_number_are_of_the_session_on_their_connector() {
    let mut site = Site::open().await;
    for (fields, belongs) in [
        (json!({"connectorId": 1}), true),
        (json!({"connectorId": 1, "transactionId": null}), true),
        (json!({"connectorId": 1, "transactionId": ""}), true),
        (json!({"connectorId": 1, "transactionId": "none"}), true),
        (json!({"connectorId": 1, "transactionId": 0}), true),
        (json!({"connectorId": 1, "transactionId": -1}), true),
        (json!({"connectorId": 2}), false),
        (json!({"connectorId": 0}), false),
    ] {
        let mut session = site.begin(json!(1_000)).await;
        session.meter_as(fields.clone(), &at(30), wh(4_000)).await;
        let shown = site.shown(&session).await;
        assert_eq!(
            shown["energy_estimated_wh"],
            if belongs { json!(3_000) } else { Value::Null },
            "{fields}"
        );
    }
    let mut session = site.begin(json!(1_000)).await;
    let by_the_clock = json!({"value": "4000", "context": "Sample.Clock"});
    session.meter_as(json!({"connectorId": 1}), &at(30), by_the_clock).await;
    assert_eq!(site.shown(&session).await["energy_estimated_wh"], Value::Null);
    // Of a message that has both only the others count.
    let both = json!([{"timestamp": at(30), "sampledValue": [{"value": "7000", "context": "Sample.Clock"}]},
                      {"timestamp": at(31), "sampledValue": [wh(5_000)]}]);
    session.charger.call("MeterValues", json!({"connectorId": 1, "meterValue": both})).await;
    assert_eq!(site.shown(&session).await["energy_estimated_wh"], 4_000);
    let mut session = site.begin(json!(1_000)).await;
    // The main meter's register is nobody's, also where it names a session.
    let named = json!({"connectorId": 0, "transactionId": session.number});
    session.meter_as(named, &at(30), wh(7_000_000)).await;
    assert_eq!(site.shown(&session).await["energy_estimated_wh"], Value::Null);
}

#[tokio::test]
async fn a_clock_that_jumps_does_not_stop_the_estimate() {
    let mut site = Site::open().await;
    // Ahead for one sample; then the hour that comes twice in autumn.
    for times in [
        ["2026-04-14T12:10:00Z", "2099-01-01T00:00:00Z", "2026-04-14T12:30:00Z"],
        ["2026-04-14T12:50:00Z", "2026-04-14T12:59:00Z", "2026-04-14T12:05:00Z"],
    ] {
        let mut session = site.begin(json!(1_000)).await;
        for (time, value) in times.into_iter().zip([2_000, 3_000, 3_500]) {
            session.meter(time, wh(value)).await;
        }
        session.stop_without_meter().await;
        let shown = site.shown(&session).await;
        assert_eq!(energy(&shown), ("estimated", &Value::Null, &json!(2_500)), "{shown}");
    }
}

#[tokio::test]
async fn what_is_read_after_a_stop_without_meter_is_not_of_the_session() {
    let mut site = Site::open().await;
    let mut session = site.begin(json!(1_000)).await;
    session.meter(&at(45), wh(4_000)).await;
    session.stop_without_meter().await;
    let estimate = |shown: &Value| shown["energy_estimated_wh"].as_i64().expect("an estimate");
    // Before the start; later; at no time: of nobody. Late, but of the session; and the end's own, a little
    // later.
    for (time, sampled, expected) in [
        (json!("2026-04-14T10:30:00Z"), wh(9_000), 3_000),
        (json!("2026-04-14T13:10:00Z"), wh(9_000), 3_000),
        (Value::Null, wh(9_500), 3_000),
        (json!("2026-04-14T12:55:00Z"), wh(4_600), 3_600),
        (json!("2026-04-14T13:00:30Z"), json!({"value": "4900", "context": "Transaction.End"}), 3_900),
    ] {
        let value = json!({"timestamp": time, "sampledValue": [sampled]});
        let payload = json!({"connectorId": 1, "transactionId": session.number, "meterValue": [value]});
        session.charger.call("MeterValues", payload).await;
        assert_eq!(estimate(&site.shown(&session).await), expected, "{time}");
    }
    // The next customer's, under the old number.
    let next = begin(&mut session.charger, json!(5_000), "2026-04-14T13:20:00Z").await;
    let end = json!({"value": "9900", "context": "Transaction.End"});
    session.meter("2026-04-14T13:40:00Z", end).await;
    let shown = site.shown(&session).await;
    assert_eq!((estimate(&shown), &shown["revision"]), (3_900, &json!(3)), "{shown}");
    assert_ne!(next, session.number);
}

#[tokio::test]
async fn the_next_customers_values_do_not_count_for_one_whose_stop_is_lost() {
    let mut site = Site::open().await;
    let mut lost = site.begin(json!(1_000)).await;
    lost.meter(&at(30), wh(3_000)).await;
    begin(&mut lost.charger, json!(4_000), "2026-04-14T13:20:00Z").await;
    lost.meter("2026-04-14T13:40:00Z", wh(8_000)).await;
    lost.meter(&at(45), wh(3_900)).await;
    assert_eq!(site.shown(&lost).await["energy_estimated_wh"], 2_900);
}

#[tokio::test]
async fn a_stop_before_its_start_is_flagged_and_not_metered() {
    let mut site = Site::open().await;
    for (stopped, quality) in
        [("2026-04-14T11:00:00Z", "implausible"), ("2026-04-14T11:59:59Z", "implausible"), (BEGAN, "metered")]
    {
        let mut session = site.begin(json!(1_000)).await;
        let stop = json!({"transactionId": session.number, "meterStop": 2_000, "timestamp": stopped});
        session.charger.call("StopTransaction", stop).await;
        assert_eq!(energy(&site.shown(&session).await).0, quality, "{stopped}");
        let events = site.gateway.events(&format!("CP{}", site.stations)).await;
        let event = events.iter().find(|event| event["event"] == "StopTransaction").expect("the stop");
        let told = event["violations"].to_string().contains("implausible: before the start");
        assert_eq!(told, quality == "implausible", "{event}");
    }
}
