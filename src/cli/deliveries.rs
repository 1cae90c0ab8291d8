//! `chargehook deliveries`: lists deliveries and dead letters, sends them again, cancels them.

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use super::session::{Paging, Session, Tasks};
use super::table::{Column, Table, cut, fields, or_dash, printable, state, time, whole};
use super::{Failure, input, replays};
use vocabulary::api::delivery::{Attempt, Delivery, DeliveryError};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;
use vocabulary::id::{DeliveryId, EventId};
use vocabulary::words::listed;

pub(super) const HELP: &str = "\
Examples:
  chargehook deliveries list --status retry --webhook 3
  chargehook deliveries failed --since 24h --status-code 5xx
  chargehook deliveries show dlv_01jrs0m6nxk3v1c8d9e0f2g4h6
  chargehook deliveries resend dlv_01jrs0m6nxk3v1c8d9e0f2g4h6
  chargehook deliveries resend --webhook 3 --since 24h --dry-run";

/// The arguments of `deliveries`.
pub(super) type Deliveries = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the deliveries, the newest first
    List {
        #[arg(long, help = format!("Their status: {} (repeatable)", listed(DeliveryStatus::WORDS)))]
        status: Vec<String>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Lists the dead letters: deliveries whose schedule is used up
    Failed {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows a delivery and every attempt that was made
    Show {
        /// The delivery's id
        id: DeliveryId,
    },
    /// Sends deliveries again: the given ones, or all that fit the options
    ///
    /// Given deliveries are sent at once, even if the circuit breaker is open. With options instead, of which
    /// --webhook, --event-id or --since is needed, all dead letters that fit are sent again in the
    /// background; see `chargehook webhooks replays`.
    Resend(Resending),
    /// Cancels deliveries that have not ended
    Cancel {
        /// The deliveries' ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<DeliveryId>,
    },
}

#[derive(Args, Serialize)]
pub(super) struct Filter {
    /// Only to this webhook
    #[arg(long = "webhook", value_name = "ID")]
    webhook_id: Option<i64>,
    /// Only of this event
    #[arg(long, value_name = "ID")]
    event_id: Option<EventId>,
    /// Event type or pattern, such as 'Start*' or 'ocpp.*' (repeatable)
    #[arg(long, value_name = "PATTERN")]
    event: Option<Vec<String>>,
    /// Only of this station's events
    #[arg(long = "station", value_name = "ID")]
    station_id: Option<String>,
    /// Only of this customer's events
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Created then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Created before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
    /// What the last attempt was answered: 2xx, 3xx, 4xx, 5xx or none (repeatable)
    #[arg(long, value_name = "CLASS")]
    status_code: Option<Vec<String>>,
    /// Tried at least so often
    #[arg(long, value_name = "N")]
    min_attempts: Option<u32>,
    /// Text in the event's payload
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
}

/// Options that select deliveries, and cannot be combined with ids.
const NOT_WITH_IDS: [&str; 12] = [
    "status",
    "dry_run",
    "webhook_id",
    "event_id",
    "event",
    "station_id",
    "owner_id",
    "since",
    "until",
    "status_code",
    "min_attempts",
    "q",
];

#[derive(Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(["ids", "webhook_id", "event_id", "since"])))]
pub(super) struct Resending {
    /// The deliveries' ids
    #[arg(value_name = "ID", conflicts_with_all = NOT_WITH_IDS)]
    ids: Vec<DeliveryId>,
    /// Also delivered ones
    #[arg(long)]
    force: bool,
    /// How they ended: failed, discarded or success (repeatable) [default: failed]
    #[arg(long)]
    status: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Only counts them
    #[arg(long)]
    dry_run: bool,
}

/// A filter with one more parameter.
#[derive(Serialize)]
pub(super) struct With<'a> {
    #[serde(flatten)]
    filter: &'a Filter,
    status: &'a [String],
}

pub(super) async fn run(Deliveries { task, gateway }: Deliveries) -> Result<(), Failure> {
    let session = gateway.open()?;
    let client = &session.client;
    match task {
        Task::List { status, filter, paging } => {
            let filter = With { filter: &filter, status: &status };
            session.list(&paging, &filter, |parameters| client.deliveries(parameters), COLUMNS, row).await
        }
        Task::Failed { filter, paging } => {
            session
                .list(&paging, &filter, |parameters| client.failed_deliveries(parameters), COLUMNS, row)
                .await
        }
        Task::Show { id } => session.look(client.delivery(id), details).await,
        Task::Resend(resending) if resending.ids.is_empty() => resend_all(&session, &resending).await,
        Task::Resend(Resending { ids, force, .. }) => {
            let mut table = Table::new(COLUMNS);
            for id in ids {
                session.add(&mut table, client.resend(id, force), row).await?;
            }
            Ok(())
        }
        Task::Cancel { ids } => {
            let mut table = Table::new(COLUMNS);
            for id in ids {
                session.add(&mut table, client.cancel_delivery(id), row).await?;
            }
            Ok(())
        }
    }
}

async fn resend_all(session: &Session, resending: &Resending) -> Result<(), Failure> {
    let mut parameters = input::parameters(&With { filter: &resending.filter, status: &resending.status });
    if resending.force {
        parameters.push(("force".to_owned(), "true".to_owned()));
    }
    let parameters = input::borrowed(&parameters);
    match resending.dry_run {
        true => session.show(session.client.count_resend(&parameters), replays::counted).await.map(drop),
        false => replays::begun(session, session.client.resend_all(&parameters)).await,
    }
}

pub(super) const COLUMNS: [Column; 8] = [
    whole("ID"),
    time("CREATED"),
    cut("EVENT"),
    whole("STATION").minor(),
    whole("WEBHOOK"),
    state("STATUS"),
    whole("ATTEMPTS").minor(),
    cut("LAST ERROR").minor(),
];

pub(super) fn row(delivery: &Delivery) -> [String; 8] {
    [
        delivery.id.to_string(),
        delivery.created_at.to_string(),
        delivery.event.clone(),
        or_dash(delivery.station_id.as_ref()),
        or_dash(delivery.webhook_id),
        delivery.status.as_str().to_owned(),
        delivery.attempts.len().to_string(),
        or_dash(delivery.last_error.as_ref().map(worded)),
    ]
}

pub(super) fn worded(error: &DeliveryError) -> String {
    format!("{}: {}", error.code, error.message)
}

fn details(delivery: &Delivery) -> String {
    let mut text = fields(&[
        ("delivery", delivery.id.to_string()),
        ("event", delivery.event_id.to_string()),
        ("type", delivery.event.clone()),
        ("station", or_dash(delivery.station_id.as_ref())),
        ("owner", or_dash(delivery.owner_id.as_ref())),
        ("webhook", or_dash(delivery.webhook_id)),
        ("sequence", or_dash(delivery.sequence)),
        ("url", or_dash(delivery.url.as_ref())),
        ("status", delivery.status.as_str().to_owned()),
        ("last error", or_dash(delivery.last_error.as_ref().map(worded))),
        ("waits for", or_dash(delivery.waiting_for.as_ref())),
        ("discarded because", or_dash(delivery.discarded_because.as_ref())),
        ("next attempt", or_dash(delivery.next_attempt_at)),
        ("made", delivery.created_at.to_string()),
        ("ended", or_dash(delivery.completed_at)),
        ("payload", delivery.payload.get().to_owned()),
    ]);
    if delivery.attempts.is_empty() {
        text.push_str("\nno attempts\n");
        return text;
    }
    let columns =
        [whole("ATTEMPT"), whole("TRIGGER"), time("STARTED"), whole("MS"), whole("STATUS"), cut("ERROR")];
    text.push('\n');
    text.push_str(&Table::new(columns).lines(delivery.attempts.iter().map(attempt_row)));
    let answered = delivery.attempts.iter().rev().find_map(|attempt| attempt.response_body.as_deref());
    if let Some(body) = answered.filter(|body| !body.is_empty()) {
        text.push_str("\nthe last answer:\n");
        text.extend(body.lines().map(|line| format!("  {}\n", printable(line))));
    }
    text
}

fn attempt_row(attempt: &Attempt) -> [String; 6] {
    [
        attempt.number.to_string(),
        attempt.trigger.to_string(),
        attempt.started_at.to_string(),
        or_dash(attempt.duration_ms),
        or_dash(attempt.status_code),
        or_dash(attempt.error.as_ref().map(worded)),
    ]
}
