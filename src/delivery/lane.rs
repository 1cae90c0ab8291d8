//! One webhook's lane: how many of its deliveries may be under way now. Pure: the moment is passed in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use store::{LaneClaim, LaneClaimed, LaneSettings, LaneState};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

use super::breaker::{Allowance, Breaker, State};
use super::byte_budget::{Share, held_by};
use super::send::{EndpointSign, SendEnd};
use super::target::Target;
use super::webhook_rate::WebhookRate;

/// How long a lane waits after a claim that the store has failed.
const AFTER_FAILED_CLAIM: Duration = Duration::from_millis(500);

/// A webhook's lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) settings: LaneSettings,
    /// The settings of an attempt; `None` if they could never be read.
    pub(super) target: Option<Arc<Target>>,
    pub(super) breaker: Breaker,
    rate: Option<WebhookRate>,
    /// Deliveries that are claimed, or asked for.
    in_flight: usize,
    /// Bytes that claimed deliveries hold.
    pub(super) held: u64,
    /// The next delivery, if the byte budget has no room for it.
    too_large: Option<TooLarge>,
    /// When the next waiting delivery is due, as far as is known.
    due_at: Option<Timestamp>,
    /// There may be resends.
    resends: bool,
    /// The claim that is not answered yet.
    asked: Option<Asked>,
    probing: bool,
    /// The last send failed. A lane without any send counts as not failing.
    failing: bool,
    after_station: String,
}

/// A delivery for which the byte budget has no room.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooLarge {
    /// Bytes that it would hold.
    pub(super) bytes: u64,
    /// Since when the lane waits for it.
    pub(super) since: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    limit: usize,
    probe: bool,
    resends_only: bool,
}

/// What a lane wants now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Nothing; look again then.
    Wait(Option<Timestamp>),
    /// Send up to this many.
    Send {
        limit: usize,
        /// It is the breaker's probe.
        probe: bool,
        /// Only resends, which pass an open breaker.
        resends_only: bool,
    },
}

impl Lane {
    pub(super) fn new(mut settings: LaneSettings, due_at: Option<Timestamp>, now: Timestamp) -> Self {
        let target = target(&settings);
        if target.is_none() {
            settings.state = LaneState::OutOfOrder;
        }
        let breaker = Breaker::new(&settings.retry_schedule, settings.max_in_flight);
        let limit = target.as_ref().and_then(|target| target.rate_limit);
        let rate = limit.map(|limit| WebhookRate::new(limit, now));
        Self {
            settings,
            target,
            breaker,
            rate,
            in_flight: 0,
            held: 0,
            too_large: None,
            due_at,
            resends: true,
            asked: None,
            probing: false,
            failing: false,
            after_station: String::new(),
        }
    }

    /// Takes changed settings; sends under way end with the old ones. If they cannot be read, the lane sends
    /// nothing until they are put right.
    pub(super) fn configure(&mut self, settings: LaneSettings, due_at: Option<Timestamp>, now: Timestamp) {
        let Some(target) = target(&settings) else {
            self.settings.state = LaneState::OutOfOrder;
            return;
        };
        let was_off =
            matches!(self.settings.state, LaneState::Disabled | LaneState::OutOfOrder | LaneState::Elsewhere);
        let put_right = settings.url != self.settings.url || was_off;
        if put_right {
            // Somebody has changed the endpoint's settings, so the breaker starts anew.
            self.failing = false;
            self.breaker = Breaker::new(&settings.retry_schedule, settings.max_in_flight);
        } else {
            self.breaker.configure(&settings.retry_schedule, settings.max_in_flight);
        }
        let limit = target.rate_limit;
        self.target = Some(target);
        if self.rate.as_ref().map(WebhookRate::limit) != limit {
            self.rate = limit.map(|limit| WebhookRate::new(limit, now));
        }
        self.settings = settings;
        self.due_by(due_at);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The bytes that it holds.
    pub(super) fn share(&self) -> Share {
        Share { held: self.held, failing: self.failing }
    }

    /// The delivery that waits for the byte budget.
    pub(super) fn too_large(&self) -> Option<TooLarge> {
        self.too_large
    }

    /// Marks that new deliveries wait, or old ones became due.
    pub(super) fn mark(&mut self, now: Timestamp) {
        self.due_by(Some(now));
        self.resends = true;
    }

    fn due_by(&mut self, moment: Option<Timestamp>) {
        self.due_at = [self.due_at, moment].into_iter().flatten().min();
    }

    /// What the lane wants, regardless of others.
    pub(super) fn want(&mut self, now: Timestamp) -> Want {
        if self.asked.is_some() || self.settings.state != LaneState::Active {
            return Want::Wait(None);
        }
        let slots = self.settings.max_in_flight.saturating_sub(self.in_flight);
        let tokens = self.rate.as_mut().map_or(usize::MAX, |rate| rate.available(now));
        let room = slots.min(tokens);
        let due = self.due_at.is_some_and(|due_at| due_at <= now);
        let resends = Want::Send { limit: room, probe: false, resends_only: true };
        match self.breaker.allowance(now) {
            // The lane looks again when a send ends, or when there is a token.
            _ if room == 0 && (due || self.resends) => Want::Wait(self.next_token_at(now)),
            Allowance::Probe if due && !self.probing => {
                Want::Send { limit: 1, probe: true, resends_only: false }
            }
            Allowance::Probe | Allowance::NotBefore(_) if self.resends => resends,
            Allowance::NotBefore(probe_at) => Want::Wait(self.due_at.map(|due_at| due_at.max(probe_at))),
            Allowance::Probe => Want::Wait(self.due_at.filter(|_| !self.probing)),
            Allowance::Any if due => Want::Send { limit: room, probe: false, resends_only: false },
            Allowance::AtMost(limit) if due => match limit.saturating_sub(self.in_flight).min(room) {
                0 => Want::Wait(None),
                limit => Want::Send { limit, probe: false, resends_only: false },
            },
            Allowance::Any | Allowance::AtMost(_) => Want::Wait(self.due_at),
        }
    }

    fn next_token_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.rate
            .as_ref()
            .filter(|_| self.in_flight < self.settings.max_in_flight)
            .map(|b| b.next_token_at(now))
    }

    /// Claims `limit` deliveries. They count as under way from now on.
    pub(super) fn ask(&mut self, limit: usize, probe: bool, resends_only: bool) -> LaneClaim {
        self.in_flight += limit;
        if let Some(rate) = &mut self.rate {
            rate.take(limit);
        }
        self.probing |= probe;
        // Marks that come from now on are not covered by the answer, and are kept.
        self.resends = false;
        if !resends_only {
            self.due_at = None;
        }
        self.asked = Some(Asked { limit, probe, resends_only });
        LaneClaim {
            webhook_id: self.settings.webhook_id,
            limit,
            resends_only,
            order_max_wait: self.settings.station_order.unwrap_or_default(),
            after_station: self.after_station.clone(),
        }
    }

    /// Takes the answer to a claim, with `got` deliveries. True if the first of them is the breaker's probe.
    pub(super) fn claimed(&mut self, got: usize, answer: &LaneClaimed, now: Timestamp) -> bool {
        let Some(asked) = self.asked.take() else { return false };
        self.give_back(asked, got);
        self.held += answer.deliveries.iter().map(|claimed| held_by(claimed.payload_bytes)).sum::<u64>();
        self.due_by(answer.next_due_at);
        let since = self.too_large.filter(|_| got == 0).map_or(now, |too_large| too_large.since);
        self.too_large =
            answer.not_admitted.map(|payload_bytes| TooLarge { bytes: held_by(payload_bytes), since });
        // There may be more resends.
        self.resends |= self.too_large.is_some() || asked.resends_only && got == asked.limit;
        self.after_station.clone_from(&answer.after_station);
        asked.probe && got > 0
    }

    /// The claim failed: nothing was taken, and the lane claims again soon.
    pub(super) fn claim_failed(&mut self, now: Timestamp) {
        if let Some(asked) = self.asked.take() {
            self.give_back(asked, 0);
            self.resends = true;
            self.due_by(Some(now.after(AFTER_FAILED_CLAIM)));
        }
    }

    fn give_back(&mut self, asked: Asked, got: usize) {
        self.in_flight -= asked.limit - got;
        if let Some(rate) = &mut self.rate {
            rate.give_back(asked.limit - got);
        }
        if asked.probe && got == 0 {
            self.probing = false;
        }
    }

    /// A send has ended.
    pub(super) fn ended(&mut self, ended: &SendEnd, now: Timestamp) {
        let SendEnd { payload_bytes, probe, how, retry_at, .. } = *ended;
        self.in_flight -= 1;
        self.held = self.held.saturating_sub(held_by(payload_bytes));
        if probe {
            self.probing = false;
        }
        match how {
            EndpointSign::Arrived => {
                self.failing = false;
                self.breaker.succeeded();
            }
            EndpointSign::Failed => {
                self.failing = true;
                self.breaker.failed(probe, now);
            }
            EndpointSign::Nothing => {}
        }
        self.due_by(retry_at);
        if self.settings.station_order.is_some() {
            // Other deliveries of its station may have waited for it.
            self.due_by(Some(now));
        }
    }

    /// The lane as others see it.
    pub(super) fn view(&self) -> LaneView {
        LaneView {
            in_flight: self.in_flight,
            bytes: self.held,
            max_in_flight: self.settings.max_in_flight,
            breaker: self.breaker.state(),
            out_of_order: self.settings.state == LaneState::OutOfOrder,
            rate_limited: self.rate.as_ref().is_some_and(|rate| rate.is_empty()),
        }
    }
}

/// The settings of an attempt, if all of them can be read.
fn target(settings: &LaneSettings) -> Option<Arc<Target>> {
    let webhook_id = settings.webhook_id;
    match settings.state {
        // The store has logged why.
        LaneState::OutOfOrder => None,
        _ => Target::new(settings)
            .inspect_err(|reason| {
                error!(
                    webhook.id = webhook_id,
                    "webhook {webhook_id} is out of order, nothing is sent to it: {reason}"
                );
            })
            .ok()
            .map(Arc::new),
    }
}

/// The state of a lane, for metrics and for `waiting_for`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneView {
    /// Sends under way.
    pub in_flight: usize,
    /// Bytes that they hold.
    pub bytes: u64,
    /// Sends that may be under way.
    pub max_in_flight: usize,
    /// The circuit breaker.
    pub breaker: State,
    /// A setting cannot be read, so nothing is sent.
    pub out_of_order: bool,
    /// Its rate limit was used up when it was last looked at.
    pub rate_limited: bool,
}

/// Every lane, by webhook.
pub type LaneViews = BTreeMap<WebhookId, LaneView>;
