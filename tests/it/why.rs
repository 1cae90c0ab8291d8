//! "Why did this event not arrive?" is answered by the API alone, whatever the reason is: by what explains an
//! event's deliveries, by the delivery and by its webhook.

use std::time::Duration;

use chargehook::config::Config;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use vocabulary::units::Span;

use crate::deliveries::{deliveries, delivery, webhook};
use crate::harness::{Charger, Running, eventually, start};
use crate::hostile::tls_receiver;
use crate::receiver::{Answer, Receiver};
use crate::replays::beats;

/// What is told of a delivery.
struct Told {
    /// What the webhook is, beside its URL.
    hook: Value,
    url: String,
    /// Which of the webhook's deliveries is asked for: the first, or the last.
    first: bool,
    /// Members that the delivery must have.
    delivery: Value,
    /// Members that the webhook must have.
    webhook: Value,
}

/// Whether `found` has all that is `wanted`, and has it so; texts that begin with `~` need only be contained.
fn has_all(found: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Object(members) => members.iter().all(|(name, value)| has_all(&found[name.as_str()], value)),
        Value::Array(elements) => {
            found.as_array().is_some_and(|all| all.len() >= elements.len())
                && elements.iter().enumerate().all(|(nth, element)| has_all(&found[nth], element))
        }
        Value::String(text) if text.starts_with('~') => {
            found.as_str().is_some_and(|found| found.contains(&text[1..]))
        }
        other => found == other,
    }
}

fn of(delivery: &Value) -> String {
    format!("/deliveries/{}", delivery["id"].as_str().expect("an id"))
}

/// Failed once with this, and waits for its schedule.
fn failed_with(code: &str, words: &str) -> Value {
    json!({"status": "retry", "waiting_for": "schedule",
           "last_error": {"code": code, "message": format!("~{words}")},
           "attempts": [{"number": 1, "error": {"code": code}}]})
}

const HEARTBEATS: usize = 10;

#[tokio::test]
async fn why_did_it_not_arrive() {
    let gateway = start(|_| {}).await;
    let good = Receiver::always(Answer::Status(200)).await;
    let failing = Receiver::always(Answer::Status(500)).await;
    let silent = Receiver::always(Answer::Silence).await;
    let gone = Receiver::always(Answer::Status(410)).await;
    let closing = Receiver::always(Answer::HangUp).await;
    let moved = Receiver::always(Answer::With(307, "Location: http://192.0.2.1/elsewhere")).await;
    let (self_signed, _) = tls_receiver("self-signed.pem").await;
    let refusing = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let once = || json!({"retry_schedule": ["1h"], "max_in_flight": 1});
    let with = |more: Value| {
        let mut hook = once();
        for (name, value) in more.as_object().expect("members") {
            hook[name] = value.clone();
        }
        hook
    };
    let active = || json!({"status": "active", "enabled": true});
    let told = |hook: Value, url: &str, first: bool, delivery: Value, webhook: Value| Told {
        hook,
        url: url.to_owned(),
        first,
        delivery,
        webhook,
    };
    let waits = |what: &str| json!({"status": "scheduled", "waiting_for": what, "attempts": []});
    let mut table = vec![
        told(once(), &failing.url, true, failed_with("http_status", "answered 500"), active()),
        told(
            once(),
            &moved.url,
            true,
            json!({"last_error": {"code": "http_status", "message": "~redirects are not followed"},
                   "attempts": [{"status_code": 307,
                                 "response_headers": {"location": "http://192.0.2.1/elsewhere"}}]}),
            active(),
        ),
        told(
            with(json!({"timeout": "300ms"})),
            &silent.url,
            true,
            failed_with("timeout", "no complete answer within"),
            active(),
        ),
        told(once(), "http://no-such-name.invalid/", true, failed_with("dns", "does not resolve"), active()),
        told(
            once(),
            &format!("http://{refusing}/"),
            true,
            failed_with("connect", "cannot connect"),
            active(),
        ),
        told(once(), &self_signed, true, failed_with("tls", "is self-signed"), active()),
        told(once(), &closing.url, true, failed_with("reset", "without an answer"), active()),
        told(
            once(),
            &good.url.replace("127.0.0.1", "127.0.0.2"),
            true,
            failed_with("forbidden_destination", "--allow-network"),
            active(),
        ),
        told(
            once(),
            &gone.url,
            true,
            json!({"status": "failed", "attempts": [{"status_code": 410}],
                   "last_error": {"code": "http_status", "message": "~410 Gone"}}),
            json!({"status": "auto_disabled", "disabled_reason": "~410"}),
        ),
        told(
            once(),
            &gone.url,
            false,
            json!({"status": "discarded", "discarded_because": "webhook_disabled", "attempts": []}),
            json!({"status": "auto_disabled", "disabled_reason": "~410"}),
        ),
        told(
            with(json!({"enabled": false})),
            &good.url,
            true,
            json!({"status": "discarded", "discarded_because": "webhook_disabled", "attempts": []}),
            json!({"status": "disabled", "enabled": false}),
        ),
        told(
            with(json!({"retry_schedule": []})),
            &failing.url,
            true,
            json!({"status": "failed", "last_error": {"code": "http_status"}, "next_attempt_at": null}),
            active(),
        ),
        told(once(), &failing.url, false, waits("breaker"), active()),
        told(
            with(json!({"retry_schedule": ["300ms", "300ms"]})),
            &failing.url,
            false,
            json!({"status": "failed", "attempts": [], "last_error": {"code": "circuit_open"}}),
            active(),
        ),
        told(with(json!({"rate_limit": "1/m"})), &good.url, false, waits("rate_limit"), active()),
        told(with(json!({"ordering": "station"})), &failing.url, false, waits("order"), active()),
        told(with(json!({"timeout": "60s"})), &silent.url, false, waits("slot"), active()),
    ];
    for told in &mut table {
        told.hook = webhook(&gateway, &told.url, told.hook.clone()).await;
    }
    // Three that something is done with while their deliveries wait.
    let paused = webhook(&gateway, &good.url, once()).await;
    let canceled = webhook(&gateway, &good.url, once()).await;
    let deleted = webhook(&gateway, &good.url, once()).await;
    for hook in [&paused, &canceled, &deleted] {
        gateway.api("POST", &format!("/webhooks/{}/pause", hook["id"]), None).await;
    }
    // What was allowed when it was made is not any more.
    let only = |config: &mut Config| {
        config.outbound.allowed_networks = vec!["127.0.0.1/32".parse().expect("a network")];
        // Who hangs is cut off soon.
        config.server.stop_deadline = Span(Duration::from_millis(400));
    };
    let gateway = gateway.restart(only).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, HEARTBEATS).await;
    for (hook, is) in [(&canceled, "canceled"), (&deleted, "webhook_deleted")] {
        let waiting = delivery(&gateway, hook, |one| one["waiting_for"] == "paused").await;
        let (method, path) = match is {
            "canceled" => ("POST", format!("{}/cancel", of(&waiting))),
            _ => ("DELETE", format!("/webhooks/{}", hook["id"])),
        };
        assert!((200..300).contains(&gateway.api(method, &path, None).await.0));
        let ended = delivery(&gateway, hook, |one| one["status"] == "discarded").await;
        assert_eq!((&ended["discarded_because"], &ended["attempts"]), (&json!(is), &json!([])), "{ended}");
    }
    assert_eq!(gateway.api("GET", &format!("/webhooks/{}", deleted["id"]), None).await.0, 404);
    table.push(Told {
        hook: paused,
        url: String::new(),
        first: false,
        delivery: waits("paused"),
        webhook: json!({"status": "paused"}),
    });
    for told in &table {
        is_told(&gateway, told).await;
    }
    // Cut off by a stop: whether it arrived nobody knows, so it is made again.
    let cut_off = table.iter().rfind(|told| told.url == silent.url).expect("made above").hook.clone();
    let gateway = gateway.restart(only).await;
    let unknown = json!([{"number": 1, "error": {"code": "outcome_unknown"}}]);
    delivery(&gateway, &cut_off, |one| has_all(&one["attempts"], &unknown)).await;
}

/// Looks at the one delivery by all ways that lead to it.
async fn is_told(gateway: &Running, told: &Told) {
    let mut last = Value::Null;
    let looks_so = async {
        loop {
            let all = deliveries(gateway, &told.hook).await;
            let one = if told.first { all.first() } else { all.last() };
            last = one.cloned().unwrap_or_default();
            if all.len() == HEARTBEATS && has_all(&last, &told.delivery) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(crate::harness::DEADLINE, looks_so).await;
    assert!(in_time.is_ok(), "{} is told as {last:#}, not {:#}", told.url, told.delivery);
    assert!(has_all(&gateway.get(&of(&last)).await, &told.delivery), "by its id");
    let event = last["event_id"].as_str().expect("an id");
    let explained = gateway.get(&format!("/events/{event}/deliveries?explain=true")).await;
    let rows = explained["data"].as_array().expect("rows");
    assert!(rows.iter().any(|row| has_all(row, &told.delivery) && row["id"] == last["id"]), "{explained:#}");
    let id = &told.hook["id"];
    assert!(
        explained["not_matched"].as_array().is_some_and(|all| all.iter().all(|one| one["webhook_id"] != *id)),
        "it did match: {explained:#}"
    );
    let hook = gateway.get(&format!("/webhooks/{id}")).await;
    assert!(has_all(&hook, &told.webhook), "{hook:#} is not {:#}", told.webhook);
    if told.delivery["waiting_for"] == "breaker" {
        let stats = gateway.get(&format!("/webhooks/{id}/stats")).await;
        assert!(stats["breaker"]["next_probe_at"].is_string(), "{stats}");
    }
}

async fn available(charger: &mut Charger) {
    let payload = json!({"connectorId": 1, "errorCode": "NoError", "status": "Available"});
    charger.call("StatusNotification", payload).await;
}

/// The reason that is given for a webhook and an event.
async fn reason(gateway: &Running, event: &Value, hook: &Value) -> Value {
    let id = event["id"].as_str().expect("an id");
    let explained = gateway.get(&format!("/events/{id}/deliveries?explain=true")).await;
    let reasons = explained["not_matched"].as_array().expect("reasons");
    reasons
        .iter()
        .find(|one| one["webhook_id"] == hook["id"])
        .map_or(Value::Null, |one| one["reason"].clone())
}

#[tokio::test]
async fn why_did_it_not_arrive_where_nothing_was_made() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let wants = json!({"events": ["StatusNotification"]});
    let mut table = Vec::new();
    for (more, reason) in [
        (json!({"events": ["BootNotification"]}), "event_type"),
        (json!({"stations": ["WALLBOX_*"]}), "station"),
        (json!({"owner_id": "somebody"}), "owner"),
        (json!({"filter": {"connectorId": {"$gt": 1}}}), "filter"),
    ] {
        let mut hook = wants.clone();
        for (name, value) in more.as_object().expect("members") {
            hook[name] = value.clone();
        }
        table.push((webhook(&gateway, &receiver.url, hook).await, reason));
    }
    let matched = webhook(&gateway, &receiver.url, wants.clone()).await;
    let mut charger = gateway.booted("CP").await;
    available(&mut charger).await;
    table.push((webhook(&gateway, &receiver.url, wants).await, "created_later"));
    let event = gateway.events_of("CP", "StatusNotification").await.remove(0);
    for (hook, expected) in &table {
        assert_eq!(reason(&gateway, &event, hook).await, *expected, "{hook}");
    }
    assert_eq!(reason(&gateway, &event, &matched).await, Value::Null, "that one matched");

    // What it was changed to want it did not want then.
    let (changed, _) = &table[0];
    let path = format!("/webhooks/{}", changed["id"]);
    assert_eq!(gateway.api("PATCH", &path, Some(json!({"events": ["StatusNotification"]}))).await.0, 200);
    assert_eq!(reason(&gateway, &event, changed).await, "created_later");

    // A test goes to one webhook and makes no delivery, so that all of them are named.
    let path = format!("/webhooks/{}/test?event=StatusNotification", matched["id"]);
    assert_eq!(gateway.api("POST", &path, None).await.1["ok"], true);
    let test = gateway.events_of("WALLBOX_001", "StatusNotification").await.remove(0);
    assert_eq!(test["test"], true, "{test}");
    for (hook, _) in &table {
        assert_eq!(reason(&gateway, &test, hook).await, "target", "{hook}");
    }
    assert_eq!(reason(&gateway, &test, &matched).await, "target");

    // What integrators bring.
    let bring = async |more: Value| {
        let mut body = json!({"event": "invoice.paid", "payload": {}, "idempotency_key": "seven"});
        for (name, value) in more.as_object().expect("members") {
            body[name] = value.clone();
        }
        let (status, stored) = gateway.api("POST", "/events", Some(body)).await;
        assert_eq!(status, 202, "{stored}");
        stored
    };
    let directed = bring(json!({"webhook_id": matched["id"]})).await;
    assert_eq!(reason(&gateway, &directed, &table[0].0).await, "target");
    let again = bring(json!({"webhook_id": matched["id"]})).await;
    assert_eq!(reason(&gateway, &again, &matched).await, "duplicate");
    let first = gateway.get(&format!("/events/{}", again["id"].as_str().expect("an id"))).await;
    assert_eq!(first["duplicate_of"], directed["id"]);

    // What tells of a webhook goes to others only.
    let dead = Receiver::always(Answer::Status(500)).await;
    let own = json!({"events": ["Heartbeat", "webhook.*"], "retry_schedule": []});
    let own = webhook(&gateway, &dead.url, own).await;
    charger.still_serves().await;
    let failed = eventually("its failure is told", || async {
        gateway.get("/events?event=DeliveryFailed").await["data"].get(0).cloned()
    })
    .await;
    assert_eq!(reason(&gateway, &failed, &own).await, "about_itself");
}
