//! What the central system may send: checked before anything is sent, written strictly, and what the
//! answers mean.
//!
//! Chargers are read tolerantly, but written to strictly: a small one falls over a null, an unknown field or
//! a microsecond. So [`check`] refuses, with every wrong field named, and never mends what changes a meaning.

mod answer;
mod configuration;
mod explain;
mod local_list;
mod profile;
mod purpose;
mod rules;
mod secret;
mod values;
mod write;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use answer::{
    accepted, hint, knows_no_such_key, list_version, needs_reboot, reads_as, response_violations, status,
    supported,
};
pub use configuration::configuration;
pub use purpose::{event_type, is_urgent, may_cause_boot, needs_acceptance, purpose};
pub use secret::{
    has_secret, hides_secret, new_password, shown, shown_response, warnings, without_possible_secret,
};

use super::{FromCentralSystem, payload};
use crate::clock::Timestamp;
use crate::ocpp::Violation;
use crate::ocpp::violations::Violations;

/// Checks the payload of a command by the schema of its action and by every rule of the specification that
/// the payload alone can break, and writes it as it goes on the wire: compact, members in the order given,
/// whole numbers without a fraction (`5.0` is 5), times in UTC with `Z` and at most milliseconds.
///
/// `now` is for what must lie in the future.
///
/// # Errors
/// Every field that is wrong, by its dotted path in the payload (`csChargingProfiles.stackLevel`), each with
/// a sentence for the one who asked. A limit such as `0.30000000000000004` is wrong rather than rounded: half
/// of all roundings would exceed what was asked for.
pub fn check(
    action: FromCentralSystem,
    payload: &RawValue,
    now: Timestamp,
) -> Result<Box<RawValue>, Vec<Violation>> {
    let mut unreadable = Violations::default();
    let value = payload::parse(payload.get(), &mut unreadable);
    let mut wrong = Wrong::default();
    unreadable.into_vec().into_iter().for_each(|violation| wrong.push(explain::unreadable(violation)));
    if let Some(value) = &value {
        explain::schema(action, value, &mut wrong);
        values::check(value, &mut wrong);
        if let Value::Object(object) = value {
            rules::check(action, Given { object, path: "" }, now, &mut wrong);
        }
    }
    if !wrong.list.is_empty() {
        return Err(wrong.list);
    }
    write::canonical(payload).ok_or_else(|| vec![Violation::message("cannot be read as JSON")])
}

/// What is wrong so far.
#[derive(Debug, Default)]
struct Wrong {
    list: Vec<Violation>,
    fields: HashSet<String>,
}

impl Wrong {
    fn push(&mut self, violation: Violation) {
        self.fields.extend(violation.field.clone());
        self.list.push(violation);
    }

    fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.push(Violation::field(path, problem));
    }

    /// Adds it, unless something is known to be wrong with this field: one reason is enough.
    fn add_unless_known(&mut self, path: &str, problem: impl FnOnce() -> String) {
        if !self.fields.contains(path) {
            self.add(path, problem());
        }
    }
}

/// One object of a payload and where it stands. Its fields may be of any type: the schema has told of those.
#[derive(Debug, Clone, Copy)]
struct Given<'a> {
    object: &'a Map<String, Value>,
    path: &'a str,
}

impl<'a> Given<'a> {
    fn path_of(&self, name: impl fmt::Display) -> String {
        below(self.path, name)
    }

    fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.object.get(name).and_then(Value::as_str)
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.object.get(name).and_then(values::integer)
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    fn objects(&self, name: &str) -> impl Iterator<Item = (usize, &'a Map<String, Value>)> {
        let elements = self.object.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        elements.iter().enumerate().filter_map(|(index, element)| Some((index, element.as_object()?)))
    }
}

/// The dotted path of a field of the object at `path`.
fn below(path: &str, name: impl fmt::Display) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}
