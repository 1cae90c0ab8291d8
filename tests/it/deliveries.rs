//! The delivery cases at the outside: the real gateway, a hostile receiver, and the API's word for what
//! happened. The numbers in the names are those of the list of delivery cases.

use std::time::{Duration, Instant};

use outbound::signature::{SigningSecret, verify_plain, verify_standard};
use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};

use crate::harness::{Charger, Running, eventually, start};
use crate::receiver::{Answer, Received, Receiver};

/// Makes a webhook for heartbeats, with `more` of its members.
pub(crate) async fn webhook(gateway: &Running, url: &str, more: Value) -> Value {
    let mut body = json!({ "url": url, "events": ["Heartbeat"] });
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    let (status, made) = gateway.api("POST", "/webhooks", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    made
}

/// A webhook's deliveries, the oldest first.
pub(crate) async fn deliveries(gateway: &Running, hook: &Value) -> Vec<Value> {
    let listed = gateway.get(&format!("/deliveries?order=asc&limit=500&webhook_id={}", hook["id"])).await;
    listed["data"].as_array().expect("a list").clone()
}

/// Waits until the webhook's only delivery looks like this.
pub(crate) async fn delivery(gateway: &Running, hook: &Value, is: impl Fn(&Value) -> bool) -> Value {
    eventually("the delivery has come so far", || async {
        deliveries(gateway, hook).await.into_iter().next().filter(&is)
    })
    .await
}

pub(crate) fn has(status: &str) -> impl Fn(&Value) -> bool {
    move |delivery| delivery["status"] == status
}

pub(crate) fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

/// How long after the end of its last attempt, counted from 0, a delivery is to be tried again.
pub(crate) fn wait_of(delivery: &Value, nth: usize) -> Duration {
    let attempt = &delivery["attempts"][nth];
    let took = Duration::from_millis(attempt["duration_ms"].as_u64().expect("a finished attempt"));
    time(&delivery["next_attempt_at"]).since(time(&attempt["started_at"]).after(took))
}

/// Whether `wait` is `seconds` with the jitter of schedules, and some time to store it.
pub(crate) fn is_about(wait: Duration, seconds: f64) -> bool {
    (seconds * 0.89..seconds * 1.11 + 0.5).contains(&wait.as_secs_f64())
}

pub(crate) fn signed_by(secret: &Value, received: &Received) -> (bool, bool) {
    let timestamp_s = received.header("webhook-timestamp").parse().expect("a number");
    assert_eq!(received.header("webhook-timestamp"), received.header("x-webhook-timestamp"));
    let signatures = [received.header("webhook-signature"), received.header("x-webhook-signature")];
    signed(secret, received.header("webhook-id"), timestamp_s, received.body.as_bytes(), signatures)
}

/// Whether the signatures, the standard and the plain one, are this secret's.
pub(crate) fn signed(
    secret: &Value,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
    [standard, plain]: [&str; 2],
) -> (bool, bool) {
    let secret: SigningSecret = secret.as_str().expect("a secret").parse().expect("well formed");
    let (now, tolerance) = (Clock::System.now(), Duration::from_secs(300));
    (
        verify_standard(&secret, id, timestamp_s, body, standard, now, tolerance).is_ok(),
        verify_plain(&secret, timestamp_s, body, plain, now, tolerance).is_ok(),
    )
}

pub(crate) async fn heartbeat(gateway: &Running) -> Charger {
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    charger
}

#[tokio::test]
async fn a_500_then_200_gets_exactly_one_more_try_at_the_scheduled_time() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 500 } else { 200 })).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["1s", "2s"]})).await;
    let _charger = heartbeat(&gateway).await;
    let waiting = delivery(&gateway, &hook, has("retry")).await;
    assert_eq!(waiting["waiting_for"], "schedule");
    assert_eq!(waiting["last_error"]["code"], "http_status");
    assert!(is_about(wait_of(&waiting, 0), 1.0), "{waiting}");
    let done = delivery(&gateway, &hook, has("success")).await;
    let attempts = done["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.iter().map(|attempt| &attempt["status_code"]).collect::<Vec<_>>(), [500, 200]);
    let due = time(&waiting["next_attempt_at"]);
    let began = time(&attempts[1]["started_at"]);
    assert!(began >= due && began.since(due) < Duration::from_secs(1), "due {due}, began {began}");
    let received = receiver.so_far();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    let numbers: Vec<&str> = received.iter().map(|one| one.header("x-webhook-attempt")).collect();
    assert_eq!(numbers, ["1", "2"]);
    assert_eq!((&done["last_error"], &done["next_attempt_at"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn delivery_case_11_a_receiver_that_never_answers_does_not_delay_another() {
    let gateway = start(|config| config.delivery.max_in_flight = 40).await;
    let silent = Receiver::always(Answer::Silence).await;
    let healthy = Receiver::always(Answer::Status(200)).await;
    let hanging = webhook(&gateway, &silent.url, json!({"timeout": "60s"})).await;
    let hook = webhook(&gateway, &healthy.url, json!({})).await;
    let mut charger = gateway.charger("CP").await;
    let mut slowest = Duration::ZERO;
    // More than there are permits: were they shared, the silent one would have them all.
    for nth in 1..=60 {
        let began = Instant::now();
        charger.still_serves().await;
        let received = healthy.wait_for(nth).await;
        slowest = slowest.max(received[nth - 1].at.saturating_duration_since(began));
    }
    assert!(slowest < Duration::from_secs(5), "the slowest took {slowest:?}");
    assert!(!silent.so_far().is_empty());
    assert!(deliveries(&gateway, &hanging).await.iter().all(|one| one["completed_at"].is_null()));
    eventually("all of the healthy one's are done", || async {
        let all = deliveries(&gateway, &hook).await;
        (all.len() == 60 && all.iter().all(|one| one["status"] == "success")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn delivery_case_15_a_retry_after_is_honoured_if_it_is_longer_and_not_absurd() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    for (status, header, seconds) in [
        (429, "Retry-After: 120", 120.0),
        (503, "Retry-After: 120", 120.0),
        (500, "Retry-After: 120", 10.0),
        (429, "Retry-After: 3", 10.0),
        (429, "Retry-After: soon", 10.0),
        (429, "Retry-After: -120", 10.0),
        (429, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", 10.0),
        (503, "Retry-After: Thu, 01 Jan 2099 00:00:00 GMT", 86_400.0),
        (429, "Retry-After: 31536000", 86_400.0),
    ] {
        let receiver = Receiver::always(Answer::With(status, header)).await;
        let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["10s"]})).await;
        charger.still_serves().await;
        let waiting = delivery(&gateway, &hook, has("retry")).await;
        let wait = wait_of(&waiting, 0);
        assert!(is_about(wait, seconds), "{status} {header}: {wait:?}");
        assert!(seconds < 100.0 || wait.as_secs_f64() > seconds - 1.0, "{status} {header}: {wait:?}");
        let removed = gateway.api("DELETE", &format!("/webhooks/{}", hook["id"]), None).await;
        assert_eq!(removed.0, 204);
    }
}

#[tokio::test]
async fn delivery_case_19_and_20_whoever_trickles_or_is_silent_holds_its_slot_until_the_deadline_only() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    let limits = json!({"timeout": "400ms", "max_in_flight": 1, "retry_schedule": ["1h"]});
    for (answer, status, error) in [
        (Answer::TrickledBody, "success", Value::Null),
        (Answer::TrickledHead, "retry", json!("timeout")),
        (Answer::Silence, "retry", json!("timeout")),
    ] {
        let receiver = Receiver::always(answer).await;
        let hook = webhook(&gateway, &receiver.url, limits.clone()).await;
        charger.still_serves().await;
        charger.still_serves().await;
        // The second has to wait for the only slot, which the first must give back.
        let received = receiver.wait_for(2).await;
        let gap = received[1].at.duration_since(received[0].at);
        assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&gap), "{status}: {gap:?}");
        let first = delivery(&gateway, &hook, has(status)).await;
        assert_eq!(first["attempts"][0]["error"]["code"], error, "{first}");
        let removed = gateway.api("DELETE", &format!("/webhooks/{}", hook["id"]), None).await;
        assert_eq!(removed.0, 204);
    }
}

#[tokio::test]
async fn delivery_case_21_of_an_endless_body_no_more_than_the_cap_is_read() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Endless).await;
    let hook = webhook(&gateway, &receiver.url, json!({})).await;
    let _charger = heartbeat(&gateway).await;
    let done = delivery(&gateway, &hook, has("success")).await;
    assert_eq!(done["attempts"][0]["response_body"].as_str().map(str::len), Some(1024));
    // What the sockets' own buffers hold is sent without being read.
    assert!(receiver.body_bytes_sent() < 64 << 20, "{} bytes were taken", receiver.body_bytes_sent());
}

#[tokio::test]
async fn delivery_case_22_nobody_is_asked_for_compressed_answers() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &receiver.url, json!({})).await;
    let _charger = heartbeat(&gateway).await;
    assert_eq!(receiver.wait_for(1).await[0].header("accept-encoding"), "");
}

#[tokio::test]
async fn delivery_case_23_redirects_are_failures_that_tell_where_to() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    let target = Receiver::always(Answer::Status(200)).await;
    for status in [301, 302, 307, 308] {
        let location: &'static str = Box::leak(format!("Location: {}", target.url).into_boxed_str());
        let receiver = Receiver::always(Answer::With(status, location)).await;
        let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["1h"]})).await;
        charger.still_serves().await;
        let failed = delivery(&gateway, &hook, has("retry")).await;
        let attempt = &failed["attempts"][0];
        assert_eq!(
            (&attempt["status_code"], &attempt["error"]["code"]),
            (&json!(status), &json!("http_status"))
        );
        assert_eq!(attempt["response_headers"]["location"], target.url);
    }
    assert!(target.so_far().is_empty(), "nobody followed");
}

#[tokio::test]
async fn delivery_case_24_a_410_disables_the_webhook_with_an_event() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 410 } else { 200 })).await;
    let watcher = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({})).await;
    webhook(&gateway, &watcher.url, json!({"events": ["WebhookDisabled"]})).await;
    let mut charger = heartbeat(&gateway).await;
    let path = format!("/webhooks/{}", hook["id"]);
    eventually("it is disabled", || async {
        (gateway.get(&path).await["status"] == "auto_disabled").then_some(())
    })
    .await;
    let told: Value = serde_json::from_str(&watcher.wait_for(1).await[0].body).expect("JSON");
    assert_eq!((&told["event"], &told["payload"]["webhook_id"]), (&json!("WebhookDisabled"), &hook["id"]));
    charger.still_serves().await;
    let all = deliveries(&gateway, &hook).await;
    assert_eq!(all.iter().map(|one| &one["status"]).collect::<Vec<_>>(), ["failed", "discarded"]);
    assert_eq!(gateway.api("POST", &format!("{path}/enable"), None).await.0, 200);
    charger.still_serves().await;
    let received = receiver.wait_for(2).await;
    let sequences: Vec<&str> = received.iter().map(|one| one.header("x-webhook-sequence")).collect();
    assert_eq!(sequences, ["1", "3"], "what was missed can be seen");
}

#[tokio::test]
async fn delivery_case_25_every_2xx_is_a_success_and_nothing_else() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    for (status, becomes) in [
        (200, "success"),
        (201, "success"),
        (204, "success"),
        (206, "success"),
        (304, "retry"),
        (404, "retry"),
    ] {
        let receiver = Receiver::always(Answer::Status(status)).await;
        let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["1h"]})).await;
        charger.still_serves().await;
        let ended = delivery(&gateway, &hook, has(becomes)).await;
        assert_eq!(ended["attempts"][0]["status_code"], status);
    }
}

#[tokio::test]
async fn delivery_case_26_a_stale_connection_costs_no_attempt() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::OnceThenReset).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["1h"]})).await;
    let mut charger = heartbeat(&gateway).await;
    for nth in 2..=4 {
        delivery(&gateway, &hook, has("success")).await;
        charger.still_serves().await;
        receiver.wait_for(nth).await;
    }
    let all = eventually("all arrived", || async {
        let all = deliveries(&gateway, &hook).await;
        (all.len() == 4 && all.iter().all(|one| one["status"] == "success")).then_some(all)
    })
    .await;
    assert!(all.iter().all(|one| one["attempts"].as_array().map(Vec::len) == Some(1)), "{all:#?}");
    assert!(receiver.resets() > 0, "a connection was used again, and cut");
}

#[tokio::test]
async fn delivery_case_28_an_answer_that_is_not_utf8_is_kept_safely() {
    let gateway = start(|_| {}).await;
    let odd = b"HTTP/1.1 500 X\r\nContent-Type: text/\xff\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\xff\xfeab";
    let receiver = Receiver::always(Answer::Raw(odd.to_vec())).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["1h"]})).await;
    let _charger = heartbeat(&gateway).await;
    let failed = delivery(&gateway, &hook, has("retry")).await;
    assert_eq!(failed["attempts"][0]["status_code"], 500);
    assert_eq!(failed["attempts"][0]["response_body"], "\u{fffd}\u{fffd}ab");
}

#[tokio::test]
async fn delivery_case_31_and_33_test_verify_and_deliveries_judge_a_destination_alike() {
    let gateway =
        start(|config| config.outbound.allowed_networks.push("::1/128".parse().expect("one"))).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let url = receiver.url.replace("127.0.0.1", "localhost");
    let hook = webhook(&gateway, &url, json!({"retry_schedule": ["1h"]})).await;
    // Where the name leads was allowed when it was made, and is not any more.
    let gateway = gateway.restart(|config| config.outbound.allowed_networks.clear()).await;
    let _charger = heartbeat(&gateway).await;
    let refused = delivery(&gateway, &hook, has("retry")).await;
    assert_eq!(refused["attempts"][0]["error"]["code"], "forbidden_destination");
    let (status, tested) = gateway.api("POST", &format!("/webhooks/{}/test", hook["id"]), None).await;
    assert_eq!((status, &tested["ok"]), (200, &json!(false)));
    assert_eq!(tested["error"], refused["attempts"][0]["error"]);
    let again = json!({"url": url, "verify": true});
    let (status, problem) = gateway.api("POST", "/webhooks", Some(again)).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("url")));
    assert_eq!(problem["errors"][0]["message"], tested["error"]["message"]);
    assert!(receiver.so_far().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn a_change_with_verify_is_made_only_if_the_endpoint_agrees() {
    let gateway = start(|_| {}).await;
    let good = Receiver::always(Answer::Status(200)).await;
    let bad = Receiver::always(Answer::Status(500)).await;
    let hook = webhook(&gateway, &good.url, json!({})).await;
    let path = format!("/webhooks/{}", hook["id"]);
    let change = json!({"url": bad.url, "verify": true});
    for method in ["PATCH", "PUT"] {
        let (status, problem) = gateway.api(method, &path, Some(change.clone())).await;
        assert_eq!(status, 400, "{problem}");
    }
    assert_eq!(gateway.get(&path).await["url"], good.url);
    let tested = bad.wait_for(2).await;
    assert_eq!(signed_by(&hook["signing_secret"], &tested[0]), (true, true));
    let (status, changed) = gateway.api("PATCH", &path, Some(json!({"name": "n", "verify": true}))).await;
    assert_eq!((status, &changed["name"]), (200, &json!("n")));
    assert_eq!(good.so_far().len(), 1);
}

#[tokio::test]
async fn delivery_case_35_both_secrets_sign_for_the_overlap() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({})).await;
    let mut charger = heartbeat(&gateway).await;
    let old = hook["signing_secret"].clone();
    assert_eq!(signed_by(&old, &receiver.wait_for(1).await[0]), (true, true));
    let path = format!("/webhooks/{}/secret", hook["id"]);
    let (status, rotated) = gateway.api("POST", &format!("{path}/rotate?overlap=2s"), None).await;
    assert_eq!((status, &rotated["previous"][0]["signing_secret"]), (200, &old));
    charger.still_serves().await;
    let received = receiver.wait_for(2).await;
    let new = &rotated["signing_secret"];
    assert_eq!(received[1].header("webhook-signature").split(' ').count(), 2);
    assert_eq!(signed_by(new, &received[1]), (true, true));
    assert_eq!(signed_by(&old, &received[1]), (true, false), "X-Webhook-Signature is the newest secret's");
    eventually("the overlap ends", || async {
        (gateway.get(&path).await["previous"] == json!([])).then_some(())
    })
    .await;
    charger.still_serves().await;
    let received = receiver.wait_for(3).await;
    assert_eq!(received[2].header("webhook-signature").split(' ').count(), 1);
    assert_eq!((signed_by(new, &received[2]), signed_by(&old, &received[2])), ((true, true), (false, false)));
}

#[tokio::test]
async fn delivery_case_36_secrets_appear_in_no_list_error_or_event() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let secrets =
        json!({"secret_header": "Authorization", "secret_value": "Bearer s3cr3t", "retry_schedule": []});
    let hook = webhook(&gateway, &receiver.url, secrets).await;
    let station = json!({"station_id": "CP9", "password": "pa55word-of-cp9"});
    assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    let (_, key) = gateway.api("POST", "/api-keys", Some(json!({"name": "k", "scopes": ["read"]}))).await;
    let _charger = heartbeat(&gateway).await;
    assert_eq!(receiver.wait_for(1).await[0].header("authorization"), "Bearer s3cr3t");
    delivery(&gateway, &hook, has("failed")).await;
    let mut seen = String::new();
    for path in [
        "/webhooks",
        "/webhooks/1",
        "/events?limit=500",
        "/deliveries",
        "/failed-deliveries",
        "/stations",
        "/stations/CP9",
        "/api-keys",
    ] {
        seen += &gateway.get(path).await.to_string();
    }
    for wrong in [
        json!({"secret_value": "Bearer s3cr3t\n"}),
        json!({"signing_secret": hook["signing_secret"], "x": 1}),
    ] {
        let (status, problem) = gateway.api("PATCH", "/webhooks/1", Some(wrong)).await;
        assert_eq!(status, 422);
        seen += &problem.to_string();
    }
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    for secret in ["s3cr3t".into(), "pa55word".into(), text(&hook["signing_secret"]), text(&key["key"])] {
        assert!(!seen.contains(&secret), "{secret} is shown: {seen}");
    }
}

#[tokio::test]
async fn delivery_case_40_a_deleted_webhook_discards_its_backlog_and_sends_no_more() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["1s", "1h"]})).await;
    let mut charger = gateway.charger("CP").await;
    for _ in 0..12 {
        charger.still_serves().await;
    }
    receiver.wait_for(5).await;
    let path = format!("/webhooks/{}", hook["id"]);
    assert_eq!(gateway.api("DELETE", &path, None).await.0, 204);
    let all = eventually("all of them are discarded", || async {
        let all = deliveries(&gateway, &hook).await;
        all.iter().all(|one| one["status"] == "discarded").then_some(all)
    })
    .await;
    assert_eq!(all.len(), 12);
    assert!(all.iter().all(|one| one["completed_at"].is_string() && one["next_attempt_at"].is_null()));
    let sent = receiver.so_far().len();
    // The retries would be due by the time that a later event has been tried twice elsewhere.
    let later = Receiver::always(Answer::Status(500)).await;
    webhook(&gateway, &later.url, json!({"retry_schedule": ["2s"]})).await;
    charger.still_serves().await;
    later.wait_for(2).await;
    assert_eq!(receiver.so_far().len(), sent);
}

#[tokio::test]
async fn delivery_case_41_attempts_are_numbered_without_gaps_over_automatic_and_manual_tries() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 3 { 500 } else { 200 })).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["100ms"]})).await;
    let _charger = heartbeat(&gateway).await;
    let failed = delivery(&gateway, &hook, has("failed")).await;
    let resend = format!("/deliveries/{}/resend", failed["id"].as_str().expect("an id"));
    assert_eq!(gateway.api("POST", &resend, None).await.0, 202);
    // The schedule starts anew: the manual try fails, its retry arrives.
    let done = delivery(&gateway, &hook, has("success")).await;
    assert_eq!(gateway.api("POST", &resend, None).await.0, 409);
    assert_eq!(gateway.api("POST", &format!("{resend}?force=true"), None).await.0, 202);
    let done = delivery(&gateway, &hook, |one| {
        one["status"] == "success"
            && one["attempts"].as_array().map(Vec::len) > done["attempts"].as_array().map(Vec::len)
    })
    .await;
    let attempts = done["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.iter().map(|one| &one["number"]).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let triggers: Vec<&str> = attempts.iter().filter_map(|one| one["trigger"].as_str()).collect();
    assert_eq!(triggers[..3], ["event", "event", "resend"]);
    assert_eq!(triggers[4], "resend");
    let received = receiver.so_far();
    let told = |name: &str| received.iter().map(|one| one.header(name).to_owned()).collect::<Vec<_>>();
    assert_eq!(told("x-webhook-attempt"), ["1", "2", "3", "4", "5"]);
    assert_eq!(told("x-webhook-sequence"), ["1"; 5], "the same on every attempt and resend");
    assert_eq!(told("x-webhook-trigger"), triggers);
}

#[tokio::test]
async fn delivery_case_42_others_are_told_of_a_dead_letter_and_never_its_own_webhook() {
    let gateway = start(|_| {}).await;
    let dead = Receiver::always(Answer::Status(500)).await;
    let watcher = Receiver::always(Answer::Status(500)).await;
    let own = json!({"events": ["Heartbeat", "DeliveryFailed"], "retry_schedule": []});
    let hook = webhook(&gateway, &dead.url, own).await;
    // It fails too: that makes no further event, or there would be no end of them.
    let watching = json!({"events": ["webhook.*"], "retry_schedule": []});
    let other = webhook(&gateway, &watcher.url, watching).await;
    let _charger = heartbeat(&gateway).await;
    let failed = delivery(&gateway, &hook, has("failed")).await;
    let told: Value = serde_json::from_str(&watcher.wait_for(1).await[0].body).expect("JSON");
    assert_eq!(told["event"], "DeliveryFailed");
    let payload = &told["payload"];
    assert_eq!((&payload["delivery_id"], &payload["event_id"]), (&failed["id"], &failed["event_id"]));
    assert_eq!((&payload["webhook_id"], &payload["attempts"]), (&hook["id"], &json!(1)));
    assert_eq!((&payload["last_error"], &payload["count"]), (&failed["last_error"], &json!(1)));
    delivery(&gateway, &other, has("failed")).await;
    assert_eq!(gateway.get("/failed-deliveries").await["data"].as_array().map(Vec::len), Some(2));
    let events = gateway.get("/events?event=DeliveryFailed").await;
    assert_eq!(events["data"].as_array().map(Vec::len), Some(1), "{events}");
    let id = events["data"][0]["id"].as_str().expect("an id");
    let explained = gateway.get(&format!("/events/{id}/deliveries?explain=true")).await;
    assert_eq!(explained["not_matched"], json!([{"webhook_id": hook["id"], "reason": "about_itself"}]));
    assert_eq!(dead.so_far().len(), 1);
}
