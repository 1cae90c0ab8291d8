//! The one secret a command can carry: the `AuthorizationKey`, which nobody gets to see once it is sent
//! (whitepaper A00.FR.203).

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::ocpp::v16::FromCentralSystem;

/// The configuration key that is the station's password.
pub const AUTHORIZATION_KEY: &str = "AuthorizationKey";

/// What is shown in its place.
pub const HIDDEN: &str = "***";

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

/// A command's payload as it may be shown: the value of an `AuthorizationKey` is `***`, everything else as it is.
pub fn shown(action: FromCentralSystem, payload: &RawValue) -> Box<RawValue> {
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

/// An answer as it may be shown: a charger that tells its `AuthorizationKey`, which it must not, told nobody.
pub fn shown_response(action: FromCentralSystem, response: &RawValue) -> Box<RawValue> {
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
