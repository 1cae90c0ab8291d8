//! Reads frames, tolerantly: what is odd is noted and overlooked.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Call, CallError, CallResult, ErrorCode, Frame, MessageId, Parsed, Unserveable, empty_object};
use crate::ocpp::escapes::{escape_control_characters, replace_lone_surrogates};
use crate::ocpp::{Violation, nesting};

/// Reads one text message. Never fails: what cannot be served is a [`Frame`] too.
pub fn parse(text: &str) -> Parsed {
    let mut violations = Vec::new();
    let trimmed = trim(text, &mut violations);
    let frame = match serde_json::from_str::<Vec<&RawValue>>(trimmed) {
        Ok(elements) => classify(&elements, &mut violations),
        Err(_) => match escape_control_characters(trimmed) {
            Some(escaped) => match serde_json::from_str::<Vec<&RawValue>>(&escaped) {
                Ok(elements) => {
                    violations.push(Violation::message("control_characters: escaped inside strings"));
                    classify(&elements, &mut violations)
                }
                Err(_) => broken(&escaped),
            },
            None => broken(trimmed),
        },
    };
    Parsed { frame, violations }
}

/// Strips what some firmware puts around its JSON (quirk Q18).
fn trim<'a>(text: &'a str, violations: &mut Vec<Violation>) -> &'a str {
    let without_bom = text.trim_start_matches('\u{feff}');
    let trimmed = without_bom.trim_end_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    let nuls = without_bom[trimmed.len()..].contains('\0');
    if without_bom.len() != text.len() || nuls {
        violations.push(Violation::message("surrounding_bytes: a byte order mark or NUL was stripped"));
    }
    trimmed.trim_start()
}

/// Which frame a JSON array is.
fn classify(elements: &[&RawValue], violations: &mut Vec<Violation>) -> Frame {
    let refuse = |reason, answer| Frame::Unserveable { reason, answer };
    let kind = match elements.first().map(|raw| raw.get()) {
        Some("2" | "2.0" | "\"2\"") => 2,
        Some("3" | "3.0" | "\"3\"") => 3,
        Some("4" | "4.0" | "\"4\"") => 4,
        _ => return refuse(Unserveable::UnknownMessageType, None),
    };
    if elements[0].get().len() > 1 {
        violations.push(Violation::message("message_type: not written as a plain number"));
    }
    let Some(id) = elements.get(1).and_then(|raw| read_id(raw, violations)) else {
        return refuse(Unserveable::UnreadableId, None);
    };
    if elements[2..].iter().any(|raw| nesting::is_deeper_than(raw.get(), nesting::MAX)) {
        let reason = Unserveable::TooDeep;
        return match kind {
            2 => refuse(reason, Some((id, ErrorCode::FormationViolation))),
            _ => Frame::BrokenAnswer { id, reason },
        };
    }
    match kind {
        2 => call(id, elements, violations),
        3 => call_result(id, elements, violations),
        _ => call_error(id, elements, violations),
    }
}

fn call(id: MessageId, elements: &[&RawValue], violations: &mut Vec<Violation>) -> Frame {
    let refuse =
        |reason, id| Frame::Unserveable { reason, answer: Some((id, ErrorCode::FormationViolation)) };
    let Some(action) = elements.get(2).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok()) else {
        return refuse(Unserveable::UnreadableAction, id);
    };
    let Some(payload) = read_object(elements.get(3), "payload", violations) else {
        return refuse(Unserveable::PayloadNotAnObject, id);
    };
    note_surplus(elements, 4, violations);
    Frame::Call(Call { id, action, payload })
}

fn call_result(id: MessageId, elements: &[&RawValue], violations: &mut Vec<Violation>) -> Frame {
    let Some(payload) = read_object(elements.get(2), "payload", violations) else {
        return Frame::BrokenAnswer { id, reason: Unserveable::PayloadNotAnObject };
    };
    note_surplus(elements, 3, violations);
    Frame::CallResult(CallResult { id, payload })
}

fn call_error(id: MessageId, elements: &[&RawValue], violations: &mut Vec<Violation>) -> Frame {
    if elements.len() < 5 {
        violations.push(Violation::message("short_call_error: elements are missing"));
    }
    let error = CallError {
        id,
        code: read_words(elements.get(2), "code", violations),
        description: read_words(elements.get(3), "description", violations),
        details: read_details(elements.get(4), violations),
    };
    note_surplus(elements, 5, violations);
    Frame::CallError(error)
}

/// What a member of a CALLERROR says, which should be a text (quirk Q26).
fn read_words(raw: Option<&&RawValue>, what: &str, violations: &mut Vec<Violation>) -> String {
    let Some(json) = raw.map(|raw| raw.get()) else { return String::new() };
    if let Ok(text) = serde_json::from_str(&replace_lone_surrogates(json)) {
        return text;
    }
    violations.push(Violation::message(format!("odd_call_error: the {what} is not a text")));
    if json == "null" { String::new() } else { json.to_owned() }
}

/// The details of a CALLERROR, whatever they are.
fn read_details(raw: Option<&&RawValue>, violations: &mut Vec<Violation>) -> Box<RawValue> {
    read_object(raw, "details", violations).unwrap_or_else(|| {
        violations.push(Violation::message("odd_call_error: the details are not an object"));
        let kept = raw.map(|raw| replace_lone_surrogates(raw.get()).into_owned());
        kept.and_then(|json| RawValue::from_string(json).ok()).unwrap_or_else(empty_object)
    })
}

/// Takes strings and numbers; anything else cannot be echoed (quirk Q17).
fn read_id(raw: &RawValue, violations: &mut Vec<Violation>) -> Option<MessageId> {
    let json = raw.get();
    match json.as_bytes().first()? {
        b'"' => {
            let text: String = serde_json::from_str(json).ok()?;
            if text.is_empty() {
                violations.push(Violation::message("message_id: empty"));
            } else if text.chars().count() > MessageId::MAX_CHARS {
                violations.push(Violation::message("message_id: longer than 36 characters"));
            }
        }
        b'-' | b'0'..=b'9' => {
            violations.push(Violation::message("message_id: a number where a string is due"));
        }
        _ => return None,
    }
    Some(MessageId(json.into()))
}

/// Takes an object, or nothing at all in its place (quirk Q8), which languages without a type for empty
/// objects write as `[]`.
fn read_object(
    raw: Option<&&RawValue>,
    what: &str,
    violations: &mut Vec<Violation>,
) -> Option<Box<RawValue>> {
    match raw.map(|raw| raw.get()) {
        None | Some("null") => {
            violations.push(Violation::message(format!("{what}: null or missing, read as {{}}")));
            Some(empty_object())
        }
        Some(json) if is_empty_array(json) => {
            violations.push(Violation::message(format!("empty_array: the {what} was [], read as {{}}")));
            Some(empty_object())
        }
        Some(json) if json.starts_with('{') => match replace_lone_surrogates(json) {
            Cow::Borrowed(_) => raw.map(|raw| (**raw).to_owned()),
            Cow::Owned(repaired) => {
                violations
                    .push(Violation::message("broken_escape: half of a surrogate pair, read as U+FFFD"));
                RawValue::from_string(repaired).ok()
            }
        },
        Some(_) => None,
    }
}

fn is_empty_array(json: &str) -> bool {
    let inside = json.strip_prefix('[').and_then(|json| json.strip_suffix(']'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}

fn note_surplus(elements: &[&RawValue], expected: usize, violations: &mut Vec<Violation>) {
    if elements.len() > expected {
        violations.push(Violation::message("surplus_elements: ignored behind the payload"));
    }
}

/// What can still be told from a text that is no JSON array (quirks Q20 to Q22).
fn broken(text: &str) -> Frame {
    if !text.starts_with('[') {
        let reason = match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => Unserveable::NotAnArray,
            Err(_) => Unserveable::MalformedJson,
        };
        return Frame::Unserveable { reason, answer: None };
    }
    let reason = Unserveable::MalformedJson;
    match readable_prefix(text) {
        Some((2, id)) => Frame::Unserveable { reason, answer: Some((id, ErrorCode::FormationViolation)) },
        Some((3 | 4, id)) => Frame::BrokenAnswer { id, reason },
        _ => Frame::Unserveable { reason, answer: None },
    }
}

/// Reads `[2,"id"` off the front of a text that breaks off somewhere behind it.
fn readable_prefix(text: &str) -> Option<(u8, MessageId)> {
    let after_bracket = text.strip_prefix('[')?;
    let (kind, rest) = after_bracket.split_once(',')?;
    let kind = kind.trim().parse().ok()?;
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
    let id = stream.next()?.ok()?;
    let followed = rest[stream.byte_offset()..].trim_start();
    let complete = followed.starts_with(',') || followed.starts_with(']') || id.get().starts_with('"');
    let id = read_id(id, &mut Vec::new())?;
    complete.then_some((kind, id))
}
