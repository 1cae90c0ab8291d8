//! The meter values that an event has room for.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{COLUMNS, Moment, read};
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::log::row_set::{as_list, in_list};
use crate::sessions::downsample::{self, Candidate};
use vocabulary::api::transaction::MeterValue;

/// Moments that are read for an event: with the smallest of values no more would fit into it.
const EXCERPT_MOMENTS: usize = 256;

/// Of these, moments with signed values.
const EXCERPT_SIGNED: usize = 128;

/// A value takes at least so many bytes more in an event than in its row: the times alone.
const SHOWN_BYTES_MORE: usize = 60;

/// How each value begins in its row. Within a text of JSON the quotes would be escaped.
const SAMPLE_BEGINS: &str = "{\"value\":";

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
pub(crate) fn excerpt(db: &Read<'_>, transaction_id: i64, room_bytes: usize) -> Result<Excerpt> {
    // Two indexes have it all: no row is read in vain.
    let moments: Vec<i64> = db.all(
        "SELECT seq FROM meter_values WHERE transaction_id = ?1 ORDER BY at_ms, seq",
        params![transaction_id],
        |row| row.get(0),
    )?;
    if moments.is_empty() {
        return Ok(Excerpt::default());
    }
    let signed: Vec<i64> = db.all(
        "SELECT seq FROM meter_values WHERE transaction_id = ?1 AND signed = 1",
        params![transaction_id],
        |row| row.get(0),
    )?;
    let signed: HashSet<i64> = signed.into_iter().collect();
    let signed: Vec<bool> = moments.iter().map(|seq| signed.contains(seq)).collect();
    let worth = worth_reading(&signed);
    let rows: Vec<i64> = worth.iter().map(|moment| moments[*moment]).collect();
    let sizes: HashMap<i64, usize> = db
        .all(
            &format!(
                "SELECT seq, octet_length(samples),
                        octet_length(samples) - octet_length(replace(samples, ?, ''))
                 FROM meter_values WHERE {}",
                in_list("seq")
            ),
            params![SAMPLE_BEGINS, as_list(&rows)],
            |row| {
                let (bytes, begins): (usize, usize) = (row.get(1)?, row.get(2)?);
                Ok((row.get(0)?, bytes + begins / SAMPLE_BEGINS.len() * SHOWN_BYTES_MORE))
            },
        )?
        .into_iter()
        .collect();
    let candidate = |moment: usize| {
        let bytes = sizes.get(&moments[moment]).copied().unwrap_or_default();
        Candidate { moment, signed: signed[moment], bytes }
    };
    let candidates: Vec<Candidate> = worth.into_iter().map(candidate).collect();
    // What cannot fit is not even read. A moment at either end is, whatever its size: some of it may fit.
    let fits = downsample::choose(&candidates, room_bytes);
    let is_end = |moment: usize| moment == 0 || moment + 1 == moments.len();
    let mut excerpt = Excerpt { values: Vec::new(), cut: candidates.len() < moments.len() };
    let mut wanted = Vec::new();
    for (Candidate { moment, .. }, fits) in candidates.into_iter().zip(fits) {
        match fits || is_end(moment) {
            true => wanted.push(moment),
            false => excerpt.cut = true,
        }
    }
    let rows: Vec<i64> = wanted.iter().map(|moment| moments[*moment]).collect();
    let select = format!("SELECT {COLUMNS} FROM meter_values WHERE {} ORDER BY at_ms, seq", in_list("seq"));
    let read = db.all(&select, params![as_list(&rows)], read)?;
    for (moment, of_row) in wanted.into_iter().zip(read) {
        let Moment { occurred_at, received_at, samples, .. } = of_row;
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
