//! What other nodes have committed: each commit that others may wait for leaves a row in `signals`, and this
//! node hears of it at once, or within a second.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Store;
use crate::engine::sql::params;
use crate::error::Result;
use crate::signals::told::Told;
use vocabulary::log_limit::limited;

/// How long what was committed may go unnoticed where no hint comes through.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Rest after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Signals that are read at once.
const AT_ONCE: u32 = 500;

impl Store {
    /// Hears of what other nodes commit, until `stop`. Returns at once where no others can be.
    pub async fn hear_others(&self, stop: CancellationToken) {
        if !self.inner.membership.is_among_others() {
            return;
        }
        while !stop.is_cancelled() {
            let heard = tokio::select! {
                heard = self.hear() => heard,
                () = stop.cancelled() => return,
            };
            if let Err(error) = heard {
                limited!(warn: "what other nodes do is not heard at the moment: {error}");
            }
            tokio::select! {
                () = sleep(AFTER_FAILURE) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn hear(&self) -> Result<()> {
        let mut hints = self.inner.engine.hints().await?;
        loop {
            while self.take_in_signals().await? {}
            tokio::select! {
                hint = hints.next() => hint?,
                () = self.inner.signals.others_have_news() => hints.give().await?,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Reads signals that were not heard yet; true if there may be more.
    async fn take_in_signals(&self) -> Result<bool> {
        let membership = &self.inner.membership;
        let heard = membership.heard();
        let own = membership.epoch();
        let signals: Vec<(i64, i64, String)> = self
            .read(move |db| {
                db.all(
                    "SELECT seq, epoch, told FROM signals WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                    params![heard, AT_ONCE],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
            })
            .await?;
        let more = signals.len() == AT_ONCE as usize;
        for (seq, epoch, told) in signals {
            if epoch != own {
                self.inner.signals.hear(serde_json::from_str::<Told>(&told)?);
            }
            membership.has_heard(seq);
        }
        Ok(more)
    }
}
