//! Time by what it counts as, in milliseconds.

use super::State;

/// Why time that is down is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exclusion {
    Maintenance,
    VehicleFault,
    PowerOutage,
    Offline,
}

/// Time by what it counts as, in milliseconds.
///
/// **Invariant**: `up`, `down`, `excluded` and `unknown` add up to all time that was added; so do the states
/// with `unknown`; the reasons add up to `down` and `excluded`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) excluded: u64,
    pub(crate) unknown: u64,
    pub(crate) reasons: Reasons,
    pub(crate) states: States,
}

/// Why time was down, or was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reasons {
    pub(crate) faulted: u64,
    pub(crate) unavailable: u64,
    pub(crate) offline: u64,
    pub(crate) maintenance: u64,
    pub(crate) vehicle_fault: u64,
    pub(crate) power_outage: u64,
}

/// What the connector was, under every rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct States {
    pub(crate) available: u64,
    pub(crate) charging: u64,
    pub(crate) occupied: u64,
    pub(crate) unavailable: u64,
    pub(crate) faulted: u64,
    pub(crate) offline: u64,
}

impl Tally {
    /// Adds time of which nothing is known.
    pub(super) fn add_unknown(&mut self, ms: u64) {
        self.unknown += ms;
    }

    /// Adds time in a state, by itself or with its station out of reach.
    pub(super) fn add(&mut self, state: State, is_offline: bool, excluded: Option<Exclusion>, ms: u64) {
        let Reasons { faulted, unavailable, offline, maintenance, vehicle_fault, power_outage } =
            &mut self.reasons;
        let (of_state, reason) = match (state, is_offline) {
            (State::Faulted, _) => (&mut self.states.faulted, Some(faulted)),
            (State::Unavailable, _) => (&mut self.states.unavailable, Some(unavailable)),
            (_, true) => (&mut self.states.offline, Some(offline)),
            (State::Available, false) => (&mut self.states.available, None),
            (State::Charging, false) => (&mut self.states.charging, None),
            (State::Occupied, false) => (&mut self.states.occupied, None),
        };
        *of_state += ms;
        let Some(reason) = reason else {
            self.up += ms;
            return;
        };
        let (side, reason) = match excluded {
            None => (&mut self.down, reason),
            Some(Exclusion::Offline) => (&mut self.excluded, reason),
            Some(Exclusion::Maintenance) => (&mut self.excluded, maintenance),
            Some(Exclusion::VehicleFault) => (&mut self.excluded, vehicle_fault),
            Some(Exclusion::PowerOutage) => (&mut self.excluded, power_outage),
        };
        *side += ms;
        *reason += ms;
    }

    /// All time.
    pub(crate) fn total(&self) -> u64 {
        self.up + self.down + self.excluded + self.unknown
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.up += other.up;
        self.down += other.down;
        self.excluded += other.excluded;
        self.unknown += other.unknown;
        self.reasons.faulted += other.reasons.faulted;
        self.reasons.unavailable += other.reasons.unavailable;
        self.reasons.offline += other.reasons.offline;
        self.reasons.maintenance += other.reasons.maintenance;
        self.reasons.vehicle_fault += other.reasons.vehicle_fault;
        self.reasons.power_outage += other.reasons.power_outage;
        self.states.available += other.states.available;
        self.states.charging += other.states.charging;
        self.states.occupied += other.states.occupied;
        self.states.unavailable += other.states.unavailable;
        self.states.faulted += other.states.faulted;
        self.states.offline += other.states.offline;
    }
}
