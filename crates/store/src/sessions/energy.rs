//! The energy of a transaction: what the meter says, what the register says, and how far the first can be
//! relied on. Nothing is ever corrected; what contradicts itself is said to.
//!
//! Readings are weighed by energy against time: between two of them no more can have been charged than a
//! charger gives in that time. What the README tells of `energy_quality` is what this file does.

mod reading;
mod track;

use vocabulary::api::transaction::EnergyQuality;
use vocabulary::clock::Timestamp;

pub(crate) use reading::{Reading, readings};
pub(crate) use track::{Point, Track};

/// More than any vehicle takes in one session, in Wh: one of the readings is in another unit, or of another
/// meter (quirk Q40).
const SESSION_MAX_WH: i64 = 1_000_000;

/// How far two readings of one moment may differ, in Wh: some are rounded to whole kWh, and some are read a
/// little later. Of a long session a tenth, if that is more: a meter of another accuracy differs by a part of
/// it.
const SLACK_WH: i64 = 1_000;

/// The most that a charger gives, in W.
pub(crate) const CHARGING_MAX_W: i64 = 500_000;

/// Where readings tell how fast a session was, its ends were at most so many times faster than its best
/// stretch …
const TIMES_PEAK: i64 = 4;

/// … but any charger may give this much, in W: a wallbox with three phases, before the car was full.
const CHARGING_ANY_W: i64 = 25_000;

/// Readings tell how fast a session was when they are at least this far apart …
const STRETCH_MIN_MS: i64 = 2 * 60_000;

/// … and this much was charged between them, in Wh: while a car waits, nothing tells how fast it is charged
/// later.
const STRETCH_MIN_WH: i64 = 1_000;

/// The end of a session alone does not tell how fast it began: the part of it, one in so many, that readings
/// have to cover for that.
const COVERED_PART: i64 = 10;

/// A start that is less than one part in so many of the first reading of the register, and one up to this
/// much in Wh, is of another unit, a placeholder, or of a new meter: the readings have to bear it out.
const TINY_PART: i64 = 100;
const TINY_WH: i64 = 100;

/// More than batteries of cars hold, in Wh: a session of more is believed if the register has seen half of
/// it.
const BATTERY_MAX_WH: i64 = 250_000;

/// Registers of this source or a better one (see `reading`) are whole meters at the outlet: of others, such
/// as a single phase or the inlet, an estimate can be made, but they contradict nobody.
const WITNESS_SOURCE_MAX: i64 = 1;

/// What happened in less counts as this long: clocks of chargers are set, and some tell minutes only.
const MOMENT_MS: i64 = 2 * 60_000;

/// What may be charged in a time that nobody knows, in Wh: a large battery.
const UNTIMED_WH: i64 = 150_000;

/// What may be charged beyond what time allows before the two readings of the meter alone are not believed,
/// in Wh: without any other reading it is only the clock that stands against them.
const UNWITNESSED_WH: i64 = 100_000;

/// How far a meter may start below what it had come to before, in Wh.
const STEP_BACK_WH: i64 = 5_000;

/// Readings of the meter with decimals that differ by no more than this, in Wh, may be kWh: that is a
/// battery.
const DECIMALS_MAX_WH: i64 = 250;

/// What is known of a transaction's energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Energy {
    /// The difference of the meter's readings, unless one is missing or it is negative.
    pub(crate) wh: Option<i64>,
    /// From the start to the last reading of the energy register, unless that is negative; where the register
    /// counts each session from zero, what it shows.
    pub(crate) estimated_wh: Option<i64>,
    /// How far `wh` can be relied on.
    pub(crate) quality: EnergyQuality,
}

/// Everything that tells of a transaction's energy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The meter at the start, in Wh.
    pub(crate) meter_start: Option<i64>,
    /// The meter at the stop, in Wh.
    pub(crate) meter_stop: Option<i64>,
    /// When it began, if the charger has told.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended, if that is known.
    pub(crate) stopped_at: Option<Timestamp>,
    /// A reading of the meter was sent with decimals, where whole Wh are due.
    pub(crate) has_decimals: bool,
    /// What the connector's meter had come to before, in Wh; `None` if nothing is known, or if it counts each
    /// session anew.
    pub(crate) meter_before: Option<i64>,
    /// The energy register.
    pub(crate) track: Track,
}

/// Weighs all that is known.
pub(crate) fn weigh(evidence: &Evidence) -> Energy {
    let positive = |wh: &i64| *wh >= 0;
    let metered =
        evidence.meter_start.zip(evidence.meter_stop).map(|(start, stop)| stop.saturating_sub(start));
    let estimate = evidence.meter_start.and_then(|start| evidence.estimate(start));
    let quality = match (metered, estimate) {
        (Some(wh), _) if evidence.contradicts(wh) => EnergyQuality::Implausible,
        (Some(_), _) => EnergyQuality::Metered,
        (None, Some(Estimate { fits: false, .. })) => EnergyQuality::Implausible,
        (None, Some(_)) if evidence.track.broken || evidence.ends_before_it_begins() => {
            EnergyQuality::Implausible
        }
        (None, Some(_)) => EnergyQuality::Estimated,
        (None, None) => EnergyQuality::Missing,
    };
    let estimated_wh = estimate.map(|estimate| estimate.wh).filter(positive);
    Energy { wh: metered.filter(positive), estimated_wh, quality }
}

/// What the register alone says.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    wh: i64,
    /// It agrees with the meter at the start.
    fits: bool,
}

/// The first and the last reading of the register, if one of two readings that contradict each other is the
/// bad one.
type Span = (Option<Point>, Point);

impl Evidence {
    /// Whether what is known stands against the two readings of the meter, which differ by `wh`.
    fn contradicts(&self, wh: i64) -> bool {
        let is_negative = self.meter_start.min(self.meter_stop) < Some(0);
        if is_negative || !(0..=SESSION_MAX_WH).contains(&wh) || self.ends_before_it_begins() {
            return true;
        }
        let duration_ms = elapsed_ms(self.started_at, self.stopped_at);
        let is_too_fast = duration_ms.is_some_and(|ms| wh > UNWITNESSED_WH + energy_wh(CHARGING_MAX_W, ms));
        let is_too_much = wh > BATTERY_MAX_WH && self.track.seen_wh() < wh / 2;
        if is_too_fast || is_too_much || self.may_be_kwh(wh) {
            return true;
        }
        if self.track.source > WITNESS_SOURCE_MAX {
            return self.starts_below();
        }
        if self.track.broken {
            return true;
        }
        let mut spans = self.track.spans().peekable();
        let is_witnessed =
            self.track.followed && spans.peek().is_some_and(|span| self.is_same_meter(wh, span));
        if self.starts_below() && !is_witnessed {
            return true;
        }
        spans.peek().is_some()
            && !spans.any(|span| self.is_same_meter(wh, &span) || self.is_same_energy(wh, &span))
    }

    /// By the second: some chargers tell the start with milliseconds and the stop without.
    fn ends_before_it_begins(&self) -> bool {
        self.started_at.zip(self.stopped_at).is_some_and(|(start, stop)| stop.unix_s() < start.unix_s())
    }

    /// Decimals, next to nothing as Wh, and a session as kWh.
    fn may_be_kwh(&self, wh: i64) -> bool {
        self.has_decimals && (1..=DECIMALS_MAX_WH).contains(&wh)
    }

    /// Whether it starts far below what the connector's meter had come to.
    fn starts_below(&self) -> bool {
        let (start, before) = (self.meter_start, self.meter_before);
        start.zip(before).is_some_and(|(start, before)| start < before.saturating_sub(STEP_BACK_WH))
    }

    /// Whether meter and register show the same: the first reading fits the start, the last one the stop.
    fn is_same_meter(&self, wh: i64, (first, last): &Span) -> bool {
        let (Some(start), Some(stop)) = (self.meter_start, self.meter_stop) else { return false };
        let slack = slack(wh);
        // Each end is weighed by how fast the rest of the session was.
        let before_last = pace_w(start, last.wh, elapsed_ms(self.started_at, Some(last.at)));
        let tail_w = self.track.pace_w().max(before_last);
        if !fits(last.wh, stop, slack, elapsed_ms(Some(last.at), self.stopped_at), tail_w) {
            return false;
        }
        first.is_none_or(|first| {
            let is_tiny = start <= TINY_WH.max(first.wh / TINY_PART);
            let head_w = if is_tiny {
                // That it began so low has to be borne out, by whatever else there is.
                let rest_ms = elapsed_ms(Some(first.at), self.stopped_at);
                let after_first = pace_w(first.wh, stop, rest_ms);
                let is_slow = rest_ms.is_some_and(|ms| ms >= STRETCH_MIN_MS);
                self.track.pace_w().max(after_first).or(is_slow.then_some(0))
            } else {
                self.track.pace_w().filter(|_| self.track.seen_wh() >= wh / COVERED_PART)
            };
            fits(start, first.wh, slack, elapsed_ms(self.started_at, Some(first.at)), head_w)
        })
    }

    /// Whether one of meter and register counts the session and the other the meter's life, and both come to
    /// the same energy.
    fn is_same_energy(&self, wh: i64, (first, last): &Span) -> bool {
        let Some(first) = first else { return false };
        let slack = slack_between(wh, self.meter_start, self.meter_stop);
        let tail_ms = elapsed_ms(Some(last.at), self.stopped_at);
        // As fast as the register has been counting, not as fast as any charger: its own count is what is
        // compared.
        let agree = |counted: i64, over_ms: Option<i64>, unseen_ms: Option<i64>| {
            let unseen = match (over_ms, unseen_ms) {
                (Some(over_ms), Some(unseen_ms)) => share(counted, unseen_ms.max(0), over_ms.max(MOMENT_MS)),
                _ => 0,
            };
            (-slack..=slack.saturating_add(unseen.saturating_mul(4))).contains(&wh.saturating_sub(counted))
        };
        // A register that begins below the start is another meter; one that does not is weighed as the same.
        let register_counts_it = self.meter_start > Some(first.wh)
            && fits(0, first.wh, 0, elapsed_ms(self.started_at, Some(first.at)), None)
            && agree(last.wh, elapsed_ms(self.started_at, Some(last.at)), tail_ms);
        let head_ms = elapsed_ms(self.started_at, Some(first.at));
        let meter_counts_it = self.meter_start == Some(0)
            && self.track.followed
            && agree(
                last.wh.saturating_sub(first.wh),
                elapsed_ms(Some(first.at), Some(last.at)),
                head_ms.zip(tail_ms).map(|(head, tail)| head.max(0) + tail.max(0)),
            );
        register_counts_it || meter_counts_it
    }

    /// What the register says was used since the meter stood at `start`.
    fn estimate(&self, start: i64) -> Option<Estimate> {
        let estimates = self.track.spans().map(|(first, last)| {
            let wh = last.wh.saturating_sub(start);
            let first = first.unwrap_or(last);
            let head_ms = elapsed_ms(self.started_at, Some(first.at));
            let in_range = (0..=SESSION_MAX_WH).contains(&wh);
            if in_range && start >= 0 && fits(start, first.wh, slack(wh), head_ms, self.track.pace_w()) {
                return Estimate { wh, fits: true };
            }
            // Far below the start: it counts this session alone.
            if start > SLACK_WH.saturating_add(last.wh) && fits(0, first.wh, 0, head_ms, None) {
                return Estimate { wh: last.wh, fits: last.wh <= SESSION_MAX_WH };
            }
            Estimate { wh, fits: false }
        });
        // The span that fits, else the likeliest one.
        let mut first = None;
        for estimate in estimates {
            if estimate.fits {
                return Some(estimate);
            }
            first = first.or(Some(estimate));
        }
        first
    }
}

/// Whether a meter that showed `from` may show `to` after so long, in a session that was charged at `pace_w`
/// at its best elsewhere; `None`: nothing tells.
fn fits(from: i64, to: i64, slack: i64, elapsed_ms: Option<i64>, pace_w: Option<i64>) -> bool {
    let power_w = pace_w.map_or(CHARGING_MAX_W, |pace_w| {
        pace_w.saturating_mul(TIMES_PEAK).clamp(CHARGING_ANY_W, CHARGING_MAX_W)
    });
    let most = elapsed_ms.map_or(UNTIMED_WH, |ms| energy_wh(power_w, ms.max(MOMENT_MS)));
    (-slack..=slack.saturating_add(most)).contains(&to.saturating_sub(from))
}

/// How fast a meter went from one reading to another, in W; `None` if there is too little between them to
/// tell.
fn pace_w(from: i64, to: i64, elapsed_ms: Option<i64>) -> Option<i64> {
    let ms = elapsed_ms.filter(|ms| *ms >= STRETCH_MIN_MS)?;
    let wh = to.saturating_sub(from);
    (wh >= STRETCH_MIN_WH).then(|| share(wh, 3_600_000, ms))
}

/// For a session of `wh`.
fn slack(wh: i64) -> i64 {
    SLACK_WH.max(wh / 10)
}

/// The same where not readings but differences are compared: what is rounded to whole kWh looks like it.
fn slack_between(wh: i64, start: Option<i64>, stop: Option<i64>) -> i64 {
    let is_coarse = [start, stop].iter().all(|reading| reading.is_some_and(|reading| reading % 1_000 == 0));
    if is_coarse { slack(wh) } else { (wh / 10).max(SLACK_WH / 10) }
}

/// What is charged with so many W in so long, in Wh.
fn energy_wh(power_w: i64, ms: i64) -> i64 {
    share(power_w, ms, 3_600_000)
}

/// `of × part ÷ whole`, however large.
fn share(of: i64, part: i64, whole: i64) -> i64 {
    let share = i128::from(of) * i128::from(part) / i128::from(whole.max(1));
    i64::try_from(share).unwrap_or(i64::MAX)
}

/// How long after one moment the other is, if both are known; negative if it is before.
fn elapsed_ms(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<i64> {
    Some(to?.unix_ms().saturating_sub(from?.unix_ms()))
}

#[cfg(test)]
mod tests;
