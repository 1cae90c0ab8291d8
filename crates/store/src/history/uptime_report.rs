//! Uptime of all connectors in a span of time, read in the order of stations so that little is held at once.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use crate::Store;
use crate::engine::sql::{Kind, Param};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::history::uptime::{Change, Condition, Facts, Span, Tally, uptime};
use vocabulary::api::report::{UptimeGrouping, UptimeReasons, UptimeRow, UptimeRule};
use vocabulary::clock::Timestamp;
use vocabulary::history::{DowntimeCause, Presence};
use vocabulary::month::Month;
use vocabulary::zone::Zone;

/// Whose uptime is wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct UptimeFilter {
    /// One station.
    pub station_id: Option<String>,
    /// Stations that stand there.
    pub site: Option<String>,
    /// Stations of this customer.
    pub owner_id: Option<String>,
}

/// Which time is counted, and how.
#[derive(Debug, Clone)]
pub struct UptimeQuestion {
    /// From then on.
    pub since: Timestamp,
    /// Until then, which is not in the future.
    pub until: Timestamp,
    /// By whose clocks years begin.
    pub zone: Zone,
    /// The rule.
    pub rule: UptimeRule,
    /// What a row is about.
    pub group_by: UptimeGrouping,
}

impl Store {
    /// The uptime of the connectors that `filter` wants, by station and connector, or by site.
    pub async fn uptime(&self, filter: UptimeFilter, question: UptimeQuestion) -> Result<Vec<UptimeRow>> {
        self.read(move |db| report(db, &filter, &question)).await
    }
}

/// A loss of power that is told of later may still explain the end of a span.
const CAUSES_BEHIND_MS: i64 = 15 * 60_000;

/// The condition on stations `s`, on the values that [`values`] puts first.
const STATIONS: &str = "(?1 IS NULL OR s.station_id = ?1) AND (?2 IS NULL OR s.site = ?2)
    AND (?3 IS NULL OR s.owner_id = ?3)";

fn values<'a>(filter: &'a UptimeFilter, span: &Span) -> [Param<'a>; 5] {
    let text = |value: &'a Option<String>| match value {
        Some(text) => Param::Text(text.as_str().into()),
        None => Param::Null(Kind::Text),
    };
    let moment = |at: Timestamp| Param::Int(at.unix_ms());
    [
        text(&filter.station_id),
        text(&filter.site),
        text(&filter.owner_id),
        moment(span.until),
        moment(span.counted_from),
    ]
}

fn report(db: &Read<'_>, filter: &UptimeFilter, question: &UptimeQuestion) -> Result<Vec<UptimeRow>> {
    let span = span_of(question);
    let values = values(filter, &span);
    let known = StationFacts::read(db, &values)?;
    let mut rows = Rows { question, sites: BTreeMap::new(), rows: Vec::new() };
    let mut station = Station::default();
    db.each(&statuses(), &values, |row| {
        let id = row.text(0)?;
        if station.id != id {
            let next =
                Station { id: id.to_owned(), site: row.get(1)?, owner_id: row.get(2)?, ..Station::default() };
            rows.add(&std::mem::replace(&mut station, next), &known, &span);
        }
        let told = match row.maybe_text(5)? {
            Some(status) => Some(Change { at: row.get(4)?, to: Condition::of(status, row.maybe_text(6)?) }),
            None => None,
        };
        station.add(row.get(3)?, told);
        Ok(ControlFlow::Continue(()))
    })?;
    rows.add(&station, &known, &span);
    Ok(rows.finish())
}

/// The statuses of connectors that hold in the span, in the order of stations and connectors. [`uptime`] puts
/// those of a connector in order: asked for here too, they are sorted twice, which costs as much as reading
/// them.
fn statuses() -> String {
    format!(
        "SELECT s.station_id, s.site, s.owner_id, c.connector_id, h.at_ms, h.status, h.error_code
         FROM stations s JOIN connectors c ON c.station_id = s.station_id
         LEFT JOIN connector_history h
           ON h.station_id = c.station_id AND h.connector_id = c.connector_id AND h.at_ms < ?4
          AND h.at_ms >= coalesce((SELECT max(p.at_ms) FROM connector_history p
                                   WHERE p.station_id = c.station_id AND p.connector_id = c.connector_id
                                     AND p.at_ms <= ?5), ?5)
         WHERE {STATIONS}
         ORDER BY s.station_id, c.connector_id"
    )
}

/// The span, for `cec` with the time before it in the same year.
fn span_of(question: &UptimeQuestion) -> Span {
    let &UptimeQuestion { since, until, zone, rule, .. } = question;
    if rule != UptimeRule::Cec {
        return Span { since, until, counted_from: since, years: Vec::new() };
    }
    let first = Month::of(since, zone);
    let begin = |later| first.first_of_year(later).begin(zone);
    let years = (1..).map(begin).take_while(|year| *year < until).collect();
    Span { since, until, counted_from: begin(0).min(since), years }
}

/// What is known of a station beside its statuses.
#[derive(Default)]
struct StationFacts {
    presence: Vec<Change<Presence>>,
    /// With the connector that each is about.
    causes: Vec<(i64, Change<DowntimeCause>)>,
}

impl StationFacts {
    fn read(db: &Read<'_>, values: &[Param<'_>]) -> Result<HashMap<String, Self>> {
        let mut stations: HashMap<String, Self> = HashMap::new();
        let presence = format!(
            "SELECT s.station_id, h.at_ms, h.presence
             FROM stations s JOIN presence_history h ON h.station_id = s.station_id AND h.at_ms < ?4
              AND h.at_ms >= coalesce((SELECT max(p.at_ms) FROM presence_history p
                                       WHERE p.station_id = s.station_id AND p.at_ms <= ?5), ?5)
             WHERE {STATIONS} ORDER BY s.station_id, h.at_ms"
        );
        db.each(&presence, values, |row| {
            let change = Change { at: row.get(1)?, to: row.word(2)? };
            facts_of(&mut stations, row.text(0)?).presence.push(change);
            Ok(ControlFlow::Continue(()))
        })?;
        // Few enough to be read from the first one on: an order holds until there is another.
        let causes = format!(
            "SELECT s.station_id, d.at_ms, d.connector_id, d.cause
             FROM stations s JOIN downtime_causes d ON d.station_id = s.station_id
              AND d.at_ms < ?4 + {CAUSES_BEHIND_MS}
             WHERE {STATIONS} ORDER BY s.station_id, d.at_ms, d.connector_id, d.cause"
        );
        db.each(&causes, &values[..4], |row| {
            let change = Change { at: row.get(1)?, to: row.word(3)? };
            facts_of(&mut stations, row.text(0)?).causes.push((row.get(2)?, change));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(stations)
    }

    fn causes_of(&self, connector_id: i64) -> Vec<Change<DowntimeCause>> {
        let concerns = |of: i64| of == 0 || of == connector_id;
        self.causes.iter().filter(|(of, _)| concerns(*of)).map(|(_, cause)| *cause).collect()
    }
}

fn facts_of<'a>(stations: &'a mut HashMap<String, StationFacts>, id: &str) -> &'a mut StationFacts {
    stations.entry(id.to_owned()).or_default()
}

/// A station whose connectors are being read.
#[derive(Default)]
struct Station {
    id: String,
    site: Option<String>,
    owner_id: Option<String>,
    /// Statuses by connector, in the order of their numbers.
    connectors: Vec<(i64, Vec<Change<Condition>>)>,
}

impl Station {
    fn add(&mut self, connector_id: i64, told: Option<Change<Condition>>) {
        if self.connectors.last().is_none_or(|(last, _)| *last != connector_id) {
            self.connectors.push((connector_id, Vec::new()));
        }
        if let Some((_, statuses)) = self.connectors.last_mut() {
            statuses.extend(told);
        }
    }

    /// Each connector's time. Connector 0 is the station as a whole, and counts for all others; it is one
    /// itself only if there is no other.
    fn count(
        &self,
        facts: &StationFacts,
        span: &Span,
        rule: UptimeRule,
    ) -> impl Iterator<Item = (i64, Tally)> {
        let is_whole = |id: i64| id == 0 && self.connectors.len() > 1;
        let whole = self.connectors.iter().find(|(id, _)| is_whole(*id));
        let station = whole.map_or(&[][..], |(_, statuses)| statuses);
        self.connectors.iter().filter(move |(id, _)| !is_whole(*id)).map(move |(id, own)| {
            let causes = facts.causes_of(*id);
            let facts = Facts { own, station, presence: &facts.presence, causes: &causes };
            (*id, uptime(rule, span, facts))
        })
    }
}

/// The rows of the report as they come.
struct Rows<'a> {
    question: &'a UptimeQuestion,
    /// By site, where that is wanted: how many connectors, and their time.
    sites: BTreeMap<Option<String>, (u64, Tally)>,
    rows: Vec<UptimeRow>,
}

impl Rows<'_> {
    fn add(&mut self, station: &Station, known: &HashMap<String, StationFacts>, span: &Span) {
        let nothing = StationFacts::default();
        let facts = known.get(&station.id).unwrap_or(&nothing);
        let mut sum = (0, Tally::default());
        for (connector_id, tally) in station.count(facts, span, self.question.rule) {
            sum.0 += 1;
            sum.1 += tally;
            if self.question.group_by == UptimeGrouping::Connector {
                let row = row(station.site.clone(), 1, &tally);
                self.rows.push(UptimeRow { connector_id: Some(connector_id), ..of_station(station, row) });
            }
        }
        let (connectors, tally) = sum;
        match self.question.group_by {
            _ if connectors == 0 => {}
            UptimeGrouping::Connector => {}
            UptimeGrouping::Station => {
                self.rows.push(of_station(station, row(station.site.clone(), connectors, &tally)));
            }
            UptimeGrouping::Site => {
                let site = self.sites.entry(station.site.clone()).or_default();
                site.0 += connectors;
                site.1 += tally;
            }
        }
    }

    fn finish(mut self) -> Vec<UptimeRow> {
        let sites = self.sites.into_iter().map(|(site, (connectors, tally))| row(site, connectors, &tally));
        self.rows.extend(sites);
        self.rows
    }
}

fn of_station(station: &Station, row: UptimeRow) -> UptimeRow {
    UptimeRow { station_id: Some(station.id.clone()), owner_id: station.owner_id.clone(), ..row }
}

fn row(site: Option<String>, connectors: u64, tally: &Tally) -> UptimeRow {
    let Tally { up, down, excluded, unknown, reasons, states } = tally;
    UptimeRow {
        station_id: None,
        connector_id: None,
        site,
        owner_id: None,
        connectors,
        minutes: minutes(tally.total()),
        up: minutes(*up),
        down: minutes(*down),
        excluded: minutes(*excluded),
        unknown: minutes(*unknown),
        uptime_percent: percent(*up, up + down),
        rule_percent: percent(up + excluded, up + down + excluded),
        reasons: UptimeReasons {
            faulted: minutes(reasons.faulted),
            unavailable: minutes(reasons.unavailable),
            offline: minutes(reasons.offline),
            maintenance: minutes(reasons.maintenance),
            vehicle_fault: minutes(reasons.vehicle_fault),
            power_outage: minutes(reasons.power_outage),
        },
        available: minutes(states.available),
        charging: minutes(states.charging),
        occupied: minutes(states.occupied),
        faulted: minutes(states.faulted),
        unavailable: minutes(states.unavailable),
        offline: minutes(states.offline),
    }
}

/// Minutes with three decimals.
fn minutes(ms: u64) -> f64 {
    ((ms as f64) / 60.0).round() / 1_000.0
}

/// A share in per cent, cut off behind three decimals.
fn percent(part_ms: u64, whole_ms: u64) -> Option<f64> {
    let thousandths = (u128::from(part_ms) * 100_000).checked_div(u128::from(whole_ms))?;
    Some(thousandths as f64 / 1_000.0)
}
