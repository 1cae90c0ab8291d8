//! Chargers that try to connect and are not let in.

use std::collections::BTreeMap;

use super::entry::{Said, few, few_or_all};
use super::wording::{at, count, more, sentence};
use crate::overview::facts::{Facts, FailingAddress, RefusedStation, TroubledStation};
use crate::why::causes;
use vocabulary::api::overview::{Attention, Kind, Severity, SubjectKind};
use vocabulary::clock::Timestamp;

pub(super) fn entries(facts: &Facts) -> Vec<Attention> {
    let (ours, strangers): (Vec<_>, Vec<_>) =
        facts.refused.iter().partition(|refused| refused.station_id.is_some());
    let mut all = few(
        &ours,
        |refused| one(refused, Severity::Warn, facts.now),
        |rest| several(rest, Severity::Warn, more(rest.len() as u64, "registered station")),
    );
    // Whoever finds the port open is a stranger: one entry, however many there are.
    all.extend(few_or_all(
        &strangers,
        |refused| one(refused, Severity::Info, facts.now),
        |rest| several(rest, Severity::Info, format!("{} unknown identities", rest.len())),
    ));
    all.extend(addresses(facts));
    all
}

fn one(refused: &RefusedStation, severity: Severity, now: Timestamp) -> Attention {
    let RefusedStation { identity, reason, remote_addr, count, since, last_at, station_id } = refused;
    let times = match count {
        1 => format!("once, from {remote_addr}"),
        _ => format!("{count} times, last {} from {remote_addr}", at(*last_at, now)),
    };
    let said = Said {
        severity,
        kind: Kind::RefusedHandshakes,
        since: Some(*since),
        text: match station_id {
            Some(station) => format!("{station} tries to connect and is refused"),
            None => format!("{identity:?} is no station here, and tries to connect"),
        },
        cause: format!("{}; it was refused {times}.", sentence(&causes::refusal(reason))),
    };
    said.of(SubjectKind::Station, station_id.as_ref().unwrap_or(identity))
}

fn several(all: &[&RefusedStation], severity: Severity, who: String) -> Attention {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for refused in all {
        *reasons.entry(&refused.reason).or_default() += 1;
    }
    let cause = match reasons.iter().max_by_key(|(_, times)| **times) {
        Some((reason, _)) if reasons.len() == 1 => format!("Of each: {}.", causes::refusal(reason)),
        Some((reason, times)) => format!("Of {times} of them: {}.", causes::refusal(reason)),
        None => String::new(),
    };
    let said = Said {
        severity,
        kind: Kind::RefusedHandshakes,
        since: all.iter().map(|refused| refused.since).min(),
        text: format!("{who} try to connect and are refused"),
        cause,
    };
    let ids = all.iter().map(|refused| refused.station_id.clone().unwrap_or(refused.identity.clone()));
    said.of_all(SubjectKind::Station, ids)
}

/// Addresses that stations have left from, and whose connections fail since. Others are of strangers.
fn addresses(facts: &Facts) -> Vec<Attention> {
    let failing: Vec<(&FailingAddress, Vec<&TroubledStation>)> = facts
        .failing_addresses
        .iter()
        .map(|failing| (failing, left_from(facts, failing)))
        .filter(|(_, stations)| !stations.is_empty())
        .collect();
    few(&failing, |(failing, stations)| address(failing, stations, facts.now), other_addresses)
}

fn left_from<'a>(facts: &'a Facts, failing: &FailingAddress) -> Vec<&'a TroubledStation> {
    let is_from_there = |station: &&TroubledStation| {
        !station.connected
            && station.address.as_deref() == Some(&failing.address)
            && station.left_at.is_some_and(|left| left < failing.last_at)
    };
    facts.stations.iter().filter(is_from_there).collect()
}

fn address(failing: &FailingAddress, stations: &[&TroubledStation], now: Timestamp) -> Attention {
    let who = match stations {
        [station] => format!("{} has", station.station_id),
        _ => format!("{} have", count(stations.len() as u64, "offline station")),
    };
    let left = stations.iter().filter_map(|station| station.left_at).min();
    let said = Said {
        severity: Severity::Warn,
        kind: Kind::RefusedHandshakes,
        since: left.map(|left| left.max(failing.first_at)),
        text: format!("Connections from {} fail", failing.address),
        cause: format!(
            "{}; it was so last {}, and {who} last come from there.",
            sentence(&failing.words),
            at(failing.last_at, now),
        ),
    };
    said.of(SubjectKind::Address, &failing.address)
}

fn other_addresses(rest: &[(&FailingAddress, Vec<&TroubledStation>)]) -> Attention {
    let said = Said {
        severity: Severity::Warn,
        kind: Kind::RefusedHandshakes,
        since: rest.iter().map(|(failing, _)| failing.first_at).min(),
        text: format!("Connections from {} more addresses fail", rest.len()),
        cause: "Stations that are offline have last come from there.".to_owned(),
    };
    said.of_all(SubjectKind::Address, rest.iter().map(|(failing, _)| failing.address.clone()))
}
