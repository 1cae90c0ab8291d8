//! Nodes: who works on the store, who has been lost, and what each has left.
//!
//! A node that has SQLite to itself is the only one there is, and holds everything. On PostgreSQL a node has
//! what it holds (connections, lanes, running requests) under its epoch, and loses it with that: whoever
//! marks an epoch as lost settles in the same transaction what it has left, and no batch of it is committed
//! afterwards.

pub(crate) mod lanes;
pub(crate) mod lost;
mod member;
mod signals;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::watch;

use crate::Store;
use crate::engine::membership::Membership;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::log::append::{self, AppendOptions};
use crate::other_nodes::{GATEWAY_STOPPED, Left};
use vocabulary::api::node::Node;
use vocabulary::event::{Category, NewEvent};

/// For so long a lost node is listed.
const LOST_SHOWN_MS: i64 = 3_600_000;

/// The entry of `meta` with the newest node's epoch.
pub(crate) const LAST_EPOCH: &str = "last_epoch";

/// What a process is among the nodes of its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThisNode {
    /// Its name.
    pub name: String,
    /// Its number; 0 while it was fenced and has not joined again.
    pub epoch: i64,
    /// Whether it does what one node does for all.
    pub leads: bool,
}

impl Store {
    /// Who works on the store, the oldest first; those that were lost within the last hour too.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        let membership = self.inner.membership.clone();
        let is_shared = self.inner.engine.is_shared();
        let now = self.inner.clock.now();
        self.read(move |db| {
            let mut nodes = db.all(
                "SELECT n.epoch, n.name, n.version, n.status, n.started_at_ms, n.last_seen_at_ms, n.ocpp_addr,
                        n.api_addr,
                        (SELECT count(*) FROM stations s WHERE s.node_epoch = n.epoch AND s.connected = 1)
                 FROM nodes n ORDER BY n.epoch",
                &[],
                read,
            )?;
            for node in &mut nodes {
                node.lanes = lanes::count_of(db, is_shared, node.epoch)?;
                if !is_shared && node.epoch == membership.epoch() {
                    let identity = membership.identity();
                    (node.ocpp_addr, node.api_addr) = (identity.ocpp_addr, identity.api_addr);
                    // Nobody has to be shown that it is there, but for whoever asks it.
                    node.last_seen_at = now;
                }
            }
            Ok(nodes)
        })
        .await
    }

    /// Says where this node really listens.
    pub fn set_addresses(&self, ocpp: Option<String>, api: Option<String>) {
        self.inner.membership.set_addresses(ocpp, api);
    }

    /// What this process is among the nodes, as far as it knows by itself: it asks no database.
    pub fn this_node(&self) -> ThisNode {
        let membership = &self.inner.membership;
        let name = membership.identity().name;
        ThisNode { name, epoch: membership.epoch(), leads: membership.leads() }
    }

    /// Webhooks, and origins of direct URLs, whose deliveries this node sends.
    pub async fn lanes_of_this_node(&self) -> Result<u64> {
        match self.inner.membership.is_among_others() {
            true => Ok(self.inner.membership.held().len() as u64),
            false => self.read(lanes::count_of_all).await,
        }
    }

    /// This node's number, and each that it gets after it was fenced; 0 in between.
    pub fn epochs(&self) -> watch::Receiver<i64> {
        self.inner.membership.epochs()
    }

    /// Whether this node may still send anything to chargers and webhooks, by its own clock.
    pub fn may_act(&self) -> bool {
        self.inner.membership.may_act()
    }

    /// Whether this node does what one does for all: retention, overdue commands, replays.
    pub fn leads(&self) -> bool {
        self.inner.membership.leads()
    }

    /// Whether other nodes may work on the same store.
    pub fn is_shared(&self) -> bool {
        self.inner.engine.is_shared()
    }
}

fn read(row: &Row<'_>) -> Result<Node> {
    Ok(Node {
        epoch: row.get(0)?,
        name: row.get(1)?,
        version: row.get(2)?,
        status: row.word(3)?,
        started_at: row.get(4)?,
        last_seen_at: row.get(5)?,
        ocpp_addr: row.get(6)?,
        api_addr: row.get(7)?,
        stations_connected: row.get(8)?,
        lanes: 0,
    })
}

/// Makes this process a node, under a new number. An older one of its name is over: it settles what that has
/// left.
///
/// # Errors
/// [`StoreError::NodeRuns`] if a node of its name is active under other addresses.
pub(crate) fn join(w: &mut Tx<'_>, membership: &Arc<Membership>) -> Result<()> {
    let identity = membership.identity();
    let before = w.all(
        "SELECT epoch, status = 'active', last_seen_at_ms + lease_ms, ocpp_addr, api_addr FROM nodes
         WHERE status <> 'lost' AND (name = ?1 OR ?2 = 0) ORDER BY epoch",
        params![identity.name, membership.is_among_others()],
        Before::read,
    )?;
    let now = database_now(w)?;
    let has_others = "SELECT 1 FROM nodes WHERE status <> 'lost' AND name <> ?1";
    let is_first = membership.is_among_others() && !w.has(has_others, params![identity.name])?;
    for Before { epoch, serves, lease_ends_at, ocpp_addr, api_addr } in before {
        let is_here = membership.is_among_others() && serves && now < lease_ends_at && ocpp_addr.is_some();
        if is_here && (ocpp_addr, api_addr) != (identity.ocpp_addr.clone(), identity.api_addr.clone()) {
            return Err(StoreError::NodeRuns(identity.name));
        }
        let epoch_left = membership.is_among_others().then_some(epoch);
        lost::settle(w, Left { epoch: epoch_left, reason: GATEWAY_STOPPED })?;
        w.run("DELETE FROM nodes WHERE epoch = ?1", params![epoch])?;
    }
    if is_first {
        // Whatever else was left is nobody's, and all stations come back to a gateway that was started anew.
        lost::settle(w, Left { epoch: None, reason: GATEWAY_STOPPED })?;
    }
    w.run("DELETE FROM nodes WHERE status = 'lost' AND last_seen_at_ms < ?1", params![now - LOST_SHOWN_MS])?;
    let epoch = next_epoch(w)?;
    w.run(
        "INSERT INTO nodes (epoch, name, version, status, ocpp_addr, api_addr, lease_ms, started_at_ms, last_seen_at_ms)
         VALUES (?1, ?2, ?3, 'active', ?4, ?5, ?6, ?7, ?7)",
        params![
            epoch,
            identity.name,
            env!("CARGO_PKG_VERSION"),
            identity.ocpp_addr,
            identity.api_addr,
            identity.lease.as_millis() as u64,
            now
        ],
    )?;
    w.epoch = epoch;
    if membership.is_among_others() {
        #[derive(serde::Serialize)]
        struct Joined<'a> {
            name: &'a str,
            epoch: i64,
        }
        tell(w, "NodeJoined", &Joined { name: &identity.name, epoch })?;
        w.after_commit.nodes = true;
    }
    Ok(())
}

/// Refuses what may only be done while no node works on a database of PostgreSQL: none has shown a sign of
/// life within its lease.
///
/// # Errors
/// [`StoreError::NodesActive`].
pub(crate) fn refuse_active(db: &Read<'_>) -> Result<()> {
    let active = db.all(
        "SELECT name, coalesce(api_addr, ocpp_addr) FROM nodes
         WHERE status <> 'lost' AND last_seen_at_ms + lease_ms > ?1 ORDER BY epoch",
        params![now_of(db)?],
        |row| {
            let (name, address): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            Ok(address.map_or(name.clone(), |address| format!("{name} ({address})")))
        },
    )?;
    match active.is_empty() {
        true => Ok(()),
        false => Err(StoreError::NodesActive(active)),
    }
}

/// Counts all nodes as lost that were silent for their lease. One that wakes must join anew before it writes.
pub(crate) fn lose_silent(w: &mut Tx<'_>) -> Result<()> {
    let left =
        w.all("SELECT epoch FROM nodes WHERE status <> 'lost' ORDER BY epoch", &[], |row| row.get(0))?;
    left.into_iter().try_for_each(|epoch| lost::lose(w, epoch).map(drop))
}

/// A node that was there under the same name.
struct Before {
    epoch: i64,
    serves: bool,
    lease_ends_at: i64,
    ocpp_addr: Option<String>,
    api_addr: Option<String>,
}

impl Before {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            epoch: row.get(0)?,
            serves: row.get(1)?,
            lease_ends_at: row.get(2)?,
            ocpp_addr: row.get(3)?,
            api_addr: row.get(4)?,
        })
    }
}

/// Greater than any before.
fn next_epoch(w: &Tx<'_>) -> Result<i64> {
    w.one(
        "INSERT INTO meta (key, value) VALUES (?1, 1)
         ON CONFLICT (key) DO UPDATE SET value = meta.value + 1 RETURNING value",
        params![LAST_EPOCH],
        |row| row.get(0),
    )
}

/// The database's clock, by which leases run; where the database is in this process, our own.
fn database_now(w: &Tx<'_>) -> Result<i64> {
    match w.is_shared() {
        false => Ok(w.now.unix_ms()),
        true => now_of(w),
    }
}

/// PostgreSQL's clock.
pub(crate) fn now_of(db: &Read<'_>) -> Result<i64> {
    let now = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
    db.one(now, &[], |row| row.get(0))
}

/// Appends an event about nodes.
fn tell(w: &mut Tx<'_>, event: &'static str, payload: &impl serde::Serialize) -> Result<()> {
    let payload = serde_json::value::to_raw_value(payload)?;
    let event = NewEvent::new(Category::System, event, w.now, payload);
    append::append(w, &event, AppendOptions::default()).map(drop)
}
