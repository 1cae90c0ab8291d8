//! The energy of a transaction: what the meter says, what the register says, and how far the first can be
//! relied on. Nothing is ever corrected; what contradicts itself is said to.

use crate::api::transaction::EnergyQuality;

/// More than any vehicle takes in one session, in Wh: one of the readings is in another unit, or of another
/// meter (quirk Q40).
const SESSION_MAX_WH: i64 = 1_000_000;

/// How far the register may be outside of the meter's readings, in Wh: some are rounded to whole kWh, and
/// some are read a little later.
const REGISTER_SLACK_WH: i64 = 1_000;

/// What is known of a transaction's energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Energy {
    /// The difference of the meter's readings, unless one is missing or it is negative.
    pub(super) wh: Option<i64>,
    /// From the start to the last reading of the energy register, unless that is negative.
    pub(super) estimated_wh: Option<i64>,
    /// How far `wh` can be relied on.
    pub(super) quality: EnergyQuality,
}

/// Weighs the meter at the start and at the stop and the last reading of the energy register, all in Wh.
pub(super) fn weigh(meter_start: Option<i64>, meter_stop: Option<i64>, last_register: Option<i64>) -> Energy {
    let used = |to: Option<i64>| Some(to?.saturating_sub(meter_start?));
    let (metered, estimated) = (used(meter_stop), used(last_register));
    let quality = match (metered, estimated) {
        (Some(wh), _) if !(0..=SESSION_MAX_WH).contains(&wh) => EnergyQuality::Implausible,
        (Some(wh), Some(register_wh)) if register_wh < -slack(wh) || register_wh > wh + slack(wh) => {
            EnergyQuality::Implausible
        }
        (Some(_), _) if meter_start.min(meter_stop) < Some(0) => EnergyQuality::Implausible,
        (Some(_), _) => EnergyQuality::Metered,
        (None, Some(register_wh)) if !(0..=SESSION_MAX_WH).contains(&register_wh) => {
            EnergyQuality::Implausible
        }
        (None, Some(_)) => EnergyQuality::Estimated,
        (None, None) => EnergyQuality::Missing,
    };
    let positive = |wh: &i64| *wh >= 0;
    Energy { wh: metered.filter(positive), estimated_wh: estimated.filter(positive), quality }
}

/// For a session of `wh`: a register of another accuracy differs by a part of it.
fn slack(wh: i64) -> i64 {
    REGISTER_SLACK_WH.max(wh / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_the_meters_own_and_never_mixed_with_the_register() {
        use EnergyQuality::{Estimated, Implausible, Metered, Missing};
        for (start, stop, register, expected) in [
            (Some(100), Some(400), Some(390), (Some(300), Some(290), Metered)),
            (Some(100), Some(400), None, (Some(300), None, Metered)),
            (Some(100), Some(100), None, (Some(0), None, Metered)),
            (Some(100), None, Some(390), (None, Some(290), Estimated)),
            (None, Some(40), Some(40), (None, None, Missing)),
            (Some(100), None, None, (None, None, Missing)),
            (None, None, Some(40), (None, None, Missing)),
            // The meter was reset to zero.
            (Some(100), Some(40), None, (None, None, Implausible)),
            (Some(5_000), Some(5_400), Some(100), (Some(400), None, Implausible)),
            (Some(500_000), None, Some(100), (None, None, Implausible)),
            // The start in kWh, the stop in Wh; then both in kWh, and the register tells.
            (Some(1_234), Some(1_240_000), None, (Some(1_238_766), None, Implausible)),
            (Some(1_234), Some(1_240), Some(1_240_000), (Some(6), Some(1_238_766), Implausible)),
            // The meter counts each session from zero, the register does not.
            (Some(0), Some(3_000), Some(1_503_000), (Some(3_000), Some(1_503_000), Implausible)),
            (Some(-5), Some(100), None, (Some(105), None, Implausible)),
            // A register in whole kWh, and one read a moment after the stop.
            (Some(12_900), Some(15_100), Some(16_000), (Some(2_200), Some(3_100), Metered)),
            (Some(12_900), Some(13_100), Some(12_000), (Some(200), None, Metered)),
        ] {
            let Energy { wh, estimated_wh, quality } = weigh(start, stop, register);
            assert_eq!((wh, estimated_wh, quality), expected, "{start:?} {stop:?} {register:?}");
        }
    }

    #[test]
    fn the_largest_numbers_are_weighed_too() {
        for (start, stop, register) in
            [(i64::MIN, i64::MAX, i64::MAX), (i64::MAX, i64::MIN, 0), (0, i64::MAX, i64::MIN)]
        {
            let quality = weigh(Some(start), Some(stop), Some(register)).quality;
            assert_eq!(quality, EnergyQuality::Implausible);
        }
    }
}
