//! Which stations are wanted, and in which order.

use serde_json::{Map, Value as Json};

use crate::listing::{Conditions, containing};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::boot_status::BootStatus;

/// Which stations are wanted, and in which order; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct StationFilter {
    /// Whether it has a live connection.
    pub connected: Option<bool>,
    /// Whether it is connected and heard of.
    pub online: Option<bool>,
    /// It has not been connected yet.
    pub never_connected: Option<bool>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// The place where it stands.
    pub site: Option<String>,
    /// What its boot is answered with.
    pub boot_status: Option<BootStatus>,
    /// Refused at the handshake.
    pub blocked: Option<bool>,
    /// As told in its boot notification.
    pub vendor: Option<String>,
    /// As told in its boot notification.
    pub model: Option<String>,
    /// As told in its boot notification.
    pub firmware_version: Option<String>,
    /// Members of its metadata, each with its text, or with its JSON if it is no text.
    pub metadata: Vec<(String, String)>,
    /// Part of its identity, name or serial number; letter case does not matter.
    pub text: Option<String>,
    /// It was made, or first connected, then or later.
    pub since: Option<Timestamp>,
    /// It was made, or first connected, before that.
    pub until: Option<Timestamp>,
    /// What the list is sorted by.
    pub sort: StationSort,
}

/// What stations are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StationSort {
    /// The order in which they became known.
    #[default]
    Known,
    /// When they were last seen, on record: those that are connected and heard of come as the newest, those
    /// that were never connected as the oldest.
    LastSeen,
    /// Since when they are away; those that are not come as the oldest.
    OfflineSince,
}

impl StationSort {
    /// What is sorted by before `seq`; nothing but that has equals. The indexes spell it so too.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Known => "s.seq",
            Self::LastSeen => {
                "CASE WHEN s.connected = 1 AND s.offline = 0 THEN 9007199254740991
                      ELSE coalesce(s.last_seen_at_ms, -1) END"
            }
            Self::OfflineSince => "coalesce(s.offline_since_ms, -1)",
        }
    }
}

impl StationFilter {
    /// The conditions on `stations AS s`. They let a few stations through whose metadata are others: [`fits`]
    /// has the last word.
    pub(super) fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        // Spelled out, so that the partial indexes are found.
        let mut state = |wanted: Option<bool>, is: &str, is_not: &str| match wanted {
            Some(true) => conditions.and(is, []),
            Some(false) => conditions.and(is_not, []),
            None => {}
        };
        state(self.connected, "s.connected = 1", "s.connected = 0");
        state(self.online, "s.connected = 1 AND s.offline = 0", "(s.connected = 0 OR s.offline = 1)");
        state(self.never_connected, "s.connected_at_ms IS NULL", "s.connected_at_ms IS NOT NULL");
        conditions.and_if("s.owner_id = ?", self.owner_id.clone());
        conditions.and_if("s.site = ?", self.site.clone());
        let boot_status = self.boot_status.map(|status| status.as_str().to_owned());
        conditions.and_if("s.boot_status = ?", boot_status);
        conditions.and_if("s.blocked = ?", self.blocked);
        conditions.and_if("s.vendor = ?", self.vendor.clone());
        conditions.and_if("s.model = ?", self.model.clone());
        conditions.and_if("s.firmware_version = ?", self.firmware_version.clone());
        for (key, text) in &self.metadata {
            let (member, quoted) = (Json::from(key.as_str()), Json::from(text.as_str()));
            let texts =
                [format!("{member}:{quoted}"), format!("{member}:{text}")].map(|text| containing(&text));
            let written = r"(s.metadata LIKE ? ESCAPE '\' OR s.metadata LIKE ? ESCAPE '\')";
            conditions.and(written, texts);
        }
        conditions.and_text(&["s.station_id", "s.name", "s.serial_number"], self.text.as_deref());
        conditions.and_at("s.created_at_ms >= ?", self.since);
        conditions.and_at("s.created_at_ms < ?", self.until);
        conditions
    }
}

/// Whether every wanted member of the metadata has the text that is wanted of it.
pub(super) fn fits(wanted: &[(String, String)], metadata: &Map<String, Json>) -> bool {
    wanted.iter().all(|(key, text)| match metadata.get(key) {
        Some(Json::String(value)) => value == text,
        // As it is written: 7, true, {"a":1}.
        Some(value) => {
            let written = value.to_string();
            written == *text
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_compared_as_texts() {
        let metadata =
            r#"{"zone":"7","floor":-1,"open":true,"none":null,"tags":["a","b"],"in":{"zone":"9"}}"#;
        let metadata = serde_json::from_str(metadata).expect("an object");
        for (key, text, is) in [
            ("zone", "7", true),
            ("zone", "\"7\"", false),
            ("zone", "9", false),
            ("floor", "-1", true),
            ("open", "true", true),
            ("none", "null", true),
            ("tags", r#"["a","b"]"#, true),
            ("in.zone", "9", false),
            ("Zone", "7", false),
        ] {
            assert_eq!(fits(&[(key.to_owned(), text.to_owned())], &metadata), is, "{key}={text}");
        }
        let both = [("zone", "7"), ("floor", "2")].map(|(key, text)| (key.to_owned(), text.to_owned()));
        assert!(!fits(&both, &metadata), "every one has to fit");
    }
}
