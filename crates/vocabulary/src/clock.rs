//! Moments in time and where "now" comes from.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A moment in UTC with millisecond precision; written as RFC 3339 (`2026-04-14T12:34:56.789Z`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment this many milliseconds after the Unix epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as webhook signatures state them.
    pub const fn unix_s(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This moment plus `duration`.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_millis().min(i64::MAX as u128) as i64))
    }

    /// This moment minus `duration`.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_millis().min(i64::MAX as u128) as i64))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    /// Reads RFC 3339 strictly. What chargers send is read by `ocpp::time` instead.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        DateTime::parse_from_rfc3339(text).map(|time| Self(time.timestamp_millis()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where engines read the time from, so that tests can move it.
///
/// It tells two times. The wall time ([`Clock::now`]) is shown to people and written on events; somebody may
/// set it, and then it jumps. The monotonic time never jumps, and waits are measured by it: see
/// [`Monotonic`].
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands still until somebody moves it.
    Manual(Arc<ManualClock>),
}

/// Both times of a clock that tests move, in milliseconds since the Unix epoch.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

/// The wall time at which this process looked at its clock first, in microseconds, and that moment of the
/// monotonic clock. In this order: the monotonic clock is then never ahead of a wall that nobody has set.
static FIRST_LOOK: LazyLock<(i64, Instant)> =
    LazyLock::new(|| (Utc::now().timestamp_micros(), Instant::now()));

impl Clock {
    /// A clock that stands at `start`.
    pub fn manual(start: Timestamp) -> Self {
        let time = || AtomicI64::new(start.unix_ms());
        Self::Manual(Arc::new(ManualClock { wall: time(), monotonic: time() }))
    }

    /// The moment this clock shows.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                LazyLock::force(&FIRST_LOOK);
                Timestamp::from_unix_ms(Utc::now().timestamp_millis())
            }
            Self::Manual(clock) => Timestamp::from_unix_ms(clock.wall.load(SeqCst)),
        }
    }

    /// What the clock would show if nobody had set it since this process began.
    fn unset(&self) -> Timestamp {
        Timestamp::from_unix_ms(match self {
            Self::System => {
                let (wall_us, at) = *FIRST_LOOK;
                (wall_us + at.elapsed().as_micros() as i64).div_euclid(1_000)
            }
            Self::Manual(clock) => clock.monotonic.load(SeqCst),
        })
    }

    /// Moves a manual clock forward; the system's clock takes no orders.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(clock) = self {
            clock.monotonic.fetch_add(by.as_millis() as i64, SeqCst);
            clock.wall.fetch_add(by.as_millis() as i64, SeqCst);
        }
    }

    /// Sets a manual clock, forward or back by `by_ms`: no time passes.
    pub fn set(&self, by_ms: i64) {
        if let Self::Manual(clock) = self {
            clock.wall.fetch_add(by_ms, SeqCst);
        }
    }
}

/// A clock that is further off than this was set. What is less is the granularity of two clocks, or a
/// correction that nobody's timer needs to know of.
const STEP_MS: i64 = 1_000;

/// The clock that never jumps: waits are measured by it, whoever sets the machine's clock meanwhile.
///
/// Its moments are near the wall's, and are kept by the store; to people they are [`Monotonic::to_wall`].
/// Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct Monotonic(Arc<MonotonicClock>);

#[derive(Debug)]
struct MonotonicClock {
    clock: Clock,
    /// How far it is ahead of what the clock would show, had nobody set it.
    shift_ms: i64,
    /// How far the wall was ahead of it when that was last found changed.
    wall_offset_ms: AtomicI64,
}

impl Monotonic {
    /// Goes on with a monotonic clock that the wall was ahead of by `wall_offset_ms` and that has reached
    /// `reached`. Nobody knows what was done to the machine's clock meanwhile, but time does not go back.
    pub fn resume(clock: Clock, wall_offset_ms: i64, reached: Timestamp) -> Self {
        let unset_ms = clock.unset().unix_ms();
        let was_set_by = clock.now().unix_ms() - unset_ms;
        let set_by = if was_set_by.abs() < STEP_MS { 0 } else { was_set_by };
        let begin_ms = (unset_ms + set_by - wall_offset_ms).max(reached.unix_ms());
        let shift_ms = begin_ms - unset_ms;
        Self(Arc::new(MonotonicClock { clock, shift_ms, wall_offset_ms: AtomicI64::new(set_by - shift_ms) }))
    }

    /// The time that it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.clock.unset().unix_ms() + self.0.shift_ms)
    }

    /// How far the wall is ahead, in milliseconds; changes only when the clock is set.
    pub fn wall_offset_ms(&self) -> i64 {
        let ahead_ms = self.0.clock.now().unix_ms() - self.now().unix_ms();
        let known_ms = self.0.wall_offset_ms.load(SeqCst);
        if (ahead_ms - known_ms).abs() < STEP_MS {
            return known_ms;
        }
        if self.0.wall_offset_ms.swap(ahead_ms, SeqCst) == known_ms {
            let by = ahead_ms - known_ms;
            tracing::warn!("the clock was set by {by} ms; what waits goes on waiting as long as it had to");
        }
        ahead_ms
    }

    /// What the wall shows when this clock shows `moment`, unless it is set again.
    pub fn to_wall(&self, moment: Timestamp) -> Timestamp {
        Timestamp::from_unix_ms(moment.unix_ms() + self.wall_offset_ms())
    }

    /// What this clock shows when the wall shows `moment`, unless it is set again.
    pub fn from_wall(&self, moment: Timestamp) -> Timestamp {
        Timestamp::from_unix_ms(moment.unix_ms() - self.wall_offset_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_with_milliseconds() {
        let moment: Timestamp = "2026-04-14T14:34:56.789+02:00".parse().expect("RFC 3339");
        assert_eq!(moment.to_string(), "2026-04-14T12:34:56.789Z");
        assert_eq!(Timestamp::from_unix_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    const START: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);
    const TEN_MINUTES_MS: i64 = 600_000;

    #[test]
    fn the_monotonic_clock_goes_on_when_the_clock_is_set() {
        for by_ms in [TEN_MINUTES_MS, -TEN_MINUTES_MS] {
            let clock = Clock::manual(START);
            let monotonic = Monotonic::resume(clock.clone(), 0, Timestamp::from_unix_ms(0));
            assert_eq!((monotonic.now(), monotonic.wall_offset_ms()), (START, 0));
            clock.set(by_ms);
            clock.advance(Duration::from_secs(1));
            assert_eq!(monotonic.now(), START.after(Duration::from_secs(1)));
            assert_eq!(monotonic.wall_offset_ms(), by_ms);
            assert_eq!(
                (monotonic.to_wall(monotonic.now()), monotonic.from_wall(clock.now())),
                (clock.now(), monotonic.now())
            );
        }
    }

    #[test]
    fn it_goes_on_over_restarts_and_never_back() {
        let clock = Clock::manual(START);
        clock.set(TEN_MINUTES_MS);
        let again = |ahead_ms, reached| Monotonic::resume(clock.clone(), ahead_ms, reached);
        let monotonic = again(TEN_MINUTES_MS, START);
        assert_eq!((monotonic.now(), monotonic.wall_offset_ms()), (START, TEN_MINUTES_MS));
        let monotonic = again(0, START);
        assert_eq!((monotonic.now(), monotonic.wall_offset_ms()), (clock.now(), 0), "time that has passed");
        let reached = clock.now().after(Duration::from_secs(60));
        let monotonic = again(0, reached);
        assert_eq!(
            (monotonic.now(), monotonic.wall_offset_ms()),
            (reached, -60_000),
            "set back while nobody looked"
        );
        clock.advance(Duration::from_secs(1));
        assert_eq!(monotonic.to_wall(monotonic.now()), clock.now());
    }

    #[test]
    fn the_machines_monotonic_clock_is_not_ahead_of_its_wall() {
        let monotonic = Monotonic::resume(Clock::System, 0, Timestamp::from_unix_ms(0));
        for _ in 0..1_000 {
            let moment = monotonic.now();
            assert!(moment <= Clock::System.now());
        }
        assert_eq!(monotonic.wall_offset_ms(), 0);
    }
}
