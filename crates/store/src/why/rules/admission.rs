//! Stations that the handshake does not let in.

use std::time::Duration;

use super::super::answer::{Answer, ago, at, quoted, state, times};
use super::super::causes;
use super::super::facts::{RefusedIdentity, Seen, StationFacts};
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::clock::Timestamp;

/// A refusal this much before the end of a connection is not what keeps the station out now.
const SLACK: Duration = Duration::from_secs(5);

pub(super) fn blocked(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref().filter(|station| station.blocked)?;
    let tries = facts.refused.as_ref().map(|refused| {
        let text = format!("It has tried to connect from {}, {}", refused.remote_addr, times(refused.count));
        of_refusal(facts, refused, text)
    });
    let summary = format!("{} is blocked: the gateway refuses its connections with 403.", station.station_id);
    Some(
        Answer::new(Verdict::Blocked, summary)
            .fact(state(station.updated_at, "It is blocked"))
            .fact(tries)
            .next(format!(
                "If it may connect again: PATCH /stations/{} {{\"blocked\": false}}",
                facts.identity
            )),
    )
}

/// A fact about refused handshakes: by their newest event that tells the same reason, as far as there is one.
pub(super) fn of_refusal(facts: &StationFacts, refused: &RefusedIdentity, text: String) -> Fact {
    let tells = |seen: &&Seen| {
        seen.is("StationRejected")
            && seen.text("reason") == Some(refused.reason.as_str())
            && seen.at >= refused.first_at
    };
    match facts.events.iter().find(tells) {
        Some(seen) => seen.fact(text),
        None => state(refused.last_at, text),
    }
}

/// When the station was last let in, or left.
fn last_in(facts: &StationFacts) -> Option<Timestamp> {
    let station = facts.station.as_ref()?;
    station.disconnected_at.max(station.connected_at)
}

/// The refusal that keeps the station out now.
fn standing(facts: &StationFacts) -> Option<&RefusedIdentity> {
    let refused = facts.refused.as_ref()?;
    let Some(station) = &facts.station else { return Some(refused) };
    let after = |moment: Option<Timestamp>, of: Timestamp| moment.is_some_and(|moment| moment >= of);
    let came_since = station.connected
        || after(station.connected_at, refused.last_at)
        || after(last_in(facts), refused.last_at.after(SLACK));
    let is_settled = match refused.reason.as_str() {
        "unknown_station" => station.created_at >= refused.last_at,
        // It would be told so before anything else if it were.
        "blocked" => true,
        _ => false,
    };
    (!came_since && !is_settled).then_some(refused)
}

pub(super) fn refused(facts: &StationFacts) -> Option<Answer> {
    let refused = standing(facts)?;
    let (verdict, cause) = (verdict_of(&refused.reason), causes::refusal(&refused.reason));
    let since = match refused.count {
        1 => format!("at {}", at(refused.last_at, facts.now)),
        _ => format!(
            "{} since {}, last at {}",
            times(refused.count),
            at(refused.first_at, facts.now),
            at(refused.last_at, facts.now)
        ),
    };
    let answer = match refused.http_status {
        Some(status) => format!(" with {status}"),
        None => String::new(),
    };
    let summary = format!("{} is refused{answer}: {cause}. It was refused {since}.", quoted(&facts.identity));
    let fact = format!(
        "A connection from {} was refused{answer} ({}), {} so far",
        refused.remote_addr,
        refused.reason,
        times(refused.count)
    );
    let answer = Answer::new(verdict, summary).fact(of_refusal(facts, refused, fact));
    let answer = match &facts.station {
        Some(station) => answer.fact(state(station.created_at, "The station was registered")),
        None => answer,
    };
    Some(next_steps(answer, verdict, facts))
}

/// The verdict that a reason of `StationRejected` stands for.
fn verdict_of(reason: &str) -> Verdict {
    match reason {
        "bad_credentials" | "too_many_failures" => Verdict::RefusedBadCredentials,
        "unknown_station" => Verdict::RefusedUnknown,
        "security_profile_too_low" => Verdict::RefusedProfile,
        "wrong_certificate" => Verdict::RefusedTls,
        tls if tls.starts_with("tls_") => Verdict::RefusedTls,
        _ => Verdict::RefusedHandshake,
    }
}

fn next_steps(answer: Answer, verdict: Verdict, facts: &StationFacts) -> Answer {
    let id = quoted(&facts.identity);
    match verdict {
        Verdict::RefusedBadCredentials => answer
            .next(format!(
                "Set the same password on both sides: in the charger (AuthorizationKey, with the identity {id} as \
                 user), and here with PATCH /stations/{id} {{\"password\": \"…\"}}"
            ))
            .next(format!(
                "If it is to come without one: PATCH /stations/{id} {{\"password\": null}}"
            )),
        Verdict::RefusedUnknown => answer
            .next(format!(
                "If the charger is yours, register it: POST /stations {{\"station_id\": \"{id}\"}}; it is let in with \
                 its next try"
            ))
            .next("If it is registered under another spelling, correct the identity in the charger's settings"),
        Verdict::RefusedTls => answer
            .next(
                "Look at the certificate in the charger: its dates, who issued it (ocpp.tls_client_ca), and that its \
                 common name is the station's identity",
            )
            .next(format!(
                "If the certificate carries another name or was renewed: PATCH /stations/{id} with certificate_name \
                 or certificate_serial"
            )),
        Verdict::RefusedProfile => {
            let least = facts.station.as_ref().map_or(0, |station| station.min_security_profile);
            answer
                .next(format!(
                    "Configure the charger for security profile {least} or more (1: a password, 2: TLS and a password, \
                     3: TLS and a client certificate)"
                ))
                .next(format!(
                    "If it may come with less: PATCH /stations/{id} {{\"min_security_profile\": 0}}"
                ))
        }
        _ => answer.next(
            "Set the charger to a version of OCPP that the gateway speaks; see its log for the exact request",
        ),
    }
}

/// Connections from where the station last came from end before they name anybody.
pub(super) fn no_tls(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref().filter(|station| !station.connected)?;
    station.connected_at?;
    let left = last_in(facts)?;
    let failed = facts.refused_addresses.iter().find(|failed| failed.last_at > left)?;
    let shared = match failed.stations {
        0 | 1 => String::new(),
        many => format!(" ({many} stations share that address, so it may be another one)"),
    };
    let summary = format!(
        "{} is offline since {}, and connections from its last address {} fail{shared}: {}.",
        station.station_id,
        at(left, facts.now),
        failed.address,
        failed.words
    );
    let text = format!(
        "A connection from {} failed, {} so far: {}",
        failed.address,
        times(failed.count),
        failed.words
    );
    Some(
        Answer::new(Verdict::RefusedTls, summary)
            .fact(
                facts
                    .events
                    .iter()
                    .find(|seen| seen.is("StationDisconnected"))
                    .map(|seen| seen.fact(format!("It left, {} ago", ago(seen.at, facts.now)))),
            )
            .fact(state(failed.last_at, text))
            .next("Look at the charger's URL (ws:// or wss://, port) and at the certificates of both sides"),
    )
}
