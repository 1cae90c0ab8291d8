//! Bulk commands on a clock that stands still, with stations that are rows.

use std::collections::BTreeMap;

use super::*;
use crate::{
    BulkFilter, BulkStationFilter, BulkStep, CanceledBulk, CommandFilter, Expiring, NextCommand, Slice,
};
use vocabulary::api::bulk_command::{BulkResult, BulkStation, SkipReason};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::id::{ApiKeyId, CommandId};
use vocabulary::ocpp::outgoing::{CallEnd, EndedCall};

const ALL: Slice = Slice { ascending: true, after: None, limit: 500 };

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn ids(stations: &[&str]) -> Vec<StationId> {
    stations.iter().map(|id| StationId::new(id).expect("legal")).collect()
}

fn new(stations: &[&str]) -> NewBulkCommand {
    NewBulkCommand {
        owner_id: None,
        stations: ids(stations),
        filter: None,
        action: "ClearCache".parse().expect("an action"),
        payload: raw("{}"),
        rate: "10/s".parse().expect("a rate"),
        timeout: Duration::from_secs(30),
        queue_for: None,
        metadata: None,
        key_verifier: None,
        requested_by: RequestedBy { id: ApiKeyId::from_value(1), name: "key".to_owned() },
    }
}

impl Bench {
    /// Stations `ON_1` to `ON_3` are connected and have booted, `OFF` is not, `NEW` has not booted.
    async fn open() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock).expect("a store");
        store
            .seed_run(
                "INSERT INTO stations (station_id, owner_id, connected, connected_at_ms, connection_generation,
                                       booted_as, created_at_ms, updated_at_ms)
                 VALUES ('ON_1', 'acme', 1, 1, 1, 'accepted', 1, 1), ('ON_2', 'acme', 1, 1, 1, 'accepted', 1, 1),
                        ('ON_3', 'acme', 1, 1, 1, 'accepted', 1, 1), ('OFF', 'acme', 0, NULL, 1, 'accepted', 1, 1),
                        ('NEW', 'acme', 1, 1, 1, NULL, 1, 1)",
            )
            .await;
        Self { _dir: dir, store }
    }

    async fn create(&self, new: NewBulkCommand) -> BulkCommand {
        match self.store.create_bulk_command(new).await.expect("writes") {
            BulkCreation::Created(bulk) => *bulk,
            BulkCreation::TooMany => panic!("too many"),
        }
    }

    async fn get(&self, bulk: &BulkCommand) -> BulkCommand {
        self.store.bulk_command(bulk.id, None).await.expect("reads").expect("is there")
    }

    /// Steps with so much room until nothing is left; the stations that a command was made for.
    async fn run(&self, row: i64, room: usize) -> Vec<String> {
        let mut commanded = Vec::new();
        loop {
            let step = self.store.bulk_step(row, room, None).await.expect("steps");
            assert!(step.commanded.len() <= room);
            commanded.extend(step.commanded.iter().map(ToString::to_string));
            if !step.more {
                return commanded;
            }
        }
    }

    async fn stations(&self, bulk: &BulkCommand, result: Option<BulkResult>) -> Vec<BulkStation> {
        let filter = BulkStationFilter { bulk_id: bulk.id, result };
        self.store.bulk_stations(filter, ALL).await.expect("reads").rows
    }

    async fn results(&self, bulk: &BulkCommand) -> Vec<(String, &'static str, Option<SkipReason>)> {
        let all = self.stations(bulk, None).await;
        let shown = |row: &BulkStation| (row.station_id.clone(), row.result.as_str(), row.reason);
        all.iter().map(shown).collect()
    }

    async fn sends(&self, station: &str) -> CommandId {
        let claimed = self.store.claim_command(ids(&[station]).remove(0), 1).await.expect("writes");
        let NextCommand::Send(outgoing) = claimed else { panic!("nothing for {station}: {claimed:?}") };
        outgoing.id
    }

    async fn ends(&self, station: &str, id: CommandId, end: CallEnd) {
        let ended = EndedCall { id, end, violations: Vec::new() };
        self.store.end_command(ids(&[station]).remove(0), ended).await.expect("writes");
    }
}

fn counts(bulk: &BulkCommand) -> [u64; 5] {
    [bulk.sent, bulk.accepted, bulk.rejected, bulk.failed, bulk.skipped]
}

#[tokio::test]
async fn each_station_has_one_turn_and_every_end_is_counted_once() {
    let bench = Bench::open().await;
    let bulk = bench.create(new(&["ON_1", "OFF", "ON_2", "NOBODY", "NEW", "ON_3"])).await;
    assert_eq!((bulk.status, bulk.matched, counts(&bulk)), (BulkStatus::Running, 6, [0; 5]));
    assert_eq!(
        bench.store.bulk_step(1, 0, None).await.expect("steps"),
        BulkStep { more: true, ..BulkStep::default() }
    );
    assert_eq!(bench.run(1, 1).await, ["ON_1", "ON_2", "ON_3"]);
    assert_eq!(
        bench.store.bulk_step(1, 9, None).await.expect("steps"),
        BulkStep::default(),
        "there is nothing more"
    );
    assert_eq!(bench.store.open_bulk_commands().await.expect("reads"), []);
    let of_it = CommandFilter { bulk_id: Some(bulk.id), ..CommandFilter::default() };
    let commands = bench.store.commands(of_it, ALL).await.expect("reads").rows;
    let told: Vec<_> =
        commands.iter().map(|command| (command.station_id.as_str(), command.bulk_id)).collect();
    assert_eq!(told, ["ON_1", "ON_2", "ON_3"].map(|station| (station, Some(bulk.id))));
    assert_eq!(counts(&bench.get(&bulk).await), [0, 0, 0, 0, 3]);

    let first = bench.sends("ON_1").await;
    let (second, third) = (bench.sends("ON_2").await, bench.sends("ON_3").await);
    bench.ends("ON_1", first, CallEnd::Answered(raw(r#"{"status":"Accepted"}"#))).await;
    bench.ends("ON_1", first, CallEnd::TimedOut).await;
    bench.ends("ON_2", second, CallEnd::Answered(raw(r#"{"status":"Rejected"}"#))).await;
    let before = bench.get(&bulk).await;
    assert_eq!(
        (before.status, counts(&before), before.completed_at),
        (BulkStatus::Running, [3, 1, 1, 0, 3], None)
    );
    bench.ends("ON_3", third, CallEnd::TimedOut).await;
    let done = bench.get(&bulk).await;
    assert_eq!((done.status, counts(&done)), (BulkStatus::Done, [3, 1, 1, 1, 3]));
    assert!(done.completed_at.is_some() && done.ended() == done.matched);
    let of = |station: &str, result, reason| (station.to_owned(), result, reason);
    assert_eq!(
        bench.results(&bulk).await,
        [
            of("ON_1", "accepted", None),
            of("OFF", "skipped", Some(SkipReason::NotConnected)),
            of("ON_2", "rejected", None),
            of("NOBODY", "skipped", Some(SkipReason::Gone)),
            of("NEW", "skipped", Some(SkipReason::NeverBooted)),
            of("ON_3", "failed", None),
        ]
    );
    assert_eq!(bench.store.cancel_bulk_command(bulk.id, None).await.expect("writes"), CanceledBulk::Ended);
}

#[tokio::test]
async fn a_filter_by_result_says_what_the_rows_say() {
    let bench = Bench::open().await;
    let queue_for = Some(Duration::from_secs(60));
    let bulk =
        bench.create(NewBulkCommand { queue_for, ..new(&["ON_1", "OFF", "ON_2", "NOBODY", "ON_3"]) }).await;
    let check = async |expected: &[(&str, usize)]| {
        let rows = bench.stations(&bulk, None).await;
        let mut seen = BTreeMap::new();
        for result in BulkResult::ALL {
            let fitting = bench.stations(&bulk, Some(*result)).await;
            let own = rows.iter().filter(|row| row.result == *result).count();
            assert!(fitting.iter().all(|row| row.result == *result) && fitting.len() == own, "{result}");
            seen.insert(result.as_str(), own);
        }
        seen.retain(|_, count| *count > 0);
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    };
    check(&[("waiting", 5)]).await;
    assert_eq!(
        bench.store.bulk_step(1, 3, None).await.expect("steps").commanded,
        ids(&["ON_1", "OFF", "ON_2"])
    );
    let first = bench.sends("ON_1").await;
    check(&[("queued", 2), ("sent", 1), ("waiting", 2)]).await;
    bench.ends("ON_1", first, CallEnd::Answered(raw(r#"{"status":"Accepted"}"#))).await;
    let second = bench.sends("ON_2").await;
    assert_eq!(bench.store.cancel_bulk_command(bulk.id, None).await.expect("writes"), CanceledBulk::Canceled);
    check(&[("accepted", 1), ("sent", 1), ("skipped", 3)]).await;
    let canceled = bench.get(&bulk).await;
    assert_eq!((canceled.status, counts(&canceled)), (BulkStatus::Canceled, [2, 1, 0, 0, 3]));
    assert_eq!((bench.run(1, 9).await, canceled.completed_at), (Vec::new(), None));
    // What was sent is still answered, and counted.
    bench.ends("ON_2", second, CallEnd::Answered(raw(r#"{"status":"Rejected"}"#))).await;
    check(&[("accepted", 1), ("rejected", 1), ("skipped", 3)]).await;
    let ended = bench.get(&bulk).await;
    assert_eq!((ended.status, counts(&ended)), (BulkStatus::Canceled, [2, 1, 1, 0, 3]));
    assert!(ended.completed_at.is_some());
    // Retention removes the commands first.
    bench.store.seed_run("DELETE FROM commands").await;
    check(&[("failed", 3), ("skipped", 2)]).await;
}

#[tokio::test]
async fn many_queued_commands_are_canceled_step_by_step() {
    let bench = Bench::open().await;
    let queue_for = Some(Duration::from_secs(60));
    // One station, many times over: the rows do not mind.
    let stations = vec!["OFF"; 250];
    let bulk = bench.create(NewBulkCommand { queue_for, ..new(&stations) }).await;
    assert_eq!(bench.run(1, 1_000).await.len(), 250);
    assert_eq!(bench.store.cancel_bulk_command(bulk.id, None).await.expect("writes"), CanceledBulk::Canceled);
    assert_eq!(bench.get(&bulk).await.skipped, 100);
    assert_eq!(bench.store.open_bulk_commands().await.expect("reads").len(), 1);
    bench.run(1, 1).await;
    let ended = bench.get(&bulk).await;
    assert_eq!((ended.skipped, ended.status), (250, BulkStatus::Canceled));
    assert!(ended.completed_at.is_some());
    assert_eq!(bench.store.open_bulk_commands().await.expect("reads"), []);
}

#[tokio::test]
async fn a_bound_key_reaches_no_station_that_was_given_to_another_owner() {
    let bench = Bench::open().await;
    let bulk =
        bench.create(NewBulkCommand { owner_id: Some("acme".to_owned()), ..new(&["ON_1", "ON_2"]) }).await;
    bench.store.seed_run("UPDATE stations SET owner_id = 'other' WHERE station_id = 'ON_1'").await;
    assert_eq!(bench.run(1, 9).await, ["ON_2"]);
    assert_eq!(bench.results(&bulk).await[0].2, Some(SkipReason::Gone));
    for (visible_to, seen) in [(None, true), (Some("acme"), true), (Some("other"), false)] {
        let visible_to = visible_to.map(str::to_owned);
        let found = bench.store.bulk_command(bulk.id, visible_to.clone()).await.expect("reads");
        let filter = BulkFilter { owner_id: visible_to.clone(), ..BulkFilter::default() };
        let listed = bench.store.bulk_commands(filter, ALL).await.expect("reads").rows;
        assert_eq!((found.is_some(), listed.len()), (seen, usize::from(seen)), "{visible_to:?}");
    }
    let others = bench.store.cancel_bulk_command(bulk.id, Some("other".to_owned())).await.expect("writes");
    assert_eq!(others, CanceledBulk::NotFound);
}

#[tokio::test]
async fn a_secret_is_sealed_and_goes_with_the_last_turn() {
    let bench = Bench::open().await;
    let secret = NewBulkCommand {
        action: "ChangeConfiguration".parse().expect("an action"),
        payload: raw(r#"{"key":"AuthorizationKey","value":"414243444546474849505152535455565758"}"#),
        key_verifier: Some("$argon2id$x".to_owned()),
        ..new(&["ON_1", "ON_2"])
    };
    let bulk = bench.create(secret.clone()).await;
    assert!(bulk.payload.get().contains("***") && !bulk.payload.get().contains("4142"));
    let kept = "SELECT count(*) FROM bulk_commands WHERE sealed_payload LIKE 'sealed:%' AND key_verifier IS NOT NULL";
    let plain = "SELECT count(*) FROM bulk_commands WHERE sealed_payload IS NULL AND key_verifier IS NULL";
    assert_eq!(bench.store.bulk_step(1, 1, None).await.expect("steps").commanded.len(), 1);
    assert_eq!(bench.store.seed_number(kept).await, 1);
    bench.run(1, 9).await;
    assert_eq!(bench.store.seed_number(plain).await, 1);
    assert_eq!(bench.store.seed_number("SELECT count(*) FROM key_rotations").await, 2);
    let claimed = bench.store.claim_command(ids(&["ON_2"]).remove(0), 1).await.expect("writes");
    let NextCommand::Send(outgoing) = claimed else { panic!("{claimed:?}") };
    assert!(outgoing.payload.get().contains("414243"), "the whole payload is sent");
    // Canceled before all had their turn.
    let second = bench.create(secret).await;
    assert_eq!(
        bench.store.cancel_bulk_command(second.id, None).await.expect("writes"),
        CanceledBulk::Canceled
    );
    assert_eq!(bench.store.seed_number(plain).await, 2);
}

#[tokio::test]
async fn retention_removes_what_has_ended_with_its_list_of_stations() {
    let bench = Bench::open().await;
    let none = bench.create(new(&[])).await;
    assert_eq!((none.status, none.matched), (BulkStatus::Done, 0));
    let open = bench.create(new(&["ON_1"])).await;
    bench.create(new(&["OFF"; 250])).await;
    bench.run(3, 1).await;
    let before = Timestamp::from_unix_ms(1_999_999_999_999);
    let mut rows = bench.store.expired(Expiring::BulkCommands, before, 0).await.expect("looks").rows;
    assert_eq!(rows, [1, 3]);
    while !rows.is_empty() {
        let step =
            bench.store.remove_expired(Expiring::BulkCommands, before, rows.clone()).await.expect("removes");
        rows.drain(..step.done);
    }
    assert_eq!(bench.store.seed_number("SELECT count(*) FROM bulk_command_stations").await, 1);
    assert!(bench.store.bulk_command(open.id, None).await.expect("reads").is_some());
    let gone = crate::Missing::BulkCommand(none.id);
    assert!(bench.store.may_be_removed(gone).await.expect("reads"));
}

#[tokio::test]
async fn so_many_are_under_way_at_once() {
    let bench = Bench::open().await;
    for _ in 0..OPEN_MAX {
        bench.create(new(&["OFF"])).await;
    }
    let refused = bench.store.create_bulk_command(new(&["OFF"])).await.expect("reads");
    assert!(matches!(refused, BulkCreation::TooMany));
    bench.run(1, 1).await;
    bench.create(new(&["OFF"])).await;
}

#[tokio::test]
async fn after_a_start_a_station_that_was_there_is_waited_for() {
    let bench = Bench::open().await;
    bench
        .store
        .seed_run("UPDATE stations SET connected = 0, last_seen_at_ms = 5 WHERE station_id = 'ON_2'")
        .await;
    let bulk = bench.create(new(&["ON_1", "OFF", "ON_2", "ON_3"])).await;
    let step = async |started_at: i64| {
        let started_at = Some(Timestamp::from_unix_ms(started_at));
        bench.store.bulk_step(1, 9, started_at).await.expect("steps")
    };
    let first = step(6).await;
    assert_eq!((first.commanded, first.waits, first.more), (ids(&["ON_1"]), true, true));
    assert_eq!(bench.results(&bulk).await[1].2, Some(SkipReason::NotConnected), "it was never seen");
    assert!(step(6).await.commanded.is_empty());
    bench.store.seed_run("UPDATE stations SET connected = 1 WHERE station_id = 'ON_2'").await;
    assert_eq!(step(6).await.commanded, ids(&["ON_2", "ON_3"]));
    // It was back, and is away again; or nobody waits any more.
    bench
        .store
        .seed_run("UPDATE stations SET connected = 0, last_seen_at_ms = 7 WHERE station_id = 'ON_2'")
        .await;
    for (row, started_at) in [(2, Some(Timestamp::from_unix_ms(6))), (3, None)] {
        let late = bench.create(new(&["ON_2"])).await;
        assert!(!bench.store.bulk_step(row, 9, started_at).await.expect("steps").more);
        assert_eq!(bench.get(&late).await.skipped, 1);
    }
}
