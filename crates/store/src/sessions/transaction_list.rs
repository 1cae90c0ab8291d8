//! Transactions as they are looked up and listed.

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use crate::sessions::energy::{self, Energy};
use crate::sessions::transactions::{EVIDENCE, evidence};
use vocabulary::api::transaction::{Status, Transaction};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::authorization::id_tag_key;

/// Which transactions are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct TransactionFilter {
    /// The station it runs on.
    pub station_id: Option<String>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// The connector it runs on.
    pub connector_id: Option<i64>,
    /// Whether it is over.
    pub status: Option<Status>,
    /// Who started it; letter case does not matter.
    pub id_tag: Option<String>,
    /// Some fact about its stop is not the charger's own.
    pub inferred: Option<bool>,
    /// Its start arrived then or later.
    pub since: Option<Timestamp>,
    /// Its start arrived before that.
    pub until: Option<Timestamp>,
    /// It began then or later, by the charger's clock.
    pub started_since: Option<Timestamp>,
    /// It began before that.
    pub started_until: Option<Timestamp>,
    /// It ended then or later, by the charger's clock.
    pub stopped_since: Option<Timestamp>,
    /// It ended before that.
    pub stopped_until: Option<Timestamp>,
    /// Something about it changed then or later. With an ascending order the list is sorted by that.
    pub updated_since: Option<Timestamp>,
}

impl TransactionFilter {
    /// Whether a list in this order is sorted by the last change, for polling.
    pub fn sorts_by_update(&self, ascending: bool) -> bool {
        ascending && self.updated_since.is_some()
    }
}

/// Those of [`EVIDENCE`] follow.
const COLUMNS: &str =
    "transaction_id, station_id, connector_id, owner_id, id_tag, id_tag_status, reservation_id, command_id,
    status, orphaned, inferred, started_at_ms, stopped_at_ms, stop_reason, stop_id_tag, revision,
    updated_at_ms";

/// How many these are.
const COLUMN_COUNT: usize = 17;

/// The columns before [`COLUMNS`] in every query: what the list is sorted by.
const KEYS: usize = 2;

impl Store {
    /// The transaction of this number.
    pub async fn transaction(&self, transaction_id: i64) -> Result<Option<Transaction>> {
        self.read(move |db| by_id(db, transaction_id)).await
    }

    /// One page of the transactions that `filter` wants, by the order in which they began, or by their last
    /// change (see [`TransactionFilter::sorts_by_update`]).
    pub async fn transactions(&self, filter: TransactionFilter, slice: Slice) -> Result<Listed<Transaction>> {
        self.read(move |db| {
            if filter.sorts_by_update(slice.ascending) {
                // Nothing that changes later gets a place before this one: a poller misses nothing.
                let select =
                    format!("SELECT updated_at_ms, change_seq, {COLUMNS}, {EVIDENCE} FROM transactions");
                let keys = ["updated_at_ms", "change_seq"];
                return page(db, &select, &keys, conditions(filter), &slice, read);
            }
            let select =
                format!("SELECT transaction_id, updated_at_ms, {COLUMNS}, {EVIDENCE} FROM transactions");
            page(db, &select, &["transaction_id"], conditions(filter), &slice, read)
        })
        .await
    }
}

/// The transaction of this number, as it is now.
pub(crate) fn by_id(db: &Read<'_>, transaction_id: i64) -> Result<Option<Transaction>> {
    let select = format!(
        "SELECT transaction_id, updated_at_ms, {COLUMNS}, {EVIDENCE} FROM transactions
         WHERE transaction_id = ?1"
    );
    db.maybe(&select, params![transaction_id], read)
}

fn conditions(filter: TransactionFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.and_if("station_id = ?", filter.station_id);
    conditions.and_if("owner_id = ?", filter.owner_id);
    conditions.and_if("connector_id = ?", filter.connector_id);
    match filter.status {
        // Spelled out, so that the indexes of the active ones are found.
        Some(Status::Active) => conditions.and("status = 'active'", []),
        Some(Status::Completed) => conditions.and("status = 'completed'", []),
        None => {}
    }
    conditions.and_if("id_tag_key = ?", filter.id_tag.as_deref().map(id_tag_key));
    conditions.and_if("inferred = ?", filter.inferred.map(i64::from));
    conditions.and_at("created_at_ms >= ?", filter.since);
    conditions.and_at("created_at_ms < ?", filter.until);
    conditions.and_at("started_at_ms >= ?", filter.started_since);
    conditions.and_at("started_at_ms < ?", filter.started_until);
    conditions.and_at("stopped_at_ms >= ?", filter.stopped_since);
    conditions.and_at("stopped_at_ms < ?", filter.stopped_until);
    conditions.and_at("updated_at_ms >= ?", filter.updated_since);
    conditions
}

fn read(row: &Row<'_>) -> Result<Transaction> {
    let at = |column| KEYS + column;
    let evidence = evidence(row, at(COLUMN_COUNT))?;
    let Energy { wh, estimated_wh, quality } = energy::weigh(&evidence);
    Ok(Transaction {
        transaction_id: row.get(at(0))?,
        station_id: row.get(at(1))?,
        connector_id: row.get(at(2))?,
        owner_id: row.get(at(3))?,
        id_tag: row.get(at(4))?,
        id_tag_status: row.parsed(at(5))?,
        reservation_id: row.get(at(6))?,
        command_id: row.maybe_parsed(at(7))?,
        status: row.word(at(8))?,
        orphaned: row.get(at(9))?,
        inferred: row.get(at(10))?,
        started_at: row.get(at(11))?,
        stopped_at: row.get(at(12))?,
        meter_start: evidence.meter_start,
        meter_stop: evidence.meter_stop,
        first_register_wh: evidence.track.first.map(|first| first.wh),
        last_register_wh: evidence.track.last.map(|last| last.wh),
        stop_reason: row.get(at(13))?,
        stop_id_tag: row.get(at(14))?,
        revision: row.get(at(15))?,
        updated_at: row.get(at(16))?,
        energy_wh: wh,
        energy_estimated_wh: estimated_wh,
        energy_quality: quality,
    })
}
