//! Meter values: what was measured, in its own unit and in a base unit.

use serde_json::Value;

use super::fields::{Fields, Path, Reader, parse_with_comma, scalar_text};
use crate::ocpp::decimal::Decimal;
use crate::ocpp::fact::{MeterValue, SampledValue};
use crate::ocpp::unit;

/// The most values read of one message: a session sampled every ten seconds for a day, all phases.
/// What lies beyond is in the raw payload only.
pub(super) const SAMPLED_VALUES_MAX: usize = 50_000;

const MEASURANDS: &[&str] = &[
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "Energy.Reactive.Export.Register",
    "Energy.Reactive.Import.Register",
    "Energy.Active.Export.Interval",
    "Energy.Active.Import.Interval",
    "Energy.Reactive.Export.Interval",
    "Energy.Reactive.Import.Interval",
    "Power.Active.Export",
    "Power.Active.Import",
    "Power.Offered",
    "Power.Reactive.Export",
    "Power.Reactive.Import",
    "Power.Factor",
    "Current.Import",
    "Current.Export",
    "Current.Offered",
    "Voltage",
    "Frequency",
    "Temperature",
    "SoC",
    "RPM",
];
const CONTEXTS: &[&str] = &[
    "Sample.Periodic",
    "Sample.Clock",
    "Transaction.Begin",
    "Transaction.End",
    "Interruption.Begin",
    "Interruption.End",
    "Trigger",
    "Other",
];
const PHASES: &[&str] = &["L1", "L2", "L3", "N", "L1-N", "L2-N", "L3-N", "L1-L2", "L2-L3", "L3-L1"];
const LOCATIONS: &[&str] = &["Outlet", "Inlet", "Body", "Cable", "EV"];
const FORMATS: &[&str] = &["Raw", "SignedData"];

/// Reads the meter values of `field`, or of `values` as OCPP 1.5 named it; one that is not in an
/// array is an array of one (quirk Q14).
pub(super) fn read_all(fields: &Fields<'_>, field: &str, reader: &mut Reader) -> Vec<MeterValue> {
    let mut read = Vec::new();
    let mut room = SAMPLED_VALUES_MAX;
    let name = if fields.get(field).is_some() { field } else { "values" };
    if let Some(value) = fields.get(name) {
        read_list(value, &fields.path_of(name), reader, &mut room, &mut read);
    }
    if room == 0 {
        reader
            .note(&fields.path_of(name), format!("too_many_values: the first {SAMPLED_VALUES_MAX} are read"));
    }
    read
}

/// Calls `each` for the elements of an array, or for the one thing that stands in its place.
fn for_each<'a>(value: &'a Value, path: &Path<'_>, mut each: impl FnMut(&'a Value, &Path<'_>)) {
    match value {
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                each(element, &Path::Index(path, index));
            }
        }
        other => each(other, path),
    }
}

fn read_list(
    value: &Value,
    path: &Path<'_>,
    reader: &mut Reader,
    room: &mut usize,
    read: &mut Vec<MeterValue>,
) {
    for_each(value, path, |element, path| {
        let Some(object) = element.as_object() else { return };
        let fields = Fields { object: Some(object), path: *path };
        // OCPP 1.5 wrapped the list of a stop once more: {"values": [{"timestamp": …}]}.
        let inner = fields.get("values").filter(|_| fields.get("timestamp").is_none());
        match inner {
            Some(inner) if fields.get("sampledValue").is_none() && holds_meter_values(inner) => {
                for_each(inner, &fields.path_of("values"), |element, path| {
                    if *room > 0
                        && let Some(object) = element.as_object()
                    {
                        read.push(read_one(&Fields { object: Some(object), path: *path }, reader, room));
                    }
                });
            }
            _ if *room > 0 => read.push(read_one(&fields, reader, room)),
            _ => {}
        }
    });
}

fn holds_meter_values(value: &Value) -> bool {
    let first = value.as_array().map_or(Some(value), |elements| elements.first());
    first.is_some_and(|first| first.get("timestamp").is_some())
}

fn read_one(fields: &Fields<'_>, reader: &mut Reader, room: &mut usize) -> MeterValue {
    // A meter value without any sampled value still takes memory.
    *room = room.saturating_sub(1);
    let timestamp = fields.time("timestamp", reader);
    let mut sampled_value = Vec::new();
    let sampled =
        ["sampledValue", "values", "value"].into_iter().find_map(|name| Some((name, fields.get(name)?)));
    if let Some((name, value)) = sampled {
        for_each(value, &fields.path_of(name), |element, path| {
            if *room > 0
                && let Some(value) = read_sampled(element, path, reader)
            {
                *room -= 1;
                sampled_value.push(value);
            }
        });
    }
    MeterValue { timestamp, sampled_value }
}

/// One value; a bare text or number is one without any of the optional members.
fn read_sampled(element: &Value, path: &Path<'_>, reader: &mut Reader) -> Option<SampledValue> {
    let fields = Fields { object: element.as_object(), path: *path };
    let value = match element {
        Value::Object(_) => fields.text("value").unwrap_or_default(),
        other => scalar_text(other)?.to_owned(),
    };
    let word = |name: &str, known: &[&'static str], default: &str| {
        fields.word(name, known).unwrap_or_else(|| default.to_owned())
    };
    let measurand = word("measurand", MEASURANDS, MEASURANDS[0]);
    let format = word("format", FORMATS, FORMATS[0]);
    let sent = fields.word("unit", &[]);
    let measured = unit::of(&measurand, sent.as_deref());
    if measured.impossible {
        let unit = measured.name.as_deref().unwrap_or_default();
        reader.note(&fields.path_of("unit"), format!("implausible: {unit} does not measure this"));
    }
    let number = if format == "SignedData" { None } else { read_number(&value, path, reader) };
    let value_base = number.and_then(|number| measured.to_base(number));
    Some(SampledValue {
        value,
        value_base: value_base.map(|decimal| decimal.to_string()),
        measurand,
        context: word("context", CONTEXTS, CONTEXTS[0]),
        phase: fields.word("phase", PHASES),
        location: word("location", LOCATIONS, LOCATIONS[0]),
        format,
        unit: measured.name,
        derived: measured.derived,
    })
}

/// The number in a value's text, if there is one (quirk Q6).
fn read_number(text: &str, path: &Path<'_>, reader: &mut Reader) -> Option<Decimal> {
    if let Some(number) = Decimal::parse(text) {
        return Some(number);
    }
    let number = parse_with_comma(text.trim());
    reader.note(
        &Path::Field(path, "value"),
        match number {
            Some(number) => format!("not_a_decimal: read as {number}"),
            None => "not_a_decimal".to_owned(),
        },
    );
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn reader() -> Reader {
        Reader::new(Timestamp::from_unix_ms(1_776_170_096_789), None)
    }

    /// One sampled value as `base unit derived / problems`.
    #[track_caller]
    fn check(json: &str, expected: &str) {
        let element: Value = serde_json::from_str(json).expect("JSON");
        let mut reader = reader();
        let read = read_sampled(&element, &Path::Root, &mut reader).expect("a value");
        let problems: Vec<_> =
            reader.violations.into_vec().into_iter().map(|violation| violation.problem).collect();
        let told = format!(
            "{} {}{} / {}",
            read.value_base.as_deref().unwrap_or("none"),
            read.unit.as_deref().unwrap_or("-"),
            if read.derived { " derived" } else { "" },
            problems.join("; ")
        );
        assert_eq!(told.trim_end(), expected, "{json}");
    }

    #[test]
    fn units_follow_the_measurand() {
        check(r#"{"value":"1234"}"#, "1234 Wh /");
        check(r#"{"value":"1.234","unit":"kWh"}"#, "1234 kWh /");
        check(r#"{"value":"7.4","unit":"kW","measurand":"Power.Active.Import"}"#, "7400 kW /");
        check(r#"{"value":"7400","measurand":"Power.Active.Import"}"#, "7400 W derived /");
        check(r#"{"value":"12","measurand":"Energy.Reactive.Import.Register"}"#, "12 varh derived /");
        check(r#"{"value":"230.10","measurand":"Voltage"}"#, "230.1 V derived /");
        check(r#"{"value":"16","measurand":"Current.Import"}"#, "16 A derived /");
        check(r#"{"value":"49.98","measurand":"Frequency"}"#, "49.98 Hertz derived /");
        check(r#"{"value":"49.98","measurand":"Frequency","unit":"Wh"}"#, "49.98 Hertz derived /");
        check(r#"{"value":"49.98","measurand":"Frequency","unit":"Hertz"}"#, "49.98 Hertz /");
        check(r#"{"value":"80","measurand":"SoC","unit":"%"}"#, "80 Percent /");
        check(r#"{"value":"80","measurand":"SoC"}"#, "80 Percent derived /");
        check(r#"{"value":"31.5","measurand":"Temperature","unit":"Celcius"}"#, "31.5 Celsius /");
        check(r#"{"value":"300","measurand":"Temperature","unit":"K"}"#, "26.85 K /");
        check(r#"{"value":"0.98","measurand":"Power.Factor"}"#, "0.98 - /");
        check(r#"{"value":"1450","measurand":"RPM"}"#, "1450 - /");
        check(r#"{"value":"1,5","unit":"KWH"}"#, "1500 kWh / not_a_decimal: read as 1.5");
        check(
            r#"{"value":"1","measurand":"Voltage","unit":"Wh"}"#,
            "none Wh / implausible: Wh does not measure this",
        );
        check(r#"{"value":"1","unit":"furlong"}"#, "none furlong /");
        check(r#"{"value":"1","measurand":"Vendor.Thing"}"#, "1 - /");
    }

    #[test]
    fn values_are_read_where_their_meaning_is_clear() {
        check(r#"{"value":"1.5E3"}"#, "1500 Wh /");
        check(r#"{"value":0}"#, "0 Wh /");
        check(r#"{"value":12.50}"#, "12.5 Wh /");
        check(r#"{"value":" 12 "}"#, "12 Wh / not_a_decimal: read as 12");
        check(r#""17""#, "17 Wh /");
        check("17", "17 Wh /");
        for text in ["", "NaN", "1,234,5", "1,234.5", "12 kWh", "--"] {
            check(&format!("{{\"value\":\"{text}\"}}"), "none Wh / not_a_decimal");
        }
        check(r#"{"value":"OCMF|{\"FV\":\"1.0\"}|{}","format":"SignedData"}"#, "none Wh /");
    }

    #[test]
    fn words_are_canonical_where_they_are_known() {
        let element = serde_json::json!({
            "value": "1", "context": "sample.clock", "phase": "l1-n", "location": "ev", "measurand": "voltage",
        });
        let read = read_sampled(&element, &Path::Root, &mut reader()).expect("a value");
        let told =
            (read.context.as_str(), read.phase.as_deref(), read.location.as_str(), read.measurand.as_str());
        assert_eq!(told, ("Sample.Clock", Some("L1-N"), "EV", "Voltage"));
    }

    #[test]
    fn shapes_of_other_versions_are_understood() {
        let time = "2026-04-14T12:34:56Z";
        for payload in [
            serde_json::json!({"meterValue": {"timestamp": time, "sampledValue": {"value": "1"}}}),
            serde_json::json!({"meterValue": [{"timestamp": time, "sampledValue": ["1"]}]}),
            serde_json::json!({"values": [{"timestamp": time, "values": [{"value": "1"}]}]}),
            serde_json::json!({"values": {"timestamp": time, "value": "1"}}),
            serde_json::json!({"meterValue": [{"values": [{"timestamp": time, "value": [{"value": 1}]}]}]}),
        ] {
            let fields = Fields { object: payload.as_object(), path: Path::Root };
            let read = read_all(&fields, "meterValue", &mut reader());
            assert_eq!(read.len(), 1, "{payload}");
            assert!(read[0].timestamp.is_some(), "{payload}");
            assert_eq!(read[0].sampled_value.len(), 1, "{payload}");
            assert_eq!(read[0].sampled_value[0].value_base.as_deref(), Some("1"), "{payload}");
        }
    }

    #[test]
    fn a_flood_of_values_is_cut() {
        let payload = serde_json::json!({"meterValue": [{"sampledValue": vec![0; SAMPLED_VALUES_MAX + 10]}]});
        let fields = Fields { object: payload.as_object(), path: Path::Root };
        let mut reader = reader();
        let read = read_all(&fields, "meterValue", &mut reader);
        assert!(read[0].sampled_value.len() <= SAMPLED_VALUES_MAX);
        let problems = reader.violations.into_vec();
        assert!(
            problems.iter().any(|violation| violation.problem.starts_with("too_many_values")),
            "{problems:?}"
        );
    }
}
