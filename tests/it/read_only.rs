//! A database that takes no writes for a while, as a primary that has become a standby.

use futures_util::StreamExt;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{eventually, http_client, start};
use crate::own_postgres::OwnPostgres;
use crate::store_away::connect;

/// From one moment on, for all sessions, those that are open too.
const BEGIN: [&str; 2] = ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"];

const END: [&str; 3] = [
    "SET default_transaction_read_only = off",
    "ALTER SYSTEM RESET default_transaction_read_only",
    "SELECT pg_reload_conf()",
];

#[tokio::test(flavor = "multi_thread")]
async fn while_it_takes_no_writes_nobody_is_answered_and_afterwards_everybody_is() {
    let Some(server) = OwnPostgres::start("") else { return };
    let gateway = start(|config| config.store.url = Some(server.url().parse().expect("a URL"))).await;
    let mut charger = gateway.booted("CP").await;
    let ready = async || {
        let answer = http_client().get(gateway.url("/readyz")).send().await.expect("answers");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let sessions = "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE application_name ~ '^chargehook [0-9]+ '";
    let client = server.client().await;
    let writer = async || client.query_one(sessions, &[]).await.expect("reads").get::<_, Vec<i32>>(0);
    let before = writer().await;

    server.sql(&BEGIN).await;
    // Sessions hear of it one by one.
    let mut answered = 0;
    let closed = loop {
        charger.send(&format!(r#"[2,"beat {answered}","Heartbeat",{{}}]"#)).await;
        match charger.socket.next().await {
            Some(Ok(Message::Text(_))) => answered += 1,
            Some(Ok(Message::Close(frame))) => break frame.expect("a code"),
            other => panic!("an answer or an end was due, not {other:?}"),
        }
    };
    assert_eq!(u16::from(closed.code), 1011);
    let (status, health) = ready().await;
    let reason = health["reasons"][0].as_str().expect("a reason");
    assert_eq!(status, 503, "{health}");
    assert!(reason.contains("does not allow writes") || reason.contains("read-only"), "{health}");
    // Whoever is let in, because his row can still be read, is not answered either.
    match connect(&gateway).await {
        Err(status) => assert_eq!(status, 503),
        Ok(mut charger) => {
            assert_eq!(charger.closed().await.map(|closed| u16::from(closed.code)), Some(1011))
        }
    }

    server.sql(&END).await;
    let mut charger = eventually("chargers are let in again", async || connect(&gateway).await.ok()).await;
    charger.exchange(&format!(r#"[2,"beat {answered}","Heartbeat",{{}}]"#)).await;
    let stored = gateway.events_of("CP", "Heartbeat").await;
    assert_eq!(stored.len(), answered + 1, "each is stored once, that was answered or sent again");
    assert_eq!(ready().await.0, 200);
    let after = writer().await;
    assert!(
        after.iter().all(|session| !before.contains(session)),
        "it has connected anew: {before:?} {after:?}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_does_not_start_on_a_standby_and_waits() {
    let Some(server) = OwnPostgres::start("") else { return };
    server.sql(&BEGIN).await;
    let url = server.url();
    let starting = tokio::spawn(start(move |config| config.store.url = Some(url.parse().expect("a URL"))));
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!starting.is_finished(), "it waits");
    server.sql(&END).await;
    let gateway = starting.await.expect("starts");
    gateway.booted("CP").await;
    gateway.stop().await;
}
