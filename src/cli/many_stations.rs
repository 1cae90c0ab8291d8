//! `chargehook command --all …`: sends a command to many stations, and follows it to its end.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::bulk_table::{COLUMNS, details, row};
use super::session::Session;
use super::station_filter::StationFilter;
use super::table::Table;
use super::{Failure, hint, input};
use vocabulary::api::bulk_command::{BulkCommand, BulkMatched};
use vocabulary::id::BulkCommandId;
use vocabulary::units::Span;

/// How often one looks how far a bulk command has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which stations a command is for, if not one, and how they are asked.
#[derive(Args)]
#[command(next_help_heading = "Many stations")]
pub(super) struct Many {
    /// All stations
    #[arg(long, conflicts_with = "station")]
    all: bool,
    /// This station (repeatable)
    #[arg(long, value_name = "ID")]
    station: Vec<String>,
    #[command(flatten)]
    filter: StationFilter,
    /// How many commands a second or a minute [default: 10/s]
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// What becomes of stations that are not connected: skip or queue [default: skip]
    #[arg(long, value_name = "WHAT")]
    offline: Option<String>,
    /// Only tells how many stations it would be for
    #[arg(long)]
    dry_run: bool,
    /// Does not ask whether it is meant
    #[arg(long, short)]
    yes: bool,
}

impl Many {
    /// The stations that the options choose; `None` if there are no such options.
    pub(super) fn selection(&self) -> Result<Option<Value>, Failure> {
        let filter = input::body(&self.filter, &[]);
        match (self.all, !self.station.is_empty(), !filter.is_empty()) {
            (false, false, false) => Ok(None),
            (true, false, false) => Ok(Some(Value::Object(filter))),
            (false, true, false) => Ok(Some(self.station.clone().into())),
            (false, false, true) => Ok(Some(Value::Object(filter))),
            (true, ..) => {
                Err(Failure::NotAsked("--all means all stations: leave it out to choose some".into()))
            }
            (_, true, true) => {
                Err(Failure::NotAsked("choose stations by --station or by a filter, not by both".into()))
            }
        }
    }

    /// Refuses options that mean nothing for one station.
    pub(super) fn refuse_for_one(&self) -> Result<(), Failure> {
        let given = [
            ("--rate", self.rate.is_some()),
            ("--offline", self.offline.is_some()),
            ("--dry-run", self.dry_run),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(Failure::NotAsked(format!(
                "{option} is for many stations: choose them with --all, --station or a filter"
            ))),
            None => Ok(()),
        }
    }
}

/// The body of the call; the gateway has defaults for the rest.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    stations: Value,
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<Span>,
}

impl<'a> Body<'a> {
    pub(super) fn new(
        stations: Value,
        action: &'a str,
        payload: Option<&'a RawValue>,
        Many { rate, offline, .. }: &'a Many,
    ) -> Self {
        let (rate, offline) = (rate.as_deref(), offline.as_deref());
        Self { stations, action, payload, rate, offline, timeout: None, expires_in: None }
    }

    pub(super) fn timing(self, timeout: Option<Span>, expires_in: Option<Span>) -> Self {
        Self { timeout, expires_in, ..self }
    }
}

/// Asks whether it is meant, sends it, and with `wait` shows how far it comes until its end; fails if a
/// station was asked and did not accept.
pub(super) async fn send(session: &Session, body: &Body<'_>, many: &Many, wait: bool) -> Result<(), Failure> {
    session.for_one_answer()?;
    let client = &session.client;
    if many.dry_run {
        return session.show(client.count_bulk_command(body), counted).await.map(drop);
    }
    if !many.yes && std::io::stdin().is_terminal() {
        let BulkMatched { matched } = client.count_bulk_command(body).await?;
        if !confirmed(&format!("{} to {}?", body.action, stations_told(matched)))? {
            return Err(Failure::NotConfirmed);
        }
    }
    if !wait {
        let sent = session.add(&mut Table::new(COLUMNS), client.send_bulk_command(body), row).await?;
        hint(&format!("it goes on in the background: chargehook bulk show {}", sent.id));
        return Ok(());
    }
    let sent = client.send_bulk_command(body).await?;
    hint(&format!(
        "{} to {}: {}; it goes on if you leave",
        sent.action,
        stations_told(sent.matched),
        sent.id
    ));
    follow(session, sent.id).await?;
    let ended = session.show(client.bulk_command(sent.id), details).await?;
    match ended.rejected + ended.failed {
        0 => Ok(()),
        not_accepted => Err(Failure::NotAllObeyed(not_accepted, ended.action, ended.id)),
    }
}

/// Tells how far it has come, again and again, until its end.
async fn follow(session: &Session, id: BulkCommandId) -> Result<(), Failure> {
    let is_watched = std::io::stderr().is_terminal();
    loop {
        let now = session.client.bulk_command(id).await?;
        if is_watched {
            // The line is written over by the next one.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", progress(&now));
        }
        if now.completed_at.is_some() {
            if is_watched {
                hint("");
            }
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

fn progress(bulk: &BulkCommand) -> String {
    let BulkCommand { matched, accepted, rejected, failed, skipped, .. } = bulk;
    let ended = bulk.ended();
    format!(
        "{ended} of {matched}: {accepted} accepted, {rejected} rejected, {failed} failed, {skipped} skipped"
    )
}

/// Asks on the terminal.
fn confirmed(question: &str) -> Result<bool, Failure> {
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn stations_told(count: u64) -> String {
    if count == 1 { "1 station".to_owned() } else { format!("{count} stations") }
}

fn counted(found: &BulkMatched) -> String {
    format!("it would be sent to {}\n", stations_told(found.matched))
}
