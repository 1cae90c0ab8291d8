//! What single pages of the dashboard show, and what their forms change.

use http::StatusCode;
use serde_json::{Value, json};

use crate::dashboard::{Browser, location, token};
use crate::harness::{ADMIN_KEY, Charger, Running, eventually, start};
use crate::receiver::{Answer, Receiver};

async fn made(gateway: &Running, path: &str, input: Value) -> Value {
    let (status, body) = gateway.api("POST", path, Some(input)).await;
    assert!((200..300).contains(&status), "{path}: {status} {body}");
    body
}

async fn portal(gateway: &Running, owner: &str) -> Browser {
    let key = json!({"name": owner, "scopes": ["read"], "owner_id": owner});
    let key = made(gateway, "/api-keys", key).await;
    Browser::signed_in(gateway, key["key"].as_str().expect("shown once")).await
}

/// Posts a command from a station's page, which the charger answers with this.
async fn command(browser: &Browser, charger: &mut Charger, fields: &[(&str, &str)], answer: Value) {
    let (sent, ()) = tokio::join!(browser.post("/ui/stations/CP_1/command", fields), async {
        let called = charger.called().await;
        charger.answer(&called.id, answer).await;
    });
    assert_eq!(sent.status(), StatusCode::SEE_OTHER, "{fields:?}");
}

#[tokio::test]
async fn a_station_is_changed_in_a_form() {
    let gateway = start(|_| {}).await;
    let before =
        json!({"station_id": "CP_1", "name": "Old", "min_security_profile": 0, "metadata": {"zone": 7}});
    made(&gateway, "/stations", before).await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let form = browser.page("/ui/stations/CP_1/edit").await;
    for shown in ["name=\"before-name\" value=\"Old\"", "&quot;zone&quot;: 7", "name=\"password\""] {
        assert!(form.contains(shown), "{shown}: {form}");
    }
    let token = token(&form);
    let shown = [
        ("_token", token.as_str()),
        ("before-name", "Old"),
        ("before-min_security_profile", "0"),
        ("before-boot_status", "accepted"),
        ("before-ping", "true"),
        ("before-metadata", "{\n  \"zone\": 7\n}"),
        ("boot_status", "accepted"),
        ("ping", "true"),
        ("metadata", "{\r\n  \"zone\": 7\r\n}"),
    ];
    let with = |changes: &[(&'static str, &'static str)]| [&shown[..], changes].concat();
    let wrong =
        with(&[("name", "New"), ("password", "short"), ("time_zone", "Nowhere/Else"), ("site", "P4")]);
    let refused = browser.post("/ui/stations/CP_1/edit", &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.expect("text");
    assert_eq!(page.matches("aria-invalid").count(), 2, "{page}");
    assert!(
        page.contains("value=\"P4\"") && !page.contains("value=\"short\""),
        "what was typed stays, no secret"
    );
    assert_eq!(gateway.get("/stations/CP_1").await["name"], "Old");

    // Meanwhile somebody else raises the profile: a form that does not touch it leaves it.
    let raised = json!({"min_security_profile": 1});
    assert_eq!(gateway.api("PATCH", "/stations/CP_1", Some(raised)).await.0, 200);
    let right =
        [("name", "New"), ("site", "P4"), ("password", "secretsecret"), ("min_security_profile", "0")];
    let changed = browser.post("/ui/stations/CP_1/edit", &with(&right)).await;
    assert_eq!((changed.status(), location(&changed)), (StatusCode::SEE_OTHER, "/ui/stations/CP_1"));
    let station = gateway.get("/stations/CP_1").await;
    let told =
        ["name", "site", "password_set", "min_security_profile", "metadata"].map(|name| &station[name]);
    assert_eq!(told, [&json!("New"), &json!("P4"), &json!(true), &json!(1), &json!({"zone": 7})]);

    let owner = portal(&gateway, "acme").await;
    assert_eq!(owner.get("/ui/stations/CP_1/edit").await.status(), StatusCode::NOT_FOUND);
    let deleted = browser.post("/ui/stations/CP_1/delete", &[("_token", &token)]).await;
    assert_eq!(location(&deleted), "/ui/stations");
    assert_eq!(gateway.api("GET", "/stations/CP_1", None).await.0, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn a_station_shows_its_reservations_and_certificates() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP_1").await;
    charger.still_serves().await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let page = browser.page("/ui/stations/CP_1").await;
    assert!(
        page.contains("It has not told which ones it trusts") && page.contains("Nothing was reserved here")
    );
    let token = token(&page);
    let token = ("_token", token.as_str());
    let asked = r#"{"certificateType":"CentralSystemRootCertificate"}"#;
    assert!(page.contains(&asked.replace('"', "&quot;")), "a button asks for them: {page}");
    let fields = [token, ("action", "GetInstalledCertificateIds"), ("payload", asked)];
    let hashes = json!({"hashAlgorithm": "SHA256", "issuerNameHash": "aa11", "issuerKeyHash": "bb22",
        "serialNumber": "4FA001"});
    let answer = json!({"status": "Accepted", "certificateHashData": [hashes]});
    command(&browser, &mut charger, &fields, answer).await;
    let until = "2099-01-01T00:00:00Z";
    let reserve =
        json!({"connectorId": 1, "expiryDate": until, "idTag": "TAG_9", "reservationId": 5}).to_string();
    let fields = [token, ("action", "ReserveNow"), ("payload", reserve.as_str())];
    command(&browser, &mut charger, &fields, json!({"status": "Accepted"})).await;
    let page = browser.page("/ui/stations/CP_1").await;
    for told in
        ["4FA001", "action=DeleteCertificate&amp;payload=%7B", "TAG_9", "{&quot;reservationId&quot;:5}"]
    {
        assert!(page.contains(told), "{told}: {page}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_navigation_counts_what_its_key_may_see() {
    let gateway = start(|_| {}).await;
    for (id, owner) in [("MINE", "acme"), ("THEIRS", "other")] {
        made(&gateway, "/stations", json!({"station_id": id, "owner_id": owner})).await;
    }
    let mut charger = gateway.booted("THEIRS").await;
    let begin = json!({"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-04-14T10:00:00Z"});
    charger.call("StartTransaction", begin).await;
    let operator = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let active = "1<span class=\"sr\"> active</span>";
    eventually("a session beside its place", async || {
        operator.page("/ui/tags").await.contains(active).then_some(())
    })
    .await;
    let mine = portal(&gateway, "acme").await;
    let page = mine.page("/ui/stations").await;
    assert!(page.contains("id=\"n-sessions\"") && !page.contains(active), "{page}");
    assert!(portal(&gateway, "other").await.page("/ui/stations").await.contains(active));
    drop(charger);
    eventually("the one that left is counted", async || {
        operator.page("/ui/tags").await.contains("1<span class=\"sr\"> offline</span>").then_some(())
    })
    .await;
    assert!(!mine.page("/ui/stations").await.contains("offline</span>"));
    gateway.stop().await;
}

#[tokio::test]
async fn the_list_of_webhooks_shows_how_each_has_done() {
    let gateway = start(|_| {}).await;
    let (good, bad) =
        (Receiver::always(Answer::Status(204)).await, Receiver::always(Answer::Status(500)).await);
    for (name, url, owner) in [("good", &good.url, "acme"), ("bad", &bad.url, "other")] {
        let input =
            json!({"name": name, "url": url, "owner_id": owner, "events": ["x.*"], "retry_schedule": []});
        made(&gateway, "/webhooks", input).await;
    }
    for owner in ["acme", "acme", "other"] {
        made(&gateway, "/events", json!({"event": "x.y", "payload": {}, "owner_id": owner})).await;
    }
    let glances = eventually("all have ended", async || {
        let found = gateway.get("/webhooks/stats?order=asc").await["data"].clone();
        (found[0]["succeeded_24h"] == 2 && found[1]["failed_24h"] == 1).then_some(found)
    })
    .await;
    let quarters = glances[0]["quarters"].as_array().expect("a list");
    let succeeded: u64 = quarters.iter().filter_map(|quarter| quarter["succeeded"].as_u64()).sum();
    assert_eq!((succeeded, &glances[0]["success_rate"]), (2, &json!(1.0)));
    assert!(glances[0]["latency_ms"]["p95"].is_u64(), "{glances}");
    let one = gateway.get(&format!("/webhooks/{}/stats", glances[1]["webhook_id"])).await;
    assert_eq!((&one["quarters"], &one["success_rate"]), (&glances[1]["quarters"], &json!(0.0)));
    let only = gateway.get("/webhooks/stats?owner_id=acme&limit=1").await;
    assert_eq!(
        (&only["data"][0]["webhook_id"], &only["next_cursor"]),
        (&glances[0]["webhook_id"], &Value::Null)
    );

    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let page = browser.page("/ui/webhooks").await;
    for told in ["2 arrived and 0 failed in 24 h", "0 arrived and 1 failed in 24 h", "2 of 2", "0 of 1"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let theirs = portal(&gateway, "other").await.page("/ui/webhooks").await;
    assert!(theirs.contains("0 of 1") && !theirs.contains("2 of 2"), "{theirs}");
    let next = browser.page("/ui/webhooks?limit=1").await;
    assert!(next.contains("bad"), "{next}");
    gateway.stop().await;
}

#[tokio::test]
async fn sums_of_sessions_are_grouped_as_asked() {
    let gateway = start(|_| {}).await;
    made(&gateway, "/stations", json!({"station_id": "CP_1", "site": "P4", "owner_id": "acme"})).await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    assert!(browser.page("/ui/reports/sessions").await.contains("No session has ended in this time"));
    let mut charger = gateway.booted("CP_1").await;
    let at = vocabulary::clock::Clock::System.now().to_string();
    let begin = json!({"connectorId": 1, "idTag": "T", "meterStart": 1_000, "timestamp": at});
    let number = charger.call("StartTransaction", begin).await["transactionId"].clone();
    let end = json!({"transactionId": number, "meterStop": 6_000, "timestamp": at, "idTag": "T"});
    charger.call("StopTransaction", end).await;
    let page = eventually("the session is summed", async || {
        let page =
            browser.page("/ui/reports/sessions?group_by=owner,month&since=30d&time_zone=Asia%2FTokyo").await;
        page.contains("5.00 kWh").then_some(page)
    })
    .await;
    for told in ["?owner_id=acme", "midnight Asia/Tokyo", "/ui/csv/transactions/summary?", "Uptime</a>"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let csv = browser.page("/ui/csv/transactions/summary?group_by=site").await;
    assert!(csv.contains("site,sessions,energy_wh,") && csv.contains("P4,1,5000,"), "{csv}");
    assert!(!csv.contains("owner_id"), "it is not grouped by it: {csv}");
    let wrong = browser.get("/ui/reports/sessions?group_by=colour").await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let other = portal(&gateway, "other").await;
    assert!(other.page("/ui/reports/sessions").await.contains("No session has ended"));
    gateway.stop().await;
}

#[tokio::test]
async fn deliveries_are_found_by_their_last_answer_and_sent_again() {
    let gateway = start(|_| {}).await;
    let away = Receiver::start(|number| Answer::Status([404, 503, 503, 200][number.min(3)])).await;
    let input =
        json!({"name": "b", "url": away.url, "events": ["x.*"], "retry_schedule": [], "max_in_flight": 1});
    let webhook = made(&gateway, "/webhooks", input).await;
    for number in 1..=3 {
        made(&gateway, "/events", json!({"event": "x.y", "payload": {"n": number}, "broadcast": true})).await;
        eventually("it has ended", async || {
            (gateway.get("/failed-deliveries").await["data"].as_array()?.len() == number).then_some(())
        })
        .await;
    }
    let found = async |query: &str| {
        let rows = gateway.get(&format!("/deliveries?{query}")).await["data"].clone();
        let rows = rows.as_array().expect("a list").iter().rev();
        rows.filter_map(|row| row["payload"]["n"].as_i64()).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("status_code=4xx", &[1][..]),
        ("status_code=5xx", &[2, 3]),
        ("status_code=5xx&status_code=4xx&status=failed", &[1, 2, 3]),
        ("status_code=5xx&since=2h&limit=1", &[3]),
        ("status_code=5xx&until=1h", &[]),
        ("status_code=none", &[]),
        ("status_code=2xx", &[]),
        ("status_code=4xx&q=nonsense", &[]),
        ("min_attempts=1", &[1, 2, 3]),
        ("min_attempts=2", &[]),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    let (status, csv) = (reqwest::Client::builder().no_proxy().build().expect("a client"))
        .get(gateway.url("/api/v1/deliveries?status_code=4xx"))
        .headers(http::HeaderMap::from_iter([
            (http::header::ACCEPT, http::HeaderValue::from_static("text/csv")),
            (http::HeaderName::from_static("x-api-key"), http::HeaderValue::from_static(ADMIN_KEY)),
        ]))
        .send()
        .await
        .map(|answer| (answer.status(), answer.text()))
        .expect("answers");
    let csv = csv.await.expect("text");
    assert_eq!((status, csv.lines().count()), (StatusCode::OK, 2), "{csv}");

    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let page = browser.page("/ui/deliveries?status_code=5xx").await;
    assert!(
        page.contains("<option value=\"5xx\" selected>") && page.matches("x.y</a>").count() == 2,
        "{page}"
    );
    let token = token(&page);
    let resend = format!("/ui/deliveries/resend?status_code=5xx&webhook_id={}&status=failed", webhook["id"]);
    assert!(browser.page(&resend).await.contains("Send 2 deliveries again"));
    let id = webhook["id"].to_string();
    let fields = [
        ("_token", token.as_str()),
        ("status", "failed"),
        ("status_code", "5xx"),
        ("webhook_id", id.as_str()),
    ];
    assert_eq!(browser.post("/ui/deliveries/resend", &fields).await.status(), StatusCode::SEE_OTHER);
    eventually("the two have arrived, and the other one was left", async || {
        (found("status_code=2xx").await == [2, 3]).then_some(())
    })
    .await;
    assert_eq!(found("status_code=4xx").await, [1]);
    assert_eq!(found("min_attempts=2").await, [2, 3]);
    let shown = browser.page(&format!("/ui/webhooks/{id}")).await;
    assert!(shown.contains("deliveries by filter") && shown.contains("2 of 2"), "{shown}");
    gateway.stop().await;
}

#[tokio::test]
async fn stations_are_listed_by_their_state_and_by_name() {
    let gateway = start(|_| {}).await;
    made(&gateway, "/stations", json!({"station_id": "NEVER"})).await;
    let mut left = gateway.booted("LEFT").await;
    let free = json!({"connectorId": 1, "status": "Available", "errorCode": "NoError"});
    left.call("StatusNotification", free).await;
    let _there = gateway.booted("THERE").await;
    drop(left);
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let listed = |page: &str| {
        ["NEVER", "LEFT", "THERE"].map(|id| page.contains(&format!("href=\"/ui/stations/{id}\"")))
    };
    let offline = "/ui/stations?state=offline&sort=offline_since";
    let page = eventually("the one that left is offline", async || {
        let page = browser.page(offline).await;
        listed(&page)[1].then_some(page)
    })
    .await;
    assert_eq!(listed(&page), [false, true, false], "{page}");
    for told in [
        "Offline since",
        "chip off\">1 Available",
        "last known",
        "/ui/csv/stations?sort=offline_since&amp;online=false&amp;never_connected=false",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert_eq!(listed(&browser.page("/ui/stations?state=never").await), [true, false, false]);
    let named = browser.page("/ui/stations?id=LEFT&id=THERE&id=GONE").await;
    assert_eq!(listed(&named), [false, true, true], "{named}");
    eventually("the count leads to those that it counts", async || {
        let page = browser.page("/ui/").await;
        page.contains("<a href=\"/ui/stations?state=offline\"").then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_that_cannot_be_made_keeps_the_navigation_and_is_asked_for_once() {
    let gateway = start(|_| {}).await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let lists =
        ["stations?state=bogus", "deliveries?status=bogus", "events?since=bogus", "webhooks?status=bogus"];
    for list in lists {
        let answer = browser.get(&format!("/ui/{list}")).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{list}");
        let page = answer.text().await.expect("text");
        assert!(page.contains("data-still") && !page.contains("Nothing fits"), "{list}: {page}");
    }
    assert!(!browser.page("/ui/stations").await.contains("data-still"));
    let reader = portal(&gateway, "acme").await;
    for (who, path, status) in [
        (&browser, "/ui/stations/NOBODY", StatusCode::NOT_FOUND),
        (&browser, "/ui/nowhere", StatusCode::NOT_FOUND),
        (&reader, "/ui/keys", StatusCode::FORBIDDEN),
    ] {
        let answer = who.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        let page = answer.text().await.expect("text");
        assert!(
            page.contains("aria-label=\"Main\"") && page.contains("href=\"/ui/stations\""),
            "{path}: {page}"
        );
    }
    gateway.stop().await;
}
