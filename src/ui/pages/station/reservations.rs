//! The reservations of a station, the newest first.

use maud::{Markup, html};

use crate::ui::components::{action, chip, command, empty, table, time};
use crate::ui::links;
use vocabulary::api::reservation::{Reservation, Status};
use vocabulary::clock::Timestamp;

/// The reservations. `token`: of the session's forms, if its key may command stations.
pub(super) fn reservations(
    station: &str,
    reservations: &[Reservation],
    token: Option<&str>,
    now: Timestamp,
) -> Markup {
    let reserve = html! {
        @if token.is_some() { a.button href=(command::form_path(station, Some("ReserveNow"))) { "Reserve a connector" } }
    };
    if reservations.is_empty() {
        return empty::empty("Nothing was reserved here.", reserve);
    }
    let columns = [
        table::text("Connector"),
        table::text("State"),
        table::text("Id tag"),
        table::text("Until"),
        table::minor("Number"),
        table::text("Cancel"),
    ];
    let rows = reservations.iter().map(|one| {
        [
            html! { @match one.connector_id { 0 => "any", number => (number) } },
            state(one),
            table::link(&links::tag(&one.id_tag), &one.id_tag),
            time::ago(one.expiry_date, now),
            html! { a href=(links::command(one.command_id)) { (one.reservation_id) } },
            html! { @if let Some(token) = token { (cancel(station, one, token)) } },
        ]
    });
    html! {
        (table::table("Reservations", columns, rows))
        div.buttons { (reserve) }
    }
}

/// How it stands; of one that was used, the session.
fn state(one: &Reservation) -> Markup {
    let tone = match one.status {
        Status::Active => chip::Tone::Info,
        Status::Used => chip::Tone::Ok,
        Status::Rejected | Status::Unknown => chip::Tone::Warn,
        Status::Canceled | Status::Expired => chip::Tone::Off,
    };
    html! {
        (chip::chip(tone, one.status.as_str()))
        @if let Some(session) = one.transaction_id { " " (table::link(&links::session(session), &session.to_string())) }
    }
}

fn cancel(station: &str, one: &Reservation, token: &str) -> Markup {
    if !matches!(one.status, Status::Active | Status::Unknown) {
        return html! {};
    }
    let payload = format!("{{\"reservationId\":{}}}", one.reservation_id);
    action::confirmed(
        token,
        &format!("{}/command", links::station(station)),
        "Cancel",
        "The connector is free for anybody again.",
        &[("action", "CancelReservation"), ("payload", &payload)],
    )
}
