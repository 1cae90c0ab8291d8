//! The charger's configuration: the standard keys, read and changed over OCPP.

mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::messages::{ConfigurationStatus as Change, GetConfigurationResponse, KeyValue};
use super::meter::Meter;
use keys::{DEFAULTS, Row};

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Whole,
    Percent,
    Text,
    Measurands,
    /// `NotApplicable`, `Unknown` or `RST` and the like, each with a connector's number before it or not.
    PhaseRotation,
    /// 32 to 40 hex digits, or 16 to 40 characters that are no hex, as many chargers take them; never shown.
    Secret,
    /// Only ever raised, and only to what this charger can do: 1, once it has a key, and what certificates
    /// make possible.
    SecurityProfile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadOnly,
    ReadWrite,
    /// Stored at once, in force after the next boot.
    AfterReboot,
}

#[derive(Debug, Clone)]
struct Setting {
    /// The key as it is spelled; it is found in any case.
    key: &'static str,
    kind: Kind,
    access: Access,
    value: String,
    /// What applies from the next boot on.
    pending: Option<String>,
}

/// The keys and their values.
#[derive(Debug, Clone)]
pub struct Configuration {
    settings: BTreeMap<String, Setting>,
    /// The highest security profile that the charger has what it takes for.
    profile_max: u8,
}

impl Configuration {
    /// The factory settings of a charger with this many connectors.
    pub fn new(connectors: u32) -> Self {
        let setting = |&(key, kind, access, value): &Row| {
            (key.to_lowercase(), Setting { key, kind, access, value: value.to_owned(), pending: None })
        };
        let mut configuration = Self { settings: DEFAULTS.iter().map(setting).collect(), profile_max: 0 };
        configuration.store("NumberOfConnectors", connectors.to_string());
        configuration
    }

    /// Sets a value of the charger's own accord, read-only or not.
    pub(super) fn store(&mut self, key: &str, value: String) {
        if let Some(setting) = self.settings.get_mut(&key.to_lowercase()) {
            setting.value = value;
        }
    }

    /// From now on `SecurityProfile` can be raised to this.
    pub(super) fn allow_profile(&mut self, profile: u8) {
        self.profile_max = profile;
    }

    /// The value in force; empty for a key that does not exist.
    pub fn text(&self, key: &str) -> &str {
        self.settings.get(&key.to_lowercase()).map_or("", |setting| &setting.value)
    }

    /// The value in force, read as a boolean.
    pub fn flag(&self, key: &str) -> bool {
        self.text(key).eq_ignore_ascii_case("true")
    }

    /// The value in force, read as a whole number; 0 if it is none.
    pub fn whole(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap_or(0)
    }

    /// The value in force, read as seconds.
    pub fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.whole(key))
    }

    /// Answers `ChangeConfiguration`.
    pub(super) fn change(&mut self, key: &str, value: &str) -> Change {
        let with_key = u8::from(!self.text("AuthorizationKey").is_empty());
        let profiles = self.whole("SecurityProfile") as u8 + 1..=self.profile_max.max(with_key);
        let Some(setting) = self.settings.get_mut(&key.to_lowercase()) else { return Change::NotSupported };
        let raises = || value.parse().is_ok_and(|profile: u8| profiles.contains(&profile));
        let fits = fits(setting.kind, value) && (setting.kind != Kind::SecurityProfile || raises());
        if setting.access == Access::ReadOnly || !fits {
            return Change::Rejected;
        }
        let value = if setting.kind == Kind::Boolean { value.to_lowercase() } else { value.to_owned() };
        if setting.access == Access::AfterReboot {
            setting.pending = Some(value);
            return Change::RebootRequired;
        }
        setting.value = value;
        Change::Accepted
    }

    /// Puts in force what waited for a boot.
    pub fn reboot(&mut self) {
        for setting in self.settings.values_mut() {
            if let Some(value) = setting.pending.take() {
                setting.value = value;
            }
        }
    }

    /// Answers `GetConfiguration`: all keys if none is asked for, each once. Secrets are never shown.
    pub(super) fn describe(&self, keys: &[String]) -> GetConfigurationResponse {
        let shown = |setting: &Setting| {
            // A value that waits for a boot is already the configured one.
            let value = setting.pending.as_ref().unwrap_or(&setting.value);
            let readonly = setting.access == Access::ReadOnly;
            KeyValue { key: setting.key.to_owned(), readonly, value: Some(value.clone()) }
        };
        let visible = |setting: &&Setting| setting.kind != Kind::Secret;
        if keys.is_empty() {
            let all = self.settings.values().filter(visible).map(shown).collect();
            return GetConfigurationResponse { configuration_key: Some(all), unknown_key: None };
        }
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        let mut asked = BTreeSet::new();
        for key in keys.iter().filter(|key| asked.insert(key.to_lowercase())) {
            match self.settings.get(&key.to_lowercase()).filter(visible) {
                Some(setting) => known.push(shown(setting)),
                None => unknown.push(key.clone()),
            }
        }
        GetConfigurationResponse { configuration_key: Some(known), unknown_key: Some(unknown) }
    }
}

fn fits(kind: Kind, value: &str) -> bool {
    match kind {
        Kind::Boolean => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
        Kind::Whole => value.parse::<i32>().is_ok_and(|number| number >= 0),
        Kind::Percent => value.parse::<u32>().is_ok_and(|number| number <= 100),
        Kind::SecurityProfile => matches!(value, "0" | "1" | "2" | "3"),
        Kind::PhaseRotation => value.split(',').all(is_phase_rotation),
        Kind::Text => value.chars().count() <= 500,
        Kind::Measurands => {
            value.is_empty() || value.split(',').all(|measurand| Meter::knows(measurand.trim()))
        }
        Kind::Secret if value.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            (32..=40).contains(&value.len()) && value.len().is_multiple_of(2)
        }
        Kind::Secret => {
            let printable = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            (16..=40).contains(&value.len()) && printable
        }
    }
}

fn is_phase_rotation(text: &str) -> bool {
    let rotation = match text.trim().split_once('.') {
        Some((connector, rotation)) if connector.parse::<u32>().is_ok() => rotation,
        Some(_) => return false,
        None => text.trim(),
    };
    matches!(rotation, "NotApplicable" | "Unknown" | "RST" | "RTS" | "SRT" | "STR" | "TRS" | "TSR")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::messages::payload;

    #[test]
    fn values_have_to_fit_their_keys() {
        let mut configuration = Configuration::new(1);
        for (key, value, expected) in [
            ("LightIntensity", "101", Change::Rejected),
            ("LightIntensity", "30", Change::Accepted),
            ("ConnectorPhaseRotation", "0.RST,1.TSR", Change::RebootRequired),
            ("ConnectorPhaseRotation", "0.XYZ", Change::Rejected),
            ("LocalAuthListEnabled", "FALSE", Change::Accepted),
            ("LocalAuthListMaxLength", "5", Change::Rejected),
            ("SecurityProfile", "1", Change::Rejected),
            ("AuthorizationKey", "000102030405060708090a0b0c0d0e0f", Change::Accepted),
            ("SecurityProfile", "2", Change::Rejected),
            ("SecurityProfile", "1", Change::Accepted),
            ("SecurityProfile", "0", Change::Rejected),
            ("HeartbeatInterval", "-1", Change::Rejected),
        ] {
            assert_eq!(configuration.change(key, value), expected, "{key} = {value}");
        }
    }

    #[test]
    fn changes_end_as_the_specification_says() {
        let mut configuration = Configuration::new(2);
        assert_eq!(
            configuration.change("heartbeatinterval", "60"),
            Change::Accepted,
            "keys match in any case"
        );
        assert_eq!(configuration.whole("HeartbeatInterval"), 60);
        assert_eq!(configuration.change("HeartbeatInterval", "soon"), Change::Rejected);
        assert_eq!(configuration.change("NumberOfConnectors", "3"), Change::Rejected);
        assert_eq!(configuration.change("MeterValuesSampledData", "SoC,RPM"), Change::Rejected);
        assert_eq!(configuration.change("Colour", "red"), Change::NotSupported);
        assert_eq!(configuration.change("WebSocketPingInterval", "30"), Change::RebootRequired);
        assert_eq!(configuration.whole("WebSocketPingInterval"), 0, "not before the boot");
        configuration.reboot();
        assert_eq!(configuration.whole("WebSocketPingInterval"), 30);
    }

    #[test]
    fn keys_are_described_secrets_are_not() {
        let mut configuration = Configuration::new(2);
        let key = "000102030405060708090a0b0c0d0e0f";
        assert_eq!(configuration.change("AuthorizationKey", key), Change::Accepted);
        assert_eq!(configuration.change("AuthorizationKey", "short"), Change::Rejected);
        let all = configuration.describe(&[]);
        assert_eq!(all.configuration_key.as_ref().map(Vec::len), Some(DEFAULTS.len() - 1));
        assert!(!format!("{all:?}").contains(key));
        let asked = ["NumberOfConnectors", "AuthorizationKey", "numberofconnectors", "AuthorizationKey"];
        let some = configuration.describe(&asked.map(str::to_owned));
        assert_eq!(
            payload(&some),
            json!({
                "configurationKey": [{"key": "NumberOfConnectors", "readonly": true, "value": "2"}],
                "unknownKey": ["AuthorizationKey"],
            })
        );
    }
}
