//! The charging profiles of a charger: which one wins, and what they allow together.

use std::time::Duration;

use serde_json::Value;

use super::profile::{Limit, Profile, Purpose, Unit, Word, whole};
use vocabulary::clock::Timestamp;

/// `ChargeProfileMaxStackLevel`.
pub(super) const STACK_LEVEL_MAX: i64 = 20;
/// `ChargingScheduleMaxPeriods`.
pub(super) const PERIODS_MAX: usize = 50;
/// `MaxChargingProfilesInstalled`.
pub(super) const PROFILES_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq)]
struct Installed {
    connector_id: u32,
    profile: Profile,
}

/// What `ClearChargingProfile` asks for; empty means all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Criteria {
    id: Option<i64>,
    connector_id: Option<i64>,
    purpose: Option<Purpose>,
    stack_level: Option<i64>,
}

impl Criteria {
    pub(super) fn read(payload: &Value) -> Self {
        Self {
            id: whole(&payload["id"]),
            connector_id: whole(&payload["connectorId"]),
            purpose: payload["chargingProfilePurpose"].as_str().and_then(Purpose::read),
            stack_level: whole(&payload["stackLevel"]),
        }
    }

    fn matches(&self, installed: &Installed) -> bool {
        let profile = &installed.profile;
        // An id names one profile; the other criteria say nothing beside it.
        if let Some(id) = self.id {
            return profile.id == id;
        }
        self.connector_id.is_none_or(|id| id == i64::from(installed.connector_id))
            && self.purpose.is_none_or(|purpose| purpose == profile.purpose)
            && self.stack_level.is_none_or(|level| level == profile.stack_level)
    }
}

/// The profiles that are installed.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    installed: Vec<Installed>,
}

impl Profiles {
    /// Installs a profile in the place of the one with its id, or with its connector, purpose and
    /// stack level (OCPP 1.6, 5.16.2). Says whether there was room.
    pub(super) fn install(&mut self, connector_id: u32, profile: Profile) -> bool {
        let replaced = |old: &Installed| {
            old.profile.id == profile.id
                || (old.connector_id == connector_id
                    && old.profile.purpose == profile.purpose
                    && old.profile.stack_level == profile.stack_level)
        };
        let kept = self.installed.iter().filter(|old| !replaced(old)).count();
        if kept >= PROFILES_MAX {
            return false;
        }
        self.installed.retain(|old| !replaced(old));
        self.installed.push(Installed { connector_id, profile });
        true
    }

    /// Removes what matches; says whether anything did.
    pub(super) fn clear(&mut self, criteria: &Criteria) -> bool {
        let before = self.installed.len();
        self.installed.retain(|installed| !criteria.matches(installed));
        self.installed.len() < before
    }

    /// A transaction is over, and its profiles with it.
    pub(super) fn transaction_ended(&mut self, connector_id: u32) {
        self.installed.retain(|one| one.connector_id != connector_id || one.profile.purpose != Purpose::Tx);
    }

    /// What holds for a whole charger at `at`.
    pub(super) fn for_charger(&self, at: Timestamp, began: Timestamp) -> Word {
        self.winner(Purpose::ChargePointMax, 0, at, began)
    }

    /// What the profiles of a transaction allow at `at`: its own ones first, else the defaults of its
    /// connector, else those of all connectors.
    pub(super) fn for_transaction(&self, connector_id: u32, at: Timestamp, began: Timestamp) -> Word {
        let mut until = None;
        for (purpose, connector_id) in
            [(Purpose::Tx, connector_id), (Purpose::TxDefault, connector_id), (Purpose::TxDefault, 0)]
        {
            let word = self.winner(purpose, connector_id, at, began);
            until = until.into_iter().chain(word.until).min();
            if word.limit.is_some() {
                return Word { limit: word.limit, until };
            }
        }
        Word { limit: None, until }
    }

    /// Of one purpose, the highest stack level that says something wins.
    fn winner(&self, purpose: Purpose, connector_id: u32, at: Timestamp, began: Timestamp) -> Word {
        let mut candidates: Vec<&Profile> = self
            .installed
            .iter()
            .filter(|one| one.profile.purpose == purpose && one.connector_id == connector_id)
            .map(|one| &one.profile)
            .collect();
        candidates.sort_by_key(|profile| std::cmp::Reverse(profile.stack_level));
        let mut until = None;
        for profile in candidates {
            let word = profile.at(at, began);
            // A higher level that is silent now may speak up before the winner changes.
            until = until.into_iter().chain(word.until).min();
            if word.limit.is_some() {
                return Word { limit: word.limit, until };
            }
        }
        Word { limit: None, until }
    }
}

/// What profiles and hardware allow together, over some time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Composite {
    pub start: Timestamp,
    pub duration: Duration,
    /// The unit that was asked for.
    pub unit: Unit,
    /// Each limit with its beginning, counted from the start.
    pub periods: Vec<(Duration, Limit)>,
}

/// The schedule from `start` on for `duration`, as `GetCompositeSchedule` answers it. `hardware` is what
/// the connector can give at most, `word` what the profiles say about a moment.
pub(super) fn composite(
    start: Timestamp,
    duration: Duration,
    unit: Unit,
    hardware: Limit,
    word: impl Fn(Timestamp) -> Word,
) -> Composite {
    let end = start.after(duration);
    let (mut periods, mut at, mut last) = (Vec::new(), start, None);
    while at < end && periods.len() < PERIODS_MAX {
        let Word { limit, until } = word(at);
        let limit = limit.map_or(hardware, |limit| hardware.or_lower(limit));
        if last != Some(limit) {
            periods.push((at.since(start), limit));
            last = Some(limit);
        }
        match until.filter(|until| *until > at) {
            Some(until) => at = until,
            None => break,
        }
    }
    Composite { start, duration, unit, periods }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::messages::charging_schedule;

    const HARDWARE: Limit = Limit { watts: 11_040.0, phases: 3 };

    fn start() -> Timestamp {
        "2026-04-14T12:00:00Z".parse().expect("a time")
    }

    fn profile(id: i64, stack_level: i64, purpose: &str, periods: &[(i64, f64)], duration: i64) -> Profile {
        let periods: Vec<Value> =
            periods.iter().map(|(start, limit)| json!({"startPeriod": start, "limit": limit})).collect();
        Profile::read(&json!({
            "chargingProfileId": id, "stackLevel": stack_level, "chargingProfilePurpose": purpose,
            "chargingProfileKind": "Relative",
            "chargingSchedule": {
                "chargingRateUnit": "W", "duration": duration, "chargingSchedulePeriod": periods,
            },
        }))
        .expect("usable")
    }

    fn combined(profiles: &Profiles, unit: Unit) -> Vec<(i32, f64)> {
        let word = |at| {
            let whole = profiles.for_charger(at, start());
            let mine = profiles.for_transaction(1, at, start());
            let limit = match (whole.limit, mine.limit) {
                (Some(whole), Some(mine)) => Some(whole.or_lower(mine)),
                (whole, mine) => whole.or(mine),
            };
            Word { limit, until: whole.until.into_iter().chain(mine.until).min() }
        };
        let schedule = composite(start(), Duration::from_secs(1_000), unit, HARDWARE, word);
        let periods = charging_schedule(&schedule).charging_schedule_period.into_iter();
        periods.map(|one| (one.start_period, one.limit.to_string().parse().expect("a number"))).collect()
    }

    #[test]
    fn the_highest_level_wins_while_it_speaks_and_the_charger_caps_all() {
        let mut profiles = Profiles::default();
        assert!(profiles.install(0, profile(1, 0, "TxDefaultProfile", &[(0, 9_000.0)], 800)));
        assert_eq!(combined(&profiles, Unit::Watt), [(0, 9_000.0), (800, 11_040.0)]);
        assert!(profiles.install(0, profile(2, 3, "TxDefaultProfile", &[(0, 4_000.0), (50, 5_000.0)], 100)));
        let stacked = [(0, 4_000.0), (50, 5_000.0), (100, 9_000.0), (800, 11_040.0)];
        assert_eq!(combined(&profiles, Unit::Watt), stacked);
        assert!(profiles.install(0, profile(3, 0, "ChargePointMaxProfile", &[(0, 6_900.0)], 2_000)));
        assert_eq!(combined(&profiles, Unit::Watt), [(0, 4_000.0), (50, 5_000.0), (100, 6_900.0)]);
        assert_eq!(combined(&profiles, Unit::Ampere), [(0, 5.7), (50, 7.2), (100, 10.0)]);
        assert!(profiles.install(1, profile(4, 0, "TxProfile", &[(0, 1_000.0)], 300)));
        assert_eq!(combined(&profiles, Unit::Watt), [(0, 1_000.0), (300, 6_900.0)]);
        profiles.transaction_ended(2);
        profiles.transaction_ended(1);
        assert_eq!(combined(&profiles, Unit::Watt), [(0, 4_000.0), (50, 5_000.0), (100, 6_900.0)]);
    }

    #[test]
    fn a_connectors_own_default_goes_before_that_of_all() {
        let mut profiles = Profiles::default();
        assert!(profiles.install(0, profile(1, 9, "TxDefaultProfile", &[(0, 9_000.0)], 2_000)));
        assert!(profiles.install(1, profile(2, 0, "TxDefaultProfile", &[(0, 3_000.0)], 2_000)));
        assert_eq!(combined(&profiles, Unit::Watt), [(0, 3_000.0)]);
    }

    #[test]
    fn profiles_replace_one_another_and_are_cleared_by_id_criteria_or_all() {
        let mut profiles = Profiles::default();
        let default = |id, level| profile(id, level, "TxDefaultProfile", &[(0, 9_000.0)], 60);
        assert!(profiles.install(0, default(1, 0)) && profiles.install(0, default(2, 0)));
        assert_eq!(profiles.installed.len(), 1, "same connector, purpose and level");
        assert!(profiles.install(1, default(2, 5)));
        assert_eq!(profiles.installed.len(), 1, "same id");
        assert!(profiles.install(0, default(3, 1)) && profiles.install(0, default(4, 2)));
        let clear = |profiles: &mut Profiles, json: Value| profiles.clear(&Criteria::read(&json));
        assert!(!clear(&mut profiles, json!({"id": 9})));
        assert!(!clear(&mut profiles, json!({"connectorId": 0, "stackLevel": 5})));
        assert!(clear(&mut profiles, json!({"id": 2})));
        assert!(clear(
            &mut profiles,
            json!({"connectorId": 0, "chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 1})
        ));
        assert_eq!(profiles.installed.len(), 1);
        assert!(clear(&mut profiles, json!({})) && !clear(&mut profiles, json!({})));
        for id in 0..PROFILES_MAX as i64 {
            assert!(profiles.install(0, default(id, id)));
        }
        assert!(!profiles.install(1, default(999, 0)), "full");
        assert!(profiles.install(1, default(7, 0)), "unless it takes another one's place");
    }
}
