//! A station: how it is and why, its connectors, what it says, what it was told, and how it is configured.

mod actions;
mod certificates;
mod messages;
mod oddities;
mod reservations;

use axum::extract::Path;
use maud::{Markup, html};
use serde_json::json;

use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, definitions, empty, table, time, why};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted, optional, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::command::Command;
use vocabulary::api::message::Message;
use vocabulary::api::problem::FieldError;
use vocabulary::api::reservation::Reservation;
use vocabulary::api::station::{ConfigurationKey, Connector, Station};
use vocabulary::api::why::Why;
use vocabulary::clock::Timestamp;

/// What the page shows.
struct View {
    station: Station,
    connectors: Vec<Connector>,
    configuration: Vec<ConfigurationKey>,
    /// Why it is as it is.
    why: Option<Why>,
    commands: Vec<Command>,
    /// What it was asked about its certificates.
    certificates: Vec<Command>,
    reservations: Vec<Reservation>,
    messages: Vec<Message>,
    /// What is wrong with the filters of its messages.
    errors: Vec<FieldError>,
}

/// The station.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>, query: Query) -> Answer {
    let client = &session.client;
    let mut filters = query.parameters(messages::FILTERS);
    filters.push(("limit", "30"));
    let about_certificates = [("station_id", id.as_str()), ("action", certificates::ASK), ("limit", "10")];
    let (station, why, connectors, configuration, commands, asked, reserved, messages) = tokio::join!(
        client.station(&id).into_future(),
        client.why_station(&id).into_future(),
        client.connectors(&id).into_future(),
        client.configuration(&id).into_future(),
        client.commands(&[("station_id", &id), ("limit", "10")]).into_future(),
        client.commands(&about_certificates).into_future(),
        client.reservations(&[("station_id", &id), ("limit", "10")]).into_future(),
        client.messages(&id, &filters).into_future(),
    );
    let station = station?;
    let (messages, errors) = rows(messages)?;
    let view = View {
        station,
        connectors: connectors?.data,
        configuration: configuration?.data,
        why: optional(why)?,
        commands: optional(commands)?.map(|page| page.data).unwrap_or_default(),
        certificates: optional(asked)?.map(|page| page.data).unwrap_or_default(),
        reservations: optional(reserved)?.map(|page| page.data).unwrap_or_default(),
        messages: messages.data,
        errors,
    };
    let token = session.identity.may("command").then(|| session.token());
    let beside = html! {
        @if let Some(name) = &view.station.name { span.muted { (name) } }
        span id="state" data-live { (chip::station(&view.station)) }
    };
    let body = render(&view, &query, token, session.now);
    Ok(Page::new(&session, Section::Stations, id, body).beside_title(beside).live())
}

/// Closes its socket.
pub(in crate::ui) async fn disconnect(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let made = session.client.disconnect_station(&id).await;
    session.outcome(made, &links::station(&id), |_| {
        format!("{id} is being disconnected; it may connect again at once.")
    })
}

/// Accepts its boots, blocks it or lets it in again: what one button changes.
pub(in crate::ui) async fn change(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let patch = match form.get("change") {
        Some("accept") => json!({"boot_status": "accepted"}),
        Some("block") => json!({"blocked": true}),
        Some("unblock") => json!({"blocked": false}),
        _ => return Err(Failure::UnknownPath),
    };
    let made = session.client.patch_station(&id, &patch).await;
    session.outcome(made, &links::station(&id), |_| format!("{id} was changed."))
}

/// `token`: of the session's forms, if its key may command stations.
fn render(view: &View, query: &Query, token: Option<&str>, now: Timestamp) -> Markup {
    use card::Width::{Full, Half};
    let id = &view.station.station_id;
    let path = links::station(id);
    let list = |page: &str, words: &str| {
        let link = format!("/ui/{page}?station_id={}", links::encoded(id));
        html! { a href=(link) { (words) } }
    };
    let change = html! { @if token.is_some() { a href={ (path) "/edit" } { "Change" } } };
    let certificates = certificates::certificates(&view.station, &view.certificates, token, now);
    let reserved = reservations::reservations(id, &view.reservations, token, now);
    let (flags, abilities) = (&view.station.flags, &view.station.abilities);
    let (its_events, its_sessions) = (list("events", "its events"), list("sessions", "its sessions"));
    let wire = messages::messages(&view.messages, &view.errors, query, &path, now);
    html! {
        div.grid {
            @if let Some(answer) = &view.why {
                @let verdict = why::verdict(answer.verdict);
                (card::live_card("why", Full, "How it is", verdict, why::why(answer, now)))
            }
            (card::live_card("connectors", Half, "Connectors", its_sessions, connectors(&view.connectors, is_online(&view.station), now)))
            (card::live_card("facts", Half, "Station", change, facts(&view.station, now)))
            @if let Some(token) = token {
                (card::card(Full, "Do", html! {}, actions::actions(&view.station, &view.connectors, token)))
            }
            @if !(flags.is_empty() && abilities.is_empty()) {
                (card::live_card("oddities", Full, "Oddities", html! {}, oddities::oddities(flags, abilities)))
            }
            (card::card(Full, "Messages", its_events, wire))
            (card::live_card("commands", Half, "Commands", list("commands", "all"), commands(&view.commands, now)))
            (card::card(Half, "Configuration", html! {}, configuration(&view.configuration)))
            (card::live_card("reservations", Half, "Reservations", html! {}, reserved))
            (card::live_card("certificates", Half, "Certificates", html! {}, certificates))
        }
    }
}

/// Whether what it told last holds.
fn is_online(station: &Station) -> bool {
    station.connected && station.offline_since.is_none()
}

fn connectors(connectors: &[Connector], online: bool, now: Timestamp) -> Markup {
    if connectors.is_empty() {
        return empty::empty(
            "It has told of no connector.",
            html! { "It does so with StatusNotification, after its boot." },
        );
    }
    let columns =
        [table::text("Connector"), table::text("Session"), table::minor("Info"), table::text("Since")];
    let rows = connectors.iter().map(|connector| {
        [
            chip::connector(connector, online),
            session_of(connector),
            html! { span.muted { (info(connector)) } },
            time::ago(connector.occurred_at.unwrap_or(connector.updated_at), now),
        ]
    });
    html! {
        @if !online { p.muted { "As last known: it is not online." } }
        (table::table("Connectors", columns, rows))
    }
}

fn session_of(connector: &Connector) -> Markup {
    html! {
        @if let Some(id) = connector.transaction_id { (table::link(&links::session(id), &id.to_string())) }
    }
}

/// What it says beside its status.
fn info(connector: &Connector) -> String {
    let error = connector.error_code.as_deref().filter(|code| *code != "NoError");
    let parts = [error, connector.vendor_error_code.as_deref(), connector.info.as_deref()];
    parts.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn facts(station: &Station, now: Timestamp) -> Markup {
    let text = |value: &Option<String>| definitions::or_dash(value.as_deref());
    let mut rows = vec![
        ("Last seen", time::ago_or_dash(station.last_seen_at, now)),
        ("Offline since", time::ago_or_dash(station.offline_since, now)),
        (
            if station.connected { "Connected" } else { "Was connected" },
            time::ago_or_dash(station.connected_at, now),
        ),
        ("Site", text(&station.site)),
        ("Owner", text(&station.owner_id)),
        ("Vendor", text(&station.vendor)),
        ("Model", text(&station.model)),
        ("Serial number", text(&station.serial_number)),
        ("Firmware", text(&station.firmware_version)),
        ("Address", text(&station.remote_addr)),
        ("Protocol", text(&station.protocol)),
        ("Node", text(&station.node)),
        (
            "Security profile",
            html! { @match station.security_profile { Some(profile) => { (profile) }, None => "–" } },
        ),
    ];
    if let Some(skew_ms) = station.clock_skew_ms.filter(|skew| skew.unsigned_abs() >= 10_000) {
        let direction = if skew_ms > 0 { "ahead" } else { "behind" };
        let by = time::span(std::time::Duration::from_millis(skew_ms.unsigned_abs()));
        rows.push(("Its clock", html! { (chip::chip(chip::Tone::Warn, &format!("{by} {direction}"))) }));
    }
    if !station.metadata.is_empty() {
        let metadata = station.metadata.iter().map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}: {text}"),
            None => format!("{name}: {value}"),
        });
        rows.push(("Metadata", html! { (metadata.collect::<Vec<_>>().join(" · ")) }));
    }
    definitions::definitions(&rows)
}

fn commands(commands: &[Command], now: Timestamp) -> Markup {
    if commands.is_empty() {
        return empty::empty("It was sent no command.", html! {});
    }
    let columns =
        [table::text("Command"), table::text("Result"), table::minor("Requested by"), table::text("When")];
    let rows = commands.iter().map(|command| {
        [
            html! { a href=(links::command(command.id)) { (command.action) } },
            chip::command(command),
            html! { (command.requested_by.name) },
            time::ago(command.created_at, now),
        ]
    });
    table::table("Commands", columns, rows)
}

fn configuration(keys: &[ConfigurationKey]) -> Markup {
    if keys.is_empty() {
        return empty::empty(
            "Its configuration was not read yet.",
            html! { "A GetConfiguration command reads it." },
        );
    }
    let columns = [table::text("Key"), table::text("Value"), table::minor("")];
    let rows = keys.iter().map(|key| {
        [
            table::mono(&key.key),
            table::mono(key.value.as_deref().unwrap_or("–")),
            html! {
                @if key.readonly == Some(true) { span.muted { "read-only" } }
                @if !key.known { (chip::chip(chip::Tone::Off, "unknown to it")) }
                @if key.pending_reboot { (chip::chip(chip::Tone::Warn, "after its next boot")) }
            },
        ]
    });
    html! {
        details.more open[keys.len() <= 12] {
            summary { (keys.len()) " keys" }
            (table::table("Configuration", columns, rows))
        }
    }
}
