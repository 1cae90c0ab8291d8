use EnergyQuality::{Estimated, Implausible, Metered, Missing};

use super::*;

/// A session by its minutes: readings of the register are (minute, Wh), the stop comes at `minutes`.
struct Session {
    start: Option<i64>,
    stop: Option<i64>,
    minutes: i64,
    registers: Vec<(i64, i64)>,
}

fn session(start: i64, stop: i64, minutes: i64, registers: &[(i64, i64)]) -> Session {
    Session { start: Some(start), stop: Some(stop), minutes, registers: registers.to_vec() }
}

impl Session {
    fn evidence(&self) -> Evidence {
        let at = |minute: i64| Timestamp::from_unix_ms(1_776_168_000_000 + minute * 60_000);
        let mut track = Track::default();
        for (minute, wh) in &self.registers {
            track.add(&Reading { wh: *wh, at: at(*minute), source: 0, is_end: false });
        }
        Evidence {
            meter_start: self.start,
            meter_stop: self.stop,
            started_at: Some(at(0)),
            stopped_at: self.stop.map(|_| at(self.minutes)),
            track,
            ..Evidence::default()
        }
    }

    #[track_caller]
    fn is(&self, quality: EnergyQuality) {
        let evidence = self.evidence();
        assert_eq!(weigh(&evidence).quality, quality, "{evidence:#?}");
    }
}

/// Samples every `step` minutes of a session that is charged with `power_w` from `start` on.
fn sampled(start: i64, power_w: i64, step: i64, minutes: i64) -> Vec<(i64, i64)> {
    (1..=minutes / step).map(|sample| (sample * step, start + power_w * sample * step / 60)).collect()
}

#[test]
fn energy_is_the_meters_own_and_never_mixed_with_the_register() {
    for (start, stop, registers, expected) in [
        (Some(100), Some(400), &[(50, 390)][..], (Some(300), Some(290), Metered)),
        (Some(100), Some(400), &[], (Some(300), None, Metered)),
        (Some(100), Some(100), &[], (Some(0), None, Metered)),
        (Some(100), None, &[(50, 390)], (None, Some(290), Estimated)),
        (None, Some(40), &[(50, 40)], (None, None, Missing)),
        (Some(100), None, &[], (None, None, Missing)),
        (None, None, &[(50, 40)], (None, None, Missing)),
        // The meter was reset to zero.
        (Some(100), Some(40), &[], (None, None, Implausible)),
        // The start in kWh, the stop in Wh; then both in kWh, and the register tells.
        (Some(1_234), Some(1_240_000), &[], (Some(1_238_766), None, Implausible)),
        (Some(1_234), Some(1_240), &[(50, 1_240_000)], (Some(6), Some(1_238_766), Implausible)),
        // The meter counts each session from zero, one reading of the register does not tell the session's
        // energy.
        (Some(0), Some(3_000), &[(50, 1_503_000)], (Some(3_000), Some(1_503_000), Implausible)),
        (Some(-5), Some(100), &[], (Some(105), None, Implausible)),
        // A register in whole kWh, and one read a moment after the stop.
        (Some(12_900), Some(15_100), &[(60, 16_000)], (Some(2_200), Some(3_100), Metered)),
        (Some(12_900), Some(13_100), &[(60, 12_000)], (Some(200), None, Metered)),
    ] {
        let session = Session { start, stop, minutes: 60, registers: registers.to_vec() };
        let Energy { wh, estimated_wh, quality } = weigh(&session.evidence());
        assert_eq!((wh, estimated_wh, quality), expected, "{start:?} {stop:?} {registers:?}");
    }
}

#[test]
fn ordinary_sessions_are_metered() {
    // 22 kW from a meter that has counted for years, sampled every 15 minutes.
    session(5_000_000, 5_045_000, 123, &sampled(5_000_000, 22_000, 15, 123)).is(Metered);
    // The same from a new one, without any sample, and with one at the very end.
    session(0, 45_000, 123, &sampled(0, 22_000, 15, 123)).is(Metered);
    session(5_000_000, 5_045_000, 123, &[]).is(Metered);
    session(5_000_000, 5_045_000, 123, &[(122, 5_044_700)]).is(Metered);
    // DC, by the minute and by the quarter of an hour.
    for power_w in [50_000, 150_000, 350_000] {
        for step in [1, 5, 15] {
            let registers = sampled(7_000_000, power_w, step, 30);
            session(7_000_000, 7_000_000 + power_w / 2, 30, &registers).is(Metered);
        }
    }
    // Fast first, slow later, then hours of nothing.
    session(100_000, 160_000, 400, &[(15, 140_000), (30, 152_000), (45, 160_000), (390, 160_000)])
        .is(Metered);
    // Hours offline: in front, in between, behind.
    session(100_000, 166_000, 600, &[(560, 165_000), (575, 166_000)]).is(Metered);
    session(100_000, 166_000, 600, &[(15, 102_700), (30, 105_500), (590, 166_000)]).is(Metered);
    session(100_000, 166_000, 600, &[(15, 102_700), (30, 105_500)]).is(Metered);
    // The car was full early, and the register is read a little below the stop.
    session(100_000, 105_500, 600, &[(15, 105_400), (30, 105_400), (590, 105_400)]).is(Metered);
    session(100_000, 166_000, 600, &[(15, 102_700)]).is(Metered);
    // The car waits first, and is charged fast then; or only the end of it is seen.
    for stop in [510_000, 511_600, 535_000] {
        session(500_000, stop, 44, &[(15, 500_000), (30, 500_000)]).is(Metered);
    }
    session(500_000, 530_000, 20, &[1, 2, 3, 4, 5, 6].map(|minute| (minute, 500_000))).is(Metered);
    session(500_000, 560_000, 35, &[(5, 500_010), (10, 500_020)]).is(Metered);
    session(500_000, 570_600, 53, &[(40, 570_000), (46, 570_300), (52, 570_500)]).is(Metered);
    session(500_000, 582_100, 32, &[(20, 580_000), (30, 582_000)]).is(Metered);
    // A bus, overnight.
    session(5_000_000, 5_400_000, 600, &sampled(5_000_000, 40_000, 15, 600)).is(Metered);
    // A sample that comes late, and a bad one at the end.
    session(100_000, 111_000, 60, &[(15, 102_750), (45, 108_250), (30, 105_500)]).is(Metered);
    session(100_000, 111_000, 60, &[(15, 102_750), (45, 108_250), (60, 0)]).is(Metered);
    session(100_000, 111_000, 60, &[(15, 102_750), (45, 108_250), (60, 99_999_999)]).is(Metered);
    session(100_000, 111_000, 60, &[(0, 0), (45, 108_250)]).is(Metered);
    // Everything within a second, as in a trial.
    session(10_000, 20_000, 0, &[(0, 15_000)]).is(Metered);
}

#[test]
fn a_wrong_end_is_not_metered() {
    // A placeholder at the start: 83 Wh were charged.
    session(0, 910_031, 60, &[(15, 909_948), (45, 910_010)]).is(Implausible);
    session(0, 910_031, 60, &[(0, 0), (15, 909_948), (45, 910_010)]).is(Implausible);
    session(0, 910_031, 60, &[(0, 0), (15, 909_948)]).is(Implausible);
    session(0, 910_031, 60, &[(15, 909_948)]).is(Implausible);
    session(0, 910_031, 60, &[]).is(Implausible);
    session(0, 45_083, 60, &[(15, 45_010), (30, 45_050), (45, 45_070)]).is(Implausible);
    // A start in kWh, with registers and stop in Wh.
    session(310, 317_000, 60, &[(15, 311_500), (30, 313_000), (45, 315_000)]).is(Implausible);
    session(31, 39_000, 60, &[(15, 32_500), (30, 34_000), (45, 36_000)]).is(Implausible);
    // Registers that end far below the stop.
    session(340_000, 430_000, 75, &[(15, 341_250), (30, 342_500), (60, 345_000)]).is(Implausible);
    session(340_000, 430_000, 61, &[(60, 345_000)]).is(Implausible);
    session(340_000, 430_000, 60, &[(30, 345_000)]).is(Implausible);
    session(0, 45_083, 120, &[(60, 45_010)]).is(Implausible);
    session(300_000, 430_000, 150, &sampled(300_000, 22_500, 15, 120)).is(Implausible);
    session(300_000, 430_000, 69, &sampled(300_000, 50_000, 6, 54)).is(Implausible);
    session(339_500, 430_000, 90, &[(3, 340_000), (30, 345_000)]).is(Implausible);
    session(340_000, 430_000, 15, &[(1, 340_100), (4, 345_000)]).is(Implausible);
    // A start that is far too low, where the readings cover a good part of the session.
    session(215_000, 333_000, 90, &[(30, 311_000), (60, 322_000), (90, 333_000)]).is(Implausible);
    // Hundreds of kWh that the register has not seen.
    for registers in
        [&[][..], &[(120, 910_031)], &[(0, 0), (120, 910_031)], &[(117, 909_948), (119, 910_031)]]
    {
        session(0, 910_031, 120, registers).is(Implausible);
    }
    session(310, 321_000, 60, &[(60, 321_000)]).is(Implausible);
    // Both in kWh, where the register tells.
    session(26, 33, 60, &[(15, 27_800), (30, 29_600), (60, 33_250)]).is(Implausible);
    // The readings of the register contradict each other.
    session(100_000, 111_000, 60, &[(15, 102_750), (30, 105_500), (45, 10), (50, 900)]).is(Implausible);
}

#[test]
fn who_counts_the_session_and_who_the_meters_life_does_not_matter() {
    // The register counts the session.
    session(909_948, 920_948, 60, &[(15, 2_750), (30, 5_500), (59, 10_800)]).is(Metered);
    session(909_948, 920_948, 60, &[(0, 0), (30, 5_500), (45, 8_250)]).is(Metered);
    session(500_000, 503_000, 60, &[(60, 2_990)]).is(Metered);
    session(909_948, 920_948, 60, &[(15, 750), (30, 1_500), (59, 3_000)]).is(Implausible);
    session(500_000, 500_800, 60, &[(15, 200_000), (30, 200_500)]).is(Implausible);
    // The meter does.
    session(0, 11_000, 60, &[(1, 500_100), (30, 505_500), (59, 510_800)]).is(Metered);
    session(0, 1, 60, &[(15, 26_200), (30, 26_400), (59, 26_800)]).is(Implausible);
    session(0, 30_000, 60, &[(1, 500_100), (30, 505_500), (59, 510_800)]).is(Implausible);
    // Without a stop the register's own count is the estimate.
    let open = Session { stop: None, ..session(909_948, 0, 60, &[(15, 2_750), (30, 5_500)]) };
    let Energy { estimated_wh, quality, .. } = weigh(&open.evidence());
    assert_eq!((estimated_wh, quality), (Some(5_500), Estimated));
}

#[test]
fn the_register_of_one_phase_or_of_the_inlet_contradicts_nobody() {
    let mut evidence = session(300_000, 306_000, 60, &[(15, 101_000), (45, 102_000)]).evidence();
    assert_eq!(weigh(&evidence).quality, Implausible);
    evidence.track.source = 3;
    assert_eq!(weigh(&evidence).quality, Metered);
}

#[test]
fn an_estimate_needs_a_start_that_fits() {
    let open = |start, registers: &[(i64, i64)]| Session { stop: None, ..session(start, 0, 60, registers) };
    open(100_000, &[(15, 102_750), (45, 108_250)]).is(Estimated);
    open(100_000, &[(0, 0), (45, 108_250)]).is(Estimated);
    open(0, &[(15, 909_948), (45, 910_010)]).is(Implausible);
    open(310, &[(15, 311_500), (30, 313_000)]).is(Implausible);
    open(100_000, &[(15, 102_750), (30, 105_500), (45, 10), (50, 900)]).is(Implausible);
}

#[test]
fn decimals_may_be_kwh() {
    let with_decimals = |start, stop, minutes| {
        let evidence = Evidence { has_decimals: true, ..session(start, stop, minutes, &[]).evidence() };
        weigh(&evidence).quality
    };
    assert_eq!(with_decimals(26, 33, 60), Implausible);
    assert_eq!(with_decimals(26, 33, 0), Implausible);
    assert_eq!(with_decimals(123_456, 129_456, 60), Metered, "fractions of Wh");
    assert_eq!(with_decimals(26, 26, 60), Metered);
    session(26, 33, 60, &[]).is(Metered);
}

#[test]
fn a_meter_does_not_start_far_below_what_it_had_come_to() {
    let after = |before, session: Session| {
        weigh(&Evidence { meter_before: Some(before), ..session.evidence() }).quality
    };
    assert_eq!(after(50_000, session(20_000, 28_000, 60, &[])), Implausible);
    assert_eq!(after(50_000, session(49_500, 58_000, 60, &[])), Metered);
    // It was replaced, as two readings of the new one say.
    assert_eq!(after(50_000, session(3, 8_000, 60, &[(15, 2_000), (45, 6_000)])), Metered);
    assert_eq!(after(50_000, session(3, 8_000, 60, &[(15, 2_000)])), Implausible);
}

#[test]
fn nothing_ends_before_it_begins() {
    let stopped = |ms| {
        let mut evidence = session(1_000, 2_000, 0, &[]).evidence();
        evidence.started_at = Some(Timestamp::from_unix_ms(1_776_168_000_500));
        evidence.stopped_at = Some(Timestamp::from_unix_ms(ms));
        weigh(&evidence).quality
    };
    assert_eq!(stopped(1_776_168_000_000), Metered, "without milliseconds");
    assert_eq!(stopped(1_776_167_999_000), Implausible);
}

#[test]
fn without_the_chargers_times_a_battery_fits_between_two_readings() {
    let untimed = |session: Session| {
        weigh(&Evidence { started_at: None, stopped_at: None, ..session.evidence() }).quality
    };
    assert_eq!(untimed(session(5_000, 85_000, 0, &[(0, 65_000)])), Metered);
    assert_eq!(untimed(session(0, 910_031, 0, &[(0, 909_948)])), Implausible);
}

#[test]
fn the_largest_numbers_are_weighed_too() {
    for (start, stop, register) in [
        (i64::MIN, i64::MAX, i64::MAX),
        (i64::MAX, i64::MIN, 0),
        (0, i64::MAX, i64::MAX),
        (i64::MAX, 0, i64::MAX),
    ] {
        for minutes in [0, 60, i64::MAX / 60_000_000] {
            session(start, stop, minutes, &[(0, 0), (minutes, register), (minutes, register)])
                .is(Implausible);
        }
    }
}
