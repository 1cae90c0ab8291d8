//! What an engine lends to one job after another while a batch is written.

use crate::engine::counted::Counted;
use crate::secrecy::vault::Vault;
use crate::signals::AfterCommit;
use vocabulary::clock::Timestamp;
use vocabulary::id::IdMint;
use vocabulary::subscription::SubscriptionSet;

/// The times of a batch, and the counters that only an engine's writer holds.
pub(crate) struct Batch<'a> {
    /// When it began.
    pub(crate) now: Timestamp,
    /// The same moment on the monotonic clock.
    pub(crate) monotonic: Timestamp,
    /// How far the wall is ahead of it.
    pub(crate) wall_offset_ms: i64,
    /// The number of the node that writes.
    pub(crate) epoch: i64,
    /// Gives ids in commit order.
    pub(crate) mint: &'a mut IdMint,
    /// Every webhook's subscription, as of the last commit or of this batch.
    pub(crate) subscriptions: &'a mut SubscriptionSet,
    /// Seals and opens what is secret.
    pub(crate) vault: &'a Vault,
    /// Whom to wake once the job is on disk.
    pub(crate) after_commit: &'a mut AfterCommit,
    /// What it counts in memory; `None` where the database is as near.
    pub(crate) counted: Option<&'a Counted>,
    /// The job may be run once more, if what it writes cannot be kept.
    pub(crate) may_run_again: bool,
}

/// What is rolled back has replaced compiled subscriptions: back to those of before, the last one first.
pub(crate) fn take_back(subscriptions: &mut SubscriptionSet, after_commit: AfterCommit) {
    for (webhook_id, before) in after_commit.webhooks.into_iter().rev() {
        subscriptions.put(webhook_id, before);
    }
}
