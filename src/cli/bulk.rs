//! `chargehook bulk`: lists, shows and cancels commands to many stations.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::bulk_table::{COLUMNS, details, row};
use super::session::{ListArgs, Paging, Tasks};
use super::table::{Column, Table, or_dash, state, whole};
use super::{Failure, commands, hint, input};
use vocabulary::api::bulk_command::BulkStation;
use vocabulary::clock::Timestamp;
use vocabulary::id::BulkCommandId;

pub(super) const HELP: &str = "\
Examples:
  chargehook bulk list --status running
  chargehook bulk show blk_01jrs0m6nxk3v1c8d9e0f2g4h6
  chargehook bulk stations blk_01jrs0m6nxk3v1c8d9e0f2g4h6 --result skipped
  chargehook bulk cancel blk_01jrs0m6nxk3v1c8d9e0f2g4h6";

/// The arguments of `bulk`.
pub(super) type Bulk = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the bulk commands, the newest first
    List(ListArgs<Filter>),
    /// Shows a bulk command and how far it has come
    Show {
        /// Its id
        id: BulkCommandId,
    },
    /// Lists its stations in the order of their turns, with what has come of it and why
    Stations {
        /// Its id
        id: BulkCommandId,
        #[command(flatten)]
        filter: StationsFilter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Lists its commands
    Commands {
        /// Its id
        id: BulkCommandId,
        #[command(flatten)]
        paging: Paging,
    },
    /// Cancels it; commands that were sent are still answered
    Cancel {
        /// Its id
        id: BulkCommandId,
    },
}

#[derive(Args, Serialize)]
pub(super) struct Filter {
    /// Their status: running, done or canceled
    #[arg(long)]
    status: Option<String>,
    /// Their action, such as Reset
    #[arg(long)]
    action: Option<String>,
    /// Only of keys of this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Requested then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Requested before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

#[derive(Args, Serialize)]
pub(super) struct StationsFilter {
    /// Only these: waiting, queued, sent, accepted, rejected, failed or skipped
    #[arg(long)]
    result: Option<String>,
}

pub(super) async fn run(Bulk { task, gateway }: Bulk) -> Result<(), Failure> {
    let session = gateway.open()?;
    let client = &session.client;
    match task {
        Task::List(ListArgs { filter, paging }) => {
            session.list(&paging, &filter, |parameters| client.bulk_commands(parameters), COLUMNS, row).await
        }
        Task::Show { id } => session.look(client.bulk_command(id), details).await,
        Task::Stations { id, filter, paging } => {
            let ask = |parameters: &[(&str, &str)]| client.stations_of_bulk(id, parameters);
            session.list(&paging, &filter, ask, STATION_COLUMNS, station_row).await
        }
        Task::Commands { id, paging } => {
            let ask = |parameters: &[(&str, &str)]| client.commands_of_bulk(id, parameters);
            session.list(&paging, &Value::Null, ask, commands::COLUMNS, commands::row).await
        }
        Task::Cancel { id } => {
            let canceled = session.add(&mut Table::new(COLUMNS), client.cancel_bulk_command(id), row).await?;
            if canceled.completed_at.is_none() {
                hint("commands that were sent are still answered");
            }
            Ok(())
        }
    }
}

const STATION_COLUMNS: [Column; 4] = [whole("STATION"), state("RESULT"), whole("REASON"), whole("COMMAND")];

fn station_row(station: &BulkStation) -> [String; 4] {
    [
        station.station_id.clone(),
        station.result.to_string(),
        or_dash(station.reason),
        or_dash(station.command_id),
    ]
}
