//! The secrets a command can carry, which nobody gets to see once it is sent: the `AuthorizationKey`
//! (whitepaper A00.FR.203), and the password in the address of a file.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::answer::status;
use crate::ocpp::HIDDEN;
use crate::ocpp::frame::empty_object;
use crate::ocpp::v16::FromCentralSystem;

/// The configuration key that is the station's password.
pub(super) const AUTHORIZATION_KEY: &str = "AuthorizationKey";

/// Characters that an `AuthorizationKey` may have which is no hex.
pub(super) const LITERAL_CHARS: std::ops::RangeInclusive<usize> = 16..=40;

/// Configuration keys are told apart whatever their letter case.
pub(super) fn is_authorization_key(key: &str) -> bool {
    key.trim().eq_ignore_ascii_case(AUTHORIZATION_KEY)
}

/// The password that a checked command tells the station to use.
pub fn new_password(action: FromCentralSystem, payload: &RawValue) -> Option<String> {
    if action != FromCentralSystem::ChangeConfiguration {
        return None;
    }
    let payload: Value = serde_json::from_str(payload.get()).ok()?;
    let secret = payload.get("key").and_then(Value::as_str).is_some_and(is_authorization_key);
    payload.get("value").and_then(Value::as_str).filter(|_| secret).map(str::to_owned)
}

/// Whether an `AuthorizationKey` is one that many chargers take as it is written, though the whitepaper wants
/// hex: printable characters of which not all are hex digits. No blank at an end: it would get lost on the
/// way.
pub(super) fn is_literal_key(value: &str) -> bool {
    LITERAL_CHARS.contains(&value.len())
        && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && !value.bytes().all(|byte| byte.is_ascii_hexdigit())
        && value.trim() == value
}

/// What whoever sends a checked command should know of it.
pub fn warnings(action: FromCentralSystem, payload: &RawValue) -> Vec<String> {
    let literal = new_password(action, payload).filter(|key| is_literal_key(key));
    let warning = "value: this AuthorizationKey is no hex and is sent as it is: a charger that keeps to the OCPP security \
                   whitepaper refuses it, or takes other bytes for its password";
    literal.map(|_| warning.to_owned()).into_iter().collect()
}

/// Where the address of a file stands in a command, and how its answer names the file.
fn address_of(action: FromCentralSystem) -> Option<&'static [&'static str]> {
    match action {
        FromCentralSystem::GetDiagnostics | FromCentralSystem::UpdateFirmware => Some(&["location"]),
        FromCentralSystem::GetLog => Some(&["log", "remoteLocation"]),
        FromCentralSystem::SignedUpdateFirmware => Some(&["firmware", "location"]),
        _ => None,
    }
}

/// Whether a command can carry a secret.
fn may_hide(action: FromCentralSystem) -> bool {
    action == FromCentralSystem::ChangeConfiguration || address_of(action).is_some()
}

/// Whether a checked command carries a secret.
pub fn has_secret(action: FromCentralSystem, payload: &RawValue) -> bool {
    may_hide(action) && shown(action, payload).get() != payload.get()
}

/// Whether something is hidden in a payload as it is shown.
pub fn hides_secret(action: FromCentralSystem, shown: &RawValue) -> bool {
    may_hide(action) && shown.get().contains(HIDDEN)
}

/// The answer to a command that carried a secret, where the answer departs from its schema: whatever is not
/// in the schema may be the `AuthorizationKey`, so the status alone is left. Of an address only the password
/// is secret, which [`shown_response`] hides.
pub fn without_possible_secret(action: FromCentralSystem, response: &RawValue) -> Box<RawValue> {
    if action != FromCentralSystem::ChangeConfiguration {
        return response.to_owned();
    }
    let value = serde_json::from_str(response.get()).unwrap_or_default();
    to_raw_value(&json!({ "status": status(&value) })).unwrap_or_else(|_| empty_object())
}

/// A command's payload as it may be shown: the value of an `AuthorizationKey` and the password in an address
/// are `***`, everything else is as it is.
pub fn shown(action: FromCentralSystem, payload: &RawValue) -> Box<RawValue> {
    if let Some(path) = address_of(action) {
        return without_password_at(path, payload);
    }
    if action != FromCentralSystem::ChangeConfiguration {
        return payload.to_owned();
    }
    hidden(payload, |value| {
        let secret = value.get("key").and_then(Value::as_str).is_some_and(is_authorization_key);
        if secret && let Some(value) = value.get_mut("value") {
            *value = json!(HIDDEN);
        }
        secret
    })
}

/// An answer as it may be shown: a charger that tells its `AuthorizationKey`, which it must not, told nobody,
/// and one that names a file by the address it was given told no password.
pub fn shown_response(action: FromCentralSystem, response: &RawValue) -> Box<RawValue> {
    if address_of(action).is_some() {
        return hidden(response, hide_passwords);
    }
    if action != FromCentralSystem::GetConfiguration {
        return response.to_owned();
    }
    hidden(response, |value| {
        let entries = value.get_mut("configurationKey").and_then(Value::as_array_mut);
        let mut secret = false;
        for entry in entries.into_iter().flatten() {
            if entry.get("key").and_then(Value::as_str).is_some_and(is_authorization_key)
                && let Some(value) = entry.get_mut("value")
            {
                *value = json!(HIDDEN);
                secret = true;
            }
        }
        secret
    })
}

/// Written anew only where there was something to hide.
fn hidden(json: &RawValue, hide: impl FnOnce(&mut Value) -> bool) -> Box<RawValue> {
    let Ok(mut value) = serde_json::from_str::<Value>(json.get()) else { return json.to_owned() };
    match hide(&mut value) {
        true => to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        false => json.to_owned(),
    }
}

/// The payload with the password in the address at `path` hidden; its members stay in their order.
fn without_password_at(path: &[&str], payload: &RawValue) -> Box<RawValue> {
    let Ok(mut value) = serde_json::from_str::<Value>(payload.get()) else { return payload.to_owned() };
    let found = path.iter().try_fold(&mut value, |value, name| value.get_mut(*name));
    let Some((address, hidden)) = found.and_then(|found| {
        let hidden = found.as_str().and_then(without_password)?;
        Some((std::mem::replace(found, json!(hidden)), json!(hidden)))
    }) else {
        return payload.to_owned();
    };
    // As it is written in what was checked. Anything else is written anew, rather than shown.
    let text = payload.get().replace(&address.to_string(), &hidden.to_string());
    let kept = RawValue::from_string(text).ok().filter(|text| text.get() != payload.get());
    kept.or_else(|| to_raw_value(&value).ok()).unwrap_or_else(|| RawValue::NULL.to_owned())
}

/// Hides the password of every text that is an address; whether there was any.
fn hide_passwords(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match without_password(text) {
            Some(hidden) => {
                *text = hidden;
                true
            }
            None => false,
        },
        Value::Array(elements) => {
            elements.iter_mut().fold(false, |any, element| hide_passwords(element) | any)
        }
        Value::Object(members) => {
            members.values_mut().fold(false, |any, member| hide_passwords(member) | any)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// An address with `***` in the place of its password; `None` if it has none.
///
/// Chargers read addresses in many ways, so whatever one of them may take for a password is hidden: with an
/// `@`, a `/` or a `#` in it that should have been encoded, or with its `:` or `@` encoded.
fn without_password(address: &str) -> Option<String> {
    let start = address.find("://")? + "://".len();
    let rest = &address[start..];
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let (names, end) = match (authority.rfind('@'), is_host(authority)) {
        // What lies behind another `@` may still be of the password.
        (Some(at), _) => (&authority[..at], rest.rfind('@')?),
        (None, true) => return None,
        (None, false) => (authority, rest.rfind('@').or_else(|| rest.rfind("%40"))?),
    };
    let lower = names.to_ascii_lowercase();
    let plain = names.find(':').map(|colon| colon + 1);
    let encoded = lower.find("%3a").map(|colon| colon + "%3a".len());
    let password = plain.into_iter().chain(encoded).min()?;
    (password < end).then(|| format!("{}{HIDDEN}{}", &address[..start + password], &rest[end..]))
}

/// `host`, `host:21`, `[::1]:21`.
fn is_host(authority: &str) -> bool {
    let port = match authority.rsplit_once(']') {
        Some((_, port)) => port.strip_prefix(':').unwrap_or(port),
        None => authority.split_once(':').map_or("", |(_, port)| port),
    };
    let encoded = authority.to_ascii_lowercase();
    port.bytes().all(|byte| byte.is_ascii_digit()) && !encoded.contains("%3a") && !encoded.contains("%40")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_an_address_is_hidden_however_it_is_written() {
        for (address, shown) in [
            ("ftp://user:s3cr3t@files.example.com/logs", "ftp://user:***@files.example.com/logs"),
            ("FTPS://user:s3cr3t@10.0.0.1:2121/a?b=c#d", "FTPS://user:***@10.0.0.1:2121/a?b=c#d"),
            ("sftp://:s3cr3t@[::1]:22/", "sftp://:***@[::1]:22/"),
            ("ftp://us%3Aer:s3c%40r%2F3t@h/x", "ftp://us%3A***@h/x"),
            ("ftp://user%3as3cr3t@h/x", "ftp://user%3a***@h/x"),
            ("ftp://user:s3@cr3t@h/x", "ftp://user:***@h/x"),
            ("ftp://user@example.com:s3cr3t@h/x", "ftp://user@example.com:***@h/x"),
            ("ftp://user:s3/cr3t@h/x", "ftp://user:***@h/x"),
            ("ftp://user:s3@cr/3t@h/x", "ftp://user:***@h/x"),
            ("ftp://user:s3#cr?3t@h", "ftp://user:***@h"),
            ("ftp://user:s3cr3t%40h/x", "ftp://user:***%40h/x"),
            ("http:///user:s3cr3t@h/x", "http:///user:s3cr3t@h/x"),
        ] {
            let expected = (address != shown).then(|| shown.to_owned());
            assert_eq!(without_password(address), expected, "{address}");
        }
        for plain in [
            "ftp://files.example.com/logs",
            "ftp://user@files.example.com/logs",
            "ftp://user:@h/x",
            "https://h:8080/a@2x.png?x=a:b@c",
            "https://[2001:db8::1]:8080/a@b",
            "https://user@h/x:y@z",
            "files.zip",
            "",
        ] {
            assert_eq!(without_password(plain), None, "{plain}");
        }
    }

    #[test]
    fn every_command_with_an_address_hides_its_password_and_nothing_else() {
        use FromCentralSystem as Action;
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        for (action, payload, expected) in [
            (
                Action::GetDiagnostics,
                r#"{"retries":1,"location":"ftp://u:p@h/\"x","startTime":"2026-04-14T12:00:00Z"}"#,
                r#"{"retries":1,"location":"ftp://u:***@h/\"x","startTime":"2026-04-14T12:00:00Z"}"#,
            ),
            (
                Action::UpdateFirmware,
                r#"{"retrieveDate":"2026-04-14T12:00:00Z","location":"http://u:p@h/f"}"#,
                r#"{"retrieveDate":"2026-04-14T12:00:00Z","location":"http://u:***@h/f"}"#,
            ),
            (
                Action::GetLog,
                r#"{"requestId":1,"log":{"remoteLocation":"sftp://u:p@h"},"logType":"SecurityLog"}"#,
                r#"{"requestId":1,"log":{"remoteLocation":"sftp://u:***@h"},"logType":"SecurityLog"}"#,
            ),
            (
                Action::SignedUpdateFirmware,
                r#"{"requestId":1,"firmware":{"signature":"AA==","location":"https://u:p@h/f"}}"#,
                r#"{"requestId":1,"firmware":{"signature":"AA==","location":"https://u:***@h/f"}}"#,
            ),
            (
                Action::GetDiagnostics,
                r#"{"location": "ftp://u:p\u0040@h"}"#,
                r#"{"location":"ftp://u:***@h"}"#,
            ),
            (Action::UpdateFirmware, r#"{"location":"ftp://h/f"}"#, r#"{"location":"ftp://h/f"}"#),
            (Action::DataTransfer, r#"{"data":"ftp://u:p@h"}"#, r#"{"data":"ftp://u:p@h"}"#),
        ] {
            assert_eq!(shown(action, &raw(payload)).get(), expected);
            assert_eq!(has_secret(action, &raw(payload)), payload != expected && payload.contains(":p"));
        }
        let told = raw(r#"{"fileName":"ftp://u:p@h/d.zip"}"#);
        assert_eq!(
            shown_response(Action::GetDiagnostics, &told).get(),
            r#"{"fileName":"ftp://u:***@h/d.zip"}"#
        );
    }
}
