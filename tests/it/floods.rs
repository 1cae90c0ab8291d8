//! Floods, and what a well-behaved charger notices of them: the p99 of its answers beside the quiet one, and
//! what memory the gateway takes.
//!
//! Small ones by default, on which nothing but service and memory is held; `FLOOD=full` makes them large,
//! says the figures on stderr and holds that p99 stays within three times the quiet one. Let it be the
//! release build that is measured, on a machine with nothing else to do.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::crash::{Place, Process};
use crate::harness::{ADMIN_KEY, Charger, DEADLINE, call, eventually, http_client};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");

/// What memory may grow by in any flood, in KiB.
const GROWTH_KIB: usize = 512 << 10;

fn full() -> bool {
    std::env::var("FLOOD").is_ok_and(|size| size == "full")
}

/// The full size of something, or a small one.
fn size(small: usize, large: usize) -> usize {
    if full() { large } else { small }
}

/// A gateway of its own process, with a charger that does everything right.
struct Scene {
    place: Place,
    gateway: Process,
    good: Good,
    quiet: Duration,
    resident_kib: usize,
    stop: CancellationToken,
    tasks: TaskTracker,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn set() -> Self {
        chargehook::serve::raise_open_files_limit();
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::new(dir.path());
        let gateway = place.serve();
        let good = Good::connect(place.ocpp).await;
        let mut scene = Self {
            place,
            gateway,
            good,
            quiet: Duration::ZERO,
            resident_kib: 0,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            _dir: dir,
        };
        scene.p99_of(40).await;
        scene
    }

    /// Notes how it is before the flood.
    async fn quiet(&mut self) {
        self.quiet = self.p99().await;
        self.resident_kib = self.resident_kib();
    }

    /// What the gateway holds in memory.
    fn resident_kib(&self) -> usize {
        let path = format!("/proc/{}/status", self.gateway.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    async fn p99(&mut self) -> Duration {
        self.p99_of(size(40, 1_000)).await
    }

    async fn p99_of(&mut self, answers: usize) -> Duration {
        let mut took = self.good.answers(answers).await;
        took.sort();
        took[took.len() * 99 / 100]
    }

    /// Measures in the flood, tells of it, and holds what was promised.
    async fn measure(mut self, flood: &str) {
        let p99 = self.p99().await;
        let resident_kib = self.resident_kib();
        self.stop.cancel();
        self.tasks.close();
        timeout(DEADLINE, self.tasks.wait()).await.expect("the flood ends");
        self.good.answers(1).await;
        let ratio = p99.as_secs_f64() / self.quiet.as_secs_f64();
        if full() {
            let (quiet, before, after) = (self.quiet, self.resident_kib >> 10, resident_kib >> 10);
            let mut told = std::io::stderr().lock();
            writeln!(
                told,
                "{flood}: p99 quiet {quiet:?}, in the flood {p99:?}, {ratio:.1} times; {before} MiB before, {after} MiB in it"
            )
            .expect("writes");
            assert!(ratio <= 3.0, "{ratio:.1} times the quiet p99");
        }
        let grown = resident_kib.saturating_sub(self.resident_kib);
        assert!(grown < GROWTH_KIB, "{grown} KiB more in the flood");
    }
}

/// A charger that does everything right, on a thread of its own: what it measures is not that the flood's own
/// tasks go before it.
struct Good {
    ask: mpsc::Sender<usize>,
    took: tokio::sync::mpsc::UnboundedReceiver<Vec<Duration>>,
}

impl Good {
    async fn connect(ocpp: SocketAddr) -> Self {
        let (ask, asked) = mpsc::channel();
        let (tell, took) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let boot = async {
                let mut charger = Charger::connect(ocpp, "/ocpp/GOOD", &[OCPP16]).await.expect("welcome");
                let payload = json!({"chargePointVendor": "V", "chargePointModel": "M"});
                charger.call("BootNotification", payload).await;
                charger
            };
            let mut charger = runtime.block_on(boot);
            while let Ok(answers) = asked.recv() {
                if tell.send(runtime.block_on(time(&mut charger, answers))).is_err() {
                    return;
                }
            }
        });
        Self { ask, took }
    }

    /// How long so many answers took, one after the other.
    async fn answers(&mut self, count: usize) -> Vec<Duration> {
        self.ask.send(count).expect("its thread lives");
        self.took.recv().await.expect("all are answered")
    }
}

async fn time(charger: &mut Charger, answers: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..answers {
        let began = Instant::now();
        charger.still_serves().await;
        took.push(began.elapsed());
        // Well under what one station may send.
        sleep(Duration::from_millis(size(1, 12) as u64)).await;
    }
    took
}

/// Addresses of this machine that a flood may come from.
fn address(nth: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1 + (nth / 250) as u8, 1 + (nth % 250) as u8).into()
}

async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_handshakes() {
    let mut scene = Scene::set().await;
    scene.quiet().await;
    let count = size(150, 10_000);
    let open = Arc::new(AtomicUsize::new(0));
    for nth in 0..count {
        let (ocpp, open, stop) = (scene.place.ocpp, open.clone(), scene.stop.clone());
        let half_open = async move {
            loop {
                if let Ok(mut stream) = connect(address(nth % 40), ocpp).await {
                    let _ = stream.write_all(b"GET /ocpp/HALF HTTP/1.1\r\nHost: x\r\nX-Half: ").await;
                    open.fetch_add(1, Relaxed);
                    // Until it is given up.
                    let _ = stream.read(&mut [0; 64]).await;
                    open.fetch_sub(1, Relaxed);
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        scene.tasks.spawn(async move {
            tokio::select! {
                () = half_open => {}
                () = stop.cancelled() => {}
            }
        });
    }
    eventually("all of them are open", || async { (open.load(Relaxed) >= count * 9 / 10).then_some(()) })
        .await;
    scene.measure(&format!("{count} half-open handshakes")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_a_mebibyte() {
    let mut scene = Scene::set().await;
    scene.quiet().await;
    let senders = size(1, 4);
    for nth in 0..senders {
        let (ocpp, stop) = (scene.place.ocpp, scene.stop.clone());
        scene.tasks.spawn(async move {
            let charger =
                Charger::connect(ocpp, &format!("/ocpp/BIG_{nth}"), &[OCPP16]).await.expect("welcome");
            // The bare stream and a mask of zeros: what is measured is not what it costs to send.
            let mut stream = charger.socket.into_inner();
            let tail = format!("{}\"}}]", "x".repeat((1 << 20) - 100)).into_bytes();
            let send = async {
                for id in 0u64.. {
                    let head = format!(r#"[2,"{id:08}","DataTransfer",{{"vendorId":"v","data":""#);
                    let mut frame = vec![0x81, 0x80 | 127];
                    frame.extend(((head.len() + tail.len()) as u64).to_be_bytes());
                    frame.extend([0; 4]);
                    frame.extend(head.as_bytes());
                    // As fast as it is taken; the answers are left where they are.
                    if stream.write_all(&frame).await.is_err() || stream.write_all(&tail).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = send => {}
                () = stop.cancelled() => {}
            }
        });
    }
    scene.measure(&format!("frames of 1 MiB from {senders} stations")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_passwords() {
    let mut scene = Scene::set().await;
    let http = http_client();
    for nth in 0..5 {
        let body = json!({"station_id": format!("SAFE_{nth}"), "password": "the right password"});
        assert_eq!(call(&http, scene.place.api, "POST", "/stations", Some(body)).await.0, 201);
    }
    scene.quiet().await;
    let per_second = size(100, 1_000);
    let tried = Arc::new(AtomicUsize::new(0));
    let (ocpp, stop, of_guesses, told) =
        (scene.place.ocpp, scene.stop.clone(), scene.tasks.clone(), tried.clone());
    scene.tasks.spawn(async move {
        let mut beat = interval(Duration::from_millis(10));
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut nth = 0;
        while !stop.is_cancelled() {
            beat.tick().await;
            for _ in 0..per_second / 100 {
                nth += 1;
                let told = told.clone();
                of_guesses.spawn(async move {
                    if guess(ocpp, nth).await.is_some() {
                        told.fetch_add(1, Relaxed);
                    }
                });
            }
        }
    });
    eventually("some were refused", || async { (tried.load(Relaxed) >= per_second / 2).then_some(()) }).await;
    // Whose password is guessed gets in meanwhile, from where it is.
    let credentials = BASE64_STANDARD.encode("SAFE_1:the right password");
    let header = ("Authorization", &*format!("Basic {credentials}"));
    eventually("a right password lets in", || async {
        let knocked = Charger::connect(ocpp, "/ocpp/SAFE_1", &[OCPP16, header]).await;
        match knocked {
            Ok(_) => Some(()),
            // Its turn has not come.
            Err(refused) if refused.status() == 503 => None,
            Err(refused) => panic!("{}", refused.status()),
        }
    })
    .await;
    scene.measure(&format!("{per_second} bad passwords a second")).await;
}

/// Tries a password that was never tried before; the status of the answer.
async fn guess(ocpp: SocketAddr, nth: usize) -> Option<u16> {
    let mut stream = connect(address(nth % 100), ocpp).await.ok()?;
    let station = format!("SAFE_{}", nth % 5);
    let credentials = BASE64_STANDARD.encode(format!("{station}:guess number {nth}"));
    let request = format!(
        "GET /ocpp/{station} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: ocpp1.6\r\nAuthorization: Basic {credentials}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = [0; 12];
    timeout(DEADLINE, stream.read_exact(&mut head)).await.ok()?.ok()?;
    let status = std::str::from_utf8(&head[9..]).ok()?.parse().ok()?;
    assert!([401, 503].contains(&status), "{status}");
    Some(status)
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_of_the_event_stream() {
    let mut scene = Scene::set().await;
    // What there is to tell of, before and in the flood.
    let (ocpp, stop) = (scene.place.ocpp, scene.stop.clone());
    scene.tasks.spawn(async move {
        let mut charger = Charger::connect(ocpp, "/ocpp/BUSY", &[OCPP16]).await.expect("welcome");
        let data = "x".repeat(3_000);
        while !stop.is_cancelled() {
            charger.call("DataTransfer", json!({"vendorId": "v", "data": data})).await;
            sleep(Duration::from_millis(12)).await;
        }
    });
    scene.quiet().await;
    let count = size(20, 100);
    for _ in 0..count {
        let mut stream = TcpStream::connect(scene.place.api).await.expect("connects");
        let head = format!("GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sends");
        let mut status = [0; 12];
        timeout(DEADLINE, stream.read_exact(&mut status)).await.expect("in time").expect("answers");
        assert_eq!(&status, b"HTTP/1.1 200");
        let stop = scene.stop.clone();
        scene.tasks.spawn(async move {
            stop.cancelled().await;
            drop(stream);
        });
    }
    scene.measure(&format!("{count} slow readers of the event stream")).await;
}
