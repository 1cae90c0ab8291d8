//! Webhooks that fail, are disabled or forgotten, and dead letters.

use std::time::Duration;

use super::entry::{Said, few};
use super::wording::{at, count, more, since, span};
use crate::overview::facts::{Facts, WebhookFact};
use vocabulary::api::overview::{Attention, Kind, Severity, SubjectKind};
use vocabulary::clock::Timestamp;
use vocabulary::webhook::WebhookStatus;

/// Dead letters are urgent while they are new.
const NEW: Duration = Duration::from_secs(86_400);

/// One sentence about a webhook, if the rule finds something to say.
type Rule = fn(&WebhookFact, Timestamp) -> Option<Said>;

/// The rules, each with what it says of the many others.
const RULES: [(Rule, &str); 5] = [
    (failing, "fail too"),
    (unreadable, "have settings that cannot be read"),
    (disabled, "are disabled too"),
    (dead_letters, "have dead letters too"),
    (paused, "have been paused for more than a day, too"),
];

pub(super) fn entries(facts: &Facts) -> Vec<Attention> {
    let mut all = Vec::new();
    for (rule, too) in RULES {
        let mut said: Vec<(&WebhookFact, Said)> =
            facts.webhooks.iter().filter_map(|webhook| Some((webhook, rule(webhook, facts.now)?))).collect();
        said.sort_by_key(|(_, said)| std::cmp::Reverse(said.since));
        all.extend(few(&said, |(webhook, said)| about(webhook, said), |rest| others(rest, too)));
    }
    all
}

fn copy(said: &Said) -> Said {
    Said { text: said.text.clone(), cause: said.cause.clone(), ..*said }
}

fn about(webhook: &WebhookFact, said: &Said) -> Attention {
    match webhook.id {
        Some(id) => copy(said).of(SubjectKind::Webhook, id.to_string()),
        None => copy(said).of_unnamed(SubjectKind::Webhook),
    }
}

fn others(rest: &[(&WebhookFact, Said)], too: &str) -> Attention {
    let severe = rest.iter().map(|(_, said)| said).min_by_key(|said| super::rank(said.severity));
    let first = severe.unwrap_or(&rest[0].1);
    let said = Said {
        since: rest.iter().filter_map(|(_, said)| said.since).min(),
        text: format!("{} {too}", more(rest.len() as u64, "webhook")),
        cause: "The list of webhooks says of each what is the matter.".to_owned(),
        ..*first
    };
    let ids: Vec<String> =
        rest.iter().filter_map(|(webhook, _)| webhook.id).map(|id| id.to_string()).collect();
    said.of_all(SubjectKind::Webhook, ids.into_iter())
}

fn name(webhook: &WebhookFact) -> String {
    match webhook.id {
        Some(id) if webhook.name.is_empty() => format!("Webhook {id}"),
        Some(_) => format!("Webhook {}", webhook.name),
        None => "URLs that came with their events".to_owned(),
    }
}

fn deliveries_wait(number: u64) -> String {
    if number == 1 { "1 delivery waits".to_owned() } else { format!("{number} deliveries wait") }
}

fn failing(webhook: &WebhookFact, now: Timestamp) -> Option<Said> {
    let open_since = webhook.lane.open_since?;
    let failing_since = webhook.failing_since.unwrap_or(open_since);
    let mut cause = format!("No delivery has arrived {}", since(failing_since, now));
    if let Some((code, message)) = &webhook.last_error {
        cause.push_str(&format!("; the last error: {message} ({code})"));
    }
    if webhook.waiting > 0 {
        cause.push_str(&format!("; {}", deliveries_wait(webhook.waiting)));
    }
    if webhook.dead_letters > 0 {
        cause.push_str(&format!("; {} so far", count(webhook.dead_letters, "dead letter")));
    }
    if webhook.lane.disable_after_ms > 0 {
        let end = failing_since.after(Duration::from_millis(webhook.lane.disable_after_ms));
        cause.push_str(&format!("; it will be disabled {} unless one arrives", at(end, now)));
    }
    cause.push('.');
    Some(Said {
        severity: Severity::Bad,
        kind: Kind::WebhookFailing,
        since: Some(failing_since),
        text: format!("{} fails", name(webhook)),
        cause,
    })
}

fn unreadable(webhook: &WebhookFact, _: Timestamp) -> Option<Said> {
    webhook.lane.unreadable.then(|| Said {
        severity: Severity::Bad,
        kind: Kind::WebhookUnreadable,
        since: None,
        text: format!("Nothing is sent to {}", name(webhook).replacen('W', "w", 1)),
        cause: "One of its settings cannot be read; the log says which. Its deliveries wait.".to_owned(),
    })
}

fn disabled(webhook: &WebhookFact, _: Timestamp) -> Option<Said> {
    let (severity, text) = match webhook.status {
        WebhookStatus::AutoDisabled => (Severity::Bad, "was disabled by the gateway"),
        WebhookStatus::Disabled => (Severity::Info, "is disabled"),
        _ => return None,
    };
    let reason = webhook.reason.as_deref().unwrap_or("no reason was given");
    Some(Said {
        severity,
        kind: Kind::WebhookDisabled,
        since: webhook.since,
        text: format!("{} {text}", name(webhook)),
        cause: format!("{}: events since then are not delivered to it.", super::wording::sentence(reason)),
    })
}

fn dead_letters(webhook: &WebhookFact, now: Timestamp) -> Option<Said> {
    // Of one that fails it is said there.
    if webhook.dead_letters == 0 || webhook.lane.open_since.is_some() {
        return None;
    }
    let newest = webhook.newest_dead_at;
    let is_new = newest.is_some_and(|at| now.since(at) < NEW);
    let given_up = newest.map_or_else(String::new, |newest| format!(", the last one {}", at(newest, now)));
    let has = if webhook.id.is_some() { "has" } else { "have" };
    Some(Said {
        severity: if is_new { Severity::Warn } else { Severity::Info },
        kind: Kind::DeadLetters,
        since: newest,
        text: format!("{} {has} {}", name(webhook), count(webhook.dead_letters, "dead letter")),
        cause: format!("Their retry schedules are used up{given_up}; nobody has sent them again."),
    })
}

fn paused(webhook: &WebhookFact, now: Timestamp) -> Option<Said> {
    let since = webhook.since.filter(|_| webhook.status == WebhookStatus::Paused)?;
    let paused_for = now.since(since);
    if paused_for <= NEW {
        return None;
    }
    let reason = webhook.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(Said {
        severity: Severity::Warn,
        kind: Kind::WebhookPaused,
        since: Some(since),
        text: format!("{} has been paused for {}", name(webhook), span(paused_for)),
        cause: format!(
            "Somebody has paused it{reason}; {} until it is resumed.",
            deliveries_wait(webhook.waiting)
        ),
    })
}
