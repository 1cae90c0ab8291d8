//! `[2|3|4, …]` ⇄ [`Frame`]: the envelope of OCPP-J, the same in every version.
//!
//! Reading is tolerant (quirks Q8, Q17 to Q26); what is written is exactly right: compact, one
//! array, members in the order given.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use super::escapes::{escape_control_characters, replace_lone_surrogates};
use super::{Violation, nesting};

/// A message id with the JSON type it came with, so that an answer can echo it (quirk Q17).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(Box<str>);

impl MessageId {
    /// The longest id the specification allows, in characters.
    pub const MAX_CHARS: usize = 36;

    /// An id that is this text.
    pub fn from_text(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    /// The id as it stands in a frame: a JSON string or number.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The id for people and lists: a string without its quotes, a number as it is.
    pub fn text(&self) -> String {
        serde_json::from_str::<String>(&self.0).unwrap_or_else(|_| self.0.to_string())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error codes of OCPP 1.6, spelled as the specification spells them, typing error included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub enum ErrorCode {
    NotImplemented,
    NotSupported,
    InternalError,
    ProtocolError,
    SecurityError,
    FormationViolation,
    PropertyConstraintViolation,
    OccurenceConstraintViolation,
    TypeConstraintViolation,
    GenericError,
}

/// A request: `[2, id, action, payload]`.
#[derive(Debug, Clone)]
pub struct Call {
    /// The sender's id for it.
    pub id: MessageId,
    /// The action as it was spelled.
    pub action: String,
    /// The payload's own text; `{}` where it was `null`, `[]` or missing.
    pub payload: Box<RawValue>,
}

/// An answer: `[3, id, payload]`.
#[derive(Debug, Clone)]
pub struct CallResult {
    /// The id of the CALL that is answered.
    pub id: MessageId,
    /// The payload's own text; `{}` where it was `null`, `[]` or missing.
    pub payload: Box<RawValue>,
}

/// A refusal: `[4, id, code, description, details]`.
#[derive(Debug, Clone)]
pub struct CallError {
    /// The id of the CALL that is refused.
    pub id: MessageId,
    /// The code as it was spelled; any text is taken, and of what is no text its JSON.
    pub code: String,
    /// The words that came with it, possibly none; of what is no text its JSON.
    pub description: String,
    /// The details, `{}` where they were `null`, `[]` or missing; kept as they are if they are no object.
    pub details: Box<RawValue>,
}

/// Why a frame cannot be served at all. The spelling is that of `MessageRejected`'s `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unserveable {
    /// Not JSON, or JSON that ends too early.
    MalformedJson,
    /// JSON, but not an array.
    NotAnArray,
    /// The first element is none of 2, 3 and 4; to be ignored.
    UnknownMessageType,
    /// No id that an answer could echo.
    UnreadableId,
    /// No action, or one that is not a text.
    UnreadableAction,
    /// A payload that is not an object.
    PayloadNotAnObject,
    /// JSON that nests deeper than [`nesting::MAX`].
    TooDeep,
    /// An action nobody knows (quirk Q24).
    UnknownAction,
    /// An answer to a CALL that is not, or no longer, open (quirk Q27).
    UnknownCall,
    /// A message the strict mode refuses.
    SchemaViolation,
    /// A binary frame that is not UTF-8 JSON.
    Binary,
    /// A text frame that is not UTF-8.
    NotUtf8,
    /// A message over the size limit.
    TooLarge,
}

impl Unserveable {
    /// The reason as it is spelled in `MessageRejected`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::NotAnArray => "not_an_array",
            Self::UnknownMessageType => "unknown_message_type",
            Self::UnreadableId => "unreadable_id",
            Self::UnreadableAction => "unreadable_action",
            Self::PayloadNotAnObject => "payload_not_an_object",
            Self::TooDeep => "too_deep",
            Self::UnknownAction => "unknown_action",
            Self::UnknownCall => "unknown_call",
            Self::SchemaViolation => "schema_violation",
            Self::Binary => "binary",
            Self::NotUtf8 => "not_utf8",
            Self::TooLarge => "too_large",
        }
    }
}

/// What a text turned out to be.
#[derive(Debug, Clone)]
pub enum Frame {
    /// The peer asks.
    Call(Call),
    /// The peer answers.
    CallResult(CallResult),
    /// The peer refuses.
    CallError(CallError),
    /// The peer's answer to `id` cannot be read: that call is over all the same (quirk Q21).
    BrokenAnswer {
        /// The id of the CALL it was meant for.
        id: MessageId,
        /// What is wrong with it.
        reason: Unserveable,
    },
    /// Nothing that can be served.
    Unserveable {
        /// What is wrong with it.
        reason: Unserveable,
        /// The id and code to refuse it with, where the sender can be told.
        answer: Option<(MessageId, ErrorCode)>,
    },
}

/// A frame and what was odd about its envelope.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What the text is.
    pub frame: Frame,
    /// Oddities that were overlooked on the way.
    pub violations: Vec<Violation>,
}

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
        2 => {
            let Some(action) = elements.get(2).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
            else {
                return refuse(Unserveable::UnreadableAction, Some((id, ErrorCode::FormationViolation)));
            };
            match read_object(elements.get(3), "payload", violations) {
                Some(payload) => {
                    note_surplus(elements, 4, violations);
                    Frame::Call(Call { id, action, payload })
                }
                None => refuse(Unserveable::PayloadNotAnObject, Some((id, ErrorCode::FormationViolation))),
            }
        }
        3 => match read_object(elements.get(2), "payload", violations) {
            Some(payload) => {
                note_surplus(elements, 3, violations);
                Frame::CallResult(CallResult { id, payload })
            }
            None => Frame::BrokenAnswer { id, reason: Unserveable::PayloadNotAnObject },
        },
        _ => {
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
    }
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

/// The payload `{}`.
pub fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| unreachable!("{{}} is JSON"))
}

/// Writes `[2,"id","action",payload]`.
///
/// # Errors
/// Only if `payload` refuses to be written as JSON.
pub fn encode_call(id: &MessageId, action: &str, payload: &impl Serialize) -> serde_json::Result<String> {
    Ok(format!("[2,{},{},{}]", id.as_json(), serde_json::to_string(action)?, serde_json::to_string(payload)?))
}

/// Writes `[3,"id",payload]`.
///
/// # Errors
/// Only if `payload` refuses to be written as JSON.
pub fn encode_result(id: &MessageId, payload: &impl Serialize) -> serde_json::Result<String> {
    Ok(format!("[3,{},{}]", id.as_json(), serde_json::to_string(payload)?))
}

/// Writes `[4,"id","code","description",{}]`.
pub fn encode_error(id: &MessageId, code: ErrorCode, description: &str) -> String {
    format!("[4,{},\"{code:?}\",{},{{}}]", id.as_json(), serde_json::Value::from(description))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame in a few words: what it is, its id, what else matters, how many oddities.
    fn summary(text: &str) -> String {
        let Parsed { frame, violations } = parse(text);
        let told = match frame {
            Frame::Call(call) => format!("call {:?} {} {}", call.id, call.action, call.payload),
            Frame::CallResult(result) => format!("result {:?} {}", result.id, result.payload),
            Frame::CallError(error) => {
                format!("error {:?} {} {:?} {}", error.id, error.code, error.description, error.details)
            }
            Frame::BrokenAnswer { id, reason } => format!("broken {id:?} {}", reason.as_str()),
            Frame::Unserveable { reason, answer } => format!("unserveable {} {answer:?}", reason.as_str()),
        };
        format!("{told} /{}", violations.len())
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(summary(text), expected, "{text:?}");
    }

    #[test]
    fn plain_frames() {
        check(r#"[2,"1","Heartbeat",{}]"#, r#"call "1" Heartbeat {} /0"#);
        check(r#"[3,"1",{"a":1.50}]"#, r#"result "1" {"a":1.50} /0"#);
        check(r#"[4,"1","NotSupported","no",{"x":1}]"#, r#"error "1" NotSupported "no" {"x":1} /0"#);
    }

    #[test]
    fn slightly_wrong_frames_are_served() {
        check(r#"[2,"1","Heartbeat",null]"#, r#"call "1" Heartbeat {} /1"#);
        check(r#"[2,"1","Heartbeat"]"#, r#"call "1" Heartbeat {} /1"#);
        check(r#"[2,17,"Heartbeat",{}]"#, r#"call 17 Heartbeat {} /1"#);
        check(r#"[2,"","Heartbeat",{}]"#, r#"call "" Heartbeat {} /1"#);
        check("\u{feff}[2,\"1\",\"Heartbeat\",{}]\0\r\n", r#"call "1" Heartbeat {} /1"#);
        check("  [2, \"1\", \"Heartbeat\", {} ] \n", r#"call "1" Heartbeat {} /0"#);
        check(r#"[2,"1","X",{"a":"b\ud83d"}]"#, r#"call "1" X {"a":"b\ufffd"} /1"#);
        check("[2,\"1\",\"X\",{\"a\":\"b\0c\"}]", r#"call "1" X {"a":"b\u0000c"} /1"#);
        check(r#"[4,"1","Weird"]"#, r#"error "1" Weird "" {} /2"#);
        check(r#"[4,"1","Weird","",null]"#, r#"error "1" Weird "" {} /1"#);
        check(r#"[2,"1","Heartbeat",[]]"#, r#"call "1" Heartbeat {} /1"#);
        check("[2,\"1\",\"Heartbeat\",[ \n]]", r#"call "1" Heartbeat {} /1"#);
        check(r#"[3,"9",[]]"#, r#"result "9" {} /1"#);
    }

    #[test]
    fn a_refusal_keeps_what_it_says_in_odd_members() {
        for (text, expected) in [
            (r#"[4,"1",500,"no",{}]"#, r#"error "1" 500 "no" {} /1"#),
            (r#"[4,"1",null,"no",{}]"#, r#"error "1"  "no" {} /1"#),
            (r#"[4,"1",{"a":1},null,{}]"#, r#"error "1" {"a":1} "" {} /2"#),
            (r#"[4,"1","X",17,{}]"#, r#"error "1" X "17" {} /1"#),
            (r#"[4,"1","X",{"why":"hot"},{}]"#, r#"error "1" X "{\"why\":\"hot\"}" {} /1"#),
            (r#"[4,"1","X","no","it is hot"]"#, r#"error "1" X "no" "it is hot" /1"#),
            (r#"[4,"1","X","no",["a",1]]"#, r#"error "1" X "no" ["a",1] /1"#),
            (r#"[4,"1","X","no",[]]"#, r#"error "1" X "no" {} /1"#),
            (r#"[4,"1","X","no",{},"more"]"#, r#"error "1" X "no" {} /1"#),
            (r#"[4,"1","X","a\ud83d",{}]"#, "error \"1\" X \"a\u{fffd}\" {} /0"),
            (r#"[4,"1"]"#, r#"error "1"  "" {} /2"#),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_cannot_be_served_says_why_and_what_to_answer() {
        check(r#"[2,"1","Heartbeat",{"#, r#"unserveable malformed_json Some(("1", FormationViolation)) /0"#);
        check(r#"[2,"1"#, "unserveable malformed_json None /0");
        check(r#"[3,"9",{"configurationKey":[]"#, r#"broken "9" malformed_json /0"#);
        check(r#"[3,"9",[1]]"#, r#"broken "9" payload_not_an_object /0"#);
        check(
            r#"[2,"1","Heartbeat",[{}]]"#,
            r#"unserveable payload_not_an_object Some(("1", FormationViolation)) /0"#,
        );
        check(r#"[2,"1",5,{}]"#, r#"unserveable unreadable_action Some(("1", FormationViolation)) /0"#);
        check(r#"[2,null,"Heartbeat",{}]"#, "unserveable unreadable_id None /0");
        check(r#"[5,"1",{}]"#, "unserveable unknown_message_type None /0");
        check("[]", "unserveable unknown_message_type None /0");
        let deep =
            |levels: usize| format!("{}{}", r#"{"a":"#.repeat(levels), "0".to_owned() + &"}".repeat(levels));
        let fits = deep(nesting::MAX);
        check(&format!(r#"[2,"1","X",{fits}]"#), &format!(r#"call "1" X {fits} /0"#));
        let deep = deep(nesting::MAX + 1);
        check(
            &format!(r#"[2,"1","X",{deep}]"#),
            r#"unserveable too_deep Some(("1", FormationViolation)) /0"#,
        );
        check(&format!(r#"[3,"9",{deep}]"#), r#"broken "9" too_deep /0"#);
        check(&format!("[2,{deep},\"X\",{{}}]"), "unserveable unreadable_id None /0");
        check("{}", "unserveable not_an_array None /0");
        check("PING", "unserveable malformed_json None /0");
        check("", "unserveable malformed_json None /0");
    }

    #[test]
    fn what_is_written_is_compact_and_echoes_the_id_as_it_came() {
        let Frame::Call(call) = parse(r#"[2,17,"Heartbeat",{}]"#).frame else { panic!("a call") };
        assert_eq!(
            encode_error(&call.id, ErrorCode::OccurenceConstraintViolation, "a \"b\""),
            r#"[4,17,"OccurenceConstraintViolation","a \"b\"",{}]"#
        );
        let answer = encode_result(&MessageId::from_text("x"), &empty_object()).expect("JSON");
        assert_eq!(answer, r#"[3,"x",{}]"#);
    }
}
