//! One transaction on a database that no gateway runs on.

use rusqlite::{Connection, TransactionBehavior};

use crate::engine::batch::Batch;
use crate::engine::embedded::monotonic;
use crate::engine::embedded::newest_ids::newest_ids;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::secrecy::vault::Vault;
use crate::signals::AfterCommit;
use vocabulary::clock::Clock;

/// Does all of `work`, or nothing. The next start goes on with the same monotonic clock, and nobody is told of the
/// change before.
pub(crate) fn write_alone<T>(
    conn: &mut Connection,
    clock: &Clock,
    vault: &Vault,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
) -> Result<T> {
    let (monotonic, _) = monotonic::resume(conn, clock)?;
    let (_, mut mint) = newest_ids(conn)?;
    let mut subscriptions =
        crate::log::subscriptions::load_subscriptions(&crate::engine::tx::Read::of(conn))?;
    let mut after_commit = AfterCommit::default();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let batch = Batch {
        now: clock.now(),
        monotonic: monotonic.now(),
        wall_offset_ms: monotonic.wall_offset_ms(),
        mint: &mut mint,
        subscriptions: &mut subscriptions,
        vault,
        after_commit: &mut after_commit,
    };
    let done = work(&mut Tx::new(Read::of(&tx), batch))?;
    tx.commit()?;
    Ok(done)
}
