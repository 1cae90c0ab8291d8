//! The energy register of one session, as its readings come: where it began, where it is, and whether its
//! readings agree. Pure: a reading in, the next state out.

use super::reading::Reading;
use super::{CHARGING_MAX_W, MOMENT_MS, SLACK_WH, elapsed_ms, energy_wh, pace_w};
use vocabulary::clock::Timestamp;

/// A register may be read this much lower than a moment before, in Wh: two sources of another rounding.
const NOISE_WH: i64 = 10;

/// Between readings that are nearer than this, whole kWh would look like hundreds of kW.
const RATE_MIN_MS: i64 = 60_000;

/// The register at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// What it showed, in Wh.
    pub(crate) wh: i64,
    /// When.
    pub(crate) at: Timestamp,
}

/// What is kept of a session's register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Track {
    /// The first reading.
    pub(crate) first: Option<Point>,
    /// The last reading that follows from those before it.
    pub(crate) last: Option<Point>,
    /// A newer reading that does not: a bad sample, unless the next one follows from it.
    pub(crate) odd: Option<Point>,
    /// Which register it is of; see [`Reading::source`].
    pub(crate) source: i64,
    /// The most that was charged between two readings, in W.
    pub(crate) peak_w: i64,
    /// A second reading has followed from the first: no single bad sample can be behind both.
    pub(crate) followed: bool,
    /// Several readings contradict several others: the meter was reset, or there are two.
    pub(crate) broken: bool,
}

impl Track {
    /// Takes the next reading, in the order of arrival.
    pub(crate) fn add(&mut self, reading: &Reading) {
        let point = Point { wh: reading.wh, at: reading.at };
        let Some(last) = self.last.filter(|last| reading.source >= self.source && last.wh > 0) else {
            // The first one at all, one of a better register, or one after a zero, which may be a reading or
            // none: its readings begin here.
            *self = Self { first: Some(point), last: Some(point), source: reading.source, ..Self::default() };
            return;
        };
        if reading.source > self.source {
            return;
        }
        if point.at < last.at && point.wh <= last.wh {
            self.add_late(point);
        } else if climbs(last, point) {
            // A register never falls: what is higher is newer, also where the clock was set back in between.
            self.peak_w = self.peak_w.max(rate_w(last, point));
            (self.last, self.odd, self.followed) = (Some(point), None, true);
        } else if let Some(odd) = self.odd.filter(|odd| odd.wh > 0 && point.wh > 0 && climbs(*odd, point)) {
            if self.followed {
                self.broken = true;
            } else {
                // One reading stood against two: it was the bad one.
                (self.first, self.peak_w) = (Some(odd), rate_w(odd, point));
            }
            (self.last, self.odd, self.followed) = (Some(point), None, true);
        } else {
            self.odd = Some(point);
        }
    }

    /// A reading that is older than the last one.
    fn add_late(&mut self, point: Point) {
        if let Some(first) = self.first
            && point.at < first.at
            && point.wh > 0
            && climbs(point, first)
        {
            (self.first, self.followed) = (Some(point), true);
        }
    }

    /// What was charged between the first and the last reading, in Wh.
    pub(super) fn seen_wh(&self) -> i64 {
        Option::zip(self.first, self.last).map_or(0, |(first, last)| last.wh.saturating_sub(first.wh))
    }

    /// How fast the session was at its best between two readings, in W, if they tell.
    pub(super) fn pace_w(&self) -> Option<i64> {
        let (first, last) = Option::zip(self.first, self.last)?;
        let all_w = pace_w(first.wh, last.wh, elapsed_ms(Some(first.at), Some(last.at)))?;
        Some(all_w.max(self.peak_w))
    }

    /// The spans that the readings may have, the likeliest first: of two readings that contradict each other
    /// either may be the bad one.
    pub(super) fn spans(&self) -> impl Iterator<Item = (Option<Point>, Point)> {
        let likely = self.last.map(|last| (self.first, last));
        let other = self.odd.filter(|_| !self.followed).map(|odd| (Some(odd), odd));
        likely.into_iter().chain(other)
    }
}

/// Whether a register that showed `from` may show `to` next.
fn climbs(from: Point, to: Point) -> bool {
    let elapsed_ms = to.at.unix_ms().saturating_sub(from.at.unix_ms()).max(MOMENT_MS);
    let most = energy_wh(CHARGING_MAX_W, elapsed_ms).saturating_add(SLACK_WH);
    (-NOISE_WH..=most).contains(&to.wh.saturating_sub(from.wh))
}

/// What was charged from one reading to another, in W; 0 if they are too near each other to tell.
fn rate_w(from: Point, to: Point) -> i64 {
    match to.at.unix_ms().saturating_sub(from.at.unix_ms()) {
        elapsed_ms if elapsed_ms >= RATE_MIN_MS => {
            to.wh.saturating_sub(from.wh).max(0).saturating_mul(3_600_000) / elapsed_ms
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    /// Adds readings of (minute, Wh) and returns first, last, odd, followed, broken.
    #[track_caller]
    fn check(readings: &[(i64, i64)], (first, last, odd): (i64, i64, Option<i64>), flags: &str) {
        let mut track = Track::default();
        for (minute, wh) in readings {
            let at = Timestamp::from_unix_ms(minute * MINUTE);
            track.add(&Reading { wh: *wh, at, source: 0, is_end: false });
        }
        let wh = |point: Option<Point>| point.map(|point| point.wh);
        assert_eq!(
            (wh(track.first), wh(track.last), wh(track.odd)),
            (Some(first), Some(last), odd),
            "{readings:?}"
        );
        let told = match (track.followed, track.broken) {
            (_, true) => "broken",
            (true, _) => "followed",
            _ => "single",
        };
        assert_eq!(told, flags, "{readings:?}");
    }

    #[test]
    fn a_register_climbs() {
        check(&[(0, 100)], (100, 100, None), "single");
        check(&[(0, 100), (15, 5_600), (30, 11_100)], (100, 11_100, None), "followed");
        // At 350 kW, and after hours without a reading.
        check(&[(0, 100), (1, 5_900), (600, 100_000)], (100, 100_000, None), "followed");
        check(&[(0, 100), (15, 95)], (100, 95, None), "followed");
    }

    #[test]
    fn a_sample_that_comes_late_is_no_step_back() {
        check(&[(15, 2_000), (30, 4_000), (20, 3_000)], (2_000, 4_000, None), "followed");
        check(&[(15, 2_000), (30, 4_000), (0, 100)], (100, 4_000, None), "followed");
        check(&[(15, 2_000), (30, 4_000), (0, 0)], (2_000, 4_000, None), "followed");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_register() {
        check(&[(0, 100), (55, 2_000), (0, 2_100), (5, 2_300)], (100, 2_300, None), "followed");
    }

    #[test]
    fn one_bad_sample_changes_nothing() {
        check(&[(0, 900_000), (15, 905_000), (30, 0)], (900_000, 905_000, Some(0)), "followed");
        check(&[(0, 900_000), (15, 905_000), (30, 0), (31, 0)], (900_000, 905_000, Some(0)), "followed");
        check(&[(0, 900_000), (15, 0), (30, 905_000)], (900_000, 905_000, None), "followed");
        check(&[(0, 900_000), (15, 9_999_999), (30, 905_000)], (900_000, 905_000, None), "followed");
        check(&[(0, 0), (15, 900_000), (30, 905_000)], (900_000, 905_000, None), "followed");
        check(&[(0, 0), (45, 8_250)], (8_250, 8_250, None), "single");
        check(&[(0, 9_999_999), (15, 900_000), (30, 905_000)], (900_000, 905_000, None), "followed");
    }

    #[test]
    fn readings_that_contradict_each_other_break_it() {
        check(&[(0, 900_000), (15, 905_000), (30, 0), (45, 100), (60, 300)], (900_000, 300, None), "broken");
        check(&[(0, 100), (15, 500), (30, 900_000), (45, 905_000)], (100, 905_000, None), "broken");
    }

    #[test]
    fn a_better_register_begins_anew_and_a_worse_one_is_not_read() {
        let reading = |wh, source| Reading { wh, at: Timestamp::from_unix_ms(0), source, is_end: false };
        let mut track = Track::default();
        for (wh, source, last) in [(100, 3, 100), (7_000_000, 0, 7_000_000), (200, 3, 7_000_000)] {
            track.add(&reading(wh, source));
            assert_eq!(track.last.map(|last| last.wh), Some(last));
        }
        assert_eq!(track.first.map(|first| first.wh), Some(7_000_000));
    }
}
