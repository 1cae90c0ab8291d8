//! A replay of a webhook's past: how much there is to bring back, and then all of it.

use std::time::Duration;

use axum::extract::Path;
use maud::html;

use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, time, units};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::replay::{Only, ReplayInput, Selection};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;
use vocabulary::units::Span;

/// How far back it goes if nothing is said.
const BACK: Duration = Duration::from_secs(86_400);

fn parsed(id: &str) -> Result<WebhookId, Failure> {
    id.parse().map_err(|_| Failure::UnknownPath)
}

/// What a form says of a replay; a time that cannot be read is a day ago, which the page shows.
fn input(query: &Query, now: Timestamp) -> ReplayInput {
    let only = query.get("only").and_then(|word| word.parse().ok()).unwrap_or(Only::Failed);
    let since = query.get("since").and_then(|text| moment(text, now)).unwrap_or(now.before(BACK));
    let until = query.get("until").and_then(|text| moment(text, now));
    let events = query.get("events").unwrap_or_default().split([',', ' ']);
    let events: Vec<String> = events.filter(|text| !text.is_empty()).map(str::to_owned).collect();
    ReplayInput { since, until, only, events: Some(events).filter(|texts| !texts.is_empty()), dry_run: true }
}

/// A time, or how long ago (`2h`).
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    text.parse::<Span>().map(|span| now.before(span.0)).ok().or_else(|| text.parse().ok())
}

/// Counts what a replay would bring back, and asks.
pub(in crate::ui) async fn count(session: Session, Path(id): Path<String>, query: Query) -> Answer {
    let id = parsed(&id)?;
    let input = input(&query, session.now);
    let webhook = session.client.webhook(id).await?;
    let counted = session.client.count_replay(id, &input).await?;
    let path = format!("{}/replay", links::webhook(id));
    let since = input.since.to_string();
    let until = input.until.map(|until| until.to_string());
    let events = input.events.as_ref().map(|events| events.join(" "));
    let mut fields = vec![("since", since.as_str()), ("only", input.only.as_str())];
    fields.extend(until.as_deref().map(|until| ("until", until)));
    fields.extend(events.as_deref().map(|events| ("events", events)));
    let token = session.identity.may("write").then(|| session.token());
    let body = html! {
        (card::big(units::count(counted.matched), "events would be sent"))
        p {
            "Since " (time::full(input.since))
            @if let Some(until) = input.until { ", until " (time::full(until)) }
            ": " (only_in_words(input.only))
            @if let Some(events) = &events { ", of " code { (events) } }
            ". They go behind what is new."
        }
        div.buttons {
            @if let Some(token) = token.filter(|_| counted.matched > 0) {
                (action::primary(token, &path, &format!("Send {}", units::plural(counted.matched, "event", "events")), &fields))
            }
            a.button href=(links::webhook(id)) { "Back to the webhook" }
        }
    };
    let body = html! { div.grid { (card::card(card::Width::TwoThirds, "What a replay would bring back", html! {}, body)) } };
    Ok(Page::new(&session, Section::Webhooks, format!("Replay to {}", webhook.name), body))
}

fn only_in_words(only: Only) -> &'static str {
    match only {
        Only::Failed => "dead letters",
        Only::Missing => "what it never got, by what it wants now",
        Only::All => "everything that it wants now, also what has arrived",
    }
}

/// Starts a replay.
pub(in crate::ui) async fn start(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let id = parsed(&id)?;
    let input = input(form.query(), session.now);
    let made = session.client.replay(id, &input).await;
    session.outcome(made, &links::webhook(id), |replay| {
        format!("{} being sent ({}).", units::plural(replay.matched, "event is", "events are"), replay.id)
    })
}

/// Cancels a replay or a bulk resend, and leads to where it is seen.
pub(in crate::ui) async fn cancel(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id = id.parse().map_err(|_| Failure::UnknownPath)?;
    let webhook = match session.client.replay_status(id).await?.selection {
        Selection::Replay { webhook_id, .. } => Some(webhook_id),
        Selection::Resend { webhook_id, .. } => webhook_id,
    };
    let path = webhook.map_or_else(|| "/ui/deliveries".to_owned(), links::webhook);
    let made = session.client.cancel_replay(id).await;
    session.outcome(made, &path, |replay| {
        format!("It is canceled; {} was made due before.", units::count(replay.done))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_goes_back_to_a_time_or_for_a_time() {
        let now = Timestamp::from_unix_ms(1_776_170_096_789);
        let since = |text: &str| input(&Query::parse(text), now).since;
        assert_eq!(since("since=2h"), now.before(Duration::from_secs(7_200)));
        assert_eq!(since("since=2026-04-14T00:00:00Z").to_string(), "2026-04-14T00:00:00.000Z");
        assert_eq!(since("since=nonsense"), now.before(BACK));
        assert_eq!(input(&Query::parse("only=missing"), now).only, Only::Missing);
        let narrow = input(&Query::parse("until=1h&events=Start*,+ocpp.*"), now);
        assert_eq!(narrow.until, Some(now.before(Duration::from_secs(3_600))));
        assert_eq!(narrow.events, Some(vec!["Start*".to_owned(), "ocpp.*".to_owned()]));
    }
}
