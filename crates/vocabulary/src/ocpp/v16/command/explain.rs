//! What the schemas find wrong, in sentences for the one who asked for a command.

use jsonschema::JsonType;
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use serde_json::Value;

use super::{Wrong, below};
use crate::ocpp::Violation;
use crate::ocpp::schema::{self, Part};
use crate::ocpp::v16::FromCentralSystem;
use crate::ocpp::v16::schemas::SCHEMAS;

/// How a time is to look.
pub(super) const TIME: &str = "must be a time with its zone, such as 2026-04-14T12:34:56Z (RFC 3339)";
/// How an address is to look.
pub(super) const URI: &str = "must be an address with its scheme, such as ftp://files.example.com/logs";

/// What reading the JSON alone has found.
pub(super) fn unreadable(violation: Violation) -> Violation {
    let problem = match violation.code() {
        "duplicate_key" => "is given twice",
        "unreadable" => {
            "cannot be read: it nests too deeply, or has half a character (of a surrogate pair) in it"
        }
        _ => return violation,
    };
    Violation { field: violation.field, problem: problem.to_owned() }
}

/// Adds every way in which `payload` departs from the request's schema.
pub(super) fn schema(action: FromCentralSystem, payload: &Value, wrong: &mut Wrong) {
    let Some(validator) = SCHEMAS.validator(Part::Request, action.as_str()) else { return };
    if validator.is_valid(payload) {
        return;
    }
    for error in validator.iter_errors(payload) {
        describe(action, &error, payload, wrong);
    }
}

fn describe(action: FromCentralSystem, error: &ValidationError<'_>, payload: &Value, wrong: &mut Wrong) {
    let path = schema::dotted(error, None).unwrap_or_default();
    let unknown = || format!("is not a field of {action}");
    let problem = match error.kind() {
        ValidationErrorKind::Required { property } => {
            wrong.add(below(&path, property.as_str().unwrap_or_default()), "is required");
            return;
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().for_each(|name| wrong.add(below(&path, name), unknown()));
            return;
        }
        // How the validator sees a field in an object that may have none at all.
        ValidationErrorKind::FalseSchema => {
            let parent = payload.pointer(error.instance_path().as_str()).and_then(Value::as_object);
            let names = parent.into_iter().flat_map(|members| members.keys());
            names.for_each(|name| wrong.add(below(&path, name), unknown()));
            return;
        }
        ValidationErrorKind::Type { .. } if error.instance().is_null() && !path.is_empty() => {
            // What cannot be read was put aside as null, and told of.
            wrong.add_unless_known(&path, || "must not be null: leave out what has no value".to_owned());
            return;
        }
        ValidationErrorKind::Type { kind } => format!("must be {}", kinds(kind)),
        // What is no text at all has been reported as a wrong type.
        ValidationErrorKind::Enum { .. } if !error.instance().is_string() => return,
        ValidationErrorKind::Enum { options } => {
            let options: Vec<_> =
                options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("must be one of {}", options.join(", "))
        }
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::MinItems { .. } => "must not be empty".to_owned(),
        ValidationErrorKind::Format { format } if format == "date-time" => TIME.to_owned(),
        ValidationErrorKind::Format { format } if format == "uri" => URI.to_owned(),
        ValidationErrorKind::MultipleOf { .. } => {
            "must have at most one decimal place, such as 16.5: it is not rounded for you".to_owned()
        }
        // The library's own words, with the value left out: it may be a secret.
        _ => error.masked().to_string(),
    };
    if path.is_empty() {
        wrong.push(Violation::message(problem));
    } else {
        wrong.add(path, problem);
    }
}

fn kinds(kind: &TypeKind) -> String {
    let name = |kind: JsonType| match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a text",
    };
    match kind {
        TypeKind::Single(one) => name(*one).to_owned(),
        TypeKind::Multiple(set) => set.iter().map(name).collect::<Vec<_>>().join(" or "),
    }
}
