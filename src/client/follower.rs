//! Follows a live stream, and opens it again whenever the connection breaks.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::stream::{Stream, Streamed};
use super::{Client, ClientError, Result};
use vocabulary::api::event::Event;
use vocabulary::api::message::Message;

/// Pauses between tries to open the stream again.
const RECONNECT_MIN: Duration = Duration::from_millis(250);
const RECONNECT_MAX: Duration = Duration::from_secs(10);

/// An event of a follower.
#[derive(Debug)]
pub enum FollowerEvent<T> {
    /// The next message of the stream.
    Next(Box<Streamed<T>>),
    /// The stream broke off, for this reason. It is opened again behind the last message.
    BrokeOff(String),
    /// The stream is open again.
    Again,
    /// Messages after the last one may be removed, in the gateway's words. The stream goes on with new ones.
    Forgotten(String),
}

/// A stream of `T` that is opened again where it broke off.
#[derive(Debug)]
pub struct Follower<T> {
    client: Client,
    /// The stream's path below the API's base.
    path: Vec<String>,
    parameters: Vec<(String, String)>,
    stream: Option<Stream<T>>,
    opened_at: Instant,
    last: Option<String>,
    wait: Duration,
}

impl Client {
    /// Follows the events that come from now on; `filters` are those of the list.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong filter, and is a 503 if too many streams are open.
    pub async fn follow_events(&self, filters: Vec<(String, String)>) -> Result<Follower<Event>> {
        Follower::start(self.clone(), &["events", "stream"], filters).await
    }

    /// Follows a station's OCPP messages from now on; `filters` are those of the list.
    ///
    /// # Errors
    /// As [`Client::follow_events`], and a 404 if there is no such station.
    pub async fn follow_messages(
        &self,
        station: &str,
        mut filters: Vec<(String, String)>,
    ) -> Result<Follower<Message>> {
        filters.push(("follow".to_owned(), "true".to_owned()));
        Follower::start(self.clone(), &["stations", station, "messages"], filters).await
    }
}

impl<T: DeserializeOwned> Follower<T> {
    async fn start(client: Client, path: &[&str], parameters: Vec<(String, String)>) -> Result<Self> {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        let (opened_at, wait) = (Instant::now(), RECONNECT_MIN);
        let mut follower = Self { client, path, parameters, stream: None, opened_at, last: None, wait };
        follower.stream = Some(follower.open().await?);
        Ok(follower)
    }

    /// The next event. Waits as long as needed, also for a gateway that is not reachable.
    ///
    /// # Errors
    /// If the gateway refuses, for instance because the API key was revoked.
    pub async fn next(&mut self) -> Result<FollowerEvent<T>> {
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
                Ok(Some(streamed)) => {
                    self.wait = RECONNECT_MIN;
                    return Ok(FollowerEvent::Next(Box::new(streamed)));
                }
                Ok(None) => "the gateway ended it".to_owned(),
                Err(error) => error.to_string(),
            };
            self.stream = None;
            // A stream that lasted for a while did not break because it was opened too soon.
            if self.opened_at.elapsed() > RECONNECT_MAX {
                self.wait = RECONNECT_MIN;
            }
            return Ok(FollowerEvent::BrokeOff(reason));
        }
    }

    async fn open_again(&mut self) -> Result<Option<FollowerEvent<T>>> {
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(RECONNECT_MAX);
        match self.open().await {
            Ok(stream) => {
                self.stream = Some(stream);
                self.opened_at = Instant::now();
                Ok(Some(FollowerEvent::Again))
            }
            Err(error) if error.status() == Some(410) && self.last.is_some() => {
                self.last = None;
                Ok(Some(FollowerEvent::Forgotten(error.to_string())))
            }
            Err(error) if is_final(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn open(&self) -> Result<Stream<T>> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let parameters: Vec<(&str, &str)> =
            self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.client.stream(&path, &parameters, self.last.clone()).await
    }
}

/// Whether another try cannot help: the gateway refuses, and not because it is busy.
fn is_final(error: &ClientError) -> bool {
    error.status().is_some_and(|status| status < 500 && !matches!(status, 408 | 429))
}
