//! The long suite: what takes minutes, or a million rows. `LONG_SUITE=1` runs it, one case after the other
//! (`LONG_SUITE=1 cargo test --release --test it long::`); without it each case says so and passes.
//!
//! Each case tells its figures in one line on stderr. Criteria that are ratios, measured in one run, hold in
//! a debug build on a busy machine too; times have slack there, and sizes that only take time are smaller.

mod backlog;
mod due;
mod endpoint;
mod first_attempts;
pub(crate) mod fleet;
mod glance;
mod herd;
mod kills;
mod load;
mod neighbours;
mod pages;
mod reconnects;
mod removal;
mod room;
mod seed;
mod site;
mod uptime;

use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::{Mutex, MutexGuard};

/// One case at a time: they measure.
static TURN: Mutex<()> = Mutex::const_new(());

/// Whether the gateway under test, and what makes its load, was built without optimisation.
const DEBUG: bool = cfg!(debug_assertions);

/// Waits for a turn; `None` if the suite was not asked for.
async fn turn(case: &str) -> Option<MutexGuard<'static, ()>> {
    if std::env::var_os("LONG_SUITE").is_none() {
        tell(case, "left out; LONG_SUITE=1 runs it");
        return None;
    }
    chargehook::serve::raise_open_files_limit();
    Some(TURN.lock().await)
}

/// One line of figures, past the test harness, which keeps what passing tests print to itself.
fn tell(case: &str, figures: &str) {
    let build = if DEBUG { "debug" } else { "release" };
    writeln!(std::io::stderr().lock(), "{case} ({build}): {figures}").expect("stderr can be written to");
}

/// What a debug build is given instead of what a release build has to keep.
fn slack<T>(release: T, debug: T) -> T {
    if DEBUG { debug } else { release }
}

/// Times in microseconds.
type Times = Histogram<u64>;

fn times() -> Times {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("up to ten minutes, three digits")
}

fn record(times: &mut Times, took: Duration) {
    times.saturating_record(took.as_micros() as u64);
}

fn quantile(times: &Times, share: f64) -> Duration {
    Duration::from_micros(times.value_at_quantile(share))
}

/// Median and 99th percentile, to be read by people.
fn summary(times: &Times) -> String {
    let ms = |share| quantile(times, share).as_secs_f64() * 1_000.0;
    format!("p50 {:.1} p99 {:.1} max {:.1} ms of {}", ms(0.5), ms(0.99), ms(1.0), times.len())
}
