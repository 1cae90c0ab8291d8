//! The circuit breaker of a lane: stops sending to an endpoint that is down. Pure: the moment is passed in.

use std::time::Duration;

use vocabulary::clock::Timestamp;

/// Failures in a row that open the breaker.
pub const FAILURES_TO_OPEN: u32 = 5;

/// The longest time between two probes.
pub const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(30);

/// How many sends may be under way right after the first success.
const RAMP_START: usize = 2;

/// Decides how many sends a lane may have under way.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    failures_in_a_row: u32,
    first_interval: Duration,
    /// A ramp ends at this number of sends.
    full: usize,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All sends pass.
    Closed,
    /// Only one probe at a time passes.
    Open {
        /// When it opened.
        since: Timestamp,
        /// When the next probe may go.
        probe_at: Timestamp,
        /// How long after a failed probe the next one may go.
        interval: Duration,
    },
    /// The endpoint is back: a few sends at a time pass, more with each success.
    Ramp {
        /// How many may be under way.
        limit: usize,
    },
}

/// How many sends may be under way now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// As many as the lane's other limits permit.
    Any,
    /// At most this many.
    AtMost(usize),
    /// One, the probe, and only if no other send is under way.
    Probe,
    /// None before this moment.
    NotBefore(Timestamp),
}

impl Breaker {
    /// A closed breaker for a lane with this schedule and `max_in_flight`.
    pub fn new(schedule: &[Duration], max_in_flight: usize) -> Self {
        let mut breaker = Self {
            state: State::Closed,
            failures_in_a_row: 0,
            first_interval: PROBE_INTERVAL_MAX,
            full: max_in_flight,
        };
        breaker.configure(schedule, max_in_flight);
        breaker
    }

    /// Takes a changed schedule or limit, and keeps the state.
    pub fn configure(&mut self, schedule: &[Duration], max_in_flight: usize) {
        let shortest = schedule.iter().min().copied().unwrap_or(PROBE_INTERVAL_MAX);
        self.first_interval = shortest.min(PROBE_INTERVAL_MAX);
        self.full = max_in_flight;
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether sends wait until a probe succeeds.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// How many sends may be under way at `now`.
    pub fn allowance(&self, now: Timestamp) -> Allowance {
        match self.state {
            State::Closed => Allowance::Any,
            State::Open { probe_at, .. } if now >= probe_at => Allowance::Probe,
            State::Open { probe_at, .. } => Allowance::NotBefore(probe_at),
            State::Ramp { limit } => Allowance::AtMost(limit),
        }
    }

    /// A send was answered 2xx: any success proves that the endpoint is there.
    pub fn succeeded(&mut self) {
        self.failures_in_a_row = 0;
        self.state = match self.state {
            State::Closed => State::Closed,
            State::Open { .. } if RAMP_START >= self.full => State::Closed,
            State::Open { .. } => State::Ramp { limit: RAMP_START },
            State::Ramp { limit } if limit + 1 >= self.full => State::Closed,
            // One more for each success doubles the sends under way in each round.
            State::Ramp { limit } => State::Ramp { limit: limit + 1 },
        };
    }

    /// A send failed. Only a failed `probe` moves the next probe; sends from before the breaker opened,
    /// and resends that passed it, do not.
    pub fn failed(&mut self, probe: bool, now: Timestamp) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.state = match self.state {
            State::Open { since, interval, .. } if probe => {
                let interval = interval.saturating_mul(2).min(PROBE_INTERVAL_MAX);
                State::Open { since, probe_at: now.after(interval), interval }
            }
            open @ State::Open { .. } => open,
            _ if self.failures_in_a_row >= FAILURES_TO_OPEN => State::Open {
                since: now,
                probe_at: now.after(self.first_interval),
                interval: self.first_interval,
            },
            State::Ramp { limit } => State::Ramp { limit: (limit / 2).max(1) },
            State::Closed => State::Closed,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    fn open_at_zero(shortest: Duration) -> Breaker {
        let mut breaker = Breaker::new(&[Duration::from_secs(60), shortest], 8);
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(breaker.allowance(at(0)), Allowance::Any);
            breaker.failed(false, at(0));
        }
        breaker
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let mut breaker = Breaker::new(&[Duration::from_secs(1)], 8);
        for _ in 0..3 {
            (0..FAILURES_TO_OPEN - 1).for_each(|_| breaker.failed(false, at(0)));
            breaker.succeeded();
        }
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn probes_start_at_the_shortest_entry_and_double_to_thirty_seconds() {
        let mut breaker = open_at_zero(Duration::from_secs(5));
        let mut now = 0;
        let mut gaps = Vec::new();
        for _ in 0..5 {
            let Allowance::NotBefore(probe_at) = breaker.allowance(at(now)) else { panic!("open") };
            assert_eq!(breaker.allowance(probe_at), Allowance::Probe);
            gaps.push((probe_at.unix_ms() - now) / 1_000);
            now = probe_at.unix_ms();
            breaker.failed(true, at(now));
        }
        assert_eq!(gaps, [5, 10, 20, 30, 30]);
    }

    #[test]
    fn without_retries_or_with_long_ones_a_probe_comes_after_thirty_seconds() {
        for schedule in [vec![], vec![Duration::from_secs(3_600)]] {
            let mut breaker = Breaker::new(&schedule, 8);
            (0..FAILURES_TO_OPEN).for_each(|_| breaker.failed(false, at(0)));
            assert_eq!(breaker.allowance(at(0)), Allowance::NotBefore(at(30_000)));
        }
    }

    #[test]
    fn only_the_probe_moves_the_next_probe() {
        let mut breaker = open_at_zero(Duration::from_secs(5));
        breaker.failed(false, at(4_000));
        assert_eq!(breaker.allowance(at(4_000)), Allowance::NotBefore(at(5_000)));
    }

    #[test]
    fn it_ramps_after_the_first_success_and_closes_when_full() {
        let mut breaker = open_at_zero(Duration::from_secs(5));
        breaker.succeeded();
        let mut limits = Vec::new();
        while let Allowance::AtMost(limit) = breaker.allowance(at(0)) {
            limits.push(limit);
            breaker.succeeded();
        }
        assert_eq!(limits, [2, 3, 4, 5, 6, 7]);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn failures_in_a_ramp_slow_it_and_five_in_a_row_open_again() {
        let mut breaker = open_at_zero(Duration::from_secs(5));
        (0..4).for_each(|_| breaker.succeeded());
        assert_eq!(breaker.allowance(at(0)), Allowance::AtMost(5));
        breaker.failed(false, at(0));
        assert_eq!(breaker.allowance(at(0)), Allowance::AtMost(2));
        breaker.failed(false, at(0));
        assert_eq!(breaker.allowance(at(0)), Allowance::AtMost(1));
        (0..3).for_each(|_| breaker.failed(false, at(7)));
        assert_eq!(breaker.allowance(at(7)), Allowance::NotBefore(at(5_007)));
    }

    #[test]
    fn a_lane_with_one_slot_needs_no_ramp() {
        let mut breaker = Breaker::new(&[Duration::from_secs(1)], 1);
        (0..FAILURES_TO_OPEN).for_each(|_| breaker.failed(false, at(0)));
        breaker.succeeded();
        assert_eq!(breaker.allowance(at(0)), Allowance::Any);
    }
}
