//! What meters show at one moment. Of several locations the one that is billed by counts first, and there the
//! total, else the sum of the phases. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use vocabulary::clock::Timestamp;
use vocabulary::ocpp::fact::{MeterValue, SampledValue};

/// A time further ahead of its arrival than this is that of a clock that runs ahead: the arrival counts.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// Where OCPP has meters, the one that is billed by first (1.6, section 7.45).
const LOCATIONS: [&str; 5] = ["Outlet", "Cable", "Body", "Inlet", "EV"];

/// What was sampled at each moment of a message.
pub(crate) type Moments<'a> = BTreeMap<Timestamp, Vec<&'a SampledValue>>;

/// The samples of `values` by their moments, which are the charger's, but not ahead of the arrival. Some
/// chargers send each phase in an entry of its own.
pub(crate) fn moments(values: &[MeterValue], received_at: Timestamp) -> Moments<'_> {
    let mut moments = Moments::new();
    for value in values {
        let sampled_at = value.timestamp.unwrap_or(received_at);
        let sampled_at = if sampled_at > received_at.after(AHEAD_MAX) { received_at } else { sampled_at };
        moments.entry(sampled_at).or_default().extend(&value.sampled_value);
    }
    moments
}

/// What the best meter of a quantity shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// In the base unit of the quantity.
    pub(crate) value: i64,
    /// Which meter it is: of several a smaller number is the better one.
    pub(crate) source: i64,
}

/// The meters at one location.
#[derive(Debug, Clone, Copy, Default)]
struct Meters {
    total: Option<i64>,
    phases: [Option<i64>; 3],
    /// Of the neutral conductor, or between two phases.
    other: Option<i64>,
}

impl Meters {
    /// The total, else the sum of the phases that there are, else what is left; with its rank among those.
    fn best(&self) -> Option<(i64, i64)> {
        if let Some(total) = self.total {
            return Some((0, total));
        }
        let known: Vec<i64> = self.phases.iter().copied().flatten().collect();
        match known.len() {
            0 => self.other.map(|other| (4, other)),
            phases => Some((4 - phases as i64, known.iter().fold(0, |sum, one| sum.saturating_add(*one)))),
        }
    }
}

/// What the best meter of `measurand` shows among `samples` of one moment; `read` makes a number of a decimal
/// text.
pub(crate) fn best<'a>(
    measurand: &str,
    samples: impl IntoIterator<Item = &'a SampledValue>,
    read: impl Fn(&str) -> Option<i64>,
) -> Option<Shown> {
    let mut at = [Meters::default(); LOCATIONS.len()];
    for sample in samples.into_iter().filter(|sample| sample.measurand == measurand) {
        let Some(value) = sample.value_base.as_deref().and_then(&read) else { continue };
        let location = LOCATIONS.iter().position(|location| *location == sample.location);
        let meters = &mut at[location.unwrap_or(LOCATIONS.len() - 1)];
        let meter = match sample.phase.as_deref() {
            None => &mut meters.total,
            Some("L1" | "L1-N") => &mut meters.phases[0],
            Some("L2" | "L2-N") => &mut meters.phases[1],
            Some("L3" | "L3-N") => &mut meters.phases[2],
            Some(_) => &mut meters.other,
        };
        meter.get_or_insert(value);
    }
    at.iter().enumerate().find_map(|(location, meters)| {
        let (rank, value) = meters.best()?;
        Some(Shown { value, source: location as i64 * 5 + rank })
    })
}
