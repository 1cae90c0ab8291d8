//! Several nodes in one process, on PostgreSQL; without `CHARGEHOOK_TEST_STORE` there is nothing to test.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::job::Reads;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::log::append::{self, AppendOptions};
use crate::seed::SeedWebhook;
use crate::test_store::shared_address;
use crate::{
    Advice, CallPolicy, Connected, ConnectionEnd, EventFilter, Identity, KeySource, LaneClaim, Opened,
    Priority, Scope, Slice, StationNews, Store, StoreError, TagRules,
};
use vocabulary::api::node::Status;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::{StationId, WebhookId};
use vocabulary::ocpp::Validation;
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::frame::MessageId;
use vocabulary::ocpp::message::{Inbound, MessageAction};
use vocabulary::ocpp::protocol::Protocol;
use vocabulary::ocpp::reading::Reading;

/// The shortest that is allowed.
const LEASE: Duration = Duration::from_secs(3);

/// Nodes of one schema, each with a directory of its own and the key of the first.
struct Cluster {
    dir: tempfile::TempDir,
}

/// A node, and what keeps it one.
struct Member {
    store: Store,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// `None`, and a word on why, where there is no PostgreSQL.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        if shared_address(dir.path()).is_none() {
            println!("skipped: CHARGEHOOK_TEST_STORE names no PostgreSQL");
            return None;
        }
        Some(Self { dir })
    }

    fn try_open(&self, name: &str, port: u16) -> Result<Store, StoreError> {
        let address = shared_address(self.dir.path()).expect("there is one");
        let identity = Identity {
            name: name.to_owned(),
            ocpp_addr: Some(format!("127.0.0.1:{port}")),
            api_addr: None,
            lease: LEASE,
        };
        let key = KeySource::file_in(self.dir.path());
        let own: &Path = &self.dir.path().join(name);
        let Opened { store, .. } = Store::open_shared(&address, identity, own, &key, Clock::System)?;
        Ok(store)
    }

    fn node(&self, name: &str, port: u16) -> Member {
        let store = self.try_open(name, port).expect("it joins");
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn({
                let (store, stop) = (store.clone(), stop.clone());
                async move { store.be_node(stop).await }
            }),
            tokio::spawn({
                let (store, stop) = (store.clone(), stop.clone());
                async move { store.hear_others(stop).await }
            }),
        ];
        Member { store, stop, tasks }
    }
}

impl Member {
    /// Ends as if it had been killed: nobody hears of it.
    fn dies(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    async fn leaves(self) {
        self.store.begin_to_leave().await;
        self.store.leave().await;
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("it ends");
        }
        self.store.close();
    }

    async fn connect(&self, station: &str, generation: u64) {
        let connected = Connected {
            station_id: id(station),
            generation: ((self.epoch() as u64) << 32) + generation,
            protocol: Protocol::default(),
            remote_addr: "127.0.0.1:1".to_owned(),
            security_profile: 0,
            certificate: None,
            ratchet: false,
            discovered_as: Some(BootStatus::Accepted),
            flags: Vec::new(),
        };
        assert!(self.store.connected(connected).await.expect("writes").is_ok());
    }

    fn epoch(&self) -> i64 {
        *self.store.epochs().borrow()
    }

    /// The types of the newest events, the newest last.
    async fn events(&self) -> Vec<String> {
        let slice = Slice { ascending: true, after: None, limit: 500 };
        let listed = self.store.events(EventFilter::default(), slice).await.expect("reads");
        listed.rows.into_iter().map(|event| event.event.to_string()).collect()
    }

    fn claim(&self, lane: WebhookId) -> LaneClaim {
        LaneClaim {
            webhook_id: lane,
            limit: 100,
            resends_only: false,
            order_max_wait: Duration::ZERO,
            after_station: String::new(),
        }
    }
}

fn id(station: &str) -> StationId {
    StationId::new(station).expect("legal")
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Nothing that it wants to write is written.
async fn is_fenced(store: &Store) {
    let first = store.seed_events("CP", 1).await;
    let refused = match first {
        // The session that it wrote with was ended.
        Err(StoreError::Away(_)) => store.seed_events("CP", 1).await,
        refused => refused,
    };
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_write_one_log_without_gaps_in_the_order_of_their_commits() {
    let Some(cluster) = Cluster::new() else { return };
    let (one, other) = (cluster.node("one", 1), cluster.node("other", 2));
    let webhook = one.store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("a webhook");
    let write = |store: Store| async move {
        let mut made = Vec::new();
        for _ in 0..40 {
            made.extend(store.seed_events("CP", 3).await.expect("stored"));
        }
        made
    };
    let (ours, theirs) = tokio::join!(write(one.store.clone()), write(other.store.clone()));
    for made in [&ours, &theirs] {
        assert!(made.is_sorted(), "a node's own are in its order");
    }
    let numbered = "SELECT count(*) FROM (
        SELECT station_seq, row_number() OVER (ORDER BY seq) AS nth, id, lag(id) OVER (ORDER BY seq) AS before
        FROM events WHERE station_id = 'CP') AS e WHERE station_seq <> nth OR id <= before";
    assert_eq!(one.store.seed_number(numbered).await, 0, "ids and numbers follow the rows");
    assert_eq!(other.store.seed_number("SELECT count(*) FROM events WHERE station_id = 'CP'").await, 240);
    let sequences = "SELECT count(*) FROM (
        SELECT sequence, row_number() OVER (ORDER BY seq) AS nth FROM deliveries) AS d WHERE sequence <> nth";
    assert_eq!(one.store.seed_number(sequences).await, 0, "a webhook's sequence has no gaps");
    let made = "SELECT count(*) FROM deliveries WHERE webhook_id = 1";
    assert!(webhook == 1 && other.store.seed_number(made).await >= 240, "the other node knows the webhook");
    one.leaves().await;
    other.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lane_is_sent_by_one_node_and_moves_when_that_leaves() {
    let Some(cluster) = Cluster::new() else { return };
    let one = cluster.node("one", 1);
    for _ in 0..12 {
        one.store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("a webhook");
    }
    let other = cluster.node("other", 2);
    let lanes_of = async |name: &str| {
        let nodes = one.store.nodes().await.expect("reads");
        nodes.iter().find(|node| node.name == name).map(|node| node.lanes)
    };
    eventually("both have some of the twelve", async || {
        let (here, there) = (lanes_of("one").await?, lanes_of("other").await?);
        (here > 0 && there > 0 && here + there == 12).then_some(())
    })
    .await;
    one.store.seed_events("CP", 1).await.expect("stored");
    let claim_all = async |member: &Member| {
        let lanes = (1..=12).map(|lane| member.claim(lane)).collect();
        let claimed = member.store.claim(lanes, |_, _| true).await.expect("claims");
        claimed.iter().map(|lane| lane.deliveries.len() as u64).sum::<u64>()
    };
    let made = one.store.seed_number("SELECT count(*) FROM deliveries").await as u64;
    let (mut here, mut there) = (0, 0);
    // A lane is used a moment after it was taken.
    eventually("each is claimed", async || {
        here += claim_all(&one).await;
        there += claim_all(&other).await;
        (here + there >= made).then_some(())
    })
    .await;
    assert_eq!(here + there, made, "each is claimed once");
    assert!(here > 0 && there > 0);
    // What is under way at a node that leaves goes on elsewhere, once.
    other.leaves().await;
    eventually("the other's lanes have moved", async || (lanes_of("one").await? == 12).then_some(())).await;
    let mut again = 0;
    eventually("what it had begun is due again", async || {
        again += claim_all(&one).await;
        (again >= there).then_some(())
    })
    .await;
    assert_eq!(again, there, "once");
    one.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_is_lost_once_and_what_it_had_is_settled() {
    let Some(cluster) = Cluster::new() else { return };
    let (one, other) = (cluster.node("one", 1), cluster.node("other", 2));
    one.connect("HERE", 1).await;
    other.connect("THERE", 1).await;
    let lost = other.epoch();
    let (began, dead) = (Instant::now(), other.store.clone());
    other.dies();
    eventually("it is lost", async || one.events().await.contains(&"NodeLost".to_owned()).then_some(()))
        .await;
    let took = began.elapsed();
    assert!(took < LEASE + Duration::from_secs(3), "{took:?}");
    let events = one.events().await;
    assert_eq!(events.iter().filter(|event| *event == "NodeJoined").count(), 2);
    assert_eq!(events.iter().filter(|event| *event == "StationDisconnected").count(), 1, "{events:?}");
    let there = one.store.station(id("THERE")).await.expect("reads").expect("known");
    assert_eq!((there.connected, there.disconnect_reason.as_deref()), (false, Some("node_lost")));
    assert!(one.store.station(id("HERE")).await.expect("reads").expect("known").connected);
    let nodes = one.store.nodes().await.expect("reads");
    let status = |epoch| nodes.iter().find(|node| node.epoch == epoch).map(|node| node.status);
    assert_eq!((status(lost), status(one.epoch())), (Some(Status::Lost), Some(Status::Active)));
    // It was only away: whatever it still wants to write is refused until it has joined again.
    assert!(!dead.may_act());
    is_fenced(&dead).await;
    one.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_goes_to_the_node_that_it_connects_to_last_and_news_of_it_follow() {
    let Some(cluster) = Cluster::new() else { return };
    let (one, other) = (cluster.node("one", 1), cluster.node("other", 2));
    other.connect("CP", 1).await;
    assert!(!other.store.tell_node_of(id("CP"), StationNews::Requested).await.expect("writes"), "it is here");
    assert!(one.store.tell_node_of(id("CP"), StationNews::Requested).await.expect("writes"));
    let news = tokio::time::timeout(Duration::from_secs(5), other.store.station_news()).await.expect("told");
    assert_eq!(news, [(id("CP"), StationNews::Requested)]);
    let generation = ((other.epoch() as u64) << 32) + 1;
    one.connect("CP", 1).await;
    let news = tokio::time::timeout(Duration::from_secs(5), other.store.station_news()).await.expect("told");
    assert_eq!(news, [(id("CP"), StationNews::TakenOver)]);
    let end = ConnectionEnd { code: Some(1000), reason: "replaced".into(), duration_ms: 1, replaced: true };
    other.store.disconnected(id("CP"), generation, Timestamp::from_unix_ms(1), end).await.expect("writes");
    let station = one.store.station(id("CP")).await.expect("reads").expect("known");
    assert!(station.connected, "the end of the old connection is not the end of the new one");
    one.leaves().await;
    other.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_of_one_node_and_its_next_start_fences_the_one_before() {
    let Some(cluster) = Cluster::new() else { return };
    let one = cluster.node("one", 1);
    // Its addresses are told with its first sign of life.
    let refused = cluster.try_open("one", 2).err().expect("refused");
    assert!(matches!(refused, StoreError::NodeRuns(_)), "{refused}");
    one.connect("CP", 1).await;
    let before = one.store.clone();
    one.dies();
    let again = cluster.node("one", 1);
    is_fenced(&before).await;
    let station = again.store.station(id("CP")).await.expect("reads").expect("known");
    assert_eq!(station.disconnect_reason.as_deref(), Some("gateway_stopped"));
    let names: Vec<_> = again.store.nodes().await.expect("reads").into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["one"]);
    again.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writes_that_go_together_the_one_at_fault_fails_alone() {
    let Some(cluster) = Cluster::new() else { return };
    let one = cluster.node("one", 1);
    let write = |nth: i64| {
        let key = if nth % 5 == 0 { "the same".to_owned() } else { format!("of {nth}") };
        let engine = one.store.inner.clone();
        async move {
            let work = move |w: &mut Tx<'_>| {
                w.send("INSERT INTO meta (key, value) VALUES (?1, ?2)", params![key, nth])?;
                let payload = RawValue::from_string(nth.to_string()).expect("JSON");
                let event = NewEvent::new(Category::Custom, "Tried", w.now, payload);
                append::append(w, &event, AppendOptions::default())
            };
            let write = engine.engine.write_repeatable(
                Priority::Inbound,
                Scope::Installation,
                Reads::default(),
                work,
            );
            write.await
        }
    };
    let done = futures_util::future::join_all((0..50).map(write)).await;
    let failed = done.iter().filter(|done| matches!(done, Err(StoreError::Failed(_)))).count();
    assert_eq!((failed, done.iter().filter(|done| done.is_ok()).count()), (9, 41), "{done:?}");
    let kept = "SELECT count(*) FROM meta WHERE key = 'the same' OR key LIKE 'of %'";
    assert_eq!(one.store.seed_number(kept).await, 41);
    let mut positions: Vec<_> = done.into_iter().flatten().collect();
    positions.sort_unstable();
    positions.dedup();
    let events = "SELECT count(*) FROM events WHERE event = 'Tried'";
    assert_eq!((positions.len(), one.store.seed_number(events).await), (41, 41), "each has its own row");
    one.leaves().await;
}

/// A call, and how often it may wait for the database's answer: its beginning and its commit included.
const CALLS: [(&str, &str, u64); 6] = [
    ("BootNotification", r#"{"chargePointVendor":"V","chargePointModel":"M"}"#, 9),
    ("Heartbeat", "{}", 3),
    ("StatusNotification", r#"{"connectorId":1,"status":"Available","errorCode":"NoError"}"#, 3),
    (
        "StartTransaction",
        r#"{"connectorId":1,"idTag":"T","meterStart":0,"timestamp":"2026-04-14T12:00:00Z"}"#,
        4,
    ),
    (
        "MeterValues",
        r#"{"connectorId":1,"transactionId":1,
            "meterValue":[{"timestamp":"2026-04-14T12:10:00Z","sampledValue":[{"value":"10"}]}]}"#,
        4,
    ),
    (
        "StopTransaction",
        r#"{"transactionId":1,"idTag":"T","meterStop":10,"timestamp":"2026-04-14T12:20:00Z"}"#,
        4,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_few_answers_of_the_database() {
    let Some(cluster) = Cluster::new() else { return };
    let one = cluster.node("one", 1);
    one.store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("a webhook");
    one.connect("CP", 1).await;
    let policy = CallPolicy {
        heartbeat_interval_s: 300,
        tags: TagRules { unknown: UnknownIdTag::Accept, outside: None },
        data_transfer_vendors: Vec::new(),
    };
    let calls = one.store.calls(policy);
    let serve = async |station: &str, action: &str, payload: &str| {
        let now = Clock::System.now();
        let (action, _) = MessageAction::recognise(Protocol::default(), action).expect("an action");
        let reading = Reading { validation: Validation::Lenient, received_at: now, zone: None };
        let payload = RawValue::from_string(payload.to_owned()).expect("JSON");
        let call = Inbound::read(MessageId::from_text("1"), action, payload, &reading).expect("readable");
        calls.serve(id(station), call, now, Advice::default()).await.expect("serves");
    };
    let waits = || one.store.statistics().round_trips.sum();
    // The first of each kind prepares its statements, and a node writes for itself now and then: the fewest
    // of several rounds.
    let mut fewest = [u64::MAX; CALLS.len()];
    for _ in 0..4 {
        for ((action, payload, _), fewest) in CALLS.iter().zip(&mut fewest) {
            let before = waits();
            serve("CP", action, payload).await;
            *fewest = (waits() - before).min(*fewest);
        }
    }
    for ((action, _, most), waited) in CALLS.iter().zip(fewest) {
        assert!(waited <= *most, "{action}: {waited}");
    }
    // Many together wait for hardly more than one.
    let stations: Vec<String> = (0..60).map(|nth| format!("CP_{nth}")).collect();
    for (nth, station) in stations.iter().enumerate() {
        one.connect(station, nth as u64 + 2).await;
    }
    let (status, payload, _) = CALLS[2];
    let mut fewest = u64::MAX;
    for _ in 0..4 {
        let before = waits();
        futures_util::future::join_all(stations.iter().map(|station| serve(station, status, payload))).await;
        fewest = fewest.min(waits() - before);
    }
    assert!(fewest <= 30, "{} calls: {fewest}", stations.len());
    one.leaves().await;
}
