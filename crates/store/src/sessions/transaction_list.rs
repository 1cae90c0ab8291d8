//! Transactions as they are looked up and listed.

use std::time::Duration;

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use vocabulary::api::transaction::{EnergyQuality, Status, Transaction};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::authorization::id_tag_key;

/// Which transactions are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Another start followed on its connector, and its own stop has not come.
    pub orphaned: Option<bool>,
    /// How far its energy can be relied on.
    pub energy_quality: Option<EnergyQuality>,
    /// It has charged so much, in Wh: by the meter, else as it is estimated.
    pub min_energy_wh: Option<i64>,
    /// It took so long, or is under way for so long.
    pub min_duration: Option<Duration>,
    /// Where its station stands.
    pub site: Option<String>,
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

const COLUMNS: &str =
    "transaction_id, station_id, connector_id, owner_id, id_tag, id_tag_status, reservation_id, command_id,
    status, orphaned, inferred, started_at_ms, stopped_at_ms, stop_reason, stop_id_tag, revision,
    updated_at_ms, meter_start_wh, meter_stop_wh, first_register_wh, last_register_wh, energy_wh,
    energy_estimated_wh, energy_quality, power_w, soc_percent, id_tag_reason,
    orphaned = 1 OR EXISTS (SELECT 1 FROM stations s
                            WHERE s.station_id = transactions.station_id AND s.offline = 1)";

/// The columns before [`COLUMNS`] in every query: what the list is sorted by.
const KEYS: usize = 2;

impl Store {
    /// The transaction of this number.
    pub async fn transaction(&self, transaction_id: i64) -> Result<Option<Transaction>> {
        let now = self.inner.clock.now();
        self.read(move |db| by_id(db, transaction_id, now)).await
    }

    /// One page of the transactions that `filter` wants, by the order in which they began, or by their last
    /// change (see [`TransactionFilter::sorts_by_update`]).
    pub async fn transactions(&self, filter: TransactionFilter, slice: Slice) -> Result<Listed<Transaction>> {
        let now = self.inner.clock.now();
        self.read(move |db| {
            let read = |row: &Row<'_>| read(row, now);
            if filter.sorts_by_update(slice.ascending) {
                // Nothing that changes later gets a place before this one: a poller misses nothing.
                let select = format!("SELECT updated_at_ms, change_seq, {COLUMNS} FROM transactions");
                let keys = ["updated_at_ms", "change_seq"];
                return page(db, &select, &keys, conditions(filter, now), &slice, read);
            }
            let select = format!("SELECT transaction_id, updated_at_ms, {COLUMNS} FROM transactions");
            page(db, &select, &["transaction_id"], conditions(filter, now), &slice, read)
        })
        .await
    }
}

/// The transaction of this number, as it is `now`.
pub(crate) fn by_id(db: &Read<'_>, transaction_id: i64, now: Timestamp) -> Result<Option<Transaction>> {
    let select = format!(
        "SELECT transaction_id, updated_at_ms, {COLUMNS} FROM transactions
         WHERE transaction_id = ?1"
    );
    db.maybe(&select, params![transaction_id], |row| read(row, now))
}

/// The conditions of a filter, as they are `now`.
pub(super) fn conditions(filter: TransactionFilter, now: Timestamp) -> Conditions {
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
    match filter.orphaned {
        // Spelled out too, as are the qualities of the few that a person should look at.
        Some(true) => conditions.and("orphaned = 1", []),
        Some(false) => conditions.and("orphaned = 0", []),
        None => {}
    }
    if let Some(EnergyQuality::Implausible | EnergyQuality::Missing) = filter.energy_quality {
        conditions.and("energy_quality IN ('implausible', 'missing')", []);
    }
    conditions.and_if("energy_quality = ?", filter.energy_quality.map(EnergyQuality::as_str));
    conditions.and_if("coalesce(energy_wh, energy_estimated_wh) >= ?", filter.min_energy_wh);
    if let Some(least) = filter.min_duration {
        let least_ms = i64::try_from(least.as_millis()).unwrap_or(i64::MAX);
        conditions.and(
            "CASE WHEN status = 'active' THEN ? ELSE stopped_at_ms END - started_at_ms >= ?",
            [now.into(), least_ms.into()],
        );
    }
    conditions.and_if("station_id IN (SELECT station_id FROM stations WHERE site = ?)", filter.site);
    conditions.and_at("created_at_ms >= ?", filter.since);
    conditions.and_at("created_at_ms < ?", filter.until);
    conditions.and_at("started_at_ms >= ?", filter.started_since);
    conditions.and_at("started_at_ms < ?", filter.started_until);
    conditions.and_at("stopped_at_ms >= ?", filter.stopped_since);
    conditions.and_at("stopped_at_ms < ?", filter.stopped_until);
    conditions.and_at("updated_at_ms >= ?", filter.updated_since);
    conditions
}

fn read(row: &Row<'_>, now: Timestamp) -> Result<Transaction> {
    let at = |column| KEYS + column;
    let status = row.word(at(8))?;
    let (started_at, stopped_at) = (row.get(at(11))?, row.get(at(12))?);
    let energy_estimated_wh = row.get(at(22))?;
    let is_active = status == Status::Active;
    // What was measured last says nothing of a car that nobody hears of any more.
    let is_live = is_active && !row.get::<bool>(at(27))?;
    Ok(Transaction {
        transaction_id: row.get(at(0))?,
        station_id: row.get(at(1))?,
        connector_id: row.get(at(2))?,
        owner_id: row.get(at(3))?,
        id_tag: row.get(at(4))?,
        id_tag_status: row.parsed(at(5))?,
        id_tag_reason: row.maybe_word(at(26))?,
        reservation_id: row.get(at(6))?,
        command_id: row.maybe_parsed(at(7))?,
        status,
        orphaned: row.get(at(9))?,
        inferred: row.get(at(10))?,
        started_at,
        stopped_at,
        meter_start: row.get(at(17))?,
        meter_stop: row.get(at(18))?,
        first_register_wh: row.get(at(19))?,
        last_register_wh: row.get(at(20))?,
        stop_reason: row.get(at(13))?,
        stop_id_tag: row.get(at(14))?,
        revision: row.get(at(15))?,
        updated_at: row.get(at(16))?,
        energy_wh: row.get(at(21))?,
        energy_estimated_wh,
        energy_quality: row.word(at(23))?,
        power_w: row.get::<Option<i64>>(at(24))?.filter(|_| is_live),
        energy_so_far_wh: energy_estimated_wh.filter(|_| is_active),
        soc_percent: row.get::<Option<i64>>(at(25))?.filter(|_| is_live),
        duration_s: duration_s(started_at, if is_active { Some(now) } else { stopped_at }, is_active),
    })
}

/// From start to end, in whole seconds. A session that is under way has not taken less than nothing, though
/// the charger's clock may be ahead; one that ended before it began says nothing.
pub(super) fn duration_s(start: Option<Timestamp>, end: Option<Timestamp>, is_active: bool) -> Option<i64> {
    let seconds = end?.unix_ms().saturating_sub(start?.unix_ms()).div_euclid(1_000);
    if is_active { Some(seconds.max(0)) } else { Some(seconds).filter(|seconds| *seconds >= 0) }
}
