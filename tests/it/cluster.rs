//! Three nodes on one PostgreSQL, real processes under load, killed, stopped and cut off at random: what was
//! acknowledged is there, in one log without gaps, and was delivered.
//!
//! It runs where `CHARGEHOOK_TEST_STORE` names a PostgreSQL; `CLUSTER_ROUNDS` makes it longer than five
//! rounds.

#![expect(clippy::print_stderr, reason = "a long run tells how far it is, and its figures")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::crash::{
    Place, Process, Stored, drained, missing, next_chance, numbers_of_starts, setting, start_chargers,
    start_receiver, subscribe,
};
use crate::harness::eventually;

/// The lease of the nodes here: the shortest there is.
const LEASE: Duration = Duration::from_secs(3);

/// How long a station may be without a node after a node was lost.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// Nodes that chargers may be connected to.
type Alive = Arc<Mutex<Vec<SocketAddr>>>;

/// One node, in a directory of its own.
struct Node {
    place: Place,
    name: String,
    config: PathBuf,
    store: String,
    process: Option<Process>,
}

impl Node {
    fn new(dir: &Path, name: &str, store: &str) -> Self {
        let own = dir.join(name);
        std::fs::create_dir(&own).expect("a directory");
        let config = own.join("chargehook.toml");
        std::fs::write(&config, "[node]\nlease = \"3s\"\ndrain = \"1s\"\n").expect("writes");
        Self {
            place: Place::new(&own),
            name: name.to_owned(),
            config,
            store: store.to_owned(),
            process: None,
        }
    }

    fn start(&mut self, alive: &Alive) {
        let mut command = self.place.command();
        command
            .args(["--log-level", "error", "--node", &self.name, "--config"])
            .arg(&self.config)
            .env("CHARGEHOOK_STORE_URL", &self.store)
            .env("CHARGEHOOK_SECRETS_KEY", "5a".repeat(32));
        self.process = Some(tokio::task::block_in_place(|| self.place.start(&mut command)));
        alive.lock().expect("sound").push(self.place.ocpp);
    }

    fn leaves_the_balancer(&self, alive: &Alive) {
        alive.lock().expect("sound").retain(|address| *address != self.place.ocpp);
    }

    fn kill(&mut self, alive: &Alive) {
        self.leaves_the_balancer(alive);
        self.process.take().expect("it runs").kill();
    }

    /// Sends its process a signal.
    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("it runs").child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success());
    }
}

/// Leads each connection to one of the nodes that are alive.
async fn balance(alive: Alive) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut chance = 7;
        while let Ok((mut charger, _)) = listener.accept().await {
            let nodes = alive.lock().expect("sound").clone();
            if nodes.is_empty() {
                continue;
            }
            let node = nodes[next_chance(&mut chance) as usize % nodes.len()];
            tokio::spawn(async move {
                if let Ok(mut node) = TcpStream::connect(node).await {
                    let _ = tokio::io::copy_bidirectional(&mut charger, &mut node).await;
                }
            });
        }
    });
    address
}

/// The database itself, to look at what is stored and to cut sessions.
async fn database(store: &str) -> Client {
    let (url, schema) = store.rsplit_once("&schema=").expect("a schema of its own");
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
    tokio::spawn(connection);
    client.batch_execute(&format!("SET search_path = {schema}")).await.expect("sets");
    client
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

async fn count(database: &Client, sql: &str) -> i64 {
    database.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_lose_nothing_that_was_acknowledged_whatever_happens_to_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(store) = store::test_store::shared_url(dir.path()) else {
        eprintln!("skipped: CHARGEHOOK_TEST_STORE names no PostgreSQL");
        return;
    };
    let rounds = setting("CLUSTER_ROUNDS", 5);
    let chargers = setting("CLUSTER_CHARGERS", 12);
    let alive = Alive::default();
    let mut nodes: Vec<Node> =
        ["one", "two", "three"].into_iter().map(|name| Node::new(dir.path(), name, &store)).collect();
    for node in &mut nodes {
        node.start(&alive);
    }
    let database = database(&store).await;
    let (receiver, received) = start_receiver().await;
    subscribe(&nodes[0].place, receiver, &received).await;
    let door =
        Place { data_dir: PathBuf::new(), ocpp: balance(alive.clone()).await, api: nodes[0].place.api };
    let stop = CancellationToken::new();
    let (ledger, tasks) = start_chargers(&door, chargers, &stop);
    let (mut chance, mut longest) = (11, Duration::ZERO);
    for round in 0..rounds {
        let node = next_chance(&mut chance) as usize % nodes.len();
        let began = Instant::now();
        let what = match next_chance(&mut chance) % 4 {
            0 | 1 => {
                nodes[node].kill(&alive);
                nodes[node].start(&alive);
                "killed"
            }
            2 => {
                // The others go on meanwhile; when it wakes, it has to find out that it is no node any more.
                nodes[node].leaves_the_balancer(&alive);
                nodes[node].signal("-STOP");
                tokio::time::sleep(LEASE + Duration::from_secs(2)).await;
                nodes[node].signal("-CONT");
                alive.lock().expect("sound").push(nodes[node].place.ocpp);
                "stopped beyond its lease"
            }
            _ => {
                let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                           WHERE application_name LIKE 'chargehook%' AND pid <> pg_backend_pid()";
                count(&database, cut).await;
                "cut off from the database"
            }
        };
        let before = ledger.lock().expect("sound").len();
        eventually("chargers are served", || async {
            (ledger.lock().expect("sound").len() > before + chargers).then_some(())
        })
        .await;
        let silence = began.elapsed();
        longest = longest.max(silence);
        assert!(silence < BACK_WITHIN, "round {round}: node {node} {what}: {silence:?}");
        eprintln!("round {}: node {node} {what}; served again after {silence:?}", round + 1);
    }
    stop.cancel();
    for task in tasks {
        task.await.expect("the charger ends");
    }
    for node in &nodes {
        drained(&node.place).await;
    }
    let events = stored(&database).await;
    let ledger = std::mem::take(&mut *ledger.lock().expect("sound"));
    let lost = missing(&ledger, &events);
    assert!(lost.is_empty(), "acknowledged and lost: {lost:#?}");
    numbers_of_starts(&ledger, &events);
    for (what, gaps) in [
        (
            "a station's count",
            "SELECT count(*) FROM (SELECT station_seq, row_number() OVER (PARTITION BY station_id ORDER BY seq) AS nth
             FROM events WHERE station_seq IS NOT NULL) AS e WHERE station_seq <> nth",
        ),
        (
            "a webhook's sequence",
            "SELECT count(*) FROM (SELECT sequence, row_number() OVER (ORDER BY seq) AS nth FROM deliveries) AS d
             WHERE sequence <> nth",
        ),
        (
            "ids in the order of rows",
            "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY seq) AS before FROM events) AS e WHERE id <= before",
        ),
    ] {
        assert_eq!(count(&database, gaps).await, 0, "{what}");
    }
    let times = std::mem::take(&mut *received.times.lock().expect("sound"));
    let undelivered: Vec<_> = events
        .iter()
        .filter(|event| !event.duplicate && !times.contains_key(&event.id) && event.event != "DeliveryFailed")
        // What the nodes told of themselves before the webhook was made.
        .filter(|event| event.event != "NodeJoined")
        .map(|event| format!("{} {} {}", event.id, event.station, event.event))
        .collect();
    assert!(undelivered.is_empty(), "stored and never delivered: {undelivered:#?}");
    let twice = times.values().filter(|times| **times > 1).count();
    eprintln!(
        "{rounds} rounds, {} acknowledged, {} events, {} delivered, {twice} more than once; longest silence {longest:?}",
        ledger.len(),
        events.len(),
        times.len()
    );
    // They end before their schema is dropped.
    nodes.iter_mut().for_each(|node| node.kill(&alive));
}
