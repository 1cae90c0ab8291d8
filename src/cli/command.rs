//! `chargehook command`: asks a running gateway to send one, and shows what came of it.

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Failure, print, table};
use crate::api::command::{Command, CommandStatus};
use crate::client::Client;
use crate::units::Span;

/// A running gateway, and the key to it.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// Where the gateway's REST API is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An API key of the gateway
    #[arg(long, value_name = "KEY", env = "CHARGEHOOK_API_KEY", hide_env_values = true)]
    api_key: String,
}

impl Remote {
    fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.url, &self.api_key)?)
    }
}

/// What is asked of whom.
#[derive(Debug, Args)]
pub(super) struct Order {
    #[command(flatten)]
    remote: Remote,
    /// The station's identity
    station: String,
    /// Any message that a central system of OCPP 1.6 may send, such as Reset
    action: String,
    /// The message's payload [default: {}]
    #[arg(value_name = "JSON", value_parser = read_json)]
    payload: Option<Box<RawValue>>,
    /// How long the answer is waited for [default: 30s]
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
    /// Prints the command as JSON
    #[arg(long)]
    json: bool,
}

fn read_json(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned()).map_err(|error| format!("this is not JSON: {error}"))
}

/// The body of the call; what is not given is left to the gateway.
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

/// Sends the command, prints what came of it, and fails if the charger does not do it.
pub(super) async fn send(order: Order) -> Result<(), Failure> {
    let body = Body {
        action: &order.action,
        payload: order.payload.as_deref(),
        timeout: order.timeout,
        wait: !order.no_wait,
        queue: order.queue,
        expires_in: order.expires_in,
    };
    let command = order.remote.client()?.send_command(&order.station, &body).await?;
    match order.json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&command).unwrap_or_default()))?,
        false => print(&table::table(["ID", "STATION", "ACTION", "STATUS", "ANSWER"], [row(&command)]))?,
    }
    let under_way = matches!(command.status, CommandStatus::Queued | CommandStatus::Sent);
    match under_way || command.accepted == Some(true) {
        true => Ok(()),
        false => Err(Failure::NotObeyed(command.action, command.status.as_str())),
    }
}

fn row(command: &Command) -> [String; 5] {
    let answer = match (&command.response, &command.error) {
        (Some(response), _) => response.to_string(),
        (None, Some(error)) => format!("{} {}", error.code, error.description),
        (None, None) => "-".to_owned(),
    };
    [
        command.id.to_string(),
        command.station_id.clone(),
        command.action.clone(),
        command.status.as_str().to_owned(),
        answer,
    ]
}
