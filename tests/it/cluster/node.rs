//! A node of the cluster, and the ways to it and from it to its database.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::crash::{Place, Process, next_chance};
use crate::proxy::Proxy;
use crate::store_away::{by_way, server};

/// The lease of the nodes here: the shortest there is.
pub(super) const LEASE: Duration = Duration::from_secs(3);

/// Nodes that chargers may be connected to.
pub(super) type Alive = Arc<Mutex<Vec<SocketAddr>>>;

/// One node, in a directory of its own, with a line of its own to the database.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) line: Proxy,
    name: String,
    config: PathBuf,
    store: String,
    process: Option<Process>,
}

impl Node {
    pub(super) async fn new(dir: &Path, name: &str, store: &str) -> Self {
        let own = dir.join(name);
        std::fs::create_dir(&own).expect("a directory");
        let config = own.join("chargehook.toml");
        std::fs::write(&config, "[node]\nlease = \"3s\"\ndrain = \"1s\"\n").expect("writes");
        let line = Proxy::to(server(store)).await;
        let store = by_way(store, line.address);
        Self { place: Place::new(&own), line, name: name.to_owned(), config, store, process: None }
    }

    pub(super) fn start(&mut self, alive: &Alive) {
        let mut command = self.place.command();
        command
            .args(["--log-level", "error", "--node", &self.name, "--config"])
            .arg(&self.config)
            .env("CHARGEHOOK_STORE_URL", &self.store)
            .env("CHARGEHOOK_SECRETS_KEY", "5a".repeat(32));
        self.process = Some(tokio::task::block_in_place(|| self.place.start(&mut command)));
        self.is_in_the_balancer(alive);
    }

    pub(super) fn is_in_the_balancer(&self, alive: &Alive) {
        alive.lock().expect("sound").push(self.place.ocpp);
    }

    pub(super) fn leaves_the_balancer(&self, alive: &Alive) {
        alive.lock().expect("sound").retain(|address| *address != self.place.ocpp);
    }

    pub(super) fn kill(&mut self, alive: &Alive) {
        self.leaves_the_balancer(alive);
        self.process.take().expect("it runs").kill();
    }

    /// Sends its process a signal.
    pub(super) fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("it runs").child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success());
    }
}

/// Leads each connection to one of the nodes that are alive.
pub(super) async fn balance(alive: Alive) -> SocketAddr {
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

/// HAProxy with the example's configuration, until it is dropped.
pub(super) struct HaProxy {
    process: Child,
    pub(super) ocpp: SocketAddr,
}

impl HaProxy {
    /// `None`: it is not installed.
    pub(super) fn before(nodes: &[Node], dir: &Path) -> Option<Self> {
        Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().ok()?;
        let free = || StdListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let (ocpp, api) = (free(), free());
        let mut config = include_str!("../../../examples/cluster/haproxy.cfg").to_owned();
        let mut put = |from: &str, to: &str| {
            assert!(config.contains(from), "the example has {from}");
            config = config.replace(from, to);
        };
        put("bind :9000", &format!("bind {ocpp}"));
        put("bind :8080", &format!("bind {api}"));
        for (nth, node) in nodes.iter().enumerate() {
            let own = format!("10.0.0.{}", 11 + nth);
            put(
                &format!("{own}:9000 port 8080"),
                &format!("{} port {}", node.place.ocpp, node.place.api.port()),
            );
            put(&format!("{own}:8080"), &node.place.api.to_string());
        }
        // As many as a test may open.
        put("maxconn 60000", "maxconn 1000");
        let file = dir.join("haproxy.cfg");
        std::fs::write(&file, config).expect("writes");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { process: command.spawn().expect("starts"), ocpp })
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
