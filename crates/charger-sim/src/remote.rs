//! What the central system does from afar: start, stop, unlock, switch on and off, change settings.

use serde_json::Value;

use super::charger::reservation::Claim;
use super::charger::{Charger, Registration};
use super::connector::{Phase, Request};
use super::messages::{
    AvailabilityStatus, ChargePointErrorCode, ConfigurationStatus as Change, Reason, RemoteStartStopStatus,
    UnlockStatus,
};
use super::power::readable;
use super::profile::{Purpose, whole};
use vocabulary::clock::Timestamp;

impl Charger {
    /// Answers `RemoteStartTransaction`; a driver then comes, or does not.
    pub(super) fn remote_start(&mut self, now: Timestamp, payload: &Value) -> RemoteStartStopStatus {
        let id_tag = payload["idTag"].as_str().unwrap_or_default().to_owned();
        let connector = match &payload["connectorId"] {
            Value::Null => (0..self.connectors.len()).find(|&index| self.may_start_at(index, &id_tag)),
            _ => self.connector_index(payload).filter(|&index| self.may_start_at(index, &id_tag)),
        };
        let profile = match &payload["chargingProfile"] {
            Value::Null => Ok(None),
            json => readable(json)
                .filter(|profile| profile.purpose == Purpose::Tx && profile.transaction_id.is_none())
                .map(|profile| Some(Box::new(profile)))
                .ok_or(()),
        };
        let in_service = self.registration == Registration::Accepted && self.reboot.is_none();
        match (connector.filter(|_| in_service), profile) {
            (Some(index), Ok(profile)) => {
                let request = Request { id_tag, parent: None, remote: true, profile };
                self.present(now, index, request);
                RemoteStartStopStatus::Accepted
            }
            _ => RemoteStartStopStatus::Rejected,
        }
    }

    /// Free, or with a car that waits for somebody to be let charge.
    fn may_start_at(&self, index: usize, id_tag: &str) -> bool {
        let connector = &self.connectors[index];
        let waits = connector.cable
            && connector.errand.is_none()
            && matches!(connector.phase, Phase::Idle)
            && !connector.inoperative
            && connector.fault.is_none()
            && !self.firmware.needs_quiet();
        self.may_take_car(index, id_tag, None) || waits && self.claim(index, id_tag, None) != Claim::Foreign
    }

    /// Answers `RemoteStopTransaction`.
    pub(super) fn remote_stop(&mut self, now: Timestamp, payload: &Value) -> RemoteStartStopStatus {
        let running = whole(&payload["transactionId"]).and_then(|id| self.transaction_by_id(id));
        match running.filter(|_| self.registration != Registration::Pending) {
            Some(index) => {
                self.stop(now, index, Reason::Remote, None);
                RemoteStartStopStatus::Accepted
            }
            None => RemoteStartStopStatus::Rejected,
        }
    }

    /// Answers `UnlockConnector`; a cable that is part of the charger has no lock.
    pub(super) fn unlock(&mut self, now: Timestamp, payload: &Value) -> UnlockStatus {
        let lock_is_broken = Some(ChargePointErrorCode::ConnectorLockFailure);
        match self.connector_index(payload) {
            Some(_) if self.options.fixed_cables => UnlockStatus::NotSupported,
            Some(index) if self.connectors[index].fault == lock_is_broken => UnlockStatus::UnlockFailed,
            Some(index) => {
                self.stop(now, index, Reason::UnlockCommand, None);
                UnlockStatus::Unlocked
            }
            None => UnlockStatus::NotSupported,
        }
    }

    /// Answers `ChangeAvailability`; connector 0 is all of them. What was set outlives a reboot.
    pub(super) fn change_availability(&mut self, now: Timestamp, payload: &Value) -> AvailabilityStatus {
        let inoperative = payload["type"] == "Inoperative";
        let indices: Vec<usize> = match whole(&payload["connectorId"]) {
            Some(0) => (0..self.connectors.len()).collect(),
            _ => self.connector_index(payload).into_iter().collect(),
        };
        if indices.is_empty() {
            return AvailabilityStatus::Rejected;
        }
        let mut scheduled = false;
        for index in indices {
            let connector = &mut self.connectors[index];
            scheduled |= inoperative && connector.is_in_session();
            connector.inoperative = inoperative;
            if inoperative {
                let id = connector.id;
                self.drop_reservations_of(id);
            }
        }
        self.refresh_all(now);
        if scheduled { AvailabilityStatus::Scheduled } else { AvailabilityStatus::Accepted }
    }

    /// Answers `ChangeConfiguration`, and lets the new value work at once where it can.
    pub(super) fn change_configuration(&mut self, now: Timestamp, payload: &Value) -> Change {
        let key = payload["key"].as_str().unwrap_or_default();
        let value = payload["value"].as_str().unwrap_or_default();
        self.configuration.allow_profile(self.profile_max());
        let profile = self.configuration.text("SecurityProfile").to_owned();
        let change = self.configuration.change(key, value);
        if change == Change::Accepted && key.eq_ignore_ascii_case("SecurityProfile") {
            self.change_profile(now, profile);
        } else if change == Change::Accepted {
            self.configured(now, key, value);
        }
        change
    }

    /// What a new value changes at once.
    pub(super) fn configured(&mut self, now: Timestamp, key: &str, value: &str) {
        match key.to_lowercase().as_str() {
            "authorizationkey" => self.change_password(now, value),
            "heartbeatinterval" => self.schedule_heartbeat(now),
            "clockaligneddatainterval" => self.schedule_aligned(now),
            "metervaluesampleinterval" => {
                self.sample_interval = self.configuration.seconds("MeterValueSampleInterval");
                let interval = self.options.real(self.sample_interval);
                for connector in &mut self.connectors {
                    if let Some(running) = connector.transaction_mut() {
                        running.next_sample = (!interval.is_zero()).then(|| now.after(interval));
                    }
                }
            }
            _ => {}
        }
    }
}
