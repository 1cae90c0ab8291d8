//! The opening of a store that several gateways share: while its database is away, this one waits and says
//! so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::StartError;
use super::api::Listeners;
use crate::config::Config;
use crate::http::Readiness;
use store::{Address, Identity, Opened, Store, StoreError};
use tls::Tls;
use vocabulary::clock::Clock;

/// How often one tries.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// How often it is said again that the database is away.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// How long answers that are on their way have once the store is open.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Opens the store, and waits for its database as long as that takes. Meanwhile the API answers that the
/// gateway is not ready.
///
/// # Errors
/// The store's, when somebody has to change something; [`StartError::Stopped`].
pub(super) async fn join(
    config: &Config,
    (address, identity): (Address, Identity),
    clock: Clock,
    (listeners, tls): (&Listeners, Option<Arc<Tls>>),
    stop: &CancellationToken,
) -> Result<Opened, StartError> {
    info!("this is the node {} of {address}", identity.name);
    let (readiness, opened) = (Readiness::default(), CancellationToken::new());
    let mut answering = None;
    let mut told: Option<Instant> = None;
    let result = loop {
        let reason = match open(config, address.clone(), identity.clone(), clock.clone()).await {
            Err(StoreError::Away(reason)) => reason,
            Ok(opened) => {
                if told.is_some() {
                    info!("the database {address} can be reached now");
                }
                break Ok(opened);
            }
            Err(error) => break Err(error.into()),
        };
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            warn!("the database {address} cannot be reached; the gateway waits for it: {reason}");
            told = Some(Instant::now());
        }
        readiness.report("store", Some(StoreError::Away(reason).to_string()));
        answering.get_or_insert_with(|| listeners.serve_waiting(config, tls.clone(), &readiness, &opened));
        tokio::select! {
            () = sleep(TRY_EVERY) => {}
            () = stop.cancelled() => break Err(StartError::Stopped),
        }
    };
    opened.cancel();
    if let Some(answering) = answering {
        let _ = timeout(LAST_ANSWERS, answering.wait()).await;
    }
    result
}

/// Opens the store beside the async threads.
async fn open(
    config: &Config,
    address: Address,
    identity: Identity,
    clock: Clock,
) -> Result<Opened, StoreError> {
    let (data_dir, key) = (config.server.data_dir.clone(), config.secrets_key());
    let opening = move || Store::open_shared(&address, identity, &data_dir, &key, clock);
    tokio::task::spawn_blocking(opening).await.map_err(|_| StoreError::Closed)?
}
