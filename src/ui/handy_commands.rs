//! Commands that operators send often, each with its fields, so that nobody has to write JSON for them; and
//! what a form says as the payload of a command.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use vocabulary::api::problem::FieldError;

/// How a field is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// Texts, one a line.
    List,
}

/// What a form says in a field; an empty one says nothing.
pub(super) type Said<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A member of a payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) kind: Kind,
}

const fn member(name: &'static str, label: &'static str, kind: Kind, hint: &'static str) -> Member {
    Member { name, label, hint, kind }
}

/// An action with its members, and what it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handy {
    pub(super) action: &'static str,
    pub(super) what_it_does: &'static str,
    pub(super) members: &'static [Member],
}

/// The messages that a charger can be asked to send.
const TRIGGERED: Kind = Kind::Choice(&[
    "StatusNotification",
    "MeterValues",
    "Heartbeat",
    "BootNotification",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
]);

/// All of them, the most needed first.
pub(super) const HANDY: &[Handy] = &[
    Handy {
        action: "RemoteStartTransaction",
        what_it_does: "Starts a charge.",
        members: &[
            member("connectorId", "Connector", Kind::Number, "Empty: the charger chooses"),
            member("idTag", "Id tag", Kind::Text, "Who pays for it"),
        ],
    },
    Handy {
        action: "RemoteStopTransaction",
        what_it_does: "Ends a charge.",
        members: &[member("transactionId", "Session", Kind::Number, "Its number")],
    },
    Handy {
        action: "UnlockConnector",
        what_it_does: "Lets go of a stuck cable, and ends its session.",
        members: &[member("connectorId", "Connector", Kind::Number, "")],
    },
    Handy {
        action: "Reset",
        what_it_does: "Starts the charger anew.",
        members: &[member(
            "type",
            "How",
            Kind::Choice(&["Soft", "Hard"]),
            "Soft: its sessions are ended first",
        )],
    },
    Handy {
        action: "ChangeAvailability",
        what_it_does: "Takes a connector out of service, or back into it.",
        members: &[
            member("connectorId", "Connector", Kind::Number, "0 is the whole station"),
            member("type", "From now on", Kind::Choice(&["Operative", "Inoperative"]), ""),
        ],
    },
    Handy {
        action: "TriggerMessage",
        what_it_does: "Asks the charger to send a message now.",
        members: &[
            member("requestedMessage", "Message", TRIGGERED, ""),
            member("connectorId", "Connector", Kind::Number, "Empty: all of them"),
        ],
    },
    Handy {
        action: "GetConfiguration",
        what_it_does: "Reads its configuration.",
        members: &[member("key", "Keys", Kind::List, "One a line; empty reads all")],
    },
    Handy {
        action: "ChangeConfiguration",
        what_it_does: "Sets a key of its configuration.",
        members: &[
            member("key", "Key", Kind::Text, "Such as MeterValueSampleInterval"),
            member("value", "Value", Kind::Text, ""),
        ],
    },
    Handy { action: "ClearCache", what_it_does: "Makes it forget the cards that it has seen.", members: &[] },
];

impl Handy {
    /// The action of this name, if it is one of them.
    pub(super) fn named(action: &str) -> Option<&'static Self> {
        HANDY.iter().find(|handy| handy.action == action)
    }

    /// Whether its members can say all of a payload.
    pub(super) fn can_say(&self, payload: &Value) -> bool {
        let members = payload.as_object().into_iter().flatten();
        payload.is_object()
            && members.map(|(name, _)| name).all(|name| self.members.iter().any(|one| one.name == name))
    }

    /// The payload that a form says. Empty fields are left out; a number that is none goes as it was written,
    /// and the API says what is wrong with it.
    fn payload(&self, said: Said<'_>) -> Value {
        let members = self.members.iter().filter_map(|member| {
            let text = said(member.name)?;
            let value = match member.kind {
                Kind::Text | Kind::Choice(_) => Value::from(text.as_str()),
                Kind::Number => {
                    text.trim().parse::<i64>().map_or_else(|_| Value::from(text.as_str()), Value::from)
                }
                Kind::List => {
                    text.split([',', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect()
                }
            };
            Some((member.name.to_owned(), value))
        });
        Value::Object(members.collect::<Map<_, _>>())
    }
}

/// The payload that a form says: in the members of `handy`, or as the JSON of its field `payload`, whose text
/// stays as it was written.
///
/// # Errors
/// It is no JSON.
pub(super) fn payload(handy: Option<&Handy>, said: Said<'_>) -> Result<Box<RawValue>, FieldError> {
    let no_json = |error: serde_json::Error| FieldError::new("payload", format!("is no JSON: {error}"));
    match handy {
        Some(handy) => to_raw_value(&handy.payload(said)).map_err(no_json),
        None => RawValue::from_string(said("payload").unwrap_or_else(|| "{}".to_owned())).map_err(no_json),
    }
}

/// An error of the payload, at the field that it is of.
pub(super) fn at_field(error: &FieldError, handy: Option<&Handy>) -> FieldError {
    let inner = error.field.strip_prefix("payload.").filter(|_| handy.is_some());
    FieldError::new(inner.unwrap_or(&error.field), error.message.clone())
}

/// A member of a payload as a field shows it.
pub(super) fn shown(payload: &Value, member: &Member) -> Option<String> {
    Some(match payload.get(member.name)? {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::form::Form;
    use vocabulary::ocpp::command::CommandAction;

    fn said(action: &str, form: &str) -> Value {
        let form = Form::parse(form);
        let said = |name: &str| form.get(name).map(str::to_owned);
        let payload = payload(Handy::named(action), &said).expect("a payload");
        serde_json::from_str(payload.get()).expect("JSON")
    }

    #[test]
    fn every_one_is_a_command_that_exists() {
        for handy in HANDY {
            assert!(handy.action.parse::<CommandAction>().is_ok(), "{}", handy.action);
        }
    }

    #[test]
    fn a_form_says_a_payload() {
        for (action, form, expected) in [
            ("RemoteStartTransaction", "connectorId=&idTag=TAG", json!({"idTag": "TAG"})),
            ("RemoteStartTransaction", "connectorId=2&idTag=TAG", json!({"connectorId": 2, "idTag": "TAG"})),
            ("UnlockConnector", "connectorId=two", json!({"connectorId": "two"})),
            ("GetConfiguration", "key=A%0D%0AB%2C+C", json!({"key": ["A", "B", "C"]})),
            ("ChangeConfiguration", "key=A&value=300", json!({"key": "A", "value": "300"})),
            ("ClearCache", "", json!({})),
        ] {
            assert_eq!(said(action, form), expected, "{action} {form}");
        }
        let text = "{\"b\": 1.50, \"a\":2}";
        assert_eq!(payload(None, &|_| Some(text.to_owned())).expect("JSON").get(), text);
        assert_eq!(payload(None, &|_| Some("{".to_owned())).expect_err("no JSON").field, "payload");
    }

    #[test]
    fn a_payload_is_shown_in_the_fields_that_can_say_it() {
        let start = Handy::named("RemoteStartTransaction").expect("one");
        let payload = json!({"connectorId": 1, "idTag": "TAG"});
        assert!(start.can_say(&payload));
        let shown: Vec<_> = start.members.iter().map(|member| shown(&payload, member)).collect();
        assert_eq!(shown, [Some("1".to_owned()), Some("TAG".to_owned())]);
        assert!(!start.can_say(&json!({"idTag": "TAG", "chargingProfile": {}})));
    }
}
