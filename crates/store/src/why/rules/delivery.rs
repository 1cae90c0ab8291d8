//! Why an event did not reach a receiver, or has not so far.

use super::super::answer::{Answer, at, quoted, span, state, times};
use vocabulary::api::delivery::{Attempt, Delivery, DeliveryError};
use vocabulary::api::why::{Fact, FactKind, Verdict, Why};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{DeliveryStatus, DiscardReason, ErrorCode};

/// Attempts that are told, the newest ones.
const ATTEMPTS: usize = 10;

/// Why a delivery is as it is.
pub(crate) fn delivery(delivery: &Delivery, now: Timestamp) -> Why {
    let answer = match delivery.status {
        DeliveryStatus::Success => arrived(delivery, now),
        DeliveryStatus::Failed => failed(delivery, now),
        DeliveryStatus::Discarded => discarded(delivery, now),
        DeliveryStatus::Scheduled | DeliveryStatus::Retry | DeliveryStatus::Processing => {
            waiting(delivery, now)
        }
    };
    let made = Fact {
        at: delivery.created_at,
        text: format!("{} was to be sent", delivery.event),
        kind: FactKind::Event,
        id: Some(delivery.event_id.to_string()),
    };
    let skipped = delivery.attempts.len().saturating_sub(ATTEMPTS);
    let tried = delivery.attempts.iter().skip(skipped).map(|attempt| tried(delivery, attempt));
    answer.fact(made).facts(tried).into_why()
}

fn tried(delivery: &Delivery, attempt: &Attempt) -> Fact {
    let came = match (&attempt.error, attempt.status_code, attempt.duration_ms) {
        (Some(error), ..) => format!("failed: {} ({})", quoted(&error.message), error.code),
        (None, Some(status), _) => format!("was answered {status}"),
        (None, None, None) => "is under way".to_owned(),
        (None, None, Some(_)) => "ended without an answer".to_owned(),
    };
    Fact {
        at: attempt.started_at,
        text: format!("Attempt {} {came}", attempt.number),
        kind: FactKind::Delivery,
        id: Some(delivery.id.to_string()),
    }
}

/// To whom it goes.
fn receiver(delivery: &Delivery) -> String {
    match delivery.webhook_id {
        Some(id) => format!("webhook {id}"),
        None => "its URL".to_owned(),
    }
}

fn arrived(delivery: &Delivery, now: Timestamp) -> Answer {
    let end = delivery.completed_at.unwrap_or(now);
    let summary = format!(
        "{} reached {} at {}, with {} attempt{}.",
        delivery.event,
        receiver(delivery),
        at(end, now),
        delivery.attempts.len(),
        if delivery.attempts.len() == 1 { "" } else { "s" }
    );
    Answer::new(Verdict::Ok, summary)
}

/// What went wrong last, in words, and what to do about it.
fn cause(error: Option<&DeliveryError>) -> (String, &'static str) {
    let Some(error) = error else {
        return ("nothing on record says why".to_owned(), "Look at its attempts");
    };
    let next = match error.code {
        ErrorCode::Timeout => "Let the receiver answer first and work later, or raise the webhook's timeout",
        ErrorCode::Dns => "Look at the host name in the webhook's URL, and at the gateway's DNS",
        ErrorCode::Connect => {
            "Look whether the receiver runs, and whether a firewall lets the gateway reach it"
        }
        ErrorCode::Tls => {
            "Look at the receiver's certificate: its dates, its name, its chain (delivery.extra_ca adds roots)"
        }
        ErrorCode::Reset => "Look at the receiver's log: it has closed the connection without an answer",
        ErrorCode::HttpStatus => {
            "Look at the receiver's log for this delivery id: it has answered, and refused"
        }
        ErrorCode::ForbiddenDestination => {
            "If the address is meant to be reached, allow its network: --allow-network"
        }
        ErrorCode::CircuitOpen => {
            "Mend the receiver; the breaker tries it by itself, and closes with the first success"
        }
        ErrorCode::OutcomeUnknown => {
            "It is tried again by itself: the gateway was stopped in the middle of an attempt"
        }
        ErrorCode::NoStream => {
            "Make a stream of JetStream whose subjects include the webhook's topic, or mend the topic"
        }
        ErrorCode::Nack => "Look at the broker: its stream or queue may be full, or at fault itself",
        ErrorCode::NotAuthorized => {
            "Look at the webhook's credentials, and at what the broker allows them on this topic"
        }
        ErrorCode::TooLarge => {
            "Raise the broker's limit on messages, then resend it; it is not tried again by itself"
        }
        ErrorCode::Unreadable => "Look at the gateway's log: something stored of the webhook cannot be read",
    };
    (format!("{} ({})", quoted(&error.message), error.code), next)
}

/// What the last attempt came to, with the beginning of the body that was answered.
fn answer_of(attempt: &Attempt) -> String {
    let error = attempt.error.as_ref().map_or("no answer", |error| &error.message);
    match attempt.response_body.as_deref().map(str::trim).filter(|body| !body.is_empty()) {
        Some(body) => format!("{} ({:?})", quoted(error), quoted(body)),
        None => quoted(error),
    }
}

fn failed(delivery: &Delivery, now: Timestamp) -> Answer {
    let (cause, next) = cause(delivery.last_error.as_ref());
    let end = delivery.completed_at.unwrap_or(now);
    let (event, receiver) = (&delivery.event, receiver(delivery));
    let tried = times(delivery.attempts.len() as u64);
    let by_breaker = delivery.last_error.as_ref().is_some_and(|error| error.code == ErrorCode::CircuitOpen);
    let summary = match delivery.attempts.last().filter(|_| by_breaker) {
        Some(last) => format!(
            "{event} did not reach {receiver}: it was tried {tried}, the last time in vain ({}); then the \
             circuit breaker of {receiver} was open until the time of the retry schedule was over, at {}.",
            answer_of(last),
            at(end, now)
        ),
        None if by_breaker => {
            format!("{event} did not reach {receiver}: it was given up at {}: {cause}.", at(end, now))
        }
        None => format!(
            "{event} did not reach {receiver}: it was tried {tried} until {}, the last time in vain ({cause}).",
            at(end, now)
        ),
    };
    let is_gone = delivery.attempts.last().is_some_and(|last| last.status_code == Some(410));
    let given_up = match (by_breaker, is_gone) {
        (true, _) => "It was given up: its circuit breaker was open until the time of its schedule was over",
        (false, true) => "It was given up: 410 says that the endpoint is gone for good",
        (false, false) => "It was given up: its schedule is used up",
    };
    Answer::new(Verdict::NotDelivered, summary)
        .fact(state(end, given_up))
        .next(next)
        .next(format!("Then send it again: POST /deliveries/{}/resend", delivery.id))
}

fn discarded(delivery: &Delivery, now: Timestamp) -> Answer {
    let end = delivery.completed_at.unwrap_or(now);
    let webhook = receiver(delivery);
    let (why, next) = match delivery.discarded_because {
        Some(DiscardReason::WebhookDisabled) => (
            format!("{webhook} was disabled"),
            "Enable it (POST /webhooks/{id}/enable), then replay what it has missed (POST /webhooks/{id}/replay)",
        ),
        Some(DiscardReason::WebhookDeleted) => {
            (format!("{webhook} was deleted"), "Make a webhook again if the events are still wanted")
        }
        Some(DiscardReason::Canceled) => (
            "somebody canceled it".to_owned(),
            "Send it again if it is wanted: POST /deliveries/{delivery}/resend",
        ),
        None => (
            "an older version has not written down why".to_owned(),
            "Send it again: POST /deliveries/{delivery}/resend",
        ),
    };
    let id = delivery.webhook_id.map(|id| id.to_string()).unwrap_or_default();
    Answer::new(Verdict::Discarded, format!("{} is not sent to {webhook}: {why}.", delivery.event))
        .fact(state(end, "It was discarded"))
        .next(next.replace("{id}", &id).replace("{delivery}", &delivery.id.to_string()))
}

fn waiting(delivery: &Delivery, now: Timestamp) -> Answer {
    let webhook = receiver(delivery);
    let due = delivery.next_attempt_at.map(|due| {
        if due > now {
            format!("at {} (in {})", at(due, now), span(due.since(now)))
        } else {
            "at once".to_owned()
        }
    });
    let due = due.unwrap_or_else(|| "now".to_owned());
    let (why, next) = match delivery.waiting_for.as_deref() {
        Some("breaker") => (
            match delivery.attempts.last().filter(|last| last.error.is_some()) {
                Some(last) => format!(
                    "the last attempt failed: {}; the circuit breaker of {webhook} is open since, and only probes are \
                     sent",
                    answer_of(last)
                ),
                None => format!(
                    "{webhook} has failed again and again, so its circuit breaker is open and only probes are sent"
                ),
            },
            "Mend the receiver: the first probe that succeeds lets everything through".to_owned(),
        ),
        Some("paused") => (
            format!("{webhook} is paused"),
            match delivery.webhook_id {
                Some(id) => format!("Resume it: POST /webhooks/{id}/resume"),
                None => "Resume its webhook".to_owned(),
            },
        ),
        Some("order") => (
            "an older delivery of its station has to arrive first (ordering is \"station\")".to_owned(),
            "See why the older one has not arrived: GET /deliveries with the same webhook_id and station_id"
                .to_owned(),
        ),
        Some("rate_limit") => (
            format!("{webhook} takes no more by its rate_limit"),
            "Wait, or raise the webhook's rate_limit".to_owned(),
        ),
        Some("slot") => (
            "it is due, and waits for a free place among those that are being sent".to_owned(),
            "Wait; if it lasts, the receiver is slow: raise max_in_flight, or let it answer faster"
                .to_owned(),
        ),
        Some("settings") => (
            format!("something stored of {webhook} cannot be read"),
            "Look at the gateway's log, and write the webhook's settings anew".to_owned(),
        ),
        _ if delivery.status == DeliveryStatus::Processing => {
            ("an attempt is under way".to_owned(), "Wait for its end".to_owned())
        }
        _ => {
            let (cause, next) = cause(delivery.last_error.as_ref());
            let why = match delivery.last_error {
                Some(_) => format!("the last attempt failed: {cause}; the next one is due {due}"),
                None => format!("its first attempt is due {due}"),
            };
            (why, next.to_owned())
        }
    };
    let verdict = if delivery.attempts.is_empty() { Verdict::Waiting } else { Verdict::Retrying };
    let summary = format!("{} has not reached {webhook} so far: {why}.", delivery.event);
    Answer::new(verdict, summary).next(next).next(format!(
        "To try it at once, whatever it waits for: cancel it and send it again (POST /deliveries/{}/cancel, …/resend)",
        delivery.id
    ))
}
