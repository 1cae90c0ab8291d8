//! Checks JSON against the gateway's own OpenAPI document, and describes every wrong field.
//!
//! Messages never repeat a value: it may be a secret.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

use super::problem::{ErrorAnswer, Result, UNKNOWN_FIELD};
use vocabulary::api::problem::FieldError;

/// A compiled schema.
pub(super) struct Checker(Validator);

impl Checker {
    /// Compiles `schema`, whose references point into `components`.
    ///
    /// # Errors
    /// A schema of the gateway does not compile: it is logged, and answered 500.
    pub(super) fn new(mut schema: Value, components: &Value) -> Result<Self> {
        if let Some(members) = schema.as_object_mut() {
            members.insert("components".into(), components.clone());
        }
        jsonschema::options().should_validate_formats(true).build(&schema).map(Self).map_err(|error| {
            tracing::error!("a schema of the OpenAPI document does not compile: {error}");
            ErrorAnswer::internal()
        })
    }

    /// A checker for the component schema `name`.
    ///
    /// # Errors
    /// As [`Checker::new`].
    pub(super) fn component(name: &str, components: &Value) -> Result<Self> {
        Self::new(json!({ "$ref": format!("#/components/schemas/{name}") }), components)
    }

    /// Every wrong field of `instance`, in the order of the schema.
    pub(super) fn errors(&self, instance: &Value) -> Vec<FieldError> {
        let mut found = Vec::new();
        for error in self.0.iter_errors(instance) {
            describe(&error, &mut found);
        }
        found.dedup();
        found
    }
}

/// `/a/0/b~1c` as `a.0.b/c`.
fn dotted(pointer: &str) -> String {
    let segments: Vec<String> =
        pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect();
    segments.join(".")
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn describe(error: &ValidationError<'_>, found: &mut Vec<FieldError>) {
    let path = dotted(error.instance_path().as_str());
    let message = match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            found.push(FieldError::new(below(&path, name), "is required"));
            return;
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            found.extend(unexpected.iter().map(|name| FieldError::new(below(&path, name), UNKNOWN_FIELD)));
            return;
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            if let Some(message) = bound_message(context) {
                found.push(FieldError::new(path, message));
                return;
            }
            // Of an object or a list it is about that which was given; in "null or an object" about the
            // object.
            let place = error.instance_path();
            let is_other_kind = |inner: &ValidationError<'_>| {
                matches!(inner.kind(), ValidationErrorKind::Type { .. }) && inner.instance_path() == place
            };
            let of_its_kind = context.iter().find(|errors| !errors.iter().any(is_other_kind));
            let not_null = || context.iter().find(|errors| !errors.iter().any(|inner| expects_null(inner)));
            let thing = of_its_kind.or_else(not_null);
            match thing {
                Some(errors) => {
                    errors.iter().for_each(|inner| describe(inner, found));
                    return;
                }
                None => "is none of the things it may be".to_owned(),
            }
        }
        ValidationErrorKind::Type { kind } => format!("must be {}", kinds(kind)),
        ValidationErrorKind::Enum { options } => format!("must be one of {}", list(options)),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::MinLength { limit: 1 } => "must not be empty".to_owned(),
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::MinItems { limit: 1 } => "must not be empty".to_owned(),
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} entries"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} entries"),
        ValidationErrorKind::Pattern { pattern } => pattern_message(pattern),
        ValidationErrorKind::Format { format } if format == "date-time" => {
            "must be a time such as 2026-04-14T12:34:56.789Z (RFC 3339)".to_owned()
        }
        // The library's words, without the value.
        _ => error.masked().to_string(),
    };
    found.push(FieldError::new(path, message));
}

/// A time or a duration has one message.
fn bound_message(alternatives: &[Vec<ValidationError<'_>>]) -> Option<&'static str> {
    let is_time = |error: &ValidationError<'_>| matches!(error.kind(), ValidationErrorKind::Format { format } if format == "date-time");
    let is_span = |error: &ValidationError<'_>| matches!(error.kind(), ValidationErrorKind::Pattern { pattern } if pattern.contains(SPAN_UNITS));
    let any = |is: &dyn Fn(&ValidationError<'_>) -> bool| alternatives.iter().flatten().any(is);
    (any(&is_time) && any(&is_span)).then_some(
        "must be a time such as 2026-04-14T12:34:56.789Z (RFC 3339), or a duration back from now such as 2h",
    )
}

fn expects_null(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::Type { kind: TypeKind::Single(jsonschema::JsonType::Null) })
}

fn kinds(kind: &TypeKind) -> String {
    let name = |kind: jsonschema::JsonType| match kind.to_string().as_str() {
        "integer" => "a whole number".to_owned(),
        "null" => "null".to_owned(),
        "boolean" => "true or false".to_owned(),
        "object" => "an object".to_owned(),
        "array" => "a list".to_owned(),
        "string" => "a text".to_owned(),
        other => format!("a {other}"),
    };
    match kind {
        TypeKind::Single(one) => name(*one),
        TypeKind::Multiple(set) => set.iter().map(name).collect::<Vec<_>>().join(" or "),
    }
}

fn list(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<String> = options
        .iter()
        .filter(|option| !option.is_null())
        .map(|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned))
        .collect();
    texts.join(", ")
}

/// Identifies the pattern of a duration.
const SPAN_UNITS: &str = "(ms|s|m|h|d)";

/// Messages for patterns that are clearer in words.
fn pattern_message(pattern: &str) -> String {
    if pattern.contains(SPAN_UNITS) {
        "must be a duration: a whole number and one of the units ms, s, m, h, d, such as 30s".to_owned()
    } else if pattern.contains("KiB") {
        "must be a size: a whole number and one of the units B, KiB, MiB, GiB, such as 64KiB".to_owned()
    } else if pattern.ends_with("/[sm]$") {
        "must be a pace such as 10/s or 600/m".to_owned()
    } else if pattern.contains("[^/:") {
        "must have no control characters, no / and no :, and must not be import, summary, . or ..".to_owned()
    } else if pattern.contains("_+-") {
        "must be an IANA name such as Europe/Berlin".to_owned()
    } else if let Some((prefix, _)) = pattern.strip_prefix('^').and_then(|rest| rest.split_once("_[0-7]")) {
        format!("must be an id such as {prefix}_01jrs0m6nxk3v1c8d9e0f2g4h6")
    } else {
        format!("must match {pattern}")
    }
}
