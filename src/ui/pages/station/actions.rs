//! What can be done with a station: charge, ask it something, keep it out.

use maud::{Markup, html};

use crate::ui::components::action;
use crate::ui::links;
use vocabulary::api::station::{Connector, Station};
use vocabulary::ocpp::boot_status::BootStatus;

/// The buttons and forms. `token`: of the session's forms.
pub(super) fn actions(station: &Station, connectors: &[Connector], token: &str) -> Markup {
    let path = links::station(&station.station_id);
    html! {
        @if station.connected {
            (start(token, &path, connectors))
            div.buttons {
                @for (connector, transaction) in running(connectors) {
                    (action::primary(token, &send(&path), &format!("Stop charging at {connector}"), &[
                        ("action", "RemoteStopTransaction"),
                        ("payload", &format!("{{\"transactionId\":{transaction}}}")),
                    ]))
                }
                (questions(token, &path, connectors))
                (warned(token, &path))
                a.button href={ (path) "/command" } { "Another command" }
            }
        } @else {
            p.muted { "It is not connected. A command can wait for it: " a href={ (path) "/command" } { "send one" } "." }
        }
        div.buttons { (access(station, token, &path)) }
    }
}

fn send(path: &str) -> String {
    format!("{path}/command")
}

/// A remote start: at which connector, for which tag.
fn start(token: &str, path: &str, connectors: &[Connector]) -> Markup {
    html! {
        form.filters method="post" action=(send(path)) aria-label="Start charging" {
            (action::hidden(token, &[("action", "RemoteStartTransaction")]))
            label.filter { span { "Id tag" } input name="idTag" required maxlength="20" autocomplete="off"; }
            label.filter {
                span { "Connector" }
                select name="connectorId" {
                    @for connector in connectors.iter().filter(|connector| connector.connector_id > 0) {
                        option value=(connector.connector_id) {
                            (connector.connector_id) " " (connector.status.as_deref().unwrap_or_default())
                        }
                    }
                    option value="" { "any" }
                }
            }
            div.go { button.primary { "Start charging" } }
        }
    }
}

/// The connectors with a session, and its number.
fn running(connectors: &[Connector]) -> impl Iterator<Item = (i64, i64)> {
    connectors.iter().filter_map(|connector| Some((connector.connector_id, connector.transaction_id?)))
}

/// Commands that disturb nobody.
fn questions(token: &str, path: &str, connectors: &[Connector]) -> Markup {
    let ask = |label: &str, name: &str, payload: &str| {
        action::button(token, &send(path), label, &[("action", name), ("payload", payload)])
    };
    html! {
        (ask("Ask for its status", "TriggerMessage", r#"{"requestedMessage":"StatusNotification"}"#))
        (ask("Read its configuration", "GetConfiguration", "{}"))
        @for connector in connectors.iter().filter(|connector| connector.connector_id > 0) {
            @let payload = format!("{{\"connectorId\":{}}}", connector.connector_id);
            (ask(&format!("Unlock {}", connector.connector_id), "UnlockConnector", &payload))
        }
    }
}

/// Commands that disturb whoever charges.
fn warned(token: &str, path: &str) -> Markup {
    let ask = |label: &str, warning: &str, name: &str, payload: &str| {
        action::confirmed(token, &send(path), label, warning, &[("action", name), ("payload", payload)])
    };
    html! {
        (ask("Reset", "It ends its sessions in order, and restarts.", "Reset", r#"{"type":"Soft"}"#))
        (ask("Hard reset", "It restarts at once. A session that runs may lose its stop.", "Reset", r#"{"type":"Hard"}"#))
        (ask(
            "Take out of service",
            "All of its connectors become unavailable, once no car charges.",
            "ChangeAvailability",
            r#"{"connectorId":0,"type":"Inoperative"}"#,
        ))
        (action::button(token, &send(path), "Back in service", &[
            ("action", "ChangeAvailability"),
            ("payload", r#"{"connectorId":0,"type":"Operative"}"#),
        ]))
    }
}

/// Who may connect.
fn access(station: &Station, token: &str, path: &str) -> Markup {
    let change = format!("{path}/change");
    html! {
        @if station.boot_status != BootStatus::Accepted {
            (action::primary(token, &change, "Accept it", &[("change", "accept")]))
        }
        @if station.connected {
            (action::confirmed(
                token, &format!("{path}/disconnect"), "Disconnect",
                "Its socket is closed. It may connect again at once.", &[],
            ))
        }
        @if station.blocked {
            (action::button(token, &change, "Let it in again", &[("change", "unblock")]))
        } @else {
            (action::confirmed(
                token, &change, "Block", "Its socket is closed, and it is refused from then on.", &[("change", "block")],
            ))
        }
    }
}
