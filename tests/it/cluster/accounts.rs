//! What must be true at the end: the ledger of what chargers were told against events, deliveries and
//! sequences.

use std::fmt;
use std::sync::Arc;

use charger_sim::Acknowledged;
use tokio_postgres::Client;

use crate::crash::{Received, Stored, missing, numbers_of_starts};

/// What a run has come to.
pub(super) struct Figures {
    acknowledged: usize,
    events: usize,
    duplicates: usize,
    delivered: usize,
    delivered_again: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, 0 lost, {} events, {} of them repeats, 0 gaps; {} delivered, {} of them more than once",
            self.acknowledged, self.events, self.duplicates, self.delivered, self.delivered_again
        )
    }
}

/// Numbers that must be without gaps, and ids in order: what counts the exceptions.
const GAPS: [(&str, &str); 3] = [
    (
        "a station's count",
        "SELECT count(*) FROM (SELECT station_seq, row_number() OVER (PARTITION BY station_id ORDER BY seq) AS nth
         FROM events WHERE station_seq IS NOT NULL) AS e WHERE station_seq <> nth",
    ),
    (
        "a webhook's sequence",
        "SELECT count(*) FROM (SELECT sequence, row_number() OVER (PARTITION BY webhook_id ORDER BY seq) AS nth
         FROM deliveries) AS d WHERE sequence <> nth",
    ),
    (
        "ids in the order of rows",
        "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY seq) AS before FROM events) AS e WHERE id <= before",
    ),
];

/// Checks everything.
pub(super) async fn settle(
    database: &Client,
    ledger: &[Acknowledged],
    receivers: &[Arc<Received>],
) -> Figures {
    let events = stored(database).await;
    let lost = missing(ledger, &events);
    assert!(lost.is_empty(), "acknowledged and lost: {lost:#?}");
    numbers_of_starts(ledger, &events);
    for (what, gaps) in GAPS {
        assert_eq!(count(database, gaps, &[]).await, 0, "{what}");
    }
    let (mut delivered, mut delivered_again) = (0, 0);
    for (nth, received) in receivers.iter().enumerate() {
        let times = std::mem::take(&mut *received.times.lock().expect("sound"));
        let undelivered: Vec<_> = events
            .iter()
            // What the nodes told of themselves before there were webhooks.
            .skip_while(|event| event.station.is_empty())
            .filter(|event| {
                !event.duplicate && !times.contains_key(&event.id) && event.event != "DeliveryFailed"
            })
            .map(|event| format!("{} {} {}", event.id, event.station, event.event))
            .collect();
        assert!(
            undelivered.is_empty(),
            "stored and never delivered to webhook {}: {undelivered:#?}",
            nth + 1
        );
        for (event, times) in &times {
            let attempts = "SELECT count(*) FROM attempts a JOIN deliveries d ON d.seq = a.delivery_seq
                            JOIN events e ON e.seq = d.event_seq WHERE e.id = $1 AND d.webhook_id = $2";
            if *times > 1 {
                delivered_again += 1;
                let attempts = count(database, attempts, &[event, &(nth as i64 + 1)]).await;
                assert!(attempts >= i64::from(*times), "{event} came {times} times of {attempts} attempts");
            }
        }
        delivered += times.len();
    }
    let duplicates = events.iter().filter(|event| event.duplicate).count();
    Figures { acknowledged: ledger.len(), events: events.len(), duplicates, delivered, delivered_again }
}

/// Checks that each of these messages of a station is in the log once.
pub(super) async fn once_each(database: &Client, station: &str, messages: &[String]) {
    for message in messages {
        let stored =
            "SELECT count(*) FROM events WHERE station_id = $1 AND message_id = $2 AND duplicate_of IS NULL";
        assert_eq!(count(database, stored, &[&station, message]).await, 1, "{station} {message}");
    }
}

async fn stored(database: &Client) -> Vec<Stored> {
    let rows = database
        .query(
            "SELECT id, coalesce(station_id, ''), event, message_id, payload, duplicate_of IS NOT NULL, transaction_id
             FROM events ORDER BY seq",
            &[],
        )
        .await
        .expect("reads");
    let read = |row: &tokio_postgres::Row| Stored {
        id: row.get(0),
        station: row.get(1),
        event: row.get(2),
        message_id: row.get(3),
        payload: serde_json::from_str(row.get(4)).expect("JSON"),
        duplicate: row.get(5),
        transaction_id: row.get(6),
    };
    rows.iter().map(read).collect()
}

async fn count(database: &Client, sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> i64 {
    database.query_one(sql, values).await.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0)
}
