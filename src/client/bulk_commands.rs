//! Bulk commands: a command to each of many stations.

use reqwest::Method;
use serde::Serialize;

use super::{Call, Client, Parameters, flag};
use vocabulary::api::Page;
use vocabulary::api::bulk_command::{BulkCommand, BulkMatched, BulkStation};
use vocabulary::api::command::Command;
use vocabulary::id::BulkCommandId;

const BULK_COMMANDS: &str = "bulk-commands";

impl Client {
    /// Sends a command to many stations; `input` is the body of `POST /bulk-commands`.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 409 if too many bulk commands are under way.
    pub fn send_bulk_command(&self, input: &impl Serialize) -> Call<BulkCommand> {
        self.post(&[BULK_COMMANDS], input)
    }

    /// Counts the stations that [`Client::send_bulk_command`] would send it to.
    pub fn count_bulk_command(&self, input: &impl Serialize) -> Call<BulkMatched> {
        let request = self.request(Method::POST, &[BULK_COMMANDS], &[("dry_run", flag(true))]);
        self.call(request.json(input))
    }

    /// One page of the bulk commands.
    pub fn bulk_commands(&self, parameters: Parameters<'_>) -> Call<Page<BulkCommand>> {
        self.get(&[BULK_COMMANDS], parameters)
    }

    /// A bulk command.
    pub fn bulk_command(&self, id: BulkCommandId) -> Call<BulkCommand> {
        self.get(&[BULK_COMMANDS, &id.to_string()], &[])
    }

    /// One page of the commands of a bulk command.
    pub fn commands_of_bulk(&self, id: BulkCommandId, parameters: Parameters<'_>) -> Call<Page<Command>> {
        self.get(&[BULK_COMMANDS, &id.to_string(), "commands"], parameters)
    }

    /// One page of the stations of a bulk command.
    pub fn stations_of_bulk(&self, id: BulkCommandId, parameters: Parameters<'_>) -> Call<Page<BulkStation>> {
        self.get(&[BULK_COMMANDS, &id.to_string(), "stations"], parameters)
    }

    /// Cancels a bulk command; its commands that were sent are still answered.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 409 if it has come to its end.
    pub fn cancel_bulk_command(&self, id: BulkCommandId) -> Call<BulkCommand> {
        self.ask(&[BULK_COMMANDS, &id.to_string(), "cancel"], &[])
    }
}
