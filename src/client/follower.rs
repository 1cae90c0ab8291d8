//! Following the events for as long as somebody wants to hear them, whatever becomes of the connection.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Client, ClientError, EventStream, Result, StreamedEvent};
use crate::id::EventId;

/// Waits between tries to follow again.
const RECONNECT_MIN: Duration = Duration::from_millis(250);
const RECONNECT_MAX: Duration = Duration::from_secs(10);

/// What there is to be said about a stream that is followed.
#[derive(Debug)]
pub enum Told {
    /// The next event.
    Event(Box<StreamedEvent>),
    /// The stream broke off, for this reason. It is opened again where it was.
    BrokeOff(String),
    /// It is open again.
    Again,
    /// What came after the last event may be gone, in the gateway's words: it goes on with what comes now.
    Forgotten(String),
}

/// A stream of events that is opened again where it broke off.
#[derive(Debug)]
pub struct Follower {
    client: Client,
    filters: Vec<(String, String)>,
    stream: Option<EventStream>,
    opened_at: Instant,
    last: Option<EventId>,
    wait: Duration,
}

impl Follower {
    /// Begins with what comes from now on; `filters` are those of the list of events.
    ///
    /// # Errors
    /// As [`Client::follow_events`].
    pub async fn start(client: Client, filters: Vec<(String, String)>) -> Result<Self> {
        let stream = open(&client, &filters, None).await?;
        let opened_at = Instant::now();
        Ok(Self { client, filters, stream: Some(stream), opened_at, last: None, wait: RECONNECT_MIN })
    }

    /// What there is next. Waits for it as long as it takes, also for a gateway that is away.
    ///
    /// # Errors
    /// If the gateway refuses, for instance because the API key was revoked.
    pub async fn next(&mut self) -> Result<Told> {
        loop {
            let Some(stream) = &mut self.stream else {
                if let Some(told) = self.open_again().await? {
                    return Ok(told);
                }
                continue;
            };
            let next = stream.next().await;
            self.last = stream.last_id();
            let reason = match next {
                Ok(Some(event)) => {
                    self.wait = RECONNECT_MIN;
                    return Ok(Told::Event(Box::new(event)));
                }
                Ok(None) => "the gateway ended it".to_owned(),
                Err(error) => error.to_string(),
            };
            self.stream = None;
            // One that held for a while, or told something, did not break because it was opened too soon.
            if self.opened_at.elapsed() > RECONNECT_MAX {
                self.wait = RECONNECT_MIN;
            }
            return Ok(Told::BrokeOff(reason));
        }
    }

    async fn open_again(&mut self) -> Result<Option<Told>> {
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(RECONNECT_MAX);
        match open(&self.client, &self.filters, self.last).await {
            Ok(stream) => {
                self.stream = Some(stream);
                self.opened_at = Instant::now();
                Ok(Some(Told::Again))
            }
            Err(error) if error.status() == Some(410) && self.last.is_some() => {
                self.last = None;
                Ok(Some(Told::Forgotten(error.to_string())))
            }
            Err(error) if is_final(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// Whether asking again cannot help: the gateway refuses, and not because it is busy.
fn is_final(error: &ClientError) -> bool {
    error.status().is_some_and(|status| status < 500 && !matches!(status, 408 | 429))
}

async fn open(client: &Client, filters: &[(String, String)], last: Option<EventId>) -> Result<EventStream> {
    let filters: Vec<(&str, &str)> =
        filters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    client.follow_events(&filters, last).await
}
