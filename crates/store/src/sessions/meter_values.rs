//! The meter values of a transaction: kept once each, listed in the charger's time order.
//!
//! A row holds everything that was sampled at one moment of a message, as JSON: written ten times a minute
//! by thousands of chargers, read when somebody looks at one session.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::listing::{Listed, Slice};
use crate::sessions::downsample;
use crate::sessions::downsample::Candidate;
use vocabulary::api::transaction::MeterValue;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::fact::{self, SampledValue};

/// Rows of one moment that a new one is compared with. A retry comes soon; a clock that stands still names
/// the same moment for ever.
const COMPARED_ROWS: u32 = 50;

/// Moments that are read for an event: with the smallest of values no more would fit into it.
const EXCERPT_MOMENTS: usize = 256;

/// Of these, moments with signed values.
const EXCERPT_SIGNED: usize = 128;

/// A value takes at least so many bytes more in an event than in its row: the times alone.
const SHOWN_BYTES_MORE: usize = 60;

/// One sampled value as a row holds it: what is OCPP's default is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sample<'a> {
    value: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base: Option<Cow<'a, str>>,
    #[serde(default = "Usual::measurand", skip_serializing_if = "Usual::is_measurand")]
    measurand: Cow<'a, str>,
    #[serde(default = "Usual::context", skip_serializing_if = "Usual::is_context")]
    context: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phase: Option<Cow<'a, str>>,
    #[serde(default = "Usual::location", skip_serializing_if = "Usual::is_location")]
    location: Cow<'a, str>,
    #[serde(default = "Usual::format", skip_serializing_if = "Usual::is_format")]
    format: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    derived: bool,
}

/// What OCPP 1.6 (section 7.43) takes a member of a sampled value for that was not sent.
struct Usual;

macro_rules! defaults {
    ($($name:ident, $is:ident: $value:literal;)+) => {
        impl Usual {
            $(
                fn $name() -> Cow<'static, str> {
                    Cow::Borrowed($value)
                }

                fn $is(text: &str) -> bool {
                    text == $value
                }
            )+
        }
    };
}

defaults! {
    measurand, is_measurand: "Energy.Active.Import.Register";
    context, is_context: "Sample.Periodic";
    location, is_location: "Outlet";
    format, is_format: "Raw";
}

/// The format of a value that is a signed document.
pub(crate) const SIGNED_DATA: &str = "SignedData";

impl<'a> Sample<'a> {
    fn of(sampled: &'a SampledValue) -> Self {
        Self {
            value: Cow::Borrowed(&sampled.value),
            value_base: sampled.value_base.as_deref().map(Cow::Borrowed),
            measurand: Cow::Borrowed(&sampled.measurand),
            context: Cow::Borrowed(&sampled.context),
            phase: sampled.phase.as_deref().map(Cow::Borrowed),
            location: Cow::Borrowed(&sampled.location),
            format: Cow::Borrowed(&sampled.format),
            unit: sampled.unit.as_deref().map(Cow::Borrowed),
            derived: sampled.derived,
        }
    }

    fn shown(self, occurred_at: Option<Timestamp>, received_at: Timestamp) -> MeterValue {
        MeterValue {
            occurred_at,
            received_at,
            measurand: self.measurand.into_owned(),
            context: self.context.into_owned(),
            phase: self.phase.map(Cow::into_owned),
            location: self.location.into_owned(),
            format: self.format.into_owned(),
            unit: self.unit.map(Cow::into_owned),
            value: self.value.into_owned(),
            value_base: self.value_base.map(Cow::into_owned),
            derived: self.derived,
        }
    }
}

/// Everything that was sampled at one moment of a message.
struct Moment {
    seq: i64,
    at_ms: i64,
    occurred_at: Option<Timestamp>,
    received_at: Timestamp,
    samples: Vec<Sample<'static>>,
}

const COLUMNS: &str = "seq, at_ms, occurred_at_ms, received_at_ms, samples";

fn read(row: &Row<'_>) -> rusqlite::Result<Moment> {
    Ok(Moment {
        seq: row.get(0)?,
        at_ms: row.get(1)?,
        occurred_at: cells::maybe_moment(row, 2)?,
        received_at: cells::moment(row, 3)?,
        samples: cells::json(row, 4)?,
    })
}

/// Which meter values of a transaction are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct MeterValueFilter {
    /// What was measured.
    pub measurand: Option<String>,
    /// Why it was measured just then.
    pub context: Option<String>,
    /// The phase, or the pair of phases.
    pub phase: Option<String>,
    /// Where it was measured.
    pub location: Option<String>,
    /// `Raw` or `SignedData`.
    pub format: Option<String>,
    /// It arrived then or later.
    pub since: Option<Timestamp>,
    /// It arrived before that.
    pub until: Option<Timestamp>,
}

impl MeterValueFilter {
    fn wants(&self, moment: &Moment, sample: &Sample<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        is(&self.measurand, Some(&sample.measurand))
            && is(&self.context, Some(&sample.context))
            && is(&self.phase, sample.phase.as_deref())
            && is(&self.location, Some(&sample.location))
            && is(&self.format, Some(&sample.format))
            && self.since.is_none_or(|since| moment.received_at >= since)
            && self.until.is_none_or(|until| moment.received_at < until)
    }
}

impl Store {
    /// One page of a transaction's meter values that `filter` wants, in the charger's time order; values
    /// without a time of their own stand where they arrived.
    pub async fn meter_values(
        &self,
        transaction_id: i64,
        filter: MeterValueFilter,
        slice: Slice,
    ) -> Result<Listed<MeterValue>> {
        self.read(move |conn| list(conn, transaction_id, &filter, &slice)).await
    }
}

/// A value's place in its row; a message holds fewer.
const PLACE_BITS: u32 = 16;

fn list(
    conn: &Connection,
    transaction_id: i64,
    filter: &MeterValueFilter,
    slice: &Slice,
) -> Result<Listed<MeterValue>> {
    let (beyond, direction) = if slice.ascending { (">=", "ASC") } else { ("<=", "DESC") };
    let start = if slice.ascending { (i64::MIN, i64::MIN) } else { (i64::MAX, i64::MAX) };
    let after = slice.after.unwrap_or(start);
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM meter_values WHERE transaction_id = ?1 AND at_ms {beyond} ?2
         ORDER BY at_ms {direction}, seq {direction}"
    ))?;
    let mut found = statement.query(params![transaction_id, after.0])?;
    let mut rows = Vec::new();
    let mut last = after;
    while let Some(row) = found.next()? {
        let moment = read(row)?;
        let mut places: Vec<usize> = (0..moment.samples.len()).collect();
        if !slice.ascending {
            places.reverse();
        }
        for place in places {
            let position = (moment.at_ms, moment.seq << PLACE_BITS | place as i64);
            let is_behind = if slice.ascending { position > after } else { position < after };
            let sample = &moment.samples[place];
            if !is_behind || !filter.wants(&moment, sample) {
                continue;
            }
            if rows.len() == slice.limit as usize {
                return Ok(Listed { rows, next: Some(last) });
            }
            last = position;
            rows.push(sample.clone().shown(moment.occurred_at, moment.received_at));
        }
    }
    Ok(Listed { rows, next: None })
}

/// Keeps what was metered in a transaction; what is equal in moment and content is kept once.
pub(crate) fn keep(
    w: &Tx<'_>,
    transaction_id: i64,
    values: &[fact::MeterValue],
    received_at: Timestamp,
) -> Result<()> {
    for value in values {
        let mut samples: Vec<Sample<'_>> = value.sampled_value.iter().map(Sample::of).collect();
        if let Some(at) = value.timestamp {
            leave_out_known(w, transaction_id, at, &mut samples)?;
        }
        if samples.is_empty() {
            continue;
        }
        let signed = samples.iter().any(|sample| sample.format == SIGNED_DATA);
        let text = serde_json::to_string(&samples)?;
        if value.timestamp.is_none() && is_known(w, transaction_id, &text)? {
            continue;
        }
        w.conn
            .prepare_cached(
                "INSERT INTO meter_values (transaction_id, occurred_at_ms, received_at_ms, at_ms, signed, samples)
                 VALUES (?1, ?2, ?3, coalesce(?2, ?3), ?4, ?5)",
            )?
            .execute(params![
                transaction_id,
                value.timestamp.map(Timestamp::unix_ms),
                received_at.unix_ms(),
                signed,
                text
            ])?;
    }
    Ok(())
}

/// A stop repeats some of what was sent before: each value is compared by itself.
fn leave_out_known(
    w: &Tx<'_>,
    transaction_id: i64,
    at: Timestamp,
    samples: &mut Vec<Sample<'_>>,
) -> Result<()> {
    let mut statement = w.conn.prepare_cached(
        "SELECT samples FROM meter_values WHERE transaction_id = ?1 AND at_ms = ?2 AND occurred_at_ms IS NOT NULL
         ORDER BY seq DESC LIMIT ?3",
    )?;
    let mut known = statement.query(params![transaction_id, at.unix_ms(), COMPARED_ROWS])?;
    while let Some(row) = known.next()? {
        let known: Vec<Sample<'static>> = cells::json(row, 0)?;
        samples.retain(|sample| !known.contains(sample));
    }
    Ok(())
}

/// Without a time, a message that says the same is taken for the same.
fn is_known(w: &Tx<'_>, transaction_id: i64, samples: &str) -> Result<bool> {
    let known = w
        .conn
        .prepare_cached(
            "SELECT 1 FROM meter_values WHERE transaction_id = ?1 AND samples = ?2 AND occurred_at_ms IS NULL",
        )?
        .exists(params![transaction_id, samples])?;
    Ok(known)
}

/// The charger's time of the last value.
pub(crate) fn last_at(conn: &Connection, transaction_id: i64) -> Result<Option<Timestamp>> {
    let last: Option<i64> = conn
        .prepare_cached("SELECT max(at_ms) FROM meter_values WHERE transaction_id = ?1")?
        .query_row([transaction_id], |row| row.get(0))?;
    Ok(last.map(Timestamp::from_unix_ms))
}

/// What an event may tell of a transaction's meter values, in the charger's time order.
#[derive(Debug, Default)]
pub(crate) struct Excerpt {
    /// Each value with the number of its moment.
    pub(crate) values: Vec<(usize, MeterValue)>,
    /// There are more.
    pub(crate) cut: bool,
}

/// What may fit into an event with `room_bytes` for a transaction's meter values: the first and the last
/// moment, those with signed values, and others spread evenly between them.
pub(crate) fn excerpt(conn: &Connection, transaction_id: i64, room_bytes: usize) -> Result<Excerpt> {
    // Two indexes have it all: no row is read in vain.
    let moments: Vec<i64> = conn
        .prepare_cached("SELECT seq FROM meter_values WHERE transaction_id = ?1 ORDER BY at_ms, seq")?
        .query_map([transaction_id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let signed: HashSet<i64> = conn
        .prepare_cached("SELECT seq FROM meter_values WHERE transaction_id = ?1 AND signed = 1")?
        .query_map([transaction_id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let signed: Vec<bool> = moments.iter().map(|seq| signed.contains(seq)).collect();
    let mut sizes = conn.prepare_cached(
        "SELECT octet_length(samples) + ?2 * json_array_length(samples) FROM meter_values WHERE seq = ?1",
    )?;
    let mut candidates = Vec::new();
    for moment in worth_reading(&signed) {
        let bytes: i64 =
            sizes.query_row(params![moments[moment], SHOWN_BYTES_MORE as i64], |row| row.get(0))?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        candidates.push(Candidate { moment, signed: signed[moment], bytes });
    }
    // What cannot fit is not even read. A moment at either end is, whatever its size: some of it may fit.
    let fits = downsample::choose(&candidates, room_bytes);
    let is_end = |moment: usize| moment == 0 || moment + 1 == moments.len();
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM meter_values WHERE seq = ?1"))?;
    let mut excerpt = Excerpt { values: Vec::new(), cut: candidates.len() < moments.len() };
    for (Candidate { moment, .. }, fits) in candidates.into_iter().zip(fits) {
        if !fits && !is_end(moment) {
            excerpt.cut = true;
            continue;
        }
        let Moment { occurred_at, received_at, samples, .. } =
            statement.query_row([moments[moment]], read)?;
        let shown = samples.into_iter().map(|sample| (moment, sample.shown(occurred_at, received_at)));
        excerpt.values.extend(shown);
    }
    Ok(excerpt)
}

/// The places of the moments to look at, in order: the ends, those with signed values, and others evenly.
fn worth_reading(signed: &[bool]) -> Vec<usize> {
    let all = signed.len();
    let with_signed: Vec<usize> = (0..all).filter(|place| signed[*place]).collect();
    let ends = all.checked_sub(1).into_iter().chain((all > 0).then_some(0));
    let mut worth: BTreeSet<usize> =
        ends.chain(spread(with_signed.len(), EXCERPT_SIGNED).map(|place| with_signed[place])).collect();
    worth.extend(spread(all, EXCERPT_MOMENTS - worth.len()));
    worth.into_iter().collect()
}

/// At most `wanted` of `all` places, the first and the last among them, the others evenly between.
fn spread(all: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let taken = all.min(wanted);
    (0..taken).map(move |place| if taken > 1 { place * (all - 1) / (taken - 1) } else { place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_leaves_out_what_goes_without_saying() {
        let sampled = SampledValue {
            value: "1.50".to_owned(),
            value_base: Some("1500".to_owned()),
            measurand: "Energy.Active.Import.Register".to_owned(),
            context: "Sample.Periodic".to_owned(),
            phase: None,
            location: "Outlet".to_owned(),
            format: "Raw".to_owned(),
            unit: Some("kWh".to_owned()),
            derived: false,
        };
        let text = serde_json::to_string(&Sample::of(&sampled)).expect("JSON");
        assert_eq!(text, r#"{"value":"1.50","value_base":"1500","unit":"kWh"}"#);
        assert_eq!(serde_json::from_str::<Sample<'_>>(&text).expect("reads back"), Sample::of(&sampled));
        let odd = SampledValue {
            measurand: "Voltage".to_owned(),
            context: "Trigger".to_owned(),
            phase: Some("L1".to_owned()),
            location: "EV".to_owned(),
            format: SIGNED_DATA.to_owned(),
            value_base: None,
            derived: true,
            ..sampled
        };
        let text = serde_json::to_string(&Sample::of(&odd)).expect("JSON");
        assert_eq!(serde_json::from_str::<Sample<'_>>(&text).expect("reads back"), Sample::of(&odd));
    }

    #[test]
    fn the_ends_what_is_signed_and_others_evenly_are_worth_reading() {
        assert_eq!(worth_reading(&[]), [0usize; 0]);
        assert_eq!(worth_reading(&[false]), [0]);
        assert_eq!(worth_reading(&[false, false, true, false]), [0, 1, 2, 3]);
        let mut many = vec![false; 10_000];
        many[4_321] = true;
        let places = worth_reading(&many);
        assert!(places.contains(&4_321));
        assert_eq!((places.first(), places.last()), (Some(&0), Some(&9_999)));
        let gaps: Vec<_> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (1..=80).contains(gap)), "evenly: {gaps:?}");
        let all_signed = worth_reading(&[true; 10_000]).len();
        assert!(places.len().max(all_signed) <= EXCERPT_MOMENTS, "{} {all_signed}", places.len());
    }
}
