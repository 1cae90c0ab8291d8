//! A hundred kills under load.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Conduct, Endpoint};
use super::site::Site;
use super::{tell, turn};
use crate::crash::{drained, missing, next_chance, numbers_of_starts, read_events, setting, start_chargers};
use crate::harness::eventually;

const CASE: &str = "delivery case 1";

/// Of so many requests one loses its connection instead of being answered.
const CUT_ONE_IN: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_1_hundred_kills_lose_nothing_and_double_only_what_was_under_way() {
    let Some(_turn) = turn(CASE).await else { return };
    let kills = setting("CRASH_KILLS", 100);
    let chargers = setting("CRASH_CHARGERS", 30);
    let mut site = Site::started();
    let endpoint = Endpoint::start(Conduct::CutsOneIn(CUT_ONE_IN)).await;
    let schedule = vec!["1s"; 20];
    site.webhook(&endpoint.url, json!({"events": ["*"], "retry_schedule": schedule})).await;
    let stop = CancellationToken::new();
    let (ledger, tasks) = start_chargers(&site.place, chargers, &stop);
    let (mut chance, mut under_way) = (42, 0);
    for _ in 0..kills {
        let before = ledger.lock().expect("sound").len();
        eventually("chargers are served", || async {
            (ledger.lock().expect("sound").len() > before + chargers).then_some(())
        })
        .await;
        // A random moment is the point here, not a wait for something.
        tokio::time::sleep(Duration::from_millis(next_chance(&mut chance) % 400)).await;
        site.kill();
        under_way += site.number("SELECT count(*) FROM deliveries WHERE status = 'processing'");
        site.start(&[]);
    }
    stop.cancel();
    for task in tasks {
        task.await.expect("the charger ends");
    }
    drained(&site.place).await;
    site.kill();

    let events = read_events(&site.place.data_dir);
    let ledger = std::mem::take(&mut *ledger.lock().expect("sound"));
    let seen = endpoint.seen();
    let lost = missing(&ledger, &events);
    let undelivered: Vec<&str> = events
        .iter()
        .filter(|event| !event.duplicate && !seen.events.contains_key(&event.id))
        .map(|event| event.event.as_str())
        .collect();
    let twice = seen.requests - seen.events.len() as u64;
    tell(
        CASE,
        &format!(
            "{kills} kills under {chargers} chargers: {} messages acknowledged, {} lost; {} events, {} of them not delivered; {} requests, {twice} of them repeated, where {under_way} were under way at the kills and the endpoint cut {} more",
            ledger.len(),
            lost.len(),
            events.len(),
            undelivered.len(),
            seen.requests,
            seen.cut
        ),
    );
    assert!(lost.is_empty(), "acknowledged and lost: {lost:#?}");
    assert!(undelivered.is_empty(), "stored and never delivered: {undelivered:#?}");
    assert!(twice <= under_way as u64 + seen.cut, "{twice} repeated");
    numbers_of_starts(&ledger, &events);
}
