//! Events.

use super::{Call, Client, Parameters, flag};
use vocabulary::api::Page;
use vocabulary::api::event::{Event, EventDeliveries, EventResent, EventType};
use vocabulary::api::ingest::{EventInput, EventStored};
use vocabulary::id::EventId;

impl Client {
    /// One page of the events.
    pub fn events(&self, parameters: Parameters<'_>) -> Call<Page<Event>> {
        self.get(&["events"], parameters)
    }

    /// An event.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none, with 410 if it was removed by retention.
    pub fn event(&self, id: EventId) -> Call<Event> {
        self.get(&["events", &id.to_string()], &[])
    }

    /// An event's deliveries, and with `explain` why other webhooks have none.
    ///
    /// # Errors
    /// As [`Client::event`].
    pub fn event_deliveries(&self, id: EventId, explain: bool) -> Call<EventDeliveries> {
        self.get(&["events", &id.to_string(), "deliveries"], &[("explain", flag(explain))])
    }

    /// Publishes an event.
    pub fn send_event(&self, input: &EventInput) -> Call<EventStored> {
        self.post(&["events"], input)
    }

    /// Sends an event's deliveries again; those that have arrived only with `force`.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 409 if there is none to send again.
    pub fn resend_event(&self, id: EventId, force: bool) -> Call<EventResent> {
        self.ask(&["events", &id.to_string(), "resend"], &[("force", flag(force))])
    }

    /// Every event type.
    pub fn event_types(&self) -> Call<Page<EventType>> {
        self.get(&["event-types"], &[])
    }
}
