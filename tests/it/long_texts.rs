//! Texts that are longer than an index of PostgreSQL takes (2.7 kB), wherever chargers and clients may send
//! one: they are kept, found again and told from others, or refused with a reason.

use serde_json::{Value, json};

use crate::crash::next_chance;
use crate::harness::{ADMIN_KEY, Charger, Running, http_client, start};

/// A text that cannot be made shorter by compressing it, which PostgreSQL does before it measures.
fn noise(seed: u64, chars: usize) -> String {
    let mut state = seed;
    let letter = |_| char::from_digit((next_chance(&mut state) % 36) as u32, 36).expect("a digit");
    (0..chars).map(letter).collect()
}

/// Sends a CALL under this id; the payload of its answer.
async fn send(charger: &mut Charger, id: &str, action: &str, payload: &Value) -> Value {
    let answer = charger.exchange(&json!([2, id, action, payload]).to_string()).await;
    assert_eq!((&answer[0], &answer[1]), (&json!(3), &json!(id)), "{action}: {answer}");
    answer[2].clone()
}

async fn sessions(gateway: &Running) -> usize {
    gateway.get("/transactions?station_id=CP").await["data"].as_array().expect("a list").len()
}

#[tokio::test]
async fn long_tags_and_times_tell_sessions_apart_and_retries_too() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let (tag, time) = (noise(1, 100_000), noise(2, 100_000));
    assert!(send(&mut charger, "auth", "Authorize", &json!({"idTag": tag})).await["idTagInfo"].is_object());
    let begin =
        |tag: &str, time: &str| json!({"connectorId": 1, "idTag": tag, "meterStart": 7, "timestamp": time});
    let first =
        send(&mut charger, "s1", "StartTransaction", &begin(&tag, &time)).await["transactionId"].clone();
    // They begin alike and are others.
    let (longer_tag, longer_time) = (format!("{tag}x"), format!("{time}x"));
    let second =
        send(&mut charger, "s2", "StartTransaction", &begin(&longer_tag, &time)).await["transactionId"]
            .clone();
    let third =
        send(&mut charger, "s3", "StartTransaction", &begin(&tag, &longer_time)).await["transactionId"]
            .clone();
    assert!(first != second && second != third && first != third);
    let end =
        |number: &Value, time: &str| json!({"transactionId": number, "meterStop": 9, "timestamp": time});
    send(&mut charger, "e1", "StopTransaction", &end(&first, &time)).await;
    send(&mut charger, "e2", "StopTransaction", &end(&json!(-1), &longer_time)).await;

    // On another socket only their content tells.
    drop(charger);
    let mut charger = gateway.charger("CP").await;
    let again = send(&mut charger, "t1", "StartTransaction", &begin(&longer_tag, &time)).await;
    assert_eq!(again["transactionId"], second, "a start that came before");
    send(&mut charger, "t2", "StopTransaction", &end(&first, &time)).await;
    assert_eq!(sessions(&gateway).await, 3);
    let found = gateway.get(&format!("/transactions/{first}")).await;
    assert_eq!((&found["id_tag"], &found["status"]), (&json!(tag), &json!("completed")), "kept as it came");
    let repeats = gateway.events_of("CP", "StopTransaction").await;
    assert_eq!(
        repeats.iter().filter(|event| event["duplicate_of"].is_string()).count(),
        1,
        "a stop that came before"
    );
}

#[tokio::test]
async fn long_meter_values_without_a_time_are_kept_once() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let begin = json!({"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
    let number = charger.call("StartTransaction", begin).await["transactionId"].clone();
    let signed = noise(3, 50_000);
    let values = |data: &str| {
        json!({"connectorId": 1, "transactionId": number, "meterValue": [{"timestamp": "no time",
            "sampledValue": [{"value": data, "format": "SignedData"}]}]})
    };
    for (nth, data) in [&signed, &signed, &format!("{signed}x")].into_iter().enumerate() {
        send(&mut charger, &format!("m{nth}"), "MeterValues", &values(data)).await;
    }
    let kept = gateway.get(&format!("/transactions/{number}/meter-values")).await;
    let lengths: Vec<_> = kept["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|value| value["value"].as_str().map(str::len))
        .collect();
    assert_eq!(lengths, [Some(50_000), Some(50_001)], "{lengths:?}");
}

#[tokio::test]
async fn long_words_of_chargers_cost_no_message() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let word = noise(4, 20_000);
    let status =
        json!({"connectorId": 1, "errorCode": word, "status": word, "vendorErrorCode": word, "info": word});
    send(&mut charger, "st", "StatusNotification", &status).await;
    assert_eq!(gateway.get("/connectors?station_id=CP").await["data"].as_array().map(Vec::len), Some(1));
    send(&mut charger, "dt", "DataTransfer", &json!({"vendorId": word, "messageId": word, "data": word}))
        .await;
    let firmware = json!({"chargePointVendor": word, "chargePointModel": word, "firmwareVersion": word, "meterType": word});
    send(&mut charger, "bt", "BootNotification", &firmware).await;
    send(&mut charger, "fw", "FirmwareStatusNotification", &json!({"status": word})).await;
    send(&mut charger, "se", "SecurityEventNotification", &json!({"type": word, "timestamp": word})).await;
    let unknown = charger.exchange(&json!([2, "un", word, {}]).to_string()).await;
    assert_eq!(unknown[0], 4, "{unknown}");
    charger.exchange(&json!([2, word, "Heartbeat", {}]).to_string()).await;
    charger.still_serves().await;

    let asking = tokio::spawn({
        let request = http_client()
            .post(gateway.url("/api/v1/stations/CP/commands"))
            .header("X-API-Key", ADMIN_KEY)
            .json(&json!({"action": "GetConfiguration", "payload": {}}));
        async move {
            let answer = request.send().await.expect("answers");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        }
    });
    let call: Value = serde_json::from_str(&charger.receive().await).expect("JSON");
    let keys = json!({"configurationKey": [{"key": word, "readonly": false, "value": word},
        {"key": "Short", "readonly": false, "value": "short"}], "unknownKey": [format!("{word}x")]});
    charger.send(&json!([3, call[1], keys]).to_string()).await;
    let (status, told) = asking.await.expect("ends");
    assert_eq!(status, 200, "{call}: {told:.2000}");
    let known = gateway.get("/stations/CP/configuration").await;
    let known: Vec<_> =
        known["data"].as_array().expect("a list").iter().map(|key| key["value"].clone()).collect();
    assert_eq!(known, ["short"], "the others stand in the command's response");

    // An identity that nobody can have.
    let refused = Charger::connect(
        gateway.ocpp(),
        &format!("/ocpp/{}", &word[..3_000]),
        &[("Sec-WebSocket-Protocol", "ocpp1.6")],
    )
    .await;
    let status = refused.err().map(|refusal| refusal.status().as_u16());
    assert!(status.is_some_and(|status| status < 500), "{status:?}");
    charger.still_serves().await;
}

#[tokio::test]
async fn long_texts_of_clients_are_taken_or_refused_with_a_reason() {
    let gateway = start(|_| {}).await;
    let text = noise(5, 5_000);
    gateway.api("POST", "/stations", Some(json!({"station_id": "CP"}))).await;
    let url = |host: &str, path: &str| format!("http://{host}/{path}");
    for (method, path, body) in [
        ("POST", "/stations".to_owned(), json!({"station_id": text})),
        ("PATCH", "/stations/CP".to_owned(), json!({"owner_id": text})),
        ("PATCH", "/stations/CP".to_owned(), json!({"site": text})),
        ("PATCH", "/stations/CP".to_owned(), json!({"name": text, "metadata": {"key": text}})),
        ("PUT", format!("/id-tags/{text}"), json!({"owner_id": text, "parent_id_tag": text})),
        ("PUT", format!("/id-tags/{text}"), json!({})),
        ("PUT", "/id-tags/A".to_owned(), json!({"parent_id_tag": text})),
        ("POST", "/events".to_owned(), json!({"event": text, "payload": {}})),
        ("POST", "/events".to_owned(), json!({"event": "a.b", "payload": {}, "idempotency_key": text})),
        ("POST", "/events".to_owned(), json!({"event": "a.b", "payload": {}, "owner_id": text})),
        ("POST", "/events".to_owned(), json!({"event": "a.b", "payload": {}, "url": url(&text, "")})),
        (
            "POST",
            "/events".to_owned(),
            json!({"event": "a.b", "payload": {}, "url": url("127.0.0.1:1", &text)}),
        ),
        ("POST", "/webhooks".to_owned(), json!({"url": url(&text, "")})),
        (
            "POST",
            "/webhooks".to_owned(),
            json!({"url": url("127.0.0.1:1", &text), "name": text, "owner_id": text}),
        ),
        ("POST", "/webhooks".to_owned(), json!({"url": url("127.0.0.1:1", ""), "signing_secret": text})),
        ("POST", "/stations/CP/commands".to_owned(), json!({"action": text, "payload": {}})),
        ("POST", "/keys".to_owned(), json!({"name": text, "owner_id": text, "scopes": ["read"]})),
    ] {
        let (status, answer) = gateway.api(method, &path, Some(body.clone())).await;
        let what = format!("{method} {:.40} {:.80}", path, body.to_string());
        assert!(status < 500, "{what}: {status} {answer}");
        // And once more, where it is there already.
        let (status, answer) = gateway.api(method, &path, Some(body)).await;
        assert!(status < 500, "again {what}: {status} {answer}");
    }
    for header in ["Idempotency-Key", "X-API-Key", "Last-Event-ID"] {
        let request = http_client()
            .post(gateway.url("/api/v1/events"))
            .header("X-API-Key", ADMIN_KEY)
            .header(header, &text)
            .json(&json!({"event": "a.b", "payload": {}}));
        let status = request.send().await.expect("answers").status().as_u16();
        assert!(status < 500, "{header}: {status}");
    }
    gateway.booted("CP").await;
}
