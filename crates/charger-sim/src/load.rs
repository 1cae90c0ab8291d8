//! Many chargers at once: how many calls a central system answers, and how fast.
//!
//! These chargers are as cheap as can be, since they run beside what they measure: their messages become text
//! at once, and only the answers that matter are read.

mod charger;
mod report;
mod script;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use report::{Counters, Latency, Report};

use super::connection::{Credentials, Endpoint, spread_source};
use super::notice::Acknowledged;
use vocabulary::id::{InvalidStationId, StationId};

/// Hears of each acknowledged call; must not block.
pub type Ledger = Arc<dyn Fn(Acknowledged) + Send + Sync>;

/// What load to make.
#[derive(Clone)]
pub struct LoadOptions {
    /// The central system.
    pub endpoint: Endpoint,
    /// Identities are this, an underscore and five digits.
    pub prefix: String,
    /// Chargers.
    pub count: usize,
    /// Calls per second, of all chargers together; 0: each as soon as the last one was answered.
    pub rate: f64,
    /// How long to measure, from the moment that all are connected and booted.
    pub duration: Duration,
    /// New connections per second.
    pub connect_rate: f64,
    /// Connect, boot, then stay silent.
    pub idle: bool,
    /// The tag of every session.
    pub id_tag: String,
    /// What every charger proves itself with.
    pub credentials: Credentials,
    /// How long an answer may take before its call counts as lost.
    pub call_timeout: Duration,
    /// The longest wait before connecting anew.
    pub reconnect_max: Duration,
    /// Who hears of acknowledged calls.
    pub ledger: Option<Ledger>,
}

impl LoadOptions {
    /// `count` chargers, each as fast as it is answered, for ten seconds.
    pub fn new(endpoint: Endpoint, prefix: impl Into<String>, count: usize) -> Self {
        Self {
            endpoint,
            prefix: prefix.into(),
            count,
            rate: 0.0,
            duration: Duration::from_secs(10),
            connect_rate: 500.0,
            idle: false,
            id_tag: "TAG_1".to_owned(),
            credentials: Credentials::default(),
            call_timeout: Duration::from_secs(30),
            reconnect_max: Duration::from_secs(5),
            ledger: None,
        }
    }

    /// The identity of the `index`-th charger, counted from 1.
    ///
    /// # Errors
    /// If the prefix makes no legal identity.
    pub fn station_id(&self, index: usize) -> Result<StationId, InvalidStationId> {
        StationId::new(&format!("{}_{index:05}", self.prefix))
    }
}

/// How far the load has come; chargers wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Connections are being made.
    Ramp,
    /// Calls count from here.
    Measure { since: Instant },
}

/// After the last connection was begun, stragglers are waited for so long.
const RAMP_PATIENCE: Duration = Duration::from_secs(15);
/// Outstanding answers are waited for so long at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Makes load until the duration is over or `stop` is canceled, and reports.
///
/// `counters` can be watched meanwhile.
///
/// # Errors
/// If the prefix makes no legal identity; nothing was done then.
pub async fn run(
    options: LoadOptions,
    counters: Arc<Counters>,
    stop: CancellationToken,
) -> Result<Report, InvalidStationId> {
    let stations: Vec<StationId> =
        (1..=options.count).map(|index| options.station_id(index)).collect::<Result<_, _>>()?;
    let target = options.endpoint.resolve().await.ok();
    let (stage, stage_seen) = watch::channel(Stage::Ramp);
    let tracker = TaskTracker::new();
    let quit = stop.child_token();
    let shared = Arc::new(charger::Shared {
        options,
        counters: Arc::clone(&counters),
        stop: quit.clone(),
        stage: stage_seen,
    });
    let began = Instant::now();
    for (index, station) in stations.into_iter().enumerate() {
        let source: Option<IpAddr> = target.and_then(|target| spread_source(target, index));
        let due = began + Duration::from_secs_f64(index as f64 / shared.options.connect_rate.max(1.0));
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(due) => {}
        }
        tracker.spawn(charger::run(Arc::clone(&shared), station, index, source));
    }
    tracker.close();
    let all = shared.options.count as u64;
    let patience = Instant::now() + RAMP_PATIENCE;
    while counters.booted() < all && Instant::now() < patience && !stop.is_cancelled() {
        sleep(Duration::from_millis(20)).await;
    }
    let since = Instant::now();
    counters.begin_measuring();
    stage.send_replace(Stage::Measure { since });
    tokio::select! {
        () = stop.cancelled() => {}
        () = sleep(shared.options.duration) => {}
    }
    let report = counters.report(since.elapsed(), shared.options.count);
    quit.cancel();
    let _ = tokio::time::timeout(DRAIN, tracker.wait()).await;
    Ok(report.with_unanswered(counters.unanswered()))
}
