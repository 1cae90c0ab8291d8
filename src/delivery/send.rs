//! Sends one claimed delivery, and what all sends share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use outbound::body::Bodies;
use outbound::outcome::Outcome;
use outbound::post::Poster;
use store::{
    Claimed, DeliveryFailure, DeliveryRow, EventsToDeliver, Finish, LaneClaimed, LogPosition, Next, NotMade,
    Store, StoreError,
};
use vocabulary::clock::{Clock, Monotonic, Timestamp};
use vocabulary::event::{Category, Event};
use vocabulary::id::WebhookId;

use super::LOOK_AGAIN;
use super::attempt::{self, Attempt};
use super::dead_letter_events::{DeadLetterEvents, FoldedFailures};
use super::schedule;
use super::target::Target;

/// Pauses between tries to write an outcome.
const STORE_RETRY_MIN: Duration = Duration::from_millis(50);
const STORE_RETRY_MAX: Duration = Duration::from_secs(5);

/// How long a delivery waits that cannot be read until somebody repairs it, or that the store could not read
/// just now.
const UNREADABLE_WAIT: Duration = Duration::from_secs(60);
const NOT_READ_WAIT: Duration = Duration::from_secs(1);

/// What tasks report to the loop.
pub(super) enum Report {
    Claimed { asked: Vec<WebhookId>, answer: Result<Vec<LaneClaimed>, StoreError> },
    SendEnd(SendEnd),
}

/// A send whose outcome is on disk, or cannot be written any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendEnd {
    pub(super) webhook_id: WebhookId,
    /// Bytes of its payload.
    pub(super) payload_bytes: usize,
    pub(super) probe: bool,
    pub(super) how: EndpointSign,
    pub(super) retry_at: Option<Timestamp>,
}

/// What a send shows about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndpointSign {
    /// It takes deliveries.
    Arrived,
    /// It does not take them.
    Failed,
    /// Nothing: no request was made, because of the gateway itself, or the one message was at fault.
    Nothing,
}

/// What all sends share.
pub(super) struct Sender {
    pub(super) store: Store,
    pub(super) poster: Poster,
    /// The time that receivers are told.
    pub(super) clock: Clock,
    /// The time by which deliveries wait.
    pub(super) monotonic: Monotonic,
    /// A webhook whose every delivery has failed for this long is disabled.
    pub(super) auto_disable_after: Duration,
    pub(super) dead_letters: Mutex<DeadLetterEvents>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
    /// Canceled when the time for an orderly end is over.
    pub(super) cut_off: CancellationToken,
}

/// One claimed delivery.
pub(super) struct Send {
    pub(super) sender: Arc<Sender>,
    pub(super) target: Arc<Target>,
    pub(super) schedule: Arc<[Duration]>,
    pub(super) claimed: Claimed,
    /// Its permit is free once the loop receives this.
    pub(super) report: ReportEnd,
}

impl Send {
    /// Posts the body and records the outcome.
    async fn run(mut self, told: &Bodies) {
        let (sender, claimed) = (&self.sender, &self.claimed);
        let target = match self.target() {
            Ok(target) => target,
            Err(error) => return self.put_back(&error).await,
        };
        let attempt = Attempt {
            delivery_id: claimed.id,
            event: told.event(),
            body: told.of(target.format),
            number: claimed.attempt,
            trigger: claimed.trigger,
            sequence: claimed.sequence,
        };
        let outcome = tokio::select! {
            outcome = attempt.send(&target, &sender.poster, &sender.clock) => Some(outcome),
            // The attempt stays open on disk, and becomes `outcome_unknown` at the next start.
            () = sender.cut_off.cancelled() => None,
        };
        if let Some(outcome) = outcome {
            self.report.ended.how = match () {
                () if outcome.is_success() => EndpointSign::Arrived,
                () if outcome.is_hopeless() => EndpointSign::Nothing,
                () => EndpointSign::Failed,
            };
            let finish = self.decide(told.event(), outcome);
            if let Next::Retry { due_at } = finish.next {
                self.report.ended.retry_at = Some(due_at);
            }
            self.sender.settle(finish).await;
        }
    }

    /// Where and how it is sent.
    fn target(&self) -> Result<Arc<Target>, StoreError> {
        Ok(match self.sender.store.direct_url(&self.claimed)? {
            None => self.target.clone(),
            Some(direct) => Arc::new(self.target.with_url_of(&self.claimed, &direct)?),
        })
    }

    /// A delivery that the gateway cannot read costs the receiver no attempt, and says nothing about its
    /// endpoint.
    async fn put_back(mut self, error: &StoreError) {
        let due_at = self.sender.monotonic.now().after(match error {
            StoreError::Corrupt(_) | StoreError::Cell(_) | StoreError::Setting(_) => UNREADABLE_WAIT,
            _ => NOT_READ_WAIT,
        });
        let (id, message) = (self.claimed.id, format!("the gateway could not read it: {error}"));
        vocabulary::log_limit::limited!(error: "delivery {id} waits, {message}");
        let Claimed { row, webhook_id, attempt, .. } = self.claimed;
        self.report.ended.retry_at = Some(due_at);
        self.sender.put_back(NotMade { row, webhook_id, attempt, message, due_at }).await;
    }

    fn decide(&self, event: &Event, outcome: Outcome) -> Finish {
        let claimed = &self.claimed;
        let now = self.sender.monotonic.now();
        let next = if outcome.is_success() {
            Next::Delivered
        } else {
            let asked = attempt::retry_after(&outcome, self.sender.clock.now());
            let gone = outcome.status() == Some(410);
            let wait = schedule::next_try(claimed.step, &self.schedule, asked, chance());
            match wait {
                Some(wait) if !gone && !outcome.is_hopeless() => Next::Retry { due_at: now.after(wait) },
                _ => {
                    let announce = self.sender.announces(claimed, event, &outcome, now);
                    if gone { Next::Gone { announce } } else { Next::DeadLetter { announce } }
                }
            }
        };
        let says_something = !outcome.is_hopeless();
        let mut finish = attempt::finish(claimed, outcome, next);
        finish.auto_disable_after = says_something.then_some(self.sender.auto_disable_after);
        finish
    }
}

/// Reports the end of a send when it is dropped, so that not even a bug keeps a permit.
pub(super) struct ReportEnd {
    ended: SendEnd,
    reports: mpsc::UnboundedSender<Report>,
}

impl ReportEnd {
    pub(super) fn of(sender: &Sender, claimed: &Claimed, probe: bool) -> Self {
        let (webhook_id, payload_bytes) = (claimed.webhook_id, claimed.payload_bytes);
        let ended = SendEnd { webhook_id, payload_bytes, probe, how: EndpointSign::Nothing, retry_at: None };
        Self { ended, reports: sender.reports.clone() }
    }
}

impl Drop for ReportEnd {
    fn drop(&mut self) {
        // Nobody listens once the engine has ended.
        let _ = self.reports.send(Report::SendEnd(self.ended));
    }
}

impl Sender {
    fn dead_letters(&self) -> MutexGuard<'_, DeadLetterEvents> {
        self.dead_letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the events of claimed deliveries, each event once, and sends them.
    pub(super) async fn send_all(self: Arc<Self>, sends: Vec<Send>) {
        let event_seqs = sends.iter().map(|send| send.claimed.event).collect();
        let (read, failed) = match self.store.to_deliver(event_seqs).await {
            Ok(read) => (read, StoreError::Closed),
            Err(error) => (EventsToDeliver::new(), error),
        };
        let told: HashMap<LogPosition, Result<Arc<Bodies>, StoreError>> = read
            .into_iter()
            .map(|(position, event)| (position, event.map(|event| Arc::new(Bodies::new(event)))))
            .collect();
        for send in sends {
            // Others may have taken over by now, and send it themselves.
            if !self.store.may_act() {
                drop(tokio::spawn(async move { send.put_back(&StoreError::Fenced).await }));
                continue;
            }
            match told.get(&send.claimed.event).cloned().unwrap_or_else(|| Err(failed.clone())) {
                Ok(told) => drop(tokio::spawn(async move { send.run(&told).await })),
                Err(error) => drop(tokio::spawn(async move { send.put_back(&error).await })),
            }
        }
    }

    /// Whether this dead letter gets an event of its own. If not, it is held for a shared one.
    fn announces(&self, claimed: &Claimed, event: &Event, outcome: &Outcome, now: Timestamp) -> bool {
        let Some(last_error) = outcome.error().filter(|_| event.category != Category::Webhook) else {
            return false;
        };
        let mut dead_letters = self.dead_letters();
        let fold = dead_letters.of(claimed.webhook_id);
        if fold.singles_left(now) > 0 {
            fold.told(1);
            return true;
        }
        fold.hold(DeliveryFailure {
            delivery_id: claimed.id,
            event_id: event.id,
            webhook_id: claimed.webhook_id,
            attempts: claimed.attempt,
            last_error,
        });
        false
    }

    /// Writes an outcome, and retries until the store takes it: a failure of the gateway must not cost the
    /// receiver an attempt.
    async fn settle(&self, finish: Finish) {
        self.write(finish.row, || self.store.finish(finish.clone())).await;
    }

    async fn put_back(&self, not_made: NotMade) {
        self.write(not_made.row, || self.store.put_back(not_made.clone())).await;
    }

    async fn write<W: Future<Output = Result<(), StoreError>>>(
        &self,
        row: DeliveryRow,
        mut write: impl FnMut() -> W,
    ) {
        let mut wait = STORE_RETRY_MIN;
        loop {
            let error = match write().await {
                Ok(()) => return,
                Err(error) => error,
            };
            vocabulary::log_limit::limited!(warn: delivery.row = row.number(), "an outcome could not be written, it is kept: {error}");
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(STORE_RETRY_MAX),
                () = self.cut_off.cancelled() => return,
            }
        }
    }

    pub(super) async fn give_up_waiting(self: Arc<Self>, webhook_id: WebhookId, began_before: Timestamp) {
        loop {
            let now = self.monotonic.now();
            let singles = self.dead_letters().of(webhook_id).singles_left(now);
            match self.store.give_up_waiting(webhook_id, began_before, singles).await {
                Ok(given_up) => {
                    let mut dead_letters = self.dead_letters();
                    let fold = dead_letters.of(webhook_id);
                    fold.told(given_up.told);
                    given_up.unannounced.into_iter().for_each(|failure| fold.hold(failure));
                    if !given_up.more {
                        return;
                    }
                }
                Err(error) => {
                    vocabulary::log_limit::limited!(warn: "webhook {webhook_id}: what waits could not be given up: {error}");
                    return;
                }
            }
        }
    }

    pub(super) async fn end_pauses(self: Arc<Self>) {
        if let Err(error) = self.store.end_pauses().await {
            vocabulary::log_limit::limited!(warn: "webhooks whose pause is over could not be resumed: {error}");
        }
    }

    pub(super) async fn note_clock(self: Arc<Self>) {
        if let Err(error) = self.store.note_clock().await {
            vocabulary::log_limit::limited!(warn: "that the clock was set could not be written down yet: {error}");
        }
    }

    pub(super) async fn discard_waiting(self: Arc<Self>, webhook_id: WebhookId) {
        loop {
            match self.store.discard_step(webhook_id).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    vocabulary::log_limit::limited!(warn: "webhook {webhook_id}: what waits could not be discarded: {error}");
                    return;
                }
            }
        }
    }

    /// Publishes the folded dead letters that are due. Returns when the next ones are due.
    pub(super) fn tell_folded(self: &Arc<Self>, now: Timestamp) -> Option<Timestamp> {
        let mut dead_letters = self.dead_letters();
        for failures in dead_letters.take_due(now) {
            tokio::spawn(self.clone().announce(failures));
        }
        dead_letters.due_at()
    }

    /// Publishes all held dead letters, because the engine ends.
    pub(super) fn tell_all_folded(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let held: Vec<_> = self.dead_letters().take_all();
        let sender = self.clone();
        async move {
            for failures in held {
                sender.clone().announce(failures).await;
            }
        }
    }

    async fn announce(self: Arc<Self>, failures: FoldedFailures) {
        let FoldedFailures { last, count } = failures;
        let webhook_id = last.webhook_id;
        if let Err(error) = self.store.announce_failures(last, count).await {
            vocabulary::log_limit::limited!(warn: "webhook {webhook_id}: {count} dead letters could not be told: {error}");
        }
    }

    pub(super) async fn sleep_until(&self, moment: Option<Timestamp>) {
        match moment {
            Some(moment) => tokio::time::sleep(moment.since(self.monotonic.now()).min(LOOK_AGAIN)).await,
            None => std::future::pending().await,
        }
    }
}

/// A random number in -1 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness retries are only less spread out.
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX) * 2.0 - 1.0,
        Err(_) => 0.0,
    }
}
