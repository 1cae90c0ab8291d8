//! `chargehook events`: lists, follows and publishes events, and shows where they were delivered.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::deliveries;
use super::session::{ListArgs, Session, Tasks};
use super::table::{Column, Table, cut, fields, or_dash, printable, time, whole};
use super::{Failure, input};
use vocabulary::api::event::{Event, EventDeliveries, EventResent, EventType};
use vocabulary::api::ingest::{EventInput, EventStored};
use vocabulary::clock::Timestamp;
use vocabulary::id::{EventId, StationId};

pub(super) const HELP: &str = "\
Examples:
  chargehook events list --event '*Transaction' --station WALLBOX_001 --since 2h
  chargehook events list --event ocpp.* --follow
  chargehook events list --event StatusNotification --filter '{\"errorCode\": {\"$not\": \"NoError\"}}'
  chargehook events show evt_01jrs0m6nxk3v1c8d9e0f2g4h6 --explain
  chargehook events send invoice.paid '{\"amount\": 12.5}' --broadcast --idempotency-key INV-7
  chargehook events resend evt_01jrs0m6nxk3v1c8d9e0f2g4h6";

/// The arguments of `events`.
pub(super) type Events = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the events, the newest first, or follows them as they come
    List {
        #[command(flatten)]
        list: ListArgs<Filter>,
        /// Shows the last ones (--limit, 10 by default), then each new one as it comes, until Ctrl-C
        ///
        /// Continues where it was if the connection breaks. With --json each event is one line.
        #[arg(long, conflicts_with_all = ["all", "cursor", "oldest_first"])]
        follow: bool,
    },
    /// Shows an event and its deliveries
    Show {
        /// The event's id
        id: EventId,
        /// Also says why every other webhook did not get the event; with --json the deliveries alone
        #[arg(long)]
        explain: bool,
    },
    /// Publishes an event of your own, delivered like any other
    ///
    /// To exactly one of: a webhook, whatever it subscribes to; a customer's subscribed webhooks and those
    /// without owner; every subscribed webhook; a URL.
    #[command(group(ArgGroup::new("target").required(true).args(["webhook", "owner", "broadcast", "to"])))]
    Send(Sending),
    /// Sends an event's deliveries again at once
    Resend {
        /// The event's id
        id: EventId,
        /// Also delivered ones
        #[arg(long)]
        force: bool,
    },
    /// Lists the event types that webhooks can subscribe to
    Types,
}

#[derive(Args, Serialize)]
pub(super) struct Filter {
    /// Event type or pattern, such as 'Start*' or 'ocpp.*' (repeatable)
    #[arg(long, value_name = "PATTERN")]
    event: Option<Vec<String>>,
    /// Only about this station
    #[arg(long = "station", value_name = "ID")]
    station_id: Option<String>,
    /// Only of this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Only those with a delivery to this webhook
    #[arg(long = "webhook", value_name = "ID")]
    webhook_id: Option<i64>,
    /// Only those of this transaction
    #[arg(long = "transaction", value_name = "ID")]
    transaction_id: Option<i64>,
    /// Only repeats of other events, or with =false no repeats
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    duplicate: Option<bool>,
    /// Arrived then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Arrived before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
    /// Happened then or later, by the charger's own clock
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    occurred_since: Option<Timestamp>,
    /// Happened before that, by the charger's own clock
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    occurred_until: Option<Timestamp>,
    /// Text in the payload
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Conditions on the payload, as a webhook's filter: '{"connectorId": 1, "status": {"$in": ["Faulted"]}}'
    #[arg(long, value_name = "JSON", value_parser = input::object)]
    filter: Option<Value>,
}

#[derive(Args)]
pub(super) struct Sending {
    /// A name of your own, such as invoice.paid
    event: String,
    /// What receivers get, byte for byte: a JSON object, @FILE or - for standard input
    #[arg(value_name = "JSON")]
    payload: String,
    /// To this webhook
    #[arg(long, value_name = "ID")]
    webhook: Option<i64>,
    /// To this customer's webhooks
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    /// To every subscribed webhook
    #[arg(long)]
    broadcast: bool,
    /// To this URL
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Signs deliveries to the URL: whsec_…, - reads it from standard input [default: not signed]
    #[arg(long, value_name = "SECRET", requires = "to")]
    secret: Option<String>,
    /// The station it is about
    #[arg(long, value_name = "ID", value_parser = station)]
    station: Option<StationId>,
    /// A header that is sent with it, 'Name: value' (repeatable)
    #[arg(long, value_name = "HEADER", value_parser = input::header)]
    header: Vec<(String, String)>,
    /// Makes it safe to repeat: a second event with the same key is not delivered
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

fn station(text: &str) -> Result<StationId, String> {
    StationId::new(text).map_err(|error| error.to_string())
}

pub(super) async fn run(Events { task, gateway }: Events) -> Result<(), Failure> {
    let session = gateway.open()?;
    let client = &session.client;
    match task {
        Task::List { list, follow: true } => follow(&session, &list).await,
        Task::List { list: ListArgs { filter, paging }, follow: false } => {
            session.list(&paging, &filter, |parameters| client.events(parameters), COLUMNS, row).await
        }
        Task::Show { id, explain } => show(&session, id, explain).await,
        Task::Send(sending) => send(&session, sending).await,
        Task::Resend { id, force } => {
            let call = client.resend_event(id, force);
            let tell = |resent: &EventResent| {
                resent.deliveries.iter().map(|delivery| format!("{delivery} is on its way again\n")).collect()
            };
            session.show(call, tell).await.map(drop)
        }
        Task::Types => {
            let columns = [whole("EVENT"), whole("CATEGORY")];
            let row = |kind: &EventType| [kind.event.clone(), kind.category.to_string()];
            session.page(client.event_types(), columns, row).await
        }
    }
}

const COLUMNS: [Column; 6] = [
    whole("ID"),
    time("ARRIVED"),
    whole("EVENT"),
    whole("STATION"),
    whole("TRANSACTION").minor(),
    cut("PAYLOAD").minor(),
];

fn row(event: &Event) -> [String; 6] {
    [
        event.id.to_string(),
        event.timestamp.to_string(),
        event.event.clone(),
        or_dash(event.station_id.as_ref()),
        or_dash(event.transaction_id),
        event.payload.get().to_owned(),
    ]
}

/// Shows the last events, then every new one.
async fn follow(session: &Session, list: &ListArgs<Filter>) -> Result<(), Failure> {
    let filters = input::parameters(&list.filter);
    let follower = session.client.follow_events(filters.clone()).await?;
    let before = session.client.events(&input::borrowed(&list.paging.before_following(filters)));
    session.follow(follower, before, COLUMNS, row, |event| event.id.to_string()).await
}

async fn show(session: &Session, id: EventId, explain: bool) -> Result<(), Failure> {
    if session.json && explain {
        return session.show(session.client.event_deliveries(id, true), |_| String::new()).await.map(drop);
    }
    session.show(session.client.event(id), details).await?;
    if session.json {
        return Ok(());
    }
    session.show(session.client.event_deliveries(id, explain), sent_where).await.map(drop)
}

fn details(event: &Event) -> String {
    let violations: Vec<String> = event
        .violations
        .iter()
        .map(|violation| match &violation.field {
            Some(field) => format!("{field}: {}", violation.problem),
            None => violation.problem.clone(),
        })
        .collect();
    let mut lines = vec![
        ("event", event.id.to_string()),
        ("type", event.event.clone()),
        ("category", event.category.to_string()),
        ("station", or_dash(event.station_id.as_ref())),
        ("sequence", or_dash(event.station_seq)),
        ("owner", or_dash(event.owner_id.as_ref())),
        ("arrived", event.timestamp.to_string()),
        ("occurred", or_dash(event.occurred_at)),
        ("transaction", or_dash(event.transaction_id)),
        ("message", or_dash(event.message_id.as_ref())),
        ("violations", or_dash((!violations.is_empty()).then(|| violations.join("; ")))),
        ("repeats", or_dash(event.duplicate_of)),
        ("payload", event.payload.get().to_owned()),
    ];
    lines.extend(event.idempotency_key.clone().map(|key| ("idempotency key", key)));
    lines.extend(event.response.as_ref().map(|response| ("answered", response.get().to_owned())));
    fields(&lines)
}

fn sent_where(found: &EventDeliveries) -> String {
    let mut text = match found.data.is_empty() {
        true => "\nno deliveries\n".to_owned(),
        false => {
            format!("\n{}", Table::new(deliveries::COLUMNS).lines(found.data.iter().map(deliveries::row)))
        }
    };
    if let Some(not_matched) = found.not_matched.as_ref().filter(|others| !others.is_empty()) {
        let lines = not_matched.iter().map(|other| {
            let why =
                std::iter::once(because(&other.reason)).chain(other.warnings.iter().map(String::as_str));
            [other.webhook_id.to_string(), printable(&why.collect::<Vec<_>>().join(": "))]
        });
        text.push('\n');
        text.push_str(&Table::new([whole("WEBHOOK"), whole("DID NOT GET IT BECAUSE")]).lines(lines));
    }
    text
}

/// A reason in words; an unknown one as it is.
fn because(reason: &str) -> &str {
    match reason {
        "duplicate" => "the event repeats another one",
        "created_later" => "the webhook was made later: a replay of what is missing brings it",
        "about_itself" => "the event is about this very webhook",
        "target" => "the event was for somebody else",
        "owner" => "the event is another customer's",
        "event_type" => "the webhook does not subscribe to this event type",
        "station" => "the webhook does not want this station",
        "filter" => "the webhook's filter does not fit the payload",
        other => other,
    }
}

async fn send(session: &Session, sending: Sending) -> Result<(), Failure> {
    let payload = match sending.payload.strip_prefix('@') {
        Some(file) => String::from_utf8_lossy(&input::content(file)?).into_owned(),
        None if sending.payload == "-" => String::from_utf8_lossy(&input::content("-")?).into_owned(),
        None => sending.payload,
    };
    let input = EventInput {
        event: sending.event,
        payload: input::json(&payload).map_err(Failure::Payload)?,
        station_id: sending.station,
        custom_headers: BTreeMap::from_iter(sending.header),
        idempotency_key: sending.idempotency_key,
        webhook_id: sending.webhook,
        owner_id: sending.owner,
        broadcast: sending.broadcast,
        url: sending.to,
        secret: input::secret(sending.secret)?,
    };
    let tell = |stored: &EventStored| match stored.duplicate {
        true => format!("{} repeats an event with this key, and goes nowhere\n", stored.id),
        false => format!("{} with {} deliveries\n", stored.id, stored.deliveries),
    };
    session.show(session.client.send_event(&input), tell).await.map(drop)
}
