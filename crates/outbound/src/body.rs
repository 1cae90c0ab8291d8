//! Bodies: one event in the format of its webhook.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;

use vocabulary::delivery::BodyFormat;
use vocabulary::event::{Category, Event};

/// The `Content-Type` of bodies of this format.
pub const fn content_type(format: BodyFormat) -> &'static str {
    match format {
        BodyFormat::CloudEvents => "application/cloudevents+json",
        BodyFormat::Flat | BodyFormat::Envelope | BodyFormat::Standard => "application/json",
    }
}

/// The body for `event`. The payload's bytes are copied as they are.
pub fn render(format: BodyFormat, event: &Event) -> Bytes {
    let mut object = Object::with_room_for(event);
    match format {
        BodyFormat::Flat => {
            object.value("id", &event.id);
            object.value("event", &event.event);
            object.value("station_id", &event.station_id);
            object.value("station_seq", &event.station_seq);
            object.value("owner_id", &event.owner_id);
            object.value("timestamp", &event.timestamp);
            object.value("occurred_at", &event.occurred_at);
            object.value("transaction_id", &event.transaction_id);
            object.value("protocol", &event.protocol);
            write_tag_reason(&mut object, event);
            object.raw("payload", event.payload.get());
        }
        BodyFormat::Envelope => {
            object.value("id", &event.id);
            object.value("type", &event.event);
            object.value("createdAt", &event.timestamp);
            object.nested("data", |data| write_data(data, event));
        }
        BodyFormat::Standard => {
            object.value("type", &event.event);
            object.value("timestamp", &event.timestamp);
            object.nested("data", |data| write_data(data, event));
        }
        BodyFormat::CloudEvents => write_cloud_event(&mut object, event),
    }
    if event.test && format != BodyFormat::CloudEvents {
        object.value("isTest", &true);
    }
    object.finish()
}

/// The attributes of a CloudEvent: names and values, as text.
pub type Attributes = Vec<(String, String)>;

/// The CloudEvent of `event` in two parts, its attributes and its data; the data's bytes are copied as they
/// are.
pub fn in_binary_mode(event: &Event) -> (Attributes, Bytes) {
    // Attributes are texts, numbers and yes or no: what is no text is written as JSON writes it.
    let whole = render(BodyFormat::CloudEvents, event);
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&whole).unwrap_or_default();
    members.remove("data");
    let text =
        |value: Box<RawValue>| serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().into());
    let attributes = members.into_iter().map(|(name, value)| (name, text(value))).collect();
    (attributes, Bytes::copy_from_slice(event.payload.get().as_bytes()))
}

/// An event with its bodies. Each body is rendered on first use, and shared by all sends.
#[derive(Debug)]
pub struct Bodies {
    event: Arc<Event>,
    rendered: [OnceLock<Bytes>; BodyFormat::ALL.len()],
}

impl Bodies {
    /// An event without bodies yet.
    pub fn new(event: Arc<Event>) -> Self {
        Self { event, rendered: Default::default() }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The body of this format.
    pub fn of(&self, format: BodyFormat) -> Bytes {
        self.rendered[format as usize].get_or_init(|| render(format, &self.event)).clone()
    }
}

fn write_data(data: &mut Object, event: &Event) {
    data.value("station_id", &event.station_id);
    data.value("station_seq", &event.station_seq);
    data.value("owner_id", &event.owner_id);
    data.value("occurred_at", &event.occurred_at);
    data.value("transaction_id", &event.transaction_id);
    data.value("protocol", &event.protocol);
    write_tag_reason(data, event);
    data.raw("payload", event.payload.get());
}

/// Only where there may be a tag: on all other events it would say nothing.
fn write_tag_reason(object: &mut Object, event: &Event) {
    if event.shows_tag() {
        object.value("id_tag_reason", &event.id_tag_reason);
    }
}

/// Characters that need no encoding in a path segment by RFC 3986, beside alphanumeric ones.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// CloudEvents 1.0, section 2: attributes without a value are left out, not null.
fn write_cloud_event(object: &mut Object, event: &Event) {
    object.value("specversion", &"1.0");
    object.value("id", &event.id);
    match &event.station_id {
        Some(station) => {
            object.value("source", &format!("/stations/{}", utf8_percent_encode(station, SEGMENT)));
        }
        None => object.value("source", &"/"),
    }
    match event.category {
        Category::Custom => object.value("type", &event.event),
        category => object.value("type", &format!("{category}.{}", event.event)),
    }
    object.value("time", &event.timestamp);
    object.optional("subject", &event.station_id);
    object.value("datacontenttype", &"application/json");
    object.raw("data", event.payload.get());
    object.optional("stationseq", &event.station_seq);
    object.optional("ownerid", &event.owner_id);
    object.optional("occurredat", &event.occurred_at);
    object.optional("transactionid", &event.transaction_id);
    object.optional("idtagreason", &event.id_tag_reason);
    object.optional("istest", &event.test.then_some(true));
}

/// Writes one JSON object, members in the order of the calls.
struct Object(Vec<u8>);

impl Object {
    fn with_room_for(event: &Event) -> Self {
        let mut bytes = Vec::with_capacity(event.payload.get().len() + 512);
        bytes.push(b'{');
        Self(bytes)
    }

    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn value(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        // Strings, numbers and times are written to memory, which cannot fail.
        serde_json::to_writer(&mut self.0, value).expect("plain values have a JSON form");
    }

    fn optional(&mut self, name: &str, value: &Option<impl Serialize>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.extend_from_slice(json.as_bytes());
    }

    fn nested(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.name(name);
        self.0.push(b'{');
        write(self);
        self.0.push(b'}');
    }

    fn finish(mut self) -> Bytes {
        self.0.push(b'}');
        Bytes::from(self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests;
