//! What use cases have to do with other nodes: what a lost one has left, and connections that another one
//! has.

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::{Priority, Scope, StationNews, Store};
use vocabulary::id::StationId;

/// Why connections have ended that were open when their gateway was killed and started again.
pub(crate) const GATEWAY_STOPPED: &str = "gateway_stopped";

/// Why connections have ended whose node others have counted as lost.
pub(crate) const NODE_LOST: &str = "node_lost";

/// Whose things are settled, and why its connections have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    /// The node; `None`: everybody's, because nobody else is there.
    pub(crate) epoch: Option<i64>,
    pub(crate) reason: &'static str,
}

impl Store {
    /// Tells the node that a station is connected to what is to be done about the connection; false if it is
    /// connected to none, or to this one, whose registry knows.
    pub async fn tell_node_of(&self, station: StationId, news: StationNews) -> Result<bool> {
        if !self.inner.engine.is_shared() {
            return Ok(false);
        }
        self.write(Priority::Api, Scope::Station(station.clone()), move |w| tell_node_of(w, &station, news))
            .await
    }

    /// Waits until something is to be done about connections of this node that another node has asked for.
    /// For one waiter only.
    pub async fn station_news(&self) -> Vec<(StationId, StationNews)> {
        self.inner.signals.station_news().await
    }
}

/// The same, in a transaction that is under way.
pub(crate) fn tell_node_of(w: &mut Tx<'_>, station: &StationId, news: StationNews) -> Result<bool> {
    let elsewhere = w.has(
        "SELECT 1 FROM stations WHERE station_id = ?1 AND connected = 1 AND node_epoch IS DISTINCT FROM ?2",
        params![station, w.epoch],
    )?;
    if elsewhere {
        w.after_commit.stations.push((station.clone(), news));
    }
    Ok(elsewhere)
}
