//! The meter values of a transaction: kept once each, listed in the charger's time order.
//!
//! A row holds everything that was sampled at one moment of a message, as JSON: written ten times a minute
//! by thousands of chargers, read when somebody looks at one session.

mod excerpt;
mod sample;

use std::ops::ControlFlow;

use crate::Store;
use crate::engine::job::Foreseen;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::listing::{Listed, Slice};
use vocabulary::api::transaction::MeterValue;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::fact;

pub(crate) use excerpt::excerpt;
pub(crate) use sample::SIGNED_DATA;
use sample::Sample;

/// Rows of one moment that a new one is compared with. A retry comes soon; a clock that stands still names
/// the same moment for ever.
const COMPARED_ROWS: u32 = 50;

/// Everything that was sampled at one moment of a message.
struct Moment {
    seq: i64,
    at_ms: i64,
    occurred_at: Option<Timestamp>,
    received_at: Timestamp,
    samples: Vec<Sample<'static>>,
}

const COLUMNS: &str = "seq, at_ms, occurred_at_ms, received_at_ms, samples";

fn read(row: &Row<'_>) -> Result<Moment> {
    Ok(Moment {
        seq: row.get(0)?,
        at_ms: row.get(1)?,
        occurred_at: row.get(2)?,
        received_at: row.get(3)?,
        samples: row.json(4)?,
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
        self.read(move |db| list(db, transaction_id, &filter, &slice)).await
    }
}

/// A value's place in its row; a message holds fewer.
const PLACE_BITS: u32 = 16;

fn list(
    db: &Read<'_>,
    transaction_id: i64,
    filter: &MeterValueFilter,
    slice: &Slice,
) -> Result<Listed<MeterValue>> {
    let (beyond, direction) = if slice.ascending { (">=", "ASC") } else { ("<=", "DESC") };
    let start = if slice.ascending { (i64::MIN, i64::MIN) } else { (i64::MAX, i64::MAX) };
    let after = slice.after.unwrap_or(start);
    let mut listed = Listed { rows: Vec::new(), next: None };
    let mut last = after;
    let select = format!(
        "SELECT {COLUMNS} FROM meter_values WHERE transaction_id = ?1 AND at_ms {beyond} ?2
         ORDER BY at_ms {direction}, seq {direction}"
    );
    db.each(&select, params![transaction_id, after.0], |row| {
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
            if listed.rows.len() == slice.limit as usize {
                listed.next = Some(last);
                return Ok(ControlFlow::Break(()));
            }
            last = position;
            listed.rows.push(sample.clone().shown(moment.occurred_at, moment.received_at));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(listed)
}

/// Inserts what was metered in a transaction; what is equal in moment and content is kept once.
pub(crate) fn insert(
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
        w.send(
            "INSERT INTO meter_values (transaction_id, occurred_at_ms, received_at_ms, at_ms, signed, samples)
             VALUES (?1, ?2, ?3, coalesce(?2, ?3), ?4, ?5)",
            params![transaction_id, value.timestamp, received_at, signed, text],
        )?;
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
    w.each(OF_MOMENT, params![transaction_id, at, COMPARED_ROWS], |row| {
        let known: Vec<Sample<'static>> = row.json(0)?;
        samples.retain(|sample| !known.contains(sample));
        Ok(ControlFlow::Continue(()))
    })
}

const OF_MOMENT: &str = "SELECT samples FROM meter_values
         WHERE transaction_id = ?1 AND at_ms = ?2 AND occurred_at_ms IS NOT NULL ORDER BY seq DESC LIMIT ?3";

/// What [`insert`] reads for values of this moment.
pub(crate) fn foreseen(transaction_id: i64, at: Timestamp) -> Foreseen {
    Foreseen::new(OF_MOMENT, params![transaction_id, at, COMPARED_ROWS])
}

/// Without a time, a message that says the same is taken for the same.
fn is_known(w: &Tx<'_>, transaction_id: i64, samples: &str) -> Result<bool> {
    w.has(
        "SELECT 1 FROM meter_values WHERE transaction_id = ?1 AND samples = ?2 AND occurred_at_ms IS NULL",
        params![transaction_id, samples],
    )
}

/// Moments that tell what a session shows: a charger may send each kind of value by itself.
const NEWEST_MOMENTS: u32 = 8;

/// What was metered last, oldest first.
pub(crate) fn newest(db: &Read<'_>, transaction_id: i64) -> Result<Vec<fact::MeterValue>> {
    let select = format!(
        "SELECT {COLUMNS} FROM meter_values WHERE transaction_id = ?1 ORDER BY at_ms DESC, seq DESC LIMIT ?2"
    );
    let mut moments = db.all(&select, params![transaction_id, NEWEST_MOMENTS], read)?;
    moments.reverse();
    let value = |moment: Moment| fact::MeterValue {
        timestamp: Some(Timestamp::from_unix_ms(moment.at_ms)),
        sampled_value: moment.samples.into_iter().map(Sample::sampled).collect(),
    };
    Ok(moments.into_iter().map(value).collect())
}

/// The charger's time of the last value.
pub(crate) fn last_at(db: &Read<'_>, transaction_id: i64) -> Result<Option<Timestamp>> {
    db.one("SELECT max(at_ms) FROM meter_values WHERE transaction_id = ?1", params![transaction_id], |row| {
        row.get(0)
    })
}
