//! Who may do what: every operation of the OpenAPI document with every kind of key, on things of every owner.
//! What is expected stands here, in one table, and not in the document; an operation without a row fails.

use std::collections::BTreeSet;

use chargehook::config::Config;
use chargehook::http::openapi_document;
use futures_util::StreamExt;
use serde_json::{Value, json};
use vocabulary::units::Span;

use crate::documented;
use crate::harness::{ADMIN_KEY, Running, eventually, http_client, start};

/// What an operation asks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Read,
    Write,
    Command,
    /// `command`, or the command `Reset` alone.
    Reset,
    Admin,
}
use Needs::{Admin, Command, Nothing, Read, Reset, Write};

/// What the path of an operation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// Nothing that belongs to anybody: a list, or something new.
    All,
    /// The installation as a whole, which no key sees that is bound to an owner.
    Installation,
    Webhook,
    Replay,
    Event,
    Delivery,
    Station,
    TheCommand,
    Bulk,
    Transaction,
    Tag,
    Key,
}
use About::{
    All, Bulk, Delivery, Event, Installation, Key, Replay, Station, Tag, TheCommand, Transaction, Webhook,
};

struct Rule {
    method: &'static str,
    path: &'static str,
    needs: Needs,
    about: About,
    /// What is asked for, with `OWNER` for the owner of the thing and `NEW` for a name that there is not.
    query: &'static str,
    body: &'static str,
    /// What a key that may is answered.
    allowed: &'static [u16],
    /// There is no such thing any more after it.
    removes: bool,
}

const fn rule(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    about: About,
    body: &'static str,
    allowed: &'static [u16],
) -> Rule {
    Rule { method, path, needs, about, query: "", body, allowed, removes: false }
}

const fn asking(rule: Rule, query: &'static str) -> Rule {
    Rule { query, ..rule }
}

const fn removing(method: &'static str, path: &'static str, needs: Needs, about: About) -> Rule {
    Rule { removes: true, ..rule(method, path, needs, about, "", &[204]) }
}

const SINCE: &str = r#"{"since": "2020-01-01T00:00:00Z", "only": "all", "dry_run": true}"#;
const HOOK: &str = r#"{"url": "http://127.0.0.1:9/NEW", "owner_id": OWNER}"#;
const RESET: &str = r#"{"action": "Reset", "payload": {"type": "Soft"}, "queue": true}"#;

const BULK_RESET: &str =
    r#"{"stations": {"q": "NEW"}, "action": "Reset", "payload": {"type": "Soft"}, "offline": "queue"}"#;

/// A thing in the wrong state is a 409, which is told only to those who may know of it.
const RULES: &[Rule] = &[
    rule("GET", "/healthz", Nothing, All, "", &[200]),
    rule("GET", "/readyz", Nothing, All, "", &[200]),
    rule("GET", "/metrics", Nothing, All, "", &[200]),
    rule("GET", "/openapi.json", Nothing, All, "", &[200]),
    rule("GET", "/api/v1/overview", Read, All, "", &[200]),
    rule("GET", "/api/v1/webhooks", Read, All, "", &[200]),
    rule("POST", "/api/v1/webhooks", Write, All, r#"{"url": "http://127.0.0.1:9/NEW"}"#, &[201]),
    rule("GET", "/api/v1/webhooks/{id}", Read, Webhook, "", &[200]),
    rule("PUT", "/api/v1/webhooks/{id}", Write, Webhook, HOOK, &[200]),
    rule("PATCH", "/api/v1/webhooks/{id}", Write, Webhook, r#"{"timeout": "9s"}"#, &[200]),
    rule("POST", "/api/v1/webhooks/{id}/test", Write, Webhook, "", &[200]),
    rule("POST", "/api/v1/webhooks/{id}/enable", Write, Webhook, "", &[200]),
    rule("POST", "/api/v1/webhooks/{id}/pause", Write, Webhook, "{}", &[200]),
    rule("POST", "/api/v1/webhooks/{id}/resume", Write, Webhook, "", &[200]),
    rule("POST", "/api/v1/webhooks/{id}/replay", Write, Webhook, SINCE, &[200]),
    rule("GET", "/api/v1/webhooks/{id}/secret", Write, Webhook, "", &[200]),
    rule("POST", "/api/v1/webhooks/{id}/secret/rotate", Write, Webhook, "", &[200]),
    rule("GET", "/api/v1/webhooks/stats", Read, All, "", &[200]),
    rule("GET", "/api/v1/webhooks/{id}/stats", Read, Webhook, "", &[200]),
    removing("DELETE", "/api/v1/webhooks/{id}", Write, Webhook),
    rule("GET", "/api/v1/replays", Read, All, "", &[200]),
    rule("GET", "/api/v1/replays/{id}", Read, Replay, "", &[200]),
    rule("POST", "/api/v1/replays/{id}/cancel", Write, Replay, "", &[200, 409]),
    rule("GET", "/api/v1/events", Read, All, "", &[200]),
    rule(
        "POST",
        "/api/v1/events",
        Write,
        All,
        r#"{"event": "matrix.new", "payload": {}, "url": "http://127.0.0.1:9/NEW"}"#,
        &[202],
    ),
    rule("GET", "/api/v1/events/stream", Read, All, "", &[200]),
    rule("GET", "/api/v1/events/{id}", Read, Event, "", &[200]),
    asking(rule("GET", "/api/v1/events/{id}/deliveries", Read, Event, "", &[200]), "explain=true"),
    rule("POST", "/api/v1/events/{id}/resend", Write, Event, "", &[202, 409]),
    rule("GET", "/api/v1/event-types", Read, All, "", &[200]),
    rule("GET", "/api/v1/deliveries", Read, All, "", &[200]),
    rule("GET", "/api/v1/failed-deliveries", Read, All, "", &[200]),
    rule("GET", "/api/v1/deliveries/{id}", Read, Delivery, "", &[200]),
    rule("POST", "/api/v1/deliveries/{id}/resend", Write, Delivery, "", &[202, 409]),
    rule("POST", "/api/v1/deliveries/{id}/cancel", Write, Delivery, "", &[200, 409]),
    rule("GET", "/api/v1/deliveries/{id}/why", Read, Delivery, "", &[200]),
    asking(
        rule("POST", "/api/v1/deliveries/resend", Write, All, "", &[200]),
        "since=2020-01-01T00:00:00Z&dry_run=true",
    ),
    rule("GET", "/api/v1/stations", Read, All, "", &[200]),
    rule("POST", "/api/v1/stations", Command, All, r#"{"station_id": "NEW"}"#, &[201]),
    rule("POST", "/api/v1/stations/import", Command, All, r#"[{"station_id": "NEW"}]"#, &[200]),
    asking(rule("GET", "/api/v1/stations/summary", Read, All, "", &[200]), "group_by=owner"),
    rule("GET", "/api/v1/connectors", Read, All, "", &[200]),
    rule("GET", "/api/v1/stations/{id}", Read, Station, "", &[200]),
    rule("PATCH", "/api/v1/stations/{id}", Command, Station, r#"{"name": "NEW"}"#, &[200]),
    rule("GET", "/api/v1/stations/{id}/connectors", Read, Station, "", &[200]),
    rule("GET", "/api/v1/stations/{id}/configuration", Read, Station, "", &[200]),
    rule("GET", "/api/v1/stations/{id}/messages", Read, Station, "", &[200]),
    rule("GET", "/api/v1/stations/{id}/why", Read, Station, "", &[200]),
    rule("POST", "/api/v1/stations/{id}/disconnect", Command, Station, "", &[202, 409]),
    removing("DELETE", "/api/v1/stations/{id}", Command, Station),
    rule("GET", "/api/v1/stations/{id}/commands", Read, Station, "", &[200]),
    rule("POST", "/api/v1/stations/{id}/commands", Reset, Station, RESET, &[202]),
    rule("GET", "/api/v1/commands", Read, All, "", &[200]),
    rule("GET", "/api/v1/commands/{id}", Read, TheCommand, "", &[200]),
    rule("GET", "/api/v1/commands/{id}/why", Read, TheCommand, "", &[200]),
    rule("POST", "/api/v1/commands/{id}/cancel", Reset, TheCommand, "", &[200, 409]),
    rule("GET", "/api/v1/bulk-commands", Read, All, "", &[200]),
    rule("POST", "/api/v1/bulk-commands", Reset, All, BULK_RESET, &[202]),
    rule("GET", "/api/v1/bulk-commands/{id}", Read, Bulk, "", &[200]),
    rule("GET", "/api/v1/bulk-commands/{id}/commands", Read, Bulk, "", &[200]),
    rule("GET", "/api/v1/bulk-commands/{id}/stations", Read, Bulk, "", &[200]),
    rule("POST", "/api/v1/bulk-commands/{id}/cancel", Reset, Bulk, "", &[202, 409]),
    rule("GET", "/api/v1/transactions", Read, All, "", &[200]),
    asking(rule("GET", "/api/v1/transactions/summary", Read, All, "", &[200]), "group_by=owner,site"),
    rule("GET", "/api/v1/transactions/{id}", Read, Transaction, "", &[200]),
    rule("GET", "/api/v1/transactions/{id}/meter-values", Read, Transaction, "", &[200]),
    rule("GET", "/api/v1/transactions/{id}/why", Read, Transaction, "", &[200]),
    rule("POST", "/api/v1/transactions/{id}/close", Write, Transaction, "{}", &[200, 409]),
    rule("GET", "/api/v1/reservations", Read, All, "", &[200]),
    rule("GET", "/api/v1/reports/uptime", Read, All, "", &[200]),
    rule("GET", "/api/v1/id-tags", Read, All, "", &[200]),
    rule("GET", "/api/v1/id-tags/{tag}", Read, Tag, "", &[200]),
    rule("GET", "/api/v1/id-tags/{tag}/why", Read, Tag, "", &[200]),
    // A tag belongs to an owner, so that what a bound key names is always its own.
    rule("PUT", "/api/v1/id-tags/{tag}", Write, All, "{}", &[201]),
    removing("DELETE", "/api/v1/id-tags/{tag}", Write, Tag),
    rule("POST", "/api/v1/id-tags/import", Write, All, r#"[{"id_tag": "NEW"}]"#, &[200]),
    rule("GET", "/api/v1/api-keys", Admin, All, "", &[200]),
    rule("POST", "/api/v1/api-keys", Admin, All, r#"{"name": "NEW", "scopes": ["read"]}"#, &[201]),
    removing("DELETE", "/api/v1/api-keys/{id}", Admin, Key),
    rule("GET", "/api/v1/audit", Admin, All, "", &[200]),
    rule("GET", "/api/v1/nodes", Read, Installation, "", &[200]),
];

/// The scopes of a key, and what it may.
const SCOPES: &[(&str, &[Needs])] = &[
    ("read", &[Read]),
    ("write", &[Write]),
    ("command", &[Command, Reset]),
    ("command:Reset", &[Reset]),
    ("command:Unlock*", &[]),
    ("admin", &[Read, Write, Command, Reset, Admin]),
];

const OWNERS: [Option<&str>; 3] = [Some("owner-a"), Some("owner-b"), None];

/// Something of everything that can belong to an owner. What its owner has given names to carries `mark`.
struct Things {
    owner: Option<&'static str>,
    mark: &'static str,
    webhook: String,
    replay: String,
    event: String,
    delivery: String,
    station: String,
    command: String,
    bulk: String,
    transaction: String,
    tag: String,
    key: String,
}

impl Things {
    fn id(&self, about: About) -> &str {
        match about {
            All | Installation => "",
            Webhook => &self.webhook,
            Replay => &self.replay,
            Event => &self.event,
            Delivery => &self.delivery,
            Station => &self.station,
            TheCommand => &self.command,
            Bulk => &self.bulk,
            Transaction => &self.transaction,
            Tag => &self.tag,
            Key => &self.key,
        }
    }
}

/// The id that an answer shows.
fn id(body: &Value) -> String {
    match &body["id"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

struct World {
    gateway: Running,
    http: reqwest::Client,
    fresh: std::sync::atomic::AtomicU32,
}

/// A request's answer, as text and as what it says.
struct Answer {
    status: u16,
    text: String,
    body: Value,
}

impl World {
    async fn new() -> Self {
        let gateway = start(|config: &mut Config| {
            config.api_limits.api_requests_per_second = 1_000_000;
            config.api_limits.api_bad_keys_per_second = 1_000_000;
            config.limits.handshake_timeout = Span::seconds(20);
        })
        .await;
        Self { gateway, http: http_client(), fresh: 0.into() }
    }

    fn fresh_name(&self) -> String {
        format!("new-{}", self.fresh.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    async fn ask(&self, key: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
        let mut request = self.http.request(method.parse().expect("a method"), self.gateway.url(path));
        if let Some(key) = key {
            request = request.header("X-API-Key", key);
        }
        if !body.is_empty() {
            request = request.header("Content-Type", "application/json").body(body.to_owned());
        }
        let response = request.send().await.expect("answers");
        let status = response.status().as_u16();
        let streams = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event"));
        let text = if streams { String::new() } else { response.text().await.expect("text") };
        let body = serde_json::from_str(&text).unwrap_or_default();
        if let Some(path) = path.strip_prefix("/api/v1") {
            documented::check(method, path, status, &body);
        }
        Answer { status, text, body }
    }

    /// What a stream tells behind `begin`, up to where it says `end`.
    async fn told(&self, key: &str, path: &str, begin: &str, end: &str) -> String {
        let request = self.http.get(self.gateway.url(&format!("/api/v1/{path}"))).header("X-API-Key", key);
        let response = request.header("Last-Event-ID", begin).send().await.expect("answers");
        assert_eq!(response.status(), 200, "{path}");
        let (mut body, mut told) = (response.bytes_stream(), Vec::new());
        // The client's time-out ends a stream that never says it.
        while !String::from_utf8_lossy(&told).contains(end) {
            told.extend_from_slice(&body.next().await.expect("it goes on").expect("it says it in time"));
        }
        String::from_utf8(told).expect("UTF-8")
    }

    /// A call that must work.
    async fn made(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(Some(ADMIN_KEY), method, &format!("/api/v1{path}"), &body.to_string()).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text);
        answer.body
    }

    async fn key(&self, scopes: &[&str], owner: Option<&str>, name: &str) -> String {
        let body = json!({"name": name, "scopes": scopes, "owner_id": owner});
        self.made("POST", "/api-keys", body).await["key"].as_str().expect("shown once").to_owned()
    }

    /// Something of everything, of one owner.
    async fn things(&self, owner: Option<&'static str>) -> Things {
        let mark = match owner {
            Some("owner-a") => "MarkerA",
            Some(_) => "MarkerB",
            None => "MarkerNone",
        };
        let station = format!("{mark}-STATION");
        let made =
            json!({"station_id": station, "owner_id": owner, "name": mark, "metadata": {"note": mark}});
        self.made("POST", "/stations", made).await;
        let tag = format!("{mark}-TAG");
        let at_owner = owner.map_or(String::new(), |owner| format!("?owner_id={owner}"));
        self.made("PUT", &format!("/id-tags/{tag}{at_owner}"), json!({"note": mark})).await;
        // Nothing listens there, and the next try is tomorrow.
        let hook = json!({
            "name": mark, "url": format!("http://127.0.0.1:9/{mark}"), "owner_id": owner, "events": ["*"],
            "custom_headers": {"x-mark": mark}, "retry_schedule": ["24h"],
        });
        let webhook = id(&self.made("POST", "/webhooks", hook).await);

        let mut charger = self.gateway.charger(&station).await;
        let boot = json!({"chargePointVendor": mark, "chargePointModel": "M"});
        assert_eq!(charger.call("BootNotification", boot).await["status"], "Accepted");
        let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Charging", "info": mark});
        charger.call("StatusNotification", status).await;
        let began = json!({
            "connectorId": 1, "idTag": tag, "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z",
        });
        let transaction = charger.call("StartTransaction", began).await["transactionId"].to_string();
        let values = json!({
            "connectorId": 1, "transactionId": transaction.parse::<i64>().expect("a number"),
            "meterValue": [{"timestamp": "2026-04-14T12:05:00Z", "sampledValue": [{"value": "7"}]}],
        });
        charger.call("MeterValues", values).await;
        drop(charger);
        eventually("the station is gone", || async {
            let station = self.gateway.get(&format!("/stations/{station}")).await;
            (station["connected"] == false).then_some(())
        })
        .await;

        let reset: Value = serde_json::from_str(RESET).expect("JSON");
        let command = id(&self.made("POST", &format!("/stations/{station}/commands"), reset).await);
        let bulk = json!({"stations": [station], "action": "Reset", "payload": {"type": "Soft"},
            "offline": "queue", "metadata": {"note": mark}});
        let bulk = self.bulk(owner, bulk).await;
        let directed = json!({
            "event": "matrix.seed", "payload": {"note": mark}, "webhook_id": webhook.parse::<i64>().expect("a number"),
            "station_id": station,
        });
        let event = id(&self.made("POST", "/events", directed).await);
        let found = self.gateway.get(&format!("/deliveries?event_id={event}")).await;
        let delivery = id(&found["data"][0]);
        let replay = json!({"since": "2020-01-01T00:00:00Z", "only": "failed"});
        let replay = id(&self.made("POST", &format!("/webhooks/{webhook}/replay"), replay).await);
        let key = json!({"name": mark, "scopes": ["read"], "owner_id": owner});
        let key = id(&self.made("POST", "/api-keys", key).await);
        Things {
            owner,
            mark,
            webhook,
            replay,
            event,
            delivery,
            station,
            command,
            bulk,
            transaction,
            tag,
            key,
        }
    }

    /// A bulk command belongs to the owner of the key that it was requested with.
    async fn bulk(&self, owner: Option<&str>, body: Value) -> String {
        let key = self.key(&["command"], owner, "of the bulk command").await;
        let answer = self.ask(Some(&key), "POST", "/api/v1/bulk-commands", &body.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        id(&answer.body)
    }

    /// A thing like that, to be removed.
    async fn another(&self, about: About, owner: Option<&str>) -> String {
        let name = self.fresh_name();
        match about {
            Webhook => {
                let hook = json!({"url": "http://127.0.0.1:9/x", "owner_id": owner});
                id(&self.made("POST", "/webhooks", hook).await)
            }
            Station => {
                self.made("POST", "/stations", json!({"station_id": name, "owner_id": owner})).await;
                name
            }
            Tag => {
                let at_owner = owner.map_or(String::new(), |owner| format!("?owner_id={owner}"));
                self.made("PUT", &format!("/id-tags/{name}{at_owner}"), json!({})).await;
                name
            }
            Key => {
                let key = json!({"name": name, "scopes": ["read"], "owner_id": owner});
                id(&self.made("POST", "/api-keys", key).await)
            }
            other => panic!("nothing removes {other:?}"),
        }
    }

    /// The path, query and body with which a rule is tried on a thing; `bound`: by a key that has an owner.
    fn request(&self, rule: &Rule, id: &str, owner: Option<&str>, bound: bool) -> (String, String) {
        let fresh = self.fresh_name();
        let named = if rule.about == All { fresh.as_str() } else { id };
        let mut path = rule.path.replace("{id}", named).replace("{tag}", named);
        let mut query = rule.query.to_owned();
        if let (Tag, Some(owner), false) = (rule.about, owner, bound) {
            query = format!("owner_id={owner}");
        }
        if !query.is_empty() {
            path = format!("{path}?{query}");
        }
        (path, rule.body.replace("NEW", &fresh).replace("OWNER", &json!(owner).to_string()))
    }
}

#[test]
fn every_operation_has_a_rule_and_every_rule_an_operation() {
    let of_rules: BTreeSet<_> = RULES.iter().map(|rule| format!("{} {}", rule.method, rule.path)).collect();
    assert_eq!(of_rules.len(), RULES.len(), "one rule for each");
    let mut of_document = BTreeSet::new();
    for (path, item) in openapi_document()["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if operation.get("responses").is_some() {
                of_document.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert_eq!(of_rules, of_document);
}

#[tokio::test]
async fn every_route_with_every_key_on_things_of_every_owner() {
    let world = World::new().await;
    let mut things = Vec::new();
    for owner in OWNERS {
        things.push(world.things(owner).await);
    }
    let mut keys = Vec::new();
    for (scope, may) in SCOPES {
        for bound in [None, Some("owner-a")] {
            keys.push((world.key(&[scope], bound, "key").await, *scope, *may, bound));
        }
    }
    let revoked = world.made("POST", "/api-keys", json!({"name": "gone", "scopes": ["admin"]})).await;
    let path = format!("/api/v1/api-keys/{}", id(&revoked));
    assert_eq!(world.ask(Some(ADMIN_KEY), "DELETE", &path, "").await.status, 204);
    let revoked = revoked["key"].as_str().expect("shown once").to_owned();
    let soon = vocabulary::clock::Clock::System.now().after(std::time::Duration::from_millis(200));
    let expired = json!({"name": "old", "scopes": ["admin"], "expires_at": soon.to_string()});
    let expired = world.made("POST", "/api-keys", expired).await["key"].as_str().expect("shown").to_owned();
    eventually("the key expires", || async {
        let answer = world.ask(Some(&expired), "GET", "/api/v1/webhooks", "").await;
        (answer.status == 401).then_some(())
    })
    .await;

    let mut wrong = Vec::new();
    let mut tried = 0;
    for rule in RULES {
        for key in [None, Some("chk_bad"), Some(revoked.as_str()), Some(expired.as_str())] {
            let (path, body) = world.request(rule, things[0].id(rule.about), things[0].owner, false);
            let status = world.ask(key, rule.method, &path, &body).await.status;
            let expected: &[u16] = if rule.needs == Nothing { rule.allowed } else { &[401] };
            tried += 1;
            if !expected.contains(&status) {
                wrong.push(format!("{} {path} with {key:?}: {status}, not {expected:?}", rule.method));
            }
        }
        for (key, scope, may, bound) in keys.iter().filter(|_| rule.needs != Nothing) {
            for thing in &things {
                let is_refused = rule.about == Installation && bound.is_some();
                let may_at_all = !is_refused
                    && (may.contains(&rule.needs) || (rule.needs == Reset && scope.starts_with("command:")));
                let is_visible = rule.about == All || bound.is_none() || *bound == thing.owner;
                let expected: &[u16] = match (may_at_all, is_visible, may.contains(&rule.needs)) {
                    (false, _, _) => &[403],
                    // Before it is told that a key may not send this command, there must be a station for it.
                    (true, false, _) => &[404],
                    (true, true, false) => &[403],
                    (true, true, true) => rule.allowed,
                };
                let removed = rule.removes && expected == rule.allowed;
                let id = match removed {
                    true => world.another(rule.about, thing.owner).await,
                    false => thing.id(rule.about).to_owned(),
                };
                let (path, body) = world.request(rule, &id, thing.owner, bound.is_some());
                let answer = world.ask(Some(key), rule.method, &path, &body).await;
                tried += 1;
                if !expected.contains(&answer.status) {
                    wrong.push(format!(
                        "{} {path} with {scope} of {bound:?} on a thing of {:?}: {}, not {expected:?}: {}",
                        rule.method, thing.owner, answer.status, answer.text
                    ));
                }
                if matches!(rule.about, All | Installation) {
                    // Whose things there are makes no difference here.
                    break;
                }
            }
        }
    }
    assert!(tried > 1_500, "{tried}");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether it answers page by page.
fn is_list(rule: &Rule) -> bool {
    let operation = &openapi_document()["paths"][rule.path][rule.method.to_lowercase()];
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    parameters.iter().any(|parameter| parameter["name"] == "limit")
}

/// An id of the same kind that is nothing's.
fn unknown(about: About, id: &str) -> String {
    match about {
        Webhook | Transaction => "999999999".to_owned(),
        // The last digit of a time-sortable id is chance.
        Replay | Event | Delivery | TheCommand | Bulk | Key => {
            let (head, last) = id.split_at(id.len() - 1);
            format!("{head}{}", if last == "0" { "1" } else { "0" })
        }
        Station | Tag | All | Installation => format!("{id}-not"),
    }
}

#[tokio::test]
async fn what_is_another_owners_looks_like_nothing_at_all() {
    let world = World::new().await;
    let own = world.things(OWNERS[0]).await;
    let others = [world.things(OWNERS[1]).await, world.things(OWNERS[2]).await];
    let admin = world.key(&["admin"], own.owner, "bound").await;
    let mut wrong = Vec::new();
    for rule in RULES.iter().filter(|rule| !matches!(rule.about, All | Installation)) {
        for other in &others {
            let (theirs, nobodys) = (other.id(rule.about), unknown(rule.about, other.id(rule.about)));
            let ask = async |id: &str| {
                let (path, body) = world.request(rule, id, other.owner, true);
                let answer = world.ask(Some(&admin), rule.method, &path, &body).await;
                (answer.status, answer.text.replace(id, "ID"))
            };
            let (seen, unseen) = (ask(theirs).await, ask(&nobodys).await);
            if seen.0 != 404 || seen != unseen {
                wrong.push(format!(
                    "{} {} of {:?}: {seen:?}, {unseen:?}",
                    rule.method, rule.path, other.owner
                ));
            }
        }
    }
    // As a filter of a list, too.
    for other in &others {
        for (list, name, about) in [
            ("events", "station_id", Station),
            ("events", "webhook_id", Webhook),
            ("events", "transaction_id", Transaction),
            ("deliveries", "webhook_id", Webhook),
            ("deliveries", "event_id", Event),
            ("deliveries", "station_id", Station),
            ("failed-deliveries", "webhook_id", Webhook),
            ("replays", "webhook_id", Webhook),
            ("commands", "station_id", Station),
            ("transactions", "station_id", Station),
            ("transactions", "id_tag", Tag),
            ("reservations", "station_id", Station),
            ("audit", "resource_id", Webhook),
            ("audit", "key_id", Key),
        ] {
            let id = other.id(about);
            let path = format!("/api/v1/{list}?{name}={id}");
            let answer = world.ask(Some(&admin), "GET", &path, "").await;
            if answer.body != json!({"data": [], "next_cursor": null}) {
                wrong.push(format!("{path}: {}", answer.text));
            }
        }
        for query in [format!("event_id={}", other.event), format!("webhook_id={}", other.webhook)] {
            let path = format!("/api/v1/deliveries/resend?dry_run=true&status=failed&{query}");
            let answer = world.ask(Some(&admin), "POST", &path, "").await;
            if (answer.status, &answer.body) != (200, &json!({"matched": 0})) {
                wrong.push(format!("{path}: {}", answer.text));
            }
        }
        let after = format!("/api/v1/events?order=asc&after={}", other.event);
        let unknown = format!("/api/v1/events?order=asc&after={}", unknown(Event, &other.event));
        let (seen, unseen) = (
            world.ask(Some(&admin), "GET", &after, "").await,
            world.ask(Some(&admin), "GET", &unknown, "").await,
        );
        assert_eq!((seen.status, &seen.text), (422, &unseen.text), "a place in the log that is not theirs");
        let directed =
            json!({"event": "a.b", "payload": {}, "webhook_id": other.webhook.parse::<i64>().ok()});
        let answer = world.ask(Some(&admin), "POST", "/api/v1/events", &directed.to_string()).await;
        assert_eq!(answer.status, 404, "{}", answer.text);
        let about = async |station: &str| {
            let event = json!({"event": "a.b", "payload": {}, "owner_id": "owner-a", "station_id": station});
            world.ask(Some(&admin), "POST", "/api/v1/events", &event.to_string()).await
        };
        let (theirs, nobodys) = (about(&other.station).await, about("NO_SUCH_STATION").await);
        assert_eq!((theirs.status, theirs.text), (404, nobodys.text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_answer_to_one_owner_tells_of_another() {
    let world = World::new().await;
    let own = world.things(OWNERS[0]).await;
    let others = [world.things(OWNERS[1]).await, world.things(OWNERS[2]).await];
    // A station that was another owner's until now, and has said something then.
    let moved = json!({"station_id": "MOVED", "owner_id": "owner-b"});
    world.made("POST", "/stations", moved).await;
    let mut charger = world.gateway.charger("MOVED").await;
    charger.call("DataTransfer", json!({"vendorId": "V", "data": "MarkerB"})).await;
    world.made("PATCH", "/stations/MOVED", json!({"owner_id": "owner-a"})).await;
    charger.call("DataTransfer", json!({"vendorId": "V", "data": "its own"})).await;
    let admin = world.key(&["admin"], own.owner, "bound").await;
    let mut paths: Vec<String> =
        ["/api/v1/stations/MOVED/messages?limit=500", "/api/v1/stations/MOVED"].map(str::to_owned).to_vec();
    let is_read = |rule: &&Rule| rule.method == "GET" && !rule.path.ends_with("/stream");
    for rule in RULES.iter().filter(is_read).filter(|rule| rule.about != Installation) {
        let (path, _) = world.request(rule, own.id(rule.about), own.owner, true);
        let with = |query: &str| format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' });
        paths.push(path.clone());
        if rule.about == All && is_list(rule) {
            paths.push(with("limit=500"));
            paths.push(with("limit=500&order=asc"));
        }
    }
    for list in ["events", "deliveries", "failed-deliveries", "stations"] {
        for other in &others {
            paths.push(format!("/api/v1/{list}?q={}", other.mark));
        }
    }
    let mut own_marks = 0;
    for path in &paths {
        let answer = world.ask(Some(&admin), "GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        own_marks += answer.text.matches("MarkerA").count();
        for foreign in ["MarkerB", "MarkerNone", "owner-b"] {
            assert!(!answer.text.contains(foreign), "{path} tells of {foreign}: {}", answer.text);
        }
        if path.contains("q=Marker") {
            assert_eq!(answer.body["data"], json!([]), "{path}");
        }
    }
    assert!(own_marks > 20, "{own_marks}: there is something to be seen");
    let spoken = world.ask(Some(&admin), "GET", &paths[0], "").await;
    assert!(spoken.text.contains("its own"), "what it has said since: {}", spoken.text);

    // The same from a stream, from its beginning to what is told last.
    let last = json!({"event": "matrix.last", "payload": {"note": "MarkerA at last"}, "owner_id": "owner-a"});
    world.made("POST", "/events", last).await;
    for (path, begin, end) in [
        ("events/stream", "evt_00000000000000000000000000", "MarkerA at last"),
        ("events/stream?q=Marker*", "evt_00000000000000000000000000", "MarkerA at last"),
        ("stations/MOVED/messages?follow=true", "0-0", "its own"),
    ] {
        let told = world.told(&admin, path, begin, end).await;
        assert!(told.contains("\ndata: "), "{path}: {told}");
        for foreign in ["MarkerB", "MarkerNone", "owner-b"] {
            assert!(!told.contains(foreign), "{path} tells of {foreign}: {told}");
        }
    }

    // Page by page it is the same: a cursor leads nowhere else.
    let (mut cursor, mut seen) = (String::new(), 0);
    loop {
        let path = format!("/api/v1/events?limit=1{cursor}");
        let page = world.ask(Some(&admin), "GET", &path, "").await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(
            page.body["data"].as_array().expect("rows").iter().all(|event| event["owner_id"] == "owner-a")
        );
        seen += 1;
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(seen > 5, "{seen}");

    // Counts: what others get makes no number bigger.
    let hook = json!({"url": "http://127.0.0.1:9/late", "owner_id": "owner-a"});
    let late = id(&world.made("POST", "/webhooks", hook).await);
    let matched = async || {
        let path = format!("/api/v1/webhooks/{late}/replay");
        world.ask(Some(&admin), "POST", &path, SINCE).await.body["matched"].as_u64().expect("a number")
    };
    let before = matched().await;
    for owner in ["owner-b", "owner-c"] {
        let more = json!({"event": "a.b", "payload": {}, "owner_id": owner});
        world.made("POST", "/events", more).await;
    }
    assert_eq!(matched().await, before);
    assert!(before > 0);

    // Keys that two owners chose alike do not meet.
    let of_b = world.key(&["write"], Some("owner-b"), "other").await;
    let body = json!({"event": "a.b", "payload": {}, "owner_id": "owner-b", "idempotency_key": "same"});
    let first = world.ask(Some(&of_b), "POST", "/api/v1/events", &body.to_string()).await;
    let body = json!({"event": "a.b", "payload": {}, "owner_id": "owner-a", "idempotency_key": "same"});
    let second = world.ask(Some(&admin), "POST", "/api/v1/events", &body.to_string()).await;
    assert_eq!((first.status, second.status), (202, 202), "{} {}", first.text, second.text);
    assert_eq!(second.body["duplicate"], false);
    let with_key = async |key: &str| {
        let request = world.http.post(world.gateway.url("/api/v1/webhooks")).header("X-API-Key", key);
        let request = request.header("Idempotency-Key", "same").json(&json!({"url": "http://127.0.0.1:9/"}));
        let answer = request.send().await.expect("answers");
        assert!(!answer.headers().contains_key("idempotent-replayed"));
        answer.json::<Value>().await.expect("JSON")
    };
    assert_eq!(with_key(&of_b).await["owner_id"], "owner-b");
    assert_eq!(with_key(&admin).await["owner_id"], "owner-a");
}

#[tokio::test]
async fn a_bound_key_makes_things_for_its_owner_and_keys_are_made_by_admins() {
    let world = World::new().await;
    let admin = world.key(&["admin"], Some("owner-a"), "bound").await;
    for (path, body) in [
        ("/webhooks", json!({"url": "http://127.0.0.1:9/", "owner_id": "owner-b"})),
        ("/stations", json!({"station_id": "NAMED", "owner_id": "owner-b"})),
        ("/api-keys", json!({"name": "n", "scopes": ["read"], "owner_id": "owner-b"})),
        ("/events", json!({"event": "a.b", "payload": {}, "owner_id": "owner-b"})),
        ("/events", json!({"event": "a.b", "payload": {}, "broadcast": true})),
    ] {
        let answer = world.ask(Some(&admin), "POST", &format!("/api/v1{path}"), &body.to_string()).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
    }
    for (path, body) in [
        ("/webhooks", json!({"url": "http://127.0.0.1:9/"})),
        ("/stations", json!({"station_id": "OWN"})),
        ("/api-keys", json!({"name": "n", "scopes": ["admin"]})),
    ] {
        let answer = world.ask(Some(&admin), "POST", &format!("/api/v1{path}"), &body.to_string()).await;
        assert_eq!((answer.status, &answer.body["owner_id"]), (201, &json!("owner-a")), "{}", answer.text);
    }
    // A row of an import that names another owner is wrong, and no other row is.
    let import = async |list: &str, rows: Value| {
        let path = format!("/api/v1/{list}/import");
        let answer = world.ask(Some(&admin), "POST", &path, &rows.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let rows = answer.body["data"].as_array().expect("rows").iter();
        rows.map(|row| (row["result"].clone(), row["errors"][0]["field"].clone())).collect::<Vec<_>>()
    };
    let (created, invalid) =
        ((json!("created"), Value::Null), |field: &str| (json!("invalid"), json!(field)));
    world.made("POST", "/stations", json!({"station_id": "OF_B", "owner_id": "owner-b"})).await;
    let rows = json!([{"station_id": "STOLEN", "owner_id": "owner-b"}, {"station_id": "IMPORTED"},
        {"station_id": "OF_B"}, {"station_id": "OF_B_2", "owner_id": "owner-b"}]);
    let expected = [invalid("owner_id"), created.clone(), invalid("station_id"), invalid("owner_id")];
    assert_eq!(import("stations", rows).await, expected);
    for station in ["STOLEN", "OF_B_2"] {
        assert_eq!(world.gateway.api("GET", &format!("/stations/{station}"), None).await.0, 404);
    }
    assert_eq!(world.gateway.get("/stations/OF_B").await["owner_id"], "owner-b");
    assert_eq!(world.gateway.get("/stations/IMPORTED").await["owner_id"], "owner-a");
    assert_eq!(world.gateway.api("PUT", "/id-tags/T_B?owner_id=owner-b", Some(json!({}))).await.0, 201);
    let rows = json!([{"id_tag": "T_1"}, {"id_tag": "T_2", "owner_id": "owner-b"},
        {"id_tag": "T_B", "owner_id": "owner-b"}, {"id_tag": "T_B"}]);
    let expected = [created.clone(), invalid("owner_id"), invalid("owner_id"), created];
    assert_eq!(import("id-tags", rows).await, expected, "a tag that others have too is another tag");
    assert_eq!(world.gateway.api("GET", "/id-tags/T_2?owner_id=owner-b", None).await.0, 404);
    assert_eq!(world.gateway.get("/id-tags/T_1?owner_id=owner-a").await["owner_id"], "owner-a");
    // Whose the identity is that a station cannot have is nobody's business.
    let taken = async |id: &str| {
        let body = json!({"station_id": id}).to_string();
        let answer = world.ask(Some(&admin), "POST", "/api/v1/stations", &body).await;
        (answer.status, answer.text.replace(id, "ID"))
    };
    assert_eq!(taken("OF_B").await, taken("IMPORTED").await);
    assert_eq!(taken("OF_B").await.0, 409);
    for list in [
        "webhooks",
        "stations",
        "events",
        "deliveries",
        "transactions",
        "commands",
        "bulk-commands",
        "replays",
        "audit",
    ] {
        let path = format!("/api/v1/{list}?owner_id=owner-b");
        assert_eq!(world.ask(Some(&admin), "GET", &path, "").await.status, 403, "{path}");
    }
    // A key without `admin` makes none, whatever else it may.
    let all_but = world.key(&["read", "write", "command"], None, "all but").await;
    let body = json!({"name": "n", "scopes": ["read"]}).to_string();
    assert_eq!(world.ask(Some(&all_but), "POST", "/api/v1/api-keys", &body).await.status, 403);
}
