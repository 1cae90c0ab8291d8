//! What a charger may do wrong on an open socket: odd frames, by the numbers of their quirks, and the
//! limits that end a connection.

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use vocabulary::units::ByteSize;

use crate::harness::{eventually, start};

/// Frames that are served although something is odd: text, and what its answer looks like.
const SERVED: &[(&str, &str)] = &[
    (
        "Q5 numbers as texts",
        r#"[2,"a1","StatusNotification",{"connectorId":"1","errorCode":"NoError","status":"Available"}]"#,
    ),
    (
        "Q5 a decimal integer",
        r#"[2,"a2","StatusNotification",{"connectorId":1.0,"errorCode":"NoError","status":"Available"}]"#,
    ),
    (
        "Q6 a comma decimal",
        r#"[2,"a3","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-04-14T12:00:00Z","sampledValue":[{"value":"1,5"}]}]}]"#,
    ),
    (
        "Q7 empty texts",
        r#"[2,"a4","BootNotification",{"chargePointVendor":"","chargePointModel":"M","iccid":""}]"#,
    ),
    (
        "Q8 nulls",
        r#"[2,"a5","BootNotification",{"chargePointVendor":"V","chargePointModel":"M","iccid":null}]"#,
    ),
    ("Q8 no payload", r#"[2,"a6","Heartbeat"]"#),
    ("Q8 a null payload", r#"[2,"a7","Heartbeat",null]"#),
    ("Q8 an empty list for a payload", r#"[2,"a71","Heartbeat",[]]"#),
    ("Q8 a list with a blank for a payload", r#"[2,"a72","Heartbeat",[ ]]"#),
    ("Q9 an extra field", r#"[2,"a8","Heartbeat",{"extra":1}]"#),
    ("Q9 a field twice", r#"[2,"a9","Authorize",{"idTag":"A","idTag":"B"}]"#),
    (
        "Q10 too long",
        r#"[2,"b1","BootNotification",{"chargePointVendor":"a vendor with a very long name","chargePointModel":"M"}]"#,
    ),
    (
        "Q11 another case",
        r#"[2,"b2","StatusNotification",{"connectorId":1,"errorCode":"noerror","status":"available"}]"#,
    ),
    (
        "Q11 an old value",
        r#"[2,"b3","StatusNotification",{"connectorId":1,"errorCode":"Mode3Error","status":"Occupied"}]"#,
    ),
    ("Q12 missing fields", r#"[2,"b4","StatusNotification",{"connectorId":1,"status":"Available"}]"#),
    (
        "Q14 one object for a list",
        r#"[2,"b5","MeterValues",{"connectorId":1,"meterValue":{"timestamp":"2026-04-14T12:00:00Z","sampledValue":{"value":"1"}}}]"#,
    ),
    ("Q14 an empty list", r#"[2,"b6","MeterValues",{"connectorId":1,"meterValue":[]}]"#),
    ("Q17 a number for an id", r#"[2,17,"Heartbeat",{}]"#),
    ("Q17 an empty id", r#"[2,"","Heartbeat",{}]"#),
    ("Q17 a long id", r#"[2,"0123456789012345678901234567890123456789","Heartbeat",{}]"#),
    ("Q18 a byte order mark", "\u{feff}[2,\"b7\",\"Heartbeat\",{}]"),
    ("Q18 a NUL behind", "[2,\"b8\",\"Heartbeat\",{}]\0\r\n"),
    ("Q18 a NUL inside", "[2,\"b9\",\"Authorize\",{\"idTag\":\"A\0B\"}]"),
    (
        "Q1 no time zone",
        r#"[2,"c1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Available","timestamp":"2026-04-14T12:00:00"}]"#,
    ),
    (
        "Q4 no such day",
        r#"[2,"c2","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Available","timestamp":"2026-02-31T12:00:00Z"}]"#,
    ),
    ("Q25 another case of the action", r#"[2,"c3","heartbeat",{}]"#),
    ("Q25 a suffix", r#"[2,"c4","HeartbeatRequest",{}]"#),
];

#[tokio::test]
async fn case_86_odd_messages_are_answered_kept_as_they_came_and_flagged() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("ODD").await;
    charger.boot().await;
    for (quirk, text) in SERVED {
        let answer = charger.exchange(text).await;
        let sent = parse_leniently(text);
        assert_eq!(answer[0], 3, "{quirk}: {answer}");
        assert_eq!(answer[1], sent[1], "{quirk}: the id is echoed with its type");
        let event = gateway.events("ODD").await.pop().expect("an event");
        assert_eq!(event["category"], "ocpp", "{quirk}: {event}");
        assert!(!event["violations"].as_array().expect("a list").is_empty(), "{quirk} is flagged: {event}");
        if let Some(payload) = sent.get(3).filter(|payload| payload.is_object()) {
            assert_eq!(&event["payload"], payload, "{quirk}: the payload is kept");
        }
        assert_eq!(event["response"], answer[2], "{quirk}: the answer is on record");
    }
    charger.still_serves().await;
}

/// What the frame means, for comparison.
fn parse_leniently(text: &str) -> Value {
    let clean = text.trim_start_matches('\u{feff}').trim_end_matches(['\0', '\r', '\n']);
    serde_json::from_str(&clean.replace('\0', "\\u0000")).expect("JSON")
}

#[tokio::test]
async fn case_92_what_cannot_be_served_is_kept_and_leaves_the_socket_open() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("BROKEN").await;
    let too_deep = format!(
        r#"[2,"x9","DataTransfer",{{"vendorId":"v","data":{}{}}}]"#,
        "[".repeat(9_000),
        "]".repeat(9_000)
    );
    for (text, reason, answer) in [
        (r#"[2,"x1","Heartbeat",{"#, "malformed_json", Some(("x1", "FormationViolation"))),
        (r#"[2,"x2","Heartbeat",[{}]]"#, "payload_not_an_object", Some(("x2", "FormationViolation"))),
        (r#"[2,"x3",7,{}]"#, "unreadable_action", Some(("x3", "FormationViolation"))),
        (r#"[2,"x4","Frobnicate",{}]"#, "unknown_action", Some(("x4", "NotImplemented"))),
        (r#"[2,null,"Heartbeat",{}]"#, "unreadable_id", None),
        (r#"[2,{},"Heartbeat",{}]"#, "unreadable_id", None),
        (r#"[5,"x5",{}]"#, "unknown_message_type", None),
        (r#"[7]"#, "unknown_message_type", None),
        (r#"[3,"x6",{"configurationKey":[]"#, "malformed_json", None),
        (r#"[3,"x7",{}]"#, "unknown_call", None),
        (r#"[4,"x8","GenericError"]"#, "unknown_call", None),
        (&too_deep, "too_deep", Some(("x9", "FormationViolation"))),
        ("{}", "not_an_array", None),
        ("PING", "malformed_json", None),
        ("", "malformed_json", None),
    ] {
        charger.send(text).await;
        if let Some((id, code)) = answer {
            let refused: Value = serde_json::from_str(&charger.receive().await).expect("JSON");
            assert_eq!(
                (&refused[0], &refused[1], &refused[2]),
                (&json!(4), &json!(id), &json!(code)),
                "{text}"
            );
            assert!(refused[3].is_string() && refused[4] == json!({}), "{text}: {refused}");
        }
        // The next answer is the heartbeat's: nothing else was said, and the socket is open.
        charger.still_serves().await;
        let rejected = gateway.events_of("BROKEN", "MessageRejected").await.pop().expect("an event");
        assert_eq!(rejected["payload"]["raw"], text);
        assert_eq!(rejected["payload"]["reason"], reason, "{text}");
        assert_eq!(rejected["payload"]["size"], text.len(), "{text}");
        assert_eq!(rejected["payload"]["answer"], json!(answer.map(|(_, code)| code)), "{text}");
    }
}

#[tokio::test]
async fn case_85_the_same_bytes_get_the_same_answer_and_one_event() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("TWICE").await;
    let frame = r#"[2,"1","Authorize",{"idTag":"TAG"}]"#;
    charger.send(frame).await;
    let first = charger.receive().await;
    charger.send(frame).await;
    assert_eq!(charger.receive().await, first);
    assert_eq!(gateway.events_of("TWICE", "Authorize").await.len(), 1);
    let refused = r#"[2,"2","Nonsense",{}]"#;
    charger.send(refused).await;
    let first = charger.receive().await;
    charger.send(refused).await;
    assert_eq!(charger.receive().await, first);
    assert_eq!(gateway.events_of("TWICE", "MessageRejected").await.len(), 1);
}

#[tokio::test]
async fn ids_that_are_constant_hide_nothing() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CONSTANT").await;
    for status in ["Available", "Charging", "Available"] {
        let payload = json!({"connectorId": 1, "errorCode": "NoError", "status": status});
        let answer = charger.exchange(&json!([2, "1", "StatusNotification", payload]).to_string()).await;
        assert_eq!(answer, json!([3, "1", {}]));
    }
    let told = gateway.events_of("CONSTANT", "StatusNotification").await;
    let told: Vec<_> =
        told.iter().map(|event| event["payload"]["status"].as_str().expect("a text")).collect();
    assert_eq!(told, ["Available", "Charging", "Available"]);
    let connectors = gateway.get("/stations/CONSTANT/connectors").await;
    assert_eq!(connectors["data"][0]["status"], "Available", "{connectors}");
    // An answer that is a clock is given anew.
    for _ in 0..2 {
        assert!(charger.exchange(r#"[2,"1","Heartbeat",{}]"#).await[2]["currentTime"].is_string());
    }
    assert_eq!(gateway.events_of("CONSTANT", "Heartbeat").await.len(), 2);
}

#[tokio::test]
async fn case_91_fragments_are_assembled_and_a_message_over_the_limit_is_1009() {
    let gateway = start(|config| config.limits.message_size = ByteSize(1 << 20)).await;
    let mut charger = gateway.charger("BIG").await;
    let fragment = |text: &str, opcode, fin| {
        Message::Frame(Frame::message(text.to_owned().into_bytes(), OpCode::Data(opcode), fin))
    };
    charger.socket.send(fragment(r#"[2,"f1","Hear"#, Data::Text, false)).await.expect("sends");
    charger.socket.send(Message::Ping("between".into())).await.expect("sends");
    charger.socket.send(fragment(r#"tbeat",{}]"#, Data::Continue, true)).await.expect("sends");
    assert!(charger.receive().await.starts_with(r#"[3,"f1","#));

    let filler = "x".repeat((1 << 20) - 60);
    let just_fits = format!(r#"[2,"f2","DataTransfer",{{"vendorId":"v","data":"{filler}"}}]"#);
    assert!(just_fits.len() <= 1 << 20);
    let answer = charger.exchange(&just_fits).await;
    assert_eq!(answer[2]["status"], "UnknownVendorId");

    charger.send(&"x".repeat((1 << 20) + 1)).await;
    assert_eq!(charger.closed().await.map(|frame| frame.code.into()), Some(1009u16));
    let rejected = gateway.events_of("BIG", "MessageRejected").await.pop().expect("an event");
    assert_eq!(rejected["payload"]["reason"], "too_large");
    assert_eq!(rejected["payload"]["size"], (1 << 20) + 1);
    assert!(rejected["payload"]["raw"].is_null());
}

#[tokio::test]
async fn q19_text_that_is_not_utf8_is_1007() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("LATIN1").await;
    let bytes = b"[2,\"1\",\"Authorize\",{\"idTag\":\"\xe9\"}]".to_vec();
    let size = bytes.len();
    let frame = Frame::message(bytes, OpCode::Data(Data::Text), true);
    charger.socket.send(Message::Frame(frame)).await.expect("sends");
    assert_eq!(charger.closed().await.map(|frame| frame.code.into()), Some(1007u16));
    let rejected = gateway.events_of("LATIN1", "MessageRejected").await.pop().expect("an event");
    assert_eq!(rejected["payload"]["reason"], "not_utf8");
    assert_eq!(rejected["payload"]["size"], size);
    assert!(rejected["payload"]["raw"].is_null());
    let ended = eventually("the end is recorded", || async {
        gateway.events_of("LATIN1", "StationDisconnected").await.pop()
    })
    .await;
    assert_eq!(ended["payload"]["code"], 1007);
}

#[tokio::test]
async fn q30_pipelined_calls_are_answered_in_order() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("PIPE").await;
    for id in 0..200 {
        let call = format!(r#"[2,"{id}","Heartbeat",{{}}]"#);
        charger.socket.feed(Message::text(call)).await.expect("queues");
    }
    charger.socket.flush().await.expect("sends");
    for id in 0..200 {
        assert!(charger.receive().await.starts_with(&format!(r#"[3,"{id}","#)), "answer {id}");
    }
}

#[tokio::test]
async fn strict_mode_answers_as_the_specification_says() {
    let gateway = start(|_| {}).await;
    let (status, _) =
        gateway.api("POST", "/stations", Some(json!({"station_id": "LAB", "validation": "strict"}))).await;
    assert_eq!(status, 201);
    let mut charger = gateway.charger("LAB").await;
    for (payload, code) in [
        (r#"{"chargePointVendor":"V"}"#, "OccurenceConstraintViolation"),
        (r#"{"chargePointVendor":5,"chargePointModel":"M"}"#, "TypeConstraintViolation"),
    ] {
        let answer = charger.exchange(&format!(r#"[2,"{code}","BootNotification",{payload}]"#)).await;
        assert_eq!((&answer[0], &answer[2]), (&json!(4), &json!(code)), "{payload}");
        let rejected = gateway.events_of("LAB", "MessageRejected").await.pop().expect("an event");
        assert_eq!(rejected["payload"]["reason"], "schema_violation");
    }
    charger.boot().await;
}

#[tokio::test]
async fn who_is_over_the_rate_is_read_slower_and_loses_nothing() {
    let gateway = start(|config| {
        config.limits.messages_per_second = 20;
        config.limits.message_burst = 1;
    })
    .await;
    let mut charger = gateway.charger("FAST").await;
    let began = std::time::Instant::now();
    for id in 0..21 {
        let call = format!(r#"[2,"{id}","Heartbeat",{{}}]"#);
        charger.socket.feed(Message::text(call)).await.expect("queues");
    }
    charger.socket.flush().await.expect("sends");
    for id in 0..21 {
        assert!(charger.receive().await.starts_with(&format!(r#"[3,"{id}","#)), "answer {id}");
    }
    let took = began.elapsed();
    assert!(took.as_millis() >= 950, "20 messages after the first at 20 a second took {took:?}");
}
