//! What became of deliveries in 24 hours, as a small chart of quarters of an hour.

use std::time::Duration;

use maud::{Markup, html};

use super::units;
use vocabulary::api::webhook_stats::Quarter;
use vocabulary::clock::Timestamp;

/// Quarters of an hour that are drawn: those of a day, and the one that runs.
const SHOWN: u64 = 97;

const QUARTER: Duration = Duration::from_secs(900);

/// The height of the drawing.
const HEIGHT: f64 = 24.0;

/// What is left of a column that is too low to be seen.
const LEAST: f64 = 1.5;

/// The chart: what has arrived, and on top of that what has failed.
pub(in crate::ui) fn quarters(all: &[Quarter], now: Timestamp) -> Markup {
    let sum = |part: fn(&Quarter) -> u64| all.iter().map(part).sum::<u64>();
    let (succeeded, failed) = (sum(|one| one.succeeded), sum(|one| one.failed));
    let most = all.iter().map(|one| one.succeeded + one.failed).max().unwrap_or_default();
    let label = format!("{} arrived and {} failed in 24 h", units::count(succeeded), units::count(failed));
    let (mut arrived, mut lost) = (String::new(), String::new());
    for one in all {
        let age = now.since(one.at).as_secs() / QUARTER.as_secs();
        let Some(place) = (SHOWN - 1).checked_sub(age) else { continue };
        let height = |count: u64| match count {
            0 => 0.0,
            count => (count as f64 / most as f64 * HEIGHT).clamp(LEAST, HEIGHT),
        };
        let (low, high) = (height(one.succeeded), height(one.failed));
        let low = low.min(HEIGHT - high);
        arrived.push_str(&column(place, HEIGHT - low, low));
        lost.push_str(&column(place, HEIGHT - low - high, high));
    }
    html! {
        svg.quarters viewBox={ "0 0 " (SHOWN) " " (HEIGHT) } width="100%" height=(HEIGHT) preserveAspectRatio="none"
            role="img" aria-label=(label) {
            path.axis d={ "M0 " (HEIGHT) "H" (SHOWN) } {}
            path.fill-ok d=(arrived) {}
            path.fill-bad d=(lost) {}
        }
    }
}

fn column(place: u64, top: f64, height: f64) -> String {
    if height > 0.0 { format!("M{place} {top:.1}h.8v{height:.1}h-.8z") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_among_many_is_seen() {
        let now: Timestamp = "2026-04-14T12:07:00Z".parse().expect("a time");
        let quarter =
            |at: &str, succeeded, failed| Quarter { at: at.parse().expect("a time"), succeeded, failed };
        let all = [
            // A day and a quarter ago: it has left the chart.
            quarter("2026-04-13T11:30:00Z", 1, 0),
            quarter("2026-04-14T11:45:00Z", 10_000, 1),
            quarter("2026-04-14T12:00:00Z", 0, 5),
        ];
        let shown = quarters(&all, now).into_string();
        assert!(shown.contains("aria-label=\"10,001 arrived and 6 failed in 24 h\""), "{shown}");
        assert!(shown.contains("d=\"M95 1.5h.8v22.5h-.8z\""), "{shown}");
        assert!(shown.contains("d=\"M95 0.0h.8v1.5h-.8zM96 22.5h.8v1.5h-.8z\""), "{shown}");
        assert!(quarters(&[], now).into_string().contains("0 arrived and 0 failed"));
    }
}
