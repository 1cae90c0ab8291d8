//! Three nodes on one PostgreSQL, real processes under load, killed, stopped and cut off at random, their
//! database too: what was acknowledged is there, in one log without gaps, and was delivered; no command came
//! twice.
//!
//! It runs where `CHARGEHOOK_TEST_STORE` names a PostgreSQL, on a server of its own where this machine has
//! the programs of one. `CLUSTER_ROUNDS` makes it longer than one round of each kind.

#![expect(clippy::print_stderr, reason = "a long run tells how far it is, and its figures")]

mod accounts;
mod node;
mod orders;
mod silences;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::test_store::{is_shared, shared_url};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::crash::{
    Place, drained, next_chance, setting, start_chargers_that_tell, start_receiver, subscribe,
};
use crate::own_postgres::OwnPostgres;
use crate::proxy::Way;
use node::{Alive, HaProxy, LEASE, Node, balance};
use orders::{Orders, TWICE, taken_twice};
use silences::{Longest, Silences};

/// How long a station may be unanswered, and a lane silent, whatever happens.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// Webhooks, each a lane.
const LANES: usize = 3;

/// What happens in a round.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    /// A node is killed and started again.
    Killed,
    /// A node stands still for longer than its lease. The others go on; when it wakes, it has to find out
    /// that it is no node any more.
    Stopped,
    /// A node hears nothing of its database for longer than its lease.
    Deaf,
    /// What a node hears of its database comes late.
    Delayed,
    /// All sessions of all nodes with the database are ended.
    Cut,
    /// PostgreSQL falls over in the middle of its commits, and recovers.
    DatabaseCrashed,
    /// A station connects to two nodes at once.
    TakenTwice,
}

const MISHAPS: [Mishap; 7] = [
    Mishap::Killed,
    Mishap::DatabaseCrashed,
    Mishap::TakenTwice,
    Mishap::Stopped,
    Mishap::Delayed,
    Mishap::Cut,
    Mishap::Deaf,
];

/// Three nodes and the database behind them.
struct Cluster {
    nodes: Vec<Node>,
    alive: Alive,
    /// `None`: it is somebody else's, and must not be restarted.
    server: Option<OwnPostgres>,
    store: String,
    /// Messages of the station that comes to two nodes, which were answered.
    answered_twice: Vec<String>,
}

impl Cluster {
    async fn start(dir: &std::path::Path) -> Self {
        let server = OwnPostgres::start("max_connections = 200");
        let store = match &server {
            Some(server) => format!("{}&schema=ledger", server.url()),
            None => shared_url(dir).expect("a database"),
        };
        let (alive, mut nodes) = (Alive::default(), Vec::new());
        for name in ["one", "two", "three"] {
            let mut node = Node::new(dir, name, &store).await;
            node.start(&alive);
            nodes.push(node);
        }
        Self { nodes, alive, server, store, answered_twice: Vec::new() }
    }

    /// The schema that the tables are in.
    fn schema(&self) -> &str {
        self.store.rsplit_once("&schema=").expect("a schema of its own").1
    }

    /// The database itself, to look at what is stored and to end sessions.
    async fn database(&self) -> Client {
        let url = self.store.replace(&format!("&schema={}", self.schema()), "");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connects");
        tokio::spawn(connection);
        client.batch_execute(&format!("SET search_path = {}", self.schema())).await.expect("sets");
        client
    }

    async fn suffers(&mut self, mishap: Mishap, nth: usize, round: usize) {
        let node = &mut self.nodes[nth];
        let beyond_its_lease = LEASE + Duration::from_secs(2);
        match mishap {
            Mishap::Killed => {
                node.kill(&self.alive);
                node.start(&self.alive);
            }
            Mishap::Stopped => {
                node.leaves_the_balancer(&self.alive);
                node.signal("-STOP");
                tokio::time::sleep(beyond_its_lease).await;
                node.signal("-CONT");
                node.is_in_the_balancer(&self.alive);
            }
            Mishap::Deaf => {
                node.line.set(Way::Swallow);
                tokio::time::sleep(beyond_its_lease).await;
                node.line.set(Way::Open);
            }
            Mishap::Delayed => {
                node.line.set(Way::Delay(Duration::from_millis(40 + 20 * nth as u64)));
                tokio::time::sleep(LEASE).await;
                node.line.set(Way::Open);
            }
            Mishap::DatabaseCrashed if self.server.is_some() => {
                let server = self.server.as_ref().expect("just seen");
                tokio::task::block_in_place(|| server.crash_and_recover());
            }
            Mishap::Cut | Mishap::DatabaseCrashed => {
                // Those of other tests are left alone.
                let all = format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE application_name LIKE 'chargehook%{}'",
                    self.schema()
                );
                self.database().await.query_one(&all, &[]).await.expect("ends them");
            }
            Mishap::TakenTwice => {
                let other = (nth + 1) % self.nodes.len();
                let nodes = [self.nodes[nth].place.ocpp, self.nodes[other].place.ocpp];
                self.answered_twice.extend(taken_twice(nodes, round).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_lose_nothing_that_was_acknowledged_whatever_happens_to_them() {
    if is_left_out() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start(dir.path()).await;
    let door = balance(cluster.alive.clone()).await;
    goes_through(cluster, door, setting("CLUSTER_ROUNDS", MISHAPS.len())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_they_behind_haproxy() {
    if is_left_out() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start(dir.path()).await;
    let Some(balancer) = HaProxy::before(&cluster.nodes, dir.path()) else {
        eprintln!("left out: haproxy is not installed");
        return;
    };
    goes_through(cluster, balancer.ocpp, setting("CLUSTER_HAPROXY_ROUNDS", 2)).await;
}

fn is_left_out() -> bool {
    if !is_shared() {
        eprintln!("left out: CHARGEHOOK_TEST_STORE names no PostgreSQL");
    }
    !is_shared()
}

/// So many rounds, the first ones each of another kind, with chargers that come in by this door.
async fn goes_through(mut cluster: Cluster, ocpp: std::net::SocketAddr, rounds: usize) {
    let chargers = setting("CLUSTER_CHARGERS", 12);
    let apis: Vec<_> = cluster.nodes.iter().map(|node| node.place.api).collect();
    let mut receivers = Vec::new();
    for nth in 0..LANES {
        let (address, received) = start_receiver().await;
        subscribe(&cluster.nodes[nth % apis.len()].place, address, &received).await;
        receivers.push(received);
    }
    let door = Place { data_dir: PathBuf::new(), ocpp, api: apis[0] };
    let (stop, orders) = (CancellationToken::new(), Orders::default());
    let told = orders.clone();
    let (ledger, tasks) = start_chargers_that_tell(&door, chargers, &stop, move |notice| told.note(notice));
    orders.give(apis.clone(), chargers, stop.clone());
    let silences = Silences::listen(&ledger, &receivers);
    let (mut chance, mut longest) = (setting("CLUSTER_SEED", 11) as u64, Longest::default());
    let began = Instant::now();
    all_are_heard(&silences, began, chargers).await;
    for round in 0..rounds {
        let nth = next_chance(&mut chance) as usize % cluster.nodes.len();
        let mishap = match MISHAPS.get(round) {
            Some(mishap) => *mishap,
            None => MISHAPS[next_chance(&mut chance) as usize % MISHAPS.len()],
        };
        silences.take();
        cluster.suffers(mishap, nth, round).await;
        all_are_heard(&silences, Instant::now(), chargers).await;
        let of_round = silences.take();
        longest = longest.or(of_round);
        eprintln!(
            "round {}: node {nth} {mishap:?}; silent for at most: a station {:.1?}, a lane {:.1?}",
            round + 1,
            of_round.station,
            of_round.lane
        );
        assert!(of_round.station < BACK_WITHIN && of_round.lane < BACK_WITHIN, "round {round}: {mishap:?}");
    }
    stop.cancel();
    for task in tasks {
        task.await.expect("the charger ends");
    }
    for node in &cluster.nodes {
        drained(&node.place).await;
    }
    let ledger = std::mem::take(&mut *ledger.lock().expect("sound"));
    let database = cluster.database().await;
    let figures = accounts::settle(&database, &ledger, &receivers).await;
    accounts::once_each(&database, TWICE, &cluster.answered_twice).await;
    let (given, arrived, doubled) = orders.counts();
    assert!(doubled.is_empty(), "commands that came twice: {doubled:#?}");
    assert!(arrived > 0, "no command has arrived");
    eprintln!(
        "{rounds} rounds in {:.0?}: {figures}; {given} commands taken, {arrived} arrived, 0 twice; {} answered of a \
         station on two nodes; longest silence: a station {:.1?}, a lane {:.1?}",
        began.elapsed(),
        cluster.answered_twice.len(),
        longest.station,
        longest.lane
    );
    // They end before their schema goes.
    cluster.nodes.iter_mut().for_each(|node| node.kill(&cluster.alive));
    drop::<Vec<Arc<_>>>(receivers);
}

/// Waits until every station was answered, and every lane brought something, after this moment.
async fn all_are_heard(silences: &Silences, since: Instant, stations: usize) {
    let began = Instant::now();
    while !silences.all_since(since, stations) {
        assert!(began.elapsed() < 2 * BACK_WITHIN, "somebody is not served any more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
