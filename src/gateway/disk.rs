//! Warns before the disk is full: what comes after that costs more than a line in the log.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use store::Store;
use vocabulary::setting::Server;
use vocabulary::units::ByteSize;

/// How often one looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often it is said again while there is as little room as before.
const TELL_EVERY: Duration = Duration::from_secs(3_600);

/// Looks after the room that the file system of the data directory has, until `stop`.
pub(super) async fn watch(store: Store, server: Server, stop: CancellationToken) {
    let Server { data_dir, warn_free_space: ByteSize(least_bytes), .. } = server;
    let mut told: Option<(Instant, u64)> = None;
    loop {
        if let Some(disk) = store.disk().await {
            let free = disk.free_bytes;
            let is_due = |(at, before): (Instant, u64)| at.elapsed() >= TELL_EVERY || free < before / 2;
            if free >= least_bytes {
                if told.take().is_some() {
                    info!("{free} bytes are free again where {} is", data_dir.display());
                }
            } else if told.is_none_or(is_due) {
                warn!(
                    free_bytes = free,
                    "only {free} of {} bytes are free where {} is (server.warn_free_space): once there are none, \
                     nothing is stored, and no charger is answered",
                    disk.total_bytes,
                    data_dir.display()
                );
                told = Some((Instant::now(), free));
            }
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
