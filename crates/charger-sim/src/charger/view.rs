//! What can be seen of a charger from the outside.

use super::{Charger, Link};
use crate::messages::spelling;
use crate::outbox::Message;

impl Charger {
    /// The status of a connector as it is; `None` if there is no such one.
    pub fn status(&self, connector: u32) -> Option<String> {
        let found = self.connectors.iter().find(|one| one.id == connector)?;
        Some(spelling(&found.status))
    }

    /// Every connector with its status, and the tag it is busy with.
    pub fn overview(&self) -> Vec<(u32, String, Option<&str>)> {
        self.connectors.iter().map(|one| (one.id, spelling(&one.status), one.id_tag())).collect()
    }

    /// Connected and accepted.
    pub fn is_in_service(&self) -> bool {
        self.is_online()
    }

    /// Everything was said and answered.
    pub fn is_quiet(&self) -> bool {
        self.outbox.is_idle()
    }

    /// Transaction messages that wait to be sent or answered.
    pub fn waiting(&self) -> usize {
        let outstanding = self.outbox.outstanding.as_ref().map(|outstanding| &outstanding.message);
        self.outbox.queued_transactional() + usize::from(outstanding.is_some_and(Message::transactional))
    }

    /// Whether a WebSocket stands.
    pub fn is_connected(&self) -> bool {
        self.link == Link::Up
    }
}
