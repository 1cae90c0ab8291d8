//! Uptime of all connectors in a span of time, read in the order of stations so that little is held at
//! once. It goes on from what the last report has counted, where that holds.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::Store;
use crate::engine::sql::{Kind, Param};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::history::kept_counts::{Beginning, Counts, StationCount};
use crate::history::uptime::{Change, Condition, Counted, Facts, NOTICED_AFTER, Span, Tally};
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
    /// Only so many rows, those with the lowest uptime; `None`: all.
    pub worst: Option<u32>,
}

/// The uptime of connectors.
#[derive(Debug, Clone)]
pub struct Uptime {
    /// By station and connector, or by site; the worst of them by uptime, the lowest first.
    pub rows: Vec<UptimeRow>,
    /// How many rows there are.
    pub row_count: u64,
    /// All of them together.
    pub total: UptimeRow,
}

impl Store {
    /// The uptime of the connectors that `filter` wants.
    pub async fn uptime(&self, filter: UptimeFilter, question: UptimeQuestion) -> Result<Uptime> {
        let span = span_of(&question);
        // What other gateways write is not heard of before it can be read.
        if self.inner.engine.is_shared() {
            let read = move |db: &Read<'_>| report(db, &filter, &question, &span, &Beginning::nothing());
            return self.read(read).await.map(|(uptime, _)| uptime);
        }
        let (signals, kept) = (&self.inner.signals, &self.inner.uptime_counts);
        let changes = signals.take_history_changes();
        let beginning = kept.begin(question.rule, &span, self.inner.clock.now(), changes);
        let (uptime, counts, beginning) = self
            .read(move |db| {
                let (uptime, counts) = report(db, &filter, &question, &span, &beginning)?;
                Ok((uptime, counts, beginning))
            })
            .await?;
        kept.keep(beginning, counts, signals.take_history_changes());
        Ok(uptime)
    }
}

/// Stations whose counts do not hold and that are read one by one; if there are more, all are read at once.
const ONE_BY_ONE_MAX: usize = 100;

/// A loss of power that is told of later may still explain the end of a span.
const CAUSES_BEHIND_MS: i64 = 15 * 60_000;

/// The condition on stations `s`, on the values that [`values`] puts first.
const STATIONS: &str = "(?1 IS NULL OR s.station_id = ?1) AND (?2 IS NULL OR s.site = ?2)
    AND (?3 IS NULL OR s.owner_id = ?3)";

/// The values of [`STATIONS`], the end of the span, and from when on changes are read.
fn values<'a>(filter: &'a UptimeFilter, span: &Span, from: Timestamp) -> [Param<'a>; 5] {
    let text = |value: &'a Option<String>| match value {
        Some(text) => Param::Text(text.as_str().into()),
        None => Param::Null(Kind::Text),
    };
    let moment = |at: Timestamp| Param::Int(at.unix_ms());
    [text(&filter.station_id), text(&filter.site), text(&filter.owner_id), moment(span.until), moment(from)]
}

fn report(
    db: &Read<'_>,
    filter: &UptimeFilter,
    question: &UptimeQuestion,
    span: &Span,
    beginning: &Beginning,
) -> Result<(Uptime, Counts)> {
    let mut report = Report::new(question, span, beginning);
    let Some(from) = beginning.counts.values().map(|count| count.reached).min() else {
        report.read(db, filter, None)?;
        return Ok(report.finish());
    };
    report.read(db, filter, Some(from))?;
    let anew = std::mem::take(&mut report.anew);
    if anew.len() > ONE_BY_ONE_MAX {
        report = Report::new(question, span, beginning);
        report.read(db, filter, None)?;
        return Ok(report.finish());
    }
    for station in anew {
        report.read(db, &UptimeFilter { station_id: Some(station), ..filter.clone() }, None)?;
    }
    report.rows.sort_by(|one, other| {
        (&one.station_id, one.connector_id).cmp(&(&other.station_id, other.connector_id))
    });
    Ok(report.finish())
}

/// The statuses of connectors that hold in the span, in the order of stations and connectors. What was so at
/// its begin is known already if counts go on. [`Counted`] puts those of a connector in order: asked for here
/// too, they are sorted twice, which costs as much as reading them.
fn statuses(goes_on: bool) -> String {
    let begin = begin("connector_history", "p.station_id = c.station_id AND p.connector_id = c.connector_id");
    let begin = if goes_on { "?5" } else { &begin };
    format!(
        "SELECT s.station_id, s.site, s.owner_id, c.connector_id, h.at_ms, h.status, h.error_code
         FROM stations s JOIN connectors c ON c.station_id = s.station_id
         LEFT JOIN connector_history h
           ON h.station_id = c.station_id AND h.connector_id = c.connector_id AND h.at_ms < ?4
          AND h.at_ms >= {begin}
         WHERE {STATIONS}
         ORDER BY s.station_id, c.connector_id"
    )
}

/// The moment of the change in `table` that holds when changes are read from `?5` on.
fn begin(table: &str, of: &str) -> String {
    format!("coalesce((SELECT max(p.at_ms) FROM {table} p WHERE {of} AND p.at_ms <= ?5), ?5)")
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
    /// `goes_on`: as in [`statuses`].
    fn read(db: &Read<'_>, values: &[Param<'_>], goes_on: bool) -> Result<HashMap<String, Self>> {
        let mut stations: HashMap<String, Self> = HashMap::new();
        let begin = begin("presence_history", "p.station_id = s.station_id");
        let begin = if goes_on { "?5" } else { &begin };
        let presence = format!(
            "SELECT s.station_id, h.at_ms, h.presence
             FROM stations s JOIN presence_history h ON h.station_id = s.station_id AND h.at_ms < ?4
              AND h.at_ms >= {begin}
             WHERE {STATIONS} ORDER BY s.station_id, h.at_ms"
        );
        db.each(&presence, values, |row| {
            let change = Change { at: row.get(1)?, to: row.word(2)? };
            facts_of(&mut stations, row.text(0)?).presence.push(change);
            Ok(ControlFlow::Continue(()))
        })?;
        // Few enough to be read from the first one on: an order holds until there is another.
        let since = if goes_on { "AND d.at_ms >= ?5" } else { "" };
        let causes = format!(
            "SELECT s.station_id, d.at_ms, d.connector_id, d.cause
             FROM stations s JOIN downtime_causes d ON d.station_id = s.station_id
              AND d.at_ms < ?4 + {CAUSES_BEHIND_MS} {since}
             WHERE {STATIONS} ORDER BY s.station_id, d.at_ms, d.connector_id, d.cause"
        );
        db.each(&causes, if goes_on { values } else { &values[..4] }, |row| {
            let change = Change { at: row.get(1)?, to: row.word(3)? };
            facts_of(&mut stations, row.text(0)?).causes.push((row.get(2)?, change));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(stations)
    }

    /// Forgets what was before `reached`.
    fn after(&self, reached: Timestamp) -> Self {
        let presence = self.presence.iter().filter(|change| change.at >= reached).copied().collect();
        let causes = self.causes.iter().filter(|(_, change)| change.at >= reached).copied().collect();
        Self { presence, causes }
    }

    /// Since when the station is away at `at`, where it was known since when before.
    fn away_since(&self, at: Timestamp, before: Option<Timestamp>) -> Option<Timestamp> {
        match self.presence.iter().rev().find(|change| change.at < at) {
            Some(change) => (!change.to.is_online()).then_some(change.at),
            None => before,
        }
    }

    /// Whether a loss of power that is known may yet explain an absence that began then, or a later one.
    fn may_explain(&self, began_at: Timestamp) -> bool {
        let first = began_at.unix_ms() - NOTICED_AFTER.as_millis() as i64;
        let explains = |cause: &Change<DowntimeCause>| {
            cause.to == DowntimeCause::PowerLoss && cause.at.unix_ms() >= first
        };
        self.causes.iter().any(|(_, cause)| explains(cause))
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

    /// The connectors that are counted. Connector 0 is the station as a whole, and counts for all others;
    /// it is one itself only if there is no other.
    fn counted(&self) -> impl Iterator<Item = &(i64, Vec<Change<Condition>>)> {
        self.connectors.iter().filter(|(id, _)| !self.is_whole(*id))
    }

    fn is_whole(&self, id: i64) -> bool {
        id == 0 && self.connectors.len() > 1
    }

    /// Whether `kept` has the same connectors.
    fn fits(&self, kept: &StationCount) -> bool {
        self.counted().map(|(id, _)| id).eq(kept.connectors.iter().map(|(id, _)| id))
    }

    /// Each connector's time, and what is to be kept of it. `kept`: from where it goes on.
    fn count(
        &self,
        facts: &StationFacts,
        span: &Span,
        rule: UptimeRule,
        kept: Option<&StationCount>,
        keep_at: Option<Timestamp>,
    ) -> (Vec<(i64, Tally)>, Option<StationCount>) {
        let reached = kept.map(|kept| kept.reached);
        let new = |statuses: &[Change<Condition>]| -> Vec<Change<Condition>> {
            statuses.iter().filter(|told| reached.is_none_or(|reached| told.at >= reached)).copied().collect()
        };
        let new_facts = reached.map(|reached| facts.after(reached));
        let facts = new_facts.as_ref().unwrap_or(facts);
        let whole = self.connectors.iter().find(|(id, _)| self.is_whole(*id));
        let station = whole.map_or_else(Vec::new, |(_, statuses)| new(statuses));
        let mut connectors = Vec::new();
        let tallies = self.counted().enumerate().map(|(place, (id, own))| {
            let causes = facts.causes_of(*id);
            let facts =
                Facts { own: &new(own), station: &station, presence: &facts.presence, causes: &causes };
            let begun = kept.and_then(|kept| kept.connectors.get(place));
            let begun = begun.map_or_else(|| Counted::begin(span), |(_, count)| *count);
            let (tally, keep) = begun.go_on(rule, span, facts, keep_at);
            connectors.extend(keep.map(|count| (*id, count)));
            (*id, tally)
        });
        let tallies: Vec<_> = tallies.collect();
        let away_since = keep_at.and_then(|at| facts.away_since(at, kept.and_then(|kept| kept.away_since)));
        let reached = keep_at.filter(|at| !facts.may_explain(away_since.unwrap_or(*at)));
        let is_whole = connectors.len() == tallies.len();
        let keep =
            reached.filter(|_| is_whole).map(|reached| StationCount { connectors, reached, away_since });
        (tallies, keep)
    }
}

/// The report as stations are read.
struct Report<'a> {
    question: &'a UptimeQuestion,
    span: &'a Span,
    beginning: &'a Beginning,
    /// By site, where that is wanted: how many connectors, and their time.
    sites: BTreeMap<Option<String>, (u64, Tally)>,
    rows: Vec<UptimeRow>,
    total: (u64, Tally),
    /// What is to be kept.
    counts: Counts,
    /// Stations that have to be counted from the beginning.
    anew: Vec<String>,
}

impl<'a> Report<'a> {
    fn new(question: &'a UptimeQuestion, span: &'a Span, beginning: &'a Beginning) -> Self {
        let (sites, rows, total) = (BTreeMap::new(), Vec::new(), (0, Tally::default()));
        Self { question, span, beginning, sites, rows, total, counts: Counts::new(), anew: Vec::new() }
    }

    /// Reads the stations that `filter` wants. `from`: going on from what is kept, which has reached that
    /// moment or a later one.
    fn read(&mut self, db: &Read<'_>, filter: &UptimeFilter, from: Option<Timestamp>) -> Result<()> {
        let goes_on = from.is_some();
        let values = values(filter, self.span, from.unwrap_or(self.span.counted_from));
        let known = StationFacts::read(db, &values, goes_on)?;
        let mut station = Station::default();
        db.each(&statuses(goes_on), &values, |row| {
            let id = row.text(0)?;
            if station.id != id {
                let next = Station {
                    id: id.to_owned(),
                    site: row.get(1)?,
                    owner_id: row.get(2)?,
                    ..Station::default()
                };
                self.add(&std::mem::replace(&mut station, next), &known, goes_on);
            }
            let told = match row.maybe_text(5)? {
                Some(status) => {
                    Some(Change { at: row.get(4)?, to: Condition::of(status, row.maybe_text(6)?) })
                }
                None => None,
            };
            station.add(row.get(3)?, told);
            Ok(ControlFlow::Continue(()))
        })?;
        self.add(&station, &known, goes_on);
        Ok(())
    }

    fn add(&mut self, station: &Station, known: &HashMap<String, StationFacts>, goes_on: bool) {
        if station.connectors.is_empty() {
            return;
        }
        let kept = self.beginning.counts.get(station.id.as_str()).map(Arc::as_ref).filter(|_| goes_on);
        let kept = kept.filter(|kept| station.fits(kept));
        if goes_on && kept.is_none() {
            self.anew.push(station.id.clone());
            return;
        }
        let nothing = StationFacts::default();
        let facts = known.get(&station.id).unwrap_or(&nothing);
        let (tallies, count) =
            station.count(facts, self.span, self.question.rule, kept, self.beginning.keep_at);
        self.counts.extend(count.map(|count| (station.id.as_str().into(), Arc::new(count))));
        let mut sum = (0, Tally::default());
        for (connector_id, tally) in tallies {
            sum.0 += 1;
            sum.1 += tally;
            if self.question.group_by == UptimeGrouping::Connector {
                let row = row(station.site.clone(), 1, &tally);
                self.rows.push(UptimeRow { connector_id: Some(connector_id), ..of_station(station, row) });
            }
        }
        let (connectors, tally) = sum;
        self.total.0 += connectors;
        self.total.1 += tally;
        match self.question.group_by {
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

    /// The report, and what is to be kept of it.
    fn finish(mut self) -> (Uptime, Counts) {
        let sites = self.sites.into_iter().map(|(site, (connectors, tally))| row(site, connectors, &tally));
        self.rows.extend(sites);
        let row_count = self.rows.len() as u64;
        if let Some(worst) = self.question.worst {
            self.rows.sort_by(by_uptime);
            self.rows.truncate(worst as usize);
        }
        let (connectors, tally) = self.total;
        (Uptime { rows: self.rows, row_count, total: row(None, connectors, &tally) }, self.counts)
    }
}

/// The lowest first; those of which nothing is known last.
fn by_uptime(one: &UptimeRow, other: &UptimeRow) -> Ordering {
    let percent = |row: &UptimeRow| row.uptime_percent.unwrap_or(f64::INFINITY);
    percent(one).total_cmp(&percent(other))
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
