//! The whole path in virtual time: dozens of chargers, the real store, lanes that really decide, and
//! endpoints that are only chance. At the end everything comes to rest, and the books are checked.
//!
//! A seed repeats its run; a failure names it. `SIMULATION_SEEDS=7,8,9` runs these, `SIMULATION_RUNS=500` so
//! many new ones.

mod chance;
mod charger;
mod check;
mod commands;
mod deliveries;
mod endpoints;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::TempDir;

use crate::delivery::lanes::Lanes;
use crate::station::session::{Action, Append, Input, Session};
use chance::Dice;
use charger::{Charger, Line, Says};
use deliveries::Flight;
use endpoints::Endpoint;
use ledger::Ledger;
use store::seed::SeedWebhook;
use store::{Advice, CallPolicy, Calls, Connected, ConnectionEnd, Store, TagRules};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::id::WebhookId;
use vocabulary::ocpp::Validation;
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::protocol::Protocol;

const STATIONS: usize = 24;
const STEPS: usize = 160;
/// Messages under way at once, over all stations.
const AT_ONCE: usize = 6;
const PERMITS: usize = 24;

/// Bytes that sends under way may hold: about half of what they would.
const BYTES: u64 = 32 << 10;

/// How far time goes on if nobody says when there is something to do.
const NOTHING_KNOWN: Duration = Duration::from_secs(1);

/// 2026-04-14T12:34:56.789Z
const BEGINNING: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

struct World {
    dice: Dice,
    clock: Clock,
    dir: TempDir,
    store: Store,
    calls: Calls,
    chargers: Vec<Charger>,
    generations: u64,
    lanes: Lanes,
    flights: Vec<Flight>,
    endpoints: BTreeMap<WebhookId, Endpoint>,
    dead_letters: Vec<vocabulary::id::DeliveryId>,
    /// Commands that were made.
    orders: usize,
    /// Stations for which some may wait.
    in_demand: BTreeSet<usize>,
    ledger: Ledger,
}

/// A message on its way into the store.
struct UnderWay {
    charger: usize,
    text: String,
    append: Append,
}

/// Everybody may charge.
fn calls(store: &Store) -> Calls {
    store.calls(CallPolicy {
        heartbeat_interval_s: 300,
        tags: TagRules { unknown: UnknownIdTag::Accept, outside: None },
        data_transfer_vendors: Vec::new(),
    })
}

impl World {
    async fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(BEGINNING);
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        let mut world = Self {
            dice: Dice::seeded(seed),
            clock,
            dir,
            calls: calls(&store),
            store,
            chargers: (0..STATIONS).map(Charger::new).collect(),
            generations: 0,
            lanes: Lanes::new(PERMITS, BYTES),
            flights: Vec::new(),
            endpoints: BTreeMap::new(),
            dead_letters: Vec::new(),
            orders: 0,
            in_demand: BTreeSet::new(),
            ledger: Ledger::default(),
        };
        world.add_webhook("*", false, 4).await;
        world.add_webhook("ocpp.*", true, 5).await;
        world.add_webhook("StartTransaction", false, 0).await;
        world.add_webhook("webhook.*", false, 6).await;
        world
    }

    async fn add_webhook(&mut self, events: &'static str, in_order: bool, fails_once_in: usize) {
        let made_behind = self.store.tail().borrow().number();
        let seed = SeedWebhook {
            events,
            retry_schedule: r#"["2s", "30s", "5m", "1h"]"#,
            max_in_flight: 1 + self.dice.below(16) as i64,
            rate_limit: self.dice.one_in(4).then_some("5/s"),
            ordering: if in_order { "station" } else { "none" },
            // Nothing here takes a month.
            ordering_max_wait_ms: 30 * 86_400_000,
            ..SeedWebhook::to("https://endpoint.example/")
        };
        let webhook_id = self.store.seed_webhook(seed).await.expect("stored");
        self.endpoints.insert(webhook_id, Endpoint::new(events, in_order, fails_once_in, made_behind));
    }

    async fn step(&mut self) {
        self.clock.advance(Duration::from_millis(self.dice.below(800) as u64));
        match self.dice.below(100) {
            0 => self.crash().await,
            1 => {
                let events = ["*", "station.*", "ocpp.*"][self.dice.below(3)];
                let in_order = self.dice.one_in(2);
                self.add_webhook(events, in_order, 4).await;
            }
            2 => self.delete_webhook().await,
            3 => self.resend().await,
            4 => self.clock.advance(Duration::from_secs(self.dice.below(120) as u64)),
            // Somebody sets the clock.
            5 => self.clock.set(if self.dice.one_in(2) { 600_000 } else { -600_000 }),
            6..=34 => self.reconnect().await,
            35..=38 => self.lose_connection().await,
            39..=79 => {
                self.order().await;
                self.order().await;
            }
            _ => {}
        }
        for _ in 0..AT_ONCE {
            let nth = self.dice.below(STATIONS);
            self.chargers[nth].live(&mut self.dice, self.clock.now());
        }
        self.talk(true).await;
        self.command().await;
        self.deliver().await;
    }

    /// Connects a charger anew, whether its old socket is known to be gone or not.
    async fn reconnect(&mut self) {
        let nth = self.dice.below(STATIONS);
        self.connect(nth).await;
    }

    async fn connect(&mut self, nth: usize) {
        self.generations += 1;
        let generation = self.generations;
        let old = self.chargers[nth].line.take();
        // The record of a replaced socket may be late.
        let late = self.dice.one_in(4);
        let mut old = old.map(|line| (line, "replaced", true));
        if !late && let Some((line, why, replaced)) = old.take() {
            self.record_end(nth, line, why, replaced).await;
        }
        let connected = Connected {
            station_id: self.chargers[nth].id.clone(),
            generation,
            protocol: Protocol::default(),
            remote_addr: "127.0.0.1:1".to_owned(),
            security_profile: 0,
            certificate: None,
            ratchet: true,
            discovered_as: Some(BootStatus::Accepted),
            flags: Vec::new(),
        };
        self.store.connected(connected).await.expect("recorded").expect("known");
        if let Some((line, why, replaced)) = old {
            self.record_end(nth, line, why, replaced).await;
        }
        let session = Session::new(Protocol::default(), Validation::Lenient);
        self.chargers[nth].line = Some(Line { generation, session, began: self.clock.now(), asked: None });
    }

    async fn lose_connection(&mut self) {
        let nth = self.dice.below(STATIONS);
        self.hang_up(nth).await;
    }

    async fn hang_up(&mut self, nth: usize) {
        if let Some(line) = self.chargers[nth].line.take() {
            self.record_end(nth, line, "connection_lost", false).await;
        }
    }

    async fn record_end(&self, nth: usize, line: Line, reason: &str, replaced: bool) {
        let now = self.clock.now();
        let duration_ms = now.since(line.began).as_millis() as u64;
        let end = ConnectionEnd { code: None, reason: reason.to_owned(), duration_ms, replaced };
        let station = self.chargers[nth].id.clone();
        self.store.disconnected(station, line.generation, now, end).await.expect("recorded");
    }

    /// Some chargers send what they hold; all of it is stored in one go.
    async fn talk(&mut self, with_mishaps: bool) {
        let mut under_way: Vec<UnderWay> = Vec::new();
        let first = self.dice.below(STATIONS);
        for nth in (first..first + STATIONS).map(|nth| nth % STATIONS) {
            if under_way.len() < AT_ONCE
                && let Some(message) = self.send(nth)
            {
                under_way.push(message);
            }
        }
        let now = self.clock.now();
        let mut stored = Vec::new();
        for message in &mut under_way {
            let station = self.chargers[message.charger].id.clone();
            let (store, calls) = (self.store.clone(), self.calls.clone());
            self.ledger.note_attempt(&station, &message.append);
            let append =
                std::mem::replace(&mut message.append, Append::Rejected(Box::new(ledger::nothing())));
            stored.push(async move {
                match append {
                    Append::Call(call) => calls
                        .serve(station, *call, now, Advice::default())
                        .await
                        .map(|answered| Some(answered.payload)),
                    Append::Rejected(rejection) => {
                        store.reject_message(station, *rejection, now).await.map(|()| None)
                    }
                    Append::Unexpected(answer) => {
                        store.unexpected_answer(station, *answer, now).await.map(|()| None)
                    }
                    Append::CallEnded(ended) => panic!("nobody asked this: {ended:?}"),
                }
            });
        }
        let stored = join_all(stored).await;
        for (message, stored) in under_way.into_iter().zip(stored) {
            let answer = stored.expect("the disk is there");
            // Committed, and the answer never arrives: the charger will say it again.
            if with_mishaps && self.dice.one_in(12) {
                self.hang_up(message.charger).await;
                continue;
            }
            self.finish(message.charger, &message.text, answer).await;
        }
    }

    /// The charger's oldest message goes to its session; what is to be stored of it.
    fn send(&mut self, nth: usize) -> Option<UnderWay> {
        self.chargers[nth].line.as_ref()?;
        let now = self.clock.now();
        loop {
            let text = self.chargers[nth].next_text(&mut self.dice)?;
            let line = self.chargers[nth].line.as_mut()?;
            match line.session.handle(now, Input::Text(&text)).pop()? {
                Action::Append(append) => return Some(UnderWay { charger: nth, text, append }),
                // The very same bytes as a moment ago: the answer of then, nothing new.
                Action::Send(answer) => {
                    let answer: Vec<Value> = serde_json::from_str(&answer).expect("JSON");
                    self.chargers[nth].told(Some(&answer[2]).filter(|_| answer[0] == 3));
                }
                other => panic!("nothing was asked for: {other:?}"),
            }
        }
    }

    /// The message is on disk: the session answers, and the charger hears it.
    async fn finish(&mut self, nth: usize, text: &str, answer: Option<Box<RawValue>>) {
        let now = self.clock.now();
        let line = self.chargers[nth].line.as_mut().expect("it was not hung up");
        let mut sent = 0;
        let mut closed = false;
        for action in line.session.handle(now, Input::Stored(answer)) {
            match action {
                Action::Send(text) => {
                    sent += 1;
                    self.ledger.note_answer(&self.chargers[nth].id, &text);
                    let answer: Vec<Value> = serde_json::from_str(&text).expect("JSON");
                    let answer = Some(&answer[2]).filter(|_| answer[0] == 3);
                    let told = self.chargers[nth].told(answer).expect("it was sent");
                    if let (Says::Start(_, payload), Some(answer)) = (&told.says, answer) {
                        let number = answer["transactionId"].as_i64().expect("a number");
                        self.ledger.note_start(self.chargers[nth].start_key(payload), number);
                    }
                }
                Action::Close(..) => closed = true,
                Action::Booted => {}
                Action::Append(append) => panic!("stored already: {append:?}"),
            }
        }
        assert!(sent <= 1, "{text} was answered {sent} times");
        if sent == 0 {
            let said = self.chargers[nth].told(None).expect("it was sent");
            assert!(matches!(said.says, Says::Oddity(_)), "{text} was not answered");
        }
        if closed {
            self.hang_up(nth).await;
        }
    }

    /// The gateway is gone, with messages and sends under way, and comes back.
    async fn crash(&mut self) {
        let mut left_behind = Vec::new();
        for nth in 0..STATIONS {
            if self.dice.one_in(3)
                && let Some(message) = self.send(nth)
            {
                self.ledger.note_attempt(&self.chargers[nth].id, &message.append);
                if let Append::Call(call) = message.append {
                    let calls = self.calls.clone();
                    let (station, now) = (self.chargers[nth].id.clone(), self.clock.now());
                    left_behind
                        .push(async move { drop(calls.serve(station, *call, now, Advice::default()).await) });
                }
            }
        }
        // Some of them get in, some do not; nobody is told.
        let closing = self.store.clone();
        tokio::join!(join_all(left_behind), async {
            tokio::task::spawn_blocking(move || closing.close()).await.expect("closes");
        });
        for charger in &mut self.chargers {
            charger.line = None;
        }
        self.forget_flights();
        self.clock.advance(Duration::from_millis(self.dice.below(5_000) as u64));
        self.store = Store::open(self.dir.path(), self.clock.clone()).expect("opens again");
        self.calls = calls(&self.store);
        self.lanes = Lanes::new(PERMITS, BYTES);
        self.reload().await;
    }

    /// Chargers say what they have to say, endpoints take what comes, and nothing is left to do.
    async fn come_to_rest(&mut self) {
        for nth in 0..STATIONS {
            if self.chargers[nth].line.is_none() {
                self.connect(nth).await;
            }
        }
        while self.chargers.iter().any(|charger| !charger.queue.is_empty())
            || !self.all_commands_ended().await
        {
            self.talk(false).await;
            self.command().await;
            for nth in 0..STATIONS {
                if self.chargers[nth].line.is_none() {
                    self.connect(nth).await;
                }
            }
            // Twenty broken frames a minute are too many.
            self.clock.advance(Duration::from_secs(4));
        }
        self.endpoints.values_mut().for_each(Endpoint::heal);
        for _ in 0..20_000 {
            let wake_at = self.deliver().await;
            if self.flights.is_empty() && self.nothing_waits().await {
                return;
            }
            let lands_at = self.flights.iter().map(|flight| flight.ends_at).min();
            let next = [wake_at, lands_at].into_iter().flatten().min();
            let wait = next.map_or(NOTHING_KNOWN, |next| next.since(self.store.monotonic().now()));
            self.clock.advance(wait.max(Duration::from_millis(50)));
        }
        panic!("it does not come to rest: {} sends under way", self.flights.len());
    }

    async fn nothing_waits(&self) -> bool {
        const WAITING: &str = "SELECT count(*) FROM deliveries WHERE completed_at_ms IS NULL";
        self.store.seed_number(WAITING).await == 0
    }
}

async fn run(seed: u64) {
    let mut world = World::new(seed).await;
    for _ in 0..STEPS {
        world.step().await;
    }
    world.come_to_rest().await;
    world.check().await;
}

/// The seeds to run: one that every run has in common, or what the environment asks for.
fn seeds() -> Vec<u64> {
    let list = std::env::var("SIMULATION_SEEDS").unwrap_or_default();
    let wanted: Vec<u64> = list.split(',').filter_map(|seed| seed.trim().parse().ok()).collect();
    if !wanted.is_empty() {
        return wanted;
    }
    match std::env::var("SIMULATION_RUNS").ok().and_then(|runs| runs.parse::<u64>().ok()) {
        Some(runs) => {
            let mut fresh = [0; 8];
            getrandom::fill(&mut fresh).expect("chance");
            let first = u64::from_ne_bytes(fresh) >> 32;
            (first..first + runs).collect()
        }
        None => vec![1],
    }
}

#[tokio::test]
async fn whatever_happens_the_books_are_right_in_the_end() {
    for seed in seeds() {
        if let Err(panic) = AssertUnwindSafe(run(seed)).catch_unwind().await {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            panic!("SIMULATION_SEEDS={seed} repeats this: {}", words.unwrap_or_default());
        }
    }
}
