//! Retention of a store, a sweep at a time.

use std::time::Duration;

use super::*;
use crate::seed::SeedWebhook;
use crate::{Priority, Scope, Store};
use vocabulary::clock::{Clock, Timestamp};

const NOW: Timestamp = Timestamp::from_unix_ms(1_776_168_000_000);
const ALL: Expiring = Expiring::Events { except: Vec::new() };

/// What a replay is of, beside which events.
const REST: &str =
    r#""webhook_id":1,"events":[],"since":"2026-04-14T12:00:00Z","until":"2026-04-14T12:00:00Z""#;

/// Removes what may go, in as many steps as it takes; how many that were.
async fn sweep(store: &Store, what: &Expiring, before: Timestamp) -> usize {
    let (mut position, mut removed) = (Some(0), 0);
    while let Some(behind) = position {
        let mut expired = store.expired(what.clone(), before, behind).await.expect("looks");
        position = expired.position;
        while !expired.rows.is_empty() {
            let step =
                store.remove_expired(what.clone(), before, expired.rows.clone()).await.expect("removes");
            assert!(step.done > 0, "every step gets on");
            expired.rows.drain(..step.done);
            removed += step.removed;
        }
    }
    removed
}

#[tokio::test]
async fn a_replay_that_is_under_way_keeps_what_it_may_still_bring_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(NOW);
    let store = Store::open(dir.path(), clock.clone()).expect("a store");
    store.seed_webhook(SeedWebhook::to("http://127.0.0.1:1")).await.expect("a webhook");
    store.seed_events("CP", 6).await.expect("events");
    store
        .seed_run(
            "UPDATE deliveries SET status = 'success', due_at_ms = NULL, completed_at_ms = created_at_ms",
        )
        .await;
    let replay = |only: &str, position: i64, end: i64| {
        let sql = format!(
            "INSERT INTO replays (id, selection, status, matched, position, end_position, requested_by_id,
                                  requested_by_name, requested_at_ms, created_at_ms)
             VALUES ('r{only}', '{{\"kind\":\"replay\",\"only\":\"{only}\",{REST}}}', 'running', 9, {position}, {end},
                     'k', 'k', 0, 0)"
        );
        store.write(Priority::Api, Scope::Installation, move |w| w.run(&sql, &[]))
    };
    replay("missing", 1, 2).await.expect("stored");
    replay("failed", 3, 4).await.expect("stored");
    clock.advance(Duration::from_secs(10));
    let before = clock.now();
    assert_eq!(sweep(&store, &ALL, before).await, 3, "of 6: 2 and 4 are replayed, 6 is the newest");
    assert_eq!(sweep(&store, &Expiring::Deliveries, before).await, 1, "that of 6");
    store.seed_run("UPDATE replays SET status = 'done', completed_at_ms = 1").await;
    assert_eq!(sweep(&store, &ALL, before).await, 2);
    assert_eq!(store.seed_number("SELECT seq FROM events").await, 6);
    assert_eq!(store.seed_number("SELECT count(*) FROM deliveries").await, 0);
    // The newest one stays, so that ids and rows go on from it.
    store.seed_events("CP", 1).await.expect("an event");
    assert_eq!(store.seed_number("SELECT max(seq) FROM events").await, 7);
}

#[tokio::test]
async fn many_windows_of_types_are_removed_and_others_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(NOW);
    let store = Store::open(dir.path(), clock.clone()).expect("a store");
    store.seed_events("CP", 2_500).await.expect("events");
    store.seed_run("UPDATE events SET event = 'Heartbeat' WHERE seq % 5 <> 0").await;
    clock.advance(Duration::from_secs(10));
    store.seed_events("CP", 10).await.expect("events");
    let before = clock.now().before(Duration::from_secs(5));
    let others = Expiring::Events { except: vec!["Heartbeat".to_owned()] };
    assert_eq!(sweep(&store, &others, before).await, 500);
    assert_eq!(store.seed_number("SELECT count(*) FROM events WHERE event <> 'Heartbeat'").await, 10);
    assert_eq!(sweep(&store, &Expiring::EventsOf("Heartbeat".to_owned()), before).await, 2_000);
    assert_eq!(store.seed_number("SELECT count(*) FROM events").await, 10);
    assert_eq!(store.log_horizon().await.expect("reads").number(), 2_500);
}

#[tokio::test]
async fn what_hangs_on_nothing_goes_when_its_time_is_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(NOW);
    let store = Store::open(dir.path(), clock.clone()).expect("a store");
    store
        .seed_run(
            "INSERT INTO audit (at_ms, action, resource) VALUES (1, 'a', 'r'), (2, 'b', 'r'), (9, 'c', 'r')",
        )
        .await;
    store
        .seed_run(
            "INSERT INTO replays (id, selection, status, matched, position, end_position, requested_by_id,
                 requested_by_name, requested_at_ms, created_at_ms, completed_at_ms)
             VALUES ('rpl_1', '{}', 'done', 1, 0, 0, 'k', 'k', 1, 1, 2),
                    ('rpl_2', '{\"kind\":\"resend\",\"status\":[],\"events\":[]}', 'running', 1, 0, 0, 'k', 'k', 1, 1, NULL),
                    ('rpl_3', '{}', 'canceled', 1, 0, 0, 'k', 'k', 1, 1, 9)",
        )
        .await;
    store
        .seed_run(
            "INSERT INTO reservations (id, station_id, reservation_id, command_id, connector_id, id_tag,
                 expiry_date_ms, status, transaction_id, created_at_ms, updated_at_ms)
             VALUES ('a', 'CP', 1, 'c', 1, 'T', 99, 'used', 7, 1, 1), ('b', 'CP', 2, 'c', 1, 'T', 99, 'active', NULL, 1, 1),
                    ('c', 'CP', 3, 'c', 1, 'T', 2, 'active', NULL, 1, 1), ('d', 'CP', 4, 'c', 1, 'T', 2, 'canceled', NULL, 1, 9)",
        )
        .await;
    store.seed_events("CP", 1).await.expect("an event");
    store.seed_run("INSERT INTO origins (origin) VALUES ('http://a'), ('http://b')").await;
    store
        .seed_run(
            "INSERT INTO deliveries (id, event_seq, url, origin_id, status, scheduled_at_ms, created_at_ms, completed_at_ms)
             VALUES ('dlv_1', 1, 'http://b/', 2, 'success', 1, 1, 1)",
        )
        .await;
    let before = Timestamp::from_unix_ms(5);
    for (what, removed, left) in [
        (Expiring::Audit, 2, "SELECT string_agg(action, '') FROM audit"),
        (Expiring::Replays, 1, "SELECT string_agg(substr(id, 5), '') FROM replays"),
        (Expiring::Reservations, 2, "SELECT string_agg(id, '') FROM reservations"),
        (Expiring::Origins, 1, "SELECT string_agg(origin, '') FROM origins"),
    ] {
        assert_eq!(sweep(&store, &what, before).await, removed, "{what:?}");
        let left = store.seed_text(left).await;
        assert!(["c", "23", "bd", "http://b"].contains(&left.as_str()), "{what:?}: {left}");
        assert_eq!(sweep(&store, &what, before).await, 0, "{what:?}");
    }
}
