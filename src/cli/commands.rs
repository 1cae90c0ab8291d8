//! `chargehook commands`: lists, shows and cancels commands.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::session::{ListArgs, Tasks};
use super::table::{Column, Table, cut, fields, listed, or_dash, state, time, whole};
use super::{Failure, input};
use vocabulary::api::command::{Command, CommandStatus};
use vocabulary::clock::Timestamp;
use vocabulary::id::CommandId;
use vocabulary::words;

pub(super) const HELP: &str = "\
Examples:
  chargehook commands list --station WALLBOX_001 --since 24h
  chargehook commands list --status queued --watch
  chargehook commands list --action Reset --csv > resets.csv
  chargehook commands show cmd_01jrs0m6nxk3v1c8d9e0f2g4h6
  chargehook commands cancel cmd_01jrs0m6nxk3v1c8d9e0f2g4h6

To send one: chargehook command STATION ACTION; to many stations: chargehook command --all ACTION";

/// The arguments of `commands`.
pub(super) type Commands = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the commands, the newest first
    List(ListArgs<Filter>),
    /// Shows a command: what was sent, and what the charger said
    Show {
        /// The command's id
        id: CommandId,
    },
    /// Cancels commands that were not sent yet
    Cancel {
        /// The commands' ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<CommandId>,
    },
}

#[derive(Args, Serialize)]
pub(super) struct Filter {
    /// Only for this station
    #[arg(long = "station", value_name = "ID")]
    station_id: Option<String>,
    /// Only for this customer's stations
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Only this action, such as Reset
    #[arg(long)]
    action: Option<String>,
    #[arg(long, help = format!("Their status: {}", words::listed(CommandStatus::WORDS)))]
    status: Option<String>,
    /// Created then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Created before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

pub(super) async fn run(Commands { task, gateway }: Commands) -> Result<(), Failure> {
    let session = gateway.open()?;
    let client = &session.client;
    match task {
        Task::List(ListArgs { filter, paging }) => {
            session.list(&paging, &filter, |parameters| client.commands(parameters), COLUMNS, row).await
        }
        Task::Show { id } => session.look(client.command(id), details).await,
        Task::Cancel { ids } => {
            let mut table = Table::new(COLUMNS);
            for id in ids {
                session.add(&mut table, client.cancel_command(id), row).await?;
            }
            Ok(())
        }
    }
}

/// The columns of commands.
pub(super) const COLUMNS: [Column; 8] = [
    whole("ID"),
    time("CREATED"),
    whole("STATION"),
    cut("ACTION"),
    state("STATUS"),
    state("ACCEPTED").minor(),
    cut("ANSWER").minor(),
    cut("BY").minor(),
];

/// A row of them.
pub(super) fn row(command: &Command) -> [String; 8] {
    [
        command.id.to_string(),
        command.created_at.to_string(),
        command.station_id.clone(),
        command.action.clone(),
        command.status.to_string(),
        accepted(command),
        answer(command),
        command.requested_by.name.clone(),
    ]
}

fn accepted(command: &Command) -> String {
    or_dash(command.accepted.map(super::table::yes_no))
}

/// What the charger said: its answer, or why there is none.
pub(super) fn answer(command: &Command) -> String {
    let error = command.error.as_ref().map(|error| format!("{} {}", error.code, error.description));
    or_dash(command.response.as_ref().map(|response| response.to_string()).or(error))
}

fn details(command: &Command) -> String {
    let mut lines = vec![
        ("command", command.id.to_string()),
        ("station", command.station_id.clone()),
        ("owner", or_dash(command.owner_id.as_ref())),
        ("action", command.action.clone()),
        ("payload", command.payload.get().to_owned()),
        ("status", command.status.to_string()),
        ("accepted", accepted(command)),
        ("answer", answer(command)),
        ("asked for by", command.requested_by.name.clone()),
        ("bulk command", or_dash(command.bulk_id)),
        ("created", command.created_at.to_string()),
        ("expires", command.expires_at.to_string()),
        ("sent", or_dash(command.sent_at)),
        ("ended", or_dash(command.completed_at)),
        ("outcome", or_dash(command.outcome)),
        ("transaction", or_dash(command.transaction_id)),
    ];
    lines.extend(command.hint.clone().map(|hint| ("hint", hint)));
    lines.extend(command.late_response.as_ref().map(|late| ("late answer", late.to_string())));
    lines.extend(command.metadata.as_ref().map(|metadata| ("metadata", metadata.to_string())));
    lines.extend((!command.warnings.is_empty()).then(|| ("warnings", listed(&command.warnings))));
    fields(&lines)
}
