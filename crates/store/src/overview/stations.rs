//! Stations and connectors at a glance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::overview::facts::{FaultedConnector, TroubledStation};
use vocabulary::api::overview::StationCounts;
use vocabulary::clock::Timestamp;

/// Of whom something is asked: everybody (NULL), or one customer.
const OF_OWNER: &str = "(?1 IS NULL OR owner_id = ?1)";

/// Stations that are looked at one by one. Beyond so many a person does not see to each of them.
const TROUBLED_MAX: usize = 10_000;

/// The same of connectors.
const FAULTED_MAX: usize = 1_000;

/// Different statuses that are told apart.
const STATUSES_MAX: usize = 20;

/// That a station has connected once, and now is not there: it has left, or nothing is heard of it.
const IS_OFFLINE: &str = "offline_since_ms IS NOT NULL";

/// How often a faulted connector has been so is told of the newest ones only.
const COUNTED_MAX: usize = 5;

/// A week, within which it is counted.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn counts(db: &Read<'_>, owner: Option<&str>) -> Result<StationCounts> {
    let count = |condition: &str| format!("coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)");
    let sql = format!(
        "SELECT count(*), {}, {}, {}, {}, {} FROM stations WHERE {OF_OWNER}",
        count("connected = 1"),
        count(IS_OFFLINE),
        count("connected_at_ms IS NULL"),
        count("boot_status = 'pending'"),
        count("blocked = 1"),
    );
    db.one(&sql, params![owner], |row| {
        Ok(StationCounts {
            total: row.get(0)?,
            connected: row.get(1)?,
            offline: row.get(2)?,
            never_connected: row.get(3)?,
            pending: row.get(4)?,
            blocked: row.get(5)?,
        })
    })
}

/// Stations that are offline, odd, or not accepted and yet there; those that are refused on purpose are left
/// out.
pub(super) fn troubled(db: &Read<'_>, owner: Option<&str>) -> Result<Vec<TroubledStation>> {
    let sql = format!(
        "SELECT station_id, site, remote_addr, connected, {IS_OFFLINE}, connected_at_ms,
                offline_since_ms, disconnect_reason, boot_status, flags, clock_skew_ms,
                CASE WHEN flags LIKE '%\"unresponsive\"%' THEN (
                    SELECT min(c.sent_at_ms) FROM commands c
                    WHERE c.station_id = stations.station_id AND c.status = 'timeout'
                      AND c.seq > coalesce((
                          SELECT max(a.seq) FROM commands a
                          WHERE a.station_id = stations.station_id AND a.sent_at_ms IS NOT NULL
                            AND a.status NOT IN ('sent', 'timeout')), 0)) END
         FROM stations
         WHERE {OF_OWNER} AND blocked = 0
           AND ({IS_OFFLINE} OR flags <> '[]' OR (boot_status <> 'accepted' AND connected = 1))
         LIMIT {TROUBLED_MAX}"
    );
    db.all(&sql, params![owner], |row| {
        Ok(TroubledStation {
            station_id: row.get(0)?,
            site: row.get(1)?,
            address: row.maybe_text(2)?.map(without_port),
            connected: row.get(3)?,
            offline: row.get(4)?,
            connected_at: row.get(5)?,
            left_at: row.get(6)?,
            disconnect_reason: row.get(7)?,
            boot_status: row.word(8)?,
            flags: row.json(9)?,
            clock_skew_ms: row.get(10)?,
            unanswered_since: row.get(11)?,
        })
    })
}

fn without_port(address: &str) -> String {
    address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']).to_owned()
}

/// How many stations stand at these sites.
pub(super) fn site_sizes(
    db: &Read<'_>,
    owner: Option<&str>,
    sites: &BTreeSet<&str>,
) -> Result<BTreeMap<String, u64>> {
    let sql = format!(
        "SELECT site, count(*) FROM stations
         WHERE {OF_OWNER} AND site IN (SELECT value FROM json_each(?2)) GROUP BY site"
    );
    let sites = serde_json::to_string(sites)?;
    Ok(db.all(&sql, params![owner, sites], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
}

/// Connectors by status.
pub(super) fn connectors(db: &Read<'_>, owner: Option<&str>) -> Result<BTreeMap<String, u64>> {
    let counted = |row: &Row<'_>| {
        let status: Option<String> = row.get(0)?;
        Ok((status.unwrap_or_else(|| "Unknown".to_owned()), row.get::<u64>(1)?))
    };
    let mut found = match owner {
        None => db.all(
            "SELECT status, count(*) FROM connectors WHERE connector_id > 0 GROUP BY status",
            &[],
            counted,
        )?,
        Some(owner) => db.all(
            "SELECT c.status, count(*) FROM stations s JOIN connectors c ON c.station_id = s.station_id
             WHERE s.owner_id = ?1 AND c.connector_id > 0 GROUP BY c.status",
            params![owner],
            counted,
        )?,
    };
    // Chargers may write what they like.
    found.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut by_status = BTreeMap::new();
    for (nth, (status, count)) in found.into_iter().enumerate() {
        let name = if nth < STATUSES_MAX { status } else { "Other".to_owned() };
        *by_status.entry(name).or_default() += count;
    }
    Ok(by_status)
}

/// Connectors that report a fault, of stations that are there, the newest first.
pub(super) fn faulted(db: &Read<'_>, owner: Option<&str>, now: Timestamp) -> Result<Vec<FaultedConnector>> {
    let sql = format!(
        "SELECT c.station_id, c.connector_id, c.error_code, c.vendor_error_code, c.info,
                c.since_ms
         FROM connectors c JOIN stations s ON s.station_id = c.station_id
         WHERE c.status = 'Faulted' AND s.connected = 1 AND s.blocked = 0
           AND (?1 IS NULL OR s.owner_id = ?1)
         ORDER BY c.since_ms DESC LIMIT {FAULTED_MAX}"
    );
    let mut faulted = db.all(&sql, params![owner], |row| {
        Ok(FaultedConnector {
            station_id: row.get(0)?,
            connector_id: row.get(1)?,
            error_code: row.get(2)?,
            vendor_error_code: row.get(3)?,
            info: row.get(4)?,
            since: row.get(5)?,
            times_this_week: 0,
        })
    })?;
    for connector in faulted.iter_mut().take(COUNTED_MAX) {
        connector.times_this_week = db.one(
            "SELECT count(*) FROM connector_history
             WHERE station_id = ?1 AND connector_id = ?2 AND at_ms >= ?3 AND status = 'Faulted'",
            params![connector.station_id, connector.connector_id, now.before(WEEK)],
            |row| row.get(0),
        )?;
    }
    Ok(faulted)
}
