//! One transaction on a database that no gateway runs on.

use rusqlite::{Connection, TransactionBehavior};

use super::error::Result;
use super::vault::Vault;
use super::writer::{Effects, Writing};
use super::{newest_ids, steady, webhooks};
use vocabulary::clock::Clock;

/// Does all of `work`, or nothing. What it writes is as the next start will see it: what waits does so by the same
/// hand of the clock. Nobody is told of it before.
pub(super) fn write_alone<T>(
    conn: &mut Connection,
    clock: &Clock,
    vault: &Vault,
    work: impl FnOnce(&mut Writing<'_>) -> Result<T>,
) -> Result<T> {
    let (steady, _) = steady::resume(conn, clock)?;
    let (_, mut mint) = newest_ids(conn)?;
    let mut subscriptions = webhooks::load_subscriptions(conn)?;
    let mut effects = Effects::default();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&mut Writing {
        conn: &tx,
        now: clock.now(),
        steady: steady.now(),
        wall_ahead_ms: steady.wall_ahead_ms(),
        mint: &mut mint,
        subscriptions: &mut subscriptions,
        vault,
        effects: &mut effects,
    })?;
    tx.commit()?;
    Ok(done)
}
