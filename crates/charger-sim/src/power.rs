//! How much power flows: what the car takes, within what charging profiles allow.

use std::time::Duration;

use serde_json::Value;

use super::charger::Charger;
use super::connector::Phase;
use super::messages::{ChargingProfileStatus, ClearChargingProfileStatus};
use super::profile::{Limit, Profile, Purpose, Unit, Word, whole};
use super::schedule::{Composite, Criteria, PERIODS_MAX, STACK_LEVEL_MAX, composite};
use vocabulary::clock::Timestamp;

impl Charger {
    /// Chooses the power at this connector anew, and remembers when that is due again.
    pub(super) fn redraw(&mut self, now: Timestamp, index: usize) {
        let own_time = self.own_time(now);
        let word = self.allowed(index, own_time);
        let limit_changes_at = word.until.map(|until| self.real_moment(now, until));
        let connector = &mut self.connectors[index];
        let (cable, meter) = (connector.cable, &mut connector.meter);
        let Phase::Charging(transaction) = &mut connector.phase else { return };
        meter.pass_until(own_time);
        transaction.limit_changes_at = limit_changes_at;
        transaction.throttled = word.limit.is_some_and(|limit| limit.watts == 0.0);
        match word.limit {
            _ if !cable || transaction.refused => meter.suspend(),
            Some(limit) => meter.draw(limit.watts),
            None => meter.draw(f64::INFINITY),
        }
        self.refresh(now, index);
    }

    /// After something that concerns all: another car came or left, or a profile.
    pub(super) fn redraw_all(&mut self, now: Timestamp) {
        for index in 0..self.connectors.len() {
            self.redraw(now, index);
        }
    }

    /// What profiles allow a running transaction: its own limit, and its share of the charger's.
    fn allowed(&self, index: usize, at: Timestamp) -> Word {
        let connector = &self.connectors[index];
        let began = connector.transaction().map_or(at, |transaction| transaction.began);
        let mine = self.profiles.for_transaction(connector.id, at, began);
        let all = self.profiles.for_charger(at, self.switched_on);
        let charging = self.connectors.iter().filter(|one| one.transaction().is_some()).count().max(1);
        let share = all.limit.map(|limit| Limit { watts: limit.watts / charging as f64, ..limit });
        either(Word { limit: share, ..all }, mine)
    }

    /// When the charger's own clock shows `own`, in real time; a moment later than `now` in any case.
    pub(super) fn real_moment(&self, now: Timestamp, own: Timestamp) -> Timestamp {
        let own_now = self.own_time(now);
        let wait = own.since(own_now);
        // A clock that has caught up with the present goes as fast as it.
        let wait = if own_now < now { self.options.real(wait) } else { wait };
        now.after(wait + Duration::from_millis(1))
    }

    /// Answers `SetChargingProfile`.
    pub(super) fn set_charging_profile(&mut self, now: Timestamp, payload: &Value) -> ChargingProfileStatus {
        let connector_id = whole(&payload["connectorId"]).and_then(|id| u32::try_from(id).ok());
        let known = connector_id.filter(|id| *id as usize <= self.connectors.len());
        let (Some(connector_id), Some(profile)) = (known, readable(&payload["csChargingProfiles"])) else {
            return ChargingProfileStatus::Rejected;
        };
        let fits = match profile.purpose {
            Purpose::ChargePointMax => connector_id == 0,
            Purpose::TxDefault => true,
            Purpose::Tx => self.is_for_running(connector_id, &profile),
        };
        if !fits || !self.profiles.install(connector_id, profile) {
            return ChargingProfileStatus::Rejected;
        }
        self.redraw_all(now);
        ChargingProfileStatus::Accepted
    }

    /// A `TxProfile` needs its transaction.
    fn is_for_running(&self, connector_id: u32, profile: &Profile) -> bool {
        let connector = self.connectors.iter().find(|connector| connector.id == connector_id);
        let Some(running) = connector.and_then(|connector| connector.transaction()) else { return false };
        let known = self.transaction_ids.get(&running.local).copied().flatten();
        profile.transaction_id.is_none_or(|id| known == Some(id))
    }

    /// Answers `ClearChargingProfile`.
    pub(super) fn clear_charging_profile(
        &mut self,
        now: Timestamp,
        payload: &Value,
    ) -> ClearChargingProfileStatus {
        let cleared = self.profiles.clear(&Criteria::read(payload));
        self.redraw_all(now);
        if cleared { ClearChargingProfileStatus::Accepted } else { ClearChargingProfileStatus::Unknown }
    }

    /// Answers `GetCompositeSchedule`: a connector and its schedule, if there is such a one. Connector 0 is
    /// the connection to the grid.
    pub(super) fn composite_schedule(&self, now: Timestamp, payload: &Value) -> Option<(u32, Composite)> {
        let start = self.own_time(now);
        let unit = payload["chargingRateUnit"].as_str().and_then(Unit::read).unwrap_or(Unit::Watt);
        let duration = whole(&payload["duration"]).and_then(|seconds| u64::try_from(seconds).ok())?;
        let connector_id = whole(&payload["connectorId"]).and_then(|id| u32::try_from(id).ok())?;
        let count = self.connectors.len();
        if connector_id as usize > count {
            return None;
        }
        let hardware =
            |connectors: usize| Limit { watts: self.options.max_power_w * connectors as f64, phases: 3 };
        let duration = Duration::from_secs(duration);
        let schedule = match connector_id.checked_sub(1) {
            None => composite(start, duration, unit, hardware(count), |at| {
                self.profiles.for_charger(at, self.switched_on)
            }),
            Some(index) => {
                let running = self.connectors[index as usize].transaction();
                let began = running.map_or(start, |transaction| transaction.began);
                composite(start, duration, unit, hardware(1), |at| {
                    let all = self.profiles.for_charger(at, self.switched_on);
                    either(all, self.profiles.for_transaction(connector_id, at, began))
                })
            }
        };
        Some((connector_id, schedule))
    }
}

/// Both hold: the lower limit, until one of them changes.
fn either(one: Word, other: Word) -> Word {
    let limit = match (one.limit, other.limit) {
        (Some(one), Some(other)) => Some(one.or_lower(other)),
        (one, other) => one.or(other),
    };
    Word { limit, until: one.until.into_iter().chain(other.until).min() }
}

/// The profile, if this charger can follow it.
pub(super) fn readable(json: &Value) -> Option<Profile> {
    let profile = Profile::read(json).ok()?;
    (profile.stack_level <= STACK_LEVEL_MAX && profile.period_count() <= PERIODS_MAX).then_some(profile)
}
