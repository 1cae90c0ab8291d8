//! `chargehook command`: sends a command through a running gateway, and shows its result.

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::session::GatewayArgs;
use super::table::{Table, cut, state, whole};
use super::{Failure, commands, input};
use vocabulary::api::command::{Command, CommandStatus};
use vocabulary::units::Span;

pub(super) const HELP: &str = r#"Examples:
  chargehook command WALLBOX_001 Reset '{"type": "Soft"}'
  chargehook command WALLBOX_001 RemoteStartTransaction '{"idTag": "TAG", "connectorId": 1}'
  chargehook command WALLBOX_001 GetConfiguration --json"#;

/// The arguments of `command`.
#[derive(Args)]
pub(super) struct CommandArgs {
    /// The station's identity
    station: String,
    /// Any message that a central system of OCPP 1.6 may send, such as Reset
    action: String,
    /// The message's payload [default: {}]
    #[arg(value_name = "JSON", value_parser = input::json)]
    payload: Option<Box<RawValue>>,
    /// How long to wait for the answer [default: 30s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
    /// Does not wait for the answer
    #[arg(long)]
    no_wait: bool,
    /// Lets the command wait for a station that cannot take it now
    #[arg(long)]
    queue: bool,
    /// How long it may wait for the station [default: 1h, or 60s for what is urgent]
    #[arg(long, value_name = "DURATION", requires = "queue")]
    expires_in: Option<Span>,
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

/// Sends the command, prints its result, and fails if the charger does not accept it.
pub(super) async fn send(args: CommandArgs) -> Result<(), Failure> {
    let session = args.gateway.open()?;
    let body = Body {
        action: &args.action,
        payload: args.payload.as_deref(),
        timeout: args.timeout,
        wait: !args.no_wait,
        queue: args.queue,
        expires_in: args.expires_in,
    };
    let columns = [whole("ID"), whole("STATION"), whole("ACTION"), state("STATUS"), cut("ANSWER")];
    let call = session.client.send_command(&args.station, &body);
    let command = session.add(&mut Table::new(columns), call, row).await?;
    let under_way = matches!(command.status, CommandStatus::Queued | CommandStatus::Sent);
    match under_way || command.accepted == Some(true) {
        true => Ok(()),
        false => Err(Failure::NotObeyed(command.action, command.status.as_str())),
    }
}

fn row(command: &Command) -> [String; 5] {
    [
        command.id.to_string(),
        command.station_id.clone(),
        command.action.clone(),
        command.status.as_str().to_owned(),
        commands::answer(command),
    ]
}
