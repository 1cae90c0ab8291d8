//! What a node leaves when it is over: connections, commands, attempts and requests that were under way.

use serde::Serialize;

use crate::access::idempotency;
use crate::commands::queue;
use crate::deliveries::outcomes;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::nodes::{lanes, tell};
use crate::other_nodes::{Left, NODE_LOST};
use crate::stations::connections;

/// Settles it.
pub(crate) fn settle(w: &mut Tx<'_>, left: Left) -> Result<()> {
    // While the stations still say which commands went out over which connections.
    queue::settle(w, left)?;
    connections::settle(w, left)?;
    idempotency::settle(w, left)?;
    outcomes::recover(w, left)?;
    match left.epoch {
        Some(epoch) => lanes::free(w, epoch),
        None => Ok(()),
    }
}

/// Marks a node as lost, with everything that follows; false if it was heard of again, or somebody else was
/// faster.
pub(crate) fn lose(w: &mut Tx<'_>, epoch: i64) -> Result<bool> {
    let silent = "UPDATE nodes SET status = 'lost' WHERE epoch = ?1 AND status <> 'lost'
                      AND last_seen_at_ms + lease_ms <= CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)
                  RETURNING name";
    let Some(name): Option<String> = w.maybe(silent, params![epoch], |row| row.get(0))? else {
        return Ok(false);
    };
    let connected = "SELECT count(*) FROM stations WHERE node_epoch = ?1 AND connected = 1";
    let stations: i64 = w.one(connected, params![epoch], |row| row.get(0))?;
    settle(w, Left { epoch: Some(epoch), reason: NODE_LOST })?;
    #[derive(Serialize)]
    struct Lost<'a> {
        name: &'a str,
        epoch: i64,
        stations: i64,
    }
    tell(w, "NodeLost", &Lost { name: &name, epoch, stations })?;
    w.after_commit.nodes = true;
    tracing::warn!(
        node = name,
        "node {name} (epoch {epoch}) is lost: {stations} stations were connected to it"
    );
    Ok(true)
}
