//! Events that integrators bring, and where they go.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::deliveries::{signed_by, webhook};
use crate::harness::{Running, eventually, start};
use crate::receiver::{Answer, Receiver};
use crate::replays::changeable;

async fn bring(gateway: &Running, target: Value) -> (u16, Value) {
    let mut body = json!({"event": "invoice.paid", "payload": {"amount": 12}});
    for (name, value) in target.as_object().expect("members") {
        body[name] = value.clone();
    }
    gateway.api("POST", "/events", Some(body)).await
}

/// An event's deliveries, once all have ended.
async fn ended(gateway: &Running, event: &Value) -> Value {
    let path = format!("/events/{}/deliveries?explain=true", event["id"].as_str().expect("an id"));
    eventually("all deliveries have ended", || async {
        let found = gateway.get(&path).await;
        let all = found["data"].as_array().expect("a list");
        all.iter().all(|one| one["completed_at"].is_string()).then_some(found)
    })
    .await
}

#[tokio::test]
async fn an_event_goes_to_whom_it_is_for_and_to_nobody_else() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let wants = |events: &str, owner: Value| json!({"events": [events], "owner_id": owner});
    let all = webhook(&gateway, &receiver.url, wants("invoice.*", Value::Null)).await;
    let acme = webhook(&gateway, &receiver.url, wants("invoice.paid", json!("acme"))).await;
    let other = webhook(&gateway, &receiver.url, wants("*", json!("other"))).await;
    let none = webhook(&gateway, &receiver.url, wants("Heartbeat", Value::Null)).await;
    let ids = |hooks: &[&Value]| hooks.iter().map(|hook| hook["id"].clone()).collect::<Vec<_>>();
    for (target, to) in [
        (json!({"webhook_id": none["id"]}), ids(&[&none])),
        (json!({"owner_id": "acme"}), ids(&[&all, &acme])),
        (json!({"broadcast": true}), ids(&[&all, &acme, &other])),
    ] {
        let (status, stored) = bring(&gateway, target.clone()).await;
        assert_eq!((status, &stored["deliveries"]), (202, &json!(to.len())), "{target}: {stored}");
        let found = ended(&gateway, &stored).await;
        let got: Vec<_> =
            found["data"].as_array().expect("rows").iter().map(|d| d["webhook_id"].clone()).collect();
        assert_eq!(got, to, "{target}");
        let reasons = found["not_matched"].as_array().expect("reasons");
        assert_eq!(reasons.len(), 4 - to.len(), "{reasons:?}");
        let expected = if target["webhook_id"].is_null() { ["owner", "event_type"] } else { ["target"; 2] };
        assert!(
            reasons.iter().all(|r| expected.contains(&r["reason"].as_str().unwrap_or(""))),
            "{reasons:?}"
        );
    }
    for (wrong, fields) in [
        (json!({}), vec!["webhook_id"]),
        (json!({"webhook_id": 1, "broadcast": true}), vec!["webhook_id"]),
        (json!({"broadcast": true, "event": "StartTransaction"}), vec!["event"]),
        (json!({"broadcast": true, "payload": 3}), vec!["payload"]),
        (json!({"broadcast": true, "secret": "x"}), vec!["secret", "secret"]),
        (json!({"url": "http://10.0.0.1/"}), vec!["url"]),
        (json!({"broadcast": true, "custom_headers": {"Host": "x"}}), vec!["custom_headers.Host"]),
        // What the schema finds hides nothing of what the fields mean.
        (
            json!({"event": "Foo", "payload": 3, "idempotency_key": 7, "custom_headers": {"Host": "x", "x-n": 1},
                "surplus": 1}),
            vec![
                "payload",
                "idempotency_key",
                "custom_headers.x-n",
                "surplus",
                "event",
                "custom_headers.Host",
                "webhook_id",
            ],
        ),
        (json!({"event": "Foo", "url": 3, "secret": "x"}), vec!["url", "event", "secret"]),
        (json!({"payload": 3, "webhook_id": "1"}), vec!["payload", "webhook_id"]),
    ] {
        let (status, problem) = bring(&gateway, wrong.clone()).await;
        let named: Vec<_> =
            problem["errors"].as_array().into_iter().flatten().filter_map(|e| e["field"].as_str()).collect();
        assert_eq!((status, named), (422, fields), "{wrong}: {problem}");
    }
    assert_eq!(bring(&gateway, json!({"webhook_id": 99})).await.0, 404);
}

#[tokio::test]
async fn an_event_may_bring_its_own_url_which_is_retried_and_signed_if_there_is_a_secret() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let secret = json!("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let headers = json!({"x-tenant": "seven"});
    let (status, signed) =
        bring(&gateway, json!({"url": receiver.url, "secret": secret, "custom_headers": headers})).await;
    assert_eq!((status, &signed["deliveries"]), (202, &json!(1)), "{signed}");
    let first = receiver.wait_for(1).await.remove(0);
    assert_eq!(signed_by(&secret, &first), (true, true));
    assert_eq!((first.header("x-tenant"), first.header("x-webhook-sequence")), ("seven", ""));
    bring(&gateway, json!({"url": receiver.url})).await;
    let second = receiver.wait_for(2).await.remove(1);
    assert_eq!(second.header("webhook-signature"), "");
    let done = ended(&gateway, &signed).await["data"][0].clone();
    assert_eq!((&done["webhook_id"], &done["url"]), (&Value::Null, &json!(receiver.url)));
    assert_eq!(done["status"], "success");

    let (failing, answer) = changeable(500).await;
    let (_, stored) = bring(&gateway, json!({"url": failing.url})).await;
    let path = format!("/events/{}/deliveries", stored["id"].as_str().expect("an id"));
    let waiting = eventually("it waits for a retry", || async {
        let one = gateway.get(&path).await["data"][0].clone();
        (one["status"] == "retry").then_some(one)
    })
    .await;
    assert_eq!(waiting["waiting_for"], "schedule", "{waiting}");
    let id = waiting["id"].as_str().expect("an id");
    assert_eq!(gateway.api("POST", &format!("/deliveries/{id}/cancel"), None).await.0, 200);
    answer.store(200, Ordering::SeqCst);
    assert_eq!(gateway.api("POST", &format!("/deliveries/{id}/resend"), None).await.0, 202);
    assert_eq!(ended(&gateway, &stored).await["data"][0]["status"], "success");
}

#[tokio::test]
async fn delivery_case_37_racing_ingests_with_one_key_are_one_event_and_its_repeats() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &receiver.url, json!({"events": ["invoice.paid"]})).await;
    let target = || json!({"broadcast": true, "idempotency_key": "order-7"});
    let racing = (0..50).map(|_| bring(&gateway, target()));
    let answers = futures_util::future::join_all(racing).await;
    assert!(answers.iter().all(|(status, _)| *status == 202), "{answers:?}");
    let first: Vec<_> = answers.iter().filter(|(_, stored)| stored["duplicate"] == false).collect();
    assert_eq!(first.len(), 1, "{answers:?}");
    assert_eq!(first[0].1["deliveries"], 1);
    let repeats = gateway.get("/events?event=invoice.paid&duplicate=true&limit=500").await;
    let repeats = repeats["data"].as_array().expect("a list");
    assert_eq!(repeats.len(), 49);
    assert!(repeats.iter().all(|one| one["duplicate_of"] == first[0].1["id"]));
    assert_eq!(ended(&gateway, &first[0].1).await["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(receiver.so_far().len(), 1);
}
