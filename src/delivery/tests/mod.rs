//! The engine against a real store and endpoints on local ports. Waits are for conditions, with a deadline.

mod receiver;
mod simulation;

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::breaker::State;
use super::*;
use crate::api::delivery::DeliveryStatus;
use crate::clock::Clock;
use crate::outbound::destination::Guard;
use crate::outbound::post::Poster;
use crate::outbound::signature;
use crate::store::seed::{SECRET, SeedWebhook};
use crate::store::{Canceled, Delivery, DeliveryFilter, DeliveryPage, Resent, Store};
use receiver::{Answer, DEADLINE, Receiver};

struct House {
    store: Store,
    stop: CancellationToken,
    engine: EngineHandle,
}

fn poster() -> Poster {
    let guard = Guard { allowed: vec!["127.0.0.0/8".parse().expect("a network")], https_only: false };
    Poster::new(guard, None).expect("a poster")
}

fn settings() -> Settings {
    Settings { permits: 64, shutdown_grace: Duration::from_millis(300), auto_disable_after: None }
}

impl House {
    fn open(dir: &Path, settings: Settings) -> Self {
        let store = Store::open(dir, Clock::System).expect("a store");
        Self::start(store, settings)
    }

    fn start(store: Store, settings: Settings) -> Self {
        let stop = CancellationToken::new();
        let engine = Engine::start(store.clone(), poster(), settings, Clock::System, stop.clone());
        Self { store, stop, engine }
    }

    /// Ends it as a gateway does, with sends under way cut off after the grace.
    async fn close(self) {
        self.stop.cancel();
        self.engine.join().await;
        self.store.close();
    }

    async fn deliveries(&self, webhook_id: i64) -> Vec<Delivery> {
        let filter = DeliveryFilter { webhook_id: Some(webhook_id), ..DeliveryFilter::default() };
        let page = DeliveryPage { limit: 500, after_seq: None, ascending: true };
        self.store.deliveries(filter, page).await.expect("a list")
    }

    /// Waits until the webhook has `count` deliveries of this status, and returns all of its deliveries.
    async fn wait_for(&self, webhook_id: i64, status: DeliveryStatus, count: usize) -> Vec<Delivery> {
        let began = Instant::now();
        loop {
            let all = self.deliveries(webhook_id).await;
            if all.iter().filter(|delivery| delivery.status == status).count() >= count {
                return all;
            }
            assert!(began.elapsed() < DEADLINE, "{count} {status:?} expected: {all:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn house() -> (TempDir, House) {
    let dir = tempfile::tempdir().expect("a directory");
    let house = House::open(dir.path(), settings());
    (dir, house)
}

#[tokio::test]
async fn an_event_arrives_signed_and_numbered() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(204)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    let events = house.store.seed_events("CP_1", 3).await.expect("stored");
    let received = receiver.wait_for(3).await;
    let all = house.wait_for(webhook, DeliveryStatus::Success, 3).await;
    let mut sequences: Vec<_> = received.iter().map(|r| r.header("x-webhook-sequence").to_owned()).collect();
    sequences.sort();
    assert_eq!(sequences, ["1", "2", "3"]);
    for request in &received {
        assert_eq!(request.header("x-webhook-attempt"), "1");
        assert_eq!(request.header("x-webhook-trigger"), "event");
        assert!(events.iter().any(|id| id.to_string() == request.header("webhook-id")));
        assert!(request.body.contains(request.header("webhook-id")), "{}", request.body);
        signature::verify_standard(
            &SECRET.parse().expect("a secret"),
            request.header("webhook-id"),
            request.header("webhook-timestamp").parse().expect("a number"),
            request.body.as_bytes(),
            request.header("webhook-signature"),
            Clock::System.now(),
            Duration::from_secs(60),
        )
        .expect("it verifies");
    }
    let first = &all[0];
    assert_eq!(first.attempts.len(), 1);
    assert_eq!(first.attempts[0].status_code, Some(204));
    assert!(first.attempts[0].duration_ms.is_some() && first.completed_at.is_some());
    house.close().await;
}

#[tokio::test]
async fn a_500_then_200_gets_exactly_one_more_try_at_the_scheduled_time() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 500 } else { 200 })).await;
    let seed = SeedWebhook { retry_schedule: r#"["400ms","1h"]"#, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let waiting = house.wait_for(webhook, DeliveryStatus::Retry, 1).await;
    let due_at = waiting[0].next_attempt_at.expect("it waits for a moment");
    let done = house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    let attempts = &done[0].attempts;
    assert_eq!(attempts.iter().map(|a| a.status_code).collect::<Vec<_>>(), [Some(500), Some(200)]);
    assert_eq!(attempts[0].error.as_ref().map(|error| error.code.as_str()), Some("http_status"));
    let gap = attempts[1].started_at.since(attempts[0].started_at);
    assert!(gap >= Duration::from_millis(360), "400 ms less a tenth: {gap:?}");
    assert!(attempts[1].started_at >= due_at, "not before it is due");
    let received = receiver.so_far();
    assert_eq!(received.len(), 2, "exactly one more try");
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[1].header("x-webhook-attempt"), "2");
    assert_eq!(received[1].header("x-webhook-sequence"), "1");
    house.close().await;
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_no_other() {
    let (_dir, house) = house().await;
    let hanging = Receiver::always(Answer::Hang).await;
    let healthy = Receiver::always(Answer::Status(200)).await;
    let greedy = SeedWebhook { max_in_flight: 1_000, timeout_ms: 60_000, ..SeedWebhook::to(&hanging.url) };
    for _ in 0..3 {
        house.store.seed_webhook(greedy.clone()).await.expect("stored");
    }
    let webhook = house.store.seed_webhook(SeedWebhook::to(&healthy.url)).await.expect("stored");
    let began = Instant::now();
    house.store.seed_events("CP_1", 200).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 200).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let held: usize = house.engine.views().borrow().values().map(|lane| lane.in_flight).sum();
    assert!(held < settings().permits, "hanging endpoints hold {held} permits");
    assert!(hanging.most_at_once() > 16, "yet they are given what is free");
    house.close().await;
}

#[tokio::test]
async fn a_used_up_schedule_is_a_dead_letter_that_others_are_told_of() {
    let (_dir, house) = house().await;
    let failing = Receiver::always(Answer::Status(503)).await;
    let watching = Receiver::always(Answer::Status(200)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&failing.url)).await.expect("stored");
    let watcher = SeedWebhook { events: "webhook.*", ..SeedWebhook::to(&watching.url) };
    house.store.seed_webhook(watcher).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let dead = house.wait_for(webhook, DeliveryStatus::Failed, 1).await;
    assert_eq!(dead[0].attempts.len(), 2);
    assert_eq!(dead[0].last_error.as_ref().map(|error| error.code.as_str()), Some("http_status"));
    let told = watching.wait_for(1).await;
    assert_eq!(told[0].header("x-webhook-event"), "DeliveryFailed");
    let body: serde_json::Value = serde_json::from_str(&told[0].body).expect("JSON");
    assert_eq!(body["payload"]["delivery_id"], dead[0].id.to_string());
    assert_eq!(body["payload"]["attempts"], 2);
    assert_eq!(body["payload"]["count"], 1);
    let letters = "SELECT count(*) FROM failed_deliveries";
    assert_eq!(house.store.seed_number(letters).await, 1);
    house.close().await;
}

#[tokio::test]
async fn an_attempt_that_a_stop_cut_off_is_shown_and_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::start(|nth| if nth == 0 { Answer::Hang } else { Answer::Status(200) }).await;
    let house = House::open(dir.path(), settings());
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    receiver.wait_for(1).await;
    house.close().await;

    let house = House::open(dir.path(), settings());
    let all = house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    let codes: Vec<_> = all[0].attempts.iter().map(|a| a.error.as_ref().map(|e| e.code.as_str())).collect();
    assert_eq!(codes, [Some("outcome_unknown"), None]);
    let received = receiver.so_far();
    assert_eq!(received.len(), 2, "one more send");
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[1].header("x-webhook-attempt"), "2");
    house.close().await;
}

#[tokio::test]
async fn a_410_disables_the_webhook_and_discards_what_waits() {
    let (_dir, house) = house().await;
    let gone = Receiver::always(Answer::Status(410)).await;
    let watching = Receiver::always(Answer::Status(200)).await;
    let seed = SeedWebhook { max_in_flight: 1, ..SeedWebhook::to(&gone.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    let watcher = SeedWebhook { events: "webhook.*", ..SeedWebhook::to(&watching.url) };
    house.store.seed_webhook(watcher).await.expect("stored");
    house.store.seed_events("CP_1", 20).await.expect("stored");
    let all = house.wait_for(webhook, DeliveryStatus::Discarded, 19).await;
    assert_eq!(all[0].status, DeliveryStatus::Failed);
    assert_eq!(gone.so_far().len(), 1, "nothing is sent any more");
    let told = watching.wait_for(2).await;
    let mut names: Vec<_> = told.iter().map(|request| request.header("x-webhook-event")).collect();
    names.sort_unstable();
    assert_eq!(names, ["DeliveryFailed", "WebhookDisabled"]);
    let status = house.store.seed_text("SELECT status FROM webhooks WHERE id = 1").await;
    assert_eq!(status, "auto_disabled");
    let resent = house.store.resend(all[1].id, false, None).await.expect("answered");
    assert_eq!(resent, Resent::WebhookDisabled);
    house.close().await;
}

#[tokio::test]
async fn a_resend_goes_on_counting_and_needs_force_after_success() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 2 { 500 } else { 200 })).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let id = house.wait_for(webhook, DeliveryStatus::Failed, 1).await[0].id;
    let resend = async |force| house.store.resend(id, force, None).await.expect("answered");
    assert_eq!(resend(false).await, Resent::Resent);
    house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    assert_eq!(resend(false).await, Resent::NeedsForce);
    assert_eq!(resend(true).await, Resent::Resent);
    receiver.wait_for(4).await;
    let all = house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    assert_eq!(all[0].attempts.iter().map(|a| a.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        all[0].attempts.iter().map(|a| a.trigger.as_str()).collect::<Vec<_>>(),
        ["event", "event", "resend", "resend"]
    );
    assert_eq!(receiver.so_far()[2].header("x-webhook-trigger"), "resend");
    let unknown = crate::id::DeliveryId::from_value(7);
    assert_eq!(house.store.resend(unknown, true, None).await.expect("answered"), Resent::NotFound);
    house.close().await;
}

#[tokio::test]
async fn an_open_breaker_probes_one_at_a_time_and_spends_no_attempts() {
    let (_dir, house) = house().await;
    // Down for its first seven requests: five open the breaker, two are probes.
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 7 { 500 } else { 200 })).await;
    let seed = SeedWebhook {
        max_in_flight: 1,
        retry_schedule: r#"["200ms","5s","5s","5s","5s","5s","5s","5s","5s"]"#,
        ..SeedWebhook::to(&receiver.url)
    };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 40).await.expect("stored");
    let mut views = house.engine.views();
    let is_open = |views: &LaneViews| {
        views.get(&webhook).is_some_and(|lane| matches!(lane.breaker, State::Open { .. }))
    };
    tokio::time::timeout(DEADLINE, views.wait_for(is_open)).await.expect("it opens").expect("alive");
    let all = house.wait_for(webhook, DeliveryStatus::Success, 40).await;
    let spent: usize = all.iter().map(|delivery| delivery.attempts.len()).sum();
    assert_eq!(spent, 47, "forty deliveries and seven failures");
    let received = receiver.so_far();
    assert!(received[5].at - received[4].at >= Duration::from_millis(180), "the first probe waits");
    assert!(received[6].at - received[5].at >= Duration::from_millis(360), "the second twice as long");
    house.close().await;
}

#[tokio::test]
async fn what_outlives_its_schedule_behind_an_open_breaker_is_a_dead_letter() {
    let (dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let seed = SeedWebhook {
        max_in_flight: 1,
        retry_schedule: r#"["100ms","200ms"]"#,
        ..SeedWebhook::to(&receiver.url)
    };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 30).await.expect("stored");
    let all = house.wait_for(webhook, DeliveryStatus::Failed, 30).await;
    let open = all.iter().filter(|d| d.last_error.as_ref().is_some_and(|error| error.code == "circuit_open"));
    assert!(open.count() >= 15, "{all:#?}");
    assert!(receiver.so_far().len() < 40, "attempts were spared: {}", receiver.so_far().len());
    assert_eq!(
        house.store.seed_number("SELECT count(*) FROM events WHERE event = 'DeliveryFailed'").await,
        10,
        "a flood of dead letters is folded"
    );
    house.close().await;
    // What was held is told at the end: it stands for all that have no event of their own.
    let store = Store::open(dir.path(), Clock::System).expect("a store");
    let counted = "SELECT sum(payload ->> 'count') FROM events WHERE event = 'DeliveryFailed'";
    assert_eq!(store.seed_number(counted).await, 30);
    assert_eq!(store.seed_number("SELECT count(*) FROM events WHERE event = 'DeliveryFailed'").await, 11);
    store.close();
}

#[tokio::test]
async fn a_resend_passes_an_open_breaker() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 5 { 500 } else { 200 })).await;
    let seed = SeedWebhook { retry_schedule: "[]", ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 5).await.expect("stored");
    let all = house.wait_for(webhook, DeliveryStatus::Failed, 5).await;
    // With an empty schedule the next probe is thirty seconds away.
    let mut views = house.engine.views();
    let is_open = |views: &LaneViews| {
        views.get(&webhook).is_some_and(|lane| matches!(lane.breaker, State::Open { .. }))
    };
    tokio::time::timeout(DEADLINE, views.wait_for(is_open)).await.expect("it opens").expect("alive");
    let resent = house.store.resend(all[0].id, false, None).await.expect("answered");
    assert_eq!(resent, Resent::Resent);
    house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    house.close().await;
}

#[tokio::test]
async fn no_more_is_under_way_than_a_webhook_allows() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let seed = SeedWebhook { max_in_flight: 3, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 200).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 200).await;
    assert!((1..=3).contains(&receiver.most_at_once()), "{}", receiver.most_at_once());
    house.close().await;
}

#[tokio::test]
async fn a_rate_limit_holds() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let seed = SeedWebhook { rate_limit: Some("20/s"), ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    // The first request may be slow to arrive, but none is sent before there are events.
    let began = Instant::now();
    house.store.seed_events("CP_1", 50).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 50).await;
    let took = receiver.so_far()[49].at - began;
    assert!(took >= Duration::from_millis(1_450), "20 at once, 30 more at 20 a second: {took:?}");
    house.close().await;
}

#[tokio::test]
async fn each_stations_events_come_in_order_and_others_flow_on() {
    let (_dir, house) = house().await;
    // The third request fails: its station waits for the retry, the other does not.
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 2 { 500 } else { 200 })).await;
    let seed = SeedWebhook { ordering: "station", ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 25).await.expect("stored");
    house.store.seed_events("CP_2", 25).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 50).await;
    let order_of = |station: &str| -> Vec<i64> {
        let mut seen = Vec::new();
        for request in receiver.so_far() {
            let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
            if body["station_id"] == station {
                seen.push(body["payload"]["n"].as_i64().expect("a number"));
            }
        }
        // A retry repeats its number.
        seen.dedup();
        seen
    };
    assert_eq!(order_of("CP_1"), (0..25).collect::<Vec<_>>());
    assert_eq!(order_of("CP_2"), (0..25).collect::<Vec<_>>());
    assert_eq!(receiver.so_far().len(), 51);
    house.close().await;
}

#[tokio::test]
async fn an_event_that_has_blocked_its_station_too_long_is_overtaken() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 500 } else { 200 })).await;
    let seed = SeedWebhook {
        ordering: "station",
        ordering_max_wait_ms: 300,
        retry_schedule: r#"["1h"]"#,
        ..SeedWebhook::to(&receiver.url)
    };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 4).await.expect("stored");
    let waiting = house.wait_for(webhook, DeliveryStatus::Retry, 1).await;
    assert!(waiting[1].behind_another, "the second waits for the first");
    let lanes = LaneViews::new();
    assert_eq!(waiting::waiting_for(&waiting[1], &lanes, Clock::System.now()), Some("order"));
    let all = house.wait_for(webhook, DeliveryStatus::Success, 3).await;
    assert_eq!(all[0].status, DeliveryStatus::Retry, "it keeps its own time");
    let blocked = all[1].attempts[0].started_at.since(all[0].attempts[0].started_at);
    assert!(blocked >= Duration::from_millis(300), "{blocked:?}");
    house.close().await;
}

#[tokio::test]
async fn a_backlog_is_discarded_in_steps_when_its_webhook_is_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::always(Answer::Status(200)).await;
    let store = Store::open(dir.path(), Clock::System).expect("a store");
    let webhook = store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    let ordered = SeedWebhook { ordering: "station", ..SeedWebhook::to(&receiver.url) };
    store.seed_webhook(ordered).await.expect("stored");
    store.seed_events("CP_1", 1_500).await.expect("stored");
    store.seed_run("DELETE FROM webhooks").await;
    assert_eq!(store.orphaned_lanes().await.expect("read"), [1, 2]);
    // The engine finds them when it starts.
    let house = House::start(store, settings());
    let began = Instant::now();
    while house.store.seed_number("SELECT count(*) FROM deliveries WHERE status = 'discarded'").await < 3_000
    {
        assert!(began.elapsed() < DEADLINE, "not all are discarded");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(receiver.so_far().is_empty(), "nothing is sent");
    let gone = &house.deliveries(webhook).await[0];
    assert_eq!((gone.url.as_deref(), gone.status), (None, DeliveryStatus::Discarded));
    let resent = house.store.resend(gone.id, false, None).await.expect("answered");
    assert_eq!(resent, Resent::WebhookDeleted);
    house.close().await;
}

#[tokio::test]
async fn what_has_not_ended_can_be_canceled_and_not_resent() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let seed = SeedWebhook { retry_schedule: r#"["1h"]"#, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let id = house.wait_for(webhook, DeliveryStatus::Retry, 1).await[0].id;
    assert_eq!(house.store.resend(id, true, None).await.expect("answered"), Resent::NotTerminal);
    let elsewhere = Some("another owner".to_owned());
    assert_eq!(house.store.cancel(id, elsewhere.clone()).await.expect("answered"), Canceled::NotFound);
    assert!(house.store.delivery(id, elsewhere).await.expect("read").is_none());
    assert_eq!(house.store.cancel(id, None).await.expect("answered"), Canceled::Canceled);
    assert_eq!(house.store.cancel(id, None).await.expect("answered"), Canceled::Terminal);
    let all = house.wait_for(webhook, DeliveryStatus::Discarded, 1).await;
    assert!(all[0].completed_at.is_some() && all[0].next_attempt_at.is_none());
    house.close().await;
}

#[tokio::test]
async fn a_list_is_filtered_and_paged() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 500 } else { 200 })).await;
    let seed = SeedWebhook { retry_schedule: "[]", max_in_flight: 1, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    let events = house.store.seed_events("CP_1", 3).await.expect("stored");
    house.store.seed_events("CP_2", 2).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 4).await;
    let list = async |filter: DeliveryFilter, after_seq| {
        let page = DeliveryPage { limit: 2, after_seq, ascending: false };
        house.store.deliveries(filter, page).await.expect("a list")
    };
    let first = list(DeliveryFilter::default(), None).await;
    assert_eq!(first.iter().map(|d| d.sequence).collect::<Vec<_>>(), [Some(5), Some(4)]);
    let second = list(DeliveryFilter::default(), Some(first[1].seq)).await;
    assert_eq!(second.iter().map(|d| d.sequence).collect::<Vec<_>>(), [Some(3), Some(2)]);
    let failed = DeliveryFilter { status: vec![DeliveryStatus::Failed], ..DeliveryFilter::default() };
    assert_eq!(list(failed, None).await.len(), 1);
    let station = DeliveryFilter { station_id: Some("CP_2".into()), ..DeliveryFilter::default() };
    assert_eq!(list(station, None).await.len(), 2);
    let text = DeliveryFilter { q: Some("\"N\":2".into()), ..DeliveryFilter::default() };
    assert_eq!(list(text, None).await.len(), 1, "any letter case");
    let event = DeliveryFilter { event_id: Some(events[1]), ..DeliveryFilter::default() };
    assert_eq!(list(event, None).await[0].event_id, events[1]);
    let of_event = house.store.event_deliveries(events[1], None).await.expect("a list");
    assert_eq!(of_event.len(), 1);
    let both = vec![DeliveryStatus::Failed, DeliveryStatus::Retry];
    let other = DeliveryFilter { status: both, webhook_id: Some(webhook + 1), ..DeliveryFilter::default() };
    assert!(list(other, None).await.is_empty());
    house.close().await;
}

#[tokio::test]
async fn a_retry_after_is_honoured() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| match nth {
        0 => Answer::With(429, "Retry-After: 1"),
        _ => Answer::Status(200),
    })
    .await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    let received = receiver.so_far();
    assert!(received[1].at - received[0].at >= Duration::from_millis(990));
    house.close().await;
}

#[tokio::test]
async fn a_test_send_tells_at_once_and_leaves_no_delivery() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    let tested = test_webhook(&house.store, &poster(), &Clock::System, webhook, "StartTransaction")
        .await
        .expect("stored")
        .expect("there is such a webhook");
    assert_eq!(tested.outcome.status(), Some(200));
    let received = receiver.wait_for(1).await;
    assert_eq!(received[0].header("x-webhook-trigger"), "test");
    assert_eq!(received[0].header("x-webhook-sequence"), "");
    assert_eq!(received[0].header("webhook-id"), tested.event_id.to_string());
    assert!(received[0].body.contains("\"isTest\":true") && received[0].body.contains("meterStart"));
    assert!(house.deliveries(webhook).await.is_empty());
    assert_eq!(house.store.seed_number("SELECT count(*) FROM events WHERE test = 1").await, 1);
    let nobody = test_webhook(&house.store, &poster(), &Clock::System, 99, "ping").await.expect("stored");
    assert!(nobody.is_none());
    house.close().await;
}

#[tokio::test]
async fn a_verification_stores_nothing() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    let lane = house.store.lane(webhook).await.expect("read").expect("there");
    let tested = verify(&lane, &poster(), &Clock::System).await;
    assert!(!tested.outcome.is_success());
    assert_eq!(receiver.wait_for(1).await[0].header("x-webhook-event"), "ping");
    assert_eq!(house.store.seed_number("SELECT count(*) FROM events").await, 0);
    house.close().await;
}

#[tokio::test]
async fn a_delivery_tells_what_it_waits_for() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let seed = SeedWebhook { retry_schedule: r#"["1h"]"#, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let all = house.wait_for(webhook, DeliveryStatus::Retry, 1).await;
    let mut views = house.engine.views();
    let there = views.wait_for(|views| views.contains_key(&webhook));
    let lanes = tokio::time::timeout(DEADLINE, there).await.expect("it is published").expect("alive").clone();
    let now = Clock::System.now();
    assert_eq!(waiting::waiting_for(&all[0], &lanes, now), Some("schedule"));
    let later = now.after(Duration::from_secs(7_200));
    assert_eq!(waiting::waiting_for(&all[0], &lanes, later), Some("slot"));
    let mut open = lanes;
    open.get_mut(&webhook).expect("its lane").breaker =
        State::Open { since: now, probe_at: later, interval: Duration::from_secs(30) };
    assert_eq!(waiting::waiting_for(&all[0], &open, later), Some("breaker"));
    house.close().await;
}
