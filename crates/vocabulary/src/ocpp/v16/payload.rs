//! A payload's text as a [`Value`], with what that step alone can see: doubled keys.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::ocpp::violations::Violations;
use crate::ocpp::{Violation, nesting};

/// Reads a payload; `None` if it cannot be read, and is no object whose other members could be: JSON
/// that nests too deeply, or names of members that the JSON library keeps for itself. The last of doubled
/// keys wins (quirk Q9).
pub(super) fn parse(json: &str, violations: &mut Violations) -> Option<Value> {
    let value = match serde_json::from_str(json) {
        Ok(value) => value,
        Err(_) => return parse_readable_members(json, violations),
    };
    // Counting is far cheaper than watching every key, and doubled ones are rare.
    if nesting::members(json) > members_kept(&value) {
        note_doubled_keys(json, violations);
    }
    Some(value)
}

/// The members of an object that can be read: one of a vendor's own must not cost the others.
fn parse_readable_members(json: &str, violations: &mut Violations) -> Option<Value> {
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) else {
        violations.push(Violation::message("unreadable: the payload cannot be read"));
        return None;
    };
    let mut read = Map::new();
    for (name, member) in members {
        let value = serde_json::from_str(member.get()).unwrap_or_else(|_| {
            violations.push(Violation::field(name.as_str(), "unreadable: read as null"));
            Value::Null
        });
        read.insert(name, value);
    }
    Some(Value::Object(read))
}

fn members_kept(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.len() + members.values().map(members_kept).sum::<usize>(),
        Value::Array(elements) => elements.iter().map(members_kept).sum(),
        _ => 0,
    }
}

fn note_doubled_keys(json: &str, violations: &mut Violations) {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let watched = Watch { path: None, violations };
    if watched.deserialize(&mut deserializer).is_err() {
        // Only names that the JSON library keeps for itself lead here.
        violations.push(Violation::message("duplicate_key"));
    }
}

/// Where in the payload the watch stands.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    segment: &'a str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parent {
            Some(parent) => write!(f, "{parent}.{}", self.segment),
            None => f.write_str(self.segment),
        }
    }
}

/// Walks through a JSON text, keeping nothing but the keys of the objects it is inside of.
struct Watch<'a> {
    path: Option<&'a Place<'a>>,
    violations: &'a mut Violations,
}

impl<'de> DeserializeSeed<'de> for Watch<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Watch<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let place = Place { parent: self.path, segment: &key };
            if seen.contains(&key) {
                self.violations
                    .push(Violation::field(place.to_string(), "duplicate_key: the last one counts"));
            }
            map.next_value_seed(Watch { path: Some(&place), violations: self.violations })?;
            seen.insert(key);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0usize.. {
            let segment = index.to_string();
            let place = Place { parent: self.path, segment: &segment };
            let element = Watch { path: Some(&place), violations: self.violations };
            if seq.next_element_seed(element)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> (Option<Value>, Vec<String>) {
        let mut violations = Violations::default();
        let value = parse(json, &mut violations);
        let told = violations
            .into_vec()
            .into_iter()
            .map(|violation| format!("{} {}", violation.field.as_deref().unwrap_or("-"), violation.problem));
        (value, told.collect())
    }

    #[test]
    fn doubled_keys_are_found_wherever_they_are() {
        let (value, told) = told(r#"{"a":1,"b":[{"c:\"":"x:y","d":2.50,"d":3}],"a":4}"#);
        assert_eq!(value, serde_json::from_str(r#"{"a":4,"b":[{"c:\"":"x:y","d":3}]}"#).ok());
        assert_eq!(
            told,
            ["b.0.d duplicate_key: the last one counts", "a duplicate_key: the last one counts"]
        );
    }

    #[test]
    fn colons_in_strings_are_no_members() {
        assert_eq!(told(r#"{"a":"x:\":\\","b":{"c":[":"]}}"#).1, [""; 0]);
    }

    #[test]
    fn what_is_nested_too_deeply_costs_only_itself() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let (value, violations) = told(&format!(r#"{{"idTag":"A","x":{deep}}}"#));
        assert_eq!(value, serde_json::from_str(r#"{"idTag":"A","x":null}"#).ok());
        assert_eq!(violations, ["x unreadable: read as null"]);
        assert_eq!(told(&deep), (None, vec!["- unreadable: the payload cannot be read".to_owned()]));
    }
}
