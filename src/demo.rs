//! `chargehook demo`: shows the whole path on one machine. A gateway on a temporary database, a receiver that
//! verifies signatures, chargers that charge cars.

mod receiver;
mod screen;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{Client, ClientError};
use crate::config::Config;
use crate::gateway::{Gateway, StartError};
use crate::keys::{self, KeyError};
use charger_sim::connection::Endpoint;
use charger_sim::notice::Summary;
use charger_sim::{ChargerOptions, Sessions, session};
use receiver::Receiver;
use screen::{Addresses, Screen};
use vocabulary::api::access::ApiKeyInput;
use vocabulary::api::event::Event;
use vocabulary::clock::Clock;
use vocabulary::delivery::DeliveryStatus;
use vocabulary::id::StationId;

/// Chargers of the demo. A round is one session of each.
const CHARGERS: usize = 3;

/// How much faster the cars charge than in real life: five minutes in a second.
const TIME_SCALE: f64 = 300.0;

/// How long the last deliveries may take after the chargers have left.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(30);

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The gateway did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No key for the API.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The API has refused a request.
    #[error(transparent)]
    Api(#[from] ClientError),
    /// Files, sockets or the terminal.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The number of received events is not the number of sent messages.
    #[error("the counts do not agree: {0}")]
    Disagreement(String),
}

/// Counts of messages at each step of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// CALLs that the chargers sent.
    pub(crate) sent: u64,
    /// CALLs that were answered.
    pub(crate) acknowledged: u64,
    /// Events of the category `ocpp` in the store.
    pub(crate) stored: u64,
    /// Such events that reached the receiver with a good signature.
    pub(crate) verified: u64,
}

impl Counts {
    fn agree(self) -> bool {
        self.sent == self.acknowledged && self.sent == self.stored && self.sent == self.verified
    }
}

/// Runs one round, or with `forever` until Ctrl-C, SIGTERM or SIGHUP.
///
/// # Errors
/// If something does not start, or the counts do not agree in the end.
pub async fn run(forever: bool) -> Result<(), DemoError> {
    let directory = tempfile::Builder::new().prefix("chargehook-demo-").tempdir()?;
    let gateway = Gateway::start(configuration(directory.path()), Clock::System).await?;
    let outcome = show(&gateway, forever).await;
    gateway.stop().await;
    outcome
}

/// A configuration with free ports, a temporary database, and receivers on this machine.
fn configuration(data_dir: &Path) -> Config {
    let mut config = Config::default();
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.server.data_dir = data_dir.to_owned();
    config.ocpp.listen = any_port;
    config.api.listen = any_port;
    config.outbound.allowed_networks = vec![ipnet::Ipv4Net::from(Ipv4Addr::LOCALHOST).into()];
    config
}

async fn show(gateway: &Gateway, forever: bool) -> Result<(), DemoError> {
    let admin = ApiKeyInput {
        name: "demo".to_owned(),
        scopes: vec!["admin".to_owned()],
        owner_id: None,
        expires_at: None,
    };
    let key = keys::create(gateway.store(), admin).await?.key.unwrap_or_default();
    let client = Client::new(&format!("http://{}", gateway.api_addr()), &key)?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let receiver = Receiver::start(arrived).await?;
    let webhook = client
        .create_webhook(&json!({
            "name": "demo receiver",
            "url": format!("http://{}/webhooks", receiver.address()),
            "retry_schedule": ["1s", "1s", "1s"],
            "ordering": "station",
        }))
        .await?;
    receiver.trust(webhook.signing_secret.as_deref().unwrap_or_default());

    let screen = Screen::new();
    let addresses = Addresses {
        ocpp: gateway.ocpp_addr(),
        api: gateway.api_addr(),
        receiver: receiver.address(),
        // One round is over before anybody has signed in.
        dashboard: if forever { gateway.sign_in_link(&key) } else { gateway.dashboard_url() },
        key: forever.then(|| key.clone()),
    };
    screen.introduce(&addresses, CHARGERS, forever)?;
    let began = Instant::now();
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let chargers = start_chargers(gateway.ocpp_addr(), forever, &stop);
    let mut chargers = std::pin::pin!(chargers);
    let mut verified = 0;
    let summary = loop {
        tokio::select! {
            Some(arrival) = arrivals.recv() => {
                verified += u64::from(arrival.is_ocpp());
                screen.arrival(&arrival)?;
            }
            summary = &mut chargers => break summary,
            _ = tokio::signal::ctrl_c(), if !stop.is_cancelled() => stop.cancel(),
            // Its terminal is gone; the temporary files are still removed.
            _ = hangup.recv(), if !stop.is_cancelled() => stop.cancel(),
            _ = terminate.recv(), if !stop.is_cancelled() => stop.cancel(),
        }
    };
    // The chargers have left; their last messages are still being delivered.
    let deadline = Instant::now() + DELIVERY_PATIENCE;
    while !deliveries_settled(&client).await? || !arrivals.is_empty() {
        let wait = deadline.saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
        if wait.is_zero() {
            break;
        }
        if let Ok(Some(arrival)) = timeout(wait, arrivals.recv()).await {
            verified += u64::from(arrival.is_ocpp());
            screen.arrival(&arrival)?;
        }
    }
    let said = [("event", "ocpp.*"), ("duplicate", "false"), ("limit", "500")];
    let stored = client.all::<Event>("events", &said).await?.len() as u64;
    let counts = Counts { sent: summary.sent, acknowledged: summary.acknowledged, stored, verified };
    screen.summary(&summary, counts, receiver.refused(), began.elapsed())?;
    // A charger that was interrupted may have sent a message that was never answered.
    if !counts.agree() && !forever {
        return Err(DemoError::Disagreement(format!("{counts:?}")));
    }
    Ok(())
}

async fn deliveries_settled(client: &Client) -> Result<bool, ClientError> {
    for status in DeliveryStatus::ALL.iter().filter(|status| !status.is_terminal()) {
        if !client.deliveries(&[("status", status.as_str()), ("limit", "1")]).await?.data.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Starts the chargers a moment apart; the future ends with the last of them.
async fn start_chargers(gateway: SocketAddr, forever: bool, stop: &CancellationToken) -> Summary {
    let tasks = TaskTracker::new();
    let (done, mut summaries) = mpsc::channel(CHARGERS);
    for number in 0..CHARGERS {
        let Ok(endpoint) = Endpoint::parse(&format!("ws://{gateway}/ocpp")) else { continue };
        let Ok(id) = StationId::new(&format!("DEMO_{}", number + 1)) else { continue };
        let options = ChargerOptions {
            connectors: 1,
            id_tag: format!("DRIVER_{}", number + 1),
            sessions: if forever { Sessions::Endless } else { Sessions::Count(1) },
            session_duration: Duration::from_secs(1_800 + 600 * number as u64),
            sample_interval: Duration::from_secs(300),
            time_scale: TIME_SCALE,
            handling: Duration::from_millis(400),
            pause: Duration::from_secs(2),
            ..ChargerOptions::new(endpoint, id)
        };
        let (stop, done) = (stop.clone(), done.clone());
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(300 * number as u64)).await;
            let summary = session::run(options, stop, |_, _| {}).await;
            // The receiver of the channel waits for all of them.
            let _ = done.send(summary).await;
        });
    }
    drop(done);
    let mut total = Summary::default();
    while let Some(summary) = summaries.recv().await {
        total.add(&summary);
    }
    total
}
