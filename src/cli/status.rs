//! `chargehook status`: everything at a glance, and as a table with a row for each figure.

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
  chargehook status --csv
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
    let call = session.client.overview(&input::borrowed(&parameters));
    session.show_or_rows(call, screen, ["figure", "value", "since", "cause"], rows).await
}

/// A row for each figure, named as the fields of the API, then one for each thing that somebody should see
/// to. Figures are the same whatever there is, but for statuses of connectors: those that there are.
fn rows(overview: &Overview) -> Vec<[String; 4]> {
    let Overview { at, stations, connectors, sessions, deliveries, webhooks, storage, .. } = overview;
    let or_empty = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let mut figures = vec![
        ("at", at.to_string()),
        ("version", overview.version.clone()),
        ("uptime_s", overview.uptime_s.to_string()),
        ("stations.total", stations.total.to_string()),
        ("stations.connected", stations.connected.to_string()),
        ("stations.offline", stations.offline.to_string()),
        ("stations.never_connected", stations.never_connected.to_string()),
        ("stations.pending", stations.pending.to_string()),
        ("stations.blocked", stations.blocked.to_string()),
        ("sessions.active", sessions.active.to_string()),
        ("sessions.power_w", sessions.power_w.to_string()),
        ("sessions.energy_today_wh", sessions.energy_today_wh.to_string()),
        ("deliveries.waiting", deliveries.waiting.to_string()),
        ("deliveries.in_flight", deliveries.in_flight.to_string()),
        ("deliveries.oldest_waiting_s", or_empty(deliveries.oldest_waiting_s)),
        ("deliveries.succeeded_24h", deliveries.succeeded_24h.to_string()),
        ("deliveries.failed_24h", deliveries.failed_24h.to_string()),
        ("deliveries.dead_letters", deliveries.dead_letters.to_string()),
        ("webhooks.total", webhooks.total.to_string()),
        ("webhooks.failing", webhooks.failing.to_string()),
        ("webhooks.paused", webhooks.paused.to_string()),
        ("webhooks.disabled", webhooks.disabled.to_string()),
        ("storage.used_bytes", or_empty(storage.used_bytes)),
        ("storage.free_bytes", or_empty(storage.free_bytes)),
    ];
    let mut figures: Vec<(String, String)> =
        figures.drain(..).map(|(name, value)| (name.to_owned(), value)).collect();
    figures
        .extend(connectors.iter().map(|(status, count)| (format!("connectors.{status}"), count.to_string())));
    let figures = figures.into_iter().map(|(name, value)| [name, value, String::new(), String::new()]);
    let attention = overview.attention.iter().map(|entry| {
        let since = entry.since.map_or_else(String::new, |since| since.to_string());
        [format!("attention.{}", entry.severity), entry.text.clone(), since, entry.cause.clone()]
    });
    figures.chain(attention).collect()
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
    fn a_table_of_it_has_every_figure() {
        let mut shown = serde_json::json!({"at": "2026-04-14T12:00:00.000Z", "connectors": {}, "version": "0",
            "uptime_s": 1, "attention": [], "webhooks": {"total": 0, "failing": 0, "paused": 0, "disabled": 0},
            "storage": {"used_bytes": null, "free_bytes": null},
            "stations": {"total": 0, "connected": 0, "offline": 0, "never_connected": 0, "pending": 0, "blocked": 0},
            "sessions": {"active": 0, "power_w": 0, "energy_today_wh": 0, "power_last_hour": []},
            "deliveries": {"waiting": 0, "in_flight": 0, "oldest_waiting_s": null, "succeeded_24h": 0,
                "failed_24h": 0, "dead_letters": 0}});
        let overview: Overview = serde_json::from_value(shown.clone()).expect("an overview");
        let names: Vec<String> = rows(&overview).into_iter().map(|[name, ..]| name).collect();
        let members = |value: &serde_json::Value| value.as_object().expect("an object").clone();
        // Lists, and what is named by chargers, have rows of their own.
        for (group, figures) in members(&shown).iter().filter(|(_, value)| value.is_object()) {
            for (figure, _) in members(figures).iter().filter(|(_, value)| !value.is_array()) {
                assert!(names.contains(&format!("{group}.{figure}")), "{group}.{figure} of {names:?}");
            }
        }
        shown["connectors"] = serde_json::json!({"Faulted": 2});
        shown["attention"] = serde_json::json!([{"severity": "bad", "kind": "station_offline", "since": null,
            "text": "CP_1 is offline", "cause": "connection lost", "subject": {"type": "station", "id": "CP_1"},
            "count": 1, "ids": ["CP_1"]}]);
        let overview: Overview = serde_json::from_value(shown).expect("an overview");
        let last: Vec<String> =
            rows(&overview).into_iter().skip(names.len()).map(|row| row.join(",")).collect();
        assert_eq!(last, ["connectors.Faulted,2,,", "attention.bad,CP_1 is offline,,connection lost"]);
    }

    #[test]
    fn lines_are_as_wide_as_the_terminal() {
        assert_eq!(wrapped("!! five stations left", "   ", Some(12)), "!! five\n   stations\n   left\n");
        assert_eq!(wrapped("!! five stations left", "   ", None), "!! five stations left\n");
        assert_eq!(wrapped("     unbreakable", "     ", Some(8)), "     unbreakable\n");
    }
}
