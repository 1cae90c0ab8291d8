//! The delivery engine's loop, step by step in virtual time, with chance in the place of sockets.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::World;
use crate::delivery::byte_budget::held_by;
use crate::delivery::schedule;
use crate::delivery::send::{EndpointSign, SendEnd};
use store::{Changed, Claimed, Finish, LaneState, Next};
use vocabulary::api::delivery::DeliveryError;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::ErrorCode;
use vocabulary::event::{Category, Event};
use vocabulary::id::WebhookId;

/// How long a webhook may fail before it is disabled.
const AUTO_DISABLE_AFTER: Duration = Duration::from_secs(7_200);

/// A send under way.
pub(super) struct Flight {
    claimed: Claimed,
    event: Arc<Event>,
    probe: bool,
    pub(super) ends_at: Timestamp,
}

impl World {
    /// What the engine does when it is woken: looks, claims, lets go, settles. Returns when its lanes want
    /// to be looked at again.
    pub(super) async fn deliver(&mut self) -> Option<Timestamp> {
        self.look().await;
        let wake_at = self.claim().await;
        self.settle_what_ended().await;
        wake_at
    }

    async fn look(&mut self) {
        let now = self.store.monotonic().now();
        let Some(due) = self.store.lanes_due().now_or_never() else { return };
        if !due.changed.is_empty() {
            self.reload().await;
        }
        for webhook_id in due.webhooks {
            if let Some(lane) = self.lanes.get_mut(webhook_id) {
                lane.mark(now);
            }
        }
    }

    /// Reads every webhook's settings, and discards what waits for those that are off.
    pub(super) async fn reload(&mut self) {
        let now = self.store.monotonic().now();
        let all = self.store.lanes().await.expect("read");
        let off = all.iter().filter(|(lane, due_at)| lane.state == LaneState::Disabled && due_at.is_some());
        let mut to_discard: Vec<WebhookId> = off.map(|(lane, _)| lane.webhook_id).collect();
        to_discard.extend(self.lanes.configure(all, now));
        to_discard.extend(self.store.orphaned_lanes().await.expect("read"));
        for webhook_id in to_discard {
            while self.store.discard_step(webhook_id).await.expect("discarded") {}
        }
    }

    async fn claim(&mut self) -> Option<Timestamp> {
        let now = self.store.monotonic().now();
        let plan = self.lanes.plan(now);
        if plan.claims.is_empty() {
            return plan.wake_at;
        }
        let mut admission = plan.admission;
        let answers = self
            .store
            .claim(plan.claims, move |id, bytes| admission.admit(id, bytes))
            .await
            .expect("claimed");
        let told = answers.iter().flat_map(|answer| &answer.deliveries).map(|claimed| claimed.event);
        let events = self.store.to_deliver(told.collect()).await.expect("read");
        for answer in answers {
            let Some(lane) = self.lanes.get_mut(answer.webhook_id) else { continue };
            let probe = lane.claimed(answer.deliveries.len(), &answer, now);
            for (nth, claimed) in answer.deliveries.into_iter().enumerate() {
                let ends_at = now.after(Duration::from_millis(self.dice.below(1_200) as u64));
                let event = events[&claimed.event].clone().expect("it can be read");
                self.flights.push(Flight { claimed, event, probe: probe && nth == 0, ends_at });
            }
        }
        assert!(self.flights.len() <= super::PERMITS, "more sends than permits");
        let bytes = self.flights.iter().map(|flight| held_by(flight.claimed.payload_bytes));
        let (held, largest) = (bytes.clone().sum::<u64>(), bytes.max().unwrap_or_default());
        assert!(held <= super::BYTES || largest > super::BYTES / 2, "{held} bytes are held");
        // There may be more to claim.
        Some(now)
    }

    async fn settle_what_ended(&mut self) {
        let now = self.store.monotonic().now();
        let (ended, under_way): (Vec<Flight>, Vec<Flight>) =
            self.flights.drain(..).partition(|flight| flight.ends_at <= now);
        self.flights = under_way;
        let mut decided = Vec::new();
        for flight in ended {
            let finish = self.decide(&flight, now);
            decided.push((flight, finish));
        }
        let settled = join_all(decided.iter().map(|(_, finish)| self.store.finish(finish.clone()))).await;
        settled.into_iter().for_each(|settled| settled.expect("settled"));
        for (flight, finish) in decided {
            self.note_end(&flight, &finish.next);
            let success = finish.next == Next::Delivered;
            let retry_at = match finish.next {
                Next::Retry { due_at } => Some(due_at),
                _ => None,
            };
            let Some(lane) = self.lanes.get_mut(finish.webhook_id) else { continue };
            let how = if success { EndpointSign::Arrived } else { EndpointSign::Failed };
            let ended = SendEnd {
                webhook_id: finish.webhook_id,
                payload_bytes: flight.claimed.payload_bytes,
                probe: flight.probe,
                how,
                retry_at,
            };
            lane.ended(&ended, now);
            if flight.probe && !success {
                let too_old = now.before(schedule::total(&lane.settings.retry_schedule));
                while self.store.give_up_waiting(finish.webhook_id, too_old, 10).await.expect("given up").more
                {
                }
            }
        }
    }

    fn decide(&mut self, flight: &Flight, now: Timestamp) -> Finish {
        let claimed = &flight.claimed;
        let endpoint = self.endpoints.get_mut(&claimed.webhook_id).expect("made here");
        let delivered = endpoint.asked(&mut self.dice, &flight.event);
        let steps = [2, 30, 300, 3_600].map(Duration::from_secs);
        let jitter = self.dice.below(2_001) as f64 / 1_000.0 - 1.0;
        let next = match schedule::next_try(claimed.step, &steps, None, jitter) {
            _ if delivered => Next::Delivered,
            Some(wait) => Next::Retry { due_at: now.after(wait) },
            None => Next::DeadLetter { announce: flight.event.category != Category::Webhook },
        };
        Finish {
            row: claimed.row,
            webhook_id: claimed.webhook_id,
            attempt: claimed.attempt,
            duration: Duration::from_millis(7),
            status_code: Some(if delivered { 200 } else { 500 }),
            error: (!delivered)
                .then(|| DeliveryError { code: ErrorCode::HttpStatus, message: "500".to_owned() }),
            response_headers: Vec::new(),
            response_body: None,
            next,
            auto_disable_after: Some(AUTO_DISABLE_AFTER),
        }
    }

    fn note_end(&mut self, flight: &Flight, next: &Next) {
        let claimed = &flight.claimed;
        match next {
            Next::Delivered => {
                let endpoint = self.endpoints.get_mut(&claimed.webhook_id).expect("made here");
                endpoint.check_order(claimed.webhook_id, claimed, &flight.event);
            }
            Next::DeadLetter { .. } => self.dead_letters.push(claimed.id),
            Next::Retry { .. } | Next::Gone { .. } => {}
        }
    }

    /// The gateway is gone: half of what was under way had arrived.
    pub(super) fn forget_flights(&mut self) {
        let now = self.store.monotonic().now();
        for flight in std::mem::take(&mut self.flights) {
            if self.dice.one_in(2) {
                self.decide(&flight, now);
            }
        }
    }

    pub(super) async fn delete_webhook(&mut self) {
        // The first four stay for the whole run.
        let alive =
            self.endpoints.iter().filter(|(id, endpoint)| **id > 4 && endpoint.deleted_behind.is_none());
        let Some(webhook_id) = alive.map(|(id, _)| *id).next() else { return };
        let gone = self.store.delete_webhook(webhook_id, None).await.expect("deleted");
        assert!(matches!(gone, Changed::Done(())));
        let endpoint = self.endpoints.get_mut(&webhook_id).expect("it was there");
        endpoint.deleted_behind = Some(self.store.tail().borrow().number());
    }

    /// Somebody has a dead letter sent once more.
    pub(super) async fn resend(&mut self) {
        if let Some(id) = self.dead_letters.pop() {
            // It may be refused: its webhook is disabled, or deleted.
            let _ = self.store.resend(id, false, None).await.expect("tried");
        }
    }
}
