//! `chargehook listen`: follows a running gateway and forwards each event to an endpoint, signed like a webhook,
//! for those who develop one on a machine that no gateway can reach.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::client::{Client, ClientError, Told};
use crate::clock::Clock;
use crate::event::Event;
use crate::id::{DeliveryId, IdMint};
use crate::outbound::body::Format;
use crate::outbound::destination::Guard;
use crate::outbound::headers::{AttemptHeaders, Trigger};
use crate::outbound::post::{Poster, PosterError, Request};
use crate::outbound::signature::SigningSecret;
use crate::outbound::verdict::Outcome;

/// How long the endpoint has for its answer; a webhook's default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing is forwarded any more.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The gateway cannot be followed.
    #[error(transparent)]
    Gateway(#[from] ClientError),
    /// No request can be sent.
    #[error(transparent)]
    Poster(#[from] PosterError),
    /// Standard output, or signals.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What is forwarded, and where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateway.
    pub client: Client,
    /// The endpoint. Whoever names it here may have any address, loopback included.
    pub to: Url,
    /// Filters, as the stream of events takes them.
    pub filters: Vec<(String, String)>,
    /// What signs.
    pub secret: SigningSecret,
    /// The body's shape.
    pub format: Format,
}

/// The guard that an endpoint passes which its own developer names: every address is allowed.
pub fn anywhere() -> Guard {
    let everywhere: [IpNet; 2] = [Ipv4Net::default().into(), Ipv6Net::default().into()];
    Guard { allowed: everywhere.to_vec(), https_only: false }
}

/// Forwards until SIGINT or SIGTERM, and tells `out` of every event.
///
/// # Errors
/// If the gateway cannot be reached at first, or refuses; one that goes away later is waited for.
pub async fn run(options: Options, mut out: impl Write) -> Result<(), ListenError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = forward(options, &mut out) => match ended {
            // Whoever read us, such as `head`, has seen enough.
            Err(ListenError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            ended => ended,
        },
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn forward(options: Options, out: &mut impl Write) -> Result<(), ListenError> {
    let Options { client, to, filters, secret, format } = options;
    let mut forwarder = Forwarder::new(to, secret, format)?;
    let mut events = client.follow_events(filters).await?;
    tell(out, &format!("forwarding to {}", forwarder.to))?;
    loop {
        let line = match events.next().await? {
            Told::Next(streamed) => {
                let event = Event::from(streamed.told);
                let outcome = forwarder.post(&event).await;
                let now = forwarder.clock.now();
                // Of a station that was rejected it is the identity that was offered, which may be anything.
                let station = event.station_id.as_deref().unwrap_or("-").escape_debug();
                let (verdict, took) = (describe(&outcome), outcome.duration.as_millis());
                format!("{now}  {}  {}  {station}  {verdict}  {took} ms", event.id, event.event)
            }
            Told::BrokeOff(reason) => format!("the stream broke off ({reason}); connecting again"),
            Told::Again => "connected again, going on behind the last event".to_owned(),
            Told::Forgotten(reason) => format!("{reason}; going on with what comes now"),
        };
        tell(out, &line)?;
    }
}

fn tell(out: &mut impl Write, line: &str) -> io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}

/// The answer's status, or why there is none.
fn describe(outcome: &Outcome) -> String {
    match (outcome.status(), outcome.error()) {
        (Some(status), _) => status.to_string(),
        (None, Some((code, message))) => format!("{code} ({message})"),
        (None, None) => "-".to_owned(),
    }
}

/// Sends events as a webhook's deliveries are sent, once each.
struct Forwarder {
    to: Url,
    secret: SigningSecret,
    format: Format,
    poster: Poster,
    clock: Clock,
    mint: IdMint,
    sequence: i64,
}

impl Forwarder {
    fn new(to: Url, secret: SigningSecret, format: Format) -> Result<Self, PosterError> {
        let poster = Poster::new(anywhere(), None)?;
        Ok(Self { to, secret, format, poster, clock: Clock::System, mint: IdMint::default(), sequence: 0 })
    }

    async fn post(&mut self, event: &Event) -> Outcome {
        let now = self.clock.now();
        self.sequence += 1;
        let none = BTreeMap::new();
        let body = self.format.render(event);
        let headers = AttemptHeaders {
            delivery_id: DeliveryId::from_value(self.mint.next(now)),
            event_id: event.id,
            event: &event.event,
            attempt: 1,
            trigger: Trigger::Event,
            sequence: Some(self.sequence),
            timestamp_s: now.unix_s(),
            format: self.format,
            signing: std::slice::from_ref(&self.secret),
            secret: None,
            webhook_headers: &none,
            event_headers: &none,
        }
        .build(&body);
        let url = self.to.clone();
        self.poster.post(Request { url, headers, body, timeout: TIMEOUT, carries_secret: false }).await
    }
}
