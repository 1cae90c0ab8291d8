//! What a person should see to now, and why: a pure function of facts.
//!
//! **Invariant**: however much is wrong, the list stays short: what is wrong in the same way is one entry.

mod connectors;
mod entry;
mod gateway;
mod outages;
mod refusals;
mod sessions;
mod stations;
#[cfg(test)]
mod tests;
mod webhooks;
mod wording;

use std::cmp::Reverse;

use crate::overview::facts::{Facts, GatewayFacts};
use vocabulary::api::overview::{Attention, Kind, Severity};

/// The longest list.
const ENTRIES_MAX: usize = 48;

/// What a person should see to, the most urgent first. `gateway` is left out for those who look at their own
/// things only.
pub fn attention(facts: &Facts, gateway: Option<&GatewayFacts>) -> Vec<Attention> {
    let mut all: Vec<Attention> = gateway.map(|known| gateway::entries(known, facts.now)).unwrap_or_default();
    let refused = refusals::entries(facts);
    // Of a station that tries and is refused it is said why it is away.
    let is_refused = |id: &String| refused.iter().any(|entry| entry.ids.contains(id));
    let outages = outages::entries(facts).into_iter();
    all.extend(outages.filter(|entry| {
        entry.kind != Kind::StationOffline || !entry.subject.id.as_ref().is_some_and(is_refused)
    }));
    all.extend(refused);
    all.extend(webhooks::entries(facts));
    all.extend(connectors::entries(facts));
    all.extend(stations::entries(facts));
    all.extend(sessions::entries(facts));
    // Kinds are declared in their order; within one the newest comes first.
    all.sort_by_key(|entry| (rank(entry.severity), entry.kind as usize, Reverse(entry.since)));
    all.truncate(ENTRIES_MAX);
    all
}

fn rank(severity: Severity) -> usize {
    match severity {
        Severity::Bad => 0,
        Severity::Warn => 1,
        Severity::Info => 2,
    }
}
