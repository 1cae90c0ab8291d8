//! A connector's meter and the car behind it: numbers that belong together.

use std::time::Duration;

use super::chance::Chance;
use super::messages::{Measurand, MeterValue, Phase, ReadingContext, SampledValue, UnitOfMeasure, requests};
use vocabulary::clock::Timestamp;

const PHASES: f64 = 3.0;
/// Above this state of charge a battery takes less and less.
const TAPER_FROM: f64 = 0.8;

/// A meter: its register only rises, by exactly the power it shows times the time that passes.
#[derive(Debug, Clone)]
pub struct Meter {
    register_wh: f64,
    max_power_w: f64,
    battery_wh: f64,
    stored_wh: f64,
    voltage_v: f64,
    power_w: f64,
    read_at: Option<Timestamp>,
    chance: Chance,
}

impl Meter {
    /// A meter that has seen some years of use; no car is there.
    pub fn new(max_power_w: f64, battery_wh: f64, mut chance: Chance) -> Self {
        let register_wh = chance.between(50_000.0, 5_000_000.0).floor();
        Self {
            register_wh,
            max_power_w,
            battery_wh,
            stored_wh: 0.0,
            voltage_v: 230.0,
            power_w: 0.0,
            read_at: None,
            chance,
        }
    }

    /// The register in whole Wh, as `meterStart` and `meterStop` want it.
    pub fn register_wh(&self) -> i64 {
        self.register_wh.floor() as i64
    }

    /// A car with a battery somewhere between a tenth and half full begins to charge.
    pub fn begin(&mut self, at: Timestamp) {
        // A register is read in whole Wh: starting on one keeps energy and power × time in step.
        self.register_wh = self.register_wh.floor();
        self.stored_wh = self.battery_wh * self.chance.between(0.1, 0.5);
        self.read_at = Some(at);
        self.draw(f64::INFINITY);
    }

    /// Lets the time up to `at` pass.
    pub fn pass_until(&mut self, at: Timestamp) {
        let Some(from) = self.read_at else { return };
        let energy_wh = self.power_w * hours(at.since(from));
        self.register_wh += energy_wh;
        self.stored_wh = (self.stored_wh + energy_wh).min(self.battery_wh);
        self.read_at = Some(from.max(at));
    }

    /// Chooses the power of the next interval; no more than `limit_w`.
    pub fn draw(&mut self, limit_w: f64) {
        self.voltage_v = self.chance.between(228.0, 232.0);
        let soc = self.stored_wh / self.battery_wh;
        let taper = if soc > TAPER_FROM { (1.0 - soc) / (1.0 - TAPER_FROM) } else { 1.0 };
        self.power_w = (self.max_power_w * taper * self.chance.between(0.97, 1.0)).min(limit_w);
    }

    /// The power that flows, W.
    pub fn power_w(&self) -> f64 {
        self.power_w
    }

    /// The car gets no more energy, though it is still there.
    pub fn suspend(&mut self) {
        self.power_w = 0.0;
    }

    /// The car is gone.
    pub fn end(&mut self) {
        self.power_w = 0.0;
        self.read_at = None;
    }

    /// What it shows of `measurands` (a comma list, as in the configuration); `None` if it knows none of
    /// them.
    pub(super) fn meter_value(
        &self,
        measurands: &str,
        context: &ReadingContext,
        at: Timestamp,
    ) -> Option<MeterValue> {
        let samples: Vec<_> = measurands.split(',').filter_map(|name| self.read(name.trim())).collect();
        (!samples.is_empty()).then(|| requests::meter_value(samples, context, at))
    }

    /// Whether this meter can measure it.
    pub fn knows(measurand: &str) -> bool {
        matches!(
            measurand,
            "Energy.Active.Import.Register" | "Power.Active.Import" | "Current.Import" | "Voltage" | "SoC"
        )
    }

    fn read(&self, measurand: &str) -> Option<SampledValue> {
        let (measurand, value, unit, phase) = match measurand {
            "Energy.Active.Import.Register" => (
                Measurand::EnergyActiveImportRegister,
                self.register_wh().to_string(),
                UnitOfMeasure::Wh,
                None,
            ),
            "Power.Active.Import" => {
                (Measurand::PowerActiveImport, format!("{:.0}", self.power_w), UnitOfMeasure::W, None)
            }
            "Current.Import" => {
                let current = self.power_w / PHASES / self.voltage_v;
                (Measurand::CurrentImport, format!("{current:.2}"), UnitOfMeasure::A, Some(Phase::L1))
            }
            "Voltage" => {
                (Measurand::Voltage, format!("{:.1}", self.voltage_v), UnitOfMeasure::V, Some(Phase::L1N))
            }
            "SoC" => {
                let soc = 100.0 * self.stored_wh / self.battery_wh;
                (Measurand::SoC, format!("{soc:.0}"), UnitOfMeasure::Percent, None)
            }
            _ => return None,
        };
        Some(requests::sample(measurand, value, unit, phase))
    }
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3_600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(meter: &Meter, measurand: &str) -> f64 {
        meter.read(measurand).expect("known").value.parse().expect("a number")
    }

    #[test]
    fn energy_is_power_times_time_and_current_times_voltage_is_power() {
        let mut meter = Meter::new(11_040.0, 60_000.0, Chance::seeded(7));
        let mut at = Timestamp::from_unix_ms(1_000_000);
        meter.begin(at);
        let start = meter.register_wh();
        let (mut expected, mut last) = (0.0, start);
        for _ in 0..400 {
            at = at.after(Duration::from_secs(60));
            meter.pass_until(at);
            let power = value(&meter, "Power.Active.Import");
            expected += power / 60.0;
            let by_current = 3.0 * value(&meter, "Current.Import") * value(&meter, "Voltage");
            assert!((by_current - power).abs() < 10.0, "{by_current} W by current, {power} W by power");
            assert!(meter.register_wh() >= last);
            last = meter.register_wh();
            meter.draw(f64::INFINITY);
        }
        assert!(((last - start) as f64 - expected).abs() < 5.0, "{last} - {start} is not {expected}");
        assert!((90.0..=100.0).contains(&value(&meter, "SoC")), "a car is full after six hours");
        assert!(value(&meter, "Power.Active.Import") < 6_000.0, "and takes little by then");
    }

    #[test]
    fn a_meter_leaves_out_what_it_cannot_measure() {
        let meter = Meter::new(1.0, 1.0, Chance::seeded(1));
        assert!(meter.meter_value("RPM", &ReadingContext::Trigger, Timestamp::from_unix_ms(0)).is_none());
    }
}
