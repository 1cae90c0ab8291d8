//! The answer to "why?": what is the matter in one or two sentences, what can be done next, and the facts
//! that it is made of.

use maud::{Markup, html};

use super::chip::{Tone, chip};
use super::time_line::{Mark, Step, time_line};
use super::{next_steps, time};
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
            @let (first, rest) = headline(summary);
            p { b { (first) } (rest) }
            @if !next.is_empty() { ul { @for step in next { li { (next_steps::step(step)) } } } }
        }
    }
}

/// The summary's first sentence, or what stands before its colon, and the rest.
fn headline(summary: &str) -> (&str, &str) {
    let end = [": ", ". "].iter().filter_map(|mark| summary.find(mark)).min();
    end.map_or((summary, ""), |end| summary.split_at(end + 1))
}

/// A verdict in words, and how bad it is.
pub(in crate::ui) fn verdict(verdict: Verdict) -> Markup {
    let word = match verdict {
        Verdict::Ok => "all is well".to_owned(),
        other => other.as_str().replace('_', " "),
    };
    chip(tone(verdict), &word)
}

/// How bad a verdict is.
fn tone(verdict: Verdict) -> Tone {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_matter_stands_out_from_its_cause() {
        assert_eq!(
            headline("No cable was seen. It stayed at 7.4 kW."),
            ("No cable was seen.", " It stayed at 7.4 kW.")
        );
        assert_eq!(headline("Nothing is wrong: it is there."), ("Nothing is wrong:", " it is there."));
        assert_eq!(headline("It is at 10:35:29"), ("It is at 10:35:29", ""));
    }
}
