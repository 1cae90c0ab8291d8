//! Connections that are refused again and again, as they are on record.

use std::time::Duration;

use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::overview::facts::{FailingAddress, RefusedStation};
use vocabulary::clock::Timestamp;

/// Who was refused longer ago does not try any more: chargers try again within minutes.
const STILL_TRIES: Duration = Duration::from_secs(3_600);

/// A refusal this much before the end of a connection is not what keeps the station out now.
const SLACK_MS: u64 = 5_000;

/// Those that are looked at, the latest first; a flood is many of the same.
const REFUSED_MAX: usize = 1_000;

/// Identities that try to connect, are refused, and were not let in since. Stations that are blocked are
/// refused on purpose, so that they are left out, and an identity without a station is nobody's.
pub(super) fn stations(db: &Read<'_>, owner: Option<&str>, now: Timestamp) -> Result<Vec<RefusedStation>> {
    let sql = format!(
        "SELECT r.identity, r.reason, r.remote_addr, r.count, r.first_at_ms, r.last_at_ms,
                s.station_id, s.disconnected_at_ms
         FROM refused_handshakes r
         LEFT JOIN stations s ON lower(s.station_id) = lower(r.identity) AND s.provisioned = 1
         WHERE r.last_at_ms >= ?2 AND (?1 IS NULL OR r.owner_id = ?1) AND r.reason <> 'blocked'
           AND (s.station_id IS NULL
                OR (s.blocked = 0 AND s.connected = 0 AND coalesce(s.connected_at_ms, 0) < r.last_at_ms
                    AND coalesce(s.disconnected_at_ms, 0) <= r.last_at_ms + {SLACK_MS}
                    AND NOT (r.reason = 'unknown_station' AND s.created_at_ms >= r.last_at_ms)))
         ORDER BY r.last_at_ms DESC LIMIT {REFUSED_MAX}"
    );
    db.all(&sql, params![owner, now.before(STILL_TRIES)], |row| {
        let (first_at, left_at): (Timestamp, Option<Timestamp>) = (row.get(4)?, row.get(7)?);
        Ok(RefusedStation {
            identity: row.get(0)?,
            reason: row.get(1)?,
            remote_addr: row.get(2)?,
            count: row.get(3)?,
            // It was let in between.
            since: left_at.map_or(first_at, |left| left.max(first_at)),
            last_at: row.get(5)?,
            station_id: row.get(6)?,
        })
    })
}

/// Addresses whose connections end before they name anybody. Strangers are the operator's business alone.
pub(super) fn addresses(db: &Read<'_>, owner: Option<&str>, now: Timestamp) -> Result<Vec<FailingAddress>> {
    if owner.is_some() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT address, words, count, first_at_ms, last_at_ms FROM refused_addresses
         WHERE last_at_ms >= ?1 ORDER BY last_at_ms DESC LIMIT {REFUSED_MAX}"
    );
    db.all(&sql, params![now.before(STILL_TRIES)], |row| {
        Ok(FailingAddress {
            address: row.get(0)?,
            words: row.get(1)?,
            count: row.get(2)?,
            first_at: row.get(3)?,
            last_at: row.get(4)?,
        })
    })
}
