//! The fields of a command, and the choice of one.

use maud::{Markup, html};

use super::fields::Fields;
use super::{card, table};
use crate::ui::handy_commands::{HANDY, Handy, Kind};
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::protocol::Protocol;

/// The actions that a key `may` send, each with a link to its form, whose path `form` knows.
pub(in crate::ui) fn chooser(form: &dyn Fn(&str) -> String, may: &dyn Fn(&str) -> bool) -> Markup {
    let handy: Vec<&Handy> = HANDY.iter().filter(|handy| may(handy.action)).collect();
    let all = CommandAction::all(Protocol::default()).map(CommandAction::as_str);
    let others: Vec<&str> = all.filter(|name| Handy::named(name).is_none() && may(name)).collect();
    let link = |name: &str| table::link(&form(name), name);
    let often = handy.iter().map(|handy| [link(handy.action), html! { (handy.what_it_does) }]);
    let often = table::table(
        "Commands that are often needed",
        [table::text("Command"), table::text("What it does")],
        often,
    );
    let rest = html! { ul.plain { @for name in &others { li { (link(name)) } } } };
    let none = html! { p.muted { "Your key may send no commands." } };
    html! {
        div.grid {
            @if handy.is_empty() && others.is_empty() {
                (card::card(card::Width::Full, "Commands", html! {}, none))
            } @else {
                (card::card(card::Width::Half, "Often needed", html! {}, often))
                (card::card(card::Width::Half, "All others, as JSON", html! {}, rest))
            }
        }
    }
}

/// The members of a payload as fields; without `handy`, its JSON.
pub(in crate::ui) fn payload(handy: Option<&Handy>, fields: &Fields<'_>) -> Markup {
    let Some(handy) = handy else { return fields.area("payload", "Payload", "JSON, as OCPP has it") };
    let input = |member: &crate::ui::handy_commands::Member| match member.kind {
        Kind::Text | Kind::Number => fields.text(member.name, member.label, member.hint),
        Kind::List => fields.area(member.name, member.label, member.hint),
        Kind::Choice(words) => {
            let words: Vec<(&str, &str)> = words.iter().map(|word| (*word, *word)).collect();
            fields.choice(member.name, member.label, member.hint, &words)
        }
    };
    html! { @for member in handy.members { (input(member)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_chooses_among_what_it_may_send() {
        let form = |name: &str| format!("/form?action={name}");
        let shown = chooser(&form, &|name| name == "Reset" || name == "GetLog").into_string();
        assert!(shown.contains("action=Reset") && shown.contains("action=GetLog"), "{shown}");
        assert!(!shown.contains("UnlockConnector"));
        assert!(chooser(&form, &|_| false).into_string().contains("may send no commands"));
    }

    #[test]
    fn a_payload_has_fields_or_is_json() {
        let fields = Fields::new(&|_| None, &[]);
        let start = payload(Handy::named("RemoteStartTransaction"), &fields).into_string();
        assert!(start.contains("name=\"connectorId\"") && start.contains("name=\"idTag\""), "{start}");
        assert!(payload(None, &fields).into_string().contains("<textarea"));
    }
}
