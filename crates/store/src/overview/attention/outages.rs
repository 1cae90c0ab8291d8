//! Stations that are offline, and what those have in common that left together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::entry::{Said, few};
use super::wording::{at, count, more, sentence, since, span, spelled};
use crate::overview::facts::{Facts, TroubledStation};
use crate::why::causes;
use vocabulary::api::overview::{Attention, Kind, Severity, Subject, SubjectKind};
use vocabulary::clock::Timestamp;

/// Stations left together if no more than this lies between one and the next, and this between all of them.
/// Sockets that break without a word are noticed by their pings only, so one cause takes some seconds.
const GAP_MAX: Duration = Duration::from_secs(10);
const TOGETHER_MAX: Duration = Duration::from_secs(60);

/// Fewer are told one by one.
const OUTAGE_MIN: usize = 3;

/// From so many places on, and from three tenths of all stations on, it is the gateway's own network.
const PLACES_MIN: usize = 3;
const EVERYWHERE_MIN: usize = 5;

/// So long after a start stations may take to come back.
const COMING_BACK: Duration = Duration::from_secs(180);

/// A station that has left.
struct Gone<'a> {
    station: &'a TroubledStation,
    left_at: Timestamp,
}

pub(super) fn entries(facts: &Facts) -> Vec<Attention> {
    let offline = facts.stations.iter().filter(|station| station.offline);
    let gone = offline.filter_map(|station| Some(Gone { station, left_at: station.left_at? }));
    let is_starting = facts.now.since(facts.started_at) < COMING_BACK;
    let (coming_back, mut gone): (Vec<Gone<'_>>, Vec<Gone<'_>>) =
        gone.partition(|gone| is_starting && !gone.station.connected && gone.left_at < facts.started_at);
    gone.sort_by_key(|gone| gone.left_at);
    let mut all: Vec<Attention> = started(&coming_back, facts).into_iter().collect();
    let (mut outages, mut singles) = (Vec::new(), Vec::new());
    for together in together(gone) {
        match split(together, facts.stations_known) {
            Split::Everywhere(gone) => outages.push((Shared::Gateway, gone)),
            Split::Places(places, others) => {
                outages.extend(places);
                singles.extend(others);
            }
        }
    }
    // The largest first, so that none of those is among the others.
    outages.sort_by_key(|(_, gone)| std::cmp::Reverse(gone.len()));
    all.extend(few(&outages, |(shared, gone)| outage(shared, gone, facts), other_outages));
    singles.sort_by_key(|gone| std::cmp::Reverse(gone.left_at));
    all.extend(few(&singles, |gone| single(gone, facts.now), |rest| other_stations(rest)));
    all
}

/// Those who left in one go, each go in the order of time.
fn together(gone: Vec<Gone<'_>>) -> Vec<Vec<Gone<'_>>> {
    let mut all: Vec<Vec<Gone<'_>>> = Vec::new();
    for next in gone {
        let fits = |go: &&mut Vec<Gone<'_>>| {
            let (first, last) = (go.first().map(|gone| gone.left_at), go.last().map(|gone| gone.left_at));
            first.is_some_and(|first| next.left_at.since(first) <= TOGETHER_MAX)
                && last.is_some_and(|last| next.left_at.since(last) <= GAP_MAX)
        };
        match all.last_mut().filter(fits) {
            Some(go) => go.push(next),
            None => all.push(vec![next]),
        }
    }
    all
}

/// What stations that left together share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    Site(String),
    Address(String),
    Gateway,
}

type Outage<'a> = (Shared, Vec<Gone<'a>>);

enum Split<'a> {
    /// They are from all over the place.
    Everywhere(Vec<Gone<'a>>),
    /// Those of one place each, and those who happened to leave then.
    Places(Vec<Outage<'a>>, Vec<Gone<'a>>),
}

fn place(station: &TroubledStation) -> Option<Shared> {
    let site = station.site.clone().map(Shared::Site);
    site.or_else(|| station.address.clone().map(Shared::Address))
}

fn split(together: Vec<Gone<'_>>, known: u64) -> Split<'_> {
    let places: BTreeSet<_> = together.iter().filter_map(|gone| place(gone.station)).collect();
    let is_many = together.len() >= EVERYWHERE_MIN && together.len() as u64 * 10 >= known * 3;
    if places.len() >= PLACES_MIN && is_many {
        return Split::Everywhere(together);
    }
    let mut by_place: BTreeMap<Option<Shared>, Vec<Gone<'_>>> = BTreeMap::new();
    for gone in together {
        by_place.entry(place(gone.station)).or_default().push(gone);
    }
    let (mut outages, mut others) = (Vec::new(), Vec::new());
    for (place, gone) in by_place {
        match place {
            Some(place) if gone.len() >= OUTAGE_MIN => outages.push((place, gone)),
            _ => others.extend(gone),
        }
    }
    Split::Places(outages, others)
}

fn outage(shared: &Shared, gone: &[Gone<'_>], facts: &Facts) -> Attention {
    let number = gone.len() as u64;
    let (first, last) = (gone[0].left_at, gone[gone.len() - 1].left_at);
    let within = match last.since(first).as_secs_f64().ceil() as u64 {
        0 => "at the same moment".to_owned(),
        seconds => format!("within {seconds} s"),
    };
    let (place, subject, size, likely) = match shared {
        Shared::Site(site) => (
            format!(" of site {site}"),
            Subject { kind: SubjectKind::Site, id: Some(site.clone()) },
            facts.site_sizes.get(site).copied().unwrap_or(number),
            "likely the site's uplink or power",
        ),
        Shared::Address(address) => (
            format!(" behind {address}"),
            Subject { kind: SubjectKind::Address, id: Some(address.clone()) },
            number,
            "likely the uplink that they share",
        ),
        Shared::Gateway => (
            String::new(),
            Subject { kind: SubjectKind::Gateway, id: None },
            facts.stations_known,
            "likely the gateway's own network, since they are from different places",
        ),
    };
    let who = match number >= size {
        true => format!("all {}", spelled(number)),
        false => format!("{} of {}", spelled(number), spelled(size)),
    };
    let said = Said {
        severity: Severity::Bad,
        kind: Kind::StationsOffline,
        since: Some(first),
        text: format!("{}{place} are offline", count(number, "station")),
        cause: sentence(&format!("{who} left {within} {}: {likely}.", at(first, facts.now))),
    };
    said.of_several(subject, gone.iter().map(|gone| gone.station.station_id.clone()))
}

fn other_outages(rest: &[Outage<'_>]) -> Attention {
    let gone = || rest.iter().flat_map(|(_, gone)| gone);
    let said = Said {
        severity: Severity::Bad,
        kind: Kind::StationsOffline,
        since: gone().map(|gone| gone.left_at).min(),
        text: format!(
            "{} of {} more places are offline",
            count(gone().count() as u64, "station"),
            rest.len()
        ),
        cause: "Those of each place left together: likely the uplinks of the places.".to_owned(),
    };
    let ids: Vec<String> = gone().map(|gone| gone.station.station_id.clone()).collect();
    said.of_all(SubjectKind::Station, ids.into_iter())
}

fn single(gone: &Gone<'_>, now: Timestamp) -> Attention {
    let station = gone.station;
    let (text, cause) = match station.connected {
        true => (
            format!("{} has fallen silent", station.station_id),
            format!("Nothing has come {}, though its connection is open.", since(gone.left_at, now)),
        ),
        false => (format!("{} is offline", station.station_id), left(gone, now)),
    };
    let said =
        Said { severity: Severity::Warn, kind: Kind::StationOffline, since: Some(gone.left_at), text, cause };
    said.of(SubjectKind::Station, &station.station_id)
}

/// When and why it left.
fn left(gone: &Gone<'_>, now: Timestamp) -> String {
    let when = at(gone.left_at, now);
    match gone.station.disconnect_reason.as_deref() {
        Some(reason) => format!("{} {}.", sentence(&when), causes::disconnection(reason)),
        None => format!("It left {when}."),
    }
}

fn other_stations(rest: &[Gone<'_>]) -> Attention {
    let said = Said {
        severity: Severity::Warn,
        kind: Kind::StationOffline,
        since: rest.iter().map(|gone| gone.left_at).max(),
        text: format!("{} are offline", more(rest.len() as u64, "station")),
        cause: "They left at different times, so nothing tells of one cause.".to_owned(),
    };
    said.of_all(SubjectKind::Station, rest.iter().map(|gone| gone.station.station_id.clone()))
}

fn started(coming_back: &[Gone<'_>], facts: &Facts) -> Option<Attention> {
    let number = coming_back.len() as u64;
    let ago = span(facts.now.since(facts.started_at));
    let said = Said {
        severity: Severity::Info,
        kind: Kind::GatewayStarted,
        since: Some(facts.started_at),
        text: format!("{} not back yet since the gateway started", count(number, "station"))
            .replacen("station ", "station is ", 1)
            .replacen("stations ", "stations are ", 1),
        cause: format!("It was started {ago} ago; chargers take up to some minutes to connect again."),
    };
    (number > 0).then(|| said.of_gateway())
}
