//! A webhook: how it is doing, what it wants, and what can be done with it.

use std::time::Duration;

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::bar::{Part, bar};
use crate::ui::components::chip::Tone;
use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, chip, definitions, json, quarters, replays, table, time, units};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted, optional, rows};
use crate::ui::session::Session;
use vocabulary::api::delivery::Delivery;
use vocabulary::api::replay::Replay;
use vocabulary::api::webhook::{Webhook, WebhookSecrets, WebhookTest};
use vocabulary::api::webhook_stats::{Breaker, BreakerState, WebhookStats};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;
use vocabulary::units::Span;
use vocabulary::webhook::WebhookStatus;

/// The window of its numbers.
const WINDOW: Span = Span::seconds(86_400);

/// What the page shows.
struct View {
    webhook: Webhook,
    stats: WebhookStats,
    /// Its newest dead letters.
    failed: Vec<Delivery>,
    /// Its newest replays and resends.
    replays: Vec<Replay>,
}

fn parsed(id: &str) -> Result<WebhookId, Failure> {
    id.parse().map_err(|_| Failure::UnknownPath)
}

/// The webhook.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id = parsed(&id)?;
    let text = id.to_string();
    let client = &session.client;
    let dead_letters = [("webhook_id", text.as_str()), ("limit", "5")];
    let (webhook, stats, failed, replays) = tokio::join!(
        client.webhook(id).into_future(),
        client.webhook_stats(id, WINDOW).into_future(),
        client.failed_deliveries(&dead_letters).into_future(),
        client.replays(&dead_letters).into_future(),
    );
    let (failed, _) = rows(failed)?;
    let view = View {
        webhook: webhook?,
        stats: stats?,
        failed: failed.data,
        replays: optional(replays)?.map(|page| page.data).unwrap_or_default(),
    };
    let token = session.identity.may("write").then(|| session.token());
    let body = render(&view, token, session.now);
    let beside = html! { span id="state" data-live { (chip::webhook(view.webhook.status, Some(view.stats.breaker.state))) } };
    Ok(Page::new(&session, Section::Webhooks, view.webhook.name.clone(), body).beside_title(beside).live())
}

/// Sends a test event.
pub(in crate::ui) async fn test(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let id = parsed(&id)?;
    let made = session.client.test_webhook(id, form.get("event")).await;
    session.outcome(made, &links::webhook(id), test_result)
}

fn test_result(test: WebhookTest) -> String {
    let took = time::span(Duration::from_millis(test.duration_ms));
    match (test.ok, test.status_code, test.error) {
        (true, Some(status), _) => format!("The test event arrived: {status} after {took}."),
        (_, Some(status), _) => format!("The receiver answered the test event with {status} after {took}."),
        (_, None, Some(error)) => {
            format!("The test event did not arrive: {} ({}).", error.message, error.code.as_str())
        }
        (true, None, None) => format!("The test event arrived: the broker confirmed it after {took}."),
        (_, None, None) => "The test event did not arrive.".to_owned(),
    }
}

/// Pauses it.
pub(in crate::ui) async fn pause(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let id = parsed(&id)?;
    let Ok(how_long) = form.get("for").map(str::parse).transpose() else {
        return Ok(session.told(&links::webhook(id), Tone::Bad, "That is no time: write 2h, or 30m."));
    };
    let made = session.client.pause_webhook(id, how_long).await;
    session.outcome(made, &links::webhook(id), |_| "It is paused: what comes for it waits.".to_owned())
}

/// Resumes it.
pub(in crate::ui) async fn resume(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id = parsed(&id)?;
    let made = session.client.resume_webhook(id).await;
    session.outcome(made, &links::webhook(id), |_| "It goes on: what has waited is being sent.".to_owned())
}

/// Enables it again.
pub(in crate::ui) async fn enable(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id = parsed(&id)?;
    let made = session.client.enable_webhook(id).await;
    session.outcome(made, &links::webhook(id), |_| {
        "It is enabled: new events are sent. Replay what it missed.".to_owned()
    })
}

/// Gives it a new signing secret.
pub(in crate::ui) async fn rotate(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let id = parsed(&id)?;
    let made = session.client.rotate_webhook_secret(id, form.get("overlap")).await;
    let shown = format!("{}/secret", links::webhook(id));
    session.outcome(made, &shown, |_| {
        "It has a new signing secret; the old one signs beside it for a day.".to_owned()
    })
}

/// Deletes it.
pub(in crate::ui) async fn delete(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id = parsed(&id)?;
    match session.client.delete_webhook(id).await {
        Ok(()) => Ok(session.done("/ui/webhooks", "The webhook is deleted.")),
        refused => session.outcome(refused, &links::webhook(id), |()| String::new()),
    }
}

/// Its signing secrets.
pub(in crate::ui) async fn secret(session: Session, Path(id): Path<String>) -> Answer {
    let id = parsed(&id)?;
    let (webhook, secrets) = tokio::join!(
        session.client.webhook(id).into_future(),
        session.client.webhook_secrets(id).into_future()
    );
    let (webhook, secrets) = (webhook?, secrets?);
    let body = secrets_card(&secrets, &links::webhook(id), session.now);
    Ok(Page::new(&session, Section::Webhooks, format!("Signing secret of {}", webhook.name), body))
}

fn secrets_card(secrets: &WebhookSecrets, back: &str, now: Timestamp) -> Markup {
    let body = html! {
        p { code { (secrets.signing_secret) } " " (action::copy(&secrets.signing_secret, "Copy")) }
        @for previous in &secrets.previous {
            p { code { (previous.signing_secret) } span.muted { " signs as well, until " (time::clock(previous.expires_at, now)) } }
        }
        p.muted { "Receivers check webhook-signature with it, as Standard Webhooks describes." }
        div.buttons { a.button href=(back) { "Back to the webhook" } }
    };
    html! { div.grid { (card::card(card::Width::TwoThirds, "What signs its deliveries", html! {}, body)) } }
}

/// `token`: of the session's forms, if its key may change webhooks.
fn render(view: &View, token: Option<&str>, now: Timestamp) -> Markup {
    use card::Width::{Full, Half};
    let View { webhook, stats, failed, replays } = view;
    let path = links::webhook(webhook.id);
    let all = format!("/ui/deliveries?webhook_id={}", webhook.id);
    html! {
        div.grid {
            (card::live_card("numbers", Half, "Last 24 hours", html! { a href=(all) { "deliveries" } }, numbers(webhook, stats, now)))
            (card::live_card("doing", Half, "What to do", html! {}, doing(webhook, token, &path, now)))
            @if !failed.is_empty() {
                (card::live_card("failed", Full, "Newest dead letters", html! { a href={ (all) "&status=failed" } { "all" } }, dead_letters(failed, now)))
            }
            @if !replays.is_empty() {
                (card::live_card("replays", Full, "Replays", html! {}, replays::replays(replays, token, now)))
            }
            (card::card(Full, "Settings", html! { @if token.is_some() { a href={ (path) "/edit" } { "Change" } } }, settings(webhook, now)))
        }
    }
}

fn numbers(webhook: &Webhook, stats: &WebhookStats, now: Timestamp) -> Markup {
    let counts = &stats.counts;
    let waiting = counts.scheduled + counts.processing + counts.retry;
    let parts = [
        Part { tone: Tone::Ok, label: "arrived", count: counts.success, path: None },
        Part { tone: Tone::Info, label: "waiting", count: waiting, path: None },
        Part { tone: Tone::Bad, label: "dead letters", count: counts.failed, path: None },
        Part { tone: Tone::Off, label: "discarded", count: counts.discarded, path: None },
    ];
    html! {
        @match stats.success_rate {
            Some(rate) => (card::big(format!("{:.2}", rate * 100.0), "% arrived")),
            None => (card::big("–", "nothing was sent")),
        }
        (bar(&parts))
        (quarters::quarters(&stats.quarters, now))
        ul.legend {
            @if let Some(p50) = stats.latency_ms.p50 { li { "half within " b { (p50) " ms" } } }
            @if let Some(p95) = stats.latency_ms.p95 { li { "95 % within " b { (p95) " ms" } } }
            li { "backlog " b { (units::count(stats.backlog)) } }
            @if let Some(due) = stats.oldest_due_at { li { "oldest due " b { (time::ago(due, now)) } } }
        }
        (breaker(webhook, &stats.breaker, now))
    }
}

fn breaker(webhook: &Webhook, breaker: &Breaker, now: Timestamp) -> Markup {
    if webhook.status != WebhookStatus::Active || breaker.state == BreakerState::Closed {
        return html! {};
    }
    html! {
        div.why.warn {
            @match breaker.state {
                BreakerState::Open => p {
                    b { "It does not answer" } @if let Some(since) = breaker.since { ", since " (time::clock(since, now)) } "."
                    @if let Some(next) = breaker.next_probe_at { " It is asked again " (time::ago(next, now)) "." }
                },
                _ => p { b { "It answers again" } ": a few requests pass, and more with each success." },
            }
        }
    }
}

fn doing(webhook: &Webhook, token: Option<&str>, path: &str, now: Timestamp) -> Markup {
    let Some(token) = token else {
        return html! { p.muted { "Your key may look, and not change anything." } };
    };
    let to = |verb: &str| format!("{path}/{verb}");
    html! {
        (why_not_active(webhook, now))
        div.buttons {
            (action::button(token, &to("test"), "Send a test event", &[]))
            @match webhook.status {
                WebhookStatus::Active => (pause_button(token, &to("pause"))),
                WebhookStatus::Paused => (action::primary(token, &to("resume"), "Resume", &[])),
                WebhookStatus::Disabled | WebhookStatus::AutoDisabled => (action::primary(token, &to("enable"), "Enable", &[])),
            }
            a.button href=(to("edit")) { "Change" }
            a.button href=(to("secret")) { "Signing secret" }
            (action::confirmed(token, &to("rotate"), "Rotate the secret", "It gets a new signing secret. The old one signs beside it for a day, so that receivers can change over.", &[("overlap", "24h")]))
            (action::confirmed(token, &to("delete"), "Delete", "It gets nothing more, and what waits for it is discarded. Its number is never used again.", &[]))
        }
        h3 { "Replay" }
        form.filters method="get" action=(to("replay")) {
            label.filter { span { "Since" } input name="since" value="24h"; }
            label.filter { span { "Until" } input name="until" placeholder="now"; }
            label.filter { span { "Events, such as Start*" } input name="events"; }
            label.filter { span { "What" } select name="only" {
                option value="failed" { "dead letters" } option value="missing" { "what it never got" } option value="all" { "everything" }
            } }
            div.go { button { "Count first…" } }
        }
    }
}

/// Until somebody resumes it, or for a time.
fn pause_button(token: &str, path: &str) -> Markup {
    html! {
        form.inline method="post" action=(path) {
            (action::hidden(token, &[]))
            select name="for" aria-label="For how long" {
                option value="" { "until I resume it" }
                @for (span, words) in [("1h", "for an hour"), ("4h", "for 4 hours"), ("24h", "for a day")] {
                    option value=(span) { (words) }
                }
            }
            button { "Pause" }
        }
    }
}

fn why_not_active(webhook: &Webhook, now: Timestamp) -> Markup {
    html! {
        @if let Some(reason) = &webhook.disabled_reason { div.why.bad { p { b { "Disabled: " } (reason) } } }
        @if let Some(since) = webhook.paused_at {
            div.why.warn { p {
                b { "Paused" } " since " (time::clock(since, now))
                @if let Some(until) = webhook.paused_until { ", until " (time::clock(until, now)) }
                "." @if let Some(reason) = &webhook.paused_reason { " " (reason) }
            } }
        }
        @for warning in &webhook.warnings { div.why.warn { p { (warning) } } }
    }
}

fn dead_letters(failed: &[Delivery], now: Timestamp) -> Markup {
    let columns = [
        table::text("Event"),
        table::text("Last error"),
        table::minor_number("Attempts"),
        table::text("Given up"),
    ];
    let rows = failed.iter().map(|delivery| {
        [
            table::link(&links::delivery(delivery.id), &delivery.event),
            html! { @if let Some(error) = &delivery.last_error { (error.message) } },
            html! { (delivery.attempts.len()) },
            time::ago_or_dash(delivery.completed_at, now),
        ]
    });
    table::table("Newest dead letters", columns, rows)
}

fn settings(webhook: &Webhook, now: Timestamp) -> Markup {
    let schedule: Vec<String> = webhook.retry_schedule.iter().map(ToString::to_string).collect();
    let mut facts = vec![
        ("URL", table::mono(&webhook.url)),
        ("Events", table::mono(webhook.events.join(", "))),
        ("Stations", table::mono(webhook.stations.join(", "))),
        ("Format", html! { (webhook.format.as_str()) }),
        ("Order", html! { (webhook.ordering.as_str()) }),
        ("Timeout", html! { (webhook.timeout) }),
        (
            "Waits between attempts",
            html! { @if schedule.is_empty() { "none" } @else { (schedule.join(", ")) } },
        ),
        ("Requests at once", html! { (webhook.max_in_flight) }),
        ("Rate limit", html! { (webhook.rate_limit.as_deref().unwrap_or("none")) }),
        ("Secret header", html! { (webhook.secret_header.as_deref().unwrap_or("none")) }),
        ("Changed", time::ago(webhook.updated_at, now)),
        ("Created", time::ago(webhook.created_at, now)),
    ];
    if let Some(owner) = &webhook.owner_id {
        facts.insert(3, ("Owner", table::mono(owner)));
    }
    if let Some(topic) = &webhook.topic {
        facts.insert(2, ("Topic", table::mono(topic)));
        facts.push(("Credentials", html! { @if webhook.credentials_set { "set" } @else { "none" } }));
    }
    let names: Vec<&str> = webhook.custom_headers.keys().map(String::as_str).collect();
    if !names.is_empty() {
        facts.push(("More headers", table::mono(names.join(", "))));
    }
    html! {
        (definitions::definitions(&facts))
        @if let Some(filter) = &webhook.filter { h3 { "Filter of payloads" } (json::pretty(&filter.to_string())) }
    }
}
