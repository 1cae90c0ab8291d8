//! The chargers beside the simulated one: one that charges and has a fault, one that has left after a
//! session, one that never came. Their sessions lie in the past, so that an hour's curve takes no hour.

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};

use crate::harness::{Charger, Running, eventually};

/// Meter values of so many minutes come in one message.
const MINUTES_AT_ONCE: usize = 12;

/// What the pages show of the fleet.
pub(super) struct Fleet {
    /// Keeps the station with the fault connected.
    _depot: Charger,
    /// The session that is over.
    pub(super) over: i64,
    /// The session that goes on.
    pub(super) active: i64,
}

impl Fleet {
    pub(super) async fn connect(gateway: &Running) -> Self {
        for (id, site) in
            [("DEPOT_07", "Depot North"), ("HARBOUR_11", "Harbour Street"), ("HARBOUR_12", "Harbour Street")]
        {
            let station = json!({"station_id": id, "site": site});
            assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
        }
        let now = Clock::System.now();
        let mut harbour = connect(gateway, "HARBOUR_11", "Rapid 150", "6.6.0").await;
        let fast =
            Session { tag: "CARD-4711", watts_max: 110_000.0, capacity_wh: 78_000.0, soc_percent: 14.0 };
        let over = fast.charge(&mut harbour, now.before(minutes(84)), 72).await;
        let stop = json!({"transactionId": over.id, "idTag": fast.tag, "meterStop": over.meter_wh,
            "timestamp": now.before(minutes(12)).to_string(), "reason": "Local"});
        harbour.call("StopTransaction", stop).await;
        available(&mut harbour, 1).await;
        drop(harbour);

        let mut depot = connect(gateway, "DEPOT_07", "Terra AC", "1.8.32").await;
        let slow =
            Session { tag: "CARD-0815", watts_max: 11_000.0, capacity_wh: 52_000.0, soc_percent: 41.0 };
        let active = slow.charge(&mut depot, now.before(minutes(37)), 37).await;
        let fault = json!({"connectorId": 2, "status": "Faulted", "errorCode": "GroundFailure"});
        depot.call("StatusNotification", fault).await;
        eventually("the harbour's charger is offline", async || {
            (gateway.get("/stations/HARBOUR_11").await["connected"] == false).then_some(())
        })
        .await;
        Self { _depot: depot, over: over.id, active: active.id }
    }
}

/// How a car charges.
struct Session {
    tag: &'static str,
    watts_max: f64,
    capacity_wh: f64,
    /// When it comes.
    soc_percent: f64,
}

/// A session that has begun.
struct Begun {
    id: i64,
    /// What the meter shows at last.
    meter_wh: i64,
}

impl Session {
    /// Charges at connector 1 from `begin` on, with a meter value every minute.
    #[expect(clippy::cast_possible_truncation, reason = "Wh of an hour")]
    async fn charge(&self, charger: &mut Charger, begin: Timestamp, length_minutes: u64) -> Begun {
        const METER_START_WH: f64 = 909_948.0;
        let card = json!({"idTag": self.tag});
        charger.call("Authorize", card).await;
        let start = json!({"connectorId": 1, "idTag": self.tag, "meterStart": METER_START_WH,
            "timestamp": begin.to_string()});
        let started = charger.call("StartTransaction", start).await;
        let id = started["transactionId"].as_i64().expect("a number");
        let status = json!({"connectorId": 1, "status": "Charging", "errorCode": "NoError"});
        charger.call("StatusNotification", status).await;
        let (mut meter_wh, mut soc) = (METER_START_WH, self.soc_percent);
        let mut values = Vec::new();
        for minute in 1..=length_minutes {
            // Full power up to half a battery, then less and less.
            let watts = self.watts_max * (1.0 - ((soc - 50.0) / 55.0).clamp(0.0, 1.0));
            meter_wh += watts / 60.0;
            soc += 100.0 * watts / 60.0 / self.capacity_wh;
            let sample = |measurand: &str, value: f64, unit: &str| json!({"measurand": measurand, "value": format!("{value:.0}"), "unit": unit});
            values.push(json!({"timestamp": begin.after(minutes(minute)).to_string(), "sampledValue": [
                sample("Energy.Active.Import.Register", meter_wh, "Wh"),
                sample("Power.Active.Import", watts, "W"),
                sample("SoC", soc, "Percent"),
            ]}));
        }
        for some in values.chunks(MINUTES_AT_ONCE) {
            let metered = json!({"connectorId": 1, "transactionId": id, "meterValue": some});
            charger.call("MeterValues", metered).await;
        }
        Begun { id, meter_wh: meter_wh.round() as i64 }
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// A charger that has booted and told its statuses.
async fn connect(gateway: &Running, id: &str, model: &str, firmware: &str) -> Charger {
    let mut charger = gateway.charger(id).await;
    let boot = json!({"chargePointVendor": "Kestrel", "chargePointModel": model, "firmwareVersion": firmware,
        "chargePointSerialNumber": format!("K-{id}")});
    let answer: Value = charger.call("BootNotification", boot).await;
    assert_eq!(answer["status"], "Accepted");
    for connector in [1, 2] {
        available(&mut charger, connector).await;
    }
    charger
}

async fn available(charger: &mut Charger, connector: u32) {
    let status = json!({"connectorId": connector, "status": "Available", "errorCode": "NoError"});
    charger.call("StatusNotification", status).await;
}
