//! What a session comes to: one `TransactionCompleted` in the commit that ends it, and a
//! `TransactionCorrected` for each change of its stop, energy or times afterwards.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::log::append::{self, AppendOptions, Owner};
use crate::sessions::downsample::{self, Candidate};
use crate::sessions::ended_by::EndedBy;
use crate::sessions::transactions::{self, MatchedStop, MeteredTransaction};
use crate::sessions::{meter_values, transaction_list};
use vocabulary::api::transaction::{EnergyQuality, Transaction};
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};
use vocabulary::ocpp::fact::{MeterValue, SessionEnded};

/// The largest payload of the two events. A webhook's body, with what stands around the payload, has at
/// most 64 KiB.
const PAYLOAD_MAX_BYTES: usize = 63 << 10;

/// Adds meter values to a transaction. One that is over stays so, and is corrected if its energy changes.
pub(crate) fn add_meter_values(
    w: &mut Tx<'_>,
    of: MeteredTransaction,
    values: &[MeterValue],
    occurred_at: Option<Timestamp>,
    received_at: Timestamp,
) -> Result<()> {
    let before = match of.completed {
        true => transaction_list::by_id(w, of.transaction_id, w.now)?,
        false => None,
    };
    meter_values::insert(w, of.transaction_id, values, received_at)?;
    transactions::add_readings(w, of, values, received_at, false)?;
    match before {
        Some(before) => correct(w, &before, occurred_at),
        None if of.orphaned => transactions::set_orphan_activity(w, of.transaction_id),
        None => Ok(()),
    }
}

/// Ends a transaction with its first stop, or corrects one that was ended without the charger's word.
pub(crate) fn stop(w: &mut Tx<'_>, stop: &SessionEnded, matched: &MatchedStop) -> Result<()> {
    let before = match matched.completed {
        true => transaction_list::by_id(w, matched.transaction_id, w.now)?,
        false => None,
    };
    meter_values::insert(w, matched.transaction_id, &stop.transaction_data, matched.received_at)?;
    let of = MeteredTransaction {
        completed: matched.completed,
        ..MeteredTransaction::open(matched.transaction_id)
    };
    transactions::add_readings(w, of, &stop.transaction_data, matched.received_at, true)?;
    transactions::end(w, stop, matched)?;
    match before {
        Some(before) => correct(w, &before, matched.occurred_at),
        None => complete(w, matched.transaction_id, matched.occurred_at),
    }
}

/// Appends the event that a transaction is complete. `occurred_at`: when it ended, if the charger said so.
pub(crate) fn complete(w: &mut Tx<'_>, transaction_id: i64, occurred_at: Option<Timestamp>) -> Result<()> {
    let transaction = current(w, transaction_id)?;
    append(w, "TransactionCompleted", &transaction, None, occurred_at)
}

/// Counts a change of a completed transaction and appends its event, if anything has changed that counts.
fn correct(w: &mut Tx<'_>, before: &Transaction, occurred_at: Option<Timestamp>) -> Result<()> {
    let after = current(w, before.transaction_id)?;
    let changed = changed(before, &after);
    if changed.is_empty() {
        return Ok(());
    }
    let stamp = transactions::next_stamp(w)?;
    w.run(
        "UPDATE transactions SET revision = revision + 1, updated_at_ms = ?2, change_seq = ?3
         WHERE transaction_id = ?1",
        params![before.transaction_id, stamp.at, stamp.seq],
    )?;
    let after = current(w, before.transaction_id)?;
    append(w, "TransactionCorrected", &after, Some(changed), occurred_at)
}

fn current(w: &Tx<'_>, transaction_id: i64) -> Result<Transaction> {
    transaction_list::by_id(w, transaction_id, w.now)?
        .ok_or_else(|| StoreError::Corrupt(format!("transaction {transaction_id} is gone")))
}

/// The fields of a stop, of energy or of times that differ; none if all that differs is an estimate that
/// nobody uses, because the meter's own readings are there.
fn changed(before: &Transaction, after: &Transaction) -> Vec<&'static str> {
    let mut changed = Vec::new();
    macro_rules! compare {
        ($($field:ident)+) => {
            $(if before.$field != after.$field {
                changed.push(stringify!($field));
            })+
        };
    }
    compare!(orphaned inferred started_at stopped_at meter_start meter_stop stop_reason stop_id_tag);
    compare!(energy_wh energy_quality);
    let estimate_counts = [before, after].iter().any(|of| of.energy_quality == EnergyQuality::Estimated);
    if !changed.is_empty() || estimate_counts {
        compare!(energy_estimated_wh);
    }
    changed
}

/// The payload of both events.
#[derive(Serialize)]
struct SessionPayload<'a> {
    #[serde(flatten)]
    transaction: &'a Transaction,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<&'static str>>,
    missing: Vec<&'static str>,
    meter_values: Vec<Box<RawValue>>,
    meter_values_truncated: bool,
}

fn append(
    w: &mut Tx<'_>,
    name: &str,
    transaction: &Transaction,
    changed: Option<Vec<&'static str>>,
    occurred_at: Option<Timestamp>,
) -> Result<()> {
    let missing = missing(w, transaction)?;
    let mut payload = SessionPayload {
        transaction,
        changed,
        missing,
        meter_values: Vec::new(),
        meter_values_truncated: false,
    };
    let bare_bytes = to_raw_value(&payload)?.get().len();
    fill_meter_values(w, &mut payload, PAYLOAD_MAX_BYTES.saturating_sub(bare_bytes))?;
    let event = NewEvent {
        station_id: Some(transaction.station_id.clone()),
        occurred_at,
        transaction_id: Some(transaction.transaction_id),
        ..NewEvent::new(Category::Transaction, name, w.now, to_raw_value(&payload)?)
    };
    // The session is the customer's whose station it was when it began.
    let owner_id = transaction.owner_id.as_deref();
    append::append(w, &event, AppendOptions { owner: Owner::Known(owner_id), ..AppendOptions::default() })
        .map(drop)
}

fn fill_meter_values(w: &Tx<'_>, payload: &mut SessionPayload<'_>, room_bytes: usize) -> Result<()> {
    let excerpt = meter_values::excerpt(w, payload.transaction.transaction_id, room_bytes)?;
    let mut texts = Vec::with_capacity(excerpt.values.len());
    let mut candidates = Vec::with_capacity(excerpt.values.len());
    for (moment, value) in excerpt.values {
        let text = to_raw_value(&value)?;
        // With the comma behind it.
        let bytes = text.get().len() + 1;
        candidates.push(Candidate { moment, signed: value.format == meter_values::SIGNED_DATA, bytes });
        texts.push(text);
    }
    let kept = downsample::choose(&candidates, room_bytes);
    payload.meter_values_truncated = excerpt.cut || kept.contains(&false);
    payload.meter_values =
        texts.into_iter().zip(kept).filter_map(|(text, kept)| kept.then_some(text)).collect();
    Ok(())
}

/// The facts that are missing: the start or the stop came without them, or never came.
fn missing(w: &Tx<'_>, transaction: &Transaction) -> Result<Vec<&'static str>> {
    let (start_untimed, stop_untimed): (bool, bool) = w.one(
        "SELECT start_timestamp_text IS NULL,
                CASE ended_by WHEN ?2 THEN stop_timestamp_text IS NULL ELSE ended_by = ?3 END
         FROM transactions WHERE transaction_id = ?1",
        params![transaction.transaction_id, EndedBy::Stop.as_str(), EndedBy::Orphan.as_str()],
        |row| Ok((row.get(0)?, row.get::<Option<bool>>(1)?.unwrap_or(false))),
    )?;
    let facts = [
        ("connector_id", transaction.connector_id.is_none()),
        ("id_tag", transaction.id_tag.is_none()),
        ("started_at", start_untimed),
        ("meter_start", transaction.meter_start.is_none()),
        ("stopped_at", stop_untimed),
        ("meter_stop", transaction.meter_stop.is_none()),
    ];
    Ok(facts.into_iter().filter_map(|(name, is_missing)| is_missing.then_some(name)).collect())
}
