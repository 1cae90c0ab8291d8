//! `chargehook command`: sends a command to one station or to many through a running gateway, and shows what
//! became of it.

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::many_stations::{self, Many};
use super::session::{GatewayArgs, Session};
use super::table::{Column, Table, cut, printable, state, whole};
use super::{Failure, commands, input};
use vocabulary::api::command::{Command, CommandStatus};
use vocabulary::units::Span;

pub(super) const HELP: &str = r#"Examples:
  chargehook command WALLBOX_001 Reset '{"type": "Soft"}'
  chargehook command WALLBOX_001 RemoteStartTransaction '{"idTag": "TAG", "connectorId": 1}'
  chargehook command WALLBOX_001 GetConfiguration --json
  chargehook command --model 'M 2' --dry-run Reset '{"type": "Soft"}'
  chargehook command --all --rate 5/s --offline queue ChangeConfiguration '{"key": "HeartbeatInterval", "value": "300"}'"#;

pub(super) const USAGE: &str = "chargehook command [OPTIONS] <STATION> <ACTION> [JSON]
       chargehook command <--all|--station ID|FILTER> [OPTIONS] <ACTION> [JSON]";

/// The arguments of `command`.
#[derive(Args)]
pub(super) struct CommandArgs {
    /// The station's identity, unless options say which stations; any message that a central system of OCPP
    /// 1.6 may send, such as Reset; and its payload [default: {}]
    #[arg(num_args = 1..=3, required = true, value_names = ["STATION", "ACTION", "JSON"])]
    words: Vec<String>,
    /// How long to wait for each answer [default: 30s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
    /// Does not wait for the answer, or until all of many have ended
    #[arg(long)]
    no_wait: bool,
    /// Lets the command wait for a station that cannot take it now
    #[arg(long)]
    queue: bool,
    /// How long it may wait for the station [default: 1h, or 60s for what is urgent]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<Span>,
    #[command(flatten)]
    many: Many,
    #[command(flatten)]
    gateway: GatewayArgs,
}

/// The body of the call; the gateway has defaults for the rest.
#[derive(Serialize)]
struct Body<'a> {
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Span>,
    wait: bool,
    queue: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<Span>,
}

/// Sends the command, prints its result, and fails if the charger, or one of many, does not accept it.
pub(super) async fn send(args: CommandArgs) -> Result<(), Failure> {
    let selection = args.many.selection()?;
    let mut words = args.words.into_iter();
    let station = match &selection {
        Some(_) => None,
        None => words.next(),
    };
    let action = words.next().ok_or_else(|| {
        Failure::NotAsked(
            "write which station and what is asked, such as: chargehook command CP_1 ClearCache".into(),
        )
    })?;
    let payload = words.next();
    if let Some(excess) = words.next() {
        let hint = "a command to stations that options choose takes an action and a payload";
        return Err(Failure::NotAsked(format!("{hint}; {excess:?} is one word too many")));
    }
    let payload = payload.map(|text| input::json(&text)).transpose().map_err(Failure::Payload)?;
    let session = args.gateway.open()?;
    if let Some(stations) = selection {
        if args.queue {
            return Err(Failure::NotAsked("for many stations write --offline queue, not --queue".into()));
        }
        let body = many_stations::Body::new(stations, &action, payload.as_deref(), &args.many)
            .timing(args.timeout, args.expires_in);
        return many_stations::send(&session, &body, &args.many, !args.no_wait).await;
    }
    args.many.refuse_for_one()?;
    let body = Body {
        action: &action,
        payload: payload.as_deref(),
        timeout: args.timeout,
        wait: !args.no_wait,
        queue: args.queue,
        expires_in: args.expires_in,
    };
    send_one(&session, &station.unwrap_or_default(), &body).await
}

async fn send_one(session: &Session, station: &str, body: &Body<'_>) -> Result<(), Failure> {
    let call = session.client.send_command(station, body);
    let command = session.add(&mut Table::new(COLUMNS), call, row).await?;
    let under_way = matches!(command.status, CommandStatus::Queued | CommandStatus::Sent);
    match under_way || command.accepted == Some(true) {
        true => Ok(()),
        false => Err(Failure::NotObeyed(command.action.clone(), refusal(&command), command.id)),
    }
}

/// What has become of a command that was not accepted.
fn refusal(command: &Command) -> String {
    let response = command.response.as_ref();
    let response: Value =
        response.and_then(|answer| serde_json::from_str(answer.get()).ok()).unwrap_or_default();
    match (command.status, response["status"].as_str()) {
        (CommandStatus::Completed, Some(verdict)) => {
            format!("the charger has answered {}", printable(verdict))
        }
        (status, _) => format!("the command is {status}"),
    }
}

const COLUMNS: [Column; 5] = [whole("ID"), whole("STATION"), whole("ACTION"), state("STATUS"), cut("ANSWER")];

fn row(command: &Command) -> [String; 5] {
    [
        command.id.to_string(),
        command.station_id.clone(),
        command.action.clone(),
        command.status.as_str().to_owned(),
        commands::answer(command),
    ]
}
