//! Refused connections, as they are on record.

use std::net::SocketAddr;
use std::time::Duration;

use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::why::facts::{RefusedAddress, RefusedIdentity};
use vocabulary::api::station::Station;
use vocabulary::clock::Timestamp;

/// Failed connections of strangers say something about a station that never came if they are no older.
const LATELY: Duration = Duration::from_secs(24 * 3_600);

/// Stations that are counted at one address.
const STATIONS_MAX: usize = 100;

/// Such connections, at most.
const STRANGERS_MAX: i64 = 5;

/// Refusals of an identity, whatever its letter case, the newest first.
///
/// What was refused before a station had its present owner is not that owner's business.
pub(super) fn of_identity(
    db: &Read<'_>,
    identity: &str,
    visible_to: Option<&str>,
) -> Result<Option<RefusedIdentity>> {
    db.maybe(
        "SELECT identity, reason, http_status, remote_addr, count, first_at_ms, last_at_ms
         FROM refused_handshakes
         WHERE lower(identity) = lower(?1) AND (?2 IS NULL OR owner_id = ?2)
         ORDER BY last_at_ms DESC LIMIT 1",
        params![identity, visible_to],
        |row| {
            Ok(RefusedIdentity {
                identity: row.get(0)?,
                reason: row.get(1)?,
                http_status: row.get(2)?,
                remote_addr: row.get(3)?,
                count: row.get(4)?,
                first_at: row.get(5)?,
                last_at: row.get(6)?,
            })
        },
    )
}

/// Connections without a name from where a station last came from; if it never came, those of the last day.
///
/// What comes from an address that others share, and strangers, are the operator's business: an owner is told
/// of an address from which nobody else's station came.
pub(super) fn of_addresses(
    db: &Read<'_>,
    station: &Station,
    visible_to: Option<&str>,
    now: Timestamp,
) -> Result<Vec<RefusedAddress>> {
    const SELECT: &str = "SELECT r.address, r.words, r.count, r.last_at_ms FROM refused_addresses r";
    let Some(last) = station.remote_addr.as_deref().filter(|_| station.connected_at.is_some()) else {
        let sql = format!("{SELECT} WHERE r.last_at_ms >= ?1 ORDER BY r.last_at_ms DESC LIMIT ?2");
        return match visible_to {
            Some(_) => Ok(Vec::new()),
            None => db.all(&sql, params![now.before(LATELY), STRANGERS_MAX], read),
        };
    };
    let address = host(last);
    let mut found = db.all(&format!("{SELECT} WHERE r.address = ?1"), params![address], read)?;
    for refused in &mut found {
        let owners = owners_at(db, address)?;
        refused.stations = owners.len() as u64;
        if visible_to.is_some() && owners.iter().any(|owner| owner.as_deref() != visible_to) {
            return Ok(Vec::new());
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<RefusedAddress> {
    Ok(RefusedAddress {
        address: row.get(0)?,
        words: row.get(1)?,
        count: row.get(2)?,
        last_at: row.get(3)?,
        stations: 0,
    })
}

/// Whose the stations are that last came from an address; beyond [`STATIONS_MAX`] it does not matter.
fn owners_at(db: &Read<'_>, address: &str) -> Result<Vec<Option<String>>> {
    let (plain, bracketed) = (format!("{address}:"), format!("[{address}]:"));
    let begins = |with: &str| format!("substr(remote_addr, 1, length({with})) = {with}");
    let sql = format!(
        "SELECT owner_id FROM stations WHERE remote_addr = ?1 OR {} OR {} LIMIT {STATIONS_MAX}",
        begins("?2"),
        begins("?3")
    );
    db.all(&sql, params![address, plain, bracketed], |row| row.get(0))
}

/// The address without its port.
fn host(remote_addr: &str) -> &str {
    match (remote_addr.parse::<SocketAddr>(), remote_addr.rsplit_once(':')) {
        (Ok(_), Some((host, _))) => host.trim_start_matches('[').trim_end_matches(']'),
        _ => remote_addr,
    }
}
