//! The curves of a session, read out of its meter values: power, energy since its start, state of charge.
//!
//! A total counts before phases, and phases are added where there is no total. Where a charger sends no
//! power,
//! it is told from the energy between two readings.

use std::collections::BTreeMap;

use vocabulary::api::transaction::{EnergyQuality, MeterValue, Transaction};
use vocabulary::clock::Timestamp;

/// What is read of a session: the measurands that curves are made of.
pub(in crate::ui) const MEASURANDS: [&str; 3] = [ENERGY, POWER, SOC];

const ENERGY: &str = "Energy.Active.Import.Register";
const POWER: &str = "Power.Active.Import";
const SOC: &str = "SoC";

/// The place of the meter that is billed; another one is read only where this one tells nothing.
const OUTLET: &str = "Outlet";

/// A drawing is so wide that more points do not show.
const POINTS_MAX: usize = 600;

/// How far the register may be from the meter's reading at the start to be the same meter, in Wh.
const SAME_METER_WH: f64 = 5_000.0;

const MS_PER_HOUR: f64 = 3_600_000.0;

/// Points of a curve, in order of time.
pub(in crate::ui) type Points = Vec<(Timestamp, f64)>;

/// The curves of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::ui) struct Readings {
    /// In W.
    pub(in crate::ui) power: Points,
    /// The charger has sent no power: it is told from the energy.
    pub(in crate::ui) power_is_derived: bool,
    /// Since the start, in Wh.
    pub(in crate::ui) energy: Points,
    /// In percent.
    pub(in crate::ui) soc: Points,
}

impl Readings {
    /// Reads the values of a session.
    pub(in crate::ui) fn of(session: &Transaction, values: &[MeterValue]) -> Self {
        let energy = energy(session, totals(values, ENERGY));
        let sent = totals(values, POWER);
        let power_is_derived = sent.is_empty();
        let power = if power_is_derived { power_between(&energy) } else { sent };
        let soc = totals(values, SOC);
        Self { power: thinned(power), power_is_derived, energy: thinned(energy), soc: thinned(soc) }
    }

    /// The first and the last moment of the curves.
    pub(in crate::ui) fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        let ends = [&self.power, &self.energy, &self.soc].into_iter().filter_map(|points| {
            let (first, last) = (points.first()?, points.last()?);
            Some((first.0, last.0))
        });
        ends.reduce(|whole, one| (whole.0.min(one.0), whole.1.max(one.1)))
    }
}

/// One value for each moment: the total, or else the sum of the phases.
fn totals(values: &[MeterValue], measurand: &str) -> Points {
    let fits = |value: &&MeterValue| value.measurand == measurand && value.format == "Raw";
    let has_outlet = values.iter().filter(fits).any(|value| value.location == OUTLET);
    let mut moments: BTreeMap<Timestamp, BTreeMap<Option<&str>, f64>> = BTreeMap::new();
    for value in values.iter().filter(fits) {
        let Some(number) = value.value_base.as_deref().and_then(|text| text.parse::<f64>().ok()) else {
            continue;
        };
        if number.is_finite() && (!has_outlet || value.location == OUTLET) {
            let at = value.occurred_at.unwrap_or(value.received_at);
            moments.entry(at).or_default().insert(value.phase.as_deref(), number);
        }
    }
    let of = |phases: &BTreeMap<Option<&str>, f64>| match phases.get(&None) {
        Some(total) => Some(*total),
        None => {
            // Between two phases there is a voltage, and no part of the energy.
            let single = phases.iter().filter(|(phase, _)| phase.is_some_and(is_single_phase));
            single.map(|(_, number)| *number).reduce(|sum, number| sum + number)
        }
    };
    moments.iter().filter_map(|(at, phases)| Some((*at, of(phases)?))).collect()
}

fn is_single_phase(phase: &str) -> bool {
    matches!(phase, "L1" | "L2" | "L3" | "L1-N" | "L2-N" | "L3-N")
}

/// The register as energy since the start; the meter's readings at start and stop are its ends where they are
/// of the same meter.
fn energy(session: &Transaction, register: Points) -> Points {
    let start = session.meter_start.map(|wh| wh as f64);
    let first = register.first().map(|(_, wh)| *wh);
    let base = match (start, first) {
        (Some(start), Some(first)) if !(0.0..=SAME_METER_WH).contains(&(first - start)) => first,
        (Some(start), _) => start,
        (None, Some(first)) => first,
        (None, None) => return Vec::new(),
    };
    let mut points: Points = register.into_iter().map(|(at, wh)| (at, wh - base)).collect();
    if start != Some(base) {
        return points;
    }
    if let Some(began) =
        session.started_at.filter(|began| points.first().is_none_or(|first| *began < first.0))
    {
        points.insert(0, (began, 0.0));
    }
    let ends = session.stopped_at.zip(session.meter_stop);
    if let (Some((ended, wh)), EnergyQuality::Metered) = (ends, session.energy_quality)
        && points.last().is_none_or(|last| ended > last.0)
    {
        points.push((ended, wh as f64 - base));
    }
    // A start alone is no curve.
    if points.len() < 2 { Vec::new() } else { points }
}

/// The mean power between readings of the energy, told at the end of each stretch. Readings of the same
/// second
/// tell nothing of it.
fn power_between(energy: &[(Timestamp, f64)]) -> Points {
    let stretches = energy.windows(2).filter_map(|pair| {
        let ms = pair[1].0.since(pair[0].0).as_millis() as f64;
        let wh = pair[1].1 - pair[0].1;
        (ms >= 1_000.0 && wh >= 0.0).then(|| (pair[1].0, wh * MS_PER_HOUR / ms))
    });
    stretches.collect()
}

/// Every so many points, and the last one.
fn thinned(points: Points) -> Points {
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.into_iter().enumerate().filter(|(index, _)| index % step == 0 || *index == last);
    kept.map(|(_, point)| point).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ui::charging::sample::session;
    use serde_json::json;

    fn start() -> Timestamp {
        "2026-04-14T10:00:00Z".parse().expect("a time")
    }

    fn at(minutes: u64) -> Timestamp {
        start().after(Duration::from_secs(60 * minutes))
    }

    fn value(minutes: u64, measurand: &str, phase: Option<&str>, base: &str) -> MeterValue {
        let value = json!({"occurred_at": at(minutes), "received_at": at(minutes), "measurand": measurand,
            "context": "Sample.Periodic", "phase": phase, "location": "Outlet", "format": "Raw", "unit": null,
            "value": base, "value_base": base, "derived": false});
        serde_json::from_value(value).expect("a meter value")
    }

    #[test]
    fn a_total_counts_before_phases_and_phases_are_added() {
        let mut inlet = value(1, POWER, None, "99999");
        inlet.location = "Inlet".into();
        let values = [
            value(1, POWER, Some("L1"), "3600"),
            value(1, POWER, Some("L2"), "3650"),
            value(1, POWER, Some("L1-L2"), "400"),
            inlet,
            value(2, POWER, Some("L1"), "3600"),
            value(2, POWER, None, "11040.5"),
            value(3, POWER, None, "no number"),
        ];
        assert_eq!(totals(&values, POWER), [(at(1), 7_250.0), (at(2), 11_040.5)]);
    }

    #[test]
    fn power_is_told_from_the_energy_where_none_was_sent() {
        let active = session(&json!({"meter_start": 1_000, "started_at": start()}));
        let values = [value(30, ENERGY, None, "4500"), value(60, ENERGY, None, "8000")];
        let read = Readings::of(&active, &values);
        assert!(read.power_is_derived);
        assert_eq!(read.energy, [(start(), 0.0), (at(30), 3_500.0), (at(60), 7_000.0)]);
        assert_eq!(read.power, [(at(30), 7_000.0), (at(60), 7_000.0)]);
        assert_eq!(read.bounds(), Some((start(), at(60))));
    }

    #[test]
    fn a_meter_that_does_not_fit_its_register_is_not_drawn() {
        let odd = session(&json!({"meter_start": 0, "meter_stop": 10, "started_at": start(),
            "stopped_at": at(60), "energy_quality": "implausible"}));
        let read =
            Readings::of(&odd, &[value(10, ENERGY, None, "909948"), value(20, ENERGY, None, "911948")]);
        assert_eq!(read.energy, [(at(10), 0.0), (at(20), 2_000.0)]);
        let alone = Readings::of(&session(&json!({"meter_start": 5})), &[]);
        assert_eq!(alone.bounds(), None, "a start alone is no curve");
    }

    #[test]
    fn a_long_session_is_drawn_with_as_many_points_as_show() {
        let points: Points = (0..5_000).map(|minute| (at(minute), minute as f64)).collect();
        let kept = thinned(points);
        assert!(kept.len() <= POINTS_MAX + 1);
        assert_eq!((kept[0].1, kept[kept.len() - 1].1), (0.0, 4_999.0));
    }
}
