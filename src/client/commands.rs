//! Commands to stations.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::command::Command;
use vocabulary::api::why::Why;
use vocabulary::id::CommandId;

/// Longer than the longest wait for a command and its answer.
const TIMEOUT: Duration = Duration::from_secs(1_300);

impl Client {
    /// Sends a command; `input` is the body of `POST /stations/{id}/commands`. One that was not answered, or
    /// not accepted, is an answer too: see its `status` and `accepted`.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong field, or is a 409 if the station cannot take it
    /// now.
    pub fn send_command(&self, station: &str, input: &impl Serialize) -> Call<Command> {
        let request = self.request(Method::POST, &["stations", station, "commands"], &[]);
        self.call(request.timeout(TIMEOUT).json(input)).or(StatusCode::GATEWAY_TIMEOUT)
    }

    /// One page of the commands.
    pub fn commands(&self, parameters: Parameters<'_>) -> Call<Page<Command>> {
        self.get(&["commands"], parameters)
    }

    /// A command.
    pub fn command(&self, id: CommandId) -> Call<Command> {
        self.get(&["commands", &id.to_string()], &[])
    }

    /// Cancels a command.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 409 if it was sent, or has ended.
    pub fn cancel_command(&self, id: CommandId) -> Call<Command> {
        self.ask(&["commands", &id.to_string(), "cancel"], &[])
    }

    /// Why a command came to what it did.
    pub fn why_command(&self, id: CommandId) -> Call<Why> {
        self.get(&["commands", &id.to_string(), "why"], &[])
    }
}
