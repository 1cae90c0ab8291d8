//! Live streams of the API, as a client reads them (server-sent events).

use std::marker::PhantomData;
use std::time::Duration;

use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Client, ClientError, Parameters, Result, refusal, unexpected};

/// A stream sends something every 15 seconds, at least a comment. One that is silent for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// A stream has no timeout.
pub(super) const WITHOUT_END: Duration = Duration::from_secs(365 * 86_400);

/// Longer than any event: the gateway's messages are far smaller.
const LINE_MAX_BYTES: usize = 64 << 20;

/// An open stream of `T`.
#[derive(Debug)]
pub(super) struct Stream<T> {
    response: Response,
    reader: Reader,
    brings: PhantomData<fn() -> T>,
}

/// A message of a stream.
#[derive(Debug, Clone)]
pub struct Streamed<T> {
    /// The message.
    pub told: T,
    /// Its JSON, in one line.
    pub json: String,
}

impl Client {
    /// Opens a stream. It begins with what comes from now on, or behind `last`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong parameter, is a 410 if what came after `last` may be gone,
    /// and a 503 if too many streams are open.
    pub(super) async fn stream<T>(
        &self,
        segments: &[&str],
        parameters: Parameters<'_>,
        last: Option<String>,
    ) -> Result<Stream<T>> {
        let mut request = self.request(Method::GET, segments, parameters).timeout(WITHOUT_END);
        if let Some(last) = &last {
            request = request.header("last-event-id", last);
        }
        let response = match timeout(SILENCE_MAX, self.transport.send(request)).await {
            Ok(answered) => answered?,
            Err(_) => return Err(ClientError::Silent),
        };
        if !response.status().is_success() {
            return Err(refusal(response).await?);
        }
        let reader = Reader { last_id: last, ..Reader::default() };
        Ok(Stream { response, reader, brings: PhantomData })
    }
}

impl<T: DeserializeOwned> Stream<T> {
    /// The next message; `None` if the stream has ended.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] or [`ClientError::Silent`] if it broke off. Nothing is lost: open one
    /// behind [`Stream::last_id`].
    pub(super) async fn next(&mut self) -> Result<Option<Streamed<T>>> {
        loop {
            if let Some(json) = self.reader.next() {
                return match serde_json::from_str(&json) {
                    Ok(told) => Ok(Some(Streamed { told, json })),
                    Err(_) => Err(self.nonsense(&json)),
                };
            }
            if self.reader.buffer.len() > LINE_MAX_BYTES {
                return Err(self.nonsense("a line without end"));
            }
            match timeout(SILENCE_MAX, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.reader.buffer.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(ClientError::Unreachable(error)),
                Err(_) => return Err(ClientError::Silent),
            }
        }
    }

    /// The id of the last message, or the one that the stream was opened behind.
    pub(super) fn last_id(&self) -> Option<String> {
        self.reader.last_id.clone()
    }

    fn nonsense(&self, text: &str) -> ClientError {
        let (url, status) = (self.response.url().clone(), self.response.status().as_u16());
        unexpected(url, status, text.as_bytes())
    }
}

/// Reads messages out of the bytes of a stream.
#[derive(Debug, Default)]
struct Reader {
    /// Received bytes that are not read yet.
    buffer: Vec<u8>,
    data: String,
    /// The id of the message that is being read. It counts once the message is whole: a stream that breaks
    /// off in the middle has to be followed from the one before.
    id: Option<String>,
    last_id: Option<String>,
}

impl Reader {
    /// The next message's data.
    fn next(&mut self) -> Option<String> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                self.last_id = self.id.take().or(self.last_id.take());
                if !self.data.is_empty() {
                    return Some(std::mem::take(&mut self.data));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.id = Some(value.to_owned()),
                "data" => {
                    // A payload of several lines breaks between two tokens, so a blank replaces the break.
                    if !self.data.is_empty() {
                        self.data.push(' ');
                    }
                    self.data.push_str(value);
                }
                // The event's type is in the data too; the rest are comments and hints.
                _ => {}
            }
        }
        None
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        let line = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]);
        Some(String::from_utf8_lossy(line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_when_it_is_whole() {
        let mut reader = Reader::default();
        let mut read = |text: &str| {
            reader.buffer.extend_from_slice(text.as_bytes());
            (reader.next(), reader.last_id.clone())
        };
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(read("retry: 1000\n"), (None, None));
        assert_eq!(read("id: 1\n\n:\n\n"), (None, told("1")));
        assert_eq!(read("id: 2\nevent: Heartbeat\nda"), (None, told("1")));
        assert_eq!(read("ta: {\"a\":\ndata: 1}\n"), (None, told("1")));
        assert_eq!(read("\n"), (told("{\"a\": 1}"), told("2")));
    }
}
