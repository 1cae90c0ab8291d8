//! What the central system is told about connectors, and when.

use super::charger::{Charger, Link, Registration};
use super::messages::{ChargePointErrorCode, ChargePointStatus as Status, requests};
use super::outbox::{About, Message};
use vocabulary::clock::Timestamp;

impl Charger {
    /// Works out the status of a connector; tells of it if it is another one than before.
    pub(super) fn refresh(&mut self, now: Timestamp, index: usize) {
        let connector = &self.connectors[index];
        let status = connector.current_status(self.is_reserved(connector.id));
        if status == connector.status {
            return;
        }
        self.connectors[index].status = status;
        // Statuses are not kept for later: what counts after an outage is how things are then.
        if self.is_online() {
            let message = self.status_of(now, index);
            self.outbox.push(message);
        }
    }

    /// The same for the charger as a whole and every connector.
    pub(super) fn refresh_all(&mut self, now: Timestamp) {
        if self.is_online() && self.told_whole != Some(self.whole_status()) {
            let message = self.status_of_whole(now);
            self.outbox.push(message);
        }
        for index in 0..self.connectors.len() {
            self.refresh(now, index);
        }
    }

    /// Reports connector 0 and every connector, or only the one with this number, as asked by a trigger.
    pub(super) fn report_statuses(&mut self, now: Timestamp, only: Option<u32>) {
        for mut message in self.all_statuses(now, only) {
            message.triggered = true;
            self.outbox.push(message);
        }
    }

    /// After a boot: everything, before anything that waits from an earlier life (OCPP 1.6, 4.2).
    pub(super) fn report_statuses_first(&mut self, now: Timestamp) {
        for message in self.all_statuses(now, None).into_iter().rev() {
            self.outbox.push_front(message);
        }
    }

    /// After an outage: what changed meanwhile.
    pub(super) fn report_changed_statuses(&mut self, now: Timestamp) {
        let mut messages = Vec::new();
        if self.told_whole != Some(self.whole_status()) {
            messages.push(self.status_of_whole(now));
        }
        for index in 0..self.connectors.len() {
            if self.connectors[index].told.as_ref() != Some(&self.connectors[index].status) {
                messages.push(self.status_of(now, index));
            }
        }
        for message in messages.into_iter().rev() {
            self.outbox.push_front(message);
        }
    }

    /// A status was lost with the socket: nobody knows which ones arrived.
    pub(super) fn forget_what_was_told(&mut self) {
        self.told_whole = None;
        self.connectors.iter_mut().for_each(|connector| connector.told = None);
    }

    pub(super) fn is_online(&self) -> bool {
        self.link == Link::Up && self.registration == Registration::Accepted
    }

    fn all_statuses(&mut self, now: Timestamp, only: Option<u32>) -> Vec<Message> {
        let mut messages = Vec::new();
        if only.is_none_or(|id| id == 0) {
            messages.push(self.status_of_whole(now));
        }
        for index in 0..self.connectors.len() {
            if only.is_none_or(|id| id == self.connectors[index].id) {
                messages.push(self.status_of(now, index));
            }
        }
        messages
    }

    fn status_of(&mut self, now: Timestamp, index: usize) -> Message {
        let timestamp = self.own_time(now);
        let connector = &mut self.connectors[index];
        connector.told = Some(connector.status.clone());
        let fault = connector.fault.clone().unwrap_or_default();
        message(connector.id, connector.status.clone(), fault, timestamp)
    }

    fn status_of_whole(&mut self, now: Timestamp) -> Message {
        let status = self.whole_status();
        self.told_whole = Some(status.clone());
        message(0, status, ChargePointErrorCode::NoError, self.own_time(now))
    }

    fn whole_status(&self) -> Status {
        match self.connectors.iter().all(|connector| connector.inoperative) {
            true => Status::Unavailable,
            false => Status::Available,
        }
    }
}

fn message(
    connector_id: u32,
    status: Status,
    error_code: ChargePointErrorCode,
    timestamp: Timestamp,
) -> Message {
    Message::new(&requests::status(connector_id, status, error_code, timestamp), About::Status)
}
