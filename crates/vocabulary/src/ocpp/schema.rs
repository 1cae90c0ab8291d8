//! The JSON Schemas of a version's requests and responses, embedded and compiled once.
//!
//! They are our own files (`ocpp-schemas/`), closed objects like the official ones; they decide
//! what is a violation, never what can be served.

use std::collections::HashMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use serde_json::Value;

use super::Violation;
use super::frame::ErrorCode;
use super::violations::Violations;

/// Which payload of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The payload of the CALL.
    Request,
    /// The payload of the CALLRESULT.
    Response,
}

/// One way in which a payload departs from its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The field and what is wrong with it.
    pub violation: Violation,
    /// The CALLERROR code a strict receiver answers with.
    pub code: ErrorCode,
}

/// The longest piece of a charger's own text that is repeated in a violation, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// Of each action its name, the schema of its request and that of its response.
pub type Sources = &'static [(&'static str, &'static str, &'static str)];

/// The schemas of one version of the protocol.
pub struct Schemas {
    sources: &'static [Sources],
    compiled: OnceLock<HashMap<&'static str, Compiled>>,
}

struct Compiled {
    request: Validator,
    response: Validator,
}

fn compile(name: &str, source: &str) -> Validator {
    serde_json::from_str(source)
        .ok()
        .and_then(|schema: Value| jsonschema::options().should_validate_formats(true).build(&schema).ok())
        .unwrap_or_else(|| unreachable!("the embedded schema of {name} compiles: a test compiles them all"))
}

impl Schemas {
    /// Those of all these sources; they are compiled with their first use.
    pub const fn new(sources: &'static [Sources]) -> Self {
        Self { sources, compiled: OnceLock::new() }
    }

    pub(super) fn validator(&self, part: Part, action: &str) -> Option<&Validator> {
        let compile_all = || {
            let compiled = self.sources.iter().copied().flatten().map(|&(name, request, response)| {
                (name, Compiled { request: compile(name, request), response: compile(name, response) })
            });
            compiled.collect()
        };
        let of_action = self.compiled.get_or_init(compile_all).get(action)?;
        Some(match part {
            Part::Request => &of_action.request,
            Part::Response => &of_action.response,
        })
    }

    /// How `payload` departs from the schema of this action (of either direction); at most a few more than
    /// [`Violations::MAX`]. An action that is not of this version has no schema, so nothing departs from it.
    pub fn breaches(&self, part: Part, action: &str, payload: &Value) -> Vec<Breach> {
        let Some(validator) = self.validator(part, action) else { return Vec::new() };
        // Nearly every message is right, and this is a fraction of the cost of listing what is wrong.
        if validator.is_valid(payload) {
            return Vec::new();
        }
        let mut breaches = Vec::new();
        for error in validator.iter_errors(payload) {
            describe(&error, payload, &mut breaches);
            if breaches.len() > Violations::MAX {
                break;
            }
        }
        breaches
    }

    /// The same as [`Schemas::breaches`], without the codes and cut to [`Violations::MAX`].
    pub fn violations(&self, part: Part, action: &str, payload: &Value) -> Vec<Violation> {
        let mut violations = Violations::default();
        for breach in self.breaches(part, action, payload) {
            violations.push(breach.violation);
        }
        violations.into_vec()
    }
}

fn describe(error: &ValidationError<'_>, payload: &Value, breaches: &mut Vec<Breach>) {
    use ErrorCode::{
        FormationViolation, OccurenceConstraintViolation, PropertyConstraintViolation,
        TypeConstraintViolation,
    };
    let mut add = |child: Option<&str>, problem: String, code| {
        let violation = Violation { field: dotted(error, child), problem };
        breaches.push(Breach { violation, code });
    };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            add(property.as_str(), "missing_field".to_owned(), OccurenceConstraintViolation);
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            for name in unexpected.iter().take(Violations::MAX) {
                add(Some(name), "unknown_field".to_owned(), FormationViolation);
            }
        }
        // How the validator sees a field in an object that may have none at all.
        ValidationErrorKind::FalseSchema => {
            let parent = payload.pointer(error.instance_path().as_str()).and_then(Value::as_object);
            for name in parent.into_iter().flat_map(|members| members.keys()).take(Violations::MAX) {
                add(Some(name), "unknown_field".to_owned(), FormationViolation);
            }
        }
        ValidationErrorKind::Type { kind } => {
            let expected = match kind {
                TypeKind::Single(expected) => expected.to_string(),
                TypeKind::Multiple(_) => "another type".to_owned(),
            };
            let problem = format!("type: {} where {expected} is due", type_of(error.instance()));
            add(None, problem, TypeConstraintViolation);
        }
        // What is no text at all has been reported as a wrong type.
        ValidationErrorKind::Enum { .. } if !error.instance().is_string() => {}
        ValidationErrorKind::Enum { .. } => {
            add(None, format!("not_in_enum: {}", quoted(error.instance())), PropertyConstraintViolation);
        }
        ValidationErrorKind::MaxLength { limit } => {
            let chars = error.instance().as_str().map_or(0, |text| text.chars().count());
            add(None, format!("too_long: {chars} characters, at most {limit}"), TypeConstraintViolation);
        }
        ValidationErrorKind::MinItems { limit } => {
            add(None, format!("too_few: at least {limit}"), OccurenceConstraintViolation);
        }
        ValidationErrorKind::Format { format } => {
            add(None, format!("format: not a {format}"), TypeConstraintViolation);
        }
        ValidationErrorKind::MultipleOf { .. } => {
            add(None, "too_precise: at most one decimal".to_owned(), PropertyConstraintViolation);
        }
        other => add(None, format!("schema: {}", other.keyword()), PropertyConstraintViolation),
    }
}

/// `meterValue.0.timestamp`; `None` for the payload as a whole.
pub(super) fn dotted(error: &ValidationError<'_>, child: Option<&str>) -> Option<String> {
    let mut path = String::new();
    for segment in error.instance_path() {
        path.push_str(&segment.to_string());
        path.push('.');
    }
    match child {
        Some(child) => path.push_str(child),
        None => {
            path.pop();
            if path.is_empty() {
                return None;
            }
        }
    }
    Some(path)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn quoted(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
