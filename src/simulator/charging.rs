//! Charging sessions: what drivers do, and what the charger makes of it.

use serde_json::{Value, json};

use super::charger::{Charger, Registration};
use super::connector::{Phase, Status, Transaction};
use super::notice::{Notice, millis};
use super::options::Sessions;
use super::outbox::{About, LocalTransaction, Message};
use crate::clock::Timestamp;
use crate::ocpp::v16::FromChargePoint as Action;

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
            match &mut self.connectors[index].phase {
                Phase::Plugged { id_tag, remote, .. } => {
                    let (id_tag, remote) = (id_tag.clone(), *remote);
                    self.show_card(now, index, id_tag, remote);
                }
                Phase::Charging(transaction) => {
                    if transaction.ends_at <= now {
                        self.stop(now, index, "Local");
                    } else {
                        self.sample(now, index);
                    }
                }
                Phase::Finishing { .. } => self.unplug(now, index),
                Phase::Free | Phase::Authorizing { .. } => {}
            }
        }
    }

    fn plan_session(&mut self, now: Timestamp) {
        let count = self.connectors.len();
        let free = (0..count)
            .map(|offset| (self.next_connector + offset) % count)
            .find(|&index| self.connectors[index].is_free());
        let Some(index) = free else {
            // Remote sessions or ChangeAvailability occupy everything: the driver waits.
            self.next_plug = Some(now.after(self.options.handling.max(self.options.pause)));
            return;
        };
        self.next_plug = None;
        self.next_connector = (index + 1) % count;
        self.connectors[index].planned = true;
        self.plug(now, index, self.options.id_tag.clone(), false);
    }

    /// A car is plugged in; `remote` if the central system asked for the session.
    pub(super) fn plug(&mut self, now: Timestamp, index: usize, id_tag: String, remote: bool) {
        let card_at = now.after(self.options.real(self.options.handling));
        self.connectors[index].phase = Phase::Plugged { id_tag, card_at, remote };
        self.set_status(now, index, Status::Preparing);
    }

    fn show_card(&mut self, now: Timestamp, index: usize, id_tag: String, remote: bool) {
        let trusted = remote && !self.configuration.flag("AuthorizeRemoteTxRequests");
        let pre_authorized = self.configuration.flag("LocalPreAuthorize") && self.is_cached(&id_tag);
        if trusted || pre_authorized {
            self.start(now, index, id_tag);
            return;
        }
        self.connectors[index].phase = Phase::Authorizing { id_tag };
        if self.is_online() {
            self.ask_for_tag(index);
        } else {
            self.authorize_offline(now, index);
        }
    }

    fn ask_for_tag(&mut self, index: usize) {
        let Phase::Authorizing { id_tag } = &self.connectors[index].phase else { return };
        let payload = json!({"idTag": id_tag});
        self.queue(Action::Authorize, payload, About::Authorize { connector: index });
    }

    /// Drivers who still wait for a verdict when the socket is back.
    pub(super) fn ask_again_for_tags(&mut self) {
        for index in 0..self.connectors.len() {
            if !self.outbox.has(About::Authorize { connector: index }) {
                self.ask_for_tag(index);
            }
        }
    }

    /// Nobody can be asked: the cache decides, else the driver waits for the connection.
    pub(super) fn authorize_offline(&mut self, now: Timestamp, index: usize) {
        let Phase::Authorizing { id_tag } = &self.connectors[index].phase else { return };
        let id_tag = id_tag.clone();
        let cached = self.configuration.flag("LocalAuthorizeOffline") && self.is_cached(&id_tag);
        if cached || self.configuration.flag("AllowOfflineTxForUnknownId") {
            self.start(now, index, id_tag);
        }
    }

    /// The central system was asked and gave no verdict: as offline, but nobody waits for another answer.
    pub(super) fn do_without_verdict(&mut self, now: Timestamp, index: usize) {
        self.authorize_offline(now, index);
        if let Phase::Authorizing { id_tag } = &self.connectors[index].phase {
            let (id_tag, status) = (id_tag.clone(), "no verdict".to_owned());
            let connector_id = self.connectors[index].id;
            self.notice(Notice::TagRefused { connector_id, id_tag, status });
            self.unplug(now, index);
        }
    }

    pub(super) fn authorized(&mut self, now: Timestamp, index: usize, response: &Value) {
        let status = verdict(response);
        let Phase::Authorizing { id_tag } = &self.connectors[index].phase else { return };
        let id_tag = id_tag.clone();
        self.remember(&id_tag, &status);
        if status == "Accepted" {
            self.start(now, index, id_tag);
        } else {
            let connector_id = self.connectors[index].id;
            self.notice(Notice::TagRefused { connector_id, id_tag, status });
            self.unplug(now, index);
        }
    }

    fn start(&mut self, now: Timestamp, index: usize, id_tag: String) {
        let own_time = self.own_time(now);
        let duration = self.options.real(self.options.session_duration);
        let interval = self.options.real(self.sample_interval);
        self.last_local += 1;
        let local = self.last_local;
        self.transaction_ids.insert(local, None);
        let stop_data = self.configuration.text("StopTxnSampledData").to_owned();
        let connector = &mut self.connectors[index];
        connector.meter.begin(own_time);
        let meter_start_wh = connector.meter.register_wh();
        connector.phase = Phase::Charging(Transaction {
            local,
            id_tag: id_tag.clone(),
            meter_start_wh,
            began: own_time,
            ends_at: now.after(duration),
            next_sample: (!interval.is_zero()).then(|| now.after(interval)),
            first: connector.meter.meter_value(&stop_data, "Transaction.Begin", own_time),
        });
        let connector_id = connector.id;
        let payload = json!({
            "connectorId": connector_id,
            "idTag": id_tag,
            "meterStart": meter_start_wh,
            "timestamp": own_time,
        });
        self.queue(Action::StartTransaction, payload, About::Start(local));
        self.notice(Notice::Charging { connector_id, id_tag, meter_start_wh });
        self.set_status(now, index, Status::Charging);
    }

    /// The central system numbered the transaction, and judged its tag once more.
    pub(super) fn started(&mut self, now: Timestamp, local: LocalTransaction, response: &Value) {
        if let Some(id) = self.transaction_ids.get_mut(&local) {
            *id = response["transactionId"].as_i64();
        }
        let index = self
            .connectors
            .iter()
            .position(|connector| connector.transaction().is_some_and(|running| running.local == local));
        let Some(index) = index else { return };
        let status = verdict(response);
        if let Some(transaction) = self.connectors[index].transaction() {
            let id_tag = transaction.id_tag.clone();
            self.remember(&id_tag, &status);
        }
        if status == "Accepted" {
            return;
        }
        if self.configuration.flag("StopTransactionOnInvalidId") {
            self.stop(now, index, "DeAuthorized");
        } else {
            let own_time = self.own_time(now);
            self.connectors[index].meter.pass_until(own_time);
            self.connectors[index].meter.suspend();
            self.set_status(now, index, Status::SuspendedEvse);
        }
    }

    fn sample(&mut self, now: Timestamp, index: usize) {
        let own_time = self.own_time(now);
        let interval = self.options.real(self.sample_interval);
        let measurands = self.configuration.text("MeterValuesSampledData").to_owned();
        let connector = &mut self.connectors[index];
        let suspended = connector.status == Status::SuspendedEvse;
        let Phase::Charging(transaction) = &mut connector.phase else { return };
        // Counted from the last one, so that samples do not drift; what was slept through is not made up.
        transaction.next_sample = (!interval.is_zero()).then(|| {
            let regular = transaction.next_sample.unwrap_or(now).after(interval);
            if regular > now { regular } else { now.after(interval) }
        });
        let local = transaction.local;
        connector.meter.pass_until(own_time);
        let value = connector.meter.meter_value(&measurands, "Sample.Periodic", own_time);
        if !suspended {
            connector.meter.draw();
        }
        if let Some(value) = value {
            let payload = json!({"connectorId": connector.id, "meterValue": [value]});
            self.queue(Action::MeterValues, payload, About::Sample(local));
        }
    }

    /// Ends the transaction at this connector, if one runs; `reason` as OCPP spells it.
    pub(super) fn stop(&mut self, now: Timestamp, index: usize, reason: &'static str) {
        let own_time = self.own_time(now);
        let unplugged_at = now.after(self.options.real(self.options.handling));
        let stop_data = self.configuration.text("StopTxnSampledData").to_owned();
        let connector = &mut self.connectors[index];
        if connector.transaction().is_none() {
            return;
        }
        let phase = std::mem::replace(&mut connector.phase, Phase::Finishing { until: unplugged_at });
        let Phase::Charging(transaction) = phase else { return };
        connector.meter.pass_until(own_time);
        let meter_stop_wh = connector.meter.register_wh();
        let last = connector.meter.meter_value(&stop_data, "Transaction.End", own_time);
        connector.meter.end();
        let data: Vec<Value> = transaction.first.into_iter().chain(last).collect();
        let connector_id = connector.id;
        // `transactionId` is filled in on sending; it may not be known yet.
        let mut payload = json!({
            "transactionId": -1,
            "meterStop": meter_stop_wh,
            "timestamp": own_time,
            "reason": reason,
        });
        if reason == "Local" {
            payload["idTag"] = transaction.id_tag.into();
        }
        if !data.is_empty() {
            payload["transactionData"] = data.into();
        }
        self.set_status(now, index, Status::Finishing);
        self.queue(Action::StopTransaction, payload, About::Stop(transaction.local));
        self.notice(Notice::SessionEnded {
            connector_id,
            reason,
            energy_wh: meter_stop_wh - transaction.meter_start_wh,
            took_ms: millis(own_time.since(transaction.began)),
        });
    }

    fn unplug(&mut self, now: Timestamp, index: usize) {
        let connector = &mut self.connectors[index];
        connector.phase = Phase::Free;
        let inoperative = connector.inoperative;
        if std::mem::take(&mut connector.planned) {
            if self.options.sessions != Sessions::Endless {
                self.sessions_left = self.sessions_left.saturating_sub(1);
            }
            if self.sessions_left > 0 {
                self.next_plug = Some(now.after(self.options.real(self.options.pause)));
            }
        }
        self.set_status(now, index, if inoperative { Status::Unavailable } else { Status::Available });
    }

    pub(super) fn set_status(&mut self, now: Timestamp, index: usize, status: Status) {
        self.connectors[index].status = status;
        // Statuses are not kept for later: what counts after an outage is how things are then.
        if self.is_online() {
            self.push_status(now, index, false);
        }
    }

    fn push_status(&mut self, now: Timestamp, index: usize, triggered: bool) {
        let timestamp = self.own_time(now);
        let connector = &mut self.connectors[index];
        connector.told = Some(connector.status);
        let payload = status_payload(connector.id, connector.status, timestamp);
        let mut message = Message::new(Action::StatusNotification, payload, About::Status);
        message.triggered = triggered;
        self.outbox.push(message);
    }

    /// Reports connector 0 and every connector, or only the one with this number.
    pub(super) fn report_statuses(&mut self, now: Timestamp, only: Option<u32>, triggered: bool) {
        if only.is_none_or(|id| id == 0) {
            let whole = match self.connectors.iter().all(|connector| connector.inoperative) {
                true => Status::Unavailable,
                false => Status::Available,
            };
            let payload = status_payload(0, whole, self.own_time(now));
            let mut message = Message::new(Action::StatusNotification, payload, About::Status);
            message.triggered = triggered;
            self.outbox.push(message);
        }
        for index in 0..self.connectors.len() {
            if only.is_none_or(|id| id == self.connectors[index].id) {
                self.push_status(now, index, triggered);
            }
        }
    }

    /// After an outage: the connectors that changed meanwhile.
    pub(super) fn report_changed_statuses(&mut self, now: Timestamp) {
        for index in 0..self.connectors.len() {
            if self.connectors[index].told != Some(self.connectors[index].status) {
                self.push_status(now, index, false);
            }
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.link == super::charger::Link::Up && self.registration == Registration::Accepted
    }

    fn is_cached(&self, id_tag: &str) -> bool {
        self.configuration.flag("AuthorizationCacheEnabled")
            && self.accepted_tags.iter().any(|tag| tag.eq_ignore_ascii_case(id_tag))
    }

    fn remember(&mut self, id_tag: &str, status: &str) {
        self.accepted_tags.retain(|tag| !tag.eq_ignore_ascii_case(id_tag));
        if status == "Accepted" {
            self.accepted_tags.push(id_tag.to_owned());
        }
    }
}

fn status_payload(connector_id: u32, status: Status, timestamp: Timestamp) -> Value {
    json!({
        "connectorId": connector_id,
        "errorCode": "NoError",
        "status": status.as_str(),
        "timestamp": timestamp,
    })
}

/// The verdict in `idTagInfo`; an answer without one refuses nothing.
fn verdict(response: &Value) -> String {
    response["idTagInfo"]["status"].as_str().unwrap_or("Accepted").to_owned()
}
