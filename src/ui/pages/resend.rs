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
const FILTERS: &[&str] =
    &["status", "webhook_id", "event", "event_id", "station_id", "owner_id", "since", "until", "q"];

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
    let back = query.link(LIST, &[("_token", None), ("status", None)]);
    session.outcome(made, &back, |replay| {
        let count = units::plural(replay.matched, "delivery is", "deliveries are");
        format!("{count} being sent again, behind what is new ({}).", replay.id)
    })
}

/// The filters that were given; a page of a list is none of them.
fn chosen(query: &Query) -> Vec<(&str, &str)> {
    let mut chosen = query.parameters(FILTERS);
    chosen.retain(|(name, _)| FILTERS.contains(name));
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
        ul { @for (name, value) in chosen { li { (name.replace('_', " ")) " " b { (value) } } } }
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
