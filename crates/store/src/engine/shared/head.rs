//! The head of the log: one row that whoever writes holds until the commit.

use std::ops::ControlFlow;

use crate::LogPosition;
use crate::engine::counted::Counted;
use crate::engine::postgres::driver::{self, Connection, Offered};
use crate::engine::sql::{Param, params};
use crate::engine::tx::Read;
use crate::error::{Result, StoreError};
use crate::signals::AfterCommit;
use vocabulary::id::{IdMint, WebhookId};
use vocabulary::subscription::{Subscription, SubscriptionSet};

/// Changes of webhooks that are kept; who has missed more reads all webhooks anew.
const CHANGES_KEPT: i64 = 1_000;

/// Compiles subscriptions, which appended events are matched with.
#[derive(Clone, Copy)]
pub(crate) struct Compile {
    /// Those of all webhooks.
    pub(crate) all: fn(&Read<'_>) -> Result<SubscriptionSet>,
    /// That of one webhook, if there is one that is not out of order.
    pub(crate) one: fn(&Read<'_>, WebhookId) -> Result<Option<Subscription>>,
}

/// What becomes of the head with a commit.
const HEAD: &str = "UPDATE head SET newest_id = ?1, newest_event = ?2, webhooks_version = ?3";

/// The same, and what other nodes are to hear of it.
const HEAD_AND_SIGNAL: &str = "WITH signal AS (INSERT INTO signals (epoch, told) VALUES (?4, ?5))
    UPDATE head SET newest_id = ?1, newest_event = ?2, webhooks_version = ?3";

/// What comes with the head.
pub(crate) struct Taken {
    /// The transaction's name, by which its end can be looked up.
    pub(crate) transaction: String,
    /// What was foreseen, by its statements.
    pub(crate) offered: Vec<Vec<Offered>>,
}

/// What this node knows of the head.
pub(crate) struct Head {
    /// Goes on behind the newest id of any node.
    pub(crate) mint: IdMint,
    /// What is counted until the commit.
    pub(crate) counted: Counted,
    pub(crate) newest_event: LogPosition,
    /// The version of the webhooks that the compiled subscriptions are of; `None`: of none.
    webhooks_version: Option<i64>,
    /// Other nodes may wait for what is done.
    has_peers: bool,
    compile: Compile,
}

impl Head {
    /// One that knows nothing yet.
    pub(crate) fn unknown(compile: Compile) -> Self {
        Self {
            mint: IdMint::after(0),
            counted: Counted::default(),
            newest_event: LogPosition::START,
            webhooks_version: None,
            has_peers: false,
            compile,
        }
    }

    /// Begins a transaction and takes the head; brings `subscriptions` up to date, and reads what is
    /// `foreseen`. `epoch`: the node that writes, `None` while it joins.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if the node was counted as lost.
    pub(crate) fn take(
        &mut self,
        conn: &Connection,
        subscriptions: &mut SubscriptionSet,
        epoch: Option<i64>,
        foreseen: &[(&'static str, Vec<Vec<Param<'static>>>)],
    ) -> Result<Taken> {
        conn.ahead("BEGIN");
        // What is read together with a row that has to be waited for is of before the wait: so the rest is
        // another statement.
        conn.ahead("SELECT 1 FROM head FOR UPDATE");
        conn.set_in_transaction(true);
        let sql = "SELECT newest_id, newest_event, webhooks_version, CAST(pg_current_xact_id() AS TEXT),
                          (SELECT status FROM nodes WHERE epoch = ?1),
                          (SELECT count(*) FROM nodes WHERE status <> 'lost' AND epoch IS DISTINCT FROM ?1),
                          (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_seq_seq)
                   FROM head";
        let ((version, transaction, status, newest_row), offered) =
            conn.one_and_foreseen((sql, params![epoch]), foreseen, |row| {
                self.mint = IdMint::after(u128::from_be_bytes(driver::get(row, 0)?));
                self.newest_event = driver::get(row, 1)?;
                self.has_peers = driver::get::<i64>(row, 5)? > 0;
                let status: Option<String> = driver::get(row, 4)?;
                Ok((driver::get::<i64>(row, 2)?, driver::get(row, 3)?, status, driver::get::<i64>(row, 6)?))
            })?;
        if epoch.is_some() && !matches!(status.as_deref(), Some("active" | "draining")) {
            return Err(StoreError::Fenced);
        }
        if self.webhooks_version != Some(version) {
            self.recompile(conn, subscriptions, version)?;
        }
        self.counted = Counted::behind(newest_row.max(self.newest_event.number()));
        Ok(Taken { transaction, offered })
    }

    /// Compiles what was changed since this node looked.
    fn recompile(
        &mut self,
        conn: &Connection,
        subscriptions: &mut SubscriptionSet,
        version: i64,
    ) -> Result<()> {
        let read = Read::of_shared(conn);
        match self.webhooks_version {
            Some(known) if version - known < CHANGES_KEPT => {
                for webhook_id in changed_since(conn, known)? {
                    let subscription = (self.compile.one)(&read, webhook_id)?;
                    subscriptions.put(webhook_id, subscription.map(Into::into));
                }
            }
            _ => *subscriptions = (self.compile.all)(&read)?,
        }
        self.webhooks_version = Some(version);
        Ok(())
    }

    /// Writes down what has become of the head, and what others are to hear of it, and commits as the node
    /// `epoch`, with all that was to go ahead. True if others are to be woken.
    ///
    /// # Errors
    /// [`StoreError::Commit`], or [`StoreError::Away`] if the answer never came.
    pub(crate) fn commit(
        &mut self,
        conn: &Connection,
        after_commit: &AfterCommit,
        epoch: i64,
    ) -> Result<bool> {
        let changed: Vec<WebhookId> = after_commit.webhooks.iter().map(|(id, _)| *id).collect();
        let mut version = self.webhooks_version.unwrap_or(0);
        for webhook_id in &changed {
            version += 1;
            let sql = "INSERT INTO webhook_changes (version, webhook_id) VALUES (?1, ?2)";
            driver::send(conn, sql, params![version, webhook_id]);
        }
        if !changed.is_empty() {
            let sql = "DELETE FROM webhook_changes WHERE version <= ?1";
            driver::send(conn, sql, params![version - CHANGES_KEPT]);
        }
        let newest_event = after_commit.newest_event.unwrap_or(self.newest_event);
        if after_commit.newest_event.is_some() {
            // Whoever inserts a row without its number gets one behind these.
            let sql = "SELECT setval('events_seq_seq', greatest(last_value, ?1)) FROM events_seq_seq";
            driver::send(conn, sql, params![newest_event]);
        }
        let told = if self.has_peers { after_commit.told() } else { None };
        let sql = match told {
            None => HEAD,
            Some(_) => HEAD_AND_SIGNAL,
        };
        let (newest_id, told_text) = (self.mint.last().to_be_bytes(), told.as_deref().unwrap_or_default());
        let values = params![newest_id, newest_event, version, epoch, told_text];
        conn.commit_with(sql, if told.is_some() { values } else { &values[..3] }).map_err(
            |error| match error {
                StoreError::Failed(reason) => StoreError::Commit(reason),
                other => other,
            },
        )?;
        conn.set_in_transaction(false);
        self.newest_event = newest_event;
        self.webhooks_version = Some(version);
        Ok(told.is_some())
    }
}

/// Webhooks that were changed after that version, each once.
fn changed_since(conn: &Connection, version: i64) -> Result<Vec<WebhookId>> {
    let mut changed = Vec::new();
    let sql = "SELECT DISTINCT webhook_id FROM webhook_changes WHERE version > ?1";
    driver::each(conn, sql, params![version], |row| {
        changed.push(driver::get(row, 0)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(changed)
}
