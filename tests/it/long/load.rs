//! Chargers that say when they said it, so that whoever hears of it knows how long that took.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{Times, record, times};
use crate::harness::Charger;

/// Moments are told in microseconds since this one.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Chargers that speak, all together so many times a second, until they are stopped.
pub(super) struct Load {
    answers: Arc<Mutex<Times>>,
    stop: CancellationToken,
    chargers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Returns when all of them are connected.
    pub(super) async fn start(ocpp: SocketAddr, chargers: usize, per_second: usize) -> Self {
        LazyLock::force(&BEGINNING);
        let (answers, stop) = (Arc::new(Mutex::new(times())), CancellationToken::new());
        let each = Duration::from_secs(1) * chargers as u32 / per_second as u32;
        let mut tasks = Vec::new();
        for nth in 0..chargers {
            let charger = connect(ocpp, &format!("LOAD_{nth}")).await;
            // Not all at the same moment.
            let first = each.mul_f64(nth as f64 / chargers as f64);
            tasks.push(tokio::spawn(speak(charger, first, each, answers.clone(), stop.clone())));
        }
        Self { answers, stop, chargers: tasks }
    }

    /// How long the answers since the last time took.
    pub(super) fn take(&self) -> Times {
        std::mem::replace(&mut self.answers.lock().expect("sound"), times())
    }

    /// Returns when the last one has had its answer.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for charger in self.chargers {
            charger.await.expect("it was served to the end");
        }
    }
}

pub(super) async fn connect(ocpp: SocketAddr, station: &str) -> Charger {
    let offer = [("Sec-WebSocket-Protocol", "ocpp1.6")];
    Charger::connect(ocpp, &format!("/ocpp/{station}"), &offer).await.expect("is let in")
}

/// One call, and how long its answer took.
pub(super) async fn say(charger: &mut Charger) -> Duration {
    let began = Instant::now();
    let micros = began.saturating_duration_since(*BEGINNING).as_micros();
    charger.call("DataTransfer", json!({"vendorId": "long", "data": format!("{micros:015}")})).await;
    began.elapsed()
}

/// When what came in this body was said.
pub(super) fn said_at(body: &[u8]) -> Option<Instant> {
    const MARK: &[u8] = b"\"data\":\"";
    let at = body.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let micros = std::str::from_utf8(body.get(at..at + 15)?).ok()?.parse().ok()?;
    Some(*BEGINNING + Duration::from_micros(micros))
}

async fn speak(
    mut charger: Charger,
    first: Duration,
    each: Duration,
    answers: Arc<Mutex<Times>>,
    stop: CancellationToken,
) {
    let mut ticks = interval_at(tokio::time::Instant::now() + first, each);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let took = say(&mut charger).await;
        record(&mut answers.lock().expect("sound"), took);
    }
}
