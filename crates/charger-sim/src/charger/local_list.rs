//! The local authorisation list: tags the central system wants known without being asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Charger;
use super::authorization::Verdict;
use crate::messages::UpdateStatus;
use crate::profile::whole;

/// The list and its version.
#[derive(Debug, Default)]
pub(crate) struct LocalList {
    version: i32,
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
    pub(crate) fn find(&self, id_tag: &str) -> Option<&Verdict> {
        self.entries.get(&id_tag.to_lowercase())
    }

    /// 0 says that nothing is in it (OCPP 1.6, 5.10).
    fn version(&self) -> i32 {
        if self.entries.is_empty() { 0 } else { self.version }
    }

    /// Takes an update whole or not at all.
    fn update(&mut self, payload: &Value, limits: Limits) -> UpdateStatus {
        let version = whole(&payload["listVersion"]).and_then(|version| i32::try_from(version).ok());
        let Some(version) = version.filter(|version| *version > 0) else {
            return UpdateStatus::Failed;
        };
        let differential = payload["updateType"] == "Differential";
        if differential && version <= self.version {
            return UpdateStatus::VersionMismatch;
        }
        let none = Vec::new();
        let sent = payload["localAuthorizationList"].as_array().unwrap_or(&none);
        let mut seen = BTreeSet::new();
        let mut entries = if differential { self.entries.clone() } else { BTreeMap::new() };
        for entry in sent {
            let tag = entry["idTag"].as_str().unwrap_or_default().to_lowercase();
            match &entry["idTagInfo"] {
                Value::Null if differential => entries.remove(&tag),
                Value::Null => return UpdateStatus::Failed,
                info => entries.insert(tag.clone(), Verdict::read(info)),
            };
            if !seen.insert(tag) {
                return UpdateStatus::Failed;
            }
        }
        if sent.len() > limits.per_message || entries.len() > limits.entries {
            return UpdateStatus::Failed;
        }
        self.entries = entries;
        self.version = version;
        UpdateStatus::Accepted
    }
}

impl Charger {
    /// Answers `SendLocalList`.
    pub(crate) fn send_local_list(&mut self, payload: &Value) -> UpdateStatus {
        if !self.configuration.flag("LocalAuthListEnabled") {
            return UpdateStatus::NotSupported;
        }
        let limits = Limits {
            entries: self.configuration.whole("LocalAuthListMaxLength") as usize,
            per_message: self.configuration.whole("SendLocalListMaxLength") as usize,
        };
        self.local_list.update(payload, limits)
    }

    /// Answers `GetLocalListVersion`.
    pub(crate) fn local_list_version(&self) -> i32 {
        let enabled = self.configuration.flag("LocalAuthListEnabled");
        if enabled { self.local_list.version() } else { -1 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: Limits = Limits { entries: 3, per_message: 2 };

    fn tag(tag: &str) -> Value {
        json!({"idTag": tag, "idTagInfo": {"status": "Accepted"}})
    }

    /// Update type, version, entries; the status and the version after it.
    #[track_caller]
    fn check(
        list: &mut LocalList,
        kind: &str,
        version: i32,
        entries: &[Value],
        expected: (UpdateStatus, i32),
    ) {
        let payload = json!({"updateType": kind, "listVersion": version, "localAuthorizationList": entries});
        let status = list.update(&payload, LIMITS);
        assert_eq!((status, list.version()), expected);
    }

    #[test]
    fn updates_are_taken_whole_or_not_at_all() {
        let mut list = LocalList::default();
        let bare = json!({"idTag": "A"});
        check(&mut list, "Differential", 0, &[], (UpdateStatus::Failed, 0));
        check(&mut list, "Full", 5, &[tag("A"), tag("B")], (UpdateStatus::Accepted, 5));
        check(&mut list, "Full", 6, &[tag("C"), bare.clone()], (UpdateStatus::Failed, 5));
        check(&mut list, "Full", 6, &[tag("C"), tag("c")], (UpdateStatus::Failed, 5));
        check(&mut list, "Full", 6, &[tag("C"), tag("D"), tag("E")], (UpdateStatus::Failed, 5));
        check(&mut list, "Differential", 5, &[tag("C")], (UpdateStatus::VersionMismatch, 5));
        check(&mut list, "Differential", 7, &[tag("C")], (UpdateStatus::Accepted, 7));
        check(&mut list, "Differential", 8, &[tag("D")], (UpdateStatus::Failed, 7));
        assert!(list.find("a").is_some() && list.find("d").is_none());
        check(&mut list, "Differential", 8, &[bare, tag("D")], (UpdateStatus::Accepted, 8));
        assert!(list.find("A").is_none() && list.find("D").is_some());
        check(&mut list, "Full", 3, &[tag("A")], (UpdateStatus::Accepted, 3));
        check(&mut list, "Full", 9, &[], (UpdateStatus::Accepted, 0));
        check(&mut list, "Differential", 9, &[tag("A")], (UpdateStatus::VersionMismatch, 0));
    }
}
