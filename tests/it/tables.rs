//! Lists as an operator sees them: times, CSV, `--watch`, and the commands that show what there is.

use serde_json::json;

use crate::csv::ask;
use crate::harness::{ADMIN_KEY, Running, eventually, start};
use crate::listen::Ongoing;
use crate::operator::{answer, field, row, run};

async fn stations(gateway: &Running, many: usize) {
    let rows: Vec<_> = (0..many).map(|n| json!({"station_id": format!("S{n:03}"), "name": "=x"})).collect();
    let (status, body) = gateway.api("POST", "/stations/import", Some(json!(rows))).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_list_is_printed_as_a_csv_as_it_comes() {
    let gateway = start(|_| {}).await;
    stations(&gateway, 600).await;
    let whole = run(&gateway, &["stations", "list", "--oldest-first", "--csv"]).await.out();
    assert_eq!(whole, ask(&gateway, ADMIN_KEY, "/stations?order=asc").await.text);
    assert_eq!(whole.lines().count(), 601, "all of it, without --all");
    let page = run(&gateway, &["stations", "list", "--oldest-first", "--csv", "--limit", "2"]).await;
    let cursor = page.stderr.trim().strip_prefix("there is more: --cursor ").expect("a cursor").to_owned();
    assert!(page.out().lines().last().is_some_and(|line| line.starts_with("S001,")));
    let rest = ["stations", "list", "--oldest-first", "--csv", "--cursor", &cursor];
    assert_eq!(run(&gateway, &rest).await.out().lines().count(), 599);
    let filtered = run(&gateway, &["stations", "list", "--q", "S59", "--csv"]).await.out();
    assert_eq!(filtered.lines().count(), 11, "{filtered}");
    for list in [["events", "types"].as_slice(), &["reports", "uptime"], &["stations", "connectors", "S001"]]
    {
        let printed = run(&gateway, &[list, &["--csv"]].concat()).await.out();
        assert!(printed.lines().next().is_some_and(|names| names.contains(',')), "{list:?}: {printed}");
    }

    let status = run(&gateway, &["status", "--csv"]).await.out();
    assert!(status.starts_with("figure,value,since,cause\nat,2"), "{status}");
    assert!(status.contains("\nstations.total,600,,\n"), "{status}");
    let why = run(&gateway, &["why", "S001", "--csv"]).await.out();
    assert!(why.starts_with("verdict,part,at,text,kind,id\nnever_connected,summary,,"), "{why}");
    assert!(why.lines().skip(1).all(|row| row.starts_with("never_connected,")), "{why}");

    let wrong = run(&gateway, &["stations", "list", "--boot-status", "odd", "--csv"]).await.error();
    assert!(wrong.contains("boot_status: "), "{wrong}");
    for (line, words) in [
        (["stations", "show", "S001", "--csv"].as_slice(), "--csv is for lists"),
        (&["stations", "delete", "S001", "--watch"], "--watch is for lists"),
        (&["events", "list", "--follow", "--csv"], "--csv is for lists"),
        (&["stations", "list", "--csv", "--json"], "cannot be used with"),
    ] {
        let refused = run(&gateway, line).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{line:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert_eq!(gateway.api("GET", "/stations/S001", None).await.0, 200, "it was not deleted");
}

#[tokio::test]
async fn times_are_told_or_exact() {
    let gateway = start(|_| {}).await;
    gateway.booted("CP_1").await.still_serves().await;
    let told = run(&gateway, &["stations", "list"]).await.out();
    let seen = row(&told, "CP_1")[2];
    assert!(seen == "now" || seen.ends_with(" s ago"), "{told}");
    let station = eventually("it is away", async || {
        Some(gateway.get("/stations/CP_1").await).filter(|station| station["offline_since"].is_string())
    })
    .await;
    let exact = run(&gateway, &["stations", "list", "--utc", "--wide"]).await.out();
    assert_eq!(row(&exact, "CP_1")[2], station["offline_since"], "{exact}");
    assert!(!exact.contains('\u{1b}'), "no colours in a pipe");
}

#[tokio::test]
async fn a_watched_list_shows_what_has_changed() {
    let gateway = start(|_| {}).await;
    let watching = Ongoing::start(&gateway, &["stations", "list", "--watch"]);
    watching.says(&["UTC"]).await;
    stations(&gateway, 1).await;
    watching.says(&["S000", "never"]).await;
    assert_eq!(watching.end("-INT").await, Some(0));
}

#[tokio::test]
async fn commands_are_listed_shown_and_canceled() {
    let gateway = start(|_| {}).await;
    stations(&gateway, 1).await;
    let queue = ["command", "S000", "Reset", r#"{"type": "Soft"}"#, "--queue", "--json"];
    let id = run(&gateway, &queue).await.json()["id"].as_str().expect("an id").to_owned();
    let listed = run(&gateway, &["commands", "list", "--station", "S000", "--status", "queued"]).await.out();
    let cells = row(&listed, &id);
    assert_eq!((&cells[2..6], cells[7]), (["S000", "Reset", "queued", "-"].as_slice(), "admin"), "{listed}");
    assert!(run(&gateway, &["commands", "list", "--action", "Nope"]).await.error().contains("action: "));
    let canceled = run(&gateway, &["commands", "cancel", &id]).await.out();
    assert_eq!(row(&canceled, &id)[4], "canceled");
    assert!(run(&gateway, &["commands", "cancel", &id]).await.error().contains("409"), "once is enough");
    let shown = run(&gateway, &["commands", "show", &id]).await.out();
    assert_eq!((field(&shown, "status"), field(&shown, "payload")), ("canceled", r#"{"type":"Soft"}"#));
    let csv = run(&gateway, &["commands", "list", "--csv"]).await.out();
    assert!(csv.contains("requested_by.name") && csv.contains(&id), "{csv}");
}

#[tokio::test]
async fn reservations_are_listed() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP_1").await;
    let reserve =
        r#"{"connectorId": 1, "expiryDate": "2099-01-01T00:00:00Z", "idTag": "TAG", "reservationId": 7}"#;
    let reserve = ["command", "CP_1", "ReserveNow", reserve];
    let accepted = json!({"status": "Accepted"});
    let (ran, ()) = tokio::join!(run(&gateway, &reserve), answer(&mut charger, accepted));
    ran.out();
    let listed = run(&gateway, &["reservations", "list", "--status", "active"]).await.out();
    assert_eq!(row(&listed, "CP_1")[1..6], ["1", "active", "2099-01-01", "TAG", "7"]);
    let others = run(&gateway, &["reservations", "list", "--station", "CP_2"]).await.out();
    assert_eq!(others.lines().count(), 1, "{others}");
}

#[tokio::test]
async fn keys_are_made_and_revoked_through_the_gateway() {
    let gateway = start(|_| {}).await;
    let create =
        ["keys", "create", "--name", "visit", "--scopes", "read", "--owner", "acme", "--expires", "30d"];
    let key = run(&gateway, &create).await.out();
    assert!(key.starts_with("chk_") && key.lines().count() == 1, "the key alone: {key}");
    let (url, own) = (gateway.url(""), key.trim());
    let theirs = ["keys", "list", "--url", &url, "--api-key", own];
    assert!(run(&gateway, &theirs).await.error().contains("403"), "the given key counts");
    let listed = run(&gateway, &["keys", "list", "--owner", "acme"]).await.out();
    let line = listed.lines().nth(1).expect("a row");
    let id = line.split("  ").next().expect("an id");
    assert_eq!(row(&listed, id)[1..4], ["visit", "read", "acme"]);
    assert!(row(&listed, id)[5].starts_with("in 29 d") || row(&listed, id)[5] == "in 30 d", "{listed}");
    assert!(!listed.contains(own), "a key is shown once");
    let csv = run(&gateway, &["keys", "list", "--csv"]).await.out();
    assert_eq!(csv.lines().count(), 3, "the admin's too: {csv}");

    let past = ["keys", "create", "--name", "x", "--scopes", "read,fly", "--expires", "2020-01-01T00:00:00Z"];
    let wrong = run(&gateway, &past).await.error();
    assert!(wrong.contains("expires_at: ") && wrong.contains("scopes.1: "), "every field: {wrong}");
    let vague =
        run(&gateway, &["keys", "create", "--name", "x", "--scopes", "read", "--expires", "soon"]).await;
    assert_eq!(vague.code, Some(2), "{vague:?}");
    assert_eq!(run(&gateway, &["keys", "revoke", id]).await.out(), format!("key {id} is revoked\n"));
    assert!(run(&gateway, &["keys", "revoke", id]).await.error().contains("404"), "it is gone");

    let directory = tempfile::tempdir().expect("a directory");
    let here = ["--data-dir", directory.path().to_str().expect("UTF-8")];
    let made = run(&gateway, &[create.as_slice(), &here].concat()).await.out();
    assert!(made.starts_with("chk_"), "{made}");
    let listed = run(&gateway, &[["keys", "list", "--utc"].as_slice(), &here].concat()).await.out();
    assert!(
        listed.contains("visit") && listed.lines().count() == 2,
        "of the directory, not the gateway: {listed}"
    );
    let past = run(&gateway, &[past.as_slice(), &here].concat()).await;
    assert!(past.code == Some(2) && past.stderr.contains("future"), "{past:?}");
    let json = run(&gateway, &[["keys", "list", "--json"].as_slice(), &here].concat()).await.json();
    assert_eq!(json["data"][0]["owner_id"], "acme");
}

#[tokio::test]
async fn a_tag_that_is_taken_for_a_station_is_pointed_to() {
    let gateway = start(|_| {}).await;
    let (status, body) = gateway.api("PUT", "/id-tags/STOLEN", Some(json!({"status": "Blocked"}))).await;
    assert!((200..300).contains(&status), "{body}");
    let wrong = run(&gateway, &["why", "STOLEN"]).await.stderr;
    assert!(wrong.contains("chargehook why tag STOLEN"), "{wrong}");
    let unknown = run(&gateway, &["why", "NOBODY"]).await.stderr;
    assert!(!unknown.contains("why tag"), "{unknown}");
    gateway.stop().await;
}
