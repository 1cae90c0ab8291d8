//! The JSON Schemas of OCPP 1.6 (`ocpp-schemas/1.6/`).

use super::{FromCentralSystem, FromChargePoint};
use crate::ocpp::schema::Schemas;

/// The schemas of every request and response, of either direction.
pub static SCHEMAS: Schemas = Schemas::new(&[FromChargePoint::SCHEMAS, FromCentralSystem::SCHEMAS]);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::ocpp::Violation;
    use crate::ocpp::schema::Part;
    use crate::ocpp::violations::Violations;

    fn told(part: Part, action: &str, payload: &str) -> Vec<String> {
        let payload = serde_json::from_str(payload).expect("JSON");
        let told = SCHEMAS
            .violations(part, action, &payload)
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
        for action in inbound.chain(outbound) {
            for part in [Part::Request, Part::Response] {
                assert!(SCHEMAS.validator(part, action).is_some(), "{action}");
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
        let sources: BTreeSet<_> =
            [FromChargePoint::SCHEMAS, FromCentralSystem::SCHEMAS].concat().into_iter().collect();
        for (action, request, response) in &sources {
            for (suffix, source) in [("", request), ("Response", response)] {
                let schema: Value = serde_json::from_str(source).expect("JSON");
                assert_eq!(schema["$id"], format!("urn:chargehook:ocpp:1.6:{action}{suffix}"));
            }
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ocpp-schemas/1.6"))
            .expect("the folder");
        assert_eq!(files.count(), 2 * sources.len());
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
        let list = SCHEMAS.violations(Part::Request, "Heartbeat", &payload);
        assert_eq!(list.len(), Violations::MAX);
        assert_eq!(list.last(), Some(&Violation::message("more_violations")));
    }
}
