//! All lanes: how many deliveries each may send now, so that none starves another. Pure: the moment is passed
//! in.
//!
//! **Invariant**: never more sends are under way than there are permits. Lanes that hold many permits leave
//! half of them to lanes that hold few, and lanes whose last send failed leave a quarter to the others. So
//! endpoints that hang until their timeouts never take all permits. Bytes are shared in much the same way
//! ([`super::byte_budget`]).

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Bound;
use std::time::Duration;

use store::{LaneClaim, LaneSettings, LaneState};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

use super::byte_budget::{Admission, ByteBudget, Share};
use super::lane::{Lane, LaneViews, TooLarge, Want};

/// Rows of one claim: bounds how long the writer works on it.
const CLAIM_ROWS: usize = 128;

/// How long a lane waits for bytes while others take large deliveries.
const BYTES_PATIENCE: Duration = Duration::from_secs(2);

/// Every webhook's lane, and the permits they share.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: BTreeMap<WebhookId, Lane>,
    permits: usize,
    /// Bytes that all of them may hold.
    bytes: u64,
    /// The next round begins behind this lane.
    served_last: WebhookId,
}

/// What to do now.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is to be claimed together.
    pub(super) claims: Vec<LaneClaim>,
    /// Decides for which of them there is memory.
    pub(super) admission: Admission,
    /// When to look again, even if nothing happens before.
    pub(super) wake_at: Option<Timestamp>,
}

/// A lane that wants to send.
struct Candidate {
    webhook_id: WebhookId,
    limit: usize,
    probe: bool,
    resends_only: bool,
    share: Share,
    too_large: Option<TooLarge>,
    granted: usize,
    in_flight: usize,
}

/// What the lanes want.
struct Demand {
    candidates: Vec<Candidate>,
    /// Sends under way, of all lanes.
    in_flight: usize,
    /// When the next lane wants to send that only waits for a time.
    wake_at: Option<Timestamp>,
}

impl Lanes {
    pub(super) fn new(permits: usize, bytes: u64) -> Self {
        Self { lanes: BTreeMap::new(), permits, bytes, served_last: 0 }
    }

    /// Takes every webhook's settings; returns the webhooks that are deleted. Their lanes claim no more, and
    /// stay until their sends have ended.
    pub(super) fn configure(
        &mut self,
        all: Vec<(LaneSettings, Option<Timestamp>)>,
        now: Timestamp,
    ) -> Vec<WebhookId> {
        let mut gone: BTreeSet<WebhookId> = self.lanes.keys().copied().collect();
        for (settings, due_at) in all {
            gone.remove(&settings.webhook_id);
            self.configure_one(settings, due_at, now);
        }
        for webhook_id in &gone {
            self.close(*webhook_id);
        }
        gone.into_iter().collect()
    }

    /// Takes one webhook's settings.
    pub(super) fn configure_one(
        &mut self,
        settings: LaneSettings,
        due_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        match self.lanes.entry(settings.webhook_id) {
            btree_map::Entry::Occupied(mut lane) => lane.get_mut().configure(settings, due_at, now),
            btree_map::Entry::Vacant(place) => {
                place.insert(Lane::new(settings, due_at, now));
            }
        }
    }

    /// The lane of a webhook that is deleted claims no more, and stays until its sends have ended.
    pub(super) fn close(&mut self, webhook_id: WebhookId) {
        if let Some(lane) = self.lanes.get_mut(&webhook_id) {
            lane.settings.state = LaneState::Disabled;
            if lane.in_flight() == 0 {
                self.lanes.remove(&webhook_id);
            }
        }
    }

    pub(super) fn get_mut(&mut self, webhook_id: WebhookId) -> Option<&mut Lane> {
        self.lanes.get_mut(&webhook_id)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.lanes.values().map(Lane::in_flight).sum()
    }

    /// When the next pause ends by itself.
    pub(super) fn resume_at(&self) -> Option<Timestamp> {
        let until = |lane: &Lane| match lane.settings.state {
            LaneState::Paused { until } => until,
            _ => None,
        };
        self.lanes.values().filter_map(until).min()
    }

    pub(super) fn views(&self) -> LaneViews {
        self.lanes.iter().map(|(id, lane)| (*id, lane.view())).collect()
    }

    /// Gives out permits one by one, in rounds over the lanes that want to send.
    pub(super) fn plan(&mut self, now: Timestamp) -> Plan {
        let Demand { mut candidates, in_flight, wake_at } = self.demand(now);
        let budget = self.byte_budget(&candidates, now);
        // A lane for which there are no bytes is woken by the end of another send.
        candidates.retain(|lane| {
            lane.too_large.is_none_or(|next| budget.admits(lane.webhook_id, lane.share, next.bytes))
        });
        self.grant(&mut candidates, self.permits.saturating_sub(in_flight));
        let mut plan = Plan { claims: Vec::new(), admission: Admission::new(budget), wake_at };
        for candidate in candidates.iter().filter(|candidate| candidate.granted > 0) {
            plan.admission.shares.insert(candidate.webhook_id, candidate.share);
            if let Some(lane) = self.lanes.get_mut(&candidate.webhook_id) {
                plan.claims.push(lane.ask(candidate.granted, candidate.probe, candidate.resends_only));
            }
        }
        plan
    }

    /// The lanes that want to send, those behind the lane that was served last first.
    fn demand(&mut self, now: Timestamp) -> Demand {
        let mut demand = Demand { candidates: Vec::new(), in_flight: 0, wake_at: None };
        let mut look = |lanes: btree_map::RangeMut<'_, WebhookId, Lane>| {
            for (&webhook_id, lane) in lanes {
                demand.in_flight += lane.in_flight();
                match lane.want(now) {
                    Want::Wait(until) => {
                        demand.wake_at = [demand.wake_at, until].into_iter().flatten().min();
                    }
                    Want::Send { limit, probe, resends_only } => demand.candidates.push(Candidate {
                        webhook_id,
                        limit,
                        probe,
                        resends_only,
                        share: lane.share(),
                        too_large: lane.too_large(),
                        granted: 0,
                        in_flight: lane.in_flight(),
                    }),
                }
            }
        };
        look(self.lanes.range_mut((Bound::Excluded(self.served_last), Bound::Unbounded)));
        look(self.lanes.range_mut(..=self.served_last));
        demand
    }

    /// Grants permits in rounds, one to each candidate that may have one, while there are any.
    fn grant(&mut self, candidates: &mut [Candidate], mut free: usize) {
        let mut rows = 0;
        loop {
            let before = rows;
            for candidate in &mut *candidates {
                let held = candidate.in_flight + candidate.granted;
                let kept = kept_free(self.permits, held, candidate.share.failing);
                if rows < CLAIM_ROWS && candidate.granted < candidate.limit && free > kept {
                    candidate.granted += 1;
                    free -= 1;
                    rows += 1;
                    self.served_last = candidate.webhook_id;
                }
            }
            if rows == before {
                return;
            }
        }
    }
}

impl Lanes {
    /// The bytes that may be held. Of the lanes that hold none, the one that has waited longest goes first
    /// after a while.
    fn byte_budget(&self, candidates: &[Candidate], now: Timestamp) -> ByteBudget {
        let held = self.lanes.values().map(|lane| lane.share().held).sum();
        let hungry = candidates.iter().filter(|lane| lane.share.held == 0);
        let longest = hungry.filter_map(|lane| Some((lane.too_large?.since, lane.webhook_id))).min();
        let first = longest.filter(|(since, _)| since.after(BYTES_PATIENCE) <= now).map(|(_, id)| id);
        ByteBudget::new(self.bytes, held, first)
    }
}

/// How many permits must stay free when a lane that holds `held` of them takes none.
fn kept_free(permits: usize, held: usize, failing: bool) -> usize {
    match (held, failing) {
        (0, false) => 0,
        (0, true) | (1, false) => permits / 4,
        _ => permits / 2,
    }
}

#[cfg(test)]
mod tests;
