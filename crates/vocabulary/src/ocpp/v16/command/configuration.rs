//! The answer to a `GetConfiguration`, read as far as its meaning is clear (quirk Q44).

use serde_json::Value;

use super::secret::is_authorization_key;
use crate::ocpp::purpose::{Configuration, ConfigurationKey};

/// Reads the answer. What has no key is left out.
pub fn configuration(response: &Value) -> Configuration {
    let keys = several(response.get("configurationKey")).iter().filter_map(|entry| {
        let key = entry.get("key").and_then(Value::as_str)?.trim();
        // A password is nobody's business, whoever tells it.
        let value = entry.get("value").filter(|_| !is_authorization_key(key));
        Some(ConfigurationKey {
            key: (!key.is_empty()).then(|| key.to_owned())?,
            value: value.and_then(text),
            readonly: entry.get("readonly").and_then(boolean),
        })
    });
    let unknown = several(response.get("unknownKey")).iter().filter_map(Value::as_str).map(str::trim);
    Configuration {
        keys: keys.collect(),
        unknown: unknown.filter(|key| !key.is_empty()).map(str::to_owned).collect(),
    }
}

/// A list, or the one thing that stands in its place (quirk Q14).
fn several(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(elements)) => elements,
        Some(one @ (Value::Object(_) | Value::String(_))) => std::slice::from_ref(one),
        _ => &[],
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(boolean) => Some(*boolean),
        other => match text(other)?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_flags_of_the_wrong_type_are_read_as_what_they_mean() {
        let read = configuration(&json!({
            "configurationKey": [
                {"key": "HeartbeatInterval", "readonly": false, "value": "300"},
                {"key": "AuthorizeRemoteTxRequests", "readonly": "true", "value": true},
                {"key": "NumberOfConnectors", "readonly": 1, "value": 2},
                {"key": "CpoName", "readonly": "perhaps", "value": null},
                {"key": " "}, {"value": "x"}, {"key": 7}, "x",
            ],
            "unknownKey": ["Foo", "", 7],
        }));
        let told: Vec<_> = read
            .keys
            .iter()
            .map(|entry| (entry.key.as_str(), entry.value.as_deref(), entry.readonly))
            .collect();
        assert_eq!(
            told,
            [
                ("HeartbeatInterval", Some("300"), Some(false)),
                ("AuthorizeRemoteTxRequests", Some("true"), Some(true)),
                ("NumberOfConnectors", Some("2"), Some(true)),
                ("CpoName", None, None),
            ]
        );
        assert_eq!(read.unknown, ["Foo"]);
    }

    #[test]
    fn one_thing_stands_for_a_list_and_anything_else_for_none() {
        let read = configuration(&json!({"configurationKey": {"key": "A"}, "unknownKey": "B"}));
        assert_eq!((read.keys.len(), read.unknown.len()), (1, 1));
        for odd in [json!(null), json!([]), json!({"configurationKey": 7, "unknownKey": null})] {
            assert_eq!(configuration(&odd), Configuration::default());
        }
    }
}
