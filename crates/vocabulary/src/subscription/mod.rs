//! Which webhook wants which event: patterns, station globs, owners, filters. Pure.
//!
//! This runs for every message on the way to its commit, so a [`SubscriptionSet`] knows beforehand which
//! subscriptions each event type concerns, and a payload is parsed only if a filter asks for it. A change
//! of one webhook touches that one's subscription alone, however many others there are.

pub mod filter;
mod number;
pub mod pattern;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::{self, Category, Event, Target};
use crate::id::WebhookId;
use crate::positions::LogPosition;
use crate::words::words;

pub use filter::{Filter, FilterError};
pub use pattern::{EventPattern, InvalidPattern, StationGlob, glob_fits, warnings};

/// What one webhook has subscribed to.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Only this owner's events; `None` takes those of all owners and of none.
    pub owner_id: Option<Arc<str>>,
    /// An event must fit one of them.
    pub events: Vec<EventPattern>,
    /// The station must fit one of them; empty and `*` take all, and events without station too.
    pub stations: Vec<StationGlob>,
    /// The payload must fit it.
    pub filter: Option<Filter>,
    /// The newest event when the webhook was made: events up to it are not for it.
    pub created_seq: LogPosition,
    /// Whether its deliveries are made; a disabled webhook's are discarded on the spot.
    pub enabled: bool,
}

/// What is judged: a borrowed view of an event that may not be stored yet.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The exact event type.
    pub event: &'a str,
    /// Its family.
    pub category: Category,
    /// The station it is about.
    pub station_id: Option<&'a str>,
    /// The customer it belongs to.
    pub owner_id: Option<&'a str>,
    /// Where it stands, if it is stored already.
    pub position: Option<LogPosition>,
    /// It repeats another event.
    pub duplicate: bool,
    /// Whom it is for.
    pub target: Target,
    /// The webhook it tells about, if it is of the category `webhook`.
    pub about_webhook: Option<WebhookId>,
    payload: &'a RawValue,
    parsed: OnceCell<Value>,
}

impl<'a> Subject<'a> {
    /// An event for whoever subscribes to it. The payload is parsed when the first filter asks.
    pub fn new(
        event: &'a str,
        category: Category,
        station_id: Option<&'a str>,
        owner_id: Option<&'a str>,
        payload: &'a RawValue,
    ) -> Self {
        Self {
            event,
            category,
            station_id,
            owner_id,
            position: None,
            duplicate: false,
            target: Target::Subscribers,
            about_webhook: about_webhook(category, payload),
            payload,
            parsed: OnceCell::new(),
        }
    }

    /// A stored event, as `explain` and replays judge it.
    pub fn of(event: &'a Event) -> Self {
        Self {
            position: Some(event.position),
            duplicate: event.duplicate_of.is_some(),
            target: event.target,
            ..Self::new(
                &event.event,
                event.category,
                event.station_id.as_deref(),
                event.owner_id.as_deref(),
                &event.payload,
            )
        }
    }

    fn payload(&self) -> &Value {
        // A payload that nests deeper than can be read fits no filter that looks into it.
        self.parsed.get_or_init(|| serde_json::from_str(self.payload.get()).unwrap_or_default())
    }
}

/// Operational events name their webhook in the payload.
fn about_webhook(category: Category, payload: &RawValue) -> Option<WebhookId> {
    #[derive(Deserialize)]
    struct About {
        webhook_id: WebhookId,
    }
    if category != Category::Webhook {
        return None;
    }
    serde_json::from_str::<About>(payload.get()).ok().map(|about| about.webhook_id)
}

words! {
    /// Why an event made no delivery to a webhook (`not_matched` of `?explain=true`).
    pub enum NotMatched {
        /// The webhook does not subscribe to events of this type.
        EventType = "event_type",
        /// The webhook does not subscribe to this station.
        Station = "station",
        /// The event belongs to another owner, or to none.
        Owner = "owner",
        /// The payload does not fit the filter.
        Filter = "filter",
        /// The webhook was made after the event, or was changed to fit it.
        CreatedLater = "created_later",
        /// The event repeats another.
        Duplicate = "duplicate",
        /// The event was directed elsewhere, or is a test.
        Target = "target",
        /// The event tells of this very webhook.
        AboutItself = "about_itself",
    }
}

impl Subscription {
    /// Whether the webhook gets the event.
    ///
    /// # Errors
    /// The first reason, in the order from the event's own nature to its content, why it does not.
    pub fn judge(&self, subject: &Subject<'_>) -> Result<(), NotMatched> {
        self.judge_nature(subject)?;
        if subject.target == Target::Webhook(self.webhook_id) {
            return Ok(());
        }
        if !self.events.iter().any(|pattern| pattern.fits(subject.event, subject.category)) {
            return Err(NotMatched::EventType);
        }
        self.judge_content(subject)
    }

    fn judge_nature(&self, subject: &Subject<'_>) -> Result<(), NotMatched> {
        if subject.duplicate {
            return Err(NotMatched::Duplicate);
        }
        match subject.target {
            Target::DirectUrl => return Err(NotMatched::Target),
            Target::Webhook(id) if id != self.webhook_id => return Err(NotMatched::Target),
            _ => {}
        }
        if subject.position.is_some_and(|position| position <= self.created_seq) {
            return Err(NotMatched::CreatedLater);
        }
        if subject.about_webhook == Some(self.webhook_id) {
            return Err(NotMatched::AboutItself);
        }
        Ok(())
    }

    fn judge_content(&self, subject: &Subject<'_>) -> Result<(), NotMatched> {
        if subject.target != Target::Broadcast
            && self.owner_id.as_deref().is_some_and(|owner| subject.owner_id != Some(owner))
        {
            return Err(NotMatched::Owner);
        }
        // Without a station there is nothing to fit, but for `*`.
        let station = subject.station_id.unwrap_or_default();
        if !self.stations.is_empty() && !self.stations.iter().any(|glob| glob.fits(station)) {
            return Err(NotMatched::Station);
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.fits(subject.payload())) {
            return Err(NotMatched::Filter);
        }
        Ok(())
    }
}

/// The subscriptions of all webhooks, prepared for judging one event after the other.
#[derive(Debug, Default)]
pub struct SubscriptionSet {
    /// By webhook, like those of each type.
    all: Vec<Arc<Subscription>>,
    /// For each known event type, those that ask for it.
    by_type: HashMap<&'static str, Vec<Arc<Subscription>>>,
}

impl SubscriptionSet {
    /// Prepares `subscriptions`.
    pub fn new(subscriptions: Vec<Subscription>) -> Self {
        let mut set = Self::default();
        for subscription in subscriptions {
            set.put(subscription.webhook_id, Some(Arc::new(subscription)));
        }
        set
    }

    /// Puts a webhook's subscription in the place of the one it had, or takes that one away; returns what was
    /// there, so that it can be put back.
    pub fn put(
        &mut self,
        webhook_id: WebhookId,
        subscription: Option<Arc<Subscription>>,
    ) -> Option<Arc<Subscription>> {
        for (category, name) in event::types() {
            let asks = |s: &&Arc<Subscription>| s.events.iter().any(|pattern| pattern.fits(name, category));
            let asking = subscription.as_ref().filter(asks).cloned();
            replace(self.by_type.entry(name).or_default(), webhook_id, asking);
        }
        replace(&mut self.all, webhook_id, subscription)
    }

    /// The subscriptions, disabled ones among them, that the event fits, by webhook.
    pub fn matching<'s>(&'s self, subject: &'s Subject<'_>) -> impl Iterator<Item = &'s Subscription> + 's {
        // Custom names are not known beforehand, and a directed event does not ask what is subscribed to.
        let known = match subject.target {
            Target::Webhook(_) => None,
            _ => self.by_type.get(subject.event),
        };
        let by_search = if known.is_none() { self.all.as_slice() } else { &[] };
        known
            .into_iter()
            .flatten()
            .filter(|s| s.judge_nature(subject).and_then(|()| s.judge_content(subject)).is_ok())
            .chain(by_search.iter().filter(|s| s.judge(subject).is_ok()))
            .map(AsRef::as_ref)
    }

    /// Whether each webhook gets the event, or why not.
    pub fn judge(&self, subject: &Subject<'_>) -> impl Iterator<Item = (WebhookId, Result<(), NotMatched>)> {
        self.all.iter().map(|s| (s.webhook_id, s.judge(subject)))
    }
}

/// Puts one in its place among those that are sorted by webhook; returns what was there.
fn replace(
    sorted: &mut Vec<Arc<Subscription>>,
    webhook_id: WebhookId,
    subscription: Option<Arc<Subscription>>,
) -> Option<Arc<Subscription>> {
    match (sorted.binary_search_by_key(&webhook_id, |s| s.webhook_id), subscription) {
        (Ok(place), Some(subscription)) => Some(std::mem::replace(&mut sorted[place], subscription)),
        (Ok(place), None) => Some(sorted.remove(place)),
        (Err(place), Some(subscription)) => {
            sorted.insert(place, subscription);
            None
        }
        (Err(_), None) => None,
    }
}

#[cfg(test)]
mod tests;
