//! What is told after a commit is what the commit has kept, and nothing else.

use serde_json::value::RawValue;

use super::*;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::log::append::{self, AppendOptions};
use crate::seed::SeedWebhook;
use crate::{Priority, Scope, Store};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::event::{Category, NewEvent};

const NOW: Timestamp = Timestamp::from_unix_ms(1_776_168_000_000);

/// A table whose constraint is only looked at by COMMIT.
const UNTENABLE: &str =
    "CREATE TABLE untenable (event INTEGER REFERENCES events (seq) DEFERRABLE INITIALLY DEFERRED)";

fn append(w: &mut Tx<'_>) -> Result<LogPosition> {
    let payload = RawValue::from_string("{}".to_owned()).expect("JSON");
    let event = NewEvent::new(Category::Custom, "invoice.paid", w.now, payload);
    append::append(w, &event, AppendOptions::default())
}

/// A job that has every effect there is.
fn does_everything(w: &mut Tx<'_>, command: CommandId) -> Result<()> {
    append(w)?;
    w.run("DELETE FROM webhooks WHERE id = 1", &[])?;
    crate::webhooks::settings::changed(w, 1)?;
    w.after_commit.commands_ended.push(command);
    w.after_commit.replays = true;
    Ok(())
}

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    command: CommandId,
    end: CommandEnd,
}

/// A store with one event, one webhook, and somebody who waits for a command.
async fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), Clock::manual(NOW)).expect("a store");
    store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("a webhook");
    store.seed_events("CP", 1).await.expect("an event");
    store.seed_run(UNTENABLE).await;
    store.lanes_due().await;
    let command = CommandId::from_value(7);
    let end = store.inner.signals.clone().command_end(command);
    Bench { _dir: dir, store, command, end }
}

impl Bench {
    /// Whether anybody was told of anything.
    fn told(&mut self) -> Vec<&'static str> {
        let signals = &self.store.inner.signals;
        let mut told = Vec::new();
        if signals.tail.borrow().number() != 1 {
            told.push("newest event");
        }
        if *signals.lanes.lock().expect("sound") != LanesDue::default() {
            told.push("lanes");
        }
        if self.end.ended.try_recv().is_ok() {
            told.push("command");
        }
        let replays = tokio::task::unconstrained(signals.replays_begun.notified());
        if futures_util::FutureExt::now_or_never(replays).is_some() {
            told.push("replays");
        }
        told
    }

    /// The next event gets the row that was rolled back, goes to the webhook that is there still, and is
    /// told.
    async fn goes_on(&mut self) {
        let mut tail = self.store.tail();
        tail.mark_unchanged();
        let seq = self.store.write(Priority::Inbound, Scope::Installation, append).await.expect("it commits");
        // PostgreSQL gives no number again, not even one that was rolled back.
        assert_eq!(self.store.seed_number("SELECT count(*) FROM events").await, 2);
        assert!(tail.has_changed().expect("alive"), "nobody was told of event {seq}");
        assert_eq!(*tail.borrow(), seq);
        assert_eq!(self.store.seed_number("SELECT count(*) FROM deliveries WHERE event_seq > 1").await, 1);
    }
}

#[tokio::test]
async fn nobody_is_told_of_a_job_that_was_rolled_back() {
    let mut bench = bench().await;
    let command = bench.command;
    let failed = bench.store.write(Priority::Api, Scope::Installation, move |w| {
        does_everything(w, command)?;
        Err::<(), _>(StoreError::Corrupt("on purpose".into()))
    });
    assert!(matches!(failed.await, Err(StoreError::Corrupt(_))));
    assert_eq!(bench.told(), [""; 0]);
    bench.goes_on().await;
}

#[tokio::test]
async fn nobody_is_told_of_a_job_that_panicked() {
    let mut bench = bench().await;
    let command = bench.command;
    let panicked = bench.store.write(Priority::Api, Scope::Installation, move |w| {
        does_everything(w, command)?;
        let nothing: Option<()> = None;
        nothing.ok_or(()).map_err(|()| std::panic::panic_any("on purpose"))
    });
    assert!(panicked.await.is_err());
    assert_eq!(bench.told(), [""; 0]);
    bench.goes_on().await;
}

#[tokio::test]
async fn nobody_is_told_of_a_batch_whose_commit_failed() {
    let mut bench = bench().await;
    let command = bench.command;
    let refused = bench.store.write(Priority::Api, Scope::Installation, move |w| {
        does_everything(w, command)?;
        w.run("INSERT INTO untenable VALUES (1000)", &[])?;
        Ok(())
    });
    assert!(matches!(refused.await, Err(StoreError::Commit(_))));
    assert_eq!(bench.told(), [""; 0]);
    bench.goes_on().await;
}

#[tokio::test]
async fn what_was_kept_is_told_also_beside_what_was_rolled_back() {
    let mut bench = bench().await;
    let command = bench.command;
    bench
        .store
        .write(Priority::Api, Scope::Installation, move |w| does_everything(w, command))
        .await
        .expect("it commits");
    assert_eq!(bench.told(), ["newest event", "lanes", "command", "replays"]);
}
