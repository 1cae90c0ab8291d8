//! A large installation with a past of six days, made in about a minute: what a dashboard has to be fast on.
//!
//! ```ignore
//! let site = fleet::gateway(&Sizes::LARGE).await;
//! let times = fleet::ask(&site, "/stations?limit=50", 50).await;
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};
use serde_json::json;
use tokio::task::block_in_place;
use vocabulary::clock::Clock;
use vocabulary::units::Span;

use super::{Times, record, times};
use crate::harness::{Running, http_client, start, start_in};

/// How much of everything there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// `FLEET_0000` and so on, two connectors each, a hundred to a site; nine of ten are connected.
    pub(crate) stations: i64,
    /// For everything, to a port where nobody listens.
    pub(crate) webhooks: i64,
    /// Twenty of a session, the last twentieth of all of sessions that are active. Each has a delivery, every
    /// twentieth a second one.
    pub(crate) events: i64,
}

impl Sizes {
    /// What the pages of the dashboard are measured on.
    pub(crate) const LARGE: Self = Self { stations: 5_000, webhooks: 200, events: 1_000_000 };
}

/// How long the past is.
const PAST: Duration = Duration::from_secs(6 * 86_400);

/// A gateway on a database of these sizes. The first call that finds the search index complete is a fair one
/// to measure: see [`settled`].
pub(crate) async fn gateway(sizes: &Sizes) -> Running {
    let first = start(|config| config.api_limits.api_requests_per_second = 1_000_000).await;
    webhooks(&first, sizes.webhooks).await;
    let dir = first.stop().await;
    fill(dir.path(), sizes);
    let site = start_in(dir, |config| {
        config.api_limits.api_requests_per_second = 1_000_000;
        // None of them has a socket, and none is to be found silent while one measures.
        config.ocpp.heartbeat_interval = Span::seconds(86_400);
    })
    .await;
    site.gateway.store().seed_run("UPDATE stations SET connected = 1 WHERE offline = 0").await;
    site
}

/// Makes so many webhooks for everything, to a port where nobody listens.
pub(crate) async fn webhooks(site: &Running, many: i64) {
    for nth in 0..many {
        let hook =
            json!({"name": format!("hook {nth}"), "url": "http://127.0.0.1:9/", "retry_schedule": ["12h"]});
        assert_eq!(site.api("POST", "/webhooks", Some(hook)).await.0, 201);
    }
}

/// Waits until nothing is done in the background that would be measured too: the search index has taken in
/// what there is.
pub(crate) async fn settled(site: &Running) {
    let began = Instant::now();
    while site.gateway.store().search_behind() > 0 {
        assert!(began.elapsed() < Duration::from_secs(900), "the search index is still behind");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How long the first byte of a `GET` takes; a path that begins with `/ui` is of the dashboard, others are
/// of the API.
pub(crate) async fn ask(site: &Running, path: &str, times_asked: usize) -> Times {
    let url = match path.starts_with("/ui") {
        true => site.url(path),
        false => site.url(&format!("/api/v1{path}")),
    };
    let (http, mut took) = (http_client(), times());
    for _ in 0..times_asked {
        let began = Instant::now();
        let response = http.get(&url).header("X-API-Key", crate::harness::ADMIN_KEY).send().await;
        let response = response.expect("answers");
        record(&mut took, began.elapsed());
        assert_eq!(response.status(), 200, "{path}");
        // Read to the end, so that the connection is used again.
        response.bytes().await.expect("a body");
    }
    took
}

/// Writes it into the database of a directory whose gateway does not run and has these webhooks.
pub(crate) fn fill(data_dir: &Path, sizes: &Sizes) {
    block_in_place(|| write(&data_dir.join("chargehook.db"), sizes)).expect("the rows are legal");
}

fn write(database: &Path, sizes: &Sizes) -> rusqlite::Result<()> {
    let mut conn = Connection::open(database)?;
    conn.pragma_update(None, "synchronous", "OFF")?;
    conn.pragma_update(None, "cache_size", -524_288)?;
    let tx = conn.transaction()?;
    let now_ms = Clock::System.now().unix_ms();
    let begin_ms = now_ms - PAST.as_millis() as i64;
    // Of this `:n` of the rows below, and of as many columns as need it.
    tx.execute_batch("CREATE TEMP TABLE n (n INTEGER PRIMARY KEY)")?;
    tx.execute(
        "INSERT INTO n WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1) SELECT n FROM c",
        [sizes.events],
    )?;
    stations(&tx, sizes, now_ms)?;
    sessions(&tx, sizes, begin_ms, now_ms)?;
    events(&tx, sizes, begin_ms, now_ms)?;
    deliveries(&tx, sizes)?;
    others(&tx, sizes, begin_ms, now_ms)?;
    tx.execute_batch("DROP TABLE n")?;
    tx.commit()?;
    // A gateway starts on a database, not on somebody's write-ahead log of a gigabyte.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// An id as the gateway mints it: ten digits of time, here of a column, and sixteen of a number.
fn id(prefix: &str, at_ms: &str, number: &str) -> String {
    let digit = |shift: usize| {
        format!("substr('0123456789abcdefghjkmnpqrstvwxyz', ((({at_ms}) >> {shift}) & 31) + 1, 1)")
    };
    let time: Vec<_> = (0..10).rev().map(|nth| digit(nth * 5)).collect();
    format!("'{prefix}_' || {} || format('%016d', {number})", time.join(" || "))
}

fn stations(tx: &Transaction<'_>, sizes: &Sizes, now_ms: i64) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO stations (station_id, name, owner_id, provisioned, connected_at_ms, last_seen_at_ms, offline,
             remote_addr, protocol, security_profile, booted_at_ms, booted_as, vendor, model, serial_number,
             firmware_version, flags, metadata, created_at_ms, updated_at_ms, site, offline_since_ms)
         SELECT format('FLEET_%04d', n - 1), format('Charger %d', n), format('owner-%d', n % 7), 1, ?1 - 86400000,
                ?1 - iif(n % 10 = 0, n * 60000, 0), n % 10 = 0, '192.0.2.1:4711', 'ocpp1.6', 0, ?1 - 86400000,
                'accepted', format('Vendor %d', n % 5), format('Model %d', n % 11), format('SN%08d', n),
                format('1.%d.0', n % 9), iif(n % 50 = 0, '[\"clock_skew\"]', '[]'), '{\"note\":\"seeded\"}', ?1, ?1,
                format('Site %d', n / 100), iif(n % 10 = 0, ?1 - n * 60000, NULL)
         FROM n WHERE n <= ?2",
        params![now_ms, sizes.stations],
    )?;
    tx.execute(
        "INSERT INTO station_sequences (station_id, last) SELECT format('FLEET_%04d', n - 1), 1000000 FROM n
         WHERE n <= ?1",
        [sizes.stations],
    )?;
    tx.execute(
        "INSERT INTO connectors (station_id, connector_id, status, error_code, occurred_at_ms, updated_at_ms, as_of_ms,
             since_ms, error_since_ms, station_seq)
         SELECT s.station_id, c.column1,
                CASE WHEN n % 97 = 0 THEN 'Faulted' WHEN n % 3 = 0 THEN 'Charging' ELSE 'Available' END,
                iif(n % 97 = 0, 'GroundFailure', 'NoError'), ?1 - n * 1000, ?1 - n * 1000, ?1 - n * 1000,
                ?1 - n * 1000, iif(n % 97 = 0, ?1 - n * 1000, NULL), s.seq
         FROM n JOIN stations AS s ON s.station_id = format('FLEET_%04d', n.n - 1), (VALUES (1), (2)) AS c
         WHERE n <= ?2",
        params![now_ms, sizes.stations],
    )?;
    Ok(())
}

/// Of every twentieth event the begin.
fn sessions(tx: &Transaction<'_>, sizes: &Sizes, begin_ms: i64, now_ms: i64) -> rusqlite::Result<()> {
    let sessions = sizes.events / 20;
    // The newest ones run, at most one to a station.
    let active = (sessions / 20).min(sizes.stations);
    tx.execute(
        "INSERT INTO transactions (transaction_id, station_id, connector_id, owner_id, id_tag, id_tag_key,
             id_tag_status, status, ended_by, started_at_ms, stopped_at_ms, meter_start_wh, meter_stop_wh,
             first_register_wh, first_register_at_ms, last_register_wh, last_register_at_ms, register_followed,
             stop_reason, start_timestamp_text, stop_timestamp_text, start_event_seq, stop_event_seq, revision,
             created_at_ms, updated_at_ms, change_seq, completed_at_ms)
         SELECT n, station_id, 1, owner_id, tag, lower(tag), 'Accepted', iif(over, 'completed', 'active'),
                iif(over, 'stop', NULL), at_ms, iif(over, end_ms, NULL), n * 10, iif(over, n * 10 + 20000, NULL),
                n * 10, at_ms, n * 10 + 20000, min(end_ms, ?2), 1, iif(over, 'Local', NULL), format('s%d', n),
                iif(over, format('e%d', n), NULL), n * 20 - 19, iif(over, n * 20, NULL), over, at_ms,
                iif(over, end_ms, at_ms), n, iif(over, end_ms, NULL)
         FROM (SELECT n, n <= ?3 - ?4 AS over, s.station_id, s.owner_id, format('TAG%05d', n % 5000) AS tag,
                      ?1 + CAST((?2 - ?1) * 0.99 * n / ?3 AS INTEGER) AS at_ms,
                      ?1 + CAST((?2 - ?1) * 0.99 * n / ?3 AS INTEGER) + 3600000 AS end_ms
               FROM n JOIN stations s ON s.station_id = format('FLEET_%04d', n.n % ?5) WHERE n <= ?3)",
        params![begin_ms, now_ms, sessions, active, sizes.stations],
    )?;
    tx.execute(
        "INSERT INTO meta (key, value) VALUES ('last_transaction_id', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [sessions],
    )?;
    tx.execute(
        "INSERT INTO meter_values (transaction_id, occurred_at_ms, received_at_ms, at_ms, signed, samples)
         SELECT t.transaction_id, t.started_at_ms + c.column1 * 60000, t.started_at_ms + c.column1 * 60000,
                t.started_at_ms + c.column1 * 60000, 0,
                format('[{\"value\":\"%d\",\"value_base\":\"%d\",\"unit\":\"Wh\"},
                         {\"value\":\"11000\",\"value_base\":\"11000\",\"measurand\":\"Power.Active.Import\",\"unit\":\"W\"}]',
                       t.transaction_id * 10 + c.column1 * 180, t.transaction_id * 10 + c.column1 * 180)
         FROM transactions t, (VALUES (0), (15), (30), (45)) AS c",
        [],
    )?;
    Ok(())
}

fn events(tx: &Transaction<'_>, sizes: &Sizes, begin_ms: i64, now_ms: i64) -> rusqlite::Result<()> {
    let id = id("evt", "at_ms", "n");
    tx.execute(
        &format!(
            "INSERT INTO events (seq, id, event, category, protocol, station_id, station_seq, owner_id, timestamp_ms,
                 occurred_at_ms, transaction_id, payload, message_id, response)
             SELECT n, {id}, event, iif(event = 'TransactionCompleted', 'transaction', 'ocpp'),
                    iif(event = 'TransactionCompleted', NULL, 'ocpp1.6'), station_id, n, owner_id, at_ms, at_ms,
                    iif(event IN ('Heartbeat', 'StatusNotification'), NULL, session),
                    CASE event
                        WHEN 'Heartbeat' THEN '{{}}'
                        WHEN 'StatusNotification' THEN
                            format('{{\"connectorId\":1,\"errorCode\":\"NoError\",\"status\":\"Charging\",\"info\":\"word%d\"}}', n)
                        ELSE format('{{\"connectorId\":1,\"transactionId\":%d,\"meter\":%d,\"idTag\":\"TAG%05d\",\"note\":\"session word%d of the past\"}}',
                                    session, n, session % 5000, n)
                    END,
                    iif(event = 'TransactionCompleted', NULL, format('m%d', n)),
                    iif(event = 'TransactionCompleted', NULL, '{{\"currentTime\":\"2026-04-14T12:00:00.000Z\"}}')
             FROM (SELECT n, (n - 1) / 20 + 1 AS session, s.station_id, s.owner_id,
                          ?1 + CAST((?2 - ?1) * 0.999 * n / ?3 AS INTEGER) AS at_ms,
                          CASE (n - 1) % 20 WHEN 0 THEN 'StartTransaction' WHEN 1 THEN 'StatusNotification'
                               WHEN 17 THEN 'StatusNotification' WHEN 18 THEN 'TransactionCompleted'
                               WHEN 19 THEN 'StopTransaction' WHEN 8 THEN 'Heartbeat' WHEN 9 THEN 'Heartbeat'
                               ELSE 'MeterValues' END AS event
                   FROM n JOIN stations s ON s.station_id = format('FLEET_%04d', ((n.n - 1) / 20 + 1) % ?4))"
        ),
        params![begin_ms, now_ms, sizes.events, sizes.stations],
    )?;
    Ok(())
}

/// One in three hundred is a dead letter, and of the newest hundredth every second one waits for its next
/// try.
fn deliveries(tx: &Transaction<'_>, sizes: &Sizes) -> rusqlite::Result<()> {
    let hooks: Vec<i64> = tx
        .prepare("SELECT id FROM webhooks ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let hooks = serde_json::to_string(&hooks).expect("numbers");
    let id = id("dlv", "at_ms", "n * 2 + again");
    tx.execute(
        &format!(
            "INSERT INTO deliveries (id, event_seq, webhook_id, sequence, status, step, attempts, due_at_ms,
                 scheduled_at_ms, first_tried_at_ms, last_error_code, last_error_message, created_at_ms, completed_at_ms)
             SELECT {id}, n, json_extract(?1, format('$[%d]', (n + again) % ?2)), n,
                    CASE WHEN waits THEN 'retry' WHEN fails THEN 'failed' ELSE 'success' END, waits, 1,
                    iif(waits, at_ms + 43200000 + 3600000, NULL), at_ms, at_ms,
                    iif(waits OR fails, 'http_status', NULL), iif(waits OR fails, 'the endpoint answered 500', NULL),
                    at_ms, iif(waits, NULL, at_ms + 40)
             FROM (SELECT e.seq AS n, again.column1 AS again, e.timestamp_ms AS at_ms,
                          e.seq > ?3 * 0.99 AND e.seq % 2 = 0 AS waits, e.seq % 300 = 0 AS fails
                   FROM events e, (VALUES (0), (1)) AS again WHERE again.column1 = 0 OR e.seq % 20 = 0 ORDER BY e.seq)"
        ),
        params![hooks, sizes.webhooks, sizes.events],
    )?;
    tx.execute(
        "INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms, duration_ms, status_code, error_code,
             error_message)
         SELECT seq, 1, 'event', created_at_ms, 10 + seq % 90, iif(status = 'success', 204, 500), last_error_code,
                last_error_message FROM deliveries",
        [],
    )?;
    tx.execute(
        "INSERT INTO delivery_tallies (began_at_ms, webhook_id, owner_id, succeeded, failed)
         SELECT completed_at_ms / 900000 * 900000, webhook_id, '', sum(status = 'success'), sum(status = 'failed')
         FROM deliveries WHERE completed_at_ms > (SELECT max(completed_at_ms) FROM deliveries) - 172800000
         GROUP BY 1, 2",
        [],
    )?;
    tx.execute("UPDATE webhooks SET last_sequence = ?1", [sizes.events])?;
    Ok(())
}

/// Commands, tags and the audit log, as many of each as there are stations.
fn others(tx: &Transaction<'_>, sizes: &Sizes, begin_ms: i64, now_ms: i64) -> rusqlite::Result<()> {
    let command = id("cmd", "at_ms", "n");
    let source = "(SELECT n, ?1 + (?2 - ?1) * n / ?3 AS at_ms FROM n WHERE n <= ?3)";
    let moments = params![begin_ms, now_ms, sizes.stations];
    tx.execute(
        &format!(
            "INSERT INTO commands (id, station_id, action, payload, timeout_ms, queue, requested_by_id,
                 requested_by_name, status, generation, expires_at_ms, response, accepted, created_at_ms, sent_at_ms,
                 completed_at_ms)
             SELECT {command}, format('FLEET_%04d', n - 1), 'TriggerMessage',
                    '{{\"requestedMessage\":\"Heartbeat\"}}', 30000, 0, 'key_00000000010000000000000000', 'seed',
                    'completed', 1, at_ms, '{{\"status\":\"Accepted\"}}', 1, at_ms, at_ms, at_ms FROM {source}"
        ),
        moments,
    )?;
    tx.execute(
        &format!(
            "INSERT INTO id_tags (owner_id, tag, tag_key, status, created_at_ms, updated_at_ms)
             SELECT format('owner-%d', n % 7), format('TAG%05d', n), format('tag%05d', n), 'Accepted', at_ms, at_ms
             FROM {source}"
        ),
        moments,
    )?;
    tx.execute(
        &format!(
            "INSERT INTO audit (at_ms, key_id, key_name, action, method, path, resource, resource_id, status)
             SELECT at_ms, 'key_00000000010000000000000000', 'seed', 'stations_patch', 'PATCH',
                    format('/api/v1/stations/FLEET_%04d', n - 1), 'stations', format('FLEET_%04d', n - 1), 200
             FROM {source}"
        ),
        moments,
    )?;
    Ok(())
}
