//! A checked payload as it goes on the wire.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::values;
use crate::clock::Timestamp;
use crate::ocpp::decimal::Decimal;

/// The payload written compactly, its members in the order given, numbers and times in their plainest form.
/// Recursion ends where the closed schema it has passed ends. `None` only for what is no JSON.
pub(super) fn canonical(payload: &RawValue) -> Option<Box<RawValue>> {
    let mut out = String::with_capacity(payload.get().len());
    write(payload.get(), "", &mut out)?;
    RawValue::from_string(out).ok()
}

fn write(json: &str, name: &str, out: &mut String) -> Option<()> {
    match json.trim_start().as_bytes().first()? {
        b'{' => {
            let Members(members) = serde_json::from_str(json).ok()?;
            for (index, (name, member)) in members.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                out.push_str(&serde_json::to_string(name).ok()?);
                out.push(':');
                write(member.get(), name, out)?;
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            for (index, element) in elements.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                write(element.get(), name, out)?;
            }
            out.push_str(if elements.is_empty() { "[]" } else { "]" });
        }
        b'"' => {
            let text: String = serde_json::from_str(json).ok()?;
            let text = if values::is_time(name) { utc(text)? } else { text };
            out.push_str(&serde_json::to_string(&text).ok()?);
        }
        b'-' | b'0'..=b'9' => out.push_str(&Decimal::parse(json.trim())?.to_string()),
        _ => out.push_str(json.trim()),
    }
    Some(())
}

/// A time as the smallest charger reads it: `Z`, no more than milliseconds, otherwise as it was given.
fn utc(text: String) -> Option<String> {
    let plain = text.len() <= "2026-04-14T12:34:56.789Z".len() && text.contains('T') && text.ends_with('Z');
    if plain {
        return Some(text);
    }
    let text = text.parse::<Timestamp>().ok()?.to_string();
    Some(match text.strip_suffix(".000Z") {
        Some(seconds) => format!("{seconds}Z"),
        None => text,
    })
}

/// An object's members in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
