//! Charging sessions: what drivers do, and what the charger makes of it.

use serde_json::Value;

use super::charger::Charger;
use super::charger::authorization::Verdict;
use super::charger::reservation::Claim;
use super::connector::{Errand, Phase, Request, Transaction};
use super::messages::{MeterValue, ReadingContext, Reason, requests, spelling};
use super::notice::{Notice, millis};
use super::options::Sessions;
use super::outbox::{About, LocalTransaction};
use vocabulary::clock::Timestamp;

impl Charger {
    /// The first car comes once the charger is in service.
    pub(super) fn begin_plan(&mut self, now: Timestamp) {
        let planned = self.connectors.iter().any(|connector| connector.planned);
        if self.sessions_left > 0 && self.next_plug.is_none() && !planned {
            self.next_plug = Some(now);
        }
    }

    /// Everything that is due at the connectors.
    pub(super) fn advance_sessions(&mut self, now: Timestamp) {
        if self.next_plug.is_some_and(|at| at <= now) {
            self.plan_session(now);
        }
        for index in 0..self.connectors.len() {
            if self.connectors[index].next_deadline().is_none_or(|at| at > now) {
                continue;
            }
            if let Some((_, errand)) = self.connectors[index].errand.take_if(|(at, _)| *at <= now) {
                match errand {
                    Errand::Plug => self.plug(now, index),
                    Errand::ShowCard(id_tag) => self.present(now, index, Request::by_tag(id_tag)),
                    Errand::Unplug => self.leave(now, index),
                }
            }
            match &self.connectors[index].phase {
                Phase::Expecting { until, .. } if *until <= now => self.nobody_came(now, index),
                Phase::Charging(transaction) => {
                    let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
                    let (ends, samples) = (due(transaction.ends_at), due(transaction.next_sample));
                    if ends {
                        let driver = transaction.id_tag.clone();
                        self.stop(now, index, Reason::Local, Some(driver));
                    } else if samples {
                        self.sample(now, index);
                    } else if due(transaction.limit_changes_at) {
                        self.redraw(now, index);
                    }
                }
                _ => {}
            }
        }
    }

    fn plan_session(&mut self, now: Timestamp) {
        let count = self.connectors.len();
        let free = (0..count)
            .map(|offset| (self.next_connector + offset) % count)
            .find(|&index| self.may_take_car(index, &self.options.id_tag, None));
        let Some(index) = free else {
            // Remote sessions, reservations or ChangeAvailability occupy everything: the driver waits.
            self.next_plug = Some(now.after(self.options.handling.max(self.options.pause)));
            return;
        };
        self.next_plug = None;
        self.next_connector = (index + 1) % count;
        self.connectors[index].planned = true;
        let card_at = now.after(self.options.real(self.options.handling));
        self.connectors[index].errand = Some((card_at, Errand::ShowCard(self.options.id_tag.clone())));
        self.plug(now, index);
    }

    /// Whether the connector is free for this tag.
    pub(super) fn may_take_car(&self, index: usize, id_tag: &str, parent: Option<&str>) -> bool {
        self.connectors[index].is_free()
            && !self.firmware.needs_quiet()
            && self.claim(index, id_tag, parent) != Claim::Foreign
    }

    /// A car is plugged in.
    pub(super) fn plug(&mut self, now: Timestamp, index: usize) {
        self.connectors[index].cable = true;
        match &self.connectors[index].phase {
            Phase::Expecting { .. } => {
                let phase = std::mem::replace(&mut self.connectors[index].phase, Phase::Idle);
                if let Phase::Expecting { request, .. } = phase {
                    self.start(now, index, request);
                }
            }
            Phase::Charging(_) => self.redraw(now, index),
            _ => self.refresh(now, index),
        }
    }

    /// The tag is good and the cable is in.
    pub(super) fn start(&mut self, now: Timestamp, index: usize, request: Request) {
        let own_time = self.own_time(now);
        let interval = self.options.real(self.sample_interval);
        let duration = self.has_drivers().then(|| self.options.real(self.options.session_duration));
        let reservation_id = match self.claim(index, &request.id_tag, request.parent.as_deref()) {
            Claim::Own(id) => Some(id),
            Claim::Free | Claim::Foreign => None,
        };
        self.reservations.retain(|one| Some(one.id) != reservation_id);
        self.last_local += 1;
        let local = self.last_local;
        self.transaction_ids.insert(local, None);
        let stop_data = self.configuration.text("StopTxnSampledData").to_owned();
        let Request { id_tag, parent, profile, .. } = request;
        let connector = &mut self.connectors[index];
        connector.meter.begin(own_time);
        connector.errand = None;
        let meter_start_wh = connector.meter.register_wh();
        let connector_id = connector.id;
        if let Some(profile) = profile {
            self.profiles.install(connector_id, *profile);
        }
        connector.phase = Phase::Charging(Transaction {
            local,
            id_tag: id_tag.clone(),
            parent,
            meter_start_wh,
            began: own_time,
            ends_at: duration.map(|duration| now.after(duration)),
            next_sample: (!interval.is_zero()).then(|| now.after(interval)),
            limit_changes_at: None,
            refused: false,
            throttled: false,
            first: connector.meter.meter_value(&stop_data, &ReadingContext::TransactionBegin, own_time),
        });
        let request = requests::start(connector_id, &id_tag, meter_start_wh, reservation_id, own_time);
        self.queue(&request, About::Start(local));
        self.notice(Notice::Charging { connector_id, id_tag, meter_start_wh });
        self.redraw_all(now);
    }

    /// The central system numbered the transaction, and judged its tag once more.
    pub(super) fn started(&mut self, now: Timestamp, local: LocalTransaction, response: &Value) {
        if let Some(id) = self.transaction_ids.get_mut(&local) {
            *id = response["transactionId"].as_i64();
        }
        let running = |transaction: &Transaction| transaction.local == local;
        let index = self.connectors.iter().position(|connector| connector.transaction().is_some_and(running));
        let Some(index) = index else { return };
        let verdict = Verdict::read(&response["idTagInfo"]);
        if let Some(transaction) = self.connectors[index].transaction_mut() {
            let id_tag = transaction.id_tag.clone();
            transaction.parent = verdict.parent.clone().or_else(|| transaction.parent.take());
            self.remember(&id_tag, &verdict);
        }
        if verdict.status == "Accepted" {
            return;
        }
        if self.configuration.flag("StopTransactionOnInvalidId") {
            self.stop(now, index, Reason::DeAuthorized, None);
        } else if let Some(transaction) = self.connectors[index].transaction_mut() {
            transaction.refused = true;
            self.redraw(now, index);
        }
    }

    /// Ends the transaction at this connector, if one runs; `id_tag` if somebody showed a tag for it.
    pub(super) fn stop(&mut self, now: Timestamp, index: usize, reason: Reason, id_tag: Option<String>) {
        let own_time = self.own_time(now);
        let unplugs_at = self.has_drivers().then(|| now.after(self.options.real(self.options.handling)));
        let stop_data = self.configuration.text("StopTxnSampledData").to_owned();
        let connector = &mut self.connectors[index];
        if connector.transaction().is_none() {
            return;
        }
        let after = if connector.cable { Phase::Finishing } else { Phase::Idle };
        let Phase::Charging(transaction) = std::mem::replace(&mut connector.phase, after) else { return };
        connector.meter.pass_until(own_time);
        let meter_stop_wh = connector.meter.register_wh();
        let last = connector.meter.meter_value(&stop_data, &ReadingContext::TransactionEnd, own_time);
        connector.meter.end();
        connector.errand = unplugs_at.map(|at| (at, Errand::Unplug));
        let data: Vec<MeterValue> = transaction.first.into_iter().chain(last).collect();
        let connector_id = connector.id;
        self.profiles.transaction_ended(connector_id);
        self.refresh(now, index);
        let told = spelling(&reason);
        let request = requests::stop(id_tag, meter_stop_wh, reason, data, own_time);
        self.queue(&request, About::Stop(transaction.local));
        self.notice(Notice::SessionEnded {
            connector_id,
            reason: told,
            energy_wh: meter_stop_wh - transaction.meter_start_wh,
            took_ms: millis(own_time.since(transaction.began)),
        });
        self.redraw_all(now);
    }

    /// The car is gone, whatever it was there for.
    pub(super) fn leave(&mut self, now: Timestamp, index: usize) {
        let connector = &mut self.connectors[index];
        connector.phase = Phase::Idle;
        connector.cable = false;
        connector.errand = None;
        if std::mem::take(&mut connector.planned) {
            if self.options.sessions != Sessions::Endless {
                self.sessions_left = self.sessions_left.saturating_sub(1);
            }
            if self.sessions_left > 0 {
                self.next_plug = Some(now.after(self.options.real(self.options.pause)));
            }
        }
        self.refresh(now, index);
    }

    /// Whether drivers are simulated too, or somebody else moves the cars.
    pub(super) fn has_drivers(&self) -> bool {
        self.options.sessions != Sessions::ByHand
    }
}
