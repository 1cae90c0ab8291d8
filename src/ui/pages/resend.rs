//! Deliveries that are sent again by filter: how many there are, and then all of them.

use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, chip, units};
use crate::ui::form::Form;
use crate::ui::page::{Answer, Page, Posted, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::delivery::Delivery;

const LIST: &str = "/ui/deliveries";
const PATH: &str = "/ui/deliveries/resend";

/// What may choose the deliveries: parameters of `POST /deliveries/resend`.
const FILTERS: &[&str] = &[
    "status",
    "webhook_id",
    "event",
    "event_id",
    "station_id",
    "owner_id",
    "since",
    "until",
    "status_code",
    "min_attempts",
    "q",
];

/// One of these the API insists on, so that nobody sends everything again by leaving something out.
const BOUNDS: &[&str] = &["webhook_id", "event_id", "since"];

/// Whoever sends again from a list has seen it and its count: all of it is meant, from the beginning.
const FROM_THE_BEGINNING: (&str, &str) = ("since", "1970-01-01T00:00:00Z");

/// Counts what would be sent again, and asks.
pub(in crate::ui) async fn count(session: Session, query: Query) -> Answer {
    let chosen = chosen(&query);
    let first: Vec<_> = chosen.iter().copied().chain([("limit", "5")]).collect();
    let (counted, listed) = tokio::join!(
        session.client.count_resend(&chosen).into_future(),
        session.client.deliveries(&first).into_future()
    );
    let matched = counted?.matched;
    let (examples, _) = rows(listed)?;
    let token = session.identity.may("write").then(|| session.token());
    let body = render(&query, &chosen, matched, &examples.data, token);
    Ok(Page::new(&session, Section::Deliveries, "Send again", body))
}

/// Sends them again.
pub(in crate::ui) async fn start(session: Session, form: Form) -> Posted {
    let query = form.query();
    let made = session.client.resend_all(&chosen(query)).await;
    let is_bounded = query.get("since").is_some_and(|since| since != FROM_THE_BEGINNING.1);
    let since = query.get("since").filter(|_| is_bounded);
    let back = query.link(LIST, &[("_token", None), ("status", None), ("since", since)]);
    session.outcome(made, &back, |replay| {
        let count = units::plural(replay.matched, "delivery is", "deliveries are");
        format!("{count} being sent again, behind what is new ({}).", replay.id)
    })
}

/// The filters that were given, and the bound that the API insists on; a page of a list is none of them.
fn chosen(query: &Query) -> Vec<(&str, &str)> {
    let mut chosen = query.parameters(FILTERS);
    chosen.retain(|(name, _)| FILTERS.contains(name));
    if !query.has_any(BOUNDS) {
        chosen.push(FROM_THE_BEGINNING);
    }
    chosen
}

/// `token`: of the session's forms, if its key may send again.
fn render(
    query: &Query,
    chosen: &[(&str, &str)],
    matched: u64,
    examples: &[Delivery],
    token: Option<&str>,
) -> Markup {
    let back = query.link(LIST, &[]);
    let body = html! {
        (card::big(units::count(matched), if matched == 1 { "delivery fits" } else { "deliveries fit" }))
        ul { @for (name, value) in chosen.iter().filter(|one| **one != FROM_THE_BEGINNING) { li { (name.replace('_', " ")) " " b { (value) } } } }
        @if matched > 0 {
            p { "They keep their ids, so receivers can tell what they have already; they go behind what is new." }
            ul.plain { @for delivery in examples { li { (chip::delivery(delivery.status)) " " (delivery.event) " " span.mono.muted { (delivery.id) } } }
                @if matched > examples.len() as u64 { li.muted { "and " (units::count(matched - examples.len() as u64)) " more" } } }
        }
        div.buttons {
            @if let Some(token) = token.filter(|_| matched > 0) {
                (action::primary(token, PATH, &format!("Send {} again", units::plural(matched, "delivery", "deliveries")), chosen))
            }
            a.button href=(back) { "Back to the list" }
        }
    };
    html! { div.grid { (card::card(card::Width::TwoThirds, "What would be sent again", html! {}, body)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_bounds_is_sent_again_from_the_beginning() {
        let status = ("status", "failed");
        assert_eq!(chosen(&Query::parse("status=failed&cursor=x")), [status, FROM_THE_BEGINNING]);
        assert_eq!(chosen(&Query::parse("status=failed&since=2h")), [status, ("since", "2h")]);
        assert_eq!(chosen(&Query::parse("webhook_id=2")), [("webhook_id", "2")]);
        let query = Query::parse("status=failed");
        let shown = render(&query, &chosen(&query), 2, &[], Some("t")).into_string();
        assert!(shown.contains("status <b>failed</b>") && !shown.contains("<b>1970"), "{shown}");
    }
}
