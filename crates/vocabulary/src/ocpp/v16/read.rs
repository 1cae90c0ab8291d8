//! The tolerant reader: from a payload to what a handler needs, noting what was odd (quirks Q5 to Q14, Q25).
//!
//! The schema says how a payload departs from the specification; reading goes on beside it and takes
//! whatever has a clear meaning. Only the strict mode ever refuses.

use serde_json::Value;
use serde_json::value::RawValue;

use super::FromChargePoint;
use super::fields::{Fields, Path, Reader};
use super::payload;
use super::request::{self, Request};
use crate::clock::Timestamp;
use crate::ocpp::frame::ErrorCode;
use crate::ocpp::reading::{Reading, Refusal};
use crate::ocpp::schema::{Breach, Part};
use crate::ocpp::v16::schemas::SCHEMAS;
use crate::ocpp::{Validation, Violation};

/// A message that can be served.
#[derive(Debug, Clone)]
pub struct Read {
    /// What a handler needs of it.
    pub request: Request,
    /// The charger's own time for it, if it names one that can be read; of several meter values the last
    /// one's.
    pub occurred_at: Option<Timestamp>,
    /// The newest time in it as the charger's clock shows it, also one that cannot be true.
    pub clock_shows: Option<Timestamp>,
    /// What was odd about the payload.
    pub violations: Vec<Violation>,
}

/// The action this text means: exact, else in any case and without `.req` or `Request`, where that
/// leaves one choice (quirk Q25). The violation says that it was mapped.
pub fn recognise(action: &str) -> Option<(FromChargePoint, Option<Violation>)> {
    if let Ok(exact) = action.parse() {
        return Some((exact, None));
    }
    let trimmed = action.trim();
    let bare = [".req", "Request"].into_iter().find_map(|suffix| {
        let at = trimmed.len().checked_sub(suffix.len())?;
        trimmed.get(at..)?.eq_ignore_ascii_case(suffix).then(|| &trimmed[..at])
    });
    let bare = bare.unwrap_or(trimmed);
    let mut meant = FromChargePoint::ALL.iter().filter(|known| known.as_str().eq_ignore_ascii_case(bare));
    let (&meant, None) = (meant.next()?, meant.next()) else { return None };
    Some((meant, Some(Violation::message(format!("action_spelling: read as {meant}")))))
}

/// Reads the payload of a CALL.
///
/// # Errors
/// Only in strict mode: the payload breaks the schema of its action.
pub fn read(action: FromChargePoint, payload: &RawValue, reading: &Reading) -> Result<Read, Refusal> {
    let mut reader = Reader::new(reading.received_at, reading.zone);
    let value = payload::parse(payload.get(), &mut reader.violations);
    let root = Fields { object: value.as_ref().and_then(Value::as_object), path: Path::Root };
    let (request, occurred_at) = request::read(action, &root, &mut reader);
    let (mut violations, clock_shows) = (reader.violations, reader.clock_shows);
    if reading.validation == Validation::Off {
        return Ok(Read { request, occurred_at, clock_shows, violations: violations.into_vec() });
    }
    let breaches = match &value {
        Some(value) => SCHEMAS.breaches(Part::Request, action.as_str(), value),
        None => Vec::new(),
    };
    let refusal =
        (reading.validation == Validation::Strict).then(|| refuse(&breaches, value.is_none())).flatten();
    for Breach { violation, .. } in breaches {
        // The reader knows better what is odd about a time than "not a date-time", and what became of
        // a number that is none.
        let told_better = ["format:", "type:"].iter().any(|code| violation.problem.starts_with(code))
            && violation.field.as_deref().is_some_and(|field| violations.mentions(field));
        if !told_better {
            violations.push(violation);
        }
    }
    let violations = violations.into_vec();
    match refusal {
        Some((code, description)) => Err(Refusal { code, description, violations }),
        None => Ok(Read { request, occurred_at, clock_shows, violations }),
    }
}

/// Which code wins where a payload is wrong in several ways: its shape comes before its parts.
const CODES_BY_RANK: [ErrorCode; 4] = [
    ErrorCode::FormationViolation,
    ErrorCode::OccurenceConstraintViolation,
    ErrorCode::TypeConstraintViolation,
    ErrorCode::PropertyConstraintViolation,
];

fn refuse(breaches: &[Breach], unreadable: bool) -> Option<(ErrorCode, String)> {
    if unreadable {
        return Some((ErrorCode::FormationViolation, "the payload cannot be read".to_owned()));
    }
    let worst = CODES_BY_RANK.iter().find_map(|code| breaches.iter().find(|breach| breach.code == *code))?;
    let Violation { field, problem } = &worst.violation;
    let description = match field {
        Some(field) => format!("{field}: {problem}"),
        None => problem.clone(),
    };
    Some((worst.code, clip(description)))
}

/// The longest description of a CALLERROR, in characters.
const DESCRIPTION_CHARS_MAX: usize = 255;

fn clip(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(DESCRIPTION_CHARS_MAX) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::ocpp::fact::SessionStarted;
    use crate::ocpp::violations::Violations;

    const RECEIVED: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    fn read_as(validation: Validation, action: FromChargePoint, json: &str) -> Result<Read, Refusal> {
        read(action, &raw(json), &Reading { validation, received_at: RECEIVED, zone: None })
    }

    #[test]
    fn actions_are_recognised_where_one_is_meant() {
        for (text, expected) in [
            ("Heartbeat", Some((FromChargePoint::Heartbeat, false))),
            ("heartbeat", Some((FromChargePoint::Heartbeat, true))),
            (" StartTransaction.req", Some((FromChargePoint::StartTransaction, true))),
            ("BootNotificationRequest", Some((FromChargePoint::BootNotification, true))),
            ("Reset", None),
            ("Request", None),
            (".req", None),
            ("", None),
            ("éééRequest", None),
        ] {
            let told = recognise(text).map(|(action, mapped)| (action, mapped.is_some()));
            assert_eq!(told, expected, "{text:?}");
        }
        for &action in FromChargePoint::ALL {
            assert_eq!(recognise(action.as_str()), Some((action, None)));
        }
    }

    #[test]
    fn the_strict_mode_says_which_rule_was_broken() {
        use ErrorCode::*;
        let start = |fields: &str| format!(r#"{{"connectorId":1,"idTag":"A","meterStart":0{fields}}}"#);
        for (json, code) in [
            (start(""), OccurenceConstraintViolation),
            (start(r#","timestamp":7"#), TypeConstraintViolation),
            (start(r#","timestamp":"yesterday""#), TypeConstraintViolation),
            (start(r#","timestamp":"2026-04-14T12:34:56Z","x":1"#), FormationViolation),
            (start(r#","x":1"#), FormationViolation),
        ] {
            let refusal =
                read_as(Validation::Strict, FromChargePoint::StartTransaction, &json).expect_err("refused");
            assert_eq!(refusal.code, code, "{json}");
            assert!(!refusal.violations.is_empty(), "{json}");
        }
        let status = r#"{"connectorId":1,"errorCode":"NoError","status":"Occupied"}"#;
        let refusal =
            read_as(Validation::Strict, FromChargePoint::StatusNotification, status).expect_err("refused");
        assert_eq!(refusal.code, PropertyConstraintViolation);
        assert_eq!(refusal.description, "status: not_in_enum: \"Occupied\"");
    }

    #[test]
    fn without_validation_the_schema_is_not_asked() {
        let json = r#"{"connectorId":"1","vendorThing":1,"timestamp":"1970-01-01T00:00:00Z"}"#;
        let read = read_as(Validation::Off, FromChargePoint::StatusNotification, json).expect("served");
        assert_eq!(
            read.violations,
            [Violation::field("timestamp", "implausible: a clock that was never set")]
        );
        let Request::StatusNotification(status) = read.request else { panic!("a status") };
        assert_eq!(status.connector_id, Some(1));
    }

    #[test]
    fn what_is_no_object_is_read_as_an_empty_one() {
        for json in ["null", "[]", "1", "\"x\"", "[[[]]]"] {
            let read = read_as(Validation::Lenient, FromChargePoint::StartTransaction, json).expect("served");
            assert_eq!(read.request, Request::StartTransaction(SessionStarted::default()), "{json}");
            assert_eq!(read.violations.len(), 1, "{json}");
            let refusal =
                read_as(Validation::Strict, FromChargePoint::StartTransaction, json).expect_err("refused");
            assert_eq!(refusal.code, ErrorCode::TypeConstraintViolation);
        }
    }

    #[test]
    fn a_field_too_deep_to_read_costs_only_itself() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let json = format!(r#"{{"idTag":"A","x":{deep}}}"#);
        let read = read_as(Validation::Lenient, FromChargePoint::Authorize, &json).expect("served");
        assert_eq!(read.request, Request::Authorize { id_tag: Some("A".to_owned()) });
        let odd = ["unreadable: read as null", "unknown_field"].map(|problem| Violation::field("x", problem));
        assert_eq!(read.violations, odd);
        for json in [&json, &deep] {
            let refusal = read_as(Validation::Strict, FromChargePoint::Authorize, json).expect_err("refused");
            assert_eq!(refusal.code, ErrorCode::FormationViolation);
        }
    }

    /// Names that mean something, so that chance reaches the readers behind them.
    fn any_name() -> impl Strategy<Value = String> {
        const NAMES: &[&str] = &[
            "connectorId",
            "idTag",
            "meterStart",
            "meterStop",
            "timestamp",
            "transactionId",
            "reservationId",
            "meterValue",
            "sampledValue",
            "transactionData",
            "values",
            "value",
            "unit",
            "measurand",
            "format",
            "status",
            "errorCode",
            "reason",
            "chargePointVendor",
            "vendorId",
            "$serde_json::private::Number",
        ];
        prop_oneof![9 => prop::sample::select(NAMES).prop_map(str::to_owned), 1 => ".{0,12}"]
    }

    fn any_scalar() -> impl Strategy<Value = String> {
        const SCALARS: &[&str] = &[
            "null",
            "true",
            "\"\"",
            "\"1,5\"",
            "\"-1.5e3\"",
            "\"NaN\"",
            "\"kWh\"",
            "\"%\"",
            "\"SignedData\"",
            "\"Frequency\"",
            "\"Temperature\"",
            "\"Fahrenheit\"",
            "\"K\"",
            "\"2026-04-14T12:34:56Z\"",
            "\"2026-02-31 24:00:60,5+0200\"",
            "\"\\ud800\"",
            "1e999999",
            "-0",
            "5.0",
            "1e-400",
            "170141183460469231731687303715884105728",
        ];
        prop_oneof![
            3 => prop::sample::select(SCALARS).prop_map(str::to_owned),
            1 => any::<i64>().prop_map(|integer| integer.to_string()),
            1 => any::<f64>().prop_map(|float| serde_json::to_string(&float).expect("JSON")),
            1 => ".{0,30}".prop_map(|text| Value::from(text).to_string()),
        ]
    }

    fn any_json() -> impl Strategy<Value = String> {
        any_scalar().prop_recursive(5, 60, 8, |inner| {
            let member = (any_name(), inner.clone())
                .prop_map(|(name, value)| format!("{}:{value}", Value::from(name)));
            prop_oneof![
                1 => prop::collection::vec(inner, 0..6).prop_map(|elements| format!("[{}]", elements.join(","))),
                3 => prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_json_is_read(json in any_json()) {
            for &action in FromChargePoint::ALL {
                let read = read_as(Validation::Lenient, action, &json);
                prop_assert!(read.is_ok());
                prop_assert!(read.is_ok_and(|read| read.violations.len() <= Violations::MAX));
                prop_assert!(read_as(Validation::Off, action, &json).is_ok());
                let _ = read_as(Validation::Strict, action, &json);
            }
        }

        #[test]
        fn what_the_strict_mode_takes_the_lenient_mode_reads_alike(json in any_json()) {
            for &action in FromChargePoint::ALL {
                if let Ok(strict) = read_as(Validation::Strict, action, &json) {
                    let lenient = read_as(Validation::Lenient, action, &json).expect("served");
                    prop_assert_eq!(strict.request, lenient.request);
                    prop_assert_eq!(strict.violations, lenient.violations);
                }
            }
        }

        #[test]
        fn a_plain_start_is_read_as_it_was_meant(connector in 0i64..100, meter in 0i64..i64::MAX, tag in "[A-Z0-9]{1,20}") {
            let mut payload = Map::new();
            payload.insert("connectorId".to_owned(), connector.into());
            payload.insert("meterStart".to_owned(), meter.into());
            payload.insert("idTag".to_owned(), tag.as_str().into());
            payload.insert("timestamp".to_owned(), "2026-04-14T12:34:56Z".into());
            let json = Value::from(payload).to_string();
            let read = read_as(Validation::Strict, FromChargePoint::StartTransaction, &json).expect("legal");
            prop_assert_eq!(read.violations, []);
            prop_assert_eq!(read.request, Request::StartTransaction(SessionStarted {
                connector_id: Some(connector),
                id_tag: Some(tag),
                meter_start_wh: Some(meter),
                meter_has_decimals: false,
                reservation_id: None,
                timestamp_text: Some("2026-04-14T12:34:56Z".to_owned()),
            }));
        }
    }
}
