//! `chargehook id-tags`: lists, registers and deletes id tags.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::import::{self, RowResult};
use super::session::{ListArgs, Session, Tasks};
use super::table::{Column, Table, cut, fields, or_dash, state, time, whole};
use super::{Failure, input};
use vocabulary::api::id_tag::{IdTag, ImportedRow};
use vocabulary::clock::Timestamp;

pub(super) const HELP: &str = "\
Examples:
  chargehook id-tags list --owner acme --status Blocked
  chargehook id-tags register 04A2B3C4D5E6F7 --owner acme --parent FLEET --expires 2027-01-01T00:00:00Z
  chargehook id-tags register 04A2B3C4D5E6F7 --owner acme --status Blocked --note lost
  chargehook id-tags delete 04A2B3C4D5E6F7 --owner acme
  chargehook id-tags import tags.csv";

/// The arguments of `id-tags`.
pub(super) type IdTags = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the registered tags, the newest first
    List(ListArgs<Filter>),
    /// Shows a registered tag
    Show {
        /// The tag; letter case does not matter
        tag: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Registers a tag, or replaces an earlier registration
    ///
    /// Missing options get their defaults: Accepted, without expiry, group or limit.
    Register {
        /// The tag, as chargers send it
        tag: String,
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        fields: Fields,
    },
    /// Deletes tags: from then on they are unknown
    Delete {
        /// The tags; letter case does not matter
        #[arg(required = true, value_name = "TAG")]
        tags: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Registers many tags: a CSV whose first line names the columns, or a JSON array
    ///
    /// The columns, or members, are id_tag and those of the API's id tags. Shows the rows that were left out,
    /// and why; exits with 1 if there are any.
    Import {
        /// The file; - is standard input
        file: String,
    },
}

#[derive(Args, Serialize)]
pub(super) struct Filter {
    /// Only this customer's
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Their status: Accepted, Blocked, Expired or Invalid
    #[arg(long)]
    status: Option<String>,
    /// Only of this group
    #[arg(long = "parent", value_name = "TAG")]
    parent_id_tag: Option<String>,
    /// Registered then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Registered before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

#[derive(Args)]
pub(super) struct Whose {
    /// The customer of the tag; without it a tag without owner, or for a key that is bound to a customer,
    /// that customer's
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
}

#[derive(Args, Serialize)]
pub(super) struct Fields {
    /// Its status: Accepted, Blocked, Expired or Invalid [default: Accepted]
    #[arg(long)]
    status: Option<String>,
    /// From then on it is Expired
    #[arg(long = "expires", value_name = "TIME")]
    expiry_date: Option<Timestamp>,
    /// The group it belongs to: tags of one group may end each other's transactions
    #[arg(long = "parent", value_name = "TAG")]
    parent_id_tag: Option<String>,
    /// The most active transactions it may have at once [default: any number]
    #[arg(long = "max-active", value_name = "N")]
    max_active_transactions: Option<u32>,
    /// A note for people
    #[arg(long)]
    note: Option<String>,
}

pub(super) async fn run(IdTags { task, gateway }: IdTags) -> Result<(), Failure> {
    let session: Session = gateway.open()?;
    let client = &session.client;
    match task {
        Task::List(ListArgs { filter, paging }) => {
            session.list(&paging, &filter, |parameters| client.id_tags(parameters), COLUMNS, row).await
        }
        Task::Show { tag, whose } => {
            session.show(client.id_tag(&tag, whose.owner_id.as_deref()), details).await.map(drop)
        }
        Task::Register { tag, whose, fields } => {
            let call = client.put_id_tag(&tag, whose.owner_id.as_deref(), &input::body(&fields, &[]));
            session.add(&mut Table::new(COLUMNS), call, row).await.map(drop)
        }
        Task::Delete { tags, whose } => {
            for tag in tags {
                let call = client.delete_id_tag(&tag, whose.owner_id.as_deref());
                session.show(call, |()| format!("{tag} is forgotten\n")).await?;
            }
            Ok(())
        }
        Task::Import { file } => {
            let send = |content_type, rows| client.import_id_tags(content_type, rows);
            import::run(&session, &file, "ID TAG", send, imported).await
        }
    }
}

const COLUMNS: [Column; 7] = [
    whole("ID TAG"),
    state("STATUS"),
    cut("OWNER"),
    whole("PARENT").minor(),
    time("EXPIRES"),
    whole("ACTIVE"),
    cut("NOTE").minor(),
];

fn row(tag: &IdTag) -> [String; 7] {
    [
        tag.id_tag.clone(),
        tag.status.to_string(),
        or_dash(tag.owner_id.as_ref()),
        or_dash(tag.parent_id_tag.as_ref()),
        or_dash(tag.expiry_date),
        active(tag),
        or_dash(tag.note.as_ref()),
    ]
}

/// Its active transactions, and the most it may have.
fn active(tag: &IdTag) -> String {
    match tag.max_active_transactions {
        Some(max) => format!("{} of {max}", tag.active_transactions),
        None => tag.active_transactions.to_string(),
    }
}

fn details(tag: &IdTag) -> String {
    fields(&[
        ("id tag", tag.id_tag.clone()),
        ("status", tag.status.to_string()),
        ("owner", or_dash(tag.owner_id.as_ref())),
        ("parent", or_dash(tag.parent_id_tag.as_ref())),
        ("expires", or_dash(tag.expiry_date)),
        ("in transactions", active(tag)),
        ("note", or_dash(tag.note.as_ref())),
        ("registered", tag.created_at.to_string()),
        ("changed", tag.updated_at.to_string()),
    ])
}

fn imported(row: &ImportedRow) -> RowResult<'_> {
    RowResult { number: row.row, name: row.id_tag.as_deref(), result: row.result, errors: &row.errors }
}
