//! A charging session: its curves, what happened in it, what it came to and why, and what can be done.

mod close;
mod figures;
mod look;

use axum::extract::Path;
use axum::response::IntoResponse;
use maud::{Markup, html};
use serde_json::json;

use crate::client::ClientError;
use crate::ui::charging::history::History;
use crate::ui::components::chip::Tone;
use crate::ui::components::fields::Fields;
use crate::ui::components::layout::Section;
use crate::ui::components::time_line::time_line;
use crate::ui::components::{action, card, chip, command, definitions, table, time, units, why};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted};
use crate::ui::session::Session;
use look::{View, look};
use vocabulary::api::problem::FieldError;
use vocabulary::api::transaction::{Status, Transaction};
use vocabulary::clock::Timestamp;

/// The action that ends a session.
const REMOTE_STOP: &str = "RemoteStopTransaction";

/// How long the charger's answer to a stop is waited for.
const STOP_TIMEOUT: &str = "20s";

/// What a key may do here, with the token of its forms.
struct Rights<'a> {
    token: &'a str,
    stop: bool,
    close: bool,
}

impl<'a> Rights<'a> {
    fn of(session: &'a Session) -> Self {
        let stop = REMOTE_STOP.parse().is_ok_and(|action| session.identity.may_send(action));
        Self { token: session.token(), stop, close: session.identity.may("write") }
    }
}

fn parsed(id: &str) -> Result<i64, Failure> {
    id.parse().map_err(|_| Failure::UnknownPath)
}

/// The session.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    page(&session, parsed(&id)?, &Form::default(), &[]).await
}

/// Asks the charger to end it, and shows what it answers.
pub(in crate::ui) async fn stop(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id = parsed(&id)?;
    let station = session.client.transaction(id).await?.station_id;
    let input = json!({"action": REMOTE_STOP, "payload": {"transactionId": id}, "timeout": STOP_TIMEOUT});
    match session.client.send_command(&station, &input).await {
        Ok(sent) => {
            let (tone, rest) = match sent.accepted {
                Some(true) => (Tone::Ok, "; the session ends in a moment"),
                _ => (Tone::Bad, "; the session goes on"),
            };
            let text = format!("Stop: {}{rest}.", command::answer(&sent));
            Ok(session.told(&links::session(id), tone, text))
        }
        refused => session.outcome(refused, &links::session(id), |_| String::new()),
    }
}

/// Closes it on somebody's word: its stop never came.
pub(in crate::ui) async fn close(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let id = parsed(&id)?;
    let made = match close::input(&form, session.now) {
        Ok(input) => session.client.close_transaction(id, &input).await,
        Err(errors) => return close_again(&session, id, &form, &errors).await,
    };
    match made {
        Err(ClientError::Refused(problem)) if problem.status == 422 => {
            close_again(&session, id, &form, &problem.errors).await
        }
        made => session.outcome(made, &links::session(id), |_| {
            "The session is closed; TransactionCompleted tells of it.".to_owned()
        }),
    }
}

async fn close_again(session: &Session, id: i64, form: &Form, errors: &[FieldError]) -> Posted {
    Ok(page(session, id, form, errors).await?.invalid().into_response())
}

/// `form` and `errors`: what was said of its stop, and what is wrong with that.
async fn page(session: &Session, id: i64, form: &Form, errors: &[FieldError]) -> Answer {
    let view = look(session, id).await?;
    let values = |name: &str| form.get(name).map(str::to_owned);
    let fields = Fields::new(&values, errors);
    let body = render(&view, &Rights::of(session), &fields, !errors.is_empty(), session.now);
    let state = chip::session(view.session.status, view.session.orphaned);
    let beside = html! { span id="state" data-live { (state) } };
    Ok(Page::new(session, Section::Sessions, format!("Session {id}"), body).beside_title(beside).live())
}

/// `is_wrong`: the form that closes it has errors, and is open.
fn render(view: &View, rights: &Rights<'_>, fields: &Fields<'_>, is_wrong: bool, now: Timestamp) -> Markup {
    use card::Width::Full;
    let number = view.session.transaction_id;
    let events = format!("/ui/events?transaction_id={number}");
    let csv = format!("/ui/csv/transactions/{number}/meter-values");
    html! {
        // Two columns of their own, so that a long answer leaves no hole beside it.
        div.grid {
            div.stack.c8 {
                (card::live_card("curves", Full, "Power, energy and state of charge",
                    html! { a href=(csv) download { "Export CSV" } }, figures::curves_of(view, now)))
                (card::live_card("history", Full, "What happened", html! { a href=(events) { "all its events" } }, history(view, now)))
            }
            div.stack.c4 {
                (card::live_card("state-of-it", Full, "How it stands", html! {}, html! {
                    (figures::figures(&view.session))
                    @if let Some(answer) = &view.why { (why::why(answer, now)) }
                    (buttons(&view.session, rights, fields, is_wrong))
                }))
                (card::live_card("facts", Full, "Session", html! {}, facts(&view.session)))
            }
        }
    }
}

fn buttons(session: &Transaction, rights: &Rights<'_>, fields: &Fields<'_>, is_wrong: bool) -> Markup {
    if session.status == Status::Completed || !(rights.stop || rights.close) {
        return html! {};
    }
    let path = links::session(session.transaction_id);
    html! {
        div.buttons {
            @if rights.stop { (action::primary(rights.token, &format!("{path}/stop"), "Stop", &[])) }
            @if rights.close { (close::form(rights.token, &path, fields, is_wrong)) }
        }
    }
}

fn history(view: &View, now: Timestamp) -> Markup {
    let events = view.events.iter().chain(&view.around).collect();
    let history = History { session: &view.session, events, commands: view.commands.iter().collect() };
    time_line(&history.steps(now))
}

fn facts(session: &Transaction) -> Markup {
    let wh = |value: Option<i64>| value.map(|wh| html! { (units::watt_hours(wh)) });
    let when = |value: Option<Timestamp>| value.map(time::full);
    let text = |value: &Option<String>| value.as_ref().map(|text| html! { (text) });
    let register = session.first_register_wh.zip(session.last_register_wh);
    let facts = [
        ("Station", Some(table::link(&links::station(&session.station_id), &session.station_id))),
        ("Connector", session.connector_id.map(|number| html! { (number) })),
        ("Owner", text(&session.owner_id)),
        ("Id tag", session.id_tag.as_ref().map(|tag| tag_of(session, tag))),
        ("Started", when(session.started_at)),
        ("Stopped", when(session.stopped_at)),
        ("Reason of the stop", text(&session.stop_reason)),
        ("Stopped by", session.stop_id_tag.as_ref().map(|tag| table::link(&links::tag(tag), tag))),
        ("Meter at the start", wh(session.meter_start)),
        ("Meter at the stop", wh(session.meter_stop)),
        (
            "Meter values",
            register
                .map(|(first, last)| html! { (units::watt_hours(first)) " to " (units::watt_hours(last)) }),
        ),
        ("Reservation", session.reservation_id.map(|id| html! { (id) })),
        ("Remote start", session.command_id.map(|id| table::link(&links::command(id), "command"))),
        ("TransactionCompleted", (session.revision > 0).then(|| told_times(session.revision))),
    ];
    let facts: Vec<_> = facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    html! {
        (definitions::definitions(&facts))
        @if session.inferred && session.status == Status::Completed {
            p { (chip::chip(Tone::Warn, "inferred")) " Part of its stop is not the charger's own word." }
        }
    }
}

fn told_times(revision: i64) -> Markup {
    html! { @if revision == 1 { "sent once" } @else { "sent again with corrections, revision " (revision) } }
}

fn tag_of(session: &Transaction, tag: &str) -> Markup {
    html! {
        (table::link(&links::tag(tag), tag))
        " " (chip::refused_tag(session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::charging::readings::{MEASURANDS, Readings};
    use crate::ui::charging::sample;
    use vocabulary::api::transaction::MeterValue;

    fn shown(session: &Transaction, values: &[MeterValue], rights: &Rights<'_>) -> String {
        let view = View {
            session: session.clone(),
            readings: Readings::of(session, values),
            is_cut: false,
            events: Vec::new(),
            around: Vec::new(),
            commands: Vec::new(),
            why: None,
        };
        let now = "2026-04-14T12:00:00Z".parse().expect("a time");
        render(&view, rights, &Fields::new(&|_| None, &[]), false, now).into_string()
    }

    #[test]
    fn a_session_is_drawn_and_told() {
        let active = sample::session(&json!({"started_at": "2026-04-14T10:00:00Z", "meter_start": 1_000,
            "energy_so_far_wh": 2_000, "power_w": 4_000, "duration_s": 1_800}));
        let value = json!({"occurred_at": "2026-04-14T10:30:00Z", "received_at": "2026-04-14T10:30:00Z",
            "measurand": MEASURANDS[0], "context": "Sample.Periodic", "location": "Outlet", "format": "Raw",
            "value": "3000", "value_base": "3000", "derived": false});
        let values = [serde_json::from_value(value).expect("a meter value")];
        let may = Rights { token: "t", stop: true, close: true };
        let page = shown(&active, &values, &may);
        for text in
            ["Power, told from the energy", "2.00 kWh", "now <b>4.0 kW</b>", "/ui/sessions/7/stop", "/close"]
        {
            assert!(page.contains(text), "{text}: {page}");
        }
        let may_not = Rights { token: "t", stop: false, close: false };
        assert!(!shown(&active, &[], &may_not).contains("<form"), "a key that reads has no buttons");
        assert!(shown(&active, &[], &may_not).contains("no meter values"));
        let odd = sample::session(&json!({"status": "completed", "energy_quality": "implausible"}));
        let page = shown(&odd, &[], &may);
        assert!(page.contains("Meter values as a table") || page.contains("no meter values"));
        assert!(page.contains("look before it is billed") && !page.contains("<form"), "{page}");
    }
}
