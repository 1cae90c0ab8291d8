//! Stations that are not there.

use std::time::Duration;

use super::super::answer::{Answer, ago, at, of_session, state, times};
use super::super::causes;
use super::super::facts::{Seen, SessionFacts, StationFacts, StationNow};
use super::admission;
use vocabulary::api::transaction::Status;
use vocabulary::api::why::{Fact, Verdict};

/// So many connections within [`FLAPPING_WINDOW`] are too many.
const FLAPPING_CONNECTIONS: usize = 5;
const FLAPPING_WINDOW: Duration = Duration::from_secs(3_600);

pub(super) fn flapping(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref()?;
    let recent = |seen: &&Seen| facts.now.since(seen.at) < FLAPPING_WINDOW;
    let connections: Vec<&Seen> =
        facts.events.iter().filter(|seen| seen.is("StationConnected")).filter(recent).collect();
    let replaces = station.has_flag("flapping");
    if connections.len() < FLAPPING_CONNECTIONS && !replaces {
        return None;
    }
    let ends: Vec<&Seen> =
        facts.events.iter().filter(|seen| seen.is("StationDisconnected")).filter(recent).collect();
    let cause = match replaces {
        true => "its connections replace one another: two chargers may have the same identity".to_owned(),
        false => match most_frequent(&ends) {
            Some(reason) => causes::disconnection(reason),
            None => "nothing tells why its connections end".to_owned(),
        },
    };
    let summary = format!(
        "{} has connected {} within the last hour: {cause}.",
        station.station_id,
        times(connections.len() as u64)
    );
    let facts = connections.iter().take(5).map(|seen| {
        let from = seen.text("remote_addr").unwrap_or("an unknown address");
        seen.fact(format!("It connected from {from}"))
    });
    let ends = ends.iter().take(5).map(|seen| ended(seen));
    let answer = Answer::new(Verdict::Flapping, summary).facts(facts).facts(ends);
    Some(match replaces {
        true => answer.next(
            "Compare the addresses: if there are two, find the second charger with this identity and give it its own",
        ),
        false => answer
            .next("Look at the charger's signal and network; a mobile router's idle time-out is a frequent cause")
            .next("If the connection ends after the same time always, lower ocpp.ping_interval or the heartbeat interval"),
    })
}

/// The reason for which most of these connections ended.
fn most_frequent<'a>(ends: &[&'a Seen]) -> Option<&'a str> {
    let reasons: Vec<&str> = ends.iter().filter_map(|seen| seen.text("reason")).collect();
    let count = |reason: &str| reasons.iter().filter(|other| **other == reason).count();
    reasons.iter().copied().max_by_key(|reason| count(reason))
}

/// A fact about the end of a connection.
fn ended(seen: &Seen) -> Fact {
    let reason = seen.text("reason").unwrap_or_default();
    let code = seen.number("code").map(|code| format!(" (code {code})")).unwrap_or_default();
    seen.fact(format!("It disconnected{code}: {}", causes::disconnection(reason)))
}

pub(super) fn never_connected(facts: &StationFacts) -> Option<Answer> {
    let station =
        facts.station.as_ref().filter(|station| !station.connected && station.connected_at.is_none())?;
    let summary = format!(
        "{} was registered {} ago and has never connected; nobody was refused with this identity since.",
        station.station_id,
        ago(station.created_at, facts.now)
    );
    let mut answer = Answer::new(Verdict::NeverConnected, summary)
        .fact(state(station.created_at, "The station was registered"));
    if let Some(refused) = &facts.refused {
        let text = format!("A connection with this identity was refused before: {}", refused.reason);
        answer = answer.fact(admission::of_refusal(facts, refused, text));
    }
    let strangers = facts.refused_addresses.iter().take(5).map(|failed| {
        let text = format!(
            "A connection from {} failed before it named anybody, which may be this station: {} ({})",
            failed.address,
            failed.words,
            times(failed.count)
        );
        state(failed.last_at, text)
    });
    Some(
        answer
            .facts(strangers)
            .next(format!(
                "Compare the URL in the charger: it ends in /ocpp/{}, with this very spelling",
                station.station_id
            ))
            .next("Look whether the charger has a network, and whether a firewall lets it reach the gateway's port"),
    )
}

pub(super) fn offline(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref().filter(|station| !station.is_online())?;
    let end = facts.events.iter().find(|seen| seen.is("StationDisconnected")).filter(|_| !station.connected);
    let since = station.offline_since.or(station.last_seen_at).unwrap_or(facts.now);
    let cause = cause_of(station);
    let heard = match station.last_seen_at {
        Some(seen) => format!(" It was last heard of at {}.", at(seen, facts.now)),
        None => String::new(),
    };
    let summary = format!(
        "{} is offline since {} ({}): {cause}.{heard}",
        station.station_id,
        at(since, facts.now),
        ago(since, facts.now)
    );
    let silence = facts.events.iter().find(|seen| seen.is("StationOffline")).filter(|seen| seen.at >= since);
    let came = facts.events.iter().find(|seen| seen.is("StationConnected"));
    Some(
        Answer::new(Verdict::Offline, summary)
            .fact(came.map(|seen| seen.fact("It had connected")))
            .fact(end.map(ended))
            .fact(end.is_none().then(|| state(since, "It was last heard of")))
            .fact(silence.map(|seen| seen.fact("Nothing was heard of it for too long")))
            .next("Look whether the charger has power, and whether others at its site are offline too (its uplink then)")
            .next("Look at its network: signal, SIM card, router; restart it on site if it does not come back"),
    )
}

/// Why a station is gone.
fn cause_of(station: &StationNow) -> String {
    match &station.disconnect_reason {
        _ if station.connected => "its connection is open, and nothing comes on it any more".to_owned(),
        Some(reason) => causes::disconnection(reason),
        None => "nothing on record tells how its connection ended".to_owned(),
    }
}

/// A session that runs on a station that is not there.
pub(super) fn session_offline(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    let station = facts.station.as_ref().filter(|station| !station.is_online())?;
    if session.status != Status::Active {
        return None;
    }
    let seen = station.offline_since.or(station.last_seen_at).unwrap_or(session.updated_at);
    let summary = format!(
        "Session {} is open, and its station {} is offline since {} ({}): what the car does meanwhile is told when the \
         station comes back.",
        session.transaction_id,
        session.station_id,
        at(seen, facts.now),
        ago(seen, facts.now)
    );
    Some(
        Answer::new(Verdict::Offline, summary)
            .fact(of_session(session, session.started_at.unwrap_or(facts.created_at), "The session began"))
            .fact(facts.metered_at.map(|metered| state(metered, "Its newest meter value came")))
            .fact(state(seen, format!("{} went offline", session.station_id)))
            .next(format!("See why the station is offline: GET /stations/{}/why", session.station_id))
            .next(
                "If it does not come back, close the session: POST /transactions/{id}/close"
                    .replace("{id}", &session.transaction_id.to_string()),
            ),
    )
}
