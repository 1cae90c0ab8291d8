//! What the times in a station's messages tell of its clock.
//!
//! A time that lies behind its arrival may be the delay of a message that waited in an offline queue. So only
//! what nothing but a clock can explain counts:
//!
//! | a message's time | says |
//! |---|---|
//! | within ten seconds of its arrival | the clock is right: a wrong one does not meet a delay so exactly |
//! | ahead of its arrival | the clock is ahead: no message comes before it is written |
//! | a status's more than a year behind, or any from before 2015 | the clock was never set: see below |
//! | behind otherwise | nothing, until messages agree on it that cannot come out of a queue |
//!
//! No status waits for a year, and no session was before there was OCPP 1.6; but one that a charger without
//! network has kept for longer may come at any time, so that its year alone tells nothing.
//!
//! A queue is emptied faster than it was filled, so the delays of its messages shrink. Messages agree if
//! their clock runs along with ours from each to the next: three of one kind about one connector, or three of
//! any kind over half a minute. What a station writes in one moment when it comes up without network, one
//! status for each connector, is not enough.

use serde::{Deserialize, Serialize};

use super::fact::Fact;
use super::message::Inbound;
use crate::clock::Timestamp;
use crate::ocpp::Violation;

/// A message that is no older on its arrival has not waited anywhere.
const LIVE_MS: i64 = 10_000;

/// The skew of a clock that still counts as right.
const SKEW_MAX_MS: u64 = 5 * 60 * 1_000;

/// No offline queue is so old.
const NEVER_SET_MS: i64 = -365 * 86_400_000;

/// OCPP 1.6 and the chargers that speak it are younger.
const EARLIEST_LIVED: Timestamp = Timestamp::from_unix_ms(1_420_070_400_000); // 2015-01-01

/// How far the offsets of messages that agree may lie apart: times in whole seconds, and their ways to us.
const AGREE_MS: u64 = 1_500;

/// So many messages agree, of one kind about one connector or over the time below.
const AGREEING: u32 = 3;

/// Messages of any kind agree over this time.
const AGREEING_FOR_MS: i64 = 30_000;

/// Kinds of messages that are told apart while they are counted.
const KINDS_MAX: usize = 16;

/// The time that a message shows, and when it came.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// What the station's clock showed, also if that cannot be true.
    pub shown: Timestamp,
    /// When the message arrived.
    pub received_at: Timestamp,
    /// What it is about: its action and connector.
    pub kind: String,
    /// It tells how things are when it is sent; others are kept for later where there is no network.
    pub rarely_waits: bool,
}

/// Messages that agree on how far the clock is behind, too few of them so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// How far the first of them was ahead of its arrival.
    offset_ms: i64,
    /// When that arrived.
    since_ms: i64,
    /// The newest time that they have shown: a clock that runs shows a later one with each.
    shown_ms: i64,
    count: u32,
    kinds: Vec<(String, u32)>,
}

/// What is known of a clock once a message has shown a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is so many milliseconds ahead of ours, for certain.
    Skew(i64),
    /// Nothing new, for now.
    Doubt(Doubt),
}

impl Sighting {
    /// The time that a message shows, if it shows any.
    pub fn of(call: &Inbound, received_at: Timestamp) -> Option<Self> {
        let fact = call.message.fact();
        let connector = match fact {
            Fact::ConnectorStatus(status) => status.connector_id,
            Fact::Metered(readings) => readings.connector_id,
            Fact::SessionStarted(started) => started.connector_id,
            _ => None,
        };
        Some(Self {
            shown: call.clock_shows?,
            received_at,
            kind: format!("{} {}", call.action, connector.unwrap_or_default()),
            rarely_waits: matches!(fact, Fact::ConnectorStatus(_)),
        })
    }

    /// How far the message's time is ahead of its arrival: never more than the clock is.
    pub fn offset_ms(&self) -> i64 {
        self.shown.unix_ms().saturating_sub(self.received_at.unix_ms())
    }
}

impl Finding {
    /// What a message's time makes of what is `known` of the clock, and of earlier messages that agree.
    pub fn of(sighting: &Sighting, known: Option<i64>, doubt: Option<Doubt>) -> Self {
        let offset_ms = sighting.offset_ms();
        let as_known = known.filter(|known| offset_ms.abs_diff(*known) <= LIVE_MS as u64);
        let certain = match offset_ms {
            _ if offset_ms.abs() <= LIVE_MS => Some(offset_ms),
            // With every message's delay the offset is less, never more.
            _ if as_known.is_some() => as_known.map(|known| known.max(offset_ms)),
            ahead if ahead > 0 => known.is_none_or(|known| known < ahead).then_some(ahead),
            behind if behind <= NEVER_SET_MS => match known {
                // Of what may have waited only a time that no charger of this protocol can have lived in
                // tells.
                None => (sighting.rarely_waits || sighting.shown < EARLIEST_LIVED).then_some(behind),
                Some(known) if was_never_set(known) => (known < behind).then_some(behind),
                // It was set since, and the message comes from before.
                Some(_) => sighting.rarely_waits.then_some(behind),
            },
            _ => None,
        };
        match certain {
            Some(skew_ms) => Self::Skew(skew_ms),
            None => Doubt::after(doubt, sighting).settled(sighting.received_at),
        }
    }
}

impl Doubt {
    fn after(before: Option<Self>, sighting: &Sighting) -> Self {
        let offset_ms = sighting.offset_ms();
        let agrees = |doubt: &Self| offset_ms.abs_diff(doubt.offset_ms) <= AGREE_MS;
        let mut doubt = before.filter(agrees).unwrap_or(Self {
            offset_ms,
            since_ms: sighting.received_at.unix_ms(),
            shown_ms: i64::MIN,
            count: 0,
            kinds: Vec::new(),
        });
        // Written in the same moment is written once.
        if sighting.shown.unix_ms() > doubt.shown_ms {
            doubt.shown_ms = sighting.shown.unix_ms();
            doubt.count += 1;
            match doubt.kinds.iter().position(|(kind, _)| *kind == sighting.kind) {
                Some(known) => doubt.kinds[known].1 += 1,
                None if doubt.kinds.len() < KINDS_MAX => doubt.kinds.push((sighting.kind.clone(), 1)),
                None => {}
            }
        }
        doubt
    }

    fn settled(self, now: Timestamp) -> Finding {
        let of_one_kind = self.kinds.iter().any(|(_, count)| *count >= AGREEING);
        let over_time = self.count >= AGREEING && now.unix_ms() - self.since_ms >= AGREEING_FOR_MS;
        match of_one_kind || over_time {
            true => Finding::Skew(self.offset_ms),
            false => Finding::Doubt(self),
        }
    }
}

/// Whether a clock of this skew was never set since it lost its power: what it shows lies years behind.
pub fn was_never_set(skew_ms: i64) -> bool {
    skew_ms <= NEVER_SET_MS
}

/// Whether a clock of this skew is wrong: by more than five minutes, either way.
pub fn is_wrong(skew_ms: i64) -> bool {
    skew_ms.unsigned_abs() > SKEW_MAX_MS
}

/// The violation of a message whose time is off by so much because the clock is (quirk Q3). One that was
/// never set shows times that cannot be true, which is said of the field.
pub fn violation(offset_ms: i64) -> Option<Violation> {
    let side = if offset_ms > 0 { "ahead" } else { "behind" };
    (is_wrong(offset_ms) && !was_never_set(offset_ms)).then(|| {
        let seconds = offset_ms.unsigned_abs() / 1_000;
        Violation::message(format!("clock_skew: the station's clock is {seconds} s {side}"))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const T0: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);
    const HOUR_MS: i64 = 3_600_000;
    const YEARS_MS: i64 = -50 * 365 * 86_400_000;

    /// A message of connector 1 that came at `after_ms` and was so far ahead.
    fn seen(after_ms: u64, offset_ms: i64, kind: &str) -> Sighting {
        let received_at = T0.after(Duration::from_millis(after_ms));
        Sighting {
            shown: Timestamp::from_unix_ms(received_at.unix_ms() + offset_ms),
            received_at,
            kind: kind.to_owned(),
            rarely_waits: kind.starts_with("Status"),
        }
    }

    /// What is known of the clock after each of these messages.
    fn known_after(mut known: Option<i64>, sightings: &[Sighting]) -> Vec<Option<i64>> {
        let mut doubt = None;
        let mut all = Vec::new();
        for sighting in sightings {
            match Finding::of(sighting, known, doubt.take()) {
                Finding::Skew(skew_ms) => known = Some(skew_ms),
                Finding::Doubt(more) => doubt = Some(more),
            }
            all.push(known);
        }
        all
    }

    #[test]
    fn a_queue_says_nothing_and_the_first_live_message_all() {
        let queue = [(0, -HOUR_MS), (50, -HOUR_MS + 600_000), (90, -600_000), (130, -30_000), (170, -40)];
        let queue = queue.map(|(after_ms, offset_ms)| seen(after_ms, offset_ms, "StatusNotification 1"));
        assert_eq!(known_after(None, &queue), [None, None, None, None, Some(-40)]);
        assert_eq!(known_after(Some(5), &queue), [Some(5), Some(5), Some(5), Some(5), Some(-40)]);
    }

    #[test]
    fn a_dense_queue_and_one_of_a_single_moment_say_nothing() {
        let dense: Vec<_> =
            (0..60).map(|nth| seen(nth * 20, -HOUR_MS + 980 * nth as i64, "MeterValues 1")).collect();
        assert!(known_after(None, &dense).iter().all(Option::is_none));
        let connectors = ["StatusNotification 0", "StatusNotification 1", "StatusNotification 2", "Start 1"];
        let burst: Vec<_> = (0..).zip(connectors).map(|(nth, kind)| seen(nth * 5, -HOUR_MS, kind)).collect();
        assert!(known_after(None, &burst).iter().all(Option::is_none));
        let moment: Vec<_> =
            (0..6).map(|nth| seen(nth * 5, -HOUR_MS - 5 * nth as i64, "StatusNotification 1")).collect();
        assert!(known_after(None, &moment).iter().all(Option::is_none), "written once");
    }

    #[test]
    fn a_clock_that_is_behind_is_seen_by_messages_that_agree() {
        let statuses = [0, 40, 90].map(|after_ms| seen(after_ms, -HOUR_MS, "StatusNotification 1"));
        assert_eq!(known_after(None, &statuses), [None, None, Some(-HOUR_MS)]);
        let kinds = [(0, "StatusNotification 1"), (12_000, "StartTransaction 1"), (31_000, "MeterValues 1")];
        let session = kinds.map(|(after_ms, kind)| seen(after_ms, -HOUR_MS + 700, kind));
        assert_eq!(known_after(Some(0), &session), [Some(0), Some(0), Some(-HOUR_MS + 700)]);
    }

    #[test]
    fn a_clock_that_is_set_right_is_right_again() {
        for wrong in [-HOUR_MS, HOUR_MS, 2 * HOUR_MS, YEARS_MS] {
            let live = seen(0, -80, "MeterValues 1");
            assert_eq!(known_after(Some(wrong), &[live]), [Some(-80)], "{wrong}");
        }
    }

    #[test]
    fn ahead_is_certain_and_less_ahead_may_have_waited() {
        let sightings =
            [HOUR_MS, 2 * HOUR_MS, HOUR_MS, 2 * HOUR_MS - 5_000].map(|ahead| seen(0, ahead, "Meter 1"));
        let twice = Some(2 * HOUR_MS);
        assert_eq!(known_after(None, &sightings), [Some(HOUR_MS), twice, twice, twice]);
    }

    #[test]
    fn years_behind_is_a_clock_that_was_never_set_unless_it_was_since() {
        let start = |after_ms| seen(after_ms, YEARS_MS, "StartTransaction 1");
        assert_eq!(known_after(None, &[start(0)]), [Some(YEARS_MS)]);
        // A session from before the clock was set, out of the queue of one that is right by now.
        assert_eq!(known_after(Some(0), &[start(0)]), [Some(0)]);
        assert_eq!(
            known_after(Some(0), &[seen(0, YEARS_MS, "StatusNotification 1"), start(9_000)]),
            [Some(YEARS_MS); 2]
        );
        // One that waited is no better known than those that did not.
        let late = seen(0, YEARS_MS - HOUR_MS, "StopTransaction 0");
        assert_eq!(known_after(Some(YEARS_MS), &[late]), [Some(YEARS_MS)]);
    }

    #[test]
    fn skew_is_told_past_five_minutes() {
        assert_eq!(violation(300_000), None);
        assert_eq!(violation(YEARS_MS), None);
        let behind = violation(-7_200_000).expect("two hours");
        assert_eq!(behind.problem, "clock_skew: the station's clock is 7200 s behind");
    }
}
