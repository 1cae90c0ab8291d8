//! Every page of the dashboard on a large installation: how long until its first byte, and how large it is.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use tokio::task::block_in_place;
use vocabulary::clock::Clock;

use super::fleet::{self, Sizes};
use super::{Times, quantile, record, summary, tell, times, turn, uptime};
use crate::crash::Place;
use crate::dashboard::Browser;
use crate::harness::{ADMIN_KEY, http_client, start};

const CASE: &str = "pages of a large installation";

/// What a page may take at the median until its first byte, of a program that was built with `--release`.
const LIMIT: Duration = Duration::from_millis(50);

/// The history of connectors goes back so far; events do by six days.
const HISTORY_DAYS: i64 = 31;

/// How often each page is asked for.
const TIMES: usize = 15;

/// Fills a directory, and starts the program on it: the one that `LONG_PROGRAM` names, or the one under test.
async fn installation() -> (tempfile::TempDir, Place, crate::crash::Process) {
    let first = start(|config| config.api_limits.api_requests_per_second = 1_000_000).await;
    fleet::webhooks(&first, Sizes::LARGE.webhooks).await;
    let dir = first.stop().await;
    fleet::fill(dir.path(), &Sizes::LARGE);
    let database = dir.path().join("chargehook.db");
    block_in_place(|| uptime::fill(&database, HISTORY_DAYS)).expect("the rows are legal");
    let place = Place::new(dir.path());
    let mut command = place.command();
    command.args(["--log-level", "error"]).env("CHARGEHOOK_LIMITS_API_REQUESTS_PER_SECOND", "1000000");
    let process = place.start(&mut command);
    // None of them has a socket.
    block_in_place(|| connect(&database)).expect("the rows are legal");
    eventually_indexed(&place).await;
    (dir, place, process)
}

fn connect(database: &Path) -> rusqlite::Result<()> {
    let conn = Connection::open(database)?;
    conn.busy_timeout(Duration::from_secs(30))?;
    conn.execute("UPDATE stations SET connected = 1 WHERE offline = 0", []).map(drop)
}

async fn eventually_indexed(place: &Place) {
    let began = Instant::now();
    let url = format!("http://{}/metrics", place.api);
    loop {
        let asked = http_client().get(&url).header("X-API-Key", ADMIN_KEY).send().await.expect("answers");
        let metrics = asked.text().await.expect("a body");
        let behind = metrics.lines().find(|line| line.starts_with("chargehook_search_events_behind"));
        if behind.expect("it is measured").ends_with(" 0") {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(1_800), "the search index is still behind");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The month before the one of a moment, such as `2026-11`.
fn month_before(moment: &str) -> String {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok()).expect("a date");
    match (number(moment.get(..4)), number(moment.get(5..7))) {
        (year, 1) => format!("{}-12", year - 1),
        (year, month) => format!("{year}-{:02}", month - 1),
    }
}

/// Every page, with something on it.
async fn pages(place: &Place) -> Vec<String> {
    let first = async |list: &str, member: &str| {
        let url = format!("http://{}/api/v1{list}", place.api);
        let asked = http_client().get(url).header("X-API-Key", ADMIN_KEY).send().await.expect("answers");
        let rows: Value = asked.json().await.expect("JSON");
        let id = rows["data"][0][member].clone();
        id.as_str().map_or_else(|| id.to_string(), str::to_owned)
    };
    let active = first("/transactions?status=active&limit=1", "transaction_id").await;
    let over = first("/transactions?status=completed&limit=1", "transaction_id").await;
    let event = first("/events?event=StopTransaction&limit=1", "id").await;
    let delivery = first("/deliveries?status=failed&limit=1", "id").await;
    let command = first("/commands?limit=1", "id").await;
    let month = month_before(&Clock::System.now().to_string());
    let made = [
        // This month may have just begun.
        format!("/ui/reports?month={month}"),
        format!("/ui/reports?month={month}&group_by=connector"),
        format!("/ui/reports?month={month}&group_by=site&rule=cec"),
        format!("/ui/sessions/{active}"),
        format!("/ui/sessions/{over}"),
        format!("/ui/events/{event}"),
        format!("/ui/deliveries/{delivery}"),
        format!("/ui/commands/{command}"),
    ];
    let fixed = [
        "/ui/",
        "/ui/stations",
        "/ui/stations?state=offline&sort=offline_since",
        "/ui/stations?q=charger+49",
        "/ui/stations?site=Site+7",
        "/ui/stations/FLEET_0100",
        "/ui/stations/FLEET_0102/edit",
        "/ui/stations/FLEET_0102/command",
        "/ui/sessions",
        "/ui/sessions?status=active",
        "/ui/events",
        "/ui/events?q=word777777",
        "/ui/events?event=StopTransaction",
        "/ui/deliveries",
        "/ui/deliveries?status=failed",
        "/ui/deliveries?q=word777777",
        "/ui/deliveries/resend?status=failed&webhook_id=1",
        "/ui/webhooks",
        "/ui/webhooks?status=failing",
        "/ui/webhooks/1",
        "/ui/webhooks/1/edit",
        "/ui/webhooks/new",
        "/ui/commands",
        "/ui/commands/bulk",
        "/ui/commands/bulk/new",
        "/ui/tags",
        "/ui/tags?q=TAG00007",
        "/ui/reports",
        "/ui/reports?group_by=connector",
        "/ui/reports?group_by=site&rule=cec",
        "/ui/reports?group_by=site&rule=uk&site=Site+7",
        "/ui/reports/sessions",
        "/ui/reports/sessions?group_by=site",
        "/ui/audit",
        "/ui/keys",
        "/ui/system",
    ];
    fixed.map(str::to_owned).into_iter().chain(made).collect()
}

/// Asks for a page again and again: how long until its first byte each time, and its size.
async fn look(browser: &Browser, path: &str) -> (Duration, Times, usize) {
    let (mut took, mut first, mut bytes) = (times(), Duration::ZERO, 0);
    for nth in 0..=TIMES {
        let began = Instant::now();
        let answer = browser.get(path).await;
        let time = began.elapsed();
        assert_eq!(answer.status(), 200, "{path}");
        bytes = answer.bytes().await.expect("a body").len();
        match nth {
            0 => first = time,
            _ => record(&mut took, time),
        }
    }
    (first, took, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_a_large_installation_comes_quickly() {
    let Some(_turn) = turn(CASE).await else { return };
    let began = Instant::now();
    let (_dir, place, process) = installation().await;
    tell(CASE, &format!("made, started and indexed in {:.0} s", began.elapsed().as_secs_f64()));
    let browser = Browser::signed_in_at(format!("http://{}", place.api), ADMIN_KEY).await;
    let is_measured = std::env::var_os("LONG_PROGRAM").is_some() || !super::DEBUG;
    let limit = if is_measured { LIMIT } else { LIMIT * 20 };
    let mut slow = Vec::new();
    for path in pages(&place).await {
        let (first, times, bytes) = look(&browser, &path).await;
        let first = first.as_secs_f64() * 1_000.0;
        tell(CASE, &format!("{path}: {}, the first {first:.1} ms, {bytes} bytes", summary(&times)));
        if quantile(&times, 0.5) > limit {
            slow.push(path);
        }
    }
    drop(process);
    assert!(slow.is_empty(), "slower than {limit:?} at the median: {slow:?}");
}
