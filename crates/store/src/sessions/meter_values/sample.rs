//! One sampled value as a row holds it, as JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use vocabulary::api::transaction::MeterValue;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::fact::SampledValue;

/// One sampled value as a row holds it: what is OCPP's default is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample<'a> {
    pub(super) value: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value_base: Option<Cow<'a, str>>,
    #[serde(default = "Usual::measurand", skip_serializing_if = "Usual::is_measurand")]
    pub(super) measurand: Cow<'a, str>,
    #[serde(default = "Usual::context", skip_serializing_if = "Usual::is_context")]
    pub(super) context: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<Cow<'a, str>>,
    #[serde(default = "Usual::location", skip_serializing_if = "Usual::is_location")]
    pub(super) location: Cow<'a, str>,
    #[serde(default = "Usual::format", skip_serializing_if = "Usual::is_format")]
    pub(super) format: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) derived: bool,
}

/// What OCPP 1.6 (section 7.43) takes a member of a sampled value for that was not sent.
struct Usual;

macro_rules! defaults {
    ($($name:ident, $is:ident: $value:literal;)+) => {
        impl Usual {
            $(
                fn $name() -> Cow<'static, str> {
                    Cow::Borrowed($value)
                }

                fn $is(text: &str) -> bool {
                    text == $value
                }
            )+
        }
    };
}

defaults! {
    measurand, is_measurand: "Energy.Active.Import.Register";
    context, is_context: "Sample.Periodic";
    location, is_location: "Outlet";
    format, is_format: "Raw";
}

/// The format of a value that is a signed document.
pub(crate) const SIGNED_DATA: &str = "SignedData";

impl<'a> Sample<'a> {
    pub(super) fn of(sampled: &'a SampledValue) -> Self {
        Self {
            value: Cow::Borrowed(&sampled.value),
            value_base: sampled.value_base.as_deref().map(Cow::Borrowed),
            measurand: Cow::Borrowed(&sampled.measurand),
            context: Cow::Borrowed(&sampled.context),
            phase: sampled.phase.as_deref().map(Cow::Borrowed),
            location: Cow::Borrowed(&sampled.location),
            format: Cow::Borrowed(&sampled.format),
            unit: sampled.unit.as_deref().map(Cow::Borrowed),
            derived: sampled.derived,
        }
    }

    /// As it was read.
    pub(super) fn sampled(self) -> SampledValue {
        SampledValue {
            value: self.value.into_owned(),
            value_base: self.value_base.map(Cow::into_owned),
            measurand: self.measurand.into_owned(),
            context: self.context.into_owned(),
            phase: self.phase.map(Cow::into_owned),
            location: self.location.into_owned(),
            format: self.format.into_owned(),
            unit: self.unit.map(Cow::into_owned),
            derived: self.derived,
        }
    }

    /// As it is listed.
    pub(super) fn shown(self, occurred_at: Option<Timestamp>, received_at: Timestamp) -> MeterValue {
        MeterValue {
            occurred_at,
            received_at,
            measurand: self.measurand.into_owned(),
            context: self.context.into_owned(),
            phase: self.phase.map(Cow::into_owned),
            location: self.location.into_owned(),
            format: self.format.into_owned(),
            unit: self.unit.map(Cow::into_owned),
            value: self.value.into_owned(),
            value_base: self.value_base.map(Cow::into_owned),
            derived: self.derived,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_leaves_out_what_goes_without_saying() {
        let sampled = SampledValue {
            value: "1.50".to_owned(),
            value_base: Some("1500".to_owned()),
            measurand: "Energy.Active.Import.Register".to_owned(),
            context: "Sample.Periodic".to_owned(),
            phase: None,
            location: "Outlet".to_owned(),
            format: "Raw".to_owned(),
            unit: Some("kWh".to_owned()),
            derived: false,
        };
        let text = serde_json::to_string(&Sample::of(&sampled)).expect("JSON");
        assert_eq!(text, r#"{"value":"1.50","value_base":"1500","unit":"kWh"}"#);
        assert_eq!(serde_json::from_str::<Sample<'_>>(&text).expect("reads back"), Sample::of(&sampled));
        let odd = SampledValue {
            measurand: "Voltage".to_owned(),
            context: "Trigger".to_owned(),
            phase: Some("L1".to_owned()),
            location: "EV".to_owned(),
            format: SIGNED_DATA.to_owned(),
            value_base: None,
            derived: true,
            ..sampled
        };
        let text = serde_json::to_string(&Sample::of(&odd)).expect("JSON");
        assert_eq!(serde_json::from_str::<Sample<'_>>(&text).expect("reads back"), Sample::of(&odd));
    }
}
