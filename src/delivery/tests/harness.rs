//! An engine on a store of its own, and waits with a deadline.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::delivery::breaker::State;
use crate::delivery::{Engine, EngineHandle, LaneViews, Settings};
use outbound::destination::Guard;
use outbound::post::Poster;
use store::{Delivery, DeliveryFilter, Slice, Store};
use vocabulary::clock::Clock;
use vocabulary::delivery::DeliveryStatus;

/// How long a test waits for a condition.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

pub(super) struct House {
    pub(super) store: Store,
    pub(super) engine: EngineHandle,
    stop: CancellationToken,
}

pub(super) fn poster() -> Poster {
    let guard = Guard { allowed: vec!["127.0.0.0/8".parse().expect("a network")], https_only: false };
    Poster::new(guard, None).expect("a poster")
}

/// How long sends under way at a stop may take to end.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(300);

pub(super) fn settings() -> Settings {
    Settings { max_in_flight: 64, ..Settings::default() }
}

impl House {
    pub(super) fn open(dir: &Path, settings: &Settings) -> Self {
        let store = Store::open(dir, Clock::System).expect("a store");
        Self::start(store, settings)
    }

    pub(super) fn start(store: Store, settings: &Settings) -> Self {
        let stop = CancellationToken::new();
        let engine = Engine::start(
            (store.clone(), store.monotonic().clone()),
            poster(),
            settings,
            SHUTDOWN_GRACE,
            Clock::System,
            stop.clone(),
        );
        Self { store, stop, engine }
    }

    /// Ends it as a gateway does, with sends under way cut off after the grace.
    pub(super) async fn close(self) {
        self.stop.cancel();
        self.engine.join().await;
        self.store.close();
    }

    pub(super) async fn deliveries(&self, webhook_id: i64) -> Vec<Delivery> {
        let filter = DeliveryFilter { webhook_id: Some(webhook_id), ..DeliveryFilter::default() };
        let slice = Slice { limit: 500, after: None, ascending: true };
        self.store.deliveries(filter, slice).await.expect("a list").rows
    }

    /// Waits until the webhook has `count` deliveries of this status, and returns all of its deliveries.
    pub(super) async fn wait_for(
        &self,
        webhook_id: i64,
        status: DeliveryStatus,
        count: usize,
    ) -> Vec<Delivery> {
        let began = Instant::now();
        loop {
            let all = self.deliveries(webhook_id).await;
            if all.iter().filter(|delivery| delivery.status == status).count() >= count {
                return all;
            }
            assert!(began.elapsed() < DEADLINE, "{count} {status:?} expected: {all:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the webhook's breaker is open.
    pub(super) async fn until_breaker_opens(&self, webhook_id: i64) {
        let mut views = self.engine.views();
        let is_open = |views: &LaneViews| {
            views.get(&webhook_id).is_some_and(|lane| matches!(lane.breaker, State::Open { .. }))
        };
        tokio::time::timeout(DEADLINE, views.wait_for(is_open)).await.expect("it opens").expect("alive");
    }
}

pub(super) async fn house() -> (TempDir, House) {
    let dir = tempfile::tempdir().expect("a directory");
    let house = House::open(dir.path(), &settings());
    (dir, house)
}
