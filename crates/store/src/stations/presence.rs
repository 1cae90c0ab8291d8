//! Stations that fall silent, and are heard of again.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::stations::connections::append_station_event;
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// Events of a station among which there is one that it has sent.
const MESSAGES_LOOKED_AT: i64 = 50;

impl Store {
    /// Records that nothing has been heard of a station for too long, or that it is heard of again. Returns
    /// false, with nothing written, if that was known or the station is not. Without `last_seen` it was not
    /// heard of since the gateway started, and what is on record tells when it was.
    pub async fn set_offline(
        &self,
        station_id: StationId,
        offline: bool,
        last_seen: Option<Timestamp>,
    ) -> Result<bool> {
        self.write(Priority::Inbound, Scope::Installation, move |w| {
            set_offline(w, &station_id, offline, last_seen)
        })
        .await
    }

    /// Every station that has connected at some time and was not reported offline since: whose
    /// silence is to be watched.
    pub async fn stations_to_watch(&self) -> Result<Vec<StationId>> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT station_id FROM stations WHERE offline = 0 AND last_seen_at_ms IS NOT NULL",
            )?;
            let ids = statement
                .query_map([], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(ids.iter().filter_map(|id| StationId::new(id).ok()).collect())
        })
        .await
    }
}

fn recorded(w: &Tx<'_>, id: &StationId) -> Result<Option<Timestamp>> {
    let seen = w
        .conn
        .prepare_cached("SELECT last_seen_at_ms FROM stations WHERE station_id = ?1")?
        .query_row([id.as_str()], |row| cells::maybe_moment(row, 0))
        .optional()?;
    Ok(seen.flatten())
}

/// Whoever was connected when the gateway was stopped without warning was last seen with the newest message
/// that is on record.
pub(crate) fn note_last_messages(w: &Tx<'_>) -> Result<()> {
    w.conn.execute(
        "UPDATE stations SET last_seen_at_ms = max(coalesce(last_seen_at_ms, 0), coalesce((
             SELECT max(newest.timestamp_ms) FROM (
                 SELECT timestamp_ms, category, event FROM events
                 WHERE events.station_id = stations.station_id ORDER BY seq DESC LIMIT ?1) newest
             WHERE newest.category = 'ocpp' OR newest.event = 'MessageRejected'), 0))
         WHERE connected = 1",
        [MESSAGES_LOOKED_AT],
    )?;
    Ok(())
}

/// As [`Store::set_offline`], in a transaction that is under way.
pub(crate) fn set_offline(
    w: &mut Tx<'_>,
    id: &StationId,
    offline: bool,
    last_seen_at: Option<Timestamp>,
) -> Result<bool> {
    #[derive(Serialize)]
    struct Silence {
        last_seen_at: Option<Timestamp>,
    }
    let changed = w
        .conn
        .prepare_cached("UPDATE stations SET offline = ?2 WHERE station_id = ?1 AND offline = 1 - ?2")?
        .execute(params![id.as_str(), i64::from(offline)])?;
    if changed == 1 {
        let last_seen_at = match last_seen_at {
            None => recorded(w, id)?,
            heard => heard,
        };
        let name = if offline { "StationOffline" } else { "StationOnline" };
        append_station_event(w, id, name, &Silence { last_seen_at })?;
    }
    Ok(changed == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Connected;
    use vocabulary::clock::Clock;
    use vocabulary::ocpp::frame::Unserveable;
    use vocabulary::ocpp::rejection::Rejection;

    #[tokio::test]
    async fn who_was_connected_when_the_gateway_was_killed_was_seen_with_its_last_message() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        let id = StationId::new("CP").expect("legal");
        let connected = Connected {
            station_id: id.clone(),
            generation: 1,
            remote_addr: "127.0.0.1:1".to_owned(),
            security_profile: 0,
            certificate: None,
            ratchet: false,
            discovered_as: Some(vocabulary::ocpp::boot_status::BootStatus::Accepted),
            flags: Vec::new(),
        };
        assert!(store.connected(connected).await.expect("writes").is_ok());
        clock.advance(Duration::from_secs(600));
        let seen = clock.now();
        let message = Rejection {
            raw: Some("x".to_owned()),
            size: 1,
            reason: Unserveable::MalformedJson,
            answer: None,
            violations: Vec::new(),
        };
        store.reject_message(id.clone(), message, seen).await.expect("writes");
        // Nothing records the end of its connection.
        store.close();
        clock.advance(Duration::from_secs(3_600));
        let store = Store::open(dir.path(), clock).expect("again");
        let station = store.station(id).await.expect("reads").expect("known");
        assert_eq!((station.connected, station.last_seen_at), (false, Some(seen)));
    }
}
