use super::*;
use vocabulary::clock::Timestamp;
use vocabulary::id::EventId;
use vocabulary::ocpp::authorization::IdTagReason;

pub(crate) fn start_transaction() -> Event {
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
        payload: RawValue::from_string(r#"{ "idTag":"T", "connectorId":1.50 }"#.to_owned()).expect("JSON"),
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

pub(crate) fn ping() -> Event {
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
