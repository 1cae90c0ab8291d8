use super::*;

#[track_caller]
fn check(status: Option<u16>, body: &str, expected: Result<(), ErrorCode>) {
    let found = acknowledged("ev.a", status, body.as_bytes());
    assert_eq!(found.map(drop).map_err(|failure| failure.code), expected, "{status:?} {body}");
}

#[test]
fn only_a_stream_confirms() {
    check(None, r#"{"stream":"EV","seq":4}"#, Ok(()));
    check(None, r#"{"stream":"EV","seq":4,"duplicate":true,"domain":"x"}"#, Ok(()));
    check(Some(503), "", Err(ErrorCode::NoStream));
    check(None, "pong", Err(ErrorCode::NoStream));
    check(None, "{}", Err(ErrorCode::NoStream));
    check(None, r#"{"seq":1}"#, Err(ErrorCode::NoStream));
    let refused = |number: u32| {
        format!(r#"{{"error":{{"code":400,"err_code":{number},"description":"d"}},"stream":"EV","seq":0}}"#)
    };
    check(None, &refused(10_054), Err(ErrorCode::TooLarge));
    check(None, &refused(10_077), Err(ErrorCode::Nack));
}

#[test]
fn headers_are_lines() {
    let message = Message {
        id: "evt_1".to_owned(),
        topic: "t".to_owned(),
        content_type: "application/json",
        headers: vec![("X-Webhook-Event".to_owned(), "Heartbeat".to_owned())],
        attributes: vec![("subject".to_owned(), "Säule \"1\" 5%".to_owned())],
        body: Bytes::new(),
    };
    assert_eq!(
        head(&message),
        "NATS/1.0\r\nNats-Msg-Id: evt_1\r\nContent-Type: application/json\r\n\
         ce-subject: S%C3%A4ule%20%221%22%205%25\r\nX-Webhook-Event: Heartbeat\r\n\r\n"
    );
}
