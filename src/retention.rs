//! Removes what is past its time, beside everything else and without stalling it: the store removes in short
//! steps, and between two of them the writer is free for several times as long.

mod settings;

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use store::{Expiring, Result, Store, TALLIES_KEPT};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::log_limit::limited;

pub use settings::{InvalidKeep, Keep, KeepType, Retention};

/// How often one looks, at most and at least.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const LOOK_EVERY_MIN: Duration = Duration::from_millis(100);

/// The writer is left alone for so many times as long as a step took.
const PAUSE_FACTOR: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Long work tells how far it has come.
const TELL_EVERY: Duration = Duration::from_secs(30);

impl Retention {
    /// Every rule that ever removes something. Events come last: most of their deliveries are gone by then.
    fn rules(&self) -> Vec<(Expiring, Duration)> {
        let except = self.by_type.iter().map(|rule| rule.event.clone()).collect();
        let mut rules = vec![
            (Expiring::Transactions, self.transactions),
            (Expiring::Commands, self.commands),
            // What is left of them by then is the list of their stations.
            (Expiring::BulkCommands, self.commands),
            // They come from commands.
            (Expiring::Reservations, self.commands),
            (Expiring::Deliveries, self.deliveries),
            // What they have brought back is gone by then.
            (Expiring::Replays, self.deliveries),
            (Expiring::Audit, self.audit),
            (Expiring::History, self.history),
        ];
        rules.extend(self.by_type.iter().map(|rule| (Expiring::EventsOf(rule.event.clone()), rule.keep)));
        rules.push((Expiring::Events { except }, self.events));
        let mut rules: Vec<_> =
            rules.into_iter().filter_map(|(what, keep)| Some((what, keep.limit()?))).collect();
        // Whatever is kept for ever, an origin without deliveries is nothing to anybody.
        rules.push((Expiring::Origins, LOOK_EVERY * 4));
        rules
    }
}

/// Starts to look, now and again and again, until `stop`.
pub fn start(store: Store, kept: &Retention, clock: Clock, stop: CancellationToken) -> JoinHandle<()> {
    let rules = kept.rules();
    let max_bytes = kept.max_database_size.map(|size| size.0);
    tokio::spawn(async move {
        let shortest = rules.iter().map(|(_, limit)| *limit).min().unwrap_or(LOOK_EVERY);
        let mut ticks = interval((shortest / 4).clamp(LOOK_EVERY_MIN, LOOK_EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            // One node does it for all.
            if !store.leads() {
                continue;
            }
            for (what, limit) in &rules {
                let sweep = Sweep { store: &store, what, before: clock.now().before(*limit), stop: &stop };
                if let Err(error) = sweep.run().await {
                    limited!(warn: "what is past its time could not be removed: {error}");
                }
            }
            if let Err(error) = remove_tallies(&store, &clock, &stop).await {
                limited!(warn: "old tallies of deliveries could not be removed: {error}");
            }
            let size = Size { store: &store, clock: &clock, stop: &stop };
            let limited = match max_bytes {
                Some(max_bytes) => size.limit(max_bytes).await,
                None => Ok(()),
            };
            if let Err(error) = limited {
                limited!(warn: "the database could not be kept to its size: {error}");
            }
            if let Err(error) = size.shrink().await {
                limited!(warn: "the database's free pages could not be given back: {error}");
            }
        }
    })
}

/// Removes the counts that nothing asks for any more.
async fn remove_tallies(store: &Store, clock: &Clock, stop: &CancellationToken) -> Result<()> {
    while !stop.is_cancelled() && store.remove_tallies(clock.now().before(TALLIES_KEPT)).await? {
        pause_after(PAUSE_MIN, stop).await;
    }
    Ok(())
}

/// One look for what one rule is about.
struct Sweep<'a> {
    store: &'a Store,
    what: &'a Expiring,
    before: Timestamp,
    stop: &'a CancellationToken,
}

impl Sweep<'_> {
    async fn run(&self) -> Result<()> {
        let mut removed = 0;
        let mut position = Some(0);
        let mut told = Instant::now();
        while let Some(behind) = position {
            let mut expired = self.store.expired(self.what.clone(), self.before, behind).await?;
            position = expired.position;
            while !expired.rows.is_empty() {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                removed += self.step(&mut expired.rows).await?;
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    info!(removed, "retention: {removed} {} removed so far", name(self.what));
                }
            }
        }
        if removed > 0 {
            info!(removed, "retention: {removed} {} from before {} removed", name(self.what), self.before);
        }
        Ok(())
    }

    /// Removes the first of `rows`, takes them off the list, and leaves the writer alone for a while.
    async fn step(&self, rows: &mut Vec<i64>) -> Result<usize> {
        let step = self.store.remove_expired(self.what.clone(), self.before, rows.clone()).await?;
        rows.drain(..step.done);
        pause_after(step.took, self.stop).await;
        Ok(step.removed)
    }
}

async fn pause_after(took: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = sleep((took * PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX)) => {}
        () = stop.cancelled() => {}
    }
}

/// Keeps the database to its size.
struct Size<'a> {
    store: &'a Store,
    clock: &'a Clock,
    stop: &'a CancellationToken,
}

impl Size<'_> {
    /// While more than `max_bytes` are used, removes the oldest events with their deliveries, and the
    /// commands that are as old. What has not come to its end stays here too, and transactions do.
    async fn limit(&self, max_bytes: u64) -> Result<()> {
        let events = Expiring::Events { except: Vec::new() };
        let before = self.clock.now().after(Duration::from_millis(1));
        let sweep = Sweep { store: self.store, what: &events, before, stop: self.stop };
        let (mut position, mut removed) = (0, 0);
        let mut rows = Vec::new();
        while !self.stop.is_cancelled() && self.store.space().await?.used_bytes() > max_bytes {
            if !rows.is_empty() {
                removed += sweep.step(&mut rows).await?;
                continue;
            }
            if let Some(since) = self.store.log_complete_since().await? {
                for what in [Expiring::Commands, Expiring::BulkCommands] {
                    Sweep { store: self.store, what: &what, before: since, stop: self.stop }.run().await?;
                }
            }
            let expired = self.store.expired(events.clone(), before, position).await?;
            if expired.rows.is_empty() && expired.position.is_none() {
                warn!(
                    "the database is larger than retention.max_database_size, and nothing in it may be removed"
                );
                break;
            }
            position = expired.position.unwrap_or(position);
            rows = expired.rows;
        }
        if removed > 0 {
            info!(removed, "retention: {removed} events removed to keep to retention.max_database_size");
        }
        Ok(())
    }

    /// Gives back the pages that nothing is in, but for some that will be needed.
    async fn shrink(&self) -> Result<()> {
        while !self.stop.is_cancelled() && self.store.space().await?.has_too_much() {
            let took = self.store.shrink_step().await?;
            pause_after(took, self.stop).await;
        }
        Ok(())
    }
}

fn name(what: &Expiring) -> String {
    match what {
        Expiring::Events { .. } => "events".to_owned(),
        Expiring::EventsOf(event) => format!("events of type {event}"),
        Expiring::Deliveries => "deliveries".to_owned(),
        Expiring::Commands => "commands".to_owned(),
        Expiring::Transactions => "transactions".to_owned(),
        Expiring::Audit => "entries of the audit log".to_owned(),
        Expiring::Replays => "replays".to_owned(),
        Expiring::BulkCommands => "bulk commands".to_owned(),
        Expiring::Reservations => "reservations".to_owned(),
        Expiring::History => "stations' history".to_owned(),
        Expiring::Origins => "origins of URLs".to_owned(),
    }
}
