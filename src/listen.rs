//! `chargehook listen`: follows a running gateway and forwards each event to an endpoint, signed like a
//! webhook, for those who develop one on a machine that no gateway can reach.
//!
//! A station's events are forwarded in their order, one after the other, those of several stations side by
//! side ([`station_order`]).

mod station_order;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use url::Url;

use crate::client::{Client, ClientError, FollowerEvent};
use outbound::body;
use outbound::destination::Guard;
use outbound::headers::AttemptHeaders;
use outbound::outcome::Outcome;
use outbound::post::{Poster, PosterError, Request};
use outbound::signature::SigningSecret;
use station_order::StationOrder;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::delivery::{BodyFormat, Trigger};
use vocabulary::event::Event;
use vocabulary::id::{DeliveryId, IdMint};

/// How long the endpoint has for its answer; a webhook's default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why forwarding ended.
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

/// What is forwarded to where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateway.
    pub client: Client,
    /// The endpoint. Any address is allowed, loopback included, because the developer names it.
    pub to: Url,
    /// Filters, as the stream of events takes them.
    pub filters: Vec<(String, String)>,
    /// The signing secret.
    pub secret: SigningSecret,
    /// The body's shape.
    pub format: BodyFormat,
}

/// A guard that permits every address, because the developer names the endpoint.
pub fn anywhere() -> Guard {
    let everywhere: [IpNet; 2] = [Ipv4Net::default().into(), Ipv6Net::default().into()];
    Guard { allowed: everywhere.to_vec(), https_only: false }
}

/// Forwards until SIGINT, SIGTERM or SIGHUP, and prints every event to `out`.
///
/// # Errors
/// If the gateway cannot be reached at first, or refuses; one that goes away later is waited for.
pub async fn run(options: Options, mut out: impl Write) -> Result<(), ListenError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Its terminal is gone.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        ended = forward(options, &mut out) => match ended {
            // The reader of the output, such as `head`, has ended.
            Err(ListenError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            ended => ended,
        },
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

async fn forward(options: Options, out: &mut impl Write) -> Result<(), ListenError> {
    let Options { client, to, filters, secret, format } = options;
    let mut forwarder = Forwarder::new(to, secret, format)?;
    let mut events = client.follow_events(filters).await?;
    tell(out, &format!("forwarding to {}", forwarder.to))?;
    // The stream is read on a task of its own, so that a finished post does not interrupt it.
    let (tells, mut told) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut goes_on = true;
        while goes_on {
            let next = events.next().await;
            goes_on = next.is_ok() && !tells.is_closed();
            if tells.send(next).await.is_err() {
                return;
            }
        }
    });
    let mut order = StationOrder::default();
    let mut posts = FuturesUnordered::new();
    let mut end = None;
    loop {
        let line = tokio::select! {
            Some((event, outcome)) = posts.next() => {
                posts.extend(order.ended(&event).map(|next| forwarder.post(next)));
                line(forwarder.clock.now(), &event, &outcome)
            }
            Some(next) = told.recv(), if order.has_room() && end.is_none() => match next {
                Ok(FollowerEvent::Next(streamed)) => {
                    let numbered = forwarder.numbered(streamed.told);
                    posts.extend(order.take(numbered).map(|now| forwarder.post(now)));
                    continue;
                }
                Ok(FollowerEvent::BrokeOff(reason)) => format!("the stream broke off ({reason}); connecting again"),
                Ok(FollowerEvent::Again) => "connected again, going on behind the last event".to_owned(),
                Ok(FollowerEvent::Forgotten(reason)) => format!("{reason}; going on with what comes now"),
                Err(error) => {
                    // Events before the end are forwarded first.
                    end = Some(error);
                    continue;
                }
            },
            else => return end.map_or(Ok(()), |error| Err(error.into())),
        };
        tell(out, &line)?;
    }
}

fn line(now: Timestamp, event: &Event, outcome: &Outcome) -> String {
    // For a rejected station this is the identity that it offered, which may be any text.
    let station = event.station_id.as_deref().unwrap_or("-").escape_debug();
    let (verdict, took) = (describe(outcome), outcome.duration.as_millis());
    format!("{now}  {}  {}  {station}  {verdict}  {took} ms", event.id, event.event)
}

fn tell(out: &mut impl Write, line: &str) -> io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}

/// The answer's status, or why there is none.
fn describe(outcome: &Outcome) -> String {
    match (outcome.status(), outcome.error()) {
        (Some(status), _) => status.to_string(),
        (None, Some(error)) => format!("{} ({})", error.code, error.message),
        (None, None) => "-".to_owned(),
    }
}

/// An event with its number.
#[derive(Debug)]
struct Numbered {
    sequence: i64,
    event: Event,
}

/// Sends events as a webhook's deliveries are sent, once each.
struct Forwarder {
    to: Url,
    secret: SigningSecret,
    format: BodyFormat,
    poster: Poster,
    clock: Clock,
    mint: IdMint,
    sequence: i64,
}

impl Forwarder {
    fn new(to: Url, secret: SigningSecret, format: BodyFormat) -> Result<Self, PosterError> {
        let poster = Poster::new(anywhere(), None)?;
        Ok(Self { to, secret, format, poster, clock: Clock::System, mint: IdMint::default(), sequence: 0 })
    }

    /// Numbers an event.
    fn numbered(&mut self, event: Event) -> Numbered {
        self.sequence += 1;
        Numbered { sequence: self.sequence, event }
    }

    /// One post. It is made when the future is polled.
    fn post(
        &mut self,
        Numbered { sequence, event }: Numbered,
    ) -> impl Future<Output = (Event, Outcome)> + use<> {
        let now = self.clock.now();
        let none = BTreeMap::new();
        let body = body::render(self.format, &event);
        let headers = AttemptHeaders {
            delivery_id: DeliveryId::from_value(self.mint.next(now)),
            event_id: event.id,
            event: &event.event,
            attempt: 1,
            trigger: Trigger::Event,
            sequence: Some(sequence),
            timestamp_s: now.unix_s(),
            format: self.format,
            signing: std::slice::from_ref(&self.secret),
            secret: None,
            webhook_headers: &none,
            event_headers: &none,
        }
        .build(&body);
        let request =
            Request { url: self.to.clone(), headers, body, timeout: TIMEOUT, carries_secret: false };
        let poster = self.poster.clone();
        async move {
            let outcome = poster.post(request).await;
            (event, outcome)
        }
    }
}
