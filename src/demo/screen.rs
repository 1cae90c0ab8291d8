//! The output of the demo: one line per event, then the counts. Colours only on a terminal.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::Counts;
use super::receiver::Arrival;
use charger_sim::notice::Summary;

/// Columns of the event lines.
const STATION_WIDTH: usize = 7;
const EVENT_WIDTH: usize = 20;
const DETAIL_WIDTH: usize = 52;

#[derive(Clone, Copy)]
enum Style {
    Bold,
    Dim,
    Green,
    Cyan,
}

/// Where everything is.
pub(super) struct Addresses {
    pub(super) ocpp: SocketAddr,
    pub(super) api: SocketAddr,
    pub(super) receiver: SocketAddr,
    /// The dashboard's, or a link that signs in to it.
    pub(super) dashboard: Option<String>,
    /// The key of the demo, where there is time to use it.
    pub(super) key: Option<String>,
}

pub(super) struct Screen {
    coloured: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { coloured: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
            Style::Cyan => 36,
        };
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn print(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }

    /// Prints the addresses and the chargers.
    pub(super) fn introduce(&self, addresses: &Addresses, chargers: usize, forever: bool) -> io::Result<()> {
        let Addresses { ocpp, api, receiver, dashboard, key } = addresses;
        let label = |text: &str| self.paint(Style::Dim, &format!("  {text:<10}"));
        let until = if forever { "until Ctrl-C" } else { "one session each" };
        self.print(&format!(
            "{}\n\n{}{chargers} simulated, on ws://{ocpp}/ocpp, {until}; five minutes pass in a second\n\
             {}http://{api}/api/v1, on a temporary database\n\
             {}http://{receiver}/webhooks, verifies every signature\n\
             {}{}\n{}",
            self.paint(Style::Bold, "chargehook demo: chargers → gateway → signed webhooks"),
            label("chargers"),
            label("gateway"),
            label("receiver"),
            label("dashboard"),
            match (dashboard, forever) {
                (Some(link), true) => format!("{link} (signs in once, within ten minutes)"),
                (Some(url), false) => format!("{url} (with --forever there is time to look at it)"),
                (None, _) => "switched off".to_owned(),
            },
            key.as_ref().map_or_else(String::new, |key| {
                format!("{}{key} (signs in another browser, and calls the API)\n", label("API key"))
            }),
        ))
    }

    /// Prints one webhook that was received and verified.
    pub(super) fn arrival(&self, arrival: &Arrival) -> io::Result<()> {
        let time = arrival.timestamp.to_string();
        let time = time.get(11..23).unwrap_or_default();
        let station = arrival.station_id.as_deref().unwrap_or("-");
        let mut detail = describe(&arrival.event, &arrival.payload);
        if detail.chars().count() > DETAIL_WIDTH {
            detail = detail.chars().take(DETAIL_WIDTH - 1).chain(['…']).collect();
        }
        self.print(&format!(
            "{}  {}  {}  {detail:<DETAIL_WIDTH$}  {}",
            self.paint(Style::Dim, time),
            self.paint(Style::Cyan, &format!("{station:<STATION_WIDTH$}")),
            self.paint(Style::Bold, &format!("{:<EVENT_WIDTH$}", arrival.event)),
            self.paint(Style::Green, "✓ verified"),
        ))
    }

    /// Prints the counts.
    pub(super) fn summary(
        &self,
        chargers: &Summary,
        counts: Counts,
        refused: u64,
        took: Duration,
    ) -> io::Result<()> {
        let line = |label: &str, value: String| format!("  {label:<44}{value:>8}\n");
        let mut text = format!("\n{}\n", self.paint(Style::Bold, "Summary"));
        text += &line("messages sent by the chargers", counts.sent.to_string());
        text += &line("acknowledged by the gateway", counts.acknowledged.to_string());
        text += &line("stored as events", counts.stored.to_string());
        text += &line("received by the webhook, signature verified", counts.verified.to_string());
        if refused > 0 {
            text += &line("received with a bad signature", refused.to_string());
        }
        text += &line("charging sessions", chargers.sessions.to_string());
        text += &line("energy charged, kWh", kilo(chargers.energy_wh));
        text += &line("seconds", format!("{:.1}", took.as_secs_f64()));
        text += &match counts.agree() {
            true => self.paint(Style::Green, "\n✓ all counts agree: nothing was lost on the way"),
            false => "\nthe counts do not agree".to_owned(),
        };
        self.print(&text)
    }
}

fn kilo(wh: i64) -> String {
    format!("{:.2}", wh as f64 / 1_000.0)
}

/// An event in a few words.
fn describe(event: &str, payload: &Value) -> String {
    let text = |field: &str| match &payload[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match event {
        "BootNotification" => format!("{} {}", text("chargePointVendor"), text("chargePointModel")),
        "StatusNotification" => format!("connector {} is {}", text("connectorId"), text("status")),
        "Authorize" => format!("tag {}", text("idTag")),
        "StartTransaction" => format!(
            "transaction {} · tag {} · at {} Wh",
            text("transactionId"),
            text("idTag"),
            text("meterStart")
        ),
        "StopTransaction" => {
            let reason = if payload["reason"].is_null() { "Local".to_owned() } else { text("reason") };
            format!("transaction {} · at {} Wh · {reason}", text("transactionId"), text("meterStop"))
        }
        "MeterValues" => samples(payload),
        "StationConnected" => format!("from {} · {}", text("remote_addr"), text("protocol")),
        "StationDiscovered" => "a station nobody knew before".to_owned(),
        "StationDisconnected" => text("reason"),
        _ => String::new(),
    }
}

/// Energy, power and state of charge of the newest sample.
fn samples(payload: &Value) -> String {
    let newest = payload["meterValue"].as_array().and_then(|values| values.last());
    let samples = newest.and_then(|value| value["sampledValue"].as_array());
    let told = [("Energy.Active.Import.Register", "Wh"), ("Power.Active.Import", "W"), ("SoC", "%")];
    let parts: Vec<String> = told
        .into_iter()
        .filter_map(|(measurand, unit)| {
            let sample = samples?.iter().find(|sample| {
                sample["measurand"].as_str().unwrap_or("Energy.Active.Import.Register") == measurand
                    && sample["phase"].is_null()
            })?;
            Some(format!("{} {unit}", sample["value"].as_str()?))
        })
        .collect();
    parts.join(" · ")
}
