//! The live stream of events: resumed without gap or repeat, for those who may see it, and ended in time.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::harness::{ADMIN_KEY, DEADLINE, Running, eventually, http_client, start};
use store::test_store::is_shared;

const NEVER: &str = "evt_00000000000000000000000000";

/// One event as it is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) event: String,
    data: Value,
}

/// An open stream, read as the specification of server-sent events says.
pub(crate) struct Reader {
    body: Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    bytes: Vec<u8>,
    /// What a reader would come back with.
    last_id: Option<String>,
}

async fn open(gateway: &Running, key: &str, query: &str, last: Option<&str>) -> reqwest::Response {
    // The client's own time-out would end a stream.
    let mut request = http_client()
        .get(gateway.url(&format!("/api/v1/events/stream?{query}")))
        .timeout(Duration::from_secs(600))
        .header("X-API-Key", key);
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    request.send().await.expect("answers")
}

impl Reader {
    pub(crate) async fn open(gateway: &Running, key: &str, query: &str, last: Option<&str>) -> Self {
        let response = open(gateway, key, query, last).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: Box::pin(response.bytes_stream()), bytes: Vec::new(), last_id: None }
    }

    /// The next block, whatever it is; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
                return Some(String::from_utf8(block).expect("UTF-8"));
            }
            let chunk = timeout(DEADLINE, self.body.next()).await.expect("something comes in time")?;
            self.bytes.extend_from_slice(&chunk.ok()?);
        }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            let block = self.block().await?;
            let (mut event, mut data) = (String::new(), Vec::new());
            for line in block.lines() {
                match line.split_once(": ").unwrap_or((line, "")) {
                    ("id", id) => self.last_id = Some(id.to_owned()),
                    ("event", name) => event = name.to_owned(),
                    ("data", line) => data.push(line.to_owned()),
                    _ => {}
                }
            }
            if !data.is_empty() {
                let data = serde_json::from_str(&data.join("\n")).expect("JSON");
                return Some(Told { id: self.last_id.clone().expect("an id"), event, data });
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Told> {
        let mut told = Vec::new();
        while told.len() < count {
            told.push(self.next().await.expect("it goes on"));
        }
        told
    }

    /// Waits for the id at the beginning: from here on nothing is missed.
    async fn begun(mut self) -> Self {
        while self.last_id.is_none() {
            let block = self.block().await.expect("it goes on");
            self.last_id = block.lines().find_map(|line| line.strip_prefix("id: ")).map(str::to_owned);
        }
        self
    }
}

async fn all_events(gateway: &Running, query: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("/events?order=asc&limit=500&{query}{cursor}")).await;
        rows.extend(page["data"].as_array().expect("a list").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_goes_on_without_gap_or_repeat_under_load() {
    let gateway = start(|_| {}).await;
    const CHARGERS: usize = 4;
    const CALLS: usize = 120;
    let reader = Reader::open(&gateway, ADMIN_KEY, "event=Heartbeat", None).await.begun().await;
    let load = async {
        let chargers = (0..CHARGERS).map(|n| {
            let gateway = &gateway;
            async move {
                let mut charger = gateway.charger(&format!("CP_{n}")).await;
                for _ in 0..CALLS {
                    charger.call("Heartbeat", json!({})).await;
                }
            }
        });
        futures_util::future::join_all(chargers).await;
    };
    let reading = async {
        let (mut reader, mut told, mut cuts) = (reader, Vec::new(), 0);
        while told.len() < CHARGERS * CALLS {
            told.push(reader.next().await.expect("it goes on"));
            // Cut off in the middle of what it is told, again and again.
            if told.len() % 37 == 0 {
                cuts += 1;
                let last = reader.last_id.clone();
                reader = Reader::open(&gateway, ADMIN_KEY, "event=Heartbeat", last.as_deref()).await;
            }
        }
        (told, cuts)
    };
    let ((), (told, cuts)) = tokio::join!(load, reading);
    assert!(cuts > 5);
    let listed = all_events(&gateway, "event=Heartbeat").await;
    assert_eq!(told.len(), listed.len());
    for (told, listed) in told.iter().zip(&listed) {
        assert_eq!((&told.data, told.event.as_str()), (listed, "Heartbeat"));
        assert_eq!(listed["id"], told.id.as_str());
    }
}

#[tokio::test]
async fn a_stream_cut_before_its_first_event_misses_nothing() {
    let gateway = start(|_| {}).await;
    let early = Reader::open(&gateway, ADMIN_KEY, "event=Heartbeat", None).await.begun().await;
    let (_, key) = gateway
        .api("POST", "/api-keys", Some(json!({"name": "a", "scopes": ["read"], "owner_id": "acme"})))
        .await;
    let key = key["key"].as_str().expect("a key").to_owned();
    let empty = Reader::open(&gateway, &key, "", None).await.begun().await;
    assert_eq!(empty.last_id.as_deref(), Some(NEVER), "there is nothing it could name");
    let mut charger = gateway.charger("CP").await;
    charger.call("Heartbeat", json!({})).await;
    let bound = Reader::open(&gateway, &key, "", None).await.begun().await;
    assert_eq!(bound.last_id.as_deref(), Some(NEVER), "nor does another owner's event show");
    let last = early.last_id.clone();
    drop(early);
    let mut again = Reader::open(&gateway, ADMIN_KEY, "event=Heartbeat", last.as_deref()).await;
    // Nothing but events has an id where the reader had one to come back with: what it has is not told again.
    assert_eq!(again.block().await.as_deref(), Some("retry: 1000\n\n"));
    let first = again.block().await.expect("it goes on");
    assert!(first.starts_with("id: evt_") && first.contains("\nevent: Heartbeat\ndata: {"), "{first}");
    let mut whole = Reader::open(&gateway, ADMIN_KEY, &format!("after={NEVER}"), None).await;
    // On PostgreSQL a gateway begins with an event about itself.
    let skipped = usize::from(is_shared());
    let told: Vec<_> =
        whole.take(skipped + 3).await.into_iter().skip(skipped).map(|told| told.event).collect();
    assert_eq!(told, ["StationDiscovered", "StationConnected", "Heartbeat"]);

    let nonsense = open(&gateway, ADMIN_KEY, "", Some("yesterday")).await;
    assert_eq!(nonsense.status(), 400);
    // Older than everything that is kept: nobody can say what was in between.
    let forgotten = open(&gateway, ADMIN_KEY, "", Some("evt_00000000000000000000000001")).await;
    assert_eq!(forgotten.status(), 410);
    let wrong = open(&gateway, ADMIN_KEY, "event=Fly&wait=1s", None).await;
    assert_eq!(wrong.status(), 422);
}

#[tokio::test]
async fn a_stream_tells_what_the_list_with_the_same_filters_tells() {
    let gateway = start(|_| {}).await;
    for (station, owner) in [("CP_1", "acme"), ("CP_2", "umbrella")] {
        let body = json!({"station_id": station, "owner_id": owner});
        assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
    }
    let hook = json!({"url": "http://127.0.0.1:9/", "enabled": false, "events": ["StartTransaction"]});
    let (_, hook) = gateway.api("POST", "/webhooks", Some(hook)).await;
    let mut transaction = Value::Null;
    for station in ["CP_1", "CP_2"] {
        let mut charger = gateway.booted(station).await;
        let start =
            json!({"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
        transaction = charger.call("StartTransaction", start.clone()).await["transactionId"].clone();
        // The same start again, as a retry: stored as a duplicate.
        charger.call("StartTransaction", start).await;
        let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Charging",
            "timestamp": "2026-04-14T12:00:05Z"});
        charger.call("StatusNotification", status).await;
    }
    let all = all_events(&gateway, "").await;
    let half = all[all.len() / 2]["timestamp"].as_str().expect("a time");
    let last = Reader::open(&gateway, ADMIN_KEY, "", None).await.begun().await;
    drop(last);
    for filter in [
        String::new(),
        "duplicate=false".to_owned(),
        "duplicate=true".to_owned(),
        "event=StartTransaction&event=StatusNotification".to_owned(),
        "event=Start*".to_owned(),
        "event=station.*".to_owned(),
        "event=*".to_owned(),
        "station_id=CP_2".to_owned(),
        "owner_id=acme".to_owned(),
        format!("webhook_id={}", hook["id"]),
        format!("transaction_id={transaction}"),
        format!("since={half}"),
        format!("until={half}"),
        "occurred_since=2026-04-14T12:00:05Z".to_owned(),
        "occurred_until=2026-04-14T12:00:05Z&event=ocpp.*".to_owned(),
        "q=charging".to_owned(),
        format!("owner_id=umbrella&event=ocpp.*&since={half}&q=TAG"),
    ] {
        // Said or not, repeats are told only to those who ask for them.
        let listing =
            if filter.contains("duplicate") { filter.clone() } else { format!("{filter}&duplicate=false") };
        let listed = all_events(&gateway, listing.trim_start_matches('&')).await;
        assert!(!listed.is_empty(), "{filter}: a filter that nothing fits proves nothing");
        let mut reader = Reader::open(&gateway, ADMIN_KEY, &format!("{filter}&after={NEVER}"), None).await;
        let told: Vec<_> = reader.take(listed.len()).await.into_iter().map(|told| told.data).collect();
        assert_eq!(told, listed, "{filter}");
    }
}

#[tokio::test]
async fn a_key_bound_to_an_owner_sees_its_own_until_it_is_revoked() {
    let gateway = start(|_| {}).await;
    let key = json!({"name": "acme", "scopes": ["read"], "owner_id": "acme"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(key)).await;
    let (id, key) = (key["id"].as_str().expect("an id"), key["key"].as_str().expect("a key"));
    for (station, owner) in [("CP_1", Some("acme")), ("CP_2", Some("umbrella")), ("CP_3", None)] {
        let body = json!({"station_id": station, "owner_id": owner});
        assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
    }
    let mut reader = Reader::open(&gateway, key, "event=Heartbeat", None).await.begun().await;
    for station in ["CP_2", "CP_3", "CP_1", "CP_2", "CP_1"] {
        gateway.charger(station).await.call("Heartbeat", json!({})).await;
    }
    let told = reader.take(2).await;
    assert!(told.iter().all(|told| told.data["station_id"] == "CP_1"), "{told:?}");
    assert_eq!(open(&gateway, key, "owner_id=umbrella", None).await.status(), 403);

    let (status, _) = gateway.api("DELETE", &format!("/api-keys/{id}"), None).await;
    assert_eq!(status, 204);
    assert_eq!(reader.next().await, None, "a stream does not outlive its key");
}

#[tokio::test]
async fn a_payload_of_several_lines_arrives_as_it_was_sent() {
    let gateway = start(|_| {}).await;
    let mut reader = Reader::open(&gateway, ADMIN_KEY, "event=DataTransfer", None).await.begun().await;
    let mut charger = gateway.booted("CP").await;
    charger.send("[2,\"d\",\"DataTransfer\",{\r\n  \"vendorId\": \"V\",\n\n \"data\": \"x\\ny\"\r}]").await;
    charger.receive().await;
    assert_eq!(reader.take(1).await[0].data["payload"], json!({"vendorId": "V", "data": "x\ny"}));
}

#[tokio::test]
async fn places_are_limited_and_freed() {
    let gateway = start(|config| config.api_limits.streams = 2).await;
    let first = Reader::open(&gateway, ADMIN_KEY, "", None).await;
    let _second = Reader::open(&gateway, ADMIN_KEY, "", None).await;
    assert_eq!(open(&gateway, ADMIN_KEY, "", None).await.status(), 503);
    drop(first);
    eventually("its place is free", || async {
        (open(&gateway, ADMIN_KEY, "", None).await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_keeps_nobody_waiting_and_gets_everything() {
    // Large messages count more than once against the burst.
    let gateway = start(|config| config.limits.message_burst = 100_000).await;
    let mut slow = Reader::open(&gateway, ADMIN_KEY, "event=DataTransfer", None).await.begun().await;
    let mut quick = Reader::open(&gateway, ADMIN_KEY, "event=DataTransfer", None).await.begun().await;
    let mut charger = gateway.booted("CP").await;
    // More than sockets hold, and far more than one piece.
    const EVENTS: usize = 120;
    let data = "x".repeat(200_000);
    let sent = async {
        for n in 0..EVENTS {
            charger.call("DataTransfer", json!({"vendorId": n.to_string(), "data": data})).await;
        }
    };
    let ((), told) = tokio::join!(sent, quick.take(EVENTS));
    let late = slow.take(EVENTS).await;
    assert_eq!(late, told);
    let vendors: Vec<_> = late.iter().map(|told| told.data["payload"]["vendorId"].clone()).collect();
    assert_eq!(vendors, (0..EVENTS).map(|n| json!(n.to_string())).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_stream_holds_up_a_stop() {
    let gateway = start(|config| config.limits.message_burst = 100_000).await;
    let mut idle = Reader::open(&gateway, ADMIN_KEY, "", None).await.begun().await;
    let mut charger = gateway.booted("CP").await;
    for n in 0..80 {
        let data = json!({"vendorId": n.to_string(), "data": "x".repeat(200_000)});
        charger.call("DataTransfer", data).await;
    }
    // It takes nothing, so the gateway stands in the middle of telling it.
    let _stuck = open(&gateway, ADMIN_KEY, &format!("after={NEVER}"), None).await;
    drop(charger);
    let began = Instant::now();
    gateway.gateway.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    while idle.next().await.is_some() {}
}
