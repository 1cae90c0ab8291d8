//! How far uptime was counted at the last report, so that the next one goes on from there.
//!
//! A report on a month of a large fleet reads millions of changes; the next one only needs those since. So
//! each connector's count is kept as it stood [`KEPT_BEHIND`] before the end of the report, for the few
//! spans that are asked for. A change that is dated before that makes the counts of its station void: it is
//! counted from the beginning next time. Who owns a station, and where it stands, is not kept: every report
//! reads that anew.
//!
//! **Invariant**: a report is the same whatever is kept. A change is noted before whoever made it hears of
//! its commit, so nobody who knows of a correction sees a count without it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::uptime::{Counted, Span};
use vocabulary::api::report::UptimeRule;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// How far behind the end of a report counts are kept: most changes that are told late are not later.
const KEPT_BEHIND: Duration = Duration::from_secs(30 * 60);

/// Spans that are kept at once; the one that was not asked for the longest goes first.
const SERIES_MAX: usize = 6;

/// A span that begins at such a moment is one that is asked for again, such as a month in any time zone. One
/// that begins so many days ago begins at another moment each time.
const ROUND_MS: i64 = 15 * 60_000;

/// Reports that begin alike: one goes on where the other ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Series {
    rule: UptimeRule,
    since: Timestamp,
    counted_from: Timestamp,
    years: Vec<Timestamp>,
    /// `None`: reports end now, or lately.
    until: Option<Timestamp>,
}

/// The counts of a station's connectors, as they stood at a moment.
#[derive(Debug, Clone)]
pub(crate) struct StationCount {
    pub(crate) connectors: Vec<(i64, Counted)>,
    /// Until when everything is counted.
    pub(crate) reached: Timestamp,
    /// Since when the station is away, if it was away then.
    pub(crate) away_since: Option<Timestamp>,
}

/// The counts of stations, by their names.
pub(crate) type Counts = HashMap<Arc<str>, Arc<StationCount>>;

/// What a report can go on from.
pub(crate) struct Beginning {
    /// `None`: nothing of it is to be kept.
    series: Option<Series>,
    /// The counts that there are.
    pub(crate) counts: Counts,
    /// The moment as of which counts are to be kept.
    pub(crate) keep_at: Option<Timestamp>,
    /// Corrections after this one may not be in what the report reads.
    as_of: u64,
}

impl Beginning {
    /// Nothing is kept, and nothing will be.
    pub(crate) fn nothing() -> Self {
        Self { series: None, counts: Counts::new(), keep_at: None, as_of: 0 }
    }
}

#[derive(Default)]
struct Kept {
    /// The one that was asked for last stands last.
    series: Vec<(Series, Counts)>,
    /// Counts corrections.
    corrections: u64,
    /// The number of each station's last correction, and the earliest moment that any was about.
    corrected: HashMap<String, (u64, Timestamp)>,
}

/// The counts that are kept; see the module.
#[derive(Default)]
pub(crate) struct KeptCounts {
    kept: Mutex<Kept>,
}

impl KeptCounts {
    /// What a report can go on from. To be asked before the report opens its view of the database; `changes`
    /// is what was written since the last call, each with the moment from which on the past is another.
    pub(crate) fn begin(
        &self,
        rule: UptimeRule,
        span: &Span,
        now: Timestamp,
        changes: HashMap<StationId, Timestamp>,
    ) -> Beginning {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.correct(changes);
        let latest = Timestamp::from_unix_ms(now.unix_ms() - KEPT_BEHIND.as_millis() as i64);
        let keep_at = span.until.min(latest);
        if span.since.unix_ms() % ROUND_MS != 0 || keep_at <= span.counted_from {
            return Beginning::nothing();
        }
        let Span { since, until, counted_from, years } = span.clone();
        let until = (until <= latest).then_some(until);
        let series = Series { rule, since, counted_from, years, until };
        let place = kept.series.iter().position(|(known, _)| *known == series);
        let known = place.map_or_else(Counts::new, |place| kept.series.remove(place).1);
        // Counts of before our clock was set back reach too far.
        let counts = known.iter().filter(|(_, count)| count.reached <= keep_at);
        let counts = counts.map(|(station, count)| (station.clone(), count.clone())).collect();
        kept.series.push((series.clone(), known));
        if kept.series.len() > SERIES_MAX {
            kept.series.remove(0);
        }
        Beginning { series: Some(series), counts, keep_at: Some(keep_at), as_of: kept.corrections }
    }

    /// Keeps the counts that a report has come to from `beginning`, but for those that were corrected
    /// meanwhile. `changes` as in [`KeptCounts::begin`].
    pub(crate) fn keep(&self, beginning: Beginning, counts: Counts, changes: HashMap<StationId, Timestamp>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.correct(changes);
        let Kept { series, corrected, .. } = &mut *kept;
        let known = series.iter_mut().find(|(known, _)| Some(known) == beginning.series.as_ref());
        let Some((_, known)) = known else { return };
        known.extend(counts.into_iter().filter(|(station, count)| {
            !corrected
                .get(&**station)
                .is_some_and(|(number, from)| *number > beginning.as_of && *from < count.reached)
        }));
    }
}

impl Kept {
    fn correct(&mut self, changes: HashMap<StationId, Timestamp>) {
        for (station, from) in changes {
            self.corrections += 1;
            for (_, counts) in &mut self.series {
                if counts.get(station.as_str()).is_some_and(|count| from < count.reached) {
                    counts.remove(station.as_str());
                }
            }
            let known = self.corrected.entry(station.to_string()).or_insert((0, from));
            *known = (self.corrections, from.min(known.1));
        }
    }
}
