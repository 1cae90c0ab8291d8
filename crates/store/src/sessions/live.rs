//! What an active session shows at this moment: power and state of charge, each by the newest meter value
//! that tells. Pure.

use crate::sessions::meters::{self, Moments};
use vocabulary::clock::Timestamp;

/// More than a charger gives is of another unit, in W.
const POWER_MAX_W: i64 = 10_000_000;

/// A value, and when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampled {
    pub(crate) value: i64,
    pub(crate) at: Timestamp,
}

/// The newest value of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LiveValues {
    /// In W.
    pub(crate) power: Option<Sampled>,
    /// In percent.
    pub(crate) soc: Option<Sampled>,
}

impl LiveValues {
    /// Takes the values of a message of a session that began at `started_at`, if that is known.
    pub(crate) fn add(&mut self, moments: &Moments<'_>, started_at: Option<Timestamp>) {
        for (&at, samples) in moments {
            let sampled = |measurand: &str, read: fn(&str) -> Option<i64>| {
                let shown = meters::best(measurand, samples.iter().copied(), read)?;
                Some(Sampled { value: shown.value, at })
            };
            keep_newer(&mut self.power, sampled("Power.Active.Import", power_w), started_at);
            keep_newer(&mut self.soc, sampled("SoC", soc_percent), started_at);
        }
    }
}

/// A late value leaves a newer one. One of before the session is not late: the clock was set back, so that no
/// times of it can be compared.
fn keep_newer(newest: &mut Option<Sampled>, found: Option<Sampled>, started_at: Option<Timestamp>) {
    let Some(found) = found else { return };
    let is_late = newest.is_some_and(|newest| found.at < newest.at);
    let was_set_back = started_at.is_some_and(|start| found.at.unix_s() < start.unix_s());
    if !is_late || was_set_back {
        *newest = Some(found);
    }
}

fn power_w(decimal: &str) -> Option<i64> {
    whole(decimal).filter(|power_w| (-POWER_MAX_W..=POWER_MAX_W).contains(power_w))
}

fn soc_percent(decimal: &str) -> Option<i64> {
    whole(decimal).filter(|percent| (0..=100).contains(percent))
}

/// The nearest whole number; what is shown needs no more digits than a float has.
fn whole(decimal: &str) -> Option<i64> {
    decimal.parse().ok().map(|number: f64| number.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::ocpp::fact::{MeterValue, SampledValue};

    const RECEIVED: Timestamp = Timestamp::from_unix_ms(9_000_000);
    const STARTED: Timestamp = Timestamp::from_unix_ms(1_000_000);

    /// The values of one message: measurand, phase, value in its base unit.
    fn message(at_ms: i64, samples: &[(&str, &str, &str)]) -> MeterValue {
        let sampled_value = samples.iter().map(|(measurand, phase, value)| SampledValue {
            value_base: Some((*value).to_owned()),
            measurand: (*measurand).to_owned(),
            phase: (!phase.is_empty()).then(|| (*phase).to_owned()),
            location: "Outlet".to_owned(),
            ..SampledValue::default()
        });
        MeterValue { timestamp: Some(Timestamp::from_unix_ms(at_ms)), sampled_value: sampled_value.collect() }
    }

    #[track_caller]
    fn check(messages: &[MeterValue], power_w: Option<i64>, soc_percent: Option<i64>) {
        let mut live = LiveValues::default();
        for message in messages {
            live.add(&meters::moments(std::slice::from_ref(message), RECEIVED), Some(STARTED));
        }
        let value = |sampled: Option<Sampled>| sampled.map(|sampled| sampled.value);
        assert_eq!((value(live.power), value(live.soc)), (power_w, soc_percent), "{messages:?}");
    }

    #[test]
    fn phases_are_added_where_there_is_no_total() {
        const POWER: &str = "Power.Active.Import";
        check(&[message(2_000_000, &[(POWER, "", "7360.4")])], Some(7_360), None);
        check(&[message(2_000_000, &[(POWER, "L1", "3600"), (POWER, "L2", "3650.6")])], Some(7_251), None);
        check(
            &[message(2_000_000, &[(POWER, "L1", "1"), (POWER, "", "7000"), ("SoC", "", "55.5")])],
            Some(7_000),
            Some(56),
        );
        check(
            &[message(2_000_000, &[(POWER, "", "1e300"), ("SoC", "", "101"), ("Voltage", "", "230")])],
            None,
            None,
        );
    }

    #[test]
    fn the_newest_value_counts_and_another_kind_does_not_hide_it() {
        let power = |at_ms, value| message(at_ms, &[("Power.Active.Import", "", value)]);
        let soc = |at_ms, value| message(at_ms, &[("SoC", "", value)]);
        check(&[power(2_000_000, "7000"), soc(3_000_000, "40")], Some(7_000), Some(40));
        check(&[power(3_000_000, "7000"), power(2_000_000, "1")], Some(7_000), None);
        check(&[power(3_000_000, "7000"), power(3_000_000, "0")], Some(0), None);
        check(&[power(3_000_000, "7000"), power(500_000, "6000")], Some(6_000), None);
    }
}
