//! The loop that keeps all lanes going: claim, send, settle.
//!
//! One task owns the lanes. Claims and sends run in tasks of their own and report back; a send holds its
//! permit until its outcome is on disk, so that never more is claimed than can be run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::{Clock, Timestamp};
use crate::event::Category;
use crate::id::WebhookId;
use crate::outbound::headers::Trigger;
use crate::outbound::post::Poster;
use crate::store::{
    Claimed, DeliveryFailure, Finish, LaneClaimed, LaneSettings, LaneState, LanesDue, Next, Store, StoreError,
};

use super::attempt::{self, Attempt};
use super::fold::Folds;
use super::lane::LaneViews;
use super::lanes::Lanes;
use super::schedule;
use super::target::Target;
use super::{EngineHandle, Settings};

/// The longest the engine sleeps while something waits: so long it may take to notice that the machine's
/// clock was set.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often the lanes' views are published at most: with thousands of lanes each is some work.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);

/// Waits between tries to write what must be written.
const STORE_RETRY_MIN: Duration = Duration::from_millis(50);
const STORE_RETRY_MAX: Duration = Duration::from_secs(5);

/// The delivery engine.
#[derive(Debug)]
pub struct Engine;

/// What tasks tell the loop.
enum Report {
    Claimed { asked: Vec<WebhookId>, answer: Result<Vec<LaneClaimed>, StoreError> },
    Ended(Ended),
}

/// A send whose outcome is on disk, or cannot be written any more.
struct Ended {
    webhook_id: WebhookId,
    probe: bool,
    success: bool,
    retry_at: Option<Timestamp>,
}

/// What every send works with.
struct Sender {
    store: Store,
    poster: Poster,
    clock: Clock,
    settings: Settings,
    folds: Mutex<Folds>,
    reports: mpsc::UnboundedSender<Report>,
    /// The time for ending in good order is up.
    cut_off: CancellationToken,
}

struct Running {
    sender: Arc<Sender>,
    lanes: Lanes,
    reports: mpsc::UnboundedReceiver<Report>,
    claiming: bool,
    /// The webhooks could not be read: again then.
    reload_at: Option<Timestamp>,
    views: watch::Sender<LaneViews>,
    /// When the views were last published.
    published_at: Instant,
    /// Something has happened since.
    unpublished: bool,
}

impl Engine {
    /// Starts delivering. Cancel `stop` to end: nothing more is claimed, what is under way is given
    /// `settings.shutdown_grace`, and [`EngineHandle::join`] returns.
    pub fn start(
        store: Store,
        poster: Poster,
        settings: Settings,
        clock: Clock,
        stop: CancellationToken,
    ) -> EngineHandle {
        // Bounded by the permits: every report belongs to a claim or to a send.
        let (tell, reports) = mpsc::unbounded_channel();
        let (views, seen) = watch::channel(LaneViews::new());
        let lanes = Lanes::new(settings.permits);
        let sender = Arc::new(Sender {
            store,
            poster,
            clock,
            settings,
            folds: Mutex::default(),
            reports: tell,
            cut_off: CancellationToken::new(),
        });
        let running = Running {
            sender,
            lanes,
            reports,
            claiming: false,
            reload_at: None,
            views,
            published_at: Instant::now(),
            unpublished: true,
        };
        EngineHandle { task: tokio::spawn(running.run(stop)), views: seen }
    }
}

impl Running {
    async fn run(mut self, stop: CancellationToken) {
        self.discard_orphans().await;
        self.reload().await;
        while !stop.is_cancelled() {
            let wake_at = self.go_on();
            tokio::select! {
                // Its list is taken only when it is returned: nothing is lost if another branch wins.
                due = self.sender.store.lanes_due() => self.look(due).await,
                Some(report) = self.reports.recv() => self.take_in(report),
                () = self.sender.sleep_until(wake_at) => {}
                () = stop.cancelled() => {}
            }
            while let Ok(report) = self.reports.try_recv() {
                self.take_in(report);
            }
            if self.reload_at.is_some_and(|at| at <= self.sender.clock.now()) {
                self.reload().await;
            }
        }
        self.end().await;
    }

    /// Claims what may be sent, tells what is due to be told; returns when to look again.
    fn go_on(&mut self) -> Option<Timestamp> {
        let now = self.sender.clock.now();
        let tell_at = self.sender.tell_folded(now);
        let mut wake_at = [tell_at, self.reload_at].into_iter().flatten().min();
        if !self.claiming {
            let plan = self.lanes.plan(now);
            wake_at = [wake_at, plan.wake_at].into_iter().flatten().min();
            if !plan.claims.is_empty() {
                self.claiming = true;
                let sender = self.sender.clone();
                tokio::spawn(async move {
                    let asked = plan.claims.iter().map(|claim| claim.webhook_id).collect();
                    let answer = sender.store.claim(plan.claims).await;
                    let _ = sender.reports.send(Report::Claimed { asked, answer });
                });
            }
        }
        if self.unpublished {
            let next = self.published_at + PUBLISH_EVERY;
            if Instant::now() >= next {
                self.views.send_replace(self.lanes.views());
                self.published_at = Instant::now();
                self.unpublished = false;
            } else {
                wake_at = [wake_at, Some(now.after(PUBLISH_EVERY))].into_iter().flatten().min();
            }
        }
        wake_at
    }

    async fn look(&mut self, due: LanesDue) {
        self.unpublished = true;
        if due.webhooks_changed {
            self.reload().await;
        }
        let now = self.sender.clock.now();
        for webhook_id in due.webhooks {
            // A lane that is not there was read with all that waits for it, or its webhook is deleted.
            if let Some(lane) = self.lanes.get_mut(webhook_id) {
                lane.mark(now);
            }
        }
    }

    fn take_in(&mut self, report: Report) {
        self.unpublished = true;
        let now = self.sender.clock.now();
        match report {
            Report::Claimed { answer: Ok(answers), .. } => {
                self.claiming = false;
                for answer in answers {
                    let Some(lane) = self.lanes.get_mut(answer.webhook_id) else { continue };
                    let probe = lane.claimed(answer.deliveries.len(), &answer);
                    let target = lane.target.clone();
                    let schedule: Arc<[Duration]> = lane.settings.retry_schedule.clone().into();
                    for (nth, claimed) in answer.deliveries.into_iter().enumerate() {
                        let send = Send {
                            sender: self.sender.clone(),
                            target: target.clone(),
                            schedule: schedule.clone(),
                            probe: probe && nth == 0,
                        };
                        tokio::spawn(send.run(claimed));
                    }
                }
            }
            Report::Claimed { asked, answer: Err(error) } => {
                self.claiming = false;
                warn!("deliveries could not be claimed, they wait: {error}");
                for webhook_id in asked {
                    if let Some(lane) = self.lanes.get_mut(webhook_id) {
                        lane.claim_failed(now);
                    }
                }
            }
            Report::Ended(Ended { webhook_id, probe, success, retry_at }) => {
                let Some(lane) = self.lanes.get_mut(webhook_id) else { return };
                let was_open = lane.breaker.is_open();
                lane.ended(probe, success, retry_at, now);
                if lane.breaker.is_open() && !was_open {
                    warn!(
                        webhook.id = webhook_id,
                        "webhook {webhook_id} fails again and again: its breaker is open"
                    );
                }
                if probe && !success {
                    let too_old = now.before(schedule::total(&lane.settings.retry_schedule));
                    tokio::spawn(self.sender.clone().give_up_waiting(webhook_id, too_old));
                }
            }
        }
    }

    /// Reads every webhook's settings and when its next delivery is due.
    async fn reload(&mut self) {
        let now = self.sender.clock.now();
        match self.sender.store.lanes().await {
            Ok(all) => {
                self.reload_at = None;
                let is_disabled = |lane: &LaneSettings| lane.state == LaneState::Disabled;
                let mut to_discard: Vec<WebhookId> = all
                    .iter()
                    .filter(|(lane, due_at)| is_disabled(lane) && due_at.is_some())
                    .map(|(lane, _)| lane.webhook_id)
                    .collect();
                to_discard.extend(self.lanes.configure(all, now));
                for webhook_id in to_discard {
                    tokio::spawn(self.sender.clone().discard_waiting(webhook_id));
                }
            }
            Err(error) => {
                warn!("the webhooks could not be read: {error}");
                self.reload_at = Some(now.after(LOOK_AGAIN));
            }
        }
    }

    /// A webhook deleted shortly before the last stop may have left deliveries behind.
    async fn discard_orphans(&mut self) {
        match self.sender.store.orphaned_lanes().await {
            Ok(orphans) => {
                for webhook_id in orphans {
                    tokio::spawn(self.sender.clone().discard_waiting(webhook_id));
                }
            }
            Err(error) => warn!("deliveries of deleted webhooks could not be found: {error}"),
        }
    }

    /// Lets what is under way end; what does not end in time is cut off, and made again at the next start.
    async fn end(mut self) {
        let grace = tokio::time::sleep(self.sender.settings.shutdown_grace);
        tokio::pin!(grace);
        while self.claiming || self.lanes.in_flight() > 0 {
            tokio::select! {
                Some(report) = self.reports.recv() => self.take_in(report),
                () = &mut grace, if !self.sender.cut_off.is_cancelled() => {
                    debug!("{} deliveries are cut off", self.lanes.in_flight());
                    self.sender.cut_off.cancel();
                }
            }
        }
        self.sender.tell_all_folded().await;
    }
}

/// One claimed delivery on its way.
struct Send {
    sender: Arc<Sender>,
    target: Arc<Target>,
    schedule: Arc<[Duration]>,
    probe: bool,
}

impl Send {
    async fn run(self, claimed: Claimed) {
        let sender = &self.sender;
        let attempt = Attempt {
            delivery_id: claimed.id,
            event: &claimed.event,
            number: claimed.attempt,
            trigger: claimed.trigger.parse().unwrap_or(Trigger::Event),
            sequence: claimed.sequence,
        };
        let mut ended =
            Ended { webhook_id: claimed.webhook_id, probe: self.probe, success: false, retry_at: None };
        let outcome = tokio::select! {
            outcome = attempt.send(&self.target, &sender.poster, &sender.clock) => Some(outcome),
            // Its attempt stays open on disk, and shows `outcome_unknown` at the next start.
            () = sender.cut_off.cancelled() => None,
        };
        if let Some(outcome) = outcome {
            ended.success = outcome.is_success();
            let finish = self.decide(&claimed, outcome);
            if let Next::Retry { due_at } = finish.next {
                ended.retry_at = Some(due_at);
            }
            sender.settle(finish).await;
        }
        let _ = sender.reports.send(Report::Ended(ended));
    }

    fn decide(&self, claimed: &Claimed, outcome: crate::outbound::verdict::Outcome) -> Finish {
        let now = self.sender.clock.now();
        let next = if outcome.is_success() {
            Next::Delivered
        } else {
            let asked = attempt::retry_after(&outcome, now);
            let gone = outcome.status() == Some(410);
            let wait = schedule::next_try(claimed.step, &self.schedule, asked, chance());
            match wait {
                Some(wait) if !gone => Next::Retry { due_at: now.after(wait) },
                _ => {
                    let announce = self.sender.announces(claimed, &outcome, now);
                    if gone { Next::Gone { announce } } else { Next::DeadLetter { announce } }
                }
            }
        };
        let mut finish = attempt::finish(claimed, outcome, next);
        finish.auto_disable_after = self.sender.settings.auto_disable_after;
        finish
    }
}

impl Sender {
    fn folds(&self) -> std::sync::MutexGuard<'_, Folds> {
        self.folds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this dead letter gets an event of its own; if not, it is counted for a later one.
    fn announces(
        &self,
        claimed: &Claimed,
        outcome: &crate::outbound::verdict::Outcome,
        now: Timestamp,
    ) -> bool {
        if claimed.event.category == Category::Webhook {
            return false;
        }
        let mut folds = self.folds();
        let fold = folds.of(claimed.webhook_id);
        if fold.singles_left(now) > 0 {
            fold.told(1);
            return true;
        }
        fold.hold(DeliveryFailure {
            delivery_id: claimed.id,
            event_id: claimed.event.id,
            webhook_id: claimed.webhook_id,
            attempts: claimed.attempt,
            last_error: attempt::error(outcome).unwrap_or_default(),
        });
        false
    }

    /// Writes an outcome, however long the store needs for it: our own trouble must not cost the receiver
    /// an attempt.
    async fn settle(&self, finish: Finish) {
        let mut wait = STORE_RETRY_MIN;
        loop {
            let error = match self.store.finish(finish.clone()).await {
                Ok(()) => return,
                Err(error) => error,
            };
            warn!(delivery.seq = finish.seq, "an outcome could not be written, it is kept: {error}");
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(STORE_RETRY_MAX),
                () = self.cut_off.cancelled() => return,
            }
        }
    }

    async fn give_up_waiting(self: Arc<Self>, webhook_id: WebhookId, began_before: Timestamp) {
        loop {
            let now = self.clock.now();
            let singles = self.folds().of(webhook_id).singles_left(now);
            match self.store.give_up_waiting(webhook_id, began_before, singles).await {
                Ok(given_up) => {
                    let mut folds = self.folds();
                    let fold = folds.of(webhook_id);
                    fold.told(given_up.told);
                    given_up.untold.into_iter().for_each(|failure| fold.hold(failure));
                    if !given_up.more {
                        return;
                    }
                }
                Err(error) => {
                    warn!("webhook {webhook_id}: what waits could not be given up: {error}");
                    return;
                }
            }
        }
    }

    async fn discard_waiting(self: Arc<Self>, webhook_id: WebhookId) {
        loop {
            match self.store.discard_step(webhook_id).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    warn!("webhook {webhook_id}: what waits could not be discarded: {error}");
                    return;
                }
            }
        }
    }

    /// Tells of the dead letters whose minute is up; returns when the next ones are due.
    fn tell_folded(self: &Arc<Self>, now: Timestamp) -> Option<Timestamp> {
        let mut folds = self.folds();
        for (failure, count) in folds.take_due(now) {
            tokio::spawn(self.clone().announce(failure, count));
        }
        folds.due_at()
    }

    /// Before the end, nothing that is held is kept back.
    fn tell_all_folded(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let held: Vec<_> = self.folds().take_all();
        let sender = self.clone();
        async move {
            for (failure, count) in held {
                sender.clone().announce(failure, count).await;
            }
        }
    }

    async fn announce(self: Arc<Self>, failure: DeliveryFailure, count: u64) {
        let webhook_id = failure.webhook_id;
        if let Err(error) = self.store.announce_failures(failure, count).await {
            warn!("webhook {webhook_id}: {count} dead letters could not be told: {error}");
        }
    }

    async fn sleep_until(&self, moment: Option<Timestamp>) {
        match moment {
            Some(moment) => tokio::time::sleep(moment.since(self.clock.now()).min(LOOK_AGAIN)).await,
            None => std::future::pending().await,
        }
    }
}

/// Chance in -1 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without chance retries are only less spread out.
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX) * 2.0 - 1.0,
        Err(_) => 0.0,
    }
}
