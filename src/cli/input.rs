//! Reads options, and converts them into what the API takes.

use std::io::{IsTerminal, Read};
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Failure, hint};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::units::{self, Span};

/// Means standard input.
const STDIN: &str = "-";

/// The given options as members; `options` has the API's own names.
fn members(options: &impl Serialize) -> Map<String, Value> {
    // Options are plain data, so they can always be written.
    let mut members = match serde_json::to_value(options) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    members.retain(|_, value| !value.is_null());
    members
}

/// The body of a call: given options, and null for members to clear.
pub(super) fn body(options: &impl Serialize, clear: &[String]) -> Map<String, Value> {
    let mut body = members(options);
    body.extend(clear.iter().map(|name| (name.replace('-', "_"), Value::Null)));
    body
}

/// Given options as parameters of a query; a list becomes several parameters.
pub(super) fn parameters(options: &impl Serialize) -> Vec<(String, String)> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut parameters = Vec::new();
    for (name, value) in members(options) {
        match value {
            Value::Array(values) => {
                parameters.extend(values.into_iter().map(|value| (name.clone(), text(value))));
            }
            value => parameters.push((name, text(value))),
        }
    }
    parameters
}

/// Parameters as the client takes them.
pub(super) fn borrowed(parameters: &[(String, String)]) -> Vec<(&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// A time: RFC 3339, or how long ago it was.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let wrong = || "write a time such as 2026-04-14T12:00:00Z, or how long ago: 90s, 30m, 2h, 7d".to_owned();
    units::moment(text, Clock::System.now()).ok_or_else(wrong)
}

/// A time to come: RFC 3339, or how long it is until then.
pub(super) fn later(text: &str) -> Result<Timestamp, String> {
    let wrong = || "write a time such as 2027-01-01T00:00:00Z, or how long from now: 12h, 90d".to_owned();
    match text.parse::<Span>() {
        Ok(span) => Ok(Clock::System.now().after(span.0)),
        Err(_) => text.parse().map_err(|_| wrong()),
    }
}

/// A JSON object.
pub(super) fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("this is JSON, but no object".to_owned()),
        Err(error) => Err(format!("this is not JSON: {error}")),
    }
}

/// JSON of any kind, byte for byte.
pub(super) fn json(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned()).map_err(|error| format!("this is not JSON: {error}"))
}

/// A header as HTTP writes it.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// The value of a secret option: `-` reads a line of standard input, so that no list of processes shows it.
pub(super) fn secret(option: Option<String>) -> Result<Option<String>, Failure> {
    if option.as_deref() != Some(STDIN) {
        return Ok(option);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        hint("the secret, then Enter:");
    }
    let mut line = String::new();
    stdin.read_line(&mut line).map_err(|error| Failure::Unreadable(STDIN.to_owned(), error))?;
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The bytes of a file, or of standard input.
pub(super) fn content(path: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::Unreadable(path.to_owned(), error);
    if path != STDIN {
        return std::fs::read(Path::new(path)).map_err(failed);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Options {
        event: Option<Vec<&'static str>>,
        connected: Option<bool>,
        name: Option<&'static str>,
    }

    #[test]
    fn only_what_was_given_is_sent() {
        let options = Options { event: Some(vec!["A*", "B"]), connected: Some(false), name: None };
        let pairs = parameters(&options);
        assert_eq!(borrowed(&pairs), [("event", "A*"), ("event", "B"), ("connected", "false")]);
        let body = body(&options, &["time-zone".to_owned()]);
        assert_eq!(Value::from(body), json!({"event": ["A*", "B"], "connected": false, "time_zone": null}));
    }
}
