//! The readings of a session's energy import register among the values of its messages: which of several is
//! the session's own, and in which order they were taken.

use crate::sessions::meters::{self, Moments, Shown};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::fact::SampledValue;

/// What the register is called in OCPP.
const REGISTER: &str = "Energy.Active.Import.Register";

/// The register at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What it shows, in whole Wh.
    pub(crate) wh: i64,
    /// When, by the charger's clock, but not ahead of its arrival.
    pub(crate) at: Timestamp,
    /// Which register it is of: a smaller number is a better one.
    pub(crate) source: i64,
    /// It was taken as the session ended, whatever its time says.
    pub(crate) is_end: bool,
}

/// The register as it stands at each of `moments`, at most three readings for each: the one of the session's
/// begin (which is of `started_at`, if that is known), an ordinary one, and the one of its end.
pub(crate) fn readings(moments: &Moments<'_>, started_at: Option<Timestamp>) -> Vec<Reading> {
    let mut readings = Vec::new();
    for (&sampled_at, samples) in moments {
        for moment in [Moment::Begin, Moment::Between, Moment::End] {
            let samples = samples.iter().copied().filter(|sample| Moment::of(sample) == moment);
            let Some(Shown { value: wh, source }) = meters::best(REGISTER, samples, whole_wh) else {
                continue;
            };
            let at = match moment {
                Moment::Begin => started_at.unwrap_or(sampled_at),
                _ => sampled_at,
            };
            readings.push(Reading { wh, at, source, is_end: moment == Moment::End });
        }
    }
    // A message may list them in any order; of one moment the smaller reading is the older one.
    readings.sort_by_key(|reading| (reading.at, reading.wh));
    readings
}

/// What a sample's context says of its place in the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Begin,
    Between,
    End,
}

impl Moment {
    fn of(sample: &SampledValue) -> Self {
        match sample.context.as_str() {
            "Transaction.Begin" => Self::Begin,
            "Transaction.End" => Self::End,
            _ => Self::Between,
        }
    }
}

/// The whole watt-hours of a decimal text; a register below zero is none.
fn whole_wh(decimal: &str) -> Option<i64> {
    decimal.split('.').next()?.parse().ok().filter(|wh| *wh >= 0 && !decimal.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use vocabulary::ocpp::fact::MeterValue;

    const STARTED: Timestamp = Timestamp::from_unix_ms(1_000_000);
    const RECEIVED: Timestamp = Timestamp::from_unix_ms(9_000_000);

    fn read(value: MeterValue, started_at: Option<Timestamp>) -> Vec<Reading> {
        readings(&meters::moments(&[value], RECEIVED), started_at)
    }

    fn sample(wh: &str, context: &str, phase: &str, location: &str) -> SampledValue {
        SampledValue {
            value_base: Some(wh.to_owned()),
            measurand: REGISTER.to_owned(),
            context: context.to_owned(),
            phase: (!phase.is_empty()).then(|| phase.to_owned()),
            location: location.to_owned(),
            ..SampledValue::default()
        }
    }

    fn periodic(registers: &[(&str, &str, &str)]) -> Vec<i64> {
        let sampled_value = registers
            .iter()
            .map(|(wh, phase, location)| sample(wh, "Sample.Periodic", phase, location))
            .collect();
        let value = MeterValue { timestamp: Some(STARTED), sampled_value };
        read(value, Some(STARTED)).iter().map(|reading| reading.wh).collect()
    }

    #[test]
    fn the_best_register_of_a_moment_is_read() {
        for (registers, expected) in [
            (&[("100", "", "Outlet")][..], Some(100)),
            (&[("1", "L1", "Outlet"), ("100", "", "Outlet")], Some(100)),
            (&[("100", "L1", "Outlet")], Some(100)),
            (&[("100", "L1", "Outlet"), ("20", "L2", "Outlet"), ("3", "L3", "Outlet")], Some(123)),
            (&[("100", "L1-N", "Outlet"), ("20", "L2-N", "Outlet")], Some(120)),
            (&[("7", "N", "Outlet")], Some(7)),
            (&[("7", "N", "Outlet"), ("100", "L1", "Outlet")], Some(100)),
            (&[("105", "", "Inlet")], Some(105)),
            (&[("105", "", "Inlet"), ("100", "L1", "Outlet")], Some(100)),
            (&[("90", "", "EV"), ("105", "", "Body")], Some(105)),
            (&[("12.9", "", "Outlet")], Some(12)),
            (&[("-0.5", "", "Outlet")], None),
            (&[("-3", "", "Outlet")], None),
            (&[], None),
        ] {
            assert_eq!(periodic(registers), Vec::from_iter(expected), "{registers:?}");
        }
    }

    #[test]
    fn the_begin_is_of_the_start_and_the_end_comes_last() {
        let stopped = Timestamp::from_unix_ms(5_000_000);
        let sampled_value = vec![
            sample("400", "Transaction.End", "", "Outlet"),
            sample("100", "Transaction.Begin", "", "Outlet"),
            sample("390", "Sample.Periodic", "", "Outlet"),
        ];
        let found = read(MeterValue { timestamp: Some(stopped), sampled_value }, Some(STARTED));
        let found: Vec<_> = found.iter().map(|reading| (reading.wh, reading.at, reading.is_end)).collect();
        assert_eq!(found, [(100, STARTED, false), (390, stopped, false), (400, stopped, true)]);
    }

    #[test]
    fn a_clock_that_is_ahead_does_not_put_a_reading_into_the_future() {
        for (ahead_ms, expected) in [(3_600_000, RECEIVED), (60_000, RECEIVED.after(Duration::from_secs(60)))]
        {
            let value = MeterValue {
                timestamp: Some(Timestamp::from_unix_ms(RECEIVED.unix_ms() + ahead_ms)),
                sampled_value: vec![sample("1", "Sample.Periodic", "", "Outlet")],
            };
            assert_eq!(read(value, None)[0].at, expected);
        }
    }
}
