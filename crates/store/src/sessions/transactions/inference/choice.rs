//! Chooses the one of the open sessions that a stop can only mean. Pure: what is known of each goes in.

use super::TransactionRef;
use crate::sessions::energy::CHARGING_MAX_W;

/// A register is read to whole kWh at the coarsest.
const REGISTER_SLACK_WH: i128 = 1_000;

/// Of two sessions that are left, one is meant if the register lies ten times nearer to its last reading than
/// to the other's, where this much counts as no distance.
const NEAREST_BY: i128 = 10;
const NO_DISTANCE_WH: i128 = 200;

const HOUR_MS: i64 = 3_600_000;

/// What a stop says of the session it ends, beside its tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopData {
    /// A number that could be a transaction's, but is none of this station's.
    pub(super) names_a_number: bool,
    /// The register; 0 is what firmware sends that has not read it.
    pub(super) meter_wh: Option<i64>,
    pub(super) at_ms: Option<i64>,
    /// How finely that time is written.
    pub(super) resolution_ms: i64,
}

/// How the tag of a stop stands to that of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagFit {
    Same,
    /// Another one of the same group, which may end the session too.
    Group,
    /// One of the two names none.
    Unknown,
    Other,
}

/// An open session.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenSession {
    pub(super) transaction: TransactionRef,
    pub(super) tag: TagFit,
    pub(super) started_at_ms: Option<i64>,
    pub(super) meter_start_wh: Option<i64>,
    pub(super) register_wh: Option<i64>,
    pub(super) register_at_ms: Option<i64>,
    /// It is an orphan: where and when the session started that has followed it.
    pub(super) follower: Option<Follower>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Follower {
    pub(super) started_at_ms: Option<i64>,
    pub(super) meter_start_wh: Option<i64>,
}

/// How well a stop fits a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Nothing speaks against it.
    Good,
    /// Only its time does: it lies before the start, as after a clock that was set in between.
    ClockWasSet,
    None,
}

/// The one of these that the stop can only mean.
pub(super) fn choose(stop: &StopData, open: &[OpenSession]) -> Option<TransactionRef> {
    let fits: Vec<(Fit, &OpenSession)> = open.iter().map(|open| (stop.fit(open), open)).collect();
    let of = |wanted: Fit, orphan: bool| {
        let found =
            fits.iter().filter(move |(fit, open)| *fit == wanted && open.follower.is_some() == orphan);
        found.map(|(_, open)| *open)
    };
    if stop.names_a_number {
        // It may be a session of another backend. Only one that runs alone, against which nothing speaks, is
        // taken.
        let alone = open.iter().filter(|open| open.follower.is_none()).count() == 1;
        return of(Fit::Good, false).next().filter(|_| alone).map(|open| open.transaction);
    }
    let mut left: Vec<&OpenSession> = of(Fit::Good, false).collect();
    let runs = |orphan: &OpenSession| {
        left.iter().any(|open| open.transaction.connector_id == orphan.transaction.connector_id)
    };
    let orphans: Vec<&OpenSession> = of(Fit::Good, true).filter(|orphan| !runs(orphan)).collect();
    left.extend(orphans);
    if left.is_empty() {
        left.extend(of(Fit::ClockWasSet, false));
        return only(&left);
    }
    if left.len() > 1 && left.iter().any(|open| open.tag == TagFit::Same) {
        left.retain(|open| open.tag == TagFit::Same);
    }
    if left.len() > 1 {
        left.retain(|open| stop.is_near(open));
    }
    match left.len() {
        0 | 1 => only(&left),
        _ => stop.nearest(&left),
    }
}

fn only(left: &[&OpenSession]) -> Option<TransactionRef> {
    match left {
        [open] => Some(open.transaction),
        _ => None,
    }
}

impl StopData {
    fn fit(&self, open: &OpenSession) -> Fit {
        let falls = |wh: i64| open.meter_start_wh.is_some_and(|start_wh| wh < start_wh);
        if open.tag == TagFit::Other || self.meter_wh.is_some_and(falls) {
            return Fit::None;
        }
        match open.follower {
            None if self.is_before(open.started_at_ms) => Fit::ClockWasSet,
            None => Fit::Good,
            Some(follower) if self.is_between(open, follower) => Fit::Good,
            Some(_) => Fit::None,
        }
    }

    /// A moment in whole units of the stop's own time: a stop without milliseconds lies in the start's
    /// second.
    fn whole(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.resolution_ms)
    }

    fn is_before(&self, start_ms: Option<i64>) -> bool {
        self.at_ms.zip(start_ms).is_some_and(|(at_ms, start_ms)| self.whole(at_ms) < self.whole(start_ms))
    }

    /// Whether the stop lies between an orphan's start and the next one, by time and by meter, all of them
    /// known.
    fn is_between(&self, orphan: &OpenSession, follower: Follower) -> bool {
        let time = match (orphan.started_at_ms, self.at_ms, follower.started_at_ms) {
            (Some(from), Some(at), Some(to)) => {
                self.whole(from) <= self.whole(at) && self.whole(at) <= self.whole(to)
            }
            _ => false,
        };
        let meter = match (orphan.meter_start_wh, self.meter_wh, follower.meter_start_wh) {
            (Some(from), Some(at), Some(to)) => from <= at && at <= to,
            _ => false,
        };
        time && meter
    }

    /// Whether the register at the stop lies where this session's last reading leads one to expect it: as far
    /// above as twice its own pace, or the largest connector's power, would have brought it since.
    fn is_near(&self, open: &OpenSession) -> bool {
        let Some((above_wh, last_wh, start_wh)) = self.above(open) else { return true };
        let since_ms = |from_ms: Option<i64>, to_ms: Option<i64>| {
            from_ms.zip(to_ms).map(|(from_ms, to_ms)| to_ms.saturating_sub(from_ms).max(0))
        };
        let last_at_ms = open.register_wh.and(open.register_at_ms).or(open.started_at_ms);
        let Some(waited_ms) = since_ms(last_at_ms, self.at_ms) else {
            return above_wh >= -REGISTER_SLACK_WH;
        };
        let charged_wh = last_wh - start_wh;
        let (wh, ms) = match since_ms(open.started_at_ms, last_at_ms) {
            Some(took_ms) if took_ms > 0 && charged_wh > 0 => (2 * charged_wh, took_ms),
            _ => (CHARGING_MAX_W.into(), HOUR_MS),
        };
        let expected_wh = wh * i128::from(waited_ms) / i128::from(ms);
        (-REGISTER_SLACK_WH..=expected_wh + REGISTER_SLACK_WH).contains(&above_wh)
    }

    /// How far the register at the stop lies above a session's last reading, that reading, and the start;
    /// `None` if one of the two ends is not known.
    fn above(&self, open: &OpenSession) -> Option<(i128, i128, i128)> {
        let (meter_wh, start_wh) = (i128::from(self.meter_wh?), i128::from(open.meter_start_wh?));
        // A register below the start counts the session, where start and stop count the meter's life.
        let last_wh = match open.register_wh.map(i128::from) {
            Some(register_wh) if register_wh < start_wh => start_wh + register_wh,
            Some(register_wh) => register_wh,
            None => start_wh,
        };
        Some((meter_wh - last_wh, last_wh, start_wh))
    }

    /// The session whose last reading is by far the nearest to the register at the stop.
    fn nearest(&self, left: &[&OpenSession]) -> Option<TransactionRef> {
        let distance =
            |open: &&OpenSession| self.above(open).map(|(above_wh, ..)| above_wh.abs().max(NO_DISTANCE_WH));
        let mut distances: Vec<(i128, TransactionRef)> = left
            .iter()
            .map(|open| distance(open).map(|distance_wh| (distance_wh, open.transaction)))
            .collect::<Option<_>>()?;
        distances.sort_by_key(|(distance_wh, _)| *distance_wh);
        match distances.as_slice() {
            [(nearest_wh, nearest), (next_wh, _), ..] if *next_wh >= NEAREST_BY * nearest_wh => {
                Some(*nearest)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_776_168_000_000;

    /// A session on a connector of that number, from noon and 1,000 Wh on.
    fn open(number: i64) -> OpenSession {
        OpenSession {
            transaction: TransactionRef { transaction_id: number, connector_id: Some(number) },
            tag: TagFit::Unknown,
            started_at_ms: Some(NOON_MS),
            meter_start_wh: Some(1_000),
            register_wh: None,
            register_at_ms: None,
            follower: None,
        }
    }

    /// One of a connector whose meter is far higher.
    fn high(number: i64) -> OpenSession {
        OpenSession { meter_start_wh: Some(80_000), ..open(number) }
    }

    /// The same with a register after half an hour.
    fn read(open: OpenSession, register_wh: i64) -> OpenSession {
        OpenSession { register_wh: Some(register_wh), register_at_ms: Some(NOON_MS + HOUR_MS / 2), ..open }
    }

    /// A stop an hour after noon.
    fn stop(meter_wh: i64) -> StopData {
        StopData {
            names_a_number: false,
            meter_wh: Some(meter_wh),
            at_ms: Some(NOON_MS + HOUR_MS),
            resolution_ms: 1,
        }
    }

    #[track_caller]
    fn check(data: StopData, sessions: &[OpenSession], expected: Option<i64>) {
        assert_eq!(choose(&data, sessions).map(|chosen| chosen.transaction_id), expected);
    }

    #[test]
    fn the_only_session_is_meant_unless_something_speaks_against_it() {
        let tagged = |tag| OpenSession { tag, ..open(1) };
        check(stop(2_000), &[open(1)], Some(1));
        check(stop(999), &[open(1)], None);
        check(stop(2_000), &[tagged(TagFit::Same)], Some(1));
        check(stop(2_000), &[tagged(TagFit::Group)], Some(1));
        check(stop(2_000), &[tagged(TagFit::Other)], None);
        check(StopData { meter_wh: None, ..stop(0) }, &[open(1)], Some(1));
        check(StopData { at_ms: None, ..stop(2_000) }, &[open(1)], Some(1));
        check(stop(2_000), &[], None);
    }

    #[test]
    fn a_time_is_compared_as_finely_as_it_is_written() {
        let started = |ms| OpenSession { started_at_ms: Some(NOON_MS + ms), ..open(1) };
        let at_noon = |resolution_ms| StopData { at_ms: Some(NOON_MS), resolution_ms, ..stop(2_000) };
        assert_eq!(at_noon(1_000).fit(&started(999)), Fit::Good);
        assert_eq!(at_noon(1_000).fit(&started(1_000)), Fit::ClockWasSet);
        assert_eq!(at_noon(1).fit(&started(1)), Fit::ClockWasSet);
        assert_eq!(at_noon(60_000).fit(&started(59_999)), Fit::Good);
    }

    #[test]
    fn a_time_before_the_start_excludes_only_where_there_is_another() {
        let later = |number| OpenSession { started_at_ms: Some(NOON_MS + 2 * HOUR_MS), ..open(number) };
        check(stop(2_000), &[later(1)], Some(1));
        check(stop(2_000), &[later(1), open(2)], Some(2));
        check(stop(2_000), &[later(1), later(2)], None);
        check(stop(2_000), &[later(1), high(2)], Some(1));
    }

    #[test]
    fn of_two_sessions_the_tag_or_the_meter_singles_one_out() {
        let tagged = |tag, open| OpenSession { tag, ..open };
        check(stop(2_000), &[open(1), open(2)], None);
        check(stop(2_000), &[tagged(TagFit::Same, open(1)), tagged(TagFit::Other, open(2))], Some(1));
        check(stop(2_000), &[tagged(TagFit::Group, open(1)), tagged(TagFit::Same, open(2))], Some(2));
        check(stop(2_000), &[tagged(TagFit::Same, open(1)), tagged(TagFit::Same, open(2))], None);
        check(stop(2_000), &[open(1), high(2)], Some(1));
        // Above both starts: the last registers tell.
        check(stop(85_000), &[read(open(1), 3_000), read(high(2), 83_000)], Some(2));
        check(stop(85_000), &[read(open(1), 3_000), high(2)], Some(2));
        check(stop(6_000), &[read(open(1), 3_500), read(open(2), 1_500)], Some(1));
        check(stop(4_000), &[read(open(1), 3_500), read(open(2), 3_000)], None);
        // A register that counts the session alone.
        check(stop(85_000), &[read(open(1), 3_000), read(high(2), 3_000)], Some(2));
        // Without registers, one is by far the nearest.
        check(stop(80_900), &[open(1), high(2)], Some(2));
        check(stop(82_500), &[OpenSession { meter_start_wh: Some(78_000), ..open(1) }, high(2)], None);
        check(stop(3_050), &[read(open(1), 3_000), read(open(2), 2_990)], None);
        // When it was is not known.
        let timeless = StopData { at_ms: None, ..stop(85_000) };
        check(timeless, &[read(open(1), 3_000), read(high(2), 83_000)], Some(2));
        // The meter of neither.
        check(stop(900_000), &[read(open(1), 3_000), read(high(2), 83_000)], None);
        let blind = StopData { meter_wh: None, ..stop(0) };
        check(blind, &[read(open(1), 3_000), read(high(2), 83_000)], None);
    }

    #[test]
    fn an_orphan_is_meant_only_between_its_start_and_the_next_one() {
        let orphan = OpenSession {
            follower: Some(Follower { started_at_ms: Some(NOON_MS + HOUR_MS), meter_start_wh: Some(5_000) }),
            ..open(1)
        };
        let next = OpenSession {
            transaction: TransactionRef { transaction_id: 2, connector_id: Some(1) },
            started_at_ms: Some(NOON_MS + HOUR_MS),
            meter_start_wh: Some(5_000),
            ..open(2)
        };
        let early = |meter_wh| StopData { at_ms: Some(NOON_MS + HOUR_MS / 2), ..stop(meter_wh) };
        check(early(4_000), &[next, orphan], Some(1));
        check(early(5_000), &[next, orphan], Some(1));
        check(early(5_001), &[next, orphan], Some(2));
        check(stop(5_000), &[next, orphan], Some(2));
        check(stop(6_000), &[next, orphan], Some(2));
        check(early(4_000), &[orphan], Some(1));
        check(early(6_000), &[orphan], None);
        check(StopData { meter_wh: None, ..early(0) }, &[orphan], None);
        check(early(4_000), &[OpenSession { tag: TagFit::Other, ..orphan }], None);
        // Another connector's session fits as well.
        check(early(4_000), &[read(open(3), 3_000), orphan], None);
        check(early(4_000), &[high(3), orphan], Some(1));
    }

    #[test]
    fn a_number_of_nobody_ends_a_session_only_if_it_runs_alone() {
        let named = |meter_wh| StopData { names_a_number: true, ..stop(meter_wh) };
        check(named(2_000), &[open(1)], Some(1));
        check(named(2_000), &[open(1), high(2)], None);
        check(StopData { at_ms: Some(NOON_MS - 1), ..named(2_000) }, &[open(1)], None);
        check(named(999), &[open(1)], None);
    }
}
