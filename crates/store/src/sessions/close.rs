//! Ends of transactions without the charger's word: closed by hand, or given up as orphans.

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::sessions::ended_by::EndedBy;
use crate::sessions::{completion, meter_values, transaction_list, transactions};
use crate::{Priority, Scope, Store};
use vocabulary::api::transaction::{Status, Transaction};
use vocabulary::clock::Timestamp;

/// Orphans that are completed in one commit, so that a site's worth of them stalls nobody.
const ORPHANS_PER_STEP: usize = 20;

/// What somebody says of a stop that never came.
#[derive(Debug, Clone, Default)]
pub struct ManualStop {
    /// When it ended; `None`: now.
    pub stopped_at: Option<Timestamp>,
    /// The meter then, in Wh.
    pub meter_stop_wh: Option<i64>,
    /// Why it ended.
    pub reason: Option<String>,
}

/// What became of an attempt to close a transaction.
#[derive(Debug, Clone)]
pub enum Closed {
    /// It is completed, as it stands here.
    Done(Box<Transaction>),
    /// It was completed before; nothing was changed.
    Completed,
    /// There is none of this number.
    Unknown,
}

impl Store {
    /// Completes an active transaction on somebody's word and appends its `TransactionCompleted`. The
    /// charger's own stop, should it come, corrects it.
    pub async fn close_transaction(&self, transaction_id: i64, stop: ManualStop) -> Result<Closed> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(before) = transaction_list::by_id(w, transaction_id, w.now)? else {
                return Ok(Closed::Unknown);
            };
            if before.status == Status::Completed {
                return Ok(Closed::Completed);
            }
            let stopped_at = stop.stopped_at.unwrap_or(w.now);
            complete(w, transaction_id, EndedBy::Close, Some(stopped_at), &stop)?;
            let closed = transaction_list::by_id(w, transaction_id, w.now)?;
            Ok(closed.map_or(Closed::Unknown, |closed| Closed::Done(Box::new(closed))))
        })
        .await
    }

    /// Completes some of the orphans of which nothing has come since `silent_since`; returns whether there
    /// may be more. With nothing to do it only reads.
    pub async fn complete_orphans(&self, silent_since: Timestamp) -> Result<bool> {
        const DUE: &str = "SELECT transaction_id FROM transactions
             WHERE status = 'active' AND orphaned = 1 AND orphan_activity_at_ms <= ?1
             ORDER BY orphan_activity_at_ms LIMIT ?2";
        let is_due = self.read(move |db| db.has(DUE, params![silent_since, 1]));
        if !is_due.await? {
            return Ok(false);
        }
        self.write(Priority::Api, Scope::Installation, move |w| {
            let due: Vec<i64> = w.all(DUE, params![silent_since, ORPHANS_PER_STEP], |row| row.get(0))?;
            for &transaction_id in &due {
                // The last sign of life is the nearest thing to an end that there is.
                let stopped_at = meter_values::last_at(w, transaction_id)?;
                complete(w, transaction_id, EndedBy::Orphan, stopped_at, &ManualStop::default())?;
            }
            Ok(due.len() == ORPHANS_PER_STEP)
        })
        .await
    }
}

fn complete(
    w: &mut Tx<'_>,
    transaction_id: i64,
    ended_by: EndedBy,
    stopped_at: Option<Timestamp>,
    stop: &ManualStop,
) -> Result<()> {
    let stamp = transactions::next_stamp(w)?;
    w.run(
        "UPDATE transactions
         SET status = 'completed', inferred = 1, ended_by = ?2, stopped_at_ms = ?3, meter_stop_wh = ?4,
             stop_reason = ?5, revision = 1, completed_at_ms = ?6, updated_at_ms = ?7, change_seq = ?8
         WHERE transaction_id = ?1",
        params![
            transaction_id,
            ended_by.as_str(),
            stopped_at,
            stop.meter_stop_wh,
            stop.reason,
            w.now,
            stamp.at,
            stamp.seq,
        ],
    )?;
    transactions::weigh(w, transaction_id)?;
    completion::complete(w, transaction_id, None)
}
