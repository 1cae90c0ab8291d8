//! What sessions come to: sums by owner, station, site, day, month and quality of their energy.
//!
//! One pass over the sessions that have ended: only a row per group is in memory, and one index has all that
//! the pass reads, unless a filter asks for more.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::Store;
use crate::engine::sql::values_of;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::sessions::transaction_list::{TransactionFilter, conditions, duration_s};
use vocabulary::api::transaction::{EnergyQuality, Grouping, Status, TransactionSummary};
use vocabulary::clock::Timestamp;
use vocabulary::month::Month;
use vocabulary::zone::Zone;

/// Rows that a summary may have: more are no summary, and each costs memory.
pub const SUMMARY_ROWS_MAX: usize = 20_000;

/// Which sessions are summed, and by what.
#[derive(Debug, Clone)]
pub struct SummaryQuestion {
    /// Which ones; of these, those whose end is known.
    pub filter: TransactionFilter,
    /// What they are grouped by.
    pub by: Vec<Grouping>,
    /// Where days and months begin.
    pub zone: Zone,
}

/// What sessions come to.
#[derive(Debug, Clone)]
pub enum Summary {
    /// A row per group, sorted.
    Rows(Vec<TransactionSummary>),
    /// There are more groups than [`SUMMARY_ROWS_MAX`].
    TooMany,
}

impl Store {
    /// Sums the sessions that have ended.
    pub async fn transaction_summary(&self, question: SummaryQuestion) -> Result<Summary> {
        let now = self.inner.clock.now();
        self.read(move |db| sum(db, question, now)).await
    }
}

fn sum(
    db: &Read<'_>,
    SummaryQuestion { mut filter, by, zone }: SummaryQuestion,
    now: Timestamp,
) -> Result<Summary> {
    // A session that is active has no end yet, and one that has one is completed.
    if filter.status.take() == Some(Status::Active) {
        return Ok(Summary::Rows(Vec::new()));
    }
    let sites = if by.contains(&Grouping::Site) { sites(db)? } else { HashMap::new() };
    let index = if is_all_in_index(&filter) { " INDEXED BY transactions_by_end" } else { "" };
    let conditions = conditions(filter, now);
    let select = format!(
        "SELECT stopped_at_ms, started_at_ms, energy_quality, energy_wh, energy_estimated_wh, owner_id,
                station_id
         FROM transactions{index} WHERE stopped_at_ms IS NOT NULL AND {}",
        conditions.text()
    );
    let (mut texts, mut calendar) = (Texts::default(), Calendar::of(zone));
    let mut groups: HashMap<Key, Sums> = HashMap::new();
    let mut is_too_many = false;
    db.each(&select, &values_of(&conditions.into_values()), |row| {
        let stopped_at: Timestamp = row.get(0)?;
        let quality = row.text(2)?;
        let mut key = Key::default();
        for (place, grouping) in key.iter_mut().zip(&by) {
            *place = match grouping {
                Grouping::Owner => texts.number(row.maybe_text(5)?),
                Grouping::Station => texts.number(Some(row.text(6)?)),
                Grouping::Site => texts.number(sites.get(row.text(6)?).map(String::as_str)),
                Grouping::Day => calendar.date(stopped_at, &mut texts).day,
                Grouping::Month => calendar.date(stopped_at, &mut texts).month,
                Grouping::EnergyQuality => texts.number(Some(quality)),
            };
        }
        if groups.len() == SUMMARY_ROWS_MAX && !groups.contains_key(&key) {
            is_too_many = true;
            return Ok(ControlFlow::Break(()));
        }
        let sums = groups.entry(key).or_default();
        sums.sessions += 1;
        match quality == EnergyQuality::Metered.as_str() {
            true => add(&mut sums.energy_wh, row.get(3)?),
            false if quality == EnergyQuality::Estimated.as_str() => add(&mut sums.estimated_wh, row.get(4)?),
            false => {}
        }
        add(&mut sums.duration_s, duration_s(row.get(1)?, Some(stopped_at), false));
        Ok(ControlFlow::Continue(()))
    })?;
    if is_too_many {
        return Ok(Summary::TooMany);
    }
    let mut groups: Vec<(Vec<Option<String>>, Sums)> =
        groups.into_iter().map(|(key, sums)| (texts.of(&key[..by.len()]), sums)).collect();
    groups.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Summary::Rows(groups.into_iter().map(|(values, sums)| summary(&by, values, sums)).collect()))
}

fn add(sum: &mut i64, more: Option<i64>) {
    *sum = sum.saturating_add(more.unwrap_or(0));
}

/// Whether the index of ends has all columns that a filter asks for. Whoever asks for a station asks for few
/// sessions, which other indexes find.
fn is_all_in_index(filter: &TransactionFilter) -> bool {
    let others = TransactionFilter {
        owner_id: None,
        energy_quality: None,
        min_energy_wh: None,
        stopped_since: None,
        stopped_until: None,
        ..filter.clone()
    };
    others == TransactionFilter::default()
}

/// Where stations stand, by their identities.
fn sites(db: &Read<'_>) -> Result<HashMap<String, String>> {
    let sites = db.all("SELECT station_id, site FROM stations WHERE site IS NOT NULL", &[], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(sites.into_iter().collect())
}

/// The values of a group by their numbers in [`Texts`], in the order of the groupings.
type Key = [usize; Grouping::ALL.len()];

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    sessions: i64,
    energy_wh: i64,
    estimated_wh: i64,
    duration_s: i64,
}

fn summary(by: &[Grouping], values: Vec<Option<String>>, sums: Sums) -> TransactionSummary {
    let Sums { sessions, energy_wh, estimated_wh, duration_s } = sums;
    let mut summary =
        TransactionSummary { sessions, energy_wh, estimated_wh, duration_s, ..TransactionSummary::default() };
    for (grouping, value) in by.iter().zip(values) {
        match grouping {
            Grouping::Owner => summary.owner_id = Some(value),
            Grouping::Station => summary.station_id = value,
            Grouping::Site => summary.site = Some(value),
            Grouping::Day => summary.day = value,
            Grouping::Month => summary.month = value,
            Grouping::EnergyQuality => summary.energy_quality = value.and_then(|word| word.parse().ok()),
        }
    }
    summary
}

/// Texts by numbers, which are compared faster; the first one is NULL.
struct Texts {
    numbers: HashMap<String, usize>,
    texts: Vec<Option<String>>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { numbers: HashMap::new(), texts: vec![None] }
    }
}

impl Texts {
    fn number(&mut self, text: Option<&str>) -> usize {
        let Some(text) = text else { return 0 };
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len();
        self.texts.push(Some(text.to_owned()));
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn of(&self, numbers: &[usize]) -> Vec<Option<String>> {
        numbers.iter().map(|number| self.texts.get(*number).cloned().flatten()).collect()
    }
}

/// Days and months of a time zone. A zone is asked once for a quarter of an hour, since clocks change at
/// these, and most sessions come in the order of their ends.
struct Calendar {
    zone: Zone,
    quarter: i64,
    offset_ms: i64,
    dates: HashMap<i64, Date>,
}

/// A day and its month, by the numbers of their texts.
#[derive(Clone, Copy)]
struct Date {
    day: usize,
    month: usize,
}

const QUARTER_MS: i64 = 15 * 60_000;
const DAY_MS: i64 = 86_400_000;

impl Calendar {
    fn of(zone: Zone) -> Self {
        Self { zone, quarter: i64::MIN, offset_ms: 0, dates: HashMap::new() }
    }

    fn date(&mut self, at: Timestamp, texts: &mut Texts) -> Date {
        let quarter = at.unix_ms().div_euclid(QUARTER_MS);
        if quarter != self.quarter {
            self.offset_ms = i64::from(self.zone.offset_s(at)) * 1_000;
            self.quarter = quarter;
        }
        let local_ms = at.unix_ms().saturating_add(self.offset_ms);
        *self.dates.entry(local_ms.div_euclid(DAY_MS)).or_insert_with(|| {
            let local = Timestamp::from_unix_ms(local_ms);
            let day = local.to_string();
            Date {
                day: texts.number(day.split('T').next()),
                month: texts.number(Some(&Month::of(local, Zone::UTC).to_string())),
            }
        })
    }
}
