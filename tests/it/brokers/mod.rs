//! Webhooks whose URL names a broker: the real gateway and a real server of NATS with JetStream, which the
//! variable `TEST_NATS` names. Without it these tests are skipped.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::deliveries::{deliveries, delivery, has, signed};
use crate::harness::{Running, eventually, start};
use crate::receiver::{Answer, Receiver};
use server::{Client, Own, server};

mod server;

/// How many seconds are spent killing.
const KILLS_VARIABLE: &str = "BROKER_KILLS";

async fn hook(gateway: &Running, server: &str, topic: &str, more: Value) -> Value {
    let mut body = json!({"url": format!("nats://{server}"), "topic": topic, "events": ["Heartbeat"],
        "retry_schedule": ["200ms", "200ms", "200ms", "500ms", "1s", "1s", "1s", "2s", "2s", "10s", "10s"], "timeout": "3s"});
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    let (status, made) = gateway.api("POST", "/webhooks", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    made
}

#[tokio::test]
async fn an_event_is_a_message_of_a_stream_and_what_is_no_broker_is_not_touched() {
    let Some(server) = server() else { return };
    let mut client = Client::connect(&server).await;
    client.stream("ITEV", json!({})).await;
    let gateway = start(|_| {}).await;
    let hook = hook(
        &gateway,
        &server,
        "ITEV.{station_id}.{event}.{owner_id}",
        json!({"custom_headers": {"X-Env": "prod"}}),
    )
    .await;
    assert_eq!(hook["credentials_set"], json!(false));
    let mut charger = gateway.charger("CP.1").await;
    charger.still_serves().await;
    let done = delivery(&gateway, &hook, has("success")).await;
    let attempt = &done["attempts"][0];
    assert_eq!((&attempt["status_code"], &attempt["error"]), (&Value::Null, &Value::Null));
    let answer = attempt["response_body"].as_str().expect("the acknowledgement");
    assert!(answer.contains("\"stream\":\"ITEV\""), "{answer}");
    let kept = client.kept("ITEV").await;
    let [got] = &kept[..] else { panic!("one message, not {}", kept.len()) };
    assert_eq!(got.subject, "ITEV.CP_1.Heartbeat._");
    assert_eq!(got.json()["station_id"], "CP.1");
    assert_eq!(got.header("Nats-Msg-Id"), done["event_id"].as_str());
    assert_eq!(got.header("webhook-id"), done["event_id"].as_str());
    assert_eq!(got.header("X-Webhook-Delivery-Id"), done["id"].as_str());
    assert_eq!((got.header("X-Env"), got.header("Content-Type")), (Some("prod"), Some("application/json")));
    let timestamp = got.header("webhook-timestamp").expect("signed").parse().expect("a number");
    let signatures = [
        got.header("webhook-signature").expect("signed"),
        got.header("X-Webhook-Signature").expect("signed"),
    ];
    let id = got.header("webhook-id").expect("an id");
    let is_signed = signed(&hook["signing_secret"], id, timestamp, &got.body, signatures);
    assert_eq!(is_signed, (true, true));

    // A repetition is a success, and no second message.
    let (status, _) = gateway
        .api("POST", &format!("/deliveries/{}/resend?force=true", done["id"].as_str().expect("an id")), None)
        .await;
    assert_eq!(status, 202);
    let again = delivery(&gateway, &hook, |one| {
        one["attempts"].as_array().is_some_and(|all| all.len() == 2) && one["status"] == "success"
    })
    .await;
    assert!(
        again["attempts"][1]["response_body"].as_str().expect("an answer").contains("\"duplicate\": true")
            || again["attempts"][1]["response_body"]
                .as_str()
                .expect("an answer")
                .contains("\"duplicate\":true"),
        "{again}"
    );
    assert_eq!(client.count("ITEV").await, 1);

    // So is a test, which is kept as a message too.
    let (status, tested) = gateway.api("POST", &format!("/webhooks/{}/test", hook["id"]), None).await;
    assert_eq!((status, &tested["ok"]), (200, &json!(true)), "{tested}");
    assert_eq!(client.count("ITEV").await, 2);
    client.delete_stream("ITEV").await;
}

#[tokio::test]
async fn cloud_events_come_whole_or_in_two_parts() {
    let Some(server) = server() else { return };
    let mut client = Client::connect(&server).await;
    client.stream("ITCE", json!({})).await;
    let gateway = start(|_| {}).await;
    let whole = json!({"format": "cloudevents"});
    let whole = hook(&gateway, &server, "ITCE.whole", whole).await;
    assert_eq!(whole["cloudevents_mode"], "structured");
    let parts = json!({"format": "cloudevents", "cloudevents_mode": "binary"});
    let parts = hook(&gateway, &server, "ITCE.parts", parts).await;
    gateway.charger("CP%201").await.still_serves().await;
    delivery(&gateway, &whole, has("success")).await;
    delivery(&gateway, &parts, has("success")).await;
    for got in client.kept("ITCE").await {
        match got.subject.as_str() {
            "ITCE.whole" => {
                assert_eq!(got.header("Content-Type"), Some("application/cloudevents+json"));
                assert_eq!(got.json()["type"], "ocpp.Heartbeat");
                assert_eq!(got.header("ce-type"), None);
            }
            _ => {
                assert_eq!(got.header("Content-Type"), Some("application/json"));
                assert_eq!((got.json(), got.header("ce-type")), (json!({}), Some("ocpp.Heartbeat")));
                assert_eq!(
                    (got.header("ce-specversion"), got.header("ce-subject")),
                    (Some("1.0"), Some("CP%201"))
                );
            }
        }
    }
    client.delete_stream("ITCE").await;
}

#[tokio::test]
async fn each_failure_has_its_code_and_only_what_is_hopeless_is_final() {
    let Some(server) = server() else { return };
    let mut client = Client::connect(&server).await;
    client.stream("ITFULL", json!({"max_msgs": 1})).await;
    client.stream("ITSMALL", json!({"max_msg_size": 10})).await;
    let gateway = start(|_| {}).await;
    let full = hook(&gateway, &server, "ITFULL.a", json!({"retry_schedule": ["1h"]})).await;
    let small = hook(&gateway, &server, "ITSMALL.a", json!({"retry_schedule": ["1h"]})).await;
    let nowhere = hook(&gateway, &server, "ITNOWHERE.a", json!({"retry_schedule": ["1h"]})).await;
    let dead = hook(&gateway, "127.0.0.1:1", "ITNOWHERE.a", json!({"retry_schedule": ["1h"]})).await;
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    let second = |hook: Value| {
        let gateway = &gateway;
        async move {
            eventually("two deliveries", || async {
                let all = deliveries(gateway, &hook).await;
                (all.len() == 2
                    && all.iter().all(|one| one["status"] != "scheduled" && one["status"] != "processing"))
                .then_some(all)
            })
            .await
        }
    };
    delivery(&gateway, &full, has("success")).await;
    charger.still_serves().await;
    let all = second(full).await;
    assert_eq!(
        (&all[1]["status"], &all[1]["last_error"]["code"]),
        (&json!("retry"), &json!("nack")),
        "{all:?}"
    );
    let all = second(small.clone()).await;
    for one in &all {
        assert_eq!(
            (&one["status"], &one["last_error"]["code"]),
            (&json!("failed"), &json!("too_large")),
            "{one}"
        );
        assert_eq!(one["attempts"].as_array().map(Vec::len), Some(1));
    }
    for (hook, code) in [(nowhere, "no_stream"), (dead, "connect")] {
        let all = second(hook).await;
        assert!(
            all.iter().all(|one| one["status"] == "retry" && one["last_error"]["code"] == code),
            "{all:?}"
        );
    }
    // Messages that are too large say nothing about the broker.
    let stats = gateway.get(&format!("/webhooks/{}/stats", small["id"])).await;
    assert_eq!(stats["breaker"]["state"], "closed", "{stats}");
    for name in ["ITFULL", "ITSMALL"] {
        client.delete_stream(name).await;
    }
}

#[tokio::test]
async fn credentials_open_the_door_and_are_never_shown() {
    let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let public = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    let users = format!(
        "authorization {{ users: [ {{user: ann, password: \"pa ss\"}}, {{nkey: {public}}},
           {{user: bob, password: pw, permissions: {{publish: [\"OTHER.>\"]}}}} ] }}"
    );
    let Some(own) = Own::start(&users).await else { return };
    let gateway = start(|_| {}).await;
    let right = json!({"credentials": {"username": "ann", "password": "pa ss"}, "retry_schedule": ["1h"]});
    let nkey = json!({"credentials": {"nkey": seed}, "retry_schedule": ["1h"]});
    let wrong =
        json!({"credentials": {"username": "ann", "password": "no-such-word"}, "retry_schedule": ["1h"]});
    let none = json!({"retry_schedule": ["1h"]});
    let bounded = json!({"credentials": {"username": "bob", "password": "pw"}, "retry_schedule": ["1h"]});
    let mut hooks = Vec::new();
    for (more, code) in
        // Nobody has a stream here: who may publish is told so.
        [
            (right, "no_stream"),
            (nkey, "no_stream"),
            (wrong, "not_authorized"),
            (none, "not_authorized"),
            (bounded, "not_authorized"),
        ]
    {
        hooks.push((hook(&gateway, &own.address(), "EV.a", more).await, code));
    }
    gateway.charger("CP").await.still_serves().await;
    for (hook, code) in &hooks {
        let one = delivery(&gateway, hook, has("retry")).await;
        assert_eq!(one["last_error"]["code"], *code, "{one}");
        let shown = format!("{one} {}", gateway.get(&format!("/webhooks/{}", hook["id"])).await);
        assert!(
            !shown.contains("no-such-word") && !shown.contains("pa ss") && !shown.contains(seed),
            "{shown}"
        );
    }
    assert_eq!(hooks[0].0["credentials_set"], json!(true));
    assert!(hooks[0].0.get("credentials").is_none());
}

#[tokio::test]
async fn a_server_is_believed_only_with_a_certificate_that_is_trusted() {
    if server().is_none() {
        return;
    }
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("signs");
    let dir = tempfile::tempdir().expect("a directory");
    let (pem, key) = (dir.path().join("tls.pem"), dir.path().join("tls.key"));
    std::fs::write(&pem, certificate.cert.pem()).expect("writes");
    std::fs::write(&key, certificate.signing_key.serialize_pem()).expect("writes");
    let Some(own) = Own::start(&format!("tls {{ cert_file: {pem:?}, key_file: {key:?} }}")).await else {
        return;
    };
    let trusted = start(|config| config.outbound.extra_ca = Some(pem.clone())).await;
    let strange = start(|_| {}).await;
    // Who asks for no TLS gets it from a server that demands it; a name that the certificate is not for is
    // refused.
    for (gateway, url, code) in [
        (&trusted, format!("tls://localhost:{}", own.port), "no_stream"),
        (&trusted, format!("nats://localhost:{}", own.port), "no_stream"),
        (&trusted, format!("tls://127.0.0.1:{}", own.port), "tls"),
        (&strange, format!("tls://localhost:{}", own.port), "tls"),
    ] {
        let body = json!({"url": url, "topic": "EV.a", "credentials": {"token": "any"}});
        let (status, made) = gateway.api("POST", "/webhooks", Some(body)).await;
        assert_eq!(status, 201, "{made}");
        let (_, tested) = gateway.api("POST", &format!("/webhooks/{}/test", made["id"]), None).await;
        assert_eq!(
            (&tested["ok"], &tested["error"]["code"]),
            (&json!(false), &json!(code)),
            "{url}: {tested}"
        );
    }
    // A server without TLS is not spoken to where TLS is asked for.
    let plain = server().expect("a server");
    let body = json!({"url": format!("tls://{plain}"), "topic": "EV.a", "verify": true});
    let (status, problem) = trusted.api("POST", "/webhooks", Some(body)).await;
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(status == 400 && detail.contains("does not offer TLS"), "{problem}");
}

/// A server that signs everybody in and then says nothing more.
async fn one_that_takes_and_never_answers() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = BufReader::new(socket);
                let info = "INFO {\"headers\":true,\"max_payload\":2000}\r\n";
                socket.get_mut().write_all(info.as_bytes()).await.expect("writes");
                let mut line = String::new();
                while socket.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    if line.starts_with("PING") {
                        socket.get_mut().write_all(b"PONG\r\n").await.expect("writes");
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn delivery_to_a_silent_broker_ends_in_time_and_delays_no_other_webhook() {
    let silent = one_that_takes_and_never_answers().await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let gateway = start(|_| {}).await;
    let slow = json!({"timeout": "300ms", "retry_schedule": ["1h"]});
    let slow = hook(&gateway, &silent, "EV.a", slow).await;
    let large = json!({"retry_schedule": ["1h"], "custom_headers": {"x-long": "x".repeat(3_000)}});
    let large = hook(&gateway, &silent, "EV.a", large).await;
    let body = json!({"url": receiver.url, "events": ["Heartbeat"]});
    let (_, healthy) = gateway.api("POST", "/webhooks", Some(body)).await;
    gateway.charger("CP").await.still_serves().await;
    delivery(&gateway, &healthy, has("success")).await;
    let one = delivery(&gateway, &slow, has("retry")).await;
    assert_eq!(one["last_error"]["code"], "timeout", "{one}");
    // What the server says of itself is enough to know that it would not take this one.
    let one = delivery(&gateway, &large, has("failed")).await;
    assert_eq!(one["last_error"]["code"], "too_large", "{one}");
}

#[tokio::test]
async fn every_event_is_kept_once_and_in_order_whatever_is_killed() {
    let Some(mut own) = Own::start("").await else { return };
    let mut client = Client::connect(&own.address()).await;
    client.stream("KILL", json!({})).await;
    let seconds = std::env::var(KILLS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let mut gateway = start(|_| {}).await;
    let hook = hook(&gateway, &own.address(), "KILL.{station_id}", json!({"ordering": "station"})).await;
    let (mut sent, mut round) = (0, 0);
    let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
    while tokio::time::Instant::now() < until {
        round += 1;
        let (mut one, mut two) = (gateway.charger("ONE").await, gateway.charger("TWO").await);
        for _ in 0..20 {
            one.still_serves().await;
            two.still_serves().await;
            sent += 2;
        }
        match round % 3 {
            0 => gateway = gateway.restart(|_| {}).await,
            1 => {
                own.kill();
                one.still_serves().await;
                sent += 1;
                own.run().await;
            }
            _ => {}
        }
    }
    eventually("all have arrived", || async {
        let waiting = deliveries(&gateway, &hook).await;
        let stats = gateway.get(&format!("/webhooks/{}/stats", hook["id"])).await;
        (stats["backlog"] == 0 && !waiting.is_empty()).then_some(())
    })
    .await;
    let mut client = Client::connect(&own.address()).await;
    let kept = client.kept("KILL").await;
    let mut last: HashMap<String, i64> = HashMap::new();
    let mut ids = std::collections::HashSet::new();
    for got in &kept {
        let (seq, id) = (got.json()["station_seq"].as_i64().expect("a number"), got.json()["id"].to_string());
        assert!(ids.insert(id), "kept twice");
        let before = last.insert(got.subject.clone(), seq);
        assert!(before.is_none_or(|before| before < seq), "{} after {before:?}: {seq}", got.subject);
    }
    assert_eq!(kept.len(), sent, "every event, and each once");
}

#[tokio::test]
async fn what_goes_badly_with_a_broker_is_refused_with_words() {
    let gateway = start(|config| config.outbound.allowed_networks.clear()).await;
    let ok = json!({"url": "tls://93.184.216.34", "topic": "ev.{event}"});
    for (change, field, words) in [
        (json!({"topic": null}), "topic", "is required where the url is a broker's"),
        (json!({"topic": "ev.*"}), "topic", "no wildcards"),
        (json!({"topic": "{x}"}), "topic", "is no placeholder"),
        (json!({"url": "tls://ann:pw@93.184.216.34"}), "credentials", "give them as credentials"),
        (json!({"url": "nats://127.0.0.1:4222"}), "url", "--allow-network"),
        (json!({"url": "nats://localhost"}), "url", "--allow-network"),
        (
            json!({"url": "kafka://93.184.216.34:9092"}),
            "url",
            "is no broker that this gateway can publish to",
        ),
        (json!({"url": "nats://93.184.216.34", "credentials": {"token": "t"}}), "url", "must be tls://"),
        (json!({"credentials": {"username": "u"}}), "credentials.password", "is required"),
        (json!({"credentials": {}}), "credentials", "one of these alone"),
        (json!({"credentials": {"nkey": "SUX"}}), "credentials.nkey", "seed of a user"),
        (json!({"secret_header": "X-A", "secret_value": "s3cret"}), "secret_header", "endpoints only"),
        (json!({"cloudevents_mode": "binary"}), "cloudevents_mode", "format cloudevents only"),
        (json!({"url": "https://93.184.216.34/"}), "topic", "is for brokers only"),
    ] {
        let mut body = ok.clone();
        for (name, value) in change.as_object().expect("members") {
            body[name] = value.clone();
        }
        let (status, problem) = gateway.api("POST", "/webhooks", Some(body)).await;
        assert_eq!(status, 422, "{change}: {problem}");
        let errors = problem["errors"].as_array().expect("errors");
        let is_told = |error: &Value| {
            error["field"] == field && error["message"].as_str().is_some_and(|text| text.contains(words))
        };
        assert!(errors.iter().any(is_told), "{change}: {problem}");
    }
    let mut body = ok.clone();
    body["credentials"] = json!({"token": "hush-hush"});
    let (status, made) = gateway.api("POST", "/webhooks", Some(body)).await;
    assert_eq!((status, &made["credentials_set"]), (201, &json!(true)), "{made}");
    assert!(!made.to_string().contains("hush-hush"));
    let path = format!("/webhooks/{}", made["id"]);
    let patch = |body: Value| gateway.api("PATCH", &path, Some(body));
    assert_eq!(patch(json!({"name": "n"})).await.1["credentials_set"], json!(true), "kept");
    let (status, problem) = patch(json!({"url": "https://93.184.216.34/"})).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("url")), "{problem}");
    let (status, moved) = patch(json!({"url": "https://93.184.216.34/", "topic": null})).await;
    assert_eq!((status, &moved["credentials_set"]), (200, &json!(false)), "{moved}");
}
