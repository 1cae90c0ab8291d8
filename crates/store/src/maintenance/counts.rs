//! Counts that go on far behind what may have been used in a time that the database has lost.
//!
//! A database that is back at an earlier moment (a restored backup, a recovery to a moment, a standby that
//! took over too early) has forgotten what was done since. The world has not: chargers and integrators were
//! told numbers that it would give again. So every count goes on far behind them.

use std::time::Duration;

use serde::Serialize;

use crate::commands::bulk;
use crate::engine::postgres::address::Address;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::log::append::{self, AppendOptions};
use crate::maintenance::backup::MADE_AT;
use crate::maintenance::open::{apart, errand};
use crate::nodes;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::event::{Category, NewEvent};

/// How far each count goes on, even if hardly any time was lost.
const LEAST_STEP: i64 = 1_000_000;

/// Transactions started in a second, over all stations: many more than chargers can start.
const TRANSACTIONS_PER_SECOND: i64 = 20;

/// Events of one station in a second: beyond the messages that it may send.
const STATION_EVENTS_PER_SECOND: i64 = 200;

/// Rows of one table, and deliveries of one webhook, in a second: beyond what the writer commits.
const ROWS_PER_SECOND: i64 = 20_000;

/// Webhooks created in the lost time. People see their numbers, so these do not jump as far.
const WEBHOOKS: i64 = 10_000;

/// Starts of gateways in the lost time. Connections are numbered behind the epoch of their gateway.
const EPOCHS: i64 = 10_000;

/// How far each count goes on behind what the database knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Of transaction ids.
    pub transaction_ids: i64,
    /// Of every station's `station_seq`.
    pub station_seq: i64,
    /// Of every webhook's sequence, and of the rows of every table, which cursors are made of.
    pub webhook_sequence: i64,
    /// Of webhooks' numbers.
    pub webhooks: i64,
    /// Of the epochs of gateways.
    pub epochs: i64,
}

impl Steps {
    /// For the time that was lost.
    fn over(lost: Duration) -> Self {
        let seconds = i64::try_from(lost.as_secs()).unwrap_or(i64::MAX);
        let step = |rate: i64| LEAST_STEP.saturating_add(rate.saturating_mul(seconds)).min(1 << 45);
        Self {
            transaction_ids: step(TRANSACTIONS_PER_SECOND),
            station_seq: step(STATION_EVENTS_PER_SECOND),
            webhook_sequence: step(ROWS_PER_SECOND),
            webhooks: WEBHOOKS,
            epochs: EPOCHS,
        }
    }
}

/// Counts that were moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advanced {
    /// The moment that the database is back at.
    pub back_at: Timestamp,
    /// How far the counts go on.
    pub steps: Steps,
}

/// Moves the counts of the database at `address` on, which was recovered to an earlier moment and on which no
/// node may be active. `since`: that moment, where the database cannot tell by itself because gateways have
/// worked on it again. All of it is one commit, which this waits for.
///
/// # Errors
/// [`crate::StoreError::NodesActive`]; as [`crate::Store::open_shared`]. Nothing was moved.
pub fn advance_counts(address: &Address, since: Option<Timestamp>, clock: &Clock) -> Result<Advanced> {
    apart(|| {
        let mut advanced = None;
        errand(address, clock)?.write(|w| {
            nodes::refuse_active(w)?;
            advanced = Some(go_on(w, since)?);
            Ok(())
        })?;
        Ok(advanced.unwrap_or_else(|| unreachable!("it was moved on, or there was an error")))
    })
}

/// Goes on with a database that is back at an earlier moment: `since`, or the last one that it knows of. What
/// must not be done twice ends, and an event tells of the step back.
pub(crate) fn go_on(w: &mut Tx<'_>, since: Option<Timestamp>) -> Result<Advanced> {
    let back_at = match since {
        Some(since) => since,
        None => last_known(w)?.unwrap_or(w.now),
    };
    // Nobody knows which stations had their turn in the lost time, and none is to have two.
    bulk::cancel::stop_each(w, "SELECT seq FROM bulk_commands WHERE status = 'running'")?;
    let steps = move_past(w, Steps::over(w.now.since(back_at)))?;
    tell(w, back_at, steps)?;
    Ok(Advanced { back_at, steps })
}

/// When the backup was made; else the last moment that the database knows of.
fn last_known(db: &Read<'_>) -> Result<Option<Timestamp>> {
    let made_at = "SELECT value FROM meta WHERE key = ?1";
    if let Some(made_at) = db.maybe(made_at, params![MADE_AT], |row| row.get(0))? {
        return Ok(Some(made_at));
    }
    let moments = [
        "SELECT timestamp_ms FROM events ORDER BY seq DESC LIMIT 1",
        "SELECT last_seen_at_ms FROM nodes ORDER BY last_seen_at_ms DESC LIMIT 1",
    ];
    let mut last = None;
    for sql in moments {
        last = last.max(db.maybe::<Timestamp>(sql, &[], |row| row.get(0))?);
    }
    Ok(last)
}

/// Moves every count behind what may have been used in the lost time.
fn move_past(w: &Tx<'_>, mut steps: Steps) -> Result<Steps> {
    steps.transaction_ids = move_transaction_ids(w, steps.transaction_ids)?;
    w.run("UPDATE station_sequences SET last = last + ?1", params![steps.station_seq])?;
    // Stations that first connected in the lost time have counted too, and nothing here knows them.
    let add = "INSERT INTO meta (key, value) VALUES (?1, ?2)
               ON CONFLICT (key) DO UPDATE SET value = meta.value + excluded.value";
    w.run(add, params![append::STATION_SEQ_FLOOR, steps.station_seq])?;
    w.run(add, params![nodes::LAST_EPOCH, steps.epochs])?;
    w.run("UPDATE webhooks SET last_sequence = last_sequence + ?1", params![steps.webhook_sequence])?;
    // Rows count on too: cursors that were given out in the lost time must not skip what comes now.
    w.skip_row_numbers(|table| if table == "webhooks" { steps.webhooks } else { steps.webhook_sequence })?;
    if let Some(counted) = w.counted {
        counted.begin_anew(counted.newest_event() + steps.webhook_sequence);
    }
    Ok(steps)
}

/// OCPP's numbers end at 2³¹ − 1, so no step takes more than half of what is left. A database without any
/// transaction begins at random, as it did.
fn move_transaction_ids(w: &Tx<'_>, step: i64) -> Result<i64> {
    let last = "SELECT value FROM meta WHERE key = 'last_transaction_id'";
    let last: Option<i64> = w.maybe(last, &[], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    let step = step.min((i64::from(i32::MAX) - last) / 2).max(0);
    w.run("UPDATE meta SET value = value + ?1 WHERE key = 'last_transaction_id'", params![step])?;
    Ok(step)
}

fn tell(w: &mut Tx<'_>, back_at: Timestamp, steps: Steps) -> Result<()> {
    #[derive(Serialize)]
    struct Payload {
        backup_at: Timestamp,
        restored_at: Timestamp,
        transaction_ids_skipped: i64,
        station_seq_skipped: i64,
        webhook_sequence_skipped: i64,
    }
    let payload = Payload {
        backup_at: back_at,
        restored_at: w.now,
        transaction_ids_skipped: steps.transaction_ids,
        station_seq_skipped: steps.station_seq,
        webhook_sequence_skipped: steps.webhook_sequence,
    };
    w.run("DELETE FROM meta WHERE key = ?1", params![MADE_AT])?;
    let payload = serde_json::value::to_raw_value(&payload)?;
    let event = NewEvent::new(Category::System, "GatewayRestored", w.now, payload);
    append::append(w, &event, AppendOptions::default()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::SeedWebhook;
    use crate::test_store::shared_address;
    use crate::{Identity, KeySource, Opened, Store, StoreError};

    #[tokio::test(flavor = "multi_thread")]
    async fn counts_of_a_shared_database_go_on_as_far_as_after_a_restore() {
        let dir = tempfile::tempdir().expect("a directory");
        let Some(address) = shared_address(dir.path()) else { return };
        let open = || {
            let key = KeySource::file_in(dir.path());
            let identity = Identity { lease: Duration::from_secs(60), ..Identity::default() };
            let Opened { store, .. } =
                Store::open_shared(&address, identity, dir.path(), &key, Clock::System).expect("opens");
            store
        };
        let store = open();
        let webhook = store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("stored");
        store.seed_events("CP", 3).await.expect("stored");
        store.seed_run("INSERT INTO meta (key, value) VALUES ('last_transaction_id', 2147483000)").await;
        let numbers = async |store: &Store| {
            [
                store.seed_number("SELECT max(seq) FROM events").await,
                store.seed_number("SELECT max(station_seq) FROM events WHERE station_id = 'CP'").await,
                store.seed_number("SELECT max(sequence) FROM deliveries").await,
                store.seed_number("SELECT value FROM meta WHERE key = 'last_transaction_id'").await,
                store.seed_number("SELECT max(epoch) FROM nodes").await,
            ]
        };
        let before = numbers(&store).await;
        let refused = advance_counts(&address, None, &Clock::System).expect_err("refused");
        let StoreError::NodesActive(active) = refused else { panic!("{refused}") };
        assert_eq!(active, ["chargehook"]);
        store.begin_to_leave().await;
        store.leave().await;
        store.close();

        let an_hour_ago = Clock::System.now().before(Duration::from_secs(3_600));
        let Advanced { back_at, steps } =
            advance_counts(&address, Some(an_hour_ago), &Clock::System).expect("moved");
        assert_eq!(back_at, an_hour_ago);
        assert_eq!(
            (steps.station_seq, steps.webhook_sequence),
            (1_000_000 + 720_000, 1_000_000 + 72_000_000)
        );
        assert_eq!(steps.transaction_ids, (i64::from(i32::MAX) - 2_147_483_000) / 2, "half of what is left");
        let again = advance_counts(&address, None, &Clock::System).expect("moved");
        assert!(again.back_at > an_hour_ago, "the last moment that it knows of");
        assert!((1_000_000..1_010_000).contains(&again.steps.station_seq), "{again:?}");

        let store = open();
        store.seed_events("CP", 1).await.expect("stored");
        store.seed_events("NEW", 1).await.expect("stored");
        let after = numbers(&store).await;
        let least = [73_000_000, 2_720_000, 73_000_000, steps.transaction_ids, 20_000];
        for ((before, after), least) in before.into_iter().zip(after).zip(least) {
            assert!(after >= before + least, "{before} → {after}, {least}");
        }
        assert!(
            store.seed_number("SELECT min(station_seq) FROM events WHERE station_id = 'NEW'").await
                > 2_720_000
        );
        let next = store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("stored");
        assert!(next >= webhook + 20_000);
        let told = "SELECT count(*) FROM events WHERE event = 'GatewayRestored'";
        assert_eq!(store.seed_number(told).await, 2);
        let disorder =
            "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY seq) AS before FROM events) AS e
                        WHERE id <= before";
        assert_eq!(store.seed_number(disorder).await, 0);
        store.close();
    }
}
