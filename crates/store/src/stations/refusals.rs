//! Connections that were refused: their events, and what is kept of each identity and address for those who
//! ask why a station does not get in.

use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append::{self, AppendOptions};
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};

/// Identities, and addresses, of which refusals are kept; those that were refused longest ago make room.
const KEPT_MAX: i64 = 10_000;

/// An attempt to connect that was refused.
#[derive(Debug, Clone, Serialize)]
pub struct Rejected {
    /// The identity that was offered, as it was offered.
    pub identity: String,
    /// Why, in a word.
    pub reason: &'static str,
    /// The answer's HTTP status.
    pub http_status: u16,
    /// Where it came from.
    pub remote_addr: String,
    /// How many such attempts this event stands for.
    pub count: u64,
}

/// Refusals of one identity since it was last written down.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The identity that was offered, or that a certificate names.
    pub identity: String,
    /// The last reason, in a word.
    pub reason: &'static str,
    /// The answer's HTTP status; `None`: there was no request to answer.
    pub http_status: Option<u16>,
    /// Where the last one came from.
    pub remote_addr: String,
    /// How many there were.
    pub count: u64,
    /// When the first one was.
    pub first_at: Timestamp,
    /// When the last one was.
    pub last_at: Timestamp,
}

/// Connections from one address that ended before they named anybody, since they were last written down.
#[derive(Debug, Clone)]
pub struct RefusedConnection {
    /// The IP address.
    pub address: String,
    /// The last reason, in a word.
    pub reason: &'static str,
    /// The same for people.
    pub words: String,
    /// How many there were.
    pub count: u64,
    /// When the first one was.
    pub first_at: Timestamp,
    /// When the last one was.
    pub last_at: Timestamp,
}

impl Store {
    /// Records that a charger was refused: a `StationRejected`, which no station counts, and the refusal of
    /// its identity.
    pub async fn rejected(&self, rejected: Rejected) -> Result<()> {
        self.write(Priority::Inbound, Scope::Installation, move |w| {
            append_rejected(w, &rejected)?;
            let refusal = Refusal {
                identity: rejected.identity,
                reason: rejected.reason,
                http_status: Some(rejected.http_status),
                remote_addr: rejected.remote_addr,
                count: rejected.count,
                first_at: w.now,
                last_at: w.now,
            };
            note_identities(w, &[refusal])
        })
        .await
    }

    /// Records one `StationRejected` for many refusals, which [`Store::note_refusals`] has written down.
    pub async fn rejected_many(&self, rejected: Rejected) -> Result<()> {
        self.write(Priority::Inbound, Scope::Installation, move |w| append_rejected(w, &rejected)).await
    }

    /// Writes down who was refused, all at once, and makes room for those who come next. Call it now and then
    /// while [`Store::rejected`] is called.
    pub async fn note_refusals(
        &self,
        identities: Vec<Refusal>,
        connections: Vec<RefusedConnection>,
    ) -> Result<()> {
        self.write(Priority::Inbound, Scope::Installation, move |w| {
            note_identities(w, &identities)?;
            note_addresses(w, &connections)?;
            make_room(w, "refused_handshakes", "identity")?;
            make_room(w, "refused_addresses", "address")
        })
        .await
    }
}

fn append_rejected(w: &mut Tx<'_>, rejected: &Rejected) -> Result<()> {
    let event = NewEvent {
        station_id: Some(rejected.identity.clone()),
        ..NewEvent::new(Category::Station, "StationRejected", w.now, to_raw_value(rejected)?)
    };
    let options = AppendOptions { uncounted: true, ..AppendOptions::default() };
    append::append(w, &event, options).map(drop)
}

fn note_identities(w: &Tx<'_>, refusals: &[Refusal]) -> Result<()> {
    for refusal in refusals {
        w.run(
            "INSERT INTO refused_handshakes (identity, owner_id, reason, http_status, remote_addr, count,
                                             first_at_ms, last_at_ms)
             VALUES (?1, (SELECT s.owner_id FROM stations s WHERE s.station_id = ?1), ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (identity) DO UPDATE
             SET owner_id = excluded.owner_id, reason = excluded.reason, http_status = excluded.http_status,
                 remote_addr = excluded.remote_addr, count = refused_handshakes.count + excluded.count,
                 last_at_ms = excluded.last_at_ms",
            params![
                refusal.identity,
                refusal.reason,
                refusal.http_status,
                refusal.remote_addr,
                refusal.count,
                refusal.first_at,
                refusal.last_at,
            ],
        )?;
    }
    Ok(())
}

fn note_addresses(w: &Tx<'_>, connections: &[RefusedConnection]) -> Result<()> {
    for refused in connections {
        w.run(
            "INSERT INTO refused_addresses (address, reason, words, count, first_at_ms, last_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (address) DO UPDATE
             SET reason = excluded.reason, words = excluded.words,
                 count = refused_addresses.count + excluded.count, last_at_ms = excluded.last_at_ms",
            params![
                refused.address,
                refused.reason,
                refused.words,
                refused.count,
                refused.first_at,
                refused.last_at,
            ],
        )?;
    }
    Ok(())
}

/// Removes what was refused longest ago, beyond what is kept.
fn make_room(w: &Tx<'_>, table: &str, key: &str) -> Result<()> {
    let kept: i64 = w.one(&format!("SELECT count(*) FROM {table}"), &[], |row| row.get(0))?;
    if kept > KEPT_MAX {
        let sql = format!(
            "DELETE FROM {table} WHERE {key} IN (
                 SELECT o.{key} FROM {table} o ORDER BY o.last_at_ms LIMIT ?1)"
        );
        w.run(&sql, params![kept - KEPT_MAX])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn those_that_were_refused_longest_ago_make_room_and_counts_add_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let start = Timestamp::from_unix_ms(1_776_170_096_789);
        let store = Store::open(dir.path(), Clock::manual(start)).expect("a store");
        let at = |nth: i64| Timestamp::from_unix_ms(start.unix_ms() + nth);
        let refusal = |nth: i64| Refusal {
            identity: format!("CP_{nth}"),
            reason: "unknown_station",
            http_status: Some(404),
            remote_addr: "192.0.2.1:1".to_owned(),
            count: 2,
            first_at: at(nth),
            last_at: at(nth),
        };
        store.note_refusals((0..KEPT_MAX).map(refusal).collect(), Vec::new()).await.expect("writes");
        let newer = Refusal { last_at: at(KEPT_MAX + 1), ..refusal(0) };
        store.note_refusals(vec![newer, refusal(KEPT_MAX)], Vec::new()).await.expect("writes");
        let known = "SELECT count(*), min(identity), sum(CASE WHEN identity = 'CP_0' THEN count ELSE 0 END)
                     FROM refused_handshakes WHERE identity IN ('CP_0', 'CP_1', 'CP_10000')";
        let read = move |db: &crate::engine::tx::Read<'_>| {
            db.one(known, &[], |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<i64>(2)?)))
        };
        let found = store.read(read).await.expect("reads");
        assert_eq!(found, (2, "CP_0".to_owned(), 4), "CP_1 was refused longest ago");
    }
}
