//! What a single value must be like wherever it stands: OCPP 1.6 uses a field's name for one thing only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::explain::{TIME, URI};
use super::{Wrong, below};
use crate::clock::Timestamp;
use crate::ocpp::decimal::Decimal;

/// Fields that are times.
const TIMES: [&str; 11] = [
    "expiryDate",
    "installDateTime",
    "latestTimestamp",
    "oldestTimestamp",
    "retrieveDate",
    "retrieveDateTime",
    "startSchedule",
    "startTime",
    "stopTime",
    "validFrom",
    "validTo",
];

/// Fields that may have a decimal place; every other number is a whole one.
const DECIMALS: [&str; 2] = ["limit", "minChargingRate"];

/// Texts that may be empty. An empty one elsewhere is a mistake that some charger takes seriously.
const MAY_BE_EMPTY: [&str; 3] = ["value", "data", "messageId"];

/// Whether the field is a time.
pub(super) fn is_time(name: &str) -> bool {
    TIMES.contains(&name)
}

/// The whole number a JSON number is, however it is spelled.
pub(super) fn integer(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    number.as_i64().or_else(|| Decimal::parse(&number.to_string())?.as_integer())
}

/// The least that a number may be.
fn least(name: &str) -> Option<i64> {
    match name {
        "connectorId" | "limit" | "minChargingRate" | "retries" | "retryInterval" | "stackLevel"
        | "startPeriod" => Some(0),
        "duration" | "listVersion" | "numberPhases" => Some(1),
        _ => None,
    }
}

/// Checks every value of the payload for itself.
pub(super) fn check(payload: &Value, wrong: &mut Wrong) {
    walk(payload, "", "", wrong);
}

/// `name` is that of the field; elements of an array have the array's.
fn walk(value: &Value, name: &str, path: &str, wrong: &mut Wrong) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, name, &below(path, name), wrong);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                walk(element, name, &below(path, index), wrong);
            }
        }
        Value::Number(number) => {
            if let Some(problem) = number_problem(name, &number.to_string()) {
                wrong.add_unless_known(path, || problem);
            }
        }
        Value::String(text) => {
            if let Some(problem) = text_problem(name, text) {
                wrong.add_unless_known(path, || problem.to_owned());
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn number_problem(name: &str, text: &str) -> Option<String> {
    let decimal = Decimal::parse(text);
    let floor = decimal.and_then(Decimal::floor);
    let fits = |floor: i64| i32::try_from(floor).is_ok();
    let whole = DECIMALS.contains(&name) || decimal.and_then(Decimal::as_integer).is_some();
    match (floor.filter(|&floor| whole && fits(floor)), least(name)) {
        (None, _) => Some(format!("must be within the 32 bits of a charger: at most {}", i32::MAX)),
        (Some(floor), Some(least)) if floor < least => Some(match name {
            "listVersion" => "must be greater than 0: 0 means no list, -1 that there can be none".to_owned(),
            _ => format!("must be at least {least}"),
        }),
        (Some(phases), _) if name == "numberPhases" && phases > 3 => Some("must be 1, 2 or 3".to_owned()),
        _ => None,
    }
}

fn text_problem(name: &str, text: &str) -> Option<&'static str> {
    if text.is_empty() && !MAY_BE_EMPTY.contains(&name) {
        return Some("must not be empty");
    }
    match name {
        "idTag" | "parentIdTag" | "key" | "vendorId" if text.chars().any(char::is_control) => {
            Some("must have no control characters")
        }
        "location" | "remoteLocation" if !has_scheme(text) => Some(URI),
        "certificate" | "signingCertificate" | "certificateChain" => {
            let chain = name == "certificateChain";
            match certificates(text) {
                None | Some(0) => Some(
                    "must be PEM: a line -----BEGIN CERTIFICATE-----, base64, a line -----END CERTIFICATE-----",
                ),
                Some(2..) if !chain => Some("must be one certificate, without the chain to its root"),
                Some(_) => None,
            }
        }
        "signature" if STANDARD.decode(text.trim()).is_err() => Some("must be base64"),
        _ if is_time(name) && text.parse::<Timestamp>().is_err() => Some(TIME),
        _ => None,
    }
}

/// `localhost:8080/x` would name a scheme too, so the two slashes are asked for.
fn has_scheme(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty()
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// How many PEM certificates a text consists of; `None` if there is anything else in it.
fn certificates(text: &str) -> Option<usize> {
    let mut count = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let body = rest.strip_prefix("-----BEGIN CERTIFICATE-----")?;
        let (base64, behind) = body.split_once("-----END CERTIFICATE-----")?;
        let base64: String = base64.split_ascii_whitespace().collect();
        // A certificate is an ASN.1 sequence.
        let der = STANDARD.decode(base64).ok()?;
        if der.first() != Some(&0x30) {
            return None;
        }
        count += 1;
        rest = behind.trim_start();
    }
    Some(count)
}
