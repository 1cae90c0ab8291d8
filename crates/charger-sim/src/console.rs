//! What a simulated charger does, in lines for people or for programs.

use std::io::{self, Write};

use serde_json::Value;

use super::notice::{Acknowledged, Notice, Summary};
use vocabulary::clock::Clock;
use vocabulary::id::StationId;

/// How much is written, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A line per thing that happens.
    Text,
    /// One JSON object per line.
    Json,
    /// Problems and the summary only.
    Quiet,
}

/// Writes notices to the standard output.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    style: Style,
}

impl Console {
    /// A console of this style.
    pub fn new(style: Style) -> Self {
        Self { style }
    }

    /// Writes one notice, if it is worth a line in this style.
    pub fn show(&self, station: &StationId, notice: &Notice) {
        let line = match self.style {
            Style::Json => json_line(station, notice),
            Style::Quiet if !is_problem(notice) => return,
            Style::Text | Style::Quiet => match describe(notice) {
                Some(words) => {
                    let now = Clock::System.now().to_string();
                    let time = now.get(11..23).unwrap_or_default();
                    format!("{time} {station}  {words}")
                }
                None => return,
            },
        };
        write_line(&line);
    }

    /// Writes what a charger did in all.
    pub fn summarize(&self, station: &StationId, summary: &Summary) {
        match self.style {
            Style::Json => {
                let mut value = serde_json::to_value(summary).unwrap_or(Value::Null);
                value["notice"] = "summary".into();
                value["station_id"] = station.as_str().into();
                write_line(&value.to_string());
            }
            Style::Text | Style::Quiet => write_line(&format!(
                "{station}: {} charged, {} Wh; {} calls sent ({} again), {} acknowledged, {} refused, {} not answered in time; {} commands answered",
                cars(summary.sessions),
                summary.energy_wh,
                summary.sent,
                summary.retried,
                summary.acknowledged,
                summary.refused,
                summary.timed_out,
                summary.commands,
            )),
        }
    }
}

/// Writes one line; a reader that is gone (a closed pipe) is no reason to stop charging.
pub fn write_line(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn json_line(station: &StationId, notice: &Notice) -> String {
    let mut value = serde_json::to_value(notice).unwrap_or(Value::Null);
    value["at"] = Clock::System.now().to_string().into();
    value["station_id"] = station.as_str().into();
    value.to_string()
}

fn is_problem(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::DialFailed { .. }
            | Notice::Disconnected { .. }
            | Notice::Refused { .. }
            | Notice::TimedOut { .. }
            | Notice::GaveUp { .. }
            | Notice::StepFailed { .. }
            | Notice::Reply { .. }
    )
}

/// The words for people; `None` for what other lines already say.
fn describe(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::Connected => "connected".to_owned(),
        Notice::DialFailed { error, retry_ms } => {
            format!("not connected: {error}; next try in {}", seconds(*retry_ms))
        }
        Notice::Disconnected { reason, queued, retry_ms } => {
            let kept = match queued {
                0 => String::new(),
                count => format!(", {count} transaction messages kept for later"),
            };
            format!("disconnected: {reason}{kept}; next try in {}", seconds(*retry_ms))
        }
        Notice::Sent { action, payload, retry, .. } => {
            let again = if *retry { " (again)" } else { "" };
            format!("→ {action}{again}{}", details(action, payload.get()))
        }
        Notice::Acknowledged(acknowledged) => answer_words(acknowledged)?,
        Notice::Refused { action, code, description, .. } => {
            format!("← {action} refused: {code} {description}")
        }
        Notice::TimedOut { action, .. } => format!("  {action} was not answered in time"),
        Notice::GaveUp { action, .. } => format!("  {action} is given up: refused too often"),
        Notice::Registered { status, interval_s } => match status.as_str() {
            "Accepted" => format!("registered; a heartbeat every {interval_s} s"),
            _ => format!("registration {status}; the next boot in {interval_s} s"),
        },
        Notice::Commanded { action, payload, answer } => {
            format!("⇐ {action} {} ⇒ {}", short(payload.get()), short(answer.get()))
        }
        Notice::Charging { connector_id, id_tag, .. } => {
            format!("● connector {connector_id} charges for {id_tag}")
        }
        Notice::TagRefused { connector_id, id_tag, status } => {
            format!("○ connector {connector_id}: {id_tag} is refused ({status})")
        }
        Notice::NobodyCame { connector_id, id_tag } => {
            format!("○ connector {connector_id}: no car came for {id_tag}")
        }
        Notice::ReservationExpired { reservation_id, .. } => {
            format!("○ reservation {reservation_id} has expired")
        }
        Notice::SessionEnded { connector_id, reason, energy_wh, took_ms } => {
            format!("○ connector {connector_id} is done: {energy_wh} Wh in {} ({reason})", seconds(*took_ms))
        }
        Notice::Step { step, .. } => format!("▶ {step}"),
        Notice::StepFailed { line, step, reason } => format!("✗ line {line}: {step}: {reason}"),
        Notice::Reply { text } => text.replace('\n', "\n  "),
        Notice::Rebooting { reason, reboot_ms } => {
            format!("going down ({reason}); back in {}", seconds(*reboot_ms))
        }
    })
}

/// The fields of a request that tell people something.
fn details(action: &str, payload: &str) -> String {
    let payload: Value = serde_json::from_str(payload).unwrap_or(Value::Null);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match action {
        "BootNotification" => {
            format!(" {} {}", text(&payload["chargePointVendor"]), text(&payload["chargePointModel"]))
        }
        "StatusNotification" => {
            format!(" connector {} {}", payload["connectorId"], text(&payload["status"]))
        }
        "Authorize" => format!(" {}", text(&payload["idTag"])),
        "StartTransaction" => format!(" at {} Wh", payload["meterStart"]),
        "StopTransaction" => format!(
            " {} at {} Wh ({})",
            payload["transactionId"],
            payload["meterStop"],
            text(&payload["reason"])
        ),
        "MeterValues" => {
            let samples = payload["meterValue"][0]["sampledValue"].as_array();
            let values = samples.into_iter().flatten().map(|sample| {
                format!("{} {}", text(&sample["value"]), text(&sample["unit"]).replace("Percent", "%"))
            });
            format!(" {}", values.collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}

/// What an answer adds to the request's own line.
fn answer_words(acknowledged: &Acknowledged) -> Option<String> {
    let response: Value = serde_json::from_str(acknowledged.response.get()).ok()?;
    let verdict = response["idTagInfo"]["status"].as_str();
    match (acknowledged.action, verdict) {
        ("StartTransaction", Some(verdict)) => {
            Some(format!("← transaction {} ({verdict})", response["transactionId"]))
        }
        ("Authorize", Some(verdict)) => Some(format!("← {verdict}")),
        _ => None,
    }
}

fn cars(count: u64) -> String {
    match count {
        1 => "1 car".to_owned(),
        _ => format!("{count} cars"),
    }
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1_000.0)
}

fn short(json: &str) -> String {
    const CHARS_MAX: usize = 160;
    match json.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &json[..end]),
        None => json.to_owned(),
    }
}
