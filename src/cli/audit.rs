//! `chargehook audit`: who changed what, and when.

use clap::Args;
use serde::Serialize;

use super::session::{GatewayArgs, Paging};
use super::table::{Column, cut, listed, or_dash, time, whole};
use super::{Failure, input};
use vocabulary::api::audit::AuditEntry;
use vocabulary::clock::Timestamp;

pub(super) const HELP: &str = "\
Examples:
  chargehook audit --since 24h
  chargehook audit --resource webhooks --id 5
  chargehook audit --action stations_patch --owner acme --all --json";

/// Which changes are shown.
#[derive(Args)]
pub(super) struct Audit {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Args, Serialize)]
struct Filter {
    /// Only requests with this API key: its id, as `chargehook keys list` shows it
    #[arg(long = "key", value_name = "ID")]
    key_id: Option<String>,
    /// Only this operation: an operationId of `chargehook openapi`, such as webhooks_patch
    #[arg(long)]
    action: Option<String>,
    /// Only requests with this method: POST, PUT, PATCH or DELETE
    #[arg(long)]
    method: Option<String>,
    /// Only about this kind of resource, as paths spell it: webhooks, stations, id-tags, …
    #[arg(long, value_name = "KIND")]
    resource: Option<String>,
    /// Only about this resource, or one that the change has created
    #[arg(long = "id", value_name = "ID")]
    resource_id: Option<String>,
    /// Only about resources of this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Requested then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Requested before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

pub(super) async fn run(Audit { filter, paging, gateway }: Audit) -> Result<(), Failure> {
    let session = gateway.open()?;
    session.list(&paging, &filter, |parameters| session.client.audit(parameters), COLUMNS, row).await
}

const COLUMNS: [Column; 7] = [
    time("AT"),
    cut("KEY"),
    whole("FROM").minor(),
    whole("ACTION"),
    cut("WHICH"),
    whole("STATUS"),
    cut("FIELDS GIVEN").minor(),
];

fn row(entry: &AuditEntry) -> [String; 7] {
    // A change without a key was made on the data directory.
    let by = entry.requested_by.as_ref().map_or("(command line)", |key| key.name.as_str());
    let which = match (&entry.resource_id, &entry.result_id) {
        (Some(id), Some(made)) => format!("{id}: {made}"),
        (id, made) => or_dash(id.as_ref().or(made.as_ref())),
    };
    [
        entry.created_at.to_string(),
        by.to_owned(),
        or_dash(entry.remote_addr.as_ref()),
        entry.action.clone(),
        which,
        or_dash(entry.status),
        listed(&entry.fields),
    ]
}
