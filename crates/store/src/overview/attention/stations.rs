//! Stations that are connected and yet not as they should be.

use std::time::Duration;

use super::entry::{Said, few_or_all};
use super::wording::{count, sentence, span};
use crate::overview::facts::{Facts, TroubledStation};
use vocabulary::api::overview::{Attention, Kind, Severity, SubjectKind};
use vocabulary::ocpp::boot_status::BootStatus;

/// A way in which stations are not as they should be.
struct Rule {
    kind: Kind,
    severity: Severity,
    finds: fn(&TroubledStation) -> bool,
    /// What one does, and what several do.
    does: (&'static str, &'static str),
    cause: &'static str,
}

fn has(station: &TroubledStation, flags: &[&str]) -> bool {
    station.connected && station.flags.iter().any(|flag| flags.contains(&flag.as_str()))
}

const RULES: [Rule; 6] = [
    Rule {
        kind: Kind::StationFlapping,
        severity: Severity::Warn,
        finds: |station| has(station, &["flapping"]),
        does: ("connects again and again", "connect again and again"),
        cause: "each connection is replaced by the next one: two chargers may have the same identity, or the \
                network keeps breaking.",
    },
    Rule {
        kind: Kind::BootLoop,
        severity: Severity::Warn,
        finds: |station| has(station, &["boot_loop"]),
        does: ("boots again and again", "boot again and again"),
        cause: "three boots or more within five minutes, and nobody has asked for them: the firmware or the \
                power supply may be faulty.",
    },
    Rule {
        kind: Kind::StationUnresponsive,
        severity: Severity::Warn,
        finds: |station| has(station, &["unresponsive"]),
        does: ("does not answer commands", "do not answer commands"),
        cause: "three commands in a row went unanswered while messages still came in: a reset may help.",
    },
    Rule {
        kind: Kind::ClockWrong,
        severity: Severity::Info,
        finds: |station| has(station, &["clock_skew", "clock:never_set"]),
        does: ("has a wrong clock", "have wrong clocks"),
        cause: "times of sessions and meter values are as wrong; a charger that takes the time from boot and \
                heartbeat answers sets its clock with the next one.",
    },
    Rule {
        kind: Kind::BootPending,
        severity: Severity::Info,
        finds: |station| station.connected && station.boot_status == BootStatus::Pending,
        does: ("waits for its approval", "wait for their approval"),
        cause: "boots are answered Pending, so nothing is charged until somebody accepts the station.",
    },
    Rule {
        kind: Kind::BootRejected,
        severity: Severity::Info,
        finds: |station| station.connected && station.boot_status == BootStatus::Rejected,
        does: ("is rejected and stays connected", "are rejected and stay connected"),
        cause: "boots are answered Rejected, as it was set; a charger that is not wanted is better blocked.",
    },
];

pub(super) fn entries(facts: &Facts) -> Vec<Attention> {
    RULES.iter().flat_map(|rule| rule.entries(facts)).collect()
}

impl Rule {
    fn entries(&self, facts: &Facts) -> Vec<Attention> {
        let found: Vec<&TroubledStation> =
            facts.stations.iter().filter(|station| (self.finds)(station)).collect();
        few_or_all(&found, |station| self.one(station), |all| self.all(all))
    }

    fn said(&self, text: String, detail: Option<String>) -> Said {
        let cause = match detail {
            Some(detail) => format!("{detail}: {}", self.cause),
            None => sentence(self.cause),
        };
        Said { severity: self.severity, kind: self.kind, since: None, text, cause }
    }

    fn one(&self, station: &TroubledStation) -> Attention {
        let detail = match (self.kind, station.clock_skew_ms) {
            (Kind::ClockWrong, Some(ahead_ms)) => {
                let off = span(Duration::from_millis(ahead_ms.unsigned_abs()));
                Some(format!("It is {off} {}", if ahead_ms > 0 { "ahead" } else { "behind" }))
            }
            _ => None,
        };
        let mut said = self.said(format!("{} {}", station.station_id, self.does.0), detail);
        said.since = match self.kind {
            Kind::BootPending | Kind::BootRejected => station.connected_at,
            Kind::StationUnresponsive => station.unanswered_since,
            _ => None,
        };
        said.of(SubjectKind::Station, &station.station_id)
    }

    fn all(&self, all: &[&TroubledStation]) -> Attention {
        let text = format!("{} {}", count(all.len() as u64, "station"), self.does.1);
        let ids = all.iter().map(|station| station.station_id.clone());
        let mut said = self.said(text, None);
        if self.kind == Kind::StationUnresponsive {
            said.since = all.iter().filter_map(|station| station.unanswered_since).min();
        }
        said.of_all(SubjectKind::Station, ids)
    }
}
