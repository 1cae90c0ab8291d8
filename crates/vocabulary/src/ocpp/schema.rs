//! The JSON Schemas of every request and response, embedded and compiled once.
//!
//! They are our own files (`ocpp-schemas/1.6/`), closed objects like the official ones; they decide
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

macro_rules! sources {
    ($($action:ident)*) => {
        /// Action, request schema, response schema.
        const SOURCES: &[(&str, &str, &str)] = &[$((
            stringify!($action),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ocpp-schemas/1.6/", stringify!($action), ".json")),
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/../../ocpp-schemas/1.6/", stringify!($action), "Response.json"
            )),
        )),*];
    };
}

sources! {
    Authorize BootNotification CancelReservation CertificateSigned ChangeAvailability ChangeConfiguration ClearCache
    ClearChargingProfile DataTransfer DeleteCertificate DiagnosticsStatusNotification ExtendedTriggerMessage
    FirmwareStatusNotification GetCompositeSchedule GetConfiguration GetDiagnostics GetInstalledCertificateIds
    GetLocalListVersion GetLog Heartbeat InstallCertificate LogStatusNotification MeterValues RemoteStartTransaction
    RemoteStopTransaction ReserveNow Reset SecurityEventNotification SendLocalList SetChargingProfile SignCertificate
    SignedFirmwareStatusNotification SignedUpdateFirmware StartTransaction StatusNotification StopTransaction
    TriggerMessage UnlockConnector UpdateFirmware
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

pub(super) fn validator(part: Part, action: &str) -> Option<&'static Validator> {
    static COMPILED: OnceLock<HashMap<&'static str, Compiled>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        SOURCES
            .iter()
            .map(|&(name, request, response)| {
                (name, Compiled { request: compile(name, request), response: compile(name, response) })
            })
            .collect()
    });
    let of_action = compiled.get(action)?;
    Some(match part {
        Part::Request => &of_action.request,
        Part::Response => &of_action.response,
    })
}

/// How `payload` departs from the schema of this action (of either direction); at most a few more
/// than [`Violations::MAX`]. An action that is not of OCPP 1.6 has no schema, so nothing departs from it.
pub fn breaches(part: Part, action: &str, payload: &Value) -> Vec<Breach> {
    let Some(validator) = validator(part, action) else { return Vec::new() };
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

/// The same as [`breaches`], without the codes and cut to [`Violations::MAX`].
pub fn violations(part: Part, action: &str, payload: &Value) -> Vec<Violation> {
    let mut violations = Violations::default();
    for breach in breaches(part, action, payload) {
        violations.push(breach.violation);
    }
    violations.into_vec()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ocpp::v16::{FromCentralSystem, FromChargePoint};

    fn told(part: Part, action: &str, payload: &str) -> Vec<String> {
        let payload = serde_json::from_str(payload).expect("JSON");
        let told = violations(part, action, &payload)
            .into_iter()
            .map(|violation| format!("{} {}", violation.field.as_deref().unwrap_or("-"), violation.problem));
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    }

    #[test]
    fn every_action_of_either_direction_has_two_closed_schemas() {
        let inbound = FromChargePoint::ALL.iter().map(|action| action.as_str());
        let outbound = FromCentralSystem::ALL.iter().map(|action| action.as_str());
        let mut actions: Vec<_> = inbound.chain(outbound).collect();
        actions.sort_unstable();
        actions.dedup();
        let embedded: Vec<_> = SOURCES.iter().map(|(action, ..)| *action).collect();
        assert_eq!(embedded, actions);
        for action in actions {
            for part in [Part::Request, Part::Response] {
                assert!(validator(part, action).is_some(), "{action}");
                let stranger = told(part, action, r#"{"stranger":1}"#);
                assert!(
                    stranger.contains(&"stranger unknown_field".to_owned()),
                    "{action} {part:?}: {stranger:?}"
                );
            }
        }
    }

    #[test]
    fn the_files_name_themselves_and_are_the_only_ones() {
        for (action, request, response) in SOURCES {
            for (suffix, source) in [("", request), ("Response", response)] {
                let schema: Value = serde_json::from_str(source).expect("JSON");
                assert_eq!(schema["$id"], format!("urn:chargehook:ocpp:1.6:{action}{suffix}"));
            }
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ocpp-schemas/1.6"))
            .expect("the folder");
        assert_eq!(files.count(), 2 * SOURCES.len());
    }

    #[test]
    fn a_violation_names_the_field_and_what_is_wrong() {
        assert_eq!(
            told(
                Part::Request,
                "StartTransaction",
                r#"{"connectorId":"1","idTag":"123456789012345678901","meterStart":null,"timestamp":"2026-04-14"}"#
            ),
            [
                "connectorId type: string where integer is due",
                "idTag too_long: 21 characters, at most 20",
                "meterStart type: null where integer is due",
                "timestamp format: not a date-time",
            ]
        );
        assert_eq!(
            told(
                Part::Request,
                "MeterValues",
                r#"{"connectorId":1,"meterValue":[{"timestamp":"2026-04-14T12:34:56Z","sampledValue":[{"value":"1"},{"unit":"kwh","phase":7}]}]}"#
            ),
            [
                "meterValue.0.sampledValue.1.phase type: number where string is due",
                "meterValue.0.sampledValue.1.unit not_in_enum: \"kwh\"",
                "meterValue.0.sampledValue.1.value missing_field",
            ]
        );
        assert_eq!(
            told(Part::Request, "MeterValues", r#"{"connectorId":1,"meterValue":[]}"#),
            ["meterValue too_few: at least 1"]
        );
        assert_eq!(told(Part::Request, "Heartbeat", "[]"), ["- type: array where object is due"]);
        assert_eq!(
            told(Part::Request, "GetDiagnostics", r#"{"location":"not a uri"}"#),
            ["location format: not a uri"]
        );
        assert_eq!(told(Part::Request, "NoSuchAction", "{}"), [""; 0]);
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
        assert_eq!(told(Part::Request, "RemoteStopTransaction", r#"{"transactionId":5.0}"#), [""; 0]);
        assert_eq!(told(Part::Request, "RemoteStopTransaction", r#"{"transactionId":5.5}"#).len(), 1);
    }

    #[test]
    fn one_decimal_is_judged_as_a_decimal() {
        let profile = |limit: &str| {
            format!(
                r#"{{"connectorId":1,"csChargingProfiles":{{"chargingProfileId":1,"stackLevel":0,
                "chargingProfilePurpose":"TxProfile","chargingProfileKind":"Absolute","chargingSchedule":
                {{"chargingRateUnit":"A","chargingSchedulePeriod":[{{"startPeriod":0,"limit":{limit}}}]}}}}}}"#
            )
        };
        for tenths in 0..=10_000 {
            let limit = format!("{}.{}", tenths / 10, tenths % 10);
            assert_eq!(told(Part::Request, "SetChargingProfile", &profile(&limit)), [""; 0], "{limit}");
        }
        for limit in ["0.25", "16.01", "0.30000000000000004"] {
            assert_eq!(
                told(Part::Request, "SetChargingProfile", &profile(limit)),
                [
                    "csChargingProfiles.chargingSchedule.chargingSchedulePeriod.0.limit too_precise: at most one decimal"
                ],
                "{limit}"
            );
        }
    }

    #[test]
    fn a_flood_of_unknown_fields_is_cut() {
        let payload: Value = (0..1_000).map(|index| (format!("field{index}"), json!(index))).collect();
        let list = violations(Part::Request, "Heartbeat", &payload);
        assert_eq!(list.len(), Violations::MAX);
        assert_eq!(list.last(), Some(&Violation::message("more_violations")));
    }
}
