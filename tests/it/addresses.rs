//! Secrets in what is asked of stations: sent as they are, and shown to nobody afterwards.

use serde_json::{Value, json};

use crate::deliveries::webhook;
use crate::harness::{ADMIN_KEY, Charger, Running, eventually, http_client, start};
use crate::receiver::{Answer, Receiver};
use crate::scripted::{Called, ask, asked};

const PASSWORD: &str = "s3cr3t-pass";

/// Each command that has an address in it, and the address's place.
fn with_addresses() -> Vec<(&'static str, Value, &'static str)> {
    let address = format!("ftp://user:{PASSWORD}@files.example.com/a?b=c");
    let odd = format!("http://user:a@b/{PASSWORD}@files.example.com/f");
    let at = "2026-04-14T12:00:00Z";
    vec![
        ("GetDiagnostics", json!({"location": address, "retries": 1}), "/location"),
        ("UpdateFirmware", json!({"retrieveDate": at, "location": odd}), "/location"),
        (
            "GetLog",
            json!({"logType": "SecurityLog", "requestId": 1, "log": {"remoteLocation": address}}),
            "/log/remoteLocation",
        ),
        (
            "SignedUpdateFirmware",
            json!({"requestId": 2, "firmware": {"location": address, "retrieveDateTime": at,
                "signingCertificate": CERTIFICATE, "signature": "AAAA"}}),
            "/firmware/location",
        ),
    ]
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";

/// All that the API, the receiver and the database have to tell.
async fn told(gateway: &Running, receiver: &Receiver) -> String {
    let mut told = String::new();
    for list in ["/commands", "/events?event=command.*", "/stations/CP/messages", "/deliveries", "/audit"] {
        let separator = if list.contains('?') { '&' } else { '?' };
        told += &gateway.get(&format!("{list}{separator}limit=500")).await.to_string();
    }
    for received in receiver.so_far() {
        told += &received.body;
    }
    for file in ["chargehook.db", "chargehook.db-wal"] {
        let bytes = std::fs::read(gateway.database().with_file_name(file)).unwrap_or_default();
        told += &String::from_utf8_lossy(&bytes);
    }
    told
}

async fn answer(charger: &mut Charger, called: &Called, nth: usize) {
    let echo = format!("ftp://user:{PASSWORD}@files.example.com/d.zip");
    match nth {
        0 => charger.answer(&called.id, json!({"fileName": echo})).await,
        1 => charger.send(&json!([4, called.id, "InternalError", echo, {"url": echo}]).to_string()).await,
        2 => charger.answer(&called.id, json!({"status": "Accepted", "filename": echo})).await,
        _ => charger.answer(&called.id, json!({"status": "Accepted", "vendor": echo})).await,
    }
}

#[tokio::test]
async fn a_password_in_an_address_reaches_the_charger_and_nobody_else() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &receiver.url, json!({"events": ["command.*"]})).await;
    let mut charger = gateway.booted("CP").await;
    let all = with_addresses();
    for (nth, (action, payload, place)) in all.iter().enumerate() {
        let asking = ask(&gateway, "CP", json!({"action": action, "payload": payload}));
        let called = charger.called().await;
        assert_eq!(&called.payload, payload, "sent as it is");
        answer(&mut charger, &called, nth).await;
        let (status, command) = asked(asking).await;
        assert_eq!(status, 200, "{command}");
        let shown = command["payload"].pointer(place).and_then(Value::as_str).expect("an address");
        assert!(shown.contains("://user:***@files.example.com/"), "{shown}");
        let event = gateway.events_of("CP", action).await.remove(0);
        assert_eq!(event["payload"]["request"], command["payload"]);
    }
    receiver.wait_for(all.len()).await;

    // One that waits for its station, asked under a key: it is sealed until it is sent.
    drop(charger);
    eventually("it has gone", || async {
        (gateway.get("/stations/CP").await["connected"] == false).then_some(())
    })
    .await;
    let body = json!({"action": "GetDiagnostics", "payload": all[0].1, "queue": true});
    for replayed in [false, true] {
        let request = http_client().post(gateway.url("/api/v1/stations/CP/commands")).json(&body);
        let request = request.header("X-API-Key", ADMIN_KEY).header("Idempotency-Key", "once");
        let answer = request.send().await.expect("answers");
        assert_eq!(
            (answer.status().as_u16(), answer.headers().contains_key("idempotent-replayed")),
            (202, replayed)
        );
        assert!(!answer.text().await.expect("text").contains(PASSWORD));
    }
    let found = told(&gateway, &receiver).await;
    assert!(found.contains("user:***@files.example.com") && !found.contains(PASSWORD), "{found}");
    let mut charger = gateway.booted("CP").await;
    assert_eq!(charger.called().await.payload, all[0].1);
}

#[tokio::test]
async fn a_key_that_is_no_hex_is_sent_as_it_is_with_a_warning_and_counts() {
    const KEY: &str = "Pa:ss w0rd of the station";
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let change = |value: &str| json!({"action": "ChangeConfiguration", "payload": {"key": "AuthorizationKey", "value": value}});
    let (status, problem) =
        gateway.api("POST", "/stations/CP/commands", Some(change("0123456789abcdef"))).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("payload.value")),
        "hex, but too short"
    );
    let asking = ask(&gateway, "CP", change(KEY));
    let called = charger.called().await;
    assert_eq!(called.payload["value"], KEY);
    charger.answer(&called.id, json!({"status": "Accepted"})).await;
    let (status, command) = asked(asking).await;
    assert_eq!((status, &command["payload"]["value"]), (200, &json!("***")));
    assert!(command["warnings"][0].as_str().is_some_and(|told| told.contains("no hex")), "{command}");
    let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
    assert_eq!(gateway.get(&path).await["warnings"], command["warnings"]);
    let knock = async |password: &str| {
        let basic = chargehook_basic("CP", password);
        let headers = [("Sec-WebSocket-Protocol", "ocpp1.6"), ("Authorization", basic.as_str())];
        Charger::connect(gateway.ocpp(), "/ocpp/CP", &headers)
            .await
            .map_err(|refused| refused.status().as_u16())
    };
    assert!(knock(KEY).await.is_ok());
    assert_eq!(knock("another pass word").await.err(), Some(401));
}

fn chargehook_basic(user: &str, password: &str) -> String {
    use base64::Engine;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {credentials}")
}

#[tokio::test]
async fn names_that_paths_use_are_refused_at_the_door() {
    let gateway = start(|_| {}).await;
    for path in ["/ocpp/import", "/ocpp/%2e", "/ocpp/%2E%2e", "/ocpp/site/import"] {
        let refused = Charger::connect(gateway.ocpp(), path, &[("Sec-WebSocket-Protocol", "ocpp1.6")]).await;
        assert_eq!(refused.err().map(|refused| refused.status().as_u16()), Some(404), "{path}");
    }
    assert_eq!(gateway.get("/stations").await["data"], json!([]));
    gateway.charger("Import").await.still_serves().await;
}

#[tokio::test]
async fn an_address_is_shown_plain_where_the_socket_is_for_both_kinds() {
    let both = "[::]:0".parse().expect("an address");
    let gateway = start(|config| {
        config.ocpp.listen = both;
        config.api.listen = both;
    })
    .await;
    let local = |address: std::net::SocketAddr| std::net::SocketAddr::from(([127, 0, 0, 1], address.port()));
    let headers = [("Sec-WebSocket-Protocol", "ocpp1.6")];
    let connected = Charger::connect(local(gateway.ocpp()), "/ocpp/CP", &headers).await;
    let _charger = connected.expect("connects");
    let api = local(gateway.gateway.api_addr());
    let get = async |path: &str| crate::harness::call(&http_client(), api, "GET", path, None).await.1;
    let body = Some(json!({"station_id": "OTHER"}));
    crate::harness::call(&http_client(), api, "POST", "/stations", body).await;
    let addresses = [
        get("/stations/CP").await["remote_addr"].clone(),
        get("/events?event=StationConnected").await["data"][0]["payload"]["remote_addr"].clone(),
        get("/audit").await["data"][0]["remote_addr"].clone(),
    ];
    for address in addresses {
        assert!(address.as_str().is_some_and(|address| address.starts_with("127.0.0.1")), "{address}");
    }
}
