//! Messages to brokers: one message → one [`Outcome`], over connections that are shared and kept.
//!
//! A broker's protocol is one file below this one. It opens a connection, says whether that is still open,
//! and publishes one message on it: confirmed, or a `Failure`. All else is here: connections are shared by
//! place and credentials, closed when nobody uses them, and a place that fails is left alone for a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::broker_failure::{self, Failure};
use super::broker_url::{BrokerUrl, Protocol};
use super::dial::Dialer;
use super::outcome::Outcome;
use super::secret_mask::SecretMask;
use vocabulary::broker::BrokerCredentials;

mod message;
#[cfg(feature = "nats")]
mod nats;
mod topic;

pub use message::Message;
pub use topic::TopicTemplate;

/// How long signing in may take, the connection included.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(8);
/// Pauses between tries to connect to a place; meanwhile messages to it fail with what went wrong last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Places that are remembered beyond those in use.
const PLACES_KEPT: usize = 64;

/// An open connection to a broker of any kind; clones are the same connection.
#[derive(Clone)]
enum Connection {
    #[cfg(feature = "nats")]
    Nats(nats::Connection),
}

impl Connection {
    async fn open(dialer: &Dialer, place: &Place) -> Result<Self, Failure> {
        match place.url.protocol {
            #[cfg(feature = "nats")]
            Protocol::Nats => {
                nats::Connection::open(dialer, &place.url, place.credentials.as_ref()).await.map(Self::Nats)
            }
            #[cfg(not(feature = "nats"))]
            Protocol::Nats => {
                let _ = dialer;
                Err(Failure::new(
                    vocabulary::delivery::ErrorCode::Connect,
                    "this gateway was built without NATS",
                ))
            }
        }
    }

    fn is_open(&self) -> bool {
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref connection) => connection.is_open(),
        }
    }

    /// What the broker has confirmed, or why not; `None`: the connection has ended before the message was on
    /// its way.
    async fn publish(&self, message: &Message) -> Option<Result<String, Failure>> {
        #[cfg(not(feature = "nats"))]
        let _ = message;
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref connection) => connection.publish(message).await,
        }
    }
}

/// Whoever has the same place shares a connection.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    url: BrokerUrl,
    credentials: Option<BrokerCredentials>,
}

/// The connection to one place. Who opens it lets the others wait for the result.
type Shared = Arc<tokio::sync::Mutex<Known>>;

#[derive(Default)]
struct Known {
    connection: Option<Connection>,
    /// Why it could not be opened, until when nobody tries again, and how long the pause was.
    failed: Option<(Failure, Instant, Duration)>,
}

impl Known {
    /// The open connection, opened if there is none.
    async fn connection(&mut self, dialer: &Dialer, place: &Place) -> Result<Connection, Failure> {
        if let Some(open) = self.connection.as_ref().filter(|connection| connection.is_open()) {
            return Ok(open.clone());
        }
        self.connection = None;
        let pause = match &self.failed {
            Some((failure, until, _)) if Instant::now() < *until => return Err(failure.clone()),
            Some((_, _, pause)) => (*pause * 2).min(BACK_OFF.1),
            None => BACK_OFF.0,
        };
        let opened = tokio::time::timeout(SIGN_IN_TIMEOUT, Connection::open(dialer, place)).await;
        match opened.unwrap_or_else(|_| Err(Failure::silent(&place.url))) {
            Ok(connection) => {
                self.failed = None;
                Ok(self.connection.insert(connection).clone())
            }
            Err(failure) => {
                self.failed = Some((failure.clone(), Instant::now() + pause, pause));
                Err(failure)
            }
        }
    }
}

/// What is wrong with credentials for this protocol: the member, and words.
pub fn credentials_problem(
    protocol: Protocol,
    credentials: &BrokerCredentials,
) -> Option<(&'static str, &'static str)> {
    if let Some(problem) = credentials.problem() {
        return Some(problem);
    }
    match protocol {
        #[cfg(feature = "nats")]
        Protocol::Nats => nats::credentials_problem(credentials),
        #[cfg(not(feature = "nats"))]
        Protocol::Nats => None,
    }
}

/// Publishes messages. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Brokers {
    dialer: Arc<Dialer>,
    places: Arc<Mutex<HashMap<Place, Shared>>>,
}

impl Brokers {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer: Arc::new(dialer), places: Arc::default() }
    }

    /// Publishes one message within `timeout`. It never fails: an error is an outcome.
    pub async fn publish(
        &self,
        to: &BrokerUrl,
        credentials: Option<&BrokerCredentials>,
        message: &Message,
        timeout: Duration,
    ) -> Outcome {
        let start = Instant::now();
        let place = Place { url: to.clone(), credentials: credentials.cloned() };
        let published = tokio::time::timeout(timeout, self.published(&place, message)).await;
        broker_failure::outcome(published.ok(), start.elapsed(), &SecretMask::of_credentials(credentials))
    }

    async fn published(&self, place: &Place, message: &Message) -> Result<String, Failure> {
        let shared = self.shared(place);
        loop {
            let connection = shared.lock().await.connection(&self.dialer, place).await?;
            // One that was closed while it was unused costs no attempt: there is another one at once.
            if let Some(published) = connection.publish(message).await {
                return published;
            }
        }
    }

    fn shared(&self, place: &Place) -> Shared {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = places.get(place) {
            return shared.clone();
        }
        if places.len() >= PLACES_KEPT {
            // Whoever is at one holds it, and an open connection is in use or closes itself soon.
            places.retain(|_, shared| {
                let is_open = |known: &Known| known.connection.as_ref().is_some_and(Connection::is_open);
                Arc::strong_count(shared) > 1 || shared.try_lock().is_ok_and(|known| is_open(&known))
            });
        }
        places.entry(place.clone()).or_default().clone()
    }
}
