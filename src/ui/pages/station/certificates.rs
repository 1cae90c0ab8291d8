//! The certificates of a station: the one that it signs in with, and those that it has told of.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ui::components::{action, command, definitions, table, time};
use crate::ui::links;
use vocabulary::api::command::{Command, CommandStatus};
use vocabulary::api::station::Station;
use vocabulary::clock::Timestamp;

/// The action that asks for them.
pub(super) const ASK: &str = "GetInstalledCertificateIds";

/// The kinds that a station can be asked about, and what people call them.
const KINDS: [(&str, &str); 2] = [
    ("CentralSystemRootCertificate", "of who may be its gateway"),
    ("ManufacturerRootCertificate", "of who may sign its firmware"),
];

/// A certificate as OCPP names it (`CertificateHashDataType`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hashes {
    serial_number: Option<String>,
    issuer_key_hash: Option<String>,
    hash_algorithm: Option<String>,
}

/// Its answer about one kind.
struct Told<'a> {
    command: &'a Command,
    certificates: Vec<(Hashes, Value)>,
}

/// What is known of them. `asked`: commands of the action [`ASK`], the newest first. `token`: of the
/// session's forms, if its key may command stations.
pub(super) fn certificates(
    station: &Station,
    asked: &[Command],
    token: Option<&str>,
    now: Timestamp,
) -> Markup {
    let told = told(asked);
    let name = station.certificate_name.as_deref();
    let serial = station.certificate_serial.as_ref().map(ToString::to_string);
    html! {
        (definitions::definitions(&[
            ("Name in its certificate", html! { @match name { Some(name) => (name), None => { "its identity" } } }),
            ("Serial number", html! { @match serial { Some(serial) => (table::mono(serial)), None => span.muted { "any" } } }),
            ("Security profile at least", html! { (station.min_security_profile) }),
        ]))
        h3 { "Roots that it trusts" }
        @if told.is_empty() { p.muted { "It has not told which ones it trusts." } }
        @for (kind, told) in &told { (of_kind(station, kind, told, now)) }
        @if let Some(token) = token { (buttons(station, token)) }
    }
}

/// The newest answer about each kind.
fn told(asked: &[Command]) -> BTreeMap<String, Told<'_>> {
    let mut told = BTreeMap::new();
    for command in asked.iter().filter(|command| command.status == CommandStatus::Completed) {
        let member = |text: Option<&RawValue>, name: &str| -> Value {
            let whole: Value =
                text.and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or_default();
            whole[name].clone()
        };
        let kind = member(Some(&command.payload), "certificateType");
        let Some(kind) = kind.as_str() else { continue };
        if told.contains_key(kind) {
            continue;
        }
        let listed = member(command.response.as_deref(), "certificateHashData");
        let listed = listed.as_array().cloned().unwrap_or_default().into_iter();
        let certificates = listed.filter_map(|one| Some((Hashes::deserialize(&one).ok()?, one))).collect();
        told.insert(kind.to_owned(), Told { command, certificates });
    }
    told
}

fn of_kind(station: &Station, kind: &str, told: &Told<'_>, now: Timestamp) -> Markup {
    let words = KINDS.iter().find(|(known, _)| *known == kind).map_or(kind, |(_, words)| words);
    let columns = [
        table::text("Serial number"),
        table::minor("Hash of its key"),
        table::minor("Hashed with"),
        table::text("Remove"),
    ];
    let rows = told.certificates.iter().map(|(hashes, whole)| {
        let payload = serde_json::json!({"certificateHashData": whole}).to_string();
        let remove = command::form_path(&station.station_id, Some("DeleteCertificate"));
        [
            table::mono(hashes.serial_number.as_deref().unwrap_or("–")),
            html! { span.mono.muted { (shortened(hashes.issuer_key_hash.as_deref().unwrap_or("–"))) } },
            html! { (hashes.hash_algorithm.as_deref().unwrap_or("–")) },
            html! { a href={ (remove) "&payload=" (links::encoded(payload)) } { "Remove…" } },
        ]
    });
    html! {
        p {
            @if told.certificates.is_empty() { "None " } @else { "Roots " } (words) ", "
            a href=(links::command(told.command.id)) { "told" } " " (time::ago(told.command.created_at, now))
        }
        @if !told.certificates.is_empty() { (table::table(&format!("Roots {words}"), columns, rows)) }
    }
}

/// What fits a column of a hash.
fn shortened(hash: &str) -> String {
    const CHARS: usize = 16;
    match hash.chars().count() > CHARS {
        true => hash.chars().take(CHARS).chain(['…']).collect(),
        false => hash.to_owned(),
    }
}

fn buttons(station: &Station, token: &str) -> Markup {
    let path = format!("{}/command", links::station(&station.station_id));
    let form = |name: &str| command::form_path(&station.station_id, Some(name));
    html! {
        div.buttons {
            @if station.connected {
                @for (kind, words) in KINDS {
                    (action::button(token, &path, &format!("Ask for roots {words}"), &[
                        ("action", ASK), ("payload", &format!("{{\"certificateType\":\"{kind}\"}}")),
                    ]))
                }
                (action::confirmed(token, &path, "Renew its own certificate", "It makes a new key, and asks for a certificate for it.", &[
                    ("action", "ExtendedTriggerMessage"), ("payload", r#"{"requestedMessage":"SignChargePointCertificate"}"#),
                ]))
            }
            a.button href=(form("InstallCertificate")) { "Install a root" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_answer_of_each_kind_counts() {
        let answer = |kind: &str, serials: &[&str]| {
            let hashes = |serial: &&str| {
                json!({"hashAlgorithm": "SHA256", "issuerNameHash": "aa",
                "issuerKeyHash": "bb", "serialNumber": serial})
            };
            let listed: Vec<Value> = serials.iter().map(hashes).collect();
            command::sample(&json!({"action": ASK, "payload": {"certificateType": kind},
                "response": {"status": "Accepted", "certificateHashData": listed}}))
        };
        let asked = [
            answer(KINDS[0].0, &["0A"]),
            answer(KINDS[0].0, &["OLD"]),
            command::sample(&json!({"action": ASK, "payload": {"certificateType": KINDS[1].0},
                "response": {"status": "NotFound"}})),
        ];
        let told = told(&asked);
        let serials = |kind: &str| {
            let listed = told[kind].certificates.iter();
            listed.map(|(hashes, _)| hashes.serial_number.clone().unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!((serials(KINDS[0].0), serials(KINDS[1].0)), (vec!["0A".to_owned()], vec![]));
        assert_eq!(shortened("0123456789abcdefXYZ"), "0123456789abcdef…");
    }
}
