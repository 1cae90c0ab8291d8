//! Who may come: reservations of a connector, or of any.

use serde_json::Value;

use super::{Charger, Registration};
use crate::messages::{CancelReservationStatus, ReservationStatus};
use crate::notice::Notice;
use crate::profile::whole;
use vocabulary::clock::Timestamp;

/// A claim on a connector.
#[derive(Debug, Clone)]
pub(crate) struct Reservation {
    pub id: i32,
    /// 0: on any connector.
    pub connector_id: u32,
    id_tag: String,
    parent: Option<String>,
    expires_at: Timestamp,
}

impl Reservation {
    /// Whether this tag, or its group, is who it is for.
    pub(crate) fn is_for(&self, id_tag: &str, parent: Option<&str>) -> bool {
        let same_parent = |mine: &String| parent.is_some_and(|parent| mine.eq_ignore_ascii_case(parent));
        self.id_tag.eq_ignore_ascii_case(id_tag) || self.parent.as_ref().is_some_and(same_parent)
    }
}

/// What reservations say about somebody who wants to charge at a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody else has a claim.
    Free,
    /// The tag's own reservation has this number.
    Own(i32),
    /// Somebody else's.
    Foreign,
}

impl Charger {
    /// Answers `ReserveNow`.
    pub(crate) fn reserve(&mut self, now: Timestamp, payload: &Value) -> ReservationStatus {
        let id = whole(&payload["reservationId"]).and_then(|id| i32::try_from(id).ok());
        let (Some(id), Some(connector_id)) = (id, whole(&payload["connectorId"])) else {
            return ReservationStatus::Rejected;
        };
        let expires_at = payload["expiryDate"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let Some(expires_at) = expires_at.filter(|at| *at > now) else { return ReservationStatus::Rejected };
        let in_service = self.registration == Registration::Accepted && self.reboot.is_none();
        let known = u32::try_from(connector_id).ok().filter(|id| *id as usize <= self.connectors.len());
        let Some(connector_id) = known.filter(|_| in_service) else { return ReservationStatus::Rejected };
        if connector_id == 0 && !self.configuration.flag("ReserveConnectorZeroSupported") {
            return ReservationStatus::Rejected;
        }
        if let Some(refusal) = self.why_not_reserve(id, connector_id) {
            return refusal;
        }
        self.reservations.retain(|old| old.id != id);
        self.reservations.push(Reservation {
            id,
            connector_id,
            id_tag: payload["idTag"].as_str().unwrap_or_default().to_owned(),
            parent: payload["parentIdTag"].as_str().map(str::to_owned),
            expires_at,
        });
        self.refresh_all(now);
        ReservationStatus::Accepted
    }

    /// The status that refuses a reservation; the one with the same id does not count, it is replaced.
    fn why_not_reserve(&self, id: i32, connector_id: u32) -> Option<ReservationStatus> {
        let others = || self.reservations.iter().filter(|other| other.id != id);
        let claimed = |id: u32| others().any(|other| other.connector_id == id);
        let candidates: Vec<_> = self
            .connectors
            .iter()
            .filter(|connector| connector_id == 0 || connector.id == connector_id)
            .collect();
        let free =
            candidates.iter().filter(|connector| connector.is_free() && !claimed(connector.id)).count();
        let anywhere = others().filter(|other| other.connector_id == 0).count();
        if connector_id == 0 && free > anywhere || connector_id > 0 && free > 0 && self.spare() {
            return None;
        }
        Some(if candidates.iter().all(|connector| connector.fault.is_some()) {
            ReservationStatus::Faulted
        } else if candidates.iter().all(|connector| connector.fault.is_some() || connector.inoperative) {
            ReservationStatus::Unavailable
        } else {
            ReservationStatus::Occupied
        })
    }

    /// Whether one more connector can be taken without breaking the word given for "any connector".
    fn spare(&self) -> bool {
        let anywhere = self.reservations.iter().filter(|one| one.connector_id == 0).count();
        let claimed = |id: u32| self.reservations.iter().any(|one| one.connector_id == id);
        let free = self.connectors.iter().filter(|one| one.is_vacant() && !claimed(one.id)).count();
        anywhere == 0 || free > anywhere
    }

    /// Answers `CancelReservation`.
    pub(crate) fn cancel_reservation(&mut self, now: Timestamp, payload: &Value) -> CancelReservationStatus {
        let id = whole(&payload["reservationId"]);
        let before = self.reservations.len();
        self.reservations.retain(|one| Some(i64::from(one.id)) != id);
        self.refresh_all(now);
        if self.reservations.len() < before {
            CancelReservationStatus::Accepted
        } else {
            CancelReservationStatus::Rejected
        }
    }

    /// What reservations say about this tag at the `index`-th connector.
    pub(crate) fn claim(&self, index: usize, id_tag: &str, parent: Option<&str>) -> Claim {
        let connector_id = self.connectors[index].id;
        let mut foreign = false;
        for one in self.reservations.iter().filter(|one| one.connector_id == connector_id) {
            if one.is_for(id_tag, parent) {
                return Claim::Own(one.id);
            }
            foreign = true;
        }
        let anywhere = self.reservations.iter().filter(|one| one.connector_id == 0);
        if let Some(own) = anywhere.clone().find(|one| one.is_for(id_tag, parent)).filter(|_| !foreign) {
            return Claim::Own(own.id);
        }
        // The car that asks has taken its place already: what is left has to do for the others.
        let claimed = |id: u32| self.reservations.iter().any(|one| one.connector_id == id);
        let left = self
            .connectors
            .iter()
            .filter(|one| one.id != connector_id && one.is_free() && !claimed(one.id))
            .count();
        if foreign || left < anywhere.count() { Claim::Foreign } else { Claim::Free }
    }

    pub(crate) fn is_reserved(&self, connector_id: u32) -> bool {
        self.reservations.iter().any(|one| one.connector_id == connector_id)
    }

    /// The connector broke or was switched off: what was promised there cannot be kept.
    pub(crate) fn drop_reservations_of(&mut self, connector_id: u32) {
        self.reservations.retain(|one| one.connector_id != connector_id);
    }

    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.reservations.iter().map(|one| one.expires_at).min()
    }

    pub(crate) fn advance_reservations(&mut self, now: Timestamp) {
        if self.next_expiry().is_none_or(|at| at > now) {
            return;
        }
        for one in self.reservations.extract_if(.., |one| one.expires_at <= now).collect::<Vec<_>>() {
            self.notice(Notice::ReservationExpired {
                reservation_id: one.id.into(),
                connector_id: one.connector_id,
            });
        }
        self.refresh_all(now);
    }
}
