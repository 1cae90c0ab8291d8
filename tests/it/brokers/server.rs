//! Servers of NATS that tests use: the one that a variable names, ones that they start and kill, and a client
//! that is none of the gateway's code.

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::harness::eventually;

/// `HOST:PORT` of a server with JetStream that takes everybody.
const TEST_NATS_VARIABLE: &str = "TEST_NATS";

/// Where the server is. Says once if there is none.
#[allow(clippy::print_stderr)]
pub(super) fn server() -> Option<String> {
    static TOLD: Once = Once::new();
    let named = std::env::var(TEST_NATS_VARIABLE).ok().filter(|address| !address.is_empty());
    if named.is_none() {
        TOLD.call_once(|| eprintln!("tests of NATS are skipped: {TEST_NATS_VARIABLE} names no server"));
    }
    named
}

/// A client for tests that is none of the gateway's code.
pub(super) struct Client {
    socket: BufReader<TcpStream>,
    /// What came while an answer was waited for.
    early: VecDeque<Got>,
    /// Where answers come to.
    answers: String,
}

pub(super) struct Got {
    pub(super) subject: String,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Client {
    pub(super) async fn connect(address: &str) -> Self {
        let socket = BufReader::new(TcpStream::connect(address).await.expect("connects"));
        let answers = format!("_test.{}", socket.get_ref().local_addr().expect("connected").port());
        let mut client = Self { socket, early: VecDeque::new(), answers };
        client
            .say(&format!("CONNECT {{\"verbose\":false,\"headers\":true}}\r\nSUB {} 1\r\n", client.answers))
            .await;
        client
    }

    async fn say(&mut self, text: &str) {
        self.socket.get_mut().write_all(text.as_bytes()).await.expect("writes");
    }

    /// The next message.
    async fn got(&mut self) -> Got {
        loop {
            let mut line = String::new();
            self.socket.read_line(&mut line).await.expect("reads");
            let words: Vec<&str> = line.split_whitespace().collect();
            let size = |from_end: usize| words[words.len() - from_end].parse::<usize>().expect("a number");
            let (head, all) = match words.first() {
                Some(&"MSG") => (0, size(1)),
                Some(&"HMSG") => (size(2), size(1)),
                Some(&"PING") => {
                    self.say("PONG\r\n").await;
                    continue;
                }
                Some(_) => continue,
                None => panic!("the server hung up"),
            };
            let subject = words[1].to_owned();
            let mut bytes = vec![0; all + 2];
            self.socket.read_exact(&mut bytes).await.expect("reads");
            let head_text = String::from_utf8_lossy(&bytes[..head]).into_owned();
            return Got { subject, head: head_text, body: bytes[head..all].to_vec() };
        }
    }

    /// Asks JetStream for something.
    async fn ask(&mut self, subject: &str, body: &Value) -> Value {
        let body = body.to_string();
        self.say(&format!("PUB $JS.API.{subject} {} {}\r\n{body}\r\n", self.answers, body.len())).await;
        loop {
            let got = self.got().await;
            if got.subject == self.answers {
                return got.json();
            }
            self.early.push_back(got);
        }
    }

    pub(super) async fn stream(&mut self, name: &str, more: Value) {
        let _ = self.ask(&format!("STREAM.DELETE.{name}"), &json!({})).await;
        let mut wanted = json!({"name": name, "subjects": [format!("{name}.>")], "storage": "file", "num_replicas": 1,
            "retention": "limits", "discard": "new", "max_msgs": -1, "max_bytes": -1, "max_age": 0,
            "max_consumers": -1});
        for (member, value) in more.as_object().expect("members") {
            wanted[member] = value.clone();
        }
        let made = self.ask(&format!("STREAM.CREATE.{name}"), &wanted).await;
        assert!(made["error"].is_null(), "{made}");
    }

    pub(super) async fn delete_stream(&mut self, name: &str) {
        let _ = self.ask(&format!("STREAM.DELETE.{name}"), &json!({})).await;
    }

    pub(super) async fn count(&mut self, name: &str) -> u64 {
        let info = self.ask(&format!("STREAM.INFO.{name}"), &json!({})).await;
        info["state"]["messages"].as_u64().unwrap_or_default()
    }

    /// The messages of a stream, the oldest first.
    pub(super) async fn kept(&mut self, name: &str) -> Vec<Got> {
        let count = self.count(name).await;
        self.say(&format!("SUB _kept.{name} 2\r\n")).await;
        let consumer = json!({"stream_name": name, "config": {"deliver_subject": format!("_kept.{name}"),
            "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant"}});
        let made = self.ask(&format!("CONSUMER.CREATE.{name}"), &consumer).await;
        let mut all = Vec::new();
        assert!(made["error"].is_null(), "{made}");
        while (all.len() as u64) < count {
            let got = match self.early.pop_front() {
                Some(early) => early,
                None => self.got().await,
            };
            all.push(got);
        }
        all
    }
}

/// A server of a test's own, which it can kill.
pub(super) struct Own {
    child: Option<Child>,
    dir: tempfile::TempDir,
    pub(super) port: u16,
    more: String,
}

impl Own {
    pub(super) async fn start(more: &str) -> Option<Self> {
        server()?;
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let dir = tempfile::tempdir().expect("a directory");
        let mut own = Self { child: None, dir, port, more: more.to_owned() };
        own.run().await;
        Some(own)
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) async fn run(&mut self) {
        let config = self.dir.path().join("nats.conf");
        let text = format!(
            "listen: 127.0.0.1:{}\njetstream {{ store_dir: {:?} }}\n{}\n",
            self.port,
            self.dir.path().join("data"),
            self.more
        );
        std::fs::write(&config, text).expect("writes");
        let program = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
        let program =
            program.iter().find(|path| std::path::Path::new(path).exists()).unwrap_or(&"nats-server");
        let child = Command::new(program)
            .args(["-c".as_ref(), config.as_os_str()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        self.child = Some(child);
        let address = self.address();
        eventually("the server listens", || async { TcpStream::connect(&address).await.ok() }).await;
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.kill();
    }
}
