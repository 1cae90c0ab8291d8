//! Counting while load is made, and what comes out of it.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies above this count as this.
const LATENCY_MAX_US: u64 = 120_000_000;

/// What all chargers count together, readable at any time.
#[derive(Debug)]
pub struct Counters {
    pub(super) connected: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) booted: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) disconnections: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) resent: AtomicU64,
    measured: Mutex<Measured>,
}

#[derive(Debug)]
struct Measured {
    latency_us: Histogram<u64>,
    on: bool,
    sent_before: u64,
    answered_before: u64,
    last_problem: Option<String>,
}

impl Default for Counters {
    fn default() -> Self {
        let latency_us = Histogram::new_with_max(LATENCY_MAX_US, 3)
            .unwrap_or_else(|_| unreachable!("the bounds are constants that hdrhistogram takes"));
        Self {
            connected: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            booted: AtomicU64::new(0),
            connect_failures: AtomicU64::new(0),
            disconnections: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            resent: AtomicU64::new(0),
            measured: Mutex::new(Measured {
                latency_us,
                on: false,
                sent_before: 0,
                answered_before: 0,
                last_problem: None,
            }),
        }
    }
}

impl Counters {
    /// Chargers that are connected now.
    pub fn connected(&self) -> u64 {
        self.connected.load(Relaxed)
    }

    /// Chargers whose boot was accepted at least once.
    pub fn booted(&self) -> u64 {
        self.booted.load(Relaxed)
    }

    /// Calls answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Whether the connections stand and calls are measured.
    pub fn is_measuring(&self) -> bool {
        self.measured().on
    }

    /// The last thing that went wrong.
    pub fn last_problem(&self) -> Option<String> {
        self.measured().last_problem.clone()
    }

    pub(super) fn unanswered(&self) -> u64 {
        let over = self.answered() + self.refused.load(Relaxed);
        self.sent.load(Relaxed).saturating_sub(over)
    }

    pub(super) fn problem(&self, problem: String) {
        self.measured().last_problem = Some(problem);
    }

    pub(super) fn begin_measuring(&self) {
        let mut measured = self.measured();
        measured.on = true;
        measured.sent_before = self.sent.load(Relaxed);
        measured.answered_before = self.answered();
    }

    pub(super) fn latency(&self, latency: Duration) {
        let mut measured = self.measured();
        if measured.on {
            measured.latency_us.saturating_record(latency.as_micros().min(u128::from(LATENCY_MAX_US)) as u64);
        }
    }

    pub(super) fn report(&self, took: Duration, chargers: usize) -> Report {
        let mut measured = self.measured();
        measured.on = false;
        let answered = self.answered() - measured.answered_before;
        let quantile = |quantile| measured.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Report {
            chargers: chargers as u64,
            connected: self.connected(),
            connections: self.connections.load(Relaxed),
            connect_failures: self.connect_failures.load(Relaxed),
            disconnections: self.disconnections.load(Relaxed),
            duration_s: took.as_secs_f64(),
            sent: self.sent.load(Relaxed) - measured.sent_before,
            answered,
            errors: self.refused.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            resent: self.resent.load(Relaxed),
            unanswered: 0,
            calls_per_s: answered as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE),
            latency_ms: Latency {
                p50: quantile(0.50),
                p95: quantile(0.95),
                p99: quantile(0.99),
                max: measured.latency_us.max() as f64 / 1_000.0,
            },
            total_sent: self.sent.load(Relaxed),
            total_answered: self.answered(),
            last_problem: measured.last_problem.clone(),
        }
    }

    fn measured(&self) -> std::sync::MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What load was made and how it was answered.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Chargers that were asked for.
    pub chargers: u64,
    /// Chargers connected at the end.
    pub connected: u64,
    /// WebSockets that stood, over the whole run.
    pub connections: u64,
    /// Tries to connect that failed, over the whole run.
    pub connect_failures: u64,
    /// Connections that broke, over the whole run.
    pub disconnections: u64,
    /// How long was measured, s.
    pub duration_s: f64,
    /// Calls sent while measuring.
    pub sent: u64,
    /// Calls answered with a CALLRESULT while measuring.
    pub answered: u64,
    /// Calls answered with a CALLERROR, over the whole run.
    pub errors: u64,
    /// Calls not answered in time, over the whole run.
    pub timed_out: u64,
    /// Calls sent again after a connection broke, over the whole run.
    pub resent: u64,
    /// Tries that had no answer when everything was over; what a broken connection cut off may have been sent
    /// again.
    pub unanswered: u64,
    /// Answered calls per second while measuring.
    pub calls_per_s: f64,
    /// From sending a call to its answer, while measuring.
    pub latency_ms: Latency,
    /// Calls sent over the whole run, boots included.
    pub total_sent: u64,
    /// Calls answered with a CALLRESULT when measuring ended, over the whole run, boots included.
    pub total_answered: u64,
    /// The last thing that went wrong.
    pub last_problem: Option<String>,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Report {
    pub(super) fn with_unanswered(self, unanswered: u64) -> Self {
        Self { unanswered, ..self }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "chargers   {} of {} connected; {} failed tries, {} connections broken",
            self.connected, self.chargers, self.connect_failures, self.disconnections
        )?;
        writeln!(
            f,
            "calls      {} sent, {} answered in {:.1} s: {:.0} calls/s",
            self.sent, self.answered, self.duration_s, self.calls_per_s
        )?;
        writeln!(
            f,
            "problems   {} errors, {} timed out, {} sent again, {} tries never answered",
            self.errors, self.timed_out, self.resent, self.unanswered
        )?;
        write!(
            f,
            "latency    p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.latency_ms.p50, self.latency_ms.p95, self.latency_ms.p99, self.latency_ms.max
        )?;
        match &self.last_problem {
            Some(problem) => write!(f, "\nlast       {problem}"),
            None => Ok(()),
        }
    }
}
