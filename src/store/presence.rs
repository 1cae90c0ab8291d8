//! Stations that fall silent, and are heard of again.

use rusqlite::params;
use serde::Serialize;

use super::connections::append_station_event;
use super::error::Result;
use super::writer::Writing;
use super::{Priority, Store};
use crate::clock::Timestamp;
use crate::id::StationId;

impl Store {
    /// Records that nothing has been heard of a station for too long, or that it is heard of again.
    /// Returns false, with nothing written, if that was known or the station is not.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn set_offline(
        &self,
        station_id: StationId,
        offline: bool,
        last_seen: Option<Timestamp>,
    ) -> Result<bool> {
        self.write(Priority::Inbound, move |w| set_offline(w, &station_id, offline, last_seen)).await
    }

    /// Every station that has connected at some time and was not reported offline since: whose
    /// silence is to be watched.
    ///
    /// # Errors
    /// Only the store's own.
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

/// As [`Store::set_offline`], in a transaction that is under way.
pub(super) fn set_offline(
    w: &mut Writing<'_>,
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
        let name = if offline { "StationOffline" } else { "StationOnline" };
        append_station_event(w, id, name, &Silence { last_seen_at })?;
    }
    Ok(changed == 1)
}
