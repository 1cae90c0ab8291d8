//! Delivery cases of fairness and pace, in their quick versions. The numbers in the names are those of the
//! list of delivery cases.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::units::{ByteSize, Span};

use crate::deliveries::{deliveries, webhook};
use crate::harness::{Charger, Running, eventually, start, start_by};
use crate::proxy::{Proxy, Way};
use crate::receiver::{Answer, Received, Receiver};
use crate::replays::{beats, wait_for};

/// Far more than a delivery takes on a busy machine, far less than an endpoint that hangs.
const PROMPT: Duration = Duration::from_secs(8);

#[tokio::test]
async fn delivery_case_9_a_start_with_a_backlog_serves_chargers_at_once() {
    // Who hangs is cut off soon.
    let gateway = start(|config| config.server.stop_deadline = Span(Duration::from_millis(400))).await;
    let silent = Receiver::always(Answer::Silence).await;
    let hook = webhook(&gateway, &silent.url, json!({"timeout": "60s", "max_in_flight": 2})).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 400).await;
    let gateway = gateway.restart(|_| {}).await;
    let began = Instant::now();
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 10).await;
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    wait_for(&gateway, &hook, "processing", 2).await;
    let all = deliveries(&gateway, &hook).await;
    assert_eq!(all.len(), 410);
    assert!(all.iter().all(|one| one["completed_at"].is_null()), "none is lost");
}

#[tokio::test]
async fn delivery_case_12_half_of_the_endpoints_hang_and_the_other_half_is_as_before() {
    let gateway = start(|config| config.delivery.max_in_flight = 120).await;
    let silent = Receiver::always(Answer::Silence).await;
    let healthy = Receiver::always(Answer::Status(200)).await;
    for _ in 0..20 {
        webhook(&gateway, &silent.url, json!({"timeout": "60s"})).await;
        webhook(&gateway, &healthy.url, json!({})).await;
    }
    let mut charger = gateway.charger("CP").await;
    // Each round would take more than there are permits, were they shared.
    for round in 1..=12 {
        let began = Instant::now();
        charger.still_serves().await;
        let received = healthy.wait_for(20 * round).await;
        let slowest = received.iter().map(|one| one.at.saturating_duration_since(began)).max();
        assert!(slowest < Some(PROMPT), "round {round}: {slowest:?}");
    }
    assert!(silent.so_far().len() >= 20, "all of the others are hanging");
}

#[tokio::test]
async fn delivery_case_13_a_backlog_of_one_webhook_does_not_delay_the_first_event_of_another() {
    let gateway = start(|_| {}).await;
    let silent = Receiver::always(Answer::Silence).await;
    let backlog = webhook(&gateway, &silent.url, json!({"timeout": "60s", "max_in_flight": 4})).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 400).await;
    wait_for(&gateway, &backlog, "processing", 4).await;
    let fresh = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &fresh.url, json!({})).await;
    let began = Instant::now();
    charger.still_serves().await;
    let took = fresh.wait_for(1).await[0].at.saturating_duration_since(began);
    assert!(took < PROMPT, "{took:?}");
    assert_eq!(deliveries(&gateway, &backlog).await.len(), 401);
}

#[tokio::test]
async fn delivery_case_14_a_rate_limit_holds_in_every_window() {
    /// Between what is sent and what is received lies a machine that may be busy.
    const SLACK: f64 = 0.5;
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &receiver.url, json!({"rate_limit": "10/s"})).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 30).await;
    let received = receiver.wait_for(30).await;
    for (first, began) in received.iter().enumerate() {
        for (last, ended) in received.iter().enumerate().skip(first) {
            let window = ended.at.saturating_duration_since(began.at).as_secs_f64();
            let sent = (last + 1 - first) as f64;
            assert!(sent <= 10.0 * (window + SLACK) + 10.0, "{sent} in {window} s");
        }
    }
}

/// How many requests were under way when this one came, which is the `nth`, of those behind the first `base`.
fn at_once(received: &[Received], nth: usize, base: usize) -> (usize, usize) {
    let answered = received[nth].answered_before - base;
    (nth + 1 - base - answered, answered)
}

async fn attempts(gateway: &Running, hook: &Value) -> usize {
    let all = deliveries(gateway, hook).await;
    all.iter().map(|one| one["attempts"].as_array().map_or(0, Vec::len)).sum()
}

#[tokio::test]
async fn delivery_case_16_an_endpoint_that_is_back_after_an_hour_gets_a_probe_and_then_a_ramp() {
    let clock = Clock::manual(Timestamp::from_unix_ms(1_776_168_000_000));
    let gateway = start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await;
    let receiver = Receiver::always(Answer::After(Duration::from_millis(20), 200)).await;
    let (line, url) = Proxy::before(&receiver.url).await;
    line.set(Way::Refuse);
    let hook = webhook(&gateway, &url, json!({"max_in_flight": 16})).await;
    let stats = format!("/webhooks/{}/stats", hook["id"]);
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 6).await;
    eventually("the breaker opens", || async {
        (gateway.get(&stats).await["breaker"]["state"] == "open").then_some(())
    })
    .await;
    beats(&mut charger, 30).await;
    eventually("nothing is under way", || async {
        let all = deliveries(&gateway, &hook).await;
        let waits = |one: &Value| matches!(one["status"].as_str(), Some("retry" | "scheduled"));
        (all.len() == 36 && all.iter().all(waits)).then_some(())
    })
    .await;
    let spent = attempts(&gateway, &hook).await;
    assert!(spent <= 6 + 1, "{spent} attempts: behind an open breaker none is made");
    let untried = deliveries(&gateway, &hook).await;
    let untried: Vec<_> = untried.iter().filter(|one| one["attempts"] == json!([])).collect();
    assert!(untried.iter().all(|one| one["waiting_for"] == "breaker"), "{untried:#?}");

    // An hour later one looks, and only one.
    clock.advance(Duration::from_secs(3_600));
    eventually("it is probed", || async { (attempts(&gateway, &hook).await > spent).then_some(()) }).await;
    assert_eq!(attempts(&gateway, &hook).await, spent + 1);
    line.set(Way::Open);
    clock.advance(Duration::from_secs(61));
    let all = eventually("everything arrives", || async {
        // The probe that failed waits for its own time.
        clock.advance(Duration::from_secs(30));
        let all = deliveries(&gateway, &hook).await;
        all.iter().all(|one| one["status"] == "success").then_some(all)
    })
    .await;
    let received = receiver.so_far();
    assert_eq!((received.len(), all.len()), (36, 36), "nothing is sent twice");
    for nth in 0..received.len() {
        let (at_once, answered) = at_once(&received, nth, 0);
        assert!(at_once <= answered + 1, "{at_once} at once after {answered} that arrived: a herd");
    }
}

/// The station's counts of the events that came, in the order they came in.
fn told_of(received: &[Received], station: &str) -> Vec<i64> {
    let bodies = received.iter().map(|one| serde_json::from_str::<Value>(&one.body).expect("JSON"));
    let of_it = bodies.filter(|body| body["station_id"] == station);
    of_it.map(|body| body["station_seq"].as_i64().expect("counted")).collect()
}

/// Fails the first tries of every third event of the station `BAD`.
async fn fails_at_first(tries: usize) -> Receiver {
    let tried = Mutex::new(BTreeMap::<String, usize>::new());
    Receiver::judging(move |_, request| {
        let third = told_of(std::slice::from_ref(request), "BAD").iter().any(|seq| seq % 3 == 0);
        let mut tried = tried.lock().expect("sound");
        let times = tried.entry(request.header("webhook-id").to_owned()).or_default();
        *times += 1;
        Answer::Status(if third && *times <= tries { 500 } else { 200 })
    })
    .await
}

#[tokio::test]
async fn delivery_case_17_each_stations_events_arrive_in_order_and_others_flow_on() {
    let gateway = start(|_| {}).await;
    let in_order =
        |schedule: &str| json!({"ordering": "station", "retry_schedule": [schedule, schedule, "1h"]});
    let (slow, down) = (fails_at_first(2).await, fails_at_first(1).await);
    let slowed = webhook(&gateway, &slow.url, in_order("200ms")).await;
    let held_up = webhook(&gateway, &down.url, in_order("1h")).await;
    let mut bad = gateway.charger("BAD").await;
    let mut good = gateway.charger("GOOD").await;
    for _ in 0..7 {
        bad.still_serves().await;
        good.still_serves().await;
    }
    wait_for(&gateway, &slowed, "success", 14).await;
    let received = slow.so_far();
    let of_bad = told_of(&received, "BAD");
    assert!(of_bad.is_sorted() && of_bad.len() > 7, "in order, tries again included: {of_bad:?}");
    assert_eq!(told_of(&received, "GOOD").len(), 7);
    // One that has to wait for an hour holds up its own station, and no other.
    wait_for(&gateway, &held_up, "retry", 1).await;
    let all = eventually("the others flow on", || async {
        let all = deliveries(&gateway, &held_up).await;
        let of = |station: &str| {
            all.iter().filter(|one| one["station_id"] == station).cloned().collect::<Vec<_>>()
        };
        let done = of("GOOD").iter().all(|one| one["status"] == "success");
        done.then(|| of("BAD"))
    })
    .await;
    let waiting = all.iter().filter(|one| one["waiting_for"] == "order").count();
    let tried = all.iter().filter(|one| one["attempts"] != json!([])).count();
    assert_eq!(waiting + tried, 7, "{all:#?}");
    assert!(waiting >= 4 && told_of(&down.so_far(), "BAD").is_sorted());
}

#[tokio::test]
async fn delivery_case_18_a_crowd_that_reconnects_does_not_wait_for_the_fan_out() {
    const CROWD: usize = 200;
    let gateway = start(|_| {}).await;
    let boots = json!({"events": ["BootNotification"], "timeout": "60s"});
    let silent = Receiver::always(Answer::Silence).await;
    for _ in 0..5 {
        webhook(&gateway, &silent.url, boots.clone()).await;
    }
    let healthy = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &healthy.url, boots).await;
    let come = |nth: usize| {
        let gateway = &gateway;
        async move {
            let began = Instant::now();
            let charger: Charger = gateway.booted(&format!("CP_{nth}")).await;
            (began.elapsed(), charger)
        }
    };
    let came = join_all((0..CROWD).map(come)).await;
    let slowest = came.iter().map(|(took, _)| *took).max();
    assert!(slowest < Some(Duration::from_secs(15)), "the last one waited for {slowest:?}");
    healthy.wait_for(CROWD).await;
    wait_for(&gateway, &hook, "success", CROWD).await;
}

/// Posts an event with so many bytes of payload.
async fn post_event(gateway: &Running, event: &str, bytes: usize) {
    let body = json!({"event": event, "broadcast": true, "payload": {"text": "x".repeat(bytes)}});
    let (status, said) = gateway.api("POST", "/events", Some(body)).await;
    assert_eq!(status, 202, "{said}");
}

#[tokio::test]
async fn large_bodies_to_an_endpoint_that_hangs_stay_within_their_room_and_hold_up_nobody() {
    const ROOM: usize = 1 << 20;
    const LARGE: usize = 40 << 10;
    let gateway = start(|config| config.delivery.max_in_flight_size = ByteSize(ROOM as u64)).await;
    let slow = Receiver::always(Answer::After(Duration::from_millis(200), 204)).await;
    let prompt = Receiver::always(Answer::Status(204)).await;
    let both = ["large.*", "huge.*"];
    webhook(&gateway, &slow.url, json!({"events": both, "max_in_flight": 100})).await;
    webhook(&gateway, &prompt.url, json!({"events": ["small.*"]})).await;
    for n in 0..24 {
        post_event(&gateway, "large.one", LARGE).await;
        if n % 4 == 0 {
            post_event(&gateway, "small.one", 100).await;
        }
    }
    // Twice as much as there is room for, with its body: it goes alone.
    post_event(&gateway, "huge.one", ROOM - 1_000).await;
    prompt.wait_for(6).await;
    let received = slow.wait_for(25).await;
    // The event and its body, of each that was under way when another one came.
    let under_way = received.iter().enumerate().map(|(nth, one)| nth + 1 - one.answered_before);
    let large = received.iter().take_while(|one| one.body.len() < 2 * LARGE).count();
    let most = under_way.take(large).max().expect("some");
    assert!((2..=ROOM / (2 * LARGE)).contains(&most), "{most} at once");
    let alone = received.iter().enumerate().find(|(_, one)| one.body.len() > 2 * LARGE).expect("it came");
    assert!(alone.0 - alone.1.answered_before <= 1, "beside it hardly anything is under way");
}
