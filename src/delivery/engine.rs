//! The loop that runs all lanes.
//!
//! One task owns the lanes. Claims and [`Send`]s run in tasks of their own and report back; a send holds its
//! permit until its outcome is on disk, so that never more deliveries are claimed than can be sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use outbound::post::Poster;
use store::{LaneClaimed, LaneSettings, LaneState, LanesDue, Store, StoreError};
use vocabulary::clock::{Clock, Monotonic, Timestamp};
use vocabulary::id::WebhookId;

use super::lane::LaneViews;
use super::lanes::Lanes;
use super::replays;
use super::schedule;
use super::send::{EndpointSign, Report, ReportEnd, Send, SendEnd, Sender};
use super::{EngineHandle, LOOK_AGAIN, Settings};

/// How often the lanes' views are published at most: with thousands of lanes each is some work.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);

/// The delivery engine.
#[derive(Debug)]
pub struct Engine;

struct Running {
    sender: Arc<Sender>,
    /// How long sends under way may take to end when the engine stops.
    shutdown_grace: Duration,
    lanes: Lanes,
    reports: mpsc::UnboundedReceiver<Report>,
    claiming: bool,
    /// The webhooks could not be read: the next try is then.
    reload_at: Option<Timestamp>,
    /// When the next pause ends, by the wall clock, because operators set it as a time of day.
    resume_at: Option<Timestamp>,
    views: watch::Sender<LaneViews>,
    /// When the views were last published.
    published_at: Instant,
    /// The views have changed since.
    unpublished: bool,
    /// How far the wall was ahead of the monotonic clock, when it was last looked at.
    wall_offset_ms: i64,
}

impl Engine {
    /// Starts delivering. Cancel `stop` to end: nothing more is claimed, sends under way have
    /// `shutdown_grace` to end, and [`EngineHandle::join`] returns.
    pub fn start(
        (store, monotonic): (Store, Monotonic),
        poster: Poster,
        settings: &Settings,
        shutdown_grace: Duration,
        clock: Clock,
        stop: CancellationToken,
    ) -> EngineHandle {
        // Bounded by the permits: every report belongs to a claim or to a send.
        let (tell, reports) = mpsc::unbounded_channel();
        let (views, seen) = watch::channel(LaneViews::new());
        let lanes = Lanes::new(settings.max_in_flight as usize, settings.max_in_flight_size.0);
        let wall_offset_ms = monotonic.wall_offset_ms();
        let sender = Arc::new(Sender {
            monotonic,
            store,
            poster,
            clock,
            auto_disable_after: settings.auto_disable_after.0,
            dead_letters: Mutex::default(),
            reports: tell,
            cut_off: CancellationToken::new(),
        });
        let running = Running {
            sender,
            shutdown_grace,
            lanes,
            reports,
            claiming: false,
            reload_at: None,
            resume_at: None,
            views,
            published_at: Instant::now(),
            unpublished: true,
            wall_offset_ms,
        };
        EngineHandle { task: tokio::spawn(running.run(stop)), views: seen }
    }
}

impl Running {
    async fn run(mut self, stop: CancellationToken) {
        let replays = tokio::spawn(replays::run(self.sender.store.clone(), stop.clone()));
        self.discard_orphans().await;
        self.reload().await;
        while !stop.is_cancelled() {
            let wake_at = self.go_on();
            tokio::select! {
                // The list is taken only when it is returned, so nothing is lost if another branch wins.
                due = self.sender.store.lanes_due() => self.look(due).await,
                Some(report) = self.reports.recv() => self.take_in(report),
                () = self.sender.sleep_until(wake_at) => {}
                () = stop.cancelled() => {}
            }
            while let Ok(report) = self.reports.try_recv() {
                self.take_in(report);
            }
            if self.reload_at.is_some_and(|at| at <= self.sender.monotonic.now()) {
                self.reload().await;
            }
        }
        self.end().await;
        if let Err(error) = replays.await {
            vocabulary::log_limit::limited!(warn: "the replays broke: {error}");
        }
    }

    /// Claims deliveries that may be sent, and publishes folded dead letters that are due. Returns when to
    /// look again.
    fn go_on(&mut self) -> Option<Timestamp> {
        let now = self.sender.monotonic.now();
        self.note_clock();
        let tell_at = self.sender.tell_folded(now);
        let mut resume_at = self.resume_at.map(|at| self.sender.monotonic.from_wall(at));
        if resume_at.is_some_and(|at| at <= now) {
            // The end of a pause comes back as a change of the webhook. If it could not be written, it is
            // tried again.
            resume_at = Some(now.after(LOOK_AGAIN));
            self.resume_at = resume_at.map(|at| self.sender.monotonic.to_wall(at));
            tokio::spawn(self.sender.clone().end_pauses());
        }
        let mut wake_at = [tell_at, self.reload_at, resume_at].into_iter().flatten().min();
        if !self.claiming {
            let plan = self.lanes.plan(now);
            wake_at = [wake_at, plan.wake_at].into_iter().flatten().min();
            if !plan.claims.is_empty() {
                self.claiming = true;
                let sender = self.sender.clone();
                tokio::spawn(async move {
                    let asked = plan.claims.iter().map(|claim| claim.webhook_id).collect();
                    let mut admission = plan.admission;
                    let admits = move |webhook_id, bytes| admission.admit(webhook_id, bytes);
                    let answer = sender.store.claim(plan.claims, admits).await;
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

    /// Due times are shown by the wall clock, so the store is told when that was set, even if nothing else is
    /// written.
    fn note_clock(&mut self) {
        let wall_offset_ms = self.sender.monotonic.wall_offset_ms();
        if std::mem::replace(&mut self.wall_offset_ms, wall_offset_ms) != wall_offset_ms {
            tokio::spawn(self.sender.clone().note_clock());
        }
    }

    async fn look(&mut self, due: LanesDue) {
        self.unpublished = true;
        let mut to_read = due.changed;
        // The lane of direct URLs of an origin begins with the first delivery to it.
        to_read.extend(due.webhooks.iter().filter(|lane| **lane < 0 && self.lanes.get_mut(**lane).is_none()));
        if !to_read.is_empty() {
            self.read_lanes(to_read).await;
        }
        let now = self.sender.monotonic.now();
        for webhook_id in due.webhooks {
            // A lane that is missing was just read with its waiting deliveries, or its webhook is deleted.
            if let Some(lane) = self.lanes.get_mut(webhook_id) {
                lane.mark(now);
            }
        }
    }

    fn take_in(&mut self, report: Report) {
        self.unpublished = true;
        let now = self.sender.monotonic.now();
        match report {
            Report::Claimed { answer: Ok(answers), .. } => {
                self.claiming = false;
                let sends: Vec<Send> = answers.into_iter().flat_map(|answer| self.sends(answer)).collect();
                if !sends.is_empty() {
                    tokio::spawn(self.sender.clone().send_all(sends));
                }
            }
            Report::Claimed { asked, answer: Err(error) } => {
                self.claiming = false;
                vocabulary::log_limit::limited!(warn: "deliveries could not be claimed, they wait: {error}");
                for webhook_id in asked {
                    if let Some(lane) = self.lanes.get_mut(webhook_id) {
                        lane.claim_failed(now);
                    }
                }
            }
            Report::SendEnd(ended) => {
                let SendEnd { webhook_id, probe, how, .. } = ended;
                let Some(lane) = self.lanes.get_mut(webhook_id) else { return };
                let was_open = lane.breaker.is_open();
                lane.ended(&ended, now);
                if lane.breaker.is_open() && !was_open {
                    warn!(
                        webhook.id = webhook_id,
                        "webhook {webhook_id} fails again and again: its breaker is open"
                    );
                } else if was_open && !lane.breaker.is_open() {
                    // At the same level as the warning that it opened, so that the same people read it.
                    warn!(webhook.id = webhook_id, "webhook {webhook_id} answers again: its breaker closes");
                }
                if probe && how == EndpointSign::Failed {
                    let too_old = now.before(schedule::total(&lane.settings.retry_schedule));
                    tokio::spawn(self.sender.clone().give_up_waiting(webhook_id, too_old));
                }
            }
        }
    }

    /// The sends for claimed deliveries, each with its permit.
    fn sends(&mut self, answer: LaneClaimed) -> Vec<Send> {
        let Some(lane) = self.lanes.get_mut(answer.webhook_id) else { return Vec::new() };
        // A lane without a target claims nothing.
        let Some(target) = lane.target.clone() else { return Vec::new() };
        let probe = lane.claimed(answer.deliveries.len(), &answer, self.sender.monotonic.now());
        let schedule: Arc<[Duration]> = lane.settings.retry_schedule.clone().into();
        let send = |(nth, claimed)| Send {
            sender: self.sender.clone(),
            target: target.clone(),
            schedule: schedule.clone(),
            report: ReportEnd::of(&self.sender, &claimed, probe && nth == 0),
            claimed,
        };
        answer.deliveries.into_iter().enumerate().map(send).collect()
    }

    /// Reads every webhook's settings, and when its next delivery is due.
    async fn reload(&mut self) {
        let now = self.sender.monotonic.now();
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
                self.resume_at = self.lanes.resume_at();
                for webhook_id in to_discard {
                    tokio::spawn(self.sender.clone().discard_waiting(webhook_id));
                }
            }
            Err(error) => self.not_read(&error, now),
        }
    }

    /// Reads only these webhooks' lanes again.
    async fn read_lanes(&mut self, ids: BTreeSet<WebhookId>) {
        let now = self.sender.monotonic.now();
        let read = match self.sender.store.lanes_of(ids).await {
            Ok(read) => read,
            Err(error) => return self.not_read(&error, now),
        };
        for (webhook_id, lane) in read {
            let discard = match lane {
                Some((settings, due_at)) => {
                    let off = settings.state == LaneState::Disabled;
                    self.lanes.configure_one(settings, due_at, now);
                    off && due_at.is_some()
                }
                None => {
                    self.lanes.close(webhook_id);
                    true
                }
            };
            if discard {
                tokio::spawn(self.sender.clone().discard_waiting(webhook_id));
            }
        }
        self.resume_at = self.lanes.resume_at();
    }

    fn not_read(&mut self, error: &StoreError, now: Timestamp) {
        vocabulary::log_limit::limited!(warn: "the webhooks could not be read: {error}");
        self.reload_at = Some(now.after(LOOK_AGAIN));
    }

    /// Discards deliveries that webhooks deleted shortly before the last stop have left behind.
    async fn discard_orphans(&mut self) {
        match self.sender.store.orphaned_lanes().await {
            Ok(orphans) => {
                for webhook_id in orphans {
                    tokio::spawn(self.sender.clone().discard_waiting(webhook_id));
                }
            }
            Err(error) => {
                vocabulary::log_limit::limited!(warn: "deliveries of deleted webhooks could not be found: {error}")
            }
        }
    }

    /// Waits for sends under way. Those that do not end in time are cut off, and made again at the next
    /// start.
    async fn end(mut self) {
        let grace = tokio::time::sleep(self.shutdown_grace);
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
