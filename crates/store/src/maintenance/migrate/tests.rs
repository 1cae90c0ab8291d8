use std::time::Duration;

use super::*;
use crate::engine::embedded::data_dir::DATABASE;
use crate::engine::tx::Read;
use crate::error::KeyFault;
use crate::seed::{SeedWebhook, secrets_in};
use crate::test_store::shared_address;
use crate::{Identity, Opened, SecretsKey, Store, change_key};

/// A data directory, a database that it may be carried over to, and the key in the directory.
struct Bench {
    dir: tempfile::TempDir,
    target: tempfile::TempDir,
    to: Address,
    key: KeySource,
}

impl Bench {
    /// `None` where there is no PostgreSQL.
    fn new() -> Option<Self> {
        let (dir, target) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let to = shared_address(target.path())?;
        let key = KeySource::file_in(dir.path());
        Some(Self { dir, target, to, key })
    }

    fn embedded(&self) -> Store {
        let opened = Store::open_embedded(Identity::default(), self.dir.path(), &self.key, Clock::System);
        opened.expect("opens").store
    }

    fn file(&self) -> DatabaseFile {
        DatabaseFile::look_at(&self.dir.path().join(DATABASE)).expect("opens")
    }

    fn run(&self, statements: &str) {
        DatabaseFile::open(&self.dir.path().join(DATABASE)).expect("opens").run_all(statements);
    }

    fn migrate(&self) -> Result<Migrated> {
        let migration = Migration { data_dir: self.dir.path(), key: &self.key, to: &self.to };
        migrate(&migration, &Clock::System, &mut |_| ())
    }

    fn node(&self, name: &str) -> Store {
        let identity = Identity { name: name.to_owned(), ..Identity::default() };
        let own = self.target.path().join(name);
        let Opened { store, .. } =
            Store::open_shared(&self.to, identity, &own, &self.key, Clock::System).expect("opens");
        store
    }

    /// Looks at what has arrived.
    fn arrived<T: Send>(&self, look: impl FnOnce(&Read<'_>) -> Result<T> + Send) -> T {
        apart(|| errand(&self.to, &Clock::System)?.read(look)).expect("reads")
    }
}

/// Every cell of a table, row by row.
fn cells(db: &Read<'_>, table: &Table) -> Result<Vec<String>> {
    let select = format!("SELECT {} FROM {}", table.columns.join(", "), table.name);
    let mut rows = db.all(&select, &[], |row| {
        (0..table.columns.len())
            .map(|column| Ok(format!("{:?}", row.cell(column)?)))
            .collect::<Result<Vec<_>>>()
    })?;
    rows.sort();
    Ok(rows.into_iter().map(|cells| cells.join(" | ")).collect())
}

/// What PostgreSQL's own types could not hold, or would change.
const ODD: &str = r#"
    INSERT INTO events (id, event, category, timestamp_ms, payload, message_id)
    VALUES ('evt_00000000020000000000000000', 'DataTransfer', 'ocpp', 2, '{"a":"\u0000\ud800","n":1e400,"m":12345678901234567890.10}',
            'nul' || char(0) || 'one' || char(1) || '0' || char(1) || char(65533)),
           ('evt_00000000030000000000000000', 'DataTransfer', 'ocpp', 9223372036854775807, char(0), ''),
           ('evt_00000000040000000000000000', 'Removed', 'ocpp', 3, '{}', NULL);
    DELETE FROM events WHERE event = 'Removed';
    UPDATE sqlite_sequence SET seq = 4711 WHERE name = 'deliveries';
    INSERT INTO station_sequences (station_id, last) VALUES ('CP', 41), ('b' || char(0), 2), ('b' || char(1), 3);
    INSERT INTO meter_values (transaction_id, occurred_at_ms, received_at_ms, at_ms, signed, samples)
    VALUES (1, NULL, 5, 5, 0, '["' || hex(randomblob(20000)) || '"]');
    INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms, duration_ms, response_body)
    VALUES (1, 1, 'event', 1, 2, x'' || 'body' || char(0));
    INSERT INTO meta (key, value) VALUES ('last_transaction_id', 777), ('last_epoch_of_tests', -9223372036854775808);
    UPDATE stations SET boot_expected = 1, metadata = '{"ü":"\ud83d\ude00 😀"}';
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_arrives_to_the_letter_and_everything_counts_on() {
    let Some(bench) = Bench::new() else { return };
    secrets_in(bench.dir.path());
    bench.run(ODD);
    let mut told = Vec::new();
    let migration = Migration { data_dir: bench.dir.path(), key: &bench.key, to: &bench.to };
    let migrated = migrate(&migration, &Clock::System, &mut |progress| {
        if let MigrationProgress::Copying { table, rows, of, done, total } = progress {
            assert!(rows <= of && done <= total);
            told.push((table.to_owned(), rows, done, total));
        }
    })
    .expect("migrates");
    assert!(migrated.sealed);
    let (last, ..) = told.last().expect("progress");
    assert_eq!(told.last().map(|(.., done, total)| done == total), Some(true), "{last}");
    let file = bench.file();
    let mut carried = 0;
    for table in file.tables().expect("reads") {
        if STAY_BEHIND.contains(&table.name.as_str()) {
            assert_eq!(bench.arrived(|db| cells(db, &table)), [""; 0]);
            continue;
        }
        let mut there = cells(&file.read(), &table).expect("reads");
        there.retain(|row| !ENTRIES_LEFT.iter().any(|entry| row.contains(&format!("{entry:?}"))));
        assert_eq!(bench.arrived(|db| cells(db, &table)), there, "{}", table.name);
        carried += 1;
    }
    assert_eq!(migrated.tables.len(), carried);

    let store = bench.node("one");
    let secrets = store.webhook_secrets(1, Clock::System.now()).await.expect("opens").expect("is there");
    assert_eq!(secrets.signing_secret, "SECRET-signing");
    let event = store.seed_events("CP", 1).await.expect("stored").remove(0);
    assert!(event.to_string().as_str() > "evt_00000000040000000000000000");
    assert!(
        store.seed_number("SELECT seq FROM events WHERE event = 'NodeJoined'").await > 3,
        "the removed one had 3"
    );
    assert_eq!(store.seed_number("SELECT station_seq FROM events ORDER BY seq DESC LIMIT 1").await, 42);
    assert!(store.seed_number("SELECT max(seq) FROM deliveries").await > 4_711);
    assert_eq!(store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("stored"), 2);
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = current_schema()";
    let all = store.seed_number(indexes).await;
    store.begin_to_leave().await;
    store.leave().await;
    store.close();
    let fresh = tempfile::tempdir().expect("a directory");
    let fresh = shared_address(fresh.path()).expect("there is one");
    let of_fresh =
        apart(|| errand(&fresh, &Clock::System)?.read(|db| db.one(indexes, &[], |row| row.get::<i64>(0))));
    assert_eq!(of_fresh.expect("reads"), all, "no index is left out");

    // The key can be changed there too.
    let next: SecretsKey = "5a".repeat(32).parse().expect("a key");
    change_key(&bench.to, &bench.key, Some(next.clone()), &Clock::System).expect("changes");
    let refused =
        Store::open_shared(&bench.to, Identity::default(), bench.target.path(), &bench.key, Clock::System);
    assert!(matches!(refused.err(), Some(StoreError::Key(KeyFault::Wrong(_)))));
    let Bench { target, to, .. } = &bench;
    let key = KeySource::Given(next);
    let Opened { store, .. } =
        Store::open_shared(to, Identity::default(), target.path(), &key, Clock::System).expect("opens");
    let secrets = store.webhook_secrets(1, Clock::System.now()).await.expect("opens").expect("is there");
    assert_eq!(secrets.previous[0].signing_secret, "SECRET-previous");
    store.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_is_settled_as_after_a_crash_and_moments_move_to_the_other_clock() {
    let Some(bench) = Bench::new() else { return };
    bench.embedded().close();
    bench.run(
        r#"
        INSERT INTO stations (station_id, connected, connection_generation, connected_at_ms, node_epoch, recent_boots,
                              created_at_ms, updated_at_ms)
        VALUES ('CP', 1, (1 << 32) + 1, 100, 1, '[5]', 1, 1);
        INSERT INTO station_sequences (station_id, last) VALUES ('CP', 1);
        INSERT INTO events (id, event, category, station_id, station_seq, timestamp_ms, payload)
        VALUES ('evt_00000000010000000000000000', 'Heartbeat', 'ocpp', 'CP', 1, 150, '{}');
        INSERT INTO webhooks (name, url, status, events, stations, signing_secret, format, custom_headers, ordering,
                              ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight, last_sequence,
                              created_at_ms, updated_at_ms)
        VALUES ('w', 'https://example.com/', 'active', '["*"]', '["*"]', 's', 'flat', '{}', 'none', 1, 1, '[]', 1, 1, 1, 1);
        INSERT INTO deliveries (id, event_seq, webhook_id, sequence, status, attempts, scheduled_at_ms,
                                first_tried_at_ms, created_at_ms)
        VALUES ('dlv_00000000010000000000000000', 1, 1, 1, 'processing', 1, 1000, 1000, 1);
        INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms) VALUES (1, 1, 'event', 1);
        INSERT INTO commands (id, station_id, action, payload, timeout_ms, queue, requested_by_id, requested_by_name,
                              status, generation, expires_at_ms, created_at_ms, sent_at_ms)
        VALUES ('cmd_00000000010000000000000000', 'CP', 'Reset', '{"type":"Soft"}', 1000, 0,
                'key_00000000010000000000000000', 'k', 'sent', (1 << 32) + 1, 2000, 1, 1);
        INSERT OR REPLACE INTO meta (key, value) VALUES ('wall_offset_ms', 3600000);
        "#,
    );
    bench.migrate().expect("migrates");
    let texts = |sql: &str| bench.arrived(|db| db.all(sql, &[], |row| row.get::<String>(0)));
    assert_eq!(texts("SELECT event FROM events ORDER BY seq"), ["Heartbeat", "Reset", "StationDisconnected"]);
    assert_eq!(
        texts("SELECT concat_ws(' ', connected, node_epoch, disconnect_reason, recent_boots) FROM stations"),
        ["0 gateway_stopped [3600005]"]
    );
    assert_eq!(texts("SELECT status FROM commands"), ["connection_lost"]);
    assert_eq!(texts("SELECT error_code FROM attempts"), ["outcome_unknown"]);
    assert_eq!(
        texts("SELECT concat_ws(' ', status, sequence) FROM deliveries ORDER BY seq"),
        ["retry 1", "scheduled 2", "scheduled 3"]
    );
    assert_eq!(
        texts("SELECT concat_ws(' ', scheduled_at_ms, first_tried_at_ms) FROM deliveries WHERE sequence = 1"),
        ["3601000 3601000"]
    );
    assert_eq!(texts("SELECT CAST(expires_at_ms AS TEXT) FROM commands"), ["3602000"]);
    assert_eq!(texts("SELECT key FROM meta WHERE key = 'wall_offset_ms'"), [""; 0]);
    let gaps = "SELECT CAST(station_seq AS TEXT) FROM events WHERE station_id = 'CP' ORDER BY seq";
    assert_eq!(texts(gaps), ["1", "2", "3"]);
    let file = bench.file();
    let left: i64 = file.read().one("SELECT count(*) FROM events", &[], |row| row.get(0)).expect("reads");
    assert_eq!(left, 1, "nothing is written there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_is_refused_and_nothing_is_touched() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.embedded();
    store.seed_events("CP", 2).await.expect("stored");
    assert!(matches!(bench.migrate(), Err(StoreError::InUse(_))));
    store.close();

    let wrong = KeySource::Given("00".repeat(32).parse().expect("a key"));
    let migration = Migration { data_dir: bench.dir.path(), key: &wrong, to: &bench.to };
    let refused = migrate(&migration, &Clock::System, &mut |_| ());
    assert!(matches!(refused, Err(StoreError::Key(KeyFault::Wrong(_)))));
    assert!(!Store::exists_at(&bench.to).expect("looks"), "not even tables are made before that");

    let node = bench.node("there");
    let Err(StoreError::NodesActive(active)) = bench.migrate() else { panic!("a node is active") };
    assert_eq!(active, ["there"]);
    node.begin_to_leave().await;
    node.leave().await;
    node.close();
    let Err(refused @ StoreError::NotEmpty(_)) = bench.migrate() else { panic!("it is in use") };
    let told = refused.to_string();
    assert!(
        told.contains("events (1)") && told.contains("meta (") && told.contains("?schema=NAME"),
        "{told}"
    );

    // Half of it is nothing: a row that the other side refuses is the last one.
    let anew =
        Bench { target: tempfile::tempdir().expect("a directory"), ..Bench::new().expect("there is one") };
    anew.embedded().close();
    anew.run(
        "INSERT INTO events (id, event, category, timestamp_ms, payload)
         VALUES ('evt_00000000010000000000000000', 'Heartbeat', 'ocpp', 1, '{}');
         PRAGMA ignore_check_constraints = ON;
         INSERT INTO webhooks (name, url, status, events, stations, signing_secret, format, custom_headers, ordering,
                               ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight, created_at_ms,
                               updated_at_ms)
         VALUES ('w', 'u', 'no status', '[]', '[]', 's', 'flat', '{}', 'none', 1, 1, '[]', 1, 1, 1);",
    );
    let refused = anew.migrate().expect_err("refused").to_string();
    assert!(refused.contains("webhooks"), "{refused}");
    let filled = apart(|| {
        let mut filled = None;
        errand(&anew.to, &Clock::System)?.write(|w| {
            filled = Some(w.filled_tables()?);
            Ok(())
        })?;
        Ok::<_, StoreError>(filled)
    });
    assert_eq!(filled.expect("reads"), Some(Vec::new()));
    anew.run("UPDATE webhooks SET status = 'active'");
    anew.migrate().expect("an empty one is as good as new");
    let file = anew.file();
    let version: i64 = file.read().one("SELECT count(*) FROM events", &[], |row| row.get(0)).expect("reads");
    assert_eq!(version, 1);
}

/// What a step of the schema adds is carried without being named anywhere. Here it shows if one engine lacks
/// it, or has a table that nobody has decided about.
#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_both_engines_are_the_same() {
    let Some(bench) = Bench::new() else { return };
    bench.embedded().close();
    let ours = bench.file().tables().expect("reads");
    let mut names: Vec<&str> = ours.iter().map(|table| table.name.as_str()).chain(carrying::OWN).collect();
    names.sort_unstable();
    assert_eq!(bench.arrived(|db| db.table_names()), names);
    for table in &ours {
        let (mut here, mut there) = (table.columns.clone(), bench.arrived(|db| db.columns_of(&table.name)));
        here.sort_unstable();
        there.sort_unstable();
        assert_eq!(here, there, "{}", table.name);
    }
    assert!(STAY_BEHIND.iter().all(|table| names.contains(table)));
}

/// How fast it is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: MIGRATED_EVENTS events, with a delivery and an attempt each"]
#[expect(clippy::print_stdout, reason = "a measurement tells its figures")]
async fn rows_a_second() {
    let Some(bench) = Bench::new() else { return };
    bench.embedded().close();
    let events = std::env::var("MIGRATED_EVENTS").map_or(333_333, |text| text.parse().expect("a number"));
    bench.run(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {events})
         INSERT INTO events (id, event, category, station_id, station_seq, timestamp_ms, payload, message_id)
         SELECT printf('evt_%026d', n), 'MeterValues', 'ocpp', 'CP_' || (n % 1000), n / 1000, n,
                '{{\"connectorId\":1,\"meterValue\":[{{\"timestamp\":\"2026-04-14T12:00:00Z\",\"sampledValue\":[{{\"value\":\"' || n || '\"}}]}}]}}', n
         FROM n;
         INSERT INTO deliveries (id, event_seq, webhook_id, sequence, status, attempts, scheduled_at_ms,
                                 first_tried_at_ms, created_at_ms, completed_at_ms)
         SELECT printf('dlv_%026d', seq), seq, 1, seq, 'success', 1, 1, 1, 1, 1 FROM events;
         INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms, duration_ms, status_code)
         SELECT seq, 1, 'event', 1, 1, 200 FROM deliveries;"
    ));
    let began = std::time::Instant::now();
    let migrated = bench.migrate().expect("migrates");
    let rows: u64 = migrated.tables.iter().map(|(_, rows)| rows).sum();
    let took = began.elapsed().max(Duration::from_millis(1));
    println!("{rows} rows in {took:?}: {:.0} rows/s", rows as f64 / took.as_secs_f64());
}
