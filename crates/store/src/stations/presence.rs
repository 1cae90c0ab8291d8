//! Stations that fall silent, and those that are heard of again.

use serde::Serialize;

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::history::station_presence;
use crate::stations::station_event::append_station_event;
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::history::Presence;
use vocabulary::id::StationId;

/// Newest events of a station, among which there is one that it has sent.
const MESSAGES_LOOKED_AT: u32 = 50;

impl Store {
    /// Records that nothing was heard of a station for too long, or that it was heard of again. False, with
    /// nothing written, if that was on record already or there is no such station. Without `last_seen`
    /// nothing was heard of it since the gateway started, and the moment that is on record counts.
    pub async fn set_offline(
        &self,
        station_id: StationId,
        offline: bool,
        last_seen: Option<Timestamp>,
    ) -> Result<bool> {
        self.write(Priority::Inbound, Scope::Station(station_id.clone()), move |w| {
            set_offline(w, &station_id, offline, last_seen)
        })
        .await
    }

    /// Every station that has connected at some time, is not connected to another node, and was not reported
    /// offline since: those that may fall silent.
    pub async fn stations_to_watch(&self) -> Result<Vec<StationId>> {
        let epoch = self.inner.membership.epoch();
        self.read(move |db| {
            let connected_once = "SELECT station_id FROM stations
                                  WHERE offline = 0 AND last_seen_at_ms IS NOT NULL
                                    AND (node_epoch IS NULL OR node_epoch = ?1)";
            let ids: Vec<String> = db.all(connected_once, params![epoch], |row| row.get(0))?;
            Ok(ids.iter().filter_map(|id| StationId::new(id).ok()).collect())
        })
        .await
    }
}

pub(crate) fn recorded_last_seen(w: &Tx<'_>, id: &StationId) -> Result<Option<Timestamp>> {
    let last_seen = "SELECT last_seen_at_ms FROM stations WHERE station_id = ?1";
    Ok(w.maybe(last_seen, params![id], |row| row.get(0))?.flatten())
}

/// A station that was connected when its gateway was killed was last seen with its newest message on record.
pub(crate) fn note_last_messages(w: &Tx<'_>, epoch: Option<i64>) -> Result<()> {
    w.run(
        "UPDATE stations SET last_seen_at_ms = newest.at_ms
         FROM (SELECT s.station_id,
                      (SELECT max(e.timestamp_ms) FROM (
                          SELECT timestamp_ms, category, event FROM events
                          WHERE events.station_id = s.station_id ORDER BY seq DESC LIMIT ?1) AS e
                       WHERE e.category = 'ocpp' OR e.event = 'MessageRejected') AS at_ms
               FROM stations AS s WHERE s.connected = 1 AND (?2 IS NULL OR s.node_epoch = ?2)) AS newest
         WHERE newest.station_id = stations.station_id
           AND newest.at_ms > coalesce(stations.last_seen_at_ms, 0)",
        params![MESSAGES_LOOKED_AT, epoch],
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
    let changed = match offline {
        // Where its socket is open, it is away from now on, and what the registry knows goes on record.
        true => w.run(
            "UPDATE stations SET offline = 1,
                 last_seen_at_ms = CASE WHEN ?2 > last_seen_at_ms THEN ?2 ELSE last_seen_at_ms END,
                 offline_since_ms = coalesce(offline_since_ms, ?2, last_seen_at_ms)
             WHERE station_id = ?1 AND offline = 0 AND (node_epoch IS NULL OR node_epoch = ?3)",
            params![id, last_seen_at, w.epoch],
        )?,
        false => w.run(
            "UPDATE stations SET offline = 0,
                 offline_since_ms = CASE connected WHEN 1 THEN NULL ELSE offline_since_ms END
             WHERE station_id = ?1 AND offline = 1",
            params![id],
        )?,
    };
    if changed == 1 {
        let last_seen_at = match last_seen_at {
            None => recorded_last_seen(w, id)?,
            seen => seen,
        };
        note_presence(w, id, offline, last_seen_at)?;
        let name = if offline { "StationOffline" } else { "StationOnline" };
        append_station_event(w, id, name, &Silence { last_seen_at })?;
    }
    Ok(changed == 1)
}

/// A station that is silent is away since its last message; one that is heard of again is there while its
/// socket is open.
fn note_presence(
    w: &mut Tx<'_>,
    id: &StationId,
    offline: bool,
    last_seen_at: Option<Timestamp>,
) -> Result<()> {
    if offline {
        return station_presence::note(w, id, Presence::Silent, last_seen_at.unwrap_or(w.now));
    }
    match w.has("SELECT 1 FROM stations WHERE station_id = ?1 AND connected = 1", params![id])? {
        true => station_presence::note(w, id, Presence::Connected, w.now),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Connected;
    use vocabulary::clock::Clock;
    use vocabulary::ocpp::frame::Unserveable;
    use vocabulary::ocpp::protocol::Protocol;
    use vocabulary::ocpp::rejection::Rejection;

    #[tokio::test]
    async fn a_station_that_was_connected_when_the_gateway_was_killed_was_seen_with_its_last_message() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        let id = StationId::new("CP").expect("legal");
        let connected = Connected {
            station_id: id.clone(),
            generation: 1,
            protocol: Protocol::default(),
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
        let away = "SELECT at_ms FROM presence_history WHERE presence = 'disconnected'";
        assert_eq!(store.seed_number(away).await, seen.unix_ms(), "and is away since then");
        assert_eq!((station.disconnected_at, station.offline_since), (Some(seen), Some(seen)));
        assert_eq!(station.disconnect_reason.as_deref(), Some("gateway_stopped"));
    }
}
