//! The answer to "why?": what is the matter in one or two sentences, what can be done next, and the facts
//! that it is made of.

use maud::{Markup, html};

use super::chip::Tone;
use super::time;
use super::time_line::{Mark, Step, time_line};
use crate::ui::links;
use vocabulary::api::why::{Fact, FactKind, Verdict, Why};
use vocabulary::clock::Timestamp;

/// The box with its facts, which are open where something is the matter.
pub(in crate::ui) fn why(answer: &Why, now: Timestamp) -> Markup {
    let steps: Vec<Step> = answer.facts.iter().map(|fact| step(fact, now)).collect();
    html! {
        (why_box(tone(answer.verdict), &answer.summary, &answer.next))
        @if !steps.is_empty() {
            details.more open[!answer.verdict.is_ordinary()] data-key="facts" {
                summary { "What this is taken from" }
                (time_line(&steps))
            }
        }
    }
}

/// The box alone. `tone`: how bad it is.
pub(in crate::ui) fn why_box(tone: Tone, summary: &str, next: &[String]) -> Markup {
    html! {
        div class={ "why " (tone.class()) } {
            p { b { (summary) } }
            @if !next.is_empty() { ul { @for step in next { li { (step) } } } }
        }
    }
}

/// How bad a verdict is.
pub(in crate::ui) fn tone(verdict: Verdict) -> Tone {
    match verdict {
        ordinary if ordinary.is_ordinary() => Tone::Ok,
        Verdict::Waiting | Verdict::Canceled | Verdict::Discarded | Verdict::NeverConnected => Tone::Info,
        Verdict::Faulted
        | Verdict::Offline
        | Verdict::Blocked
        | Verdict::Rejected
        | Verdict::NotAnswering
        | Verdict::EmergencyStop
        | Verdict::EnergyImplausible
        | Verdict::NotDelivered => Tone::Bad,
        _ => Tone::Warn,
    }
}

fn step(fact: &Fact, now: Timestamp) -> Step {
    let link = match (fact.kind, fact.id.as_deref()) {
        (FactKind::Event, Some(id)) => Some(links::event(id)),
        (FactKind::Command, Some(id)) => Some(links::command(id)),
        (FactKind::Delivery, Some(id)) => Some(links::delivery(id)),
        (FactKind::Transaction, Some(id)) => id.parse().ok().map(links::session),
        (FactKind::State, _) | (_, None) => None,
    };
    let text = html! { (fact.text) @if let Some(link) = link { " " a href=(link) { (fact.kind.as_str()) } } };
    Step { mark: Mark::Done, at: time::clock(fact.at, now), text }
}
