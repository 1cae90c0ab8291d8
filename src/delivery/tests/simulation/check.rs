//! The books at the end: what must hold whatever happened.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde_json::Value;

use super::World;
use super::endpoints::Endpoint;

/// Each counts what must not be.
const NONE_OF_THESE: &[(&str, &str)] = &[
    ("a station's count has a gap or begins late",
     "SELECT count(*) FROM (SELECT station_id, count(station_seq) n, min(station_seq) low, max(station_seq) high
      FROM events WHERE station_seq IS NOT NULL GROUP BY station_id) WHERE low != 1 OR high != n"),
    ("a station's last number is not its newest event's",
     "SELECT count(*) FROM station_sequences s
      WHERE last != (SELECT max(station_seq) FROM events e WHERE e.station_id = s.station_id)"),
    ("a duplicate is counted, delivered, or repeats something else",
     "SELECT count(*) FROM events e LEFT JOIN events first ON first.seq = e.duplicate_of
      WHERE e.duplicate_of IS NOT NULL
        AND (e.station_seq IS NOT NULL OR EXISTS (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq)
             OR first.seq IS NULL OR first.seq >= e.seq OR first.event != e.event
             OR first.station_id != e.station_id OR first.duplicate_of IS NOT NULL)"),
    ("an event's id is older than that of one before",
     "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY seq) before FROM events) WHERE before >= id"),
    ("a webhook's sequence has a gap",
     "SELECT count(*) FROM (SELECT webhook_id, count(*) n, min(sequence) low, max(sequence) high
      FROM deliveries GROUP BY webhook_id) WHERE low != 1 OR high != n"),
    ("a webhook's last number is not its newest delivery's",
     "SELECT count(*) FROM webhooks w WHERE last_sequence !=
      (SELECT coalesce(max(sequence), 0) FROM deliveries d WHERE d.webhook_id = w.id)"),
    ("a delivery has not ended, or has no end",
     "SELECT count(*) FROM deliveries
      WHERE status NOT IN ('success', 'failed', 'discarded') OR completed_at_ms IS NULL"),
    ("a delivery's attempts are not counted 1, 2, …",
     "SELECT count(*) FROM deliveries d WHERE attempts !=
      (SELECT count(*) FROM attempts a WHERE a.delivery_seq = d.seq)
      OR attempts != (SELECT coalesce(max(number), 0) FROM attempts a WHERE a.delivery_seq = d.seq)"),
    ("a success whose last attempt was none",
     "SELECT count(*) FROM deliveries d WHERE status = 'success' AND NOT EXISTS
      (SELECT 1 FROM attempts a WHERE a.delivery_seq = d.seq AND a.number = d.attempts AND a.status_code = 200)"),
    ("an attempt is still open",
     "SELECT count(*) FROM attempts WHERE duration_ms IS NULL AND error_code IS NULL"),
    ("a dead letter of which nobody was told",
     "SELECT count(*) FROM deliveries d JOIN events e ON e.seq = d.event_seq
      WHERE d.status = 'failed' AND e.category != 'webhook' AND d.last_error_code = 'http_status'
        AND NOT EXISTS (SELECT 1 FROM events t
                        WHERE t.event = 'DeliveryFailed' AND t.payload ->> 'delivery_id' = d.id)"),
    ("an event hangs on another station's transaction",
     "SELECT count(*) FROM events e JOIN transactions t USING (transaction_id) WHERE e.station_id != t.station_id"),
    ("a transaction without its start, or a completed one without its stop",
     "SELECT count(*) FROM transactions t
      WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.seq = t.start_event_seq AND e.event = 'StartTransaction')
         OR (ended_by = 'stop' AND NOT EXISTS
             (SELECT 1 FROM events e WHERE e.seq = t.stop_event_seq AND e.event = 'StopTransaction'))"),
    ("one start began two transactions",
     "SELECT count(*) FROM (SELECT 1 FROM transactions WHERE start_timestamp_text >= '2026'
        AND (SELECT occurred_at_ms FROM events e WHERE e.seq = start_event_seq) IS NOT NULL
      GROUP BY station_id, connector_id, id_tag, meter_start_wh, start_timestamp_text HAVING count(*) > 1)"),
    (
        "a completed transaction that was not told once, or an open one that was",
        "SELECT count(*) FROM transactions t WHERE (status = 'completed') !=
         (SELECT count(*) FROM events e WHERE e.transaction_id = t.transaction_id AND e.event = 'TransactionCompleted')",
    ),
    (
        "a command that has not ended, or was not told of once",
        "SELECT count(*) FROM commands c WHERE completed_at_ms IS NULL OR 1 !=
         (SELECT count(*) FROM events e WHERE e.category = 'command' AND e.event = c.action
          AND e.payload ->> 'command_id' = c.id)",
    ),
    (
        "an accepted remote start without one outcome, or an outcome of something else",
        "SELECT count(*) FROM commands c WHERE (action = 'RemoteStartTransaction'
          AND coalesce(response, late_response) ->> 'status' IS 'Accepted') !=
         (SELECT count(*) FROM events e WHERE e.event = 'RemoteStartOutcome' AND e.payload ->> 'command_id' = c.id)",
    ),
    ("a station that is connected is not known to be",
     "SELECT count(*) FROM stations WHERE connected = 0"),
];

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

struct Row {
    seq: i64,
    id: String,
    event: String,
    category: String,
    station_id: Option<String>,
    message_id: Option<String>,
    payload: String,
    response: Option<String>,
    duplicate: bool,
}

impl World {
    pub(super) async fn check(self) {
        let Self { store, dir, endpoints, ledger, orders, .. } = self;
        tokio::task::spawn_blocking(move || store.close()).await.expect("closes");
        let conn = Connection::open(dir.path().join("chargehook.db")).expect("opens");
        for (wrong, sql) in NONE_OF_THESE {
            let count: i64 = conn.query_row(sql, [], |row| row.get(0)).expect("counts");
            assert_eq!(count, 0, "{wrong}");
        }
        assert!(orders > 20, "{orders} commands: hardly anything was asked");
        let events = events(&conn);
        assert!(events.len() > 800, "{} events: hardly anything happened", events.len());
        check_promises(&events, &ledger);
        check_starts(&conn, &ledger);
        check_deliveries(&conn, &events, &endpoints);
    }
}

fn events(conn: &Connection) -> Vec<Row> {
    let sql =
        "SELECT seq, id, event, category, station_id, message_id, payload, response, duplicate_of IS NOT NULL
               FROM events ORDER BY seq";
    let mut statement = conn.prepare(sql).expect("a statement");
    let rows = statement.query_map([], |row| {
        Ok(Row {
            seq: row.get(0)?,
            id: row.get(1)?,
            event: row.get(2)?,
            category: row.get(3)?,
            station_id: row.get(4)?,
            message_id: row.get(5)?,
            payload: row.get(6)?,
            response: row.get(7)?,
            duplicate: row.get(8)?,
        })
    });
    rows.expect("rows").collect::<Result<_, _>>().expect("readable")
}

/// Whatever a charger was answered stands in the log, as it was said and with what it was answered.
fn check_promises(events: &[Row], ledger: &super::Ledger) {
    let mut by_message: BTreeMap<(&str, &str), Vec<&Row>> = BTreeMap::new();
    for row in events {
        if let (Some(station), Some(message)) = (&row.station_id, &row.message_id) {
            by_message.entry((station, message)).or_default().push(row);
        }
    }
    assert!(ledger.promises.len() > 200, "{} answers: hardly anything was said", ledger.promises.len());
    for promise in &ledger.promises {
        let kept = by_message.get(&(promise.station.as_str(), promise.message_id.as_str()));
        let kept = kept.into_iter().flatten().any(|row| {
            let as_said = match promise.event.as_str() {
                // The gateway adds its number.
                "StartTransaction" => {
                    row.payload.starts_with(promise.said.trim_end().trim_end_matches('}').trim_end())
                }
                "MessageRejected" => value(&row.payload)["raw"] == *promise.said,
                _ => row.payload == promise.said,
            };
            as_said
                && row.event == promise.event
                && row.response.as_deref().map(value).as_ref() == Some(&promise.answer)
        });
        let Promised { station, message_id, event, said } = promise.into();
        assert!(kept, "{station} was answered {message_id}, and there is no {event}: {said}");
    }
}

/// What a failure shows of a promise.
struct Promised<'a> {
    station: &'a str,
    message_id: &'a str,
    event: &'a str,
    said: &'a str,
}

impl<'a> From<&'a super::ledger::Promise> for Promised<'a> {
    fn from(promise: &'a super::ledger::Promise) -> Self {
        Self {
            station: &promise.station,
            message_id: &promise.message_id,
            event: &promise.event,
            said: &promise.said,
        }
    }
}

/// However often a start was sent, it has one number, and nobody else has it.
fn check_starts(conn: &Connection, ledger: &super::Ledger) {
    assert!(ledger.starts.len() > 20, "{} sessions: hardly anybody charged", ledger.starts.len());
    let mut given = BTreeSet::new();
    for (start, numbers) in &ledger.starts {
        assert_eq!(numbers.len(), 1, "{start}: {numbers:?}");
        for number in numbers {
            assert!(given.insert(*number), "{number} was given twice");
            let sql = "SELECT count(*) FROM transactions WHERE transaction_id = ?1";
            let known: i64 = conn.query_row(sql, [number], |row| row.get(0)).expect("counts");
            assert_eq!(known, 1, "{start}: {number}");
        }
    }
}

/// Every event has one delivery for each webhook that wanted it when it came, and for no other; what counts
/// as delivered has arrived.
fn check_deliveries(conn: &Connection, events: &[Row], endpoints: &BTreeMap<i64, Endpoint>) {
    let mut made: BTreeMap<(i64, i64), Vec<String>> = BTreeMap::new();
    let mut statement =
        conn.prepare("SELECT event_seq, webhook_id, status FROM deliveries").expect("a statement");
    let mut rows = statement.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let key = (row.get(0).expect("a number"), row.get(1).expect("a number"));
        made.entry(key).or_default().push(row.get(2).expect("a status"));
    }
    let mut arrived = 0;
    for row in events {
        for (webhook_id, endpoint) in endpoints {
            let deliveries = made.remove(&(row.seq, *webhook_id)).unwrap_or_default();
            let expected = usize::from(wants(*webhook_id, endpoint, row));
            assert_eq!(deliveries.len(), expected, "{} {} for webhook {webhook_id}", row.event, row.id);
            if deliveries.iter().any(|status| status == "success") {
                arrived += 1;
                assert!(
                    endpoint.received.contains_key(&row.id),
                    "{} never came to webhook {webhook_id}",
                    row.id
                );
            }
        }
    }
    assert!(made.is_empty(), "deliveries of no event: {made:?}");
    assert!(arrived > 300, "{arrived} deliveries: hardly anything arrived");
}

/// Whether the webhook is to have the event, worked out anew.
fn wants(webhook_id: i64, endpoint: &Endpoint, row: &Row) -> bool {
    let there = row.seq > endpoint.made_behind && endpoint.deleted_behind.is_none_or(|last| row.seq <= last);
    let fits = match endpoint.events {
        "*" => row.category != "webhook",
        "webhook.*" => {
            let about = value(&row.payload)["webhook_id"].as_i64();
            row.category == "webhook" && about != Some(webhook_id)
        }
        pattern => pattern == row.event || pattern.strip_suffix(".*") == Some(row.category.as_str()),
    };
    there && fits && !row.duplicate
}
