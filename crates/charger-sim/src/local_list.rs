//! The local authorisation list: tags the central system wants known without being asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::authorization::Verdict;
use super::charger::Charger;
use super::commands::Answer;
use super::profile::whole;

/// The list and its version.
#[derive(Debug, Default)]
pub(super) struct LocalList {
    version: i64,
    /// By the tag in lower case: tags match in any.
    entries: BTreeMap<String, Verdict>,
}

/// What a charger allows in an update.
#[derive(Debug, Clone, Copy)]
struct Limits {
    entries: usize,
    per_message: usize,
}

impl LocalList {
    /// What it says about a tag.
    pub(super) fn find(&self, id_tag: &str) -> Option<&Verdict> {
        self.entries.get(&id_tag.to_lowercase())
    }

    /// 0 says that nothing is in it (OCPP 1.6, 5.10).
    fn version(&self) -> i64 {
        if self.entries.is_empty() { 0 } else { self.version }
    }

    /// Takes an update whole or not at all; the status as OCPP spells it.
    fn update(&mut self, payload: &Value, limits: Limits) -> &'static str {
        let Some(version) = whole(&payload["listVersion"]).filter(|version| *version > 0) else {
            return "Failed";
        };
        let differential = payload["updateType"] == "Differential";
        if differential && version <= self.version {
            return "VersionMismatch";
        }
        let none = Vec::new();
        let sent = payload["localAuthorizationList"].as_array().unwrap_or(&none);
        let mut seen = BTreeSet::new();
        let mut entries = if differential { self.entries.clone() } else { BTreeMap::new() };
        for entry in sent {
            let tag = entry["idTag"].as_str().unwrap_or_default().to_lowercase();
            match &entry["idTagInfo"] {
                Value::Null if differential => entries.remove(&tag),
                Value::Null => return "Failed",
                info => entries.insert(tag.clone(), Verdict::read(info)),
            };
            if !seen.insert(tag) {
                return "Failed";
            }
        }
        if sent.len() > limits.per_message || entries.len() > limits.entries {
            return "Failed";
        }
        self.entries = entries;
        self.version = version;
        "Accepted"
    }
}

impl Charger {
    /// Answers `SendLocalList`.
    pub(super) fn send_local_list(&mut self, payload: &Value) -> Answer {
        if !self.configuration.flag("LocalAuthListEnabled") {
            return Ok(json!({"status": "NotSupported"}));
        }
        let limits = Limits {
            entries: self.configuration.whole("LocalAuthListMaxLength") as usize,
            per_message: self.configuration.whole("SendLocalListMaxLength") as usize,
        };
        Ok(json!({"status": self.local_list.update(payload, limits)}))
    }

    /// Answers `GetLocalListVersion`.
    pub(super) fn local_list_version(&self) -> Answer {
        let enabled = self.configuration.flag("LocalAuthListEnabled");
        Ok(json!({"listVersion": if enabled { self.local_list.version() } else { -1 }}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { entries: 3, per_message: 2 };

    fn tag(tag: &str) -> Value {
        json!({"idTag": tag, "idTagInfo": {"status": "Accepted"}})
    }

    /// Update type, version, entries; the status and the version after it.
    #[track_caller]
    fn check(list: &mut LocalList, kind: &str, version: i64, entries: &[Value], expected: (&str, i64)) {
        let payload = json!({"updateType": kind, "listVersion": version, "localAuthorizationList": entries});
        let status = list.update(&payload, LIMITS);
        assert_eq!((status, list.version()), expected);
    }

    #[test]
    fn updates_are_taken_whole_or_not_at_all() {
        let mut list = LocalList::default();
        let bare = json!({"idTag": "A"});
        check(&mut list, "Differential", 0, &[], ("Failed", 0));
        check(&mut list, "Full", 5, &[tag("A"), tag("B")], ("Accepted", 5));
        check(&mut list, "Full", 6, &[tag("C"), bare.clone()], ("Failed", 5));
        check(&mut list, "Full", 6, &[tag("C"), tag("c")], ("Failed", 5));
        check(&mut list, "Full", 6, &[tag("C"), tag("D"), tag("E")], ("Failed", 5));
        check(&mut list, "Differential", 5, &[tag("C")], ("VersionMismatch", 5));
        check(&mut list, "Differential", 7, &[tag("C")], ("Accepted", 7));
        check(&mut list, "Differential", 8, &[tag("D")], ("Failed", 7));
        assert!(list.find("a").is_some() && list.find("d").is_none());
        check(&mut list, "Differential", 8, &[bare, tag("D")], ("Accepted", 8));
        assert!(list.find("A").is_none() && list.find("D").is_some());
        check(&mut list, "Full", 3, &[tag("A")], ("Accepted", 3));
        check(&mut list, "Full", 9, &[], ("Accepted", 0));
        check(&mut list, "Differential", 9, &[tag("A")], ("VersionMismatch", 0));
    }
}
