//! Bodies: one event in the format of its webhook.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

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
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    use super::*;
    use vocabulary::clock::Timestamp;
    use vocabulary::id::EventId;
    use vocabulary::ocpp::authorization::IdTagReason;

    fn start_transaction() -> Event {
        Event {
            position: vocabulary::positions::LogPosition::from_number(4),
            id: EventId::from_value(0x019d_8bfb_b0d5_0000_0000_0000_0000_0001),
            event: "StartTransaction".to_owned(),
            category: Category::Ocpp,
            protocol: Some("ocpp1.6".to_owned()),
            station_id: Some("WALLBOX 1/\"a\"".replace('/', "-")),
            station_seq: Some(17),
            owner_id: Some("acme".to_owned()),
            timestamp: Timestamp::from_unix_ms(1_776_170_096_789),
            occurred_at: Some(Timestamp::from_unix_ms(1_776_170_095_000)),
            transaction_id: Some(123_456_789),
            id_tag_reason: Some(IdTagReason::Blocked),
            // Spaces, 1.50 and the order of members show that the bytes are kept.
            payload: RawValue::from_string(r#"{ "idTag":"T", "connectorId":1.50 }"#.to_owned())
                .expect("JSON"),
            message_id: None,
            response: None,
            violations: Vec::new(),
            duplicate_of: None,
            idempotency_key: None,
            test: false,
            custom_headers: BTreeMap::new(),
            target: Default::default(),
        }
    }

    fn ping() -> Event {
        Event {
            event: "ping".to_owned(),
            category: Category::Custom,
            protocol: None,
            station_id: None,
            station_seq: None,
            owner_id: None,
            occurred_at: None,
            transaction_id: None,
            id_tag_reason: None,
            payload: RawValue::from_string("{}".to_owned()).expect("JSON"),
            test: true,
            ..start_transaction()
        }
    }

    fn rendered(format: BodyFormat, event: &Event) -> String {
        String::from_utf8(render(format, event).to_vec()).expect("UTF-8")
    }

    #[test]
    fn flat() {
        assert_eq!(
            rendered(BodyFormat::Flat, &start_transaction()),
            concat!(
                r#"{"id":"evt_01kp5zqc6n0000000000000001","event":"StartTransaction","#,
                r#""station_id":"WALLBOX 1-\"a\"","station_seq":17,"owner_id":"acme","#,
                r#""timestamp":"2026-04-14T12:34:56.789Z","occurred_at":"2026-04-14T12:34:55.000Z","#,
                r#""transaction_id":123456789,"protocol":"ocpp1.6","#,
                r#""id_tag_reason":"blocked","#,
                r#""payload":{ "idTag":"T", "connectorId":1.50 }}"#
            )
        );
        assert_eq!(
            rendered(BodyFormat::Flat, &ping()),
            concat!(
                r#"{"id":"evt_01kp5zqc6n0000000000000001","event":"ping","station_id":null,"#,
                r#""station_seq":null,"owner_id":null,"timestamp":"2026-04-14T12:34:56.789Z","#,
                r#""occurred_at":null,"transaction_id":null,"protocol":null,"payload":{},"isTest":true}"#
            )
        );
    }

    #[test]
    fn envelope() {
        assert_eq!(
            rendered(BodyFormat::Envelope, &start_transaction()),
            concat!(
                r#"{"id":"evt_01kp5zqc6n0000000000000001","type":"StartTransaction","#,
                r#""createdAt":"2026-04-14T12:34:56.789Z","data":{"station_id":"WALLBOX 1-\"a\"","#,
                r#""station_seq":17,"owner_id":"acme","occurred_at":"2026-04-14T12:34:55.000Z","#,
                r#""transaction_id":123456789,"protocol":"ocpp1.6","#,
                r#""id_tag_reason":"blocked","#,
                r#""payload":{ "idTag":"T", "connectorId":1.50 }}}"#
            )
        );
        assert!(rendered(BodyFormat::Envelope, &ping()).ends_with(r#""payload":{}},"isTest":true}"#));
    }

    #[test]
    fn standard() {
        assert_eq!(
            rendered(BodyFormat::Standard, &start_transaction()),
            concat!(
                r#"{"type":"StartTransaction","timestamp":"2026-04-14T12:34:56.789Z","#,
                r#""data":{"station_id":"WALLBOX 1-\"a\"","station_seq":17,"owner_id":"acme","#,
                r#""occurred_at":"2026-04-14T12:34:55.000Z","transaction_id":123456789,"#,
                r#""protocol":"ocpp1.6","id_tag_reason":"blocked","payload":{ "idTag":"T", "connectorId":1.50 }}}"#
            )
        );
        assert!(rendered(BodyFormat::Standard, &ping()).ends_with(r#""payload":{}},"isTest":true}"#));
    }

    #[test]
    fn cloud_events() {
        assert_eq!(
            rendered(BodyFormat::CloudEvents, &start_transaction()),
            concat!(
                r#"{"specversion":"1.0","id":"evt_01kp5zqc6n0000000000000001","#,
                r#""source":"/stations/WALLBOX%201-%22a%22","type":"ocpp.StartTransaction","#,
                r#""time":"2026-04-14T12:34:56.789Z","subject":"WALLBOX 1-\"a\"","#,
                r#""datacontenttype":"application/json","#,
                r#""data":{ "idTag":"T", "connectorId":1.50 },"stationseq":17,"ownerid":"acme","#,
                r#""occurredat":"2026-04-14T12:34:55.000Z","transactionid":123456789,"idtagreason":"blocked"}"#
            )
        );
        assert_eq!(
            rendered(BodyFormat::CloudEvents, &ping()),
            concat!(
                r#"{"specversion":"1.0","id":"evt_01kp5zqc6n0000000000000001","source":"/","type":"ping","#,
                r#""time":"2026-04-14T12:34:56.789Z","datacontenttype":"application/json","data":{},"#,
                r#""istest":true}"#
            )
        );
    }

    #[test]
    fn bodies_of_an_event_are_rendered_once_each() {
        let event = Arc::new(start_transaction());
        let bodies = Bodies::new(event.clone());
        for &format in BodyFormat::ALL {
            let body = bodies.of(format);
            assert_eq!(body, render(format, &event));
            assert_eq!(bodies.of(format).as_ptr(), body.as_ptr(), "{format:?} is shared");
        }
    }
}
