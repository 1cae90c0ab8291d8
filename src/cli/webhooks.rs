//! `chargehook webhooks`: creates, changes, deletes, tests, pauses and replays webhooks.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::replays::{self, Replays};
use super::session::{ListArgs, Session, Tasks};
use super::table::{Column, Table, cut, fields, listed, or_dash, state, time, whole};
use super::webhook_fields::Fields;
use super::{Failure, deliveries, input};
use crate::client::Call;
use vocabulary::api::replay::{Only, ReplayInput};
use vocabulary::api::webhook::{Webhook, WebhookSecrets, WebhookTest};
use vocabulary::api::webhook_stats::{WebhookGlance, WebhookStats};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;
use vocabulary::units::Span;
use vocabulary::webhook::WebhookStatus;
use vocabulary::words;

pub(super) const HELP: &str = "\
Examples:
  chargehook webhooks create https://my-app.example.com/webhooks/ocpp --event 'ocpp.*' --verify
  chargehook webhooks list --status auto_disabled
  chargehook webhooks test 3 --event StartTransaction
  chargehook webhooks pause 3 --for 2h
  chargehook webhooks set 3 --retry-schedule 10s,1m,10m --clear filter
  chargehook webhooks replay 3 --since 24h --only missing --dry-run";

/// The arguments of `webhooks`.
pub(super) type Webhooks = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the webhooks, the newest first
    List(ListArgs<Filter>),
    /// Shows a webhook
    Show {
        /// The webhook's number
        id: WebhookId,
    },
    /// Creates a webhook and shows it with its signing secret
    Create {
        /// Where deliveries go
        #[arg(value_name = "ENDPOINT")]
        to: String,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// Changes a webhook; other fields stay as they are
    Set {
        /// The webhook's number
        id: WebhookId,
        /// Where deliveries go
        #[arg(long, value_name = "ENDPOINT")]
        to: Option<String>,
        #[command(flatten)]
        fields: Box<Fields>,
        /// Removes a value: secret-header, secret-value, filter, rate-limit or owner-id (repeatable)
        #[arg(long, value_name = "FIELD")]
        clear: Vec<String>,
    },
    /// Deletes a webhook and discards its waiting deliveries
    Delete {
        /// The webhook's number
        id: WebhookId,
    },
    /// Sends a test event, and exits with 1 if the endpoint does not accept it
    Test {
        /// The webhook's number
        id: WebhookId,
        /// The event type whose payload is sent [default: ping]
        #[arg(long, value_name = "TYPE")]
        event: Option<String>,
    },
    /// Enables a disabled webhook; `replay` sends the events it has missed
    Enable {
        /// The webhook's number
        id: WebhookId,
    },
    /// Disables a webhook: waiting and later deliveries are discarded
    Disable {
        /// The webhook's number
        id: WebhookId,
    },
    /// Pauses a webhook: its deliveries wait until it is resumed
    Pause {
        /// The webhook's number
        id: WebhookId,
        /// How long, such as 2h [default: until it is resumed]
        #[arg(long = "for", value_name = "DURATION")]
        how_long: Option<Span>,
    },
    /// Resumes a webhook; deliveries that became due are sent at once
    Resume {
        /// The webhook's number
        id: WebhookId,
    },
    /// Shows a webhook's signing secrets
    Secret {
        /// The webhook's number
        id: WebhookId,
    },
    /// Rotates the signing secret; the old one still signs beside the new one for a while
    Rotate {
        /// The webhook's number
        id: WebhookId,
        /// How long the old one still signs [default: 24h]
        #[arg(long, value_name = "DURATION")]
        overlap: Option<Span>,
    },
    /// Shows a webhook's statistics
    Stats {
        /// The webhook's number
        id: WebhookId,
        /// The time up to now that is counted
        #[arg(long, value_name = "DURATION", default_value = "24h")]
        window: Span,
    },
    /// Lists how the webhooks have been doing for 24 hours
    Glance(ListArgs<Filter>),
    /// Sends events again that a webhook has missed, in the background
    Replay(Replaying),
    /// Lists, shows and cancels replays and bulk resends
    Replays(Replays),
}

#[derive(Args, Serialize)]
pub(super) struct Filter {
    /// Only this customer's
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    #[arg(long, help = format!("Their status: {}", words::listed(WebhookStatus::WORDS)))]
    status: Option<String>,
    /// Part of their name or URL
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
}

#[derive(Args)]
pub(super) struct Replaying {
    /// The webhook's number
    id: WebhookId,
    /// Events that arrived then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Timestamp,
    /// Events that arrived before that [default: up to now]
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
    /// Which of them: failed (dead letters), missing (discarded, or never created) or all
    #[arg(long, default_value = "failed")]
    only: Only,
    /// Event type or pattern, such as 'Start*' or 'ocpp.*' (repeatable)
    #[arg(long, value_name = "PATTERN")]
    event: Option<Vec<String>>,
    /// Only counts them
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(Webhooks { task, gateway }: Webhooks) -> Result<(), Failure> {
    let session = gateway.open()?;
    let client = &session.client;
    match task {
        Task::List(ListArgs { filter, paging }) => {
            session.list(&paging, &filter, |parameters| client.webhooks(parameters), COLUMNS, row).await
        }
        Task::Show { id } => session.look(client.webhook(id), details).await,
        Task::Create { to, fields } => {
            changed(&session, client.create_webhook(&fields.body(Some(to), &[])?)).await
        }
        Task::Set { id, to, fields, clear } => {
            changed(&session, client.patch_webhook(id, &fields.body(to, &clear)?)).await
        }
        Task::Delete { id } => {
            session.show(client.delete_webhook(id), |()| format!("webhook {id} is removed\n")).await
        }
        Task::Test { id, event } => {
            let passed = session.show(client.test_webhook(id, event.as_deref()), tested).await?;
            if passed.ok { Ok(()) } else { Err(Failure::NotTaken) }
        }
        Task::Enable { id } => changed(&session, client.enable_webhook(id)).await,
        Task::Disable { id } => {
            changed(&session, client.patch_webhook(id, &serde_json::json!({ "enabled": false }))).await
        }
        Task::Pause { id, how_long } => changed(&session, client.pause_webhook(id, how_long)).await,
        Task::Resume { id } => changed(&session, client.resume_webhook(id)).await,
        Task::Secret { id } => session.show(client.webhook_secrets(id), secrets).await.map(drop),
        Task::Rotate { id, overlap } => {
            let overlap = overlap.map(|overlap| overlap.to_string());
            session.show(client.rotate_webhook_secret(id, overlap.as_deref()), secrets).await.map(drop)
        }
        Task::Glance(ListArgs { filter, paging }) => {
            let glances = |parameters: &[(&str, &str)]| client.webhook_glances(parameters);
            session.list(&paging, &filter, glances, GLANCE_COLUMNS, glance).await
        }
        Task::Stats { id, window } => session.look(client.webhook_stats(id, window), stats).await,
        Task::Replay(replaying) => replay(&session, replaying).await,
        Task::Replays(asked) => replays::run(&session, asked).await,
    }
}

/// Shows a changed webhook.
async fn changed(session: &Session, call: Call<Webhook>) -> Result<(), Failure> {
    session.show(call, details).await.map(drop)
}

async fn replay(session: &Session, replaying: Replaying) -> Result<(), Failure> {
    let Replaying { id, since, until, only, event, dry_run } = replaying;
    let input = ReplayInput { since, until, only, events: event, dry_run };
    match dry_run {
        true => session.show(session.client.count_replay(id, &input), replays::counted).await.map(drop),
        false => replays::begun(session, session.client.replay(id, &input)).await,
    }
}

const COLUMNS: [Column; 7] = [
    whole("ID"),
    cut("NAME"),
    state("STATUS"),
    cut("EVENTS").minor(),
    cut("STATIONS").minor(),
    cut("OWNER").minor(),
    cut("URL"),
];

fn row(webhook: &Webhook) -> [String; 7] {
    [
        webhook.id.to_string(),
        webhook.name.clone(),
        webhook.status.to_string(),
        listed(&webhook.events),
        listed(&webhook.stations),
        or_dash(webhook.owner_id.as_ref()),
        webhook.url.clone(),
    ]
}

const GLANCE_COLUMNS: [Column; 8] = [
    whole("ID"),
    whole("ARRIVED"),
    whole("FAILED"),
    whole("P50 MS"),
    whole("P95 MS"),
    whole("BACKLOG"),
    time("OLDEST DUE"),
    state("BREAKER"),
];

fn glance(glance: &WebhookGlance) -> [String; 8] {
    [
        glance.webhook_id.to_string(),
        glance.succeeded_24h.to_string(),
        glance.failed_24h.to_string(),
        or_dash(glance.latency_ms.p50),
        or_dash(glance.latency_ms.p95),
        glance.backlog.to_string(),
        or_dash(glance.oldest_due_at),
        glance.breaker.state.to_string(),
    ]
}

fn details(webhook: &Webhook) -> String {
    let schedule: Vec<String> = webhook.retry_schedule.iter().map(Span::to_string).collect();
    let headers: Vec<String> =
        webhook.custom_headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let secret_header = match (&webhook.secret_header, webhook.secret_value_set) {
        (Some(name), true) => format!("{name}: ***"),
        (Some(name), false) => format!("{name}, without a value"),
        (None, _) => "-".to_owned(),
    };
    let mut lines = vec![
        ("webhook", webhook.id.to_string()),
        ("name", webhook.name.clone()),
        ("url", webhook.url.clone()),
        ("status", webhook.status.to_string()),
        ("events", listed(&webhook.events)),
        ("stations", listed(&webhook.stations)),
        ("owner", or_dash(webhook.owner_id.as_ref())),
        ("filter", or_dash(webhook.filter.as_ref())),
        ("format", webhook.format.as_str().to_owned()),
        ("topic", or_dash(webhook.topic.as_ref())),
        ("credentials", if webhook.credentials_set { "***" } else { "-" }.to_owned()),
        ("secret header", secret_header),
        ("headers", or_dash((!headers.is_empty()).then(|| headers.join(", ")))),
        ("ordering", webhook.ordering.to_string()),
        ("ordering waits", webhook.ordering_max_wait.to_string()),
        ("timeout", webhook.timeout.to_string()),
        ("retries after", listed(&schedule)),
        ("max in flight", webhook.max_in_flight.to_string()),
        ("rate limit", or_dash(webhook.rate_limit.as_ref())),
        ("made", webhook.created_at.to_string()),
        ("changed", webhook.updated_at.to_string()),
    ];
    lines.extend(webhook.disabled_reason.clone().map(|reason| ("disabled", reason)));
    lines.extend(webhook.paused_at.map(|at| ("paused since", at.to_string())));
    lines.extend(webhook.paused_until.map(|until| ("paused until", until.to_string())));
    lines.extend(webhook.paused_reason.clone().map(|reason| ("paused", reason)));
    lines.extend(webhook.warnings.iter().map(|warning| ("warning", warning.clone())));
    lines.extend(webhook.signing_secret.clone().map(|secret| ("signing secret", secret)));
    fields(&lines)
}

fn tested(test: &WebhookTest) -> String {
    let status = test.status_code.map_or("confirmed".to_owned(), |status| status.to_string());
    match &test.error {
        None => format!("taken: {status} after {} ms\n", test.duration_ms),
        Some(error) => format!("not taken after {} ms: {}\n", test.duration_ms, deliveries::worded(error)),
    }
}

fn secrets(secrets: &WebhookSecrets) -> String {
    let mut table = Table::new([whole("SECRET"), time("SIGNS UNTIL")]);
    let current = [secrets.signing_secret.clone(), "-".to_owned()];
    let previous =
        secrets.previous.iter().map(|old| [old.signing_secret.clone(), old.expires_at.to_string()]);
    table.lines([current].into_iter().chain(previous))
}

fn stats(stats: &WebhookStats) -> String {
    let counts = stats.counts;
    fields(&[
        ("window", stats.window.to_string()),
        ("counted since", stats.since.to_string()),
        ("success rate", or_dash(stats.success_rate.map(|rate| format!("{:.1} %", rate * 100.0)))),
        ("success", counts.success.to_string()),
        ("failed", counts.failed.to_string()),
        ("discarded", counts.discarded.to_string()),
        ("scheduled", counts.scheduled.to_string()),
        ("processing", counts.processing.to_string()),
        ("retry", counts.retry.to_string()),
        ("backlog", stats.backlog.to_string()),
        ("oldest due", or_dash(stats.oldest_due_at)),
        ("latency p50", or_dash(stats.latency_ms.p50.map(|ms| format!("{ms} ms")))),
        ("latency p95", or_dash(stats.latency_ms.p95.map(|ms| format!("{ms} ms")))),
        ("breaker", stats.breaker.state.to_string()),
        ("open since", or_dash(stats.breaker.since)),
        ("next probe", or_dash(stats.breaker.next_probe_at)),
    ])
}
