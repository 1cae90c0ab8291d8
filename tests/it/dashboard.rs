//! The dashboard without a browser: signing in, what a page may and may not do, and whose pages there are.

use http::StatusCode;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::json;

use crate::harness::{ADMIN_KEY, DEADLINE, Running, eventually, start};

/// A browser as far as it matters here: it keeps a cookie, names its origin, and follows no redirect.
pub(crate) struct Browser {
    http: Client,
    base: String,
    cookie: String,
}

impl Browser {
    fn new(gateway: &Running) -> Self {
        Self::at(gateway.url(""))
    }

    fn at(base: String) -> Self {
        let http = Client::builder().no_proxy().redirect(Policy::none()).timeout(DEADLINE);
        Self { http: http.build().expect("a client"), base, cookie: String::new() }
    }

    pub(crate) async fn signed_in(gateway: &Running, key: &str) -> Self {
        Self::signed_in_at(gateway.url(""), key).await
    }

    /// At a gateway of which only the address is known, such as `http://127.0.0.1:8080`.
    pub(crate) async fn signed_in_at(base: String, key: &str) -> Self {
        let mut browser = Self::at(base);
        let answer = browser.post("/ui/login", &[("key", key)]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let set = answer.headers()[SET_COOKIE].to_str().expect("text");
        browser.cookie = set.split(';').next().expect("a cookie").to_owned();
        browser
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        request.send().await.expect("answers")
    }

    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        let status = answer.status();
        let text = answer.text().await.expect("text");
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        text
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.post_from(&self.base, path, fields).await
    }

    async fn post_from(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        let request =
            request.header("origin", origin).header("content-type", "application/x-www-form-urlencoded");
        request.body(body).send().await.expect("answers")
    }
}

pub(crate) fn location(answer: &Response) -> &str {
    answer.headers()[LOCATION].to_str().expect("text")
}

/// The token of the first form of a page.
pub(crate) fn token(page: &str) -> String {
    let rest = page.split("name=\"_token\" value=\"").nth(1).expect("a form with a token");
    rest.split('"').next().expect("a value").to_owned()
}

/// Every page without a parameter.
const PAGES: &[&str] = &[
    "/ui/",
    "/ui/stations",
    "/ui/sessions",
    "/ui/events",
    "/ui/deliveries",
    "/ui/webhooks",
    "/ui/commands",
    "/ui/tags",
    "/ui/reports",
    "/ui/reports/sessions",
    "/ui/audit",
    "/ui/keys",
    "/ui/system",
];

#[tokio::test]
async fn one_signs_in_with_a_key_and_comes_back_to_where_one_was() {
    let gateway = start(|_| {}).await;
    let stranger = Browser::new(&gateway);
    assert_eq!(location(&stranger.get("/").await), "/ui/");
    assert_eq!(location(&stranger.get("/ui/").await), "/ui/login");
    assert_eq!(
        location(&stranger.get("/ui/stations?q=a%20b").await),
        "/ui/login?next=%2Fui%2Fstations%3Fq%3Da%2520b"
    );
    let wrong = stranger.post("/ui/login", &[("key", "not a key")]).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert!(wrong.headers().get(SET_COOKIE).is_none());
    let right = stranger.post("/ui/login", &[("key", ADMIN_KEY), ("next", "/ui/stations?q=a%20b")]).await;
    assert_eq!((right.status(), location(&right)), (StatusCode::SEE_OTHER, "/ui/stations?q=a%20b"));
    let set = right.headers()[SET_COOKIE].to_str().expect("text").to_owned();
    assert!(set.starts_with("chargehook_session=") && !set.contains(ADMIN_KEY), "{set}");
    assert!(set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{set}");
    let foreign = stranger.post_from("https://evil.example", "/ui/login", &[("key", ADMIN_KEY)]).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let elsewhere =
        stranger.post("/ui/login", &[("key", ADMIN_KEY), ("next", "https://evil.example/ui/")]).await;
    assert_eq!(location(&elsewhere), "/ui/");
    gateway.stop().await;
}

#[tokio::test]
async fn every_page_is_made_and_has_no_inline_code() {
    let gateway = start(|_| {}).await;
    let _charger = gateway.booted("CP_1").await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    for path in PAGES.iter().chain(&["/ui/stations/CP_1", "/ui/login"]) {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(
            (header("referrer-policy"), header("x-content-type-options")),
            ("same-origin".into(), "nosniff".into())
        );
        assert!(
            header("content-security-policy")
                .starts_with("default-src 'none'; style-src 'self'; script-src 'self';")
        );
        let page = answer.text().await.expect("text");
        for code in [" style=", "<style", " onclick=", "javascript:"] {
            assert!(!page.contains(code), "{path} has {code}");
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" src=\"/ui/static/app.").count()
        );
    }
    let page = browser.page("/ui/").await;
    for (start, kind) in [("/ui/static/app.", "text/css"), ("/ui/static/app.", "text/javascript")] {
        let extension = if kind == "text/css" { ".css" } else { ".js" };
        let path = page
            .split('"')
            .find(|text| text.starts_with(start) && text.ends_with(extension))
            .expect("a file");
        let file = browser.get(path).await;
        assert!(file.headers()["content-type"].to_str().expect("text").starts_with(kind));
        assert!(file.headers()["cache-control"].to_str().expect("text").contains("immutable"));
    }
    assert_eq!(browser.get("/ui/nowhere").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/ui/stations/NOBODY").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        browser.get("/ui/stations?connected=perhaps").await.status(),
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let csv = browser.get("/ui/csv/stations").await;
    assert!(csv.headers()["content-type"].to_str().expect("text").starts_with("text/csv"));
    assert!(csv.text().await.expect("text").contains("CP_1"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_form_changes_something_only_from_a_page_of_its_session() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP_1").await;
    charger.still_serves().await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let path = "/ui/stations/CP_1/disconnect";
    let token = token(&browser.page("/ui/stations/CP_1").await);
    let other = Browser::signed_in(&gateway, ADMIN_KEY).await;
    for (what, answer) in [
        ("no token", browser.post(path, &[]).await),
        ("another token", browser.post(path, &[("_token", "AAAAAAAAAAAAAAAAAAAAAA")]).await),
        ("another session", other.post(path, &[("_token", &token)]).await),
        ("another site", browser.post_from("https://evil.example", path, &[("_token", &token)]).await),
        ("a hidden origin", browser.post_from("null", path, &[("_token", &token)]).await),
    ] {
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{what}");
    }
    charger.still_serves().await;
    let done = browser.post(path, &[("_token", &token)]).await;
    assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, "/ui/stations/CP_1"));
    assert!(done.headers()[SET_COOKIE].to_str().expect("text").starts_with("chargehook_message="));
    charger.closed().await;
    let audit = gateway.get("/audit?action=stations_disconnect").await;
    assert_eq!(audit["data"][0]["requested_by"]["name"], "admin", "{audit}");
    gateway.stop().await;
}

#[tokio::test]
async fn the_cookie_opens_the_api_for_reading_alone_and_ends_with_its_key() {
    let gateway = start(|_| {}).await;
    let (_, key) = gateway.api("POST", "/api-keys", Some(json!({"name": "k", "scopes": ["admin"]}))).await;
    let browser = Browser::signed_in(&gateway, key["key"].as_str().expect("shown once")).await;
    assert_eq!(browser.get("/api/v1/stations").await.status(), StatusCode::OK);
    let token = token(&browser.page("/ui/").await);
    let made = browser.post("/api/v1/webhooks", &[("_token", &token)]).await;
    assert_eq!(made.status(), StatusCode::UNAUTHORIZED);
    let path = format!("/api-keys/{}", key["id"].as_str().expect("an id"));
    assert_eq!(gateway.api("DELETE", &path, None).await.0, 204);
    assert_eq!(location(&browser.get("/ui/stations").await), "/ui/login?next=%2Fui%2Fstations");
    assert_eq!(browser.get("/api/v1/stations").await.status(), StatusCode::UNAUTHORIZED);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_of_an_owner_sees_the_pages_of_its_owner() {
    let gateway = start(|_| {}).await;
    for (id, owner) in [("MINE", "acme"), ("THEIRS", "other")] {
        let (status, body) =
            gateway.api("POST", "/stations", Some(json!({"station_id": id, "owner_id": owner}))).await;
        assert_eq!(status, 201, "{body}");
    }
    let input = json!({"name": "portal", "scopes": ["read"], "owner_id": "acme"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(input)).await;
    let browser = Browser::signed_in(&gateway, key["key"].as_str().expect("shown once")).await;
    let list = browser.page("/ui/stations").await;
    assert!(list.contains("MINE") && !list.contains("THEIRS") && list.contains("acme"));
    assert!(!browser.page("/ui/stations/MINE").await.contains("disconnect"), "it may only read");
    assert_eq!(browser.get("/ui/stations/THEIRS").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/ui/audit").await.status(), StatusCode::FORBIDDEN);
    let found = browser.get("/ui/find?q=MINE").await;
    assert_eq!(location(&found), "/ui/stations/MINE");
    gateway.stop().await;
}

#[tokio::test]
async fn the_search_box_leads_to_what_is_named() {
    let gateway = start(|_| {}).await;
    for (id, site, owner) in
        [("GATE_1", "Harbour", "acme"), ("GATE_2", "Harbour", "acme"), ("B", "Depot", "other")]
    {
        let station = json!({"station_id": id, "site": site, "owner_id": owner});
        assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    }
    for name in ["Billing", "alarms day", "alarms night"] {
        let webhook = json!({"name": name, "url": "http://127.0.0.1:9/hooks/received", "owner_id": "acme"});
        assert_eq!(gateway.api("POST", "/webhooks", Some(webhook)).await.0, 201);
    }
    assert_eq!(gateway.api("PUT", "/id-tags/DEADBEEF?owner_id=acme", Some(json!({}))).await.0, 201);
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    for (text, to) in [
        ("GATE_2", "/ui/stations/GATE_2"),
        ("gate", "/ui/stations?q=gate"),
        ("Harbour", "/ui/stations?site=Harbour"),
        ("bill", "/ui/webhooks/1"),
        ("alarms", "/ui/webhooks?q=alarms"),
        ("http://127.0.0.1:9/", "/ui/webhooks?q=http%3A%2F%2F127.0.0.1%3A9%2F"),
        ("received", "/ui/events?q=received"),
        ("blk_01jrs0m6nxk3v1c8d9e0f2g4h6", "/ui/commands/bulk/blk_01jrs0m6nxk3v1c8d9e0f2g4h6"),
    ] {
        let found = browser.get(&format!("/ui/find?q={}", text.replace(' ', "+"))).await;
        assert_eq!(location(&found), to, "{text}");
    }
    let listed = browser.page("/ui/webhooks?q=NIGHT").await;
    assert!(listed.contains("alarms night") && !listed.contains("alarms day"), "{listed}");
    let input = json!({"name": "portal", "scopes": ["read"], "owner_id": "other"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(input)).await;
    let stranger = Browser::signed_in(&gateway, key["key"].as_str().expect("shown once")).await;
    for text in ["Harbour", "Billing"] {
        let found = stranger.get(&format!("/ui/find?q={text}")).await;
        assert_eq!(location(&found), format!("/ui/events?q={text}"), "what others have is not found");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_is_secure_where_the_browser_speaks_tls_to_a_trusted_proxy() {
    let gateway =
        start(|config| config.api.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")]).await;
    let browser = Browser::new(&gateway);
    let request = browser.http.post(gateway.url("/ui/login")).header("x-forwarded-proto", "https");
    let answer = request.body(format!("key={ADMIN_KEY}")).send().await.expect("answers");
    assert!(answer.headers()[SET_COOKIE].to_str().expect("text").ends_with("; Secure"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_link_signs_in_once() {
    let gateway = start(|_| {}).await;
    let browser = Browser::new(&gateway);
    let link = gateway.gateway.sign_in_link(ADMIN_KEY).expect("a link");
    let path = link.strip_prefix(&gateway.url("")).expect("of this gateway").to_owned();
    let first = browser.get(&path).await;
    assert_eq!((first.status(), location(&first)), (StatusCode::SEE_OTHER, "/ui/"));
    assert!(first.headers().contains_key(SET_COOKIE));
    let second = browser.get(&path).await;
    assert_eq!(second.status(), StatusCode::OK, "the form");
    assert!(second.headers().get(SET_COOKIE).is_none());
    gateway.stop().await;
}

#[tokio::test]
async fn the_dashboard_can_be_switched_off() {
    let gateway = start(|config| config.api.dashboard = false).await;
    let browser = Browser::new(&gateway);
    for path in ["/", "/ui", "/ui/", "/ui/login", "/ui/static/app.css"] {
        assert_eq!(browser.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(gateway.gateway.dashboard_url(), None);
    gateway.stop().await;
}

#[tokio::test]
async fn guessing_keys_is_slowed_down() {
    let gateway = start(|config| config.api_limits.api_bad_keys_per_second = 1).await;
    let browser = Browser::new(&gateway);
    let refused = eventually("too many wrong keys", async || {
        let answer = browser.post("/ui/login", &[("key", "a guess")]).await;
        (answer.status() == StatusCode::TOO_MANY_REQUESTS).then_some(answer)
    })
    .await;
    assert!(refused.text().await.expect("text").contains("Too many"));
    eventually("the right key signs in a moment later", async || {
        let answer = browser.post("/ui/login", &[("key", ADMIN_KEY)]).await;
        (answer.status() == StatusCode::SEE_OTHER).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_station_is_commanded_from_its_page() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP_1").await;
    charger.still_serves().await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let page = browser.page("/ui/stations/CP_1").await;
    assert!(page.contains("Start charging") && page.contains("How it is"), "{page}");
    let token = token(&page);
    let path = "/ui/stations/CP_1/command";
    let wrong = [("_token", token.as_str()), ("action", "Reset"), ("payload", r#"{"type":"Sofft"}"#)];
    let refused = browser.post(path, &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().await.expect("text").contains("payload.type"));
    let fields = [("_token", token.as_str()), ("action", "RemoteStartTransaction"), ("idTag", "DRIVER_1")];
    let (done, ()) = tokio::join!(browser.post(path, &fields), async {
        let call: serde_json::Value = serde_json::from_str(&charger.receive().await).expect("a CALL");
        assert_eq!(call[3], json!({"idTag": "DRIVER_1"}), "{call}");
        charger.send(&json!([3, call[1], {"status": "Accepted"}]).to_string()).await;
    });
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    let shown = browser.page(location(&done)).await;
    assert!(shown.contains("RemoteStartTransaction") && shown.contains("Accepted"), "{shown}");
    let blocked = browser.post("/ui/stations/CP_1/change", &[("_token", &token), ("change", "block")]).await;
    assert_eq!(blocked.status(), StatusCode::SEE_OTHER);
    charger.closed().await;
    assert!(browser.page("/ui/stations/CP_1").await.contains("Let it in again"));
    gateway.stop().await;
}
