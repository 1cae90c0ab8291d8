//! The life of a node: signs of life, the loss of others, and its own.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::nodes::{lost, now_of};
use crate::other_nodes::{GATEWAY_STOPPED, Left};
use crate::{Priority, Scope, Store};
use vocabulary::log_limit::limited;

/// The longest time between two signs of life.
const BEAT_EVERY: Duration = Duration::from_secs(2);

/// How often lanes are looked at while some are still to be given back.
const GIVE_BACK_EVERY: Duration = Duration::from_millis(50);

/// How long a node that leaves waits for what is under way.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Signals that are kept for those who are behind.
const SIGNALS_KEPT: i64 = 10_000;

/// What a sign of life has brought.
struct Beat {
    /// It is still a node.
    alive: bool,
    /// It is the oldest one that serves.
    leads: bool,
    /// Others that have been silent for their lease.
    silent: Vec<i64>,
}

impl Store {
    /// Is a node until `stop`: shows signs of life, takes and gives lanes, and takes over from nodes that are
    /// lost. Returns at once where no others can be.
    pub async fn be_node(&self, stop: CancellationToken) {
        if !self.inner.membership.is_among_others() {
            return;
        }
        let lease = self.inner.membership.identity().lease;
        let beat_every = BEAT_EVERY.min(lease / 5);
        let mut gives_back = false;
        let mut beaten: Option<Instant> = None;
        // After the database was away everybody looks silent.
        let mut steady_since = Instant::now();
        loop {
            if beaten.is_none_or(|at| at.elapsed() >= beat_every) {
                beaten = Some(Instant::now());
                if let Err(error) = self.beat(steady_since.elapsed() >= lease).await {
                    steady_since = Instant::now();
                    limited!(warn: "this node could not show that it is there: {error}");
                }
            }
            if self.inner.membership.epoch() != 0 {
                gives_back = self.arrange_lanes().await.unwrap_or_else(|error| {
                    limited!(warn: "lanes could not be arranged: {error}");
                    false
                });
            }
            let rest = if gives_back { GIVE_BACK_EVERY } else { beat_every };
            tokio::select! {
                () = self.inner.signals.nodes_changed() => {}
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One sign of life, and a look at the others. `judges`: those that were silent for their lease are lost.
    async fn beat(&self, judges: bool) -> Result<()> {
        let membership = &self.inner.membership;
        let epoch = membership.epoch();
        if epoch == 0 {
            // The writer joins again before it writes.
            self.note_clock().await?;
            info!("this node has joined again (epoch {})", membership.epoch());
            return Ok(());
        }
        let identity = membership.identity();
        let began = Instant::now();
        let beat = self
            .inner
            .engine
            .control(move |db| {
                let alive = db.has(
                    "UPDATE nodes SET last_seen_at_ms = CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT),
                                      ocpp_addr = ?2, api_addr = ?3
                     WHERE epoch = ?1 AND status <> 'lost' RETURNING 1",
                    params![epoch, identity.ocpp_addr, identity.api_addr],
                )?;
                look_around(db, epoch, alive)
            })
            .await?;
        if !beat.alive {
            warn!(
                "this node was silent for its lease and was fenced: its connections are closed, and it joins again"
            );
            membership.fenced();
            self.inner.signals.nodes_have_changed();
            return Ok(());
        }
        membership.seen(began, beat.leads);
        for silent in beat.silent.into_iter().filter(|_| judges) {
            self.inner.engine.end_sessions(silent).await?;
            self.write(Priority::Inbound, Scope::Installation, move |w| lost::lose(w, silent)).await?;
        }
        Ok(())
    }

    /// Takes on nothing more: others take the lanes of this node as soon as nothing of them is under way.
    pub async fn begin_to_leave(&self) {
        if !self.inner.membership.is_among_others() {
            return;
        }
        self.inner.membership.drain();
        let draining = self.write(Priority::Inbound, Scope::Installation, |w| {
            w.run(
                "UPDATE nodes SET status = 'draining' WHERE epoch = ?1 AND status = 'active'",
                params![w.epoch],
            )?;
            w.after_commit.nodes = true;
            Ok(())
        });
        if let Err(error) = draining.await {
            warn!("the other nodes could not be told that this one stops: {error}");
        }
        self.inner.signals.nodes_have_changed();
    }

    /// Is no node any more. What it still had is settled.
    pub async fn leave(&self) {
        if !self.inner.membership.is_among_others() {
            return;
        }
        let began = Instant::now();
        while began.elapsed() < HAND_OVER_WITHIN && self.arrange_lanes().await.unwrap_or(false) {
            tokio::time::sleep(GIVE_BACK_EVERY).await;
        }
        let left = self.write(Priority::Inbound, Scope::Installation, |w| {
            let epoch = w.epoch;
            lost::settle(w, Left { epoch: Some(epoch), reason: GATEWAY_STOPPED })?;
            w.run("DELETE FROM nodes WHERE epoch = ?1", params![epoch])?;
            w.after_commit.nodes = true;
            Ok(())
        });
        if let Err(error) = left.await {
            warn!("this node could not take its leave, the others will count it as lost: {error}");
        }
    }
}

fn look_around(db: &Read<'_>, epoch: i64, alive: bool) -> Result<Beat> {
    let now = now_of(db)?;
    let others: Vec<(i64, bool, bool)> = db.all(
        "SELECT epoch, status = 'active', last_seen_at_ms + lease_ms <= ?1 FROM nodes WHERE status <> 'lost'
         ORDER BY epoch",
        params![now],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut serving = others.iter().filter(|(_, serves, silent)| *serves && !silent);
    let leads = serving.next().is_some_and(|(first, ..)| *first == epoch);
    let silent = others.iter().filter(|(of, _, silent)| *silent && *of != epoch).map(|(of, ..)| *of);
    if leads {
        let old = "DELETE FROM signals WHERE seq <= (SELECT max(seq) FROM signals) - ?1 RETURNING 1";
        db.all(old, params![SIGNALS_KEPT], |_| Ok(()))?;
    }
    Ok(Beat { alive, leads, silent: silent.collect() })
}
