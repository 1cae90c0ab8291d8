//! A progress bar for the load mode, on the standard error of a terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval};

use super::load::{Counters, LoadOptions};

const REFRESH: Duration = Duration::from_millis(250);

/// Shows how the load is going until it is dropped from a `select!`; never returns.
///
/// Where nobody watches (no terminal, or `quiet`) it shows nothing and costs nothing.
pub async fn show(options: &LoadOptions, counters: Arc<Counters>, quiet: bool) {
    if quiet || !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let bar = ProgressBar::new(options.count as u64);
    set_style(&bar, "{bar:30} {pos} of {len} chargers connected  {msg}");
    let mut ticks = interval(REFRESH);
    let (mut measuring_since, mut last) = (None::<Instant>, (Instant::now(), counters.answered()));
    loop {
        ticks.tick().await;
        let answered = counters.answered();
        let rate = (answered - last.1) as f64 / last.0.elapsed().as_secs_f64().max(0.001);
        last = (Instant::now(), answered);
        match measuring_since {
            None if counters.is_measuring() => {
                measuring_since = Some(Instant::now());
                bar.set_length(options.duration.as_millis() as u64);
                set_style(&bar, "{bar:30} {msg}");
            }
            None => {
                bar.set_position(counters.booted());
                bar.set_message(counters.last_problem().unwrap_or_default());
            }
            Some(since) => {
                bar.set_position(since.elapsed().as_millis() as u64);
                bar.set_message(format!(
                    "{:.0} of {:.0} s, {} connected, {answered} calls answered, {rate:.0}/s",
                    since.elapsed().as_secs_f64(),
                    options.duration.as_secs_f64(),
                    counters.connected(),
                ));
            }
        }
    }
}

/// The templates are constants that indicatif takes; a plain bar is no reason to fail either.
fn set_style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
