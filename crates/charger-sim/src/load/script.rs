//! What a load charger says: one session after the other, in the order a real one would.

use crate::messages::{
    self, ChargePointErrorCode, ChargePointStatus, Measurand, Phase, ReadingContext, Reason, Request,
    UnitOfMeasure, requests,
};
use vocabulary::clock::Timestamp;

/// The power every car takes, W.
const POWER_W: f64 = 11_000.0;
/// A heartbeat comes after this many messages.
const HEARTBEAT_EVERY: u64 = 20;

/// A call, ready to be framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub action: &'static str,
    pub payload: String,
    /// Has to arrive, however late.
    pub transactional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Preparing,
    Authorize,
    Start,
    Charging,
    Sample(u64),
    Finishing,
    Stop,
    Available,
}

/// Where in its endless sessions a charger is.
#[derive(Debug)]
pub(super) struct Script {
    id_tag: String,
    step: Step,
    samples: u64,
    spoken: u64,
    register_wh: f64,
    read_at: Timestamp,
    transaction_id: i32,
}

impl Script {
    /// A charger about to get its first car. `index` varies the length of sessions, so that a thousand
    /// chargers do not all say the same thing at once.
    pub(super) fn new(index: usize, id_tag: String, now: Timestamp) -> Self {
        Self {
            id_tag,
            step: Step::Preparing,
            samples: 4 + index as u64 % 9,
            spoken: 0,
            register_wh: 100_000.0 + index as f64,
            read_at: now,
            transaction_id: requests::UNNUMBERED,
        }
    }

    /// The central system numbered the running transaction.
    pub(super) fn numbered(&mut self, transaction_id: i32) {
        self.transaction_id = transaction_id;
    }

    /// The next call.
    pub(super) fn next(&mut self, now: Timestamp) -> Call {
        self.spoken += 1;
        if self.spoken.is_multiple_of(HEARTBEAT_EVERY) {
            return Call::new(&requests::heartbeat());
        }
        let hours = now.since(self.read_at).as_secs_f64() / 3_600.0;
        self.read_at = now;
        if matches!(self.step, Step::Sample(_) | Step::Stop) {
            self.register_wh += POWER_W * hours;
        }
        let wh = self.register_wh as i64;
        let (id_tag, id) = (&self.id_tag, self.transaction_id);
        let (call, next) = match self.step {
            Step::Preparing => (status(ChargePointStatus::Preparing, now), Step::Authorize),
            Step::Authorize => (Call::new(&requests::authorize(id_tag)), Step::Start),
            Step::Start => (Call::transactional(&requests::start(1, id_tag, wh, None, now)), Step::Charging),
            Step::Charging => (status(ChargePointStatus::Charging, now), Step::Sample(0)),
            Step::Sample(count) => {
                let next = if count + 1 < self.samples { Step::Sample(count + 1) } else { Step::Finishing };
                (sample(id, wh, now), next)
            }
            Step::Finishing => (status(ChargePointStatus::Finishing, now), Step::Stop),
            Step::Stop => {
                let mut stop = requests::stop(Some(id_tag.clone()), wh, Reason::Local, Vec::new(), now);
                stop.transaction_id = id;
                (Call::transactional(&stop), Step::Available)
            }
            Step::Available => (status(ChargePointStatus::Available, now), Step::Preparing),
        };
        self.step = next;
        call
    }
}

/// The meter of connector 1.
fn sample(transaction_id: i32, wh: i64, now: Timestamp) -> Call {
    let samples = vec![
        requests::sample(Measurand::EnergyActiveImportRegister, wh.to_string(), UnitOfMeasure::Wh, None),
        requests::sample(Measurand::PowerActiveImport, POWER_W.to_string(), UnitOfMeasure::W, None),
        requests::sample(Measurand::Voltage, "230.0".to_owned(), UnitOfMeasure::V, Some(Phase::L1N)),
    ];
    let value = requests::meter_value(samples, &ReadingContext::SamplePeriodic, now);
    let mut values = requests::meter_values(1, value);
    values.transaction_id = Some(transaction_id);
    Call::transactional(&values)
}

/// The status of connector 1.
pub(super) fn status(status: ChargePointStatus, now: Timestamp) -> Call {
    Call::new(&requests::status(1, status, ChargePointErrorCode::NoError, now))
}

pub(super) fn boot(station: &str) -> Call {
    let version = env!("CARGO_PKG_VERSION");
    Call::new(&requests::boot(station, "chargehook", "charger-sim load", version))
}

impl Call {
    fn new<R: Request>(request: &R) -> Self {
        let payload = messages::payload_text(request);
        Self { action: R::ACTION.as_str(), payload, transactional: false }
    }

    fn transactional(request: &impl Request) -> Self {
        Self { transactional: true, ..Self::new(request) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use vocabulary::ocpp::schema::Part;
    use vocabulary::ocpp::v16::schemas::SCHEMAS;

    use super::*;

    #[test]
    fn sessions_follow_one_another_and_their_energy_is_power_times_time() {
        let mut now = Timestamp::from_unix_ms(1_800_000_000_000);
        let mut script = Script::new(0, "TAG".to_owned(), now);
        let (mut actions, mut registers) = (Vec::new(), Vec::new());
        for _ in 0..11 {
            let call = script.next(now);
            let payload: Value = serde_json::from_str(&call.payload).expect("JSON");
            assert_eq!(SCHEMAS.violations(Part::Request, call.action, &payload), [], "{payload}");
            for register in [&payload["meterStart"], &payload["meterStop"]] {
                registers.extend(register.as_i64());
            }
            if call.action == "StartTransaction" {
                script.numbered(77);
            }
            if call.action == "StopTransaction" {
                assert_eq!(payload["transactionId"], 77);
            }
            actions.push(call.action);
            now = now.after(Duration::from_secs(60));
        }
        assert_eq!(
            actions[..5],
            ["StatusNotification", "Authorize", "StartTransaction", "StatusNotification", "MeterValues"]
        );
        assert_eq!(actions[8..], ["StatusNotification", "StopTransaction", "StatusNotification"]);
        // Five of the seven minutes lie in samples and the stop.
        assert!((900..=930).contains(&(registers[1] - registers[0])), "{registers:?}");
    }
}
