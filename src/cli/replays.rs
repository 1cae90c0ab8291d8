//! `chargehook webhooks replays`: lists, shows and cancels replays and bulk resends.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Failure;
use super::session::{Paging, Session};
use super::table::{Column, Table, fields, or_dash, state, time, whole};
use super::{hint, input};
use crate::client::Call;
use vocabulary::api::replay::{Replay, ReplayMatched, Selection};
use vocabulary::clock::Timestamp;
use vocabulary::id::ReplayId;

/// The arguments of `webhooks replays`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Replays {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Subcommand)]
enum Task {
    /// Shows a replay
    Show {
        /// The replay's id
        id: ReplayId,
    },
    /// Cancels a replay; its deliveries that were tried go on
    Cancel {
        /// The replay's id
        id: ReplayId,
    },
}

#[derive(Args, Serialize)]
struct Filter {
    /// Only for this webhook
    #[arg(long = "webhook", value_name = "ID")]
    webhook_id: Option<i64>,
    /// Only of this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Their status: running, done or canceled
    #[arg(long)]
    status: Option<String>,
    /// Requested then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Requested before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

pub(super) async fn run(session: &Session, Replays { task, filter, paging }: Replays) -> Result<(), Failure> {
    let client = &session.client;
    match task {
        None => session.list(&paging, &filter, |parameters| client.replays(parameters), COLUMNS, row).await,
        Some(Task::Show { id }) => session.look(client.replay_status(id), details).await,
        Some(Task::Cancel { id }) => {
            session.add(&mut Table::new(COLUMNS), client.cancel_replay(id), row).await.map(drop)
        }
    }
}

/// Shows a replay that was just started, and how to follow it.
pub(super) async fn begun(session: &Session, call: Call<Replay>) -> Result<(), Failure> {
    let replay = session.add(&mut Table::new(COLUMNS), call, row).await?;
    hint(&format!("it goes on in the background: chargehook webhooks replays show {}", replay.id));
    Ok(())
}

pub(super) fn counted(found: &ReplayMatched) -> String {
    format!("{} would be sent\n", found.matched)
}

const COLUMNS: [Column; 6] =
    [whole("ID"), time("CREATED"), state("STATUS"), whole("DONE"), whole("MATCHED"), whole("WHAT")];

fn row(replay: &Replay) -> [String; 6] {
    [
        replay.id.to_string(),
        replay.created_at.to_string(),
        replay.status.to_string(),
        replay.done.to_string(),
        replay.matched.to_string(),
        what(&replay.selection),
    ]
}

fn what(selection: &Selection) -> String {
    match selection {
        Selection::Replay { webhook_id, .. } => format!("replay to webhook {webhook_id}"),
        Selection::Resend { webhook_id: Some(webhook_id), .. } => format!("resend to webhook {webhook_id}"),
        Selection::Resend { .. } => "resend".to_owned(),
    }
}

fn details(replay: &Replay) -> String {
    fields(&[
        ("replay", replay.id.to_string()),
        ("status", replay.status.to_string()),
        ("matched", replay.matched.to_string()),
        ("done", replay.done.to_string()),
        ("what", serde_json::to_string(&replay.selection).unwrap_or_default()),
        ("asked for by", replay.requested_by.name.clone()),
        ("asked for", replay.created_at.to_string()),
        ("ended", or_dash(replay.completed_at)),
    ])
}
