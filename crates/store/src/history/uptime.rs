//! How long a connector was up, down and out of account in a span of time, by the rule that is asked for.
//!
//! A pure function of what is known. At every moment the first of these that applies counts, and nothing
//! else:
//!
//! 1. *unknown*: the connector has told no status yet, or its station was never connected;
//! 2. *faulted*, *unavailable*: its last status, or the station's own (connector 0), says so;
//! 3. *offline*: its station cannot be reached;
//! 4. *up*.
//!
//! What is down by 2 or 3 may be excluded: by `cec` for maintenance that was ordered, then for a fault of the
//! vehicle, then for want of power; by `uk` for being offline. docs/reports.md says where that comes from.

mod power_outages;
mod tally;
#[cfg(test)]
mod tests;

use vocabulary::api::report::UptimeRule;
use vocabulary::clock::Timestamp;
use vocabulary::history::{DowntimeCause, Presence};

use power_outages::Link;
pub(crate) use power_outages::NOTICED_AFTER;
pub(crate) use tally::{Exclusion, Tally};

/// Maintenance that `cec` excludes in a year.
pub(crate) const MAINTENANCE_MS_PER_YEAR: u64 = 72 * 3_600_000;

/// What is so from a moment on, until the next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change<T> {
    pub(crate) at: Timestamp,
    pub(crate) to: T,
}

/// What a connector may be, as far as time is counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Available,
    Charging,
    /// It serves, and is neither free nor charging.
    Occupied,
    Unavailable,
    Faulted,
}

/// What an error code says of whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    Vehicle,
    Grid,
    /// The station's, as long as nobody says otherwise.
    Station,
}

/// What a connector has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) state: State,
    pub(crate) blame: Blame,
}

impl Condition {
    pub(crate) fn of(status: &str, error_code: Option<&str>) -> Self {
        let state = match status {
            "Available" => State::Available,
            "Charging" => State::Charging,
            "Unavailable" => State::Unavailable,
            "Faulted" => State::Faulted,
            _ => State::Occupied,
        };
        let blame = match error_code {
            Some("EVCommunicationError") => Blame::Vehicle,
            Some("UnderVoltage") => Blame::Grid,
            _ => Blame::Station,
        };
        Self { state, blame }
    }

    fn is_down(self) -> bool {
        matches!(self.state, State::Unavailable | State::Faulted)
    }
}

/// What is known of a connector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Its own statuses, one of each moment, in any order.
    pub(crate) own: &'a [Change<Condition>],
    /// Those of the station as a whole, likewise.
    pub(crate) station: &'a [Change<Condition>],
    /// Whether the station could be reached, in the order of time.
    pub(crate) presence: &'a [Change<Presence>],
    /// Orders to it and to the whole station, and the station's losses of power, in the order of time; of one
    /// moment the last one counts.
    pub(crate) causes: &'a [Change<DowntimeCause>],
}

/// The time that is counted.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    /// From when on facts are looked at, so that maintenance before the span counts against its year; not
    /// after `since`.
    pub(crate) counted_from: Timestamp,
    /// When years begin that are not over before the span.
    pub(crate) years: Vec<Timestamp>,
}

/// A connector's time as it is counted up to some moment, and how it stands then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    now: Now,
    reached: Timestamp,
    tally: Tally,
}

impl Counted {
    /// Nothing yet.
    pub(crate) fn begin(span: &Span) -> Self {
        Self { now: Now::default(), reached: span.counted_from, tally: Tally::default() }
    }

    /// Goes on to the end of the span, and also says how it stood at `keep_at`, which lies between. `facts`
    /// are those of the moment that is reached already and later ones; of a count that begins earlier ones
    /// too.
    pub(crate) fn go_on(
        self,
        rule: UptimeRule,
        span: &Span,
        facts: Facts<'_>,
        keep_at: Option<Timestamp>,
    ) -> (Tally, Option<Self>) {
        let Self { now, mut reached, tally } = self;
        let mut count = Count { rule, span, now, tally };
        let (mut kept, mut keep_at) = (None, keep_at.filter(|at| (reached..=span.until).contains(at)));
        for Change { at, to } in steps(span, reached, facts) {
            if let Some(keep_at) = keep_at.take_if(|keep_at| at >= *keep_at) {
                kept = Some(count.up_to(keep_at, &mut reached));
            }
            let at = at.clamp(reached, span.until.max(reached));
            count.up_to(at, &mut reached);
            count.now.take(to);
        }
        if let Some(keep_at) = keep_at {
            kept = Some(count.up_to(keep_at, &mut reached));
        }
        count.up_to(span.until, &mut reached);
        (count.tally, kept)
    }
}

/// Counts a connector's time.
#[cfg(test)]
fn uptime(rule: UptimeRule, span: &Span, facts: Facts<'_>) -> Tally {
    Counted::begin(span).go_on(rule, span, facts, None).0
}

/// Something that changes what a moment counts as.
#[derive(Clone, Copy)]
enum Step {
    Year,
    /// The span begins.
    Begin,
    Ordered {
        operative: bool,
    },
    Own(Condition),
    Station(Condition),
    Link(Link),
}

/// All that changes until the end of the span, in the order of time, without what has been counted already;
/// at one moment orders come before what connectors tell.
fn steps(span: &Span, reached: Timestamp, facts: Facts<'_>) -> Vec<Change<Step>> {
    let step = |at, to| Change { at, to };
    let mut steps: Vec<Change<Step>> = span.years.iter().map(|at| step(*at, Step::Year)).collect();
    steps.push(step(span.since, Step::Begin));
    steps.retain(|step| step.at >= reached);
    steps.extend(facts.causes.iter().filter_map(|cause| match cause.to {
        DowntimeCause::Inoperative => Some(step(cause.at, Step::Ordered { operative: false })),
        DowntimeCause::Operative => Some(step(cause.at, Step::Ordered { operative: true })),
        DowntimeCause::PowerLoss => None,
    }));
    steps.extend(facts.station.iter().map(|told| step(told.at, Step::Station(told.to))));
    steps.extend(facts.own.iter().map(|told| step(told.at, Step::Own(told.to))));
    let links = power_outages::links(facts.presence, facts.causes, span.until);
    steps.extend(links.into_iter().map(|link| step(link.at, Step::Link(link.to))));
    steps.retain(|step| step.at < span.until);
    steps.sort_by_key(|step| step.at);
    steps
}

/// How it stands at a moment.
#[derive(Debug, Clone, Copy)]
struct Now {
    own: Option<Condition>,
    station: Option<Condition>,
    link: Option<Link>,
    maintenance: Option<Maintenance>,
    /// What is left of the year's maintenance.
    maintenance_left_ms: u64,
}

/// An order to take the connector out of service, which holds.
#[derive(Debug, Clone, Copy)]
struct Maintenance {
    /// It has told that it is out of service: once it tells that it serves, the order is over.
    was_out: bool,
}

impl Default for Now {
    fn default() -> Self {
        Self {
            own: None,
            station: None,
            link: None,
            maintenance: None,
            maintenance_left_ms: MAINTENANCE_MS_PER_YEAR,
        }
    }
}

impl Now {
    fn take(&mut self, step: Step) {
        match step {
            Step::Year => self.maintenance_left_ms = MAINTENANCE_MS_PER_YEAR,
            Step::Begin => {}
            Step::Ordered { operative: true } => self.maintenance = None,
            Step::Ordered { operative: false } => {
                let was_out = self.condition().is_some_and(|told| told.state == State::Unavailable);
                self.maintenance = Some(Maintenance { was_out });
            }
            Step::Own(condition) => {
                self.own = Some(condition);
                self.end_maintenance();
            }
            Step::Station(condition) => {
                self.station = Some(condition);
                self.end_maintenance();
            }
            Step::Link(link) => self.link = Some(link),
        }
    }

    /// A connector that was out of service and serves again is not maintained any more, whoever has done
    /// that.
    fn end_maintenance(&mut self) {
        let Some(told) = self.condition() else { return };
        match &mut self.maintenance {
            Some(maintenance) if told.state == State::Unavailable => maintenance.was_out = true,
            Some(Maintenance { was_out: true }) if !told.is_down() => self.maintenance = None,
            _ => {}
        }
    }

    /// What holds of the connector: the worse of what it and its station have told.
    fn condition(&self) -> Option<Condition> {
        let own = self.own?;
        Some(match self.station {
            Some(station) if station.state == State::Faulted && own.state != State::Faulted => station,
            Some(station) if station.state == State::Unavailable && !own.is_down() => station,
            _ => own,
        })
    }
}

struct Count<'a> {
    rule: UptimeRule,
    span: &'a Span,
    now: Now,
    tally: Tally,
}

impl Count<'_> {
    /// Adds the time from `reached` up to a moment, which is reached then.
    fn up_to(&mut self, at: Timestamp, reached: &mut Timestamp) -> Counted {
        self.add(*reached, at);
        *reached = at;
        Counted { now: self.now, reached: at, tally: self.tally }
    }

    /// Adds the time between two moments, in which nothing changes.
    fn add(&mut self, from: Timestamp, to: Timestamp) {
        let is_counted = from >= self.span.since;
        let mut ms = to.since(from).as_millis() as u64;
        let (Some(told), Some(link)) = (self.now.condition(), self.now.link) else {
            if is_counted {
                self.tally.add_unknown(ms);
            }
            return;
        };
        let is_offline = link != Link::Online;
        if self.rule == UptimeRule::Cec && self.now.maintenance.is_some() && (told.is_down() || is_offline) {
            let maintained_ms = ms.min(self.now.maintenance_left_ms);
            self.now.maintenance_left_ms -= maintained_ms;
            if is_counted {
                self.tally.add(told.state, is_offline, Some(Exclusion::Maintenance), maintained_ms);
            }
            ms -= maintained_ms;
        }
        if is_counted {
            self.tally.add(told.state, is_offline, exclusion(self.rule, told, link), ms);
        }
    }
}

/// Why time that is down is left out, apart from maintenance.
fn exclusion(rule: UptimeRule, told: Condition, link: Link) -> Option<Exclusion> {
    match (rule, told.state, told.blame, link) {
        (UptimeRule::Cec, State::Faulted, Blame::Vehicle, _) => Some(Exclusion::VehicleFault),
        (UptimeRule::Cec, State::Faulted, Blame::Grid, _) => Some(Exclusion::PowerOutage),
        (_, State::Faulted | State::Unavailable, ..) => None,
        (UptimeRule::Cec | UptimeRule::Uk, .., Link::WithoutPower) => Some(Exclusion::PowerOutage),
        (UptimeRule::Uk, .., Link::Offline) => Some(Exclusion::Offline),
        _ => None,
    }
}
