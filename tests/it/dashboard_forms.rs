//! The dashboard's forms: what is filled in happens, and what is wrong stands at its field.

use http::StatusCode;
use serde_json::json;

use crate::dashboard::{Browser, location, token};
use crate::harness::{ADMIN_KEY, Running, eventually, start};
use crate::receiver::{Answer, Receiver};

/// A gateway, somebody who has signed in, and the token of their forms.
async fn signed_in() -> (Running, Browser, String) {
    let gateway = start(|_| {}).await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let token = token(&browser.page("/ui/webhooks/new").await);
    (gateway, browser, token)
}

#[tokio::test]
async fn a_webhook_is_created_changed_tested_paused_and_deleted() {
    let (gateway, browser, token) = signed_in().await;
    let receiver = Receiver::always(Answer::Status(204)).await;
    let token = ("_token", token.as_str());
    let wrong = [token, ("url", "no url"), ("events", "Start*\nNonsens"), ("timeout", "1h")];
    let refused = browser.post("/ui/webhooks/new", &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.expect("text");
    for told in ["value=\"no url\"", "id=\"d-url\"", "1h", "Nonsens"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert_eq!(page.matches("aria-invalid").count(), 3, "{page}");
    let no_json = browser.post("/ui/webhooks/new", &[token, ("url", &receiver.url), ("filter", "{")]).await;
    assert!(no_json.text().await.expect("text").contains("is no JSON"));

    let right = [token, ("url", receiver.url.as_str()), ("name", "books"), ("events", "Start*\r\nocpp.*")];
    let created = browser.post("/ui/webhooks/new", &right).await;
    assert_eq!(created.status(), StatusCode::SEE_OTHER);
    let path = location(&created).to_owned();
    let id = path.rsplit('/').next().expect("an id").to_owned();
    let api = format!("/webhooks/{id}");
    assert_eq!(gateway.get(&api).await["events"], json!(["Start*", "ocpp.*"]));
    assert!(browser.page(&path).await.contains("books"));

    let tested = browser.post(&format!("{path}/test"), &[token]).await;
    assert_eq!((tested.status(), location(&tested)), (StatusCode::SEE_OTHER, path.as_str()));
    assert_eq!(receiver.wait_for(1).await[0].header("x-webhook-trigger"), "test");
    assert!(browser.page(&format!("{path}/edit")).await.contains("ocpp.*"));
    let renamed = [token, ("url", receiver.url.as_str()), ("name", "ledger"), ("events", "*")];
    browser.post(&format!("{path}/edit"), &renamed).await;
    assert_eq!(gateway.get(&api).await["name"], "ledger");
    for (verb, status) in [("pause", "paused"), ("resume", "active")] {
        browser.post(&format!("{path}/{verb}"), &[token]).await;
        assert_eq!(gateway.get(&api).await["status"], status);
    }
    let before = gateway.get(&format!("{api}/secret")).await["signing_secret"].clone();
    browser.post(&format!("{path}/rotate"), &[token, ("overlap", "1h")]).await;
    let shown = browser.page(&format!("{path}/secret")).await;
    assert!(shown.contains(before.as_str().expect("text")) && shown.contains("signs as well"), "{shown}");
    assert!(browser.page(&format!("{path}/replay?since=2h&only=all")).await.contains("events would be sent"));
    browser.post(&format!("{path}/delete"), &[token]).await;
    assert_eq!(gateway.api("GET", &api, None).await.0, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn dead_letters_are_counted_and_sent_again() {
    let (gateway, browser, token) = signed_in().await;
    let away = Receiver::start(|number| Answer::Status(if number == 0 { 503 } else { 200 })).await;
    let webhook = json!({"name": "billing", "url": away.url, "events": ["invoice.*"], "retry_schedule": []});
    let (_, webhook) = gateway.api("POST", "/webhooks", Some(webhook)).await;
    let event = json!({"event": "invoice.due", "payload": {"note": "<b>rhubarb</b>"}, "broadcast": true});
    let (_, event) = gateway.api("POST", "/events", Some(event)).await;
    let failed = eventually("a dead letter", async || {
        gateway.get("/failed-deliveries").await["data"].as_array()?.first().cloned()
    })
    .await;
    let shown = browser.page(&format!("/ui/events/{}", event["id"].as_str().expect("an id"))).await;
    assert!(
        shown.contains("billing") && shown.contains("503") && shown.contains("&lt;b&gt;rhubarb"),
        "{shown}"
    );
    let delivery = format!("/ui/deliveries/{}", failed["id"].as_str().expect("an id"));
    let shown = browser.page(&delivery).await;
    for told in ["Dead letter", "Send again", "Copy as curl", "webhook-id: evt_"] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let filter = format!("status=failed&webhook_id={}", webhook["id"]);
    let counted = browser.page(&format!("/ui/deliveries/resend?{filter}")).await;
    assert!(counted.contains("Send 1 delivery again"), "{counted}");
    assert_eq!(away.so_far().len(), 1, "nothing is sent by a look");
    let id = webhook["id"].to_string();
    let fields = [("_token", token.as_str()), ("status", "failed"), ("webhook_id", id.as_str())];
    let started = browser.post("/ui/deliveries/resend", &fields).await;
    assert_eq!(
        (started.status(), location(&started)),
        (StatusCode::SEE_OTHER, format!("/ui/deliveries?webhook_id={id}").as_str())
    );
    assert_eq!(away.wait_for(2).await[1].header("x-webhook-trigger"), "resend");
    let wrong = browser.get("/ui/deliveries/resend?status=nonsense").await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    gateway.stop().await;
}

#[tokio::test]
async fn a_tag_is_registered_explained_and_deleted() {
    let (gateway, browser, token) = signed_in().await;
    let token = ("_token", token.as_str());
    let wrong = browser.post("/ui/tags", &[token, ("id_tag", "T1"), ("expiry_date", "soon")]).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().await.expect("text").contains("value=\"soon\""));
    let blocked = browser.post("/ui/tags", &[token, ("id_tag", "T1"), ("status", "Blocked")]).await;
    assert_eq!((blocked.status(), location(&blocked)), (StatusCode::SEE_OTHER, "/ui/tags?q=T1"));
    let shown = browser.page("/ui/tags?q=T1").await;
    assert!(shown.contains("refused because it is registered as Blocked"), "{shown}");
    browser.post("/ui/tags/delete", &[token, ("id_tag", "T1")]).await;
    assert_eq!(gateway.api("GET", "/id-tags/T1", None).await.0, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_key_is_shown_once_and_can_be_revoked() {
    let (gateway, browser, token) = signed_in().await;
    let token = ("_token", token.as_str());
    let wrong = browser.post("/ui/keys", &[token, ("name", "driver-app"), ("scopes", "everything")]).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let fields = [token, ("name", "driver-app"), ("scopes", "read, command:Remote*"), ("expires_at", "90d")];
    let made = browser.post("/ui/keys", &fields).await;
    assert_eq!(made.status(), StatusCode::OK);
    let made = made.text().await.expect("text");
    assert!(made.contains("It is shown only now."), "{made}");
    let keys = gateway.get("/api-keys").await;
    let keys = keys["data"].as_array().expect("a list");
    let key = keys.iter().find(|key| key["name"] == "driver-app").expect("the new key");
    assert_eq!(key["scopes"], json!(["read", "command:Remote*"]));
    assert!(key["expires_at"].is_string());
    assert!(!browser.page("/ui/keys").await.contains("It is shown only now."));
    let path = format!("/ui/keys/{}/revoke", key["id"].as_str().expect("an id"));
    browser.post(&path, &[token]).await;
    let left = gateway.get("/api-keys").await;
    assert!(!left["data"].as_array().expect("a list").iter().any(|key| key["name"] == "driver-app"));
    gateway.stop().await;
}
