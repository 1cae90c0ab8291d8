//! One load charger: a socket, a script, one call at a time.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::script::{self, Call, Script};
use super::{Counters, LoadOptions, Stage};
use crate::chance::Chance;
use crate::connection::Socket;
use crate::messages::ChargePointStatus;
use crate::messages::requests::UNNUMBERED;
use crate::notice::Acknowledged;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::id::StationId;
use vocabulary::ocpp::frame::{self, ErrorCode, Frame};

const RECONNECT_FIRST: Duration = Duration::from_millis(100);
/// A boot that was not accepted is tried again no sooner.
const BOOT_RETRY_MIN: Duration = Duration::from_secs(1);

/// What all chargers of a load have in common.
pub(super) struct Shared {
    pub options: LoadOptions,
    pub counters: Arc<Counters>,
    pub stop: CancellationToken,
    pub stage: watch::Receiver<Stage>,
}

struct Charger {
    shared: Arc<Shared>,
    station: StationId,
    index: usize,
    script: Script,
    booted: bool,
    /// A call that has to arrive, and its tries so far.
    pending: Option<(Call, u32)>,
    last_id: u64,
    next_due: Option<Instant>,
}

/// How a call ended.
enum Outcome {
    Answered(Box<RawValue>),
    Refused,
    /// The socket is of no use any more.
    Lost(String),
}

/// Keeps one charger at work until the load stops.
pub(super) async fn run(shared: Arc<Shared>, station: StationId, index: usize, source: Option<IpAddr>) {
    let stop = shared.stop.clone();
    let mut chance = Chance::fresh();
    let mut failures = 0;
    let mut charger = Charger {
        script: Script::new(index, shared.options.id_tag.clone(), Clock::System.now()),
        shared: Arc::clone(&shared),
        station,
        index,
        booted: false,
        pending: None,
        last_id: 0,
        next_due: None,
    };
    while !stop.is_cancelled() {
        let dial = shared.options.endpoint.dial(&charger.station, &shared.options.credentials, source);
        let dialed = tokio::select! {
            () = stop.cancelled() => return,
            dialed = dial => dialed,
        };
        let problem = match dialed {
            Ok(mut socket) => {
                failures = 0;
                shared.counters.connected.fetch_add(1, Relaxed);
                shared.counters.connections.fetch_add(1, Relaxed);
                let lost = charger.work(&mut socket).await;
                shared.counters.connected.fetch_sub(1, Relaxed);
                let Some(reason) = lost else {
                    let _ = socket.close(None).await;
                    return;
                };
                shared.counters.disconnections.fetch_add(1, Relaxed);
                reason
            }
            Err(error) => {
                shared.counters.connect_failures.fetch_add(1, Relaxed);
                error.to_string()
            }
        };
        shared.counters.problem(problem);
        let wait = (RECONNECT_FIRST * (1 << failures.min(8))).min(shared.options.reconnect_max);
        failures += 1;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait.mul_f64(chance.between(0.5, 1.0))) => {}
        }
    }
}

impl Charger {
    /// Works until the load stops (`None`) or the socket is lost.
    async fn work(&mut self, socket: &mut Socket) -> Option<String> {
        let stop = self.shared.stop.clone();
        if !self.booted
            && let Err(end) = self.boot(socket).await
        {
            return end;
        }
        let mut stage = self.shared.stage.clone();
        let since = loop {
            if let Stage::Measure { since } = *stage.borrow_and_update() {
                break since;
            }
            // The socket is read meanwhile, so that pings are answered.
            tokio::select! {
                () = stop.cancelled() => return None,
                _ = stage.changed() => {}
                lost = self.listen(socket) => return Some(lost),
            }
        };
        if self.shared.options.idle {
            return tokio::select! {
                () = stop.cancelled() => None,
                lost = self.listen(socket) => Some(lost),
            };
        }
        loop {
            if let Some(due) = self.due(since) {
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = sleep_until(due) => {}
                    lost = self.listen(socket) => return Some(lost),
                }
            }
            if stop.is_cancelled() {
                return None;
            }
            let (call, tries) = match self.pending.take() {
                Some((call, tries)) => {
                    self.shared.counters.resent.fetch_add(1, Relaxed);
                    (call, tries)
                }
                None => (self.script.next(Clock::System.now()), 0),
            };
            match self.call(socket, &call, tries).await {
                Outcome::Answered(response) if call.action == "StartTransaction" => {
                    self.script.numbered(transaction_id(&response));
                }
                Outcome::Answered(_) | Outcome::Refused => {}
                Outcome::Lost(reason) => {
                    self.pending = call.transactional.then_some((call, tries + 1));
                    return Some(reason);
                }
            }
        }
    }

    /// When the next call is due; `None`: now. Chargers share the rate, each in its own place.
    fn due(&mut self, since: Instant) -> Option<Instant> {
        let options = &self.shared.options;
        if options.rate <= 0.0 {
            return None;
        }
        let between = Duration::from_secs_f64(options.count as f64 / options.rate);
        let due = match self.next_due {
            None => since + Duration::from_secs_f64(self.index as f64 / options.rate),
            // A charger that was answered late does not catch up in a burst.
            Some(last) => (last + between).max(Instant::now()),
        };
        self.next_due = Some(due);
        Some(due)
    }

    async fn boot(&mut self, socket: &mut Socket) -> Result<(), Option<String>> {
        loop {
            let call = script::boot(self.station.as_str());
            let wait = match self.call(socket, &call, 0).await {
                Outcome::Answered(response) => match boot_verdict(&response) {
                    Ok(()) => break,
                    Err(wait) => wait,
                },
                Outcome::Refused => BOOT_RETRY_MIN,
                Outcome::Lost(reason) => return Err(Some(reason)),
            };
            let stop = self.shared.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return Err(None),
                () = sleep(wait) => {}
                lost = self.listen(socket) => return Err(Some(lost)),
            }
        }
        self.booted = true;
        let available = script::status(ChargePointStatus::Available, Clock::System.now());
        if let Outcome::Lost(reason) = self.call(socket, &available, 0).await {
            return Err(Some(reason));
        }
        self.shared.counters.booted.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Sends one call and waits for its answer.
    async fn call(&mut self, socket: &mut Socket, call: &Call, tries: u32) -> Outcome {
        self.last_id += 1;
        let id = self.last_id.to_string();
        let text = format!("[2,\"{id}\",\"{}\",{}]", call.action, call.payload);
        let counters = Arc::clone(&self.shared.counters);
        let sent_at = Clock::System.now();
        let began = Instant::now();
        if let Err(error) = socket.send(Message::text(text)).await {
            return Outcome::Lost(error.to_string());
        }
        counters.sent.fetch_add(1, Relaxed);
        let deadline = began + self.shared.options.call_timeout;
        loop {
            let text = match timeout_at(deadline, next_text(socket)).await {
                Ok(Ok(text)) => text,
                Ok(Err(reason)) => return Outcome::Lost(reason),
                Err(_) => {
                    counters.timed_out.fetch_add(1, Relaxed);
                    return Outcome::Lost(format!("{} was not answered in time", call.action));
                }
            };
            match frame::parse(text.as_str()).frame {
                Frame::CallResult(result) if result.id.text() == id => {
                    counters.latency(began.elapsed());
                    counters.answered.fetch_add(1, Relaxed);
                    self.acknowledge(call, &id, &result.payload, sent_at, tries);
                    return Outcome::Answered(result.payload);
                }
                Frame::CallError(error) if error.id.text() == id => {
                    counters.latency(began.elapsed());
                    counters.refused.fetch_add(1, Relaxed);
                    counters.problem(format!("{}: {} {}", call.action, error.code, error.description));
                    return Outcome::Refused;
                }
                frame => {
                    if let Err(reason) = refuse(socket, frame).await {
                        return Outcome::Lost(reason);
                    }
                }
            }
        }
    }

    fn acknowledge(&self, call: &Call, id: &str, response: &RawValue, sent_at: Timestamp, retries: u32) {
        let Some(ledger) = &self.shared.options.ledger else { return };
        ledger(Acknowledged {
            station_id: self.station.clone(),
            action: call.action,
            message_id: id.to_owned(),
            payload: RawValue::from_string(call.payload.clone()).unwrap_or_else(|_| frame::empty_object()),
            response: response.to_owned(),
            sent_at,
            answered_at: Clock::System.now(),
            retries,
        });
    }

    /// Reads until the socket is lost; says how.
    async fn listen(&self, socket: &mut Socket) -> String {
        loop {
            let text = match next_text(socket).await {
                Ok(text) => text,
                Err(reason) => return reason,
            };
            if let Err(reason) = refuse(socket, frame::parse(&text).frame).await {
                return reason;
            }
        }
    }
}

/// A load charger takes no commands.
async fn refuse(socket: &mut Socket, frame: Frame) -> Result<(), String> {
    let Frame::Call(call) = frame else { return Ok(()) };
    let answer = frame::encode_error(&call.id, ErrorCode::NotSupported, "a load charger takes no commands");
    socket.send(Message::text(answer)).await.map_err(|error| error.to_string())
}

async fn next_text(socket: &mut Socket) -> Result<tokio_tungstenite::tungstenite::Utf8Bytes, String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(Some(frame)))) => {
                return Err(format!(
                    "closed by the central system ({} {})",
                    u16::from(frame.code),
                    frame.reason
                ));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the connection ended".to_owned()),
        }
    }
}

fn transaction_id(response: &RawValue) -> i32 {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Started {
        transaction_id: i32,
    }
    serde_json::from_str::<Started>(response.get()).map_or(UNNUMBERED, |started| started.transaction_id)
}

/// How long to wait before the next boot, if this one was not accepted.
fn boot_verdict(response: &RawValue) -> Result<(), Duration> {
    #[derive(Deserialize)]
    struct Booted {
        status: String,
        interval: u64,
    }
    match serde_json::from_str::<Booted>(response.get()) {
        Ok(booted) if booted.status == "Accepted" => Ok(()),
        Ok(booted) => Err(Duration::from_secs(booted.interval).max(BOOT_RETRY_MIN)),
        Err(_) => Err(BOOT_RETRY_MIN),
    }
}
