//! `chargehook status`: everything at a glance.

use clap::Args;
use serde::Serialize;

use super::relative_time::relative;
use super::session::GatewayArgs;
use super::table::{fields, printable};
use super::view::Look;
use super::{Failure, input};
use vocabulary::api::overview::{Attention, DeliveryFigures, Overview, Severity};
use vocabulary::clock::Clock;

pub(super) const HELP: &str = "\
Examples:
  chargehook status
  chargehook status --owner acme --time-zone Europe/Berlin
  chargehook status --json | jq '.attention[] | select(.severity == \"bad\")'";

/// Whose status is shown.
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Args, Serialize)]
struct Which {
    /// Only what belongs to this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Where today begins at midnight, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

pub(super) async fn run(Status { which, gateway }: Status) -> Result<(), Failure> {
    let session = gateway.open()?;
    let parameters = input::parameters(&which);
    session.show(session.client.overview(&input::borrowed(&parameters)), screen).await?;
    Ok(())
}

/// A screen of it: figures, then what somebody should see to.
fn screen(overview: &Overview) -> String {
    let width = Look::current().width;
    let figures = fields(&figures(overview));
    // Values begin in one column, and go on there.
    let begin = figures.find("  ").map_or(0, |gap| gap + 2).max("connectors:  ".len());
    let indent = " ".repeat(begin);
    let mut text: String = figures.lines().map(|line| wrapped(line, &indent, width)).collect();
    match overview.attention.len() {
        0 => text.push_str("\nNothing needs you.\n"),
        entries => {
            text.push_str(&format!("\nNeeds you ({entries}):\n"));
            text.extend(overview.attention.iter().map(entry));
        }
    }
    text
}

fn figures(overview: &Overview) -> Vec<(&'static str, String)> {
    let Overview { stations, sessions, webhooks, storage, .. } = overview;
    let connectors: Vec<String> =
        overview.connectors.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let mut figures = vec![
        ("gateway", format!("{}, up for {}", overview.version, span(overview.uptime_s))),
        (
            "stations",
            format!(
                "{} ({} connected, {} offline, {} never connected, {} pending, {} blocked)",
                stations.total,
                stations.connected,
                stations.offline,
                stations.never_connected,
                stations.pending,
                stations.blocked
            ),
        ),
        ("connectors", if connectors.is_empty() { "none".to_owned() } else { connectors.join(", ") }),
        (
            "sessions",
            format!(
                "{} active, {} kW now, {} kWh today",
                sessions.active,
                thousandth(sessions.power_w),
                thousandth(sessions.energy_today_wh)
            ),
        ),
        ("deliveries", deliveries(&overview.deliveries)),
        (
            "webhooks",
            format!(
                "{} ({} failing, {} paused, {} disabled)",
                webhooks.total, webhooks.failing, webhooks.paused, webhooks.disabled
            ),
        ),
    ];
    // Who looks at its own things only is not told.
    if let Some(used) = storage.used_bytes {
        let free = storage.free_bytes.map_or_else(String::new, |free| format!(", {} free", bytes(free)));
        figures.push(("disk", format!("{} used{free}", bytes(used))));
    }
    figures
}

fn deliveries(figures: &DeliveryFigures) -> String {
    let oldest =
        figures.oldest_waiting_s.map_or_else(String::new, |age| format!(" (the oldest for {})", span(age)));
    format!(
        "{} waiting{oldest}, {} in flight, in 24 h {} arrived and {} failed, {} dead letters",
        figures.waiting, figures.in_flight, figures.succeeded_24h, figures.failed_24h, figures.dead_letters
    )
}

fn entry(entry: &Attention) -> String {
    let mark = match entry.severity {
        Severity::Bad => "!!",
        Severity::Warn => "! ",
        Severity::Info => "- ",
    };
    let look = Look::current();
    let since = entry.since.map(|since| match look.exact_times {
        true => format!(" · since {since}"),
        false => format!(" · {}", relative(since, Clock::System.now())),
    });
    let text = printable(&entry.text) + &since.unwrap_or_default();
    let text = wrapped(&format!("{mark} {text}"), "   ", look.width);
    text + &wrapped(&format!("     {}", printable(&entry.cause)), "     ", look.width)
}

/// The text in lines of `width` characters, those after the first behind `indent`; a longer word has a line
/// of its own.
fn wrapped(text: &str, indent: &str, width: Option<usize>) -> String {
    let width = width.unwrap_or(usize::MAX);
    let (mut lines, mut chars) = (String::new(), 0);
    for (place, word) in text.split(' ').enumerate() {
        let more = word.chars().count();
        if place > 0 && chars + 1 + more > width && chars > indent.len() {
            lines.push('\n');
            lines.push_str(indent);
            chars = indent.len();
        } else if place > 0 {
            lines.push(' ');
            chars += 1;
        }
        lines.push_str(word);
        chars += more;
    }
    lines.push('\n');
    lines
}

/// With one decimal, in units of a thousand.
fn thousandth(number: i64) -> String {
    format!("{:.1}", number as f64 / 1_000.0)
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        ..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_wide_as_the_terminal() {
        assert_eq!(wrapped("!! five stations left", "   ", Some(12)), "!! five\n   stations\n   left\n");
        assert_eq!(wrapped("!! five stations left", "   ", None), "!! five stations left\n");
        assert_eq!(wrapped("     unbreakable", "     ", Some(8)), "     unbreakable\n");
    }
}
