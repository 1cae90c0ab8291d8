//! Lists as CSV.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use tokio::time::timeout;

use super::{Call, ClientError, Result, refusal, unexpected};

/// A file has no time limit, since a list may be long.
const WITHOUT_END: Duration = Duration::from_secs(365 * 86_400);

/// How long the gateway may take for its next page. It gives up earlier itself.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// A CSV that is on its way.
#[derive(Debug)]
pub struct CsvFile {
    response: Response,
}

impl<T> Call<T> {
    /// Asks for the list, or the report, as a CSV: a page if `limit` is among the parameters, else all of it.
    ///
    /// # Errors
    /// As awaiting the call itself.
    pub async fn csv(self) -> Result<CsvFile> {
        let sent = self.send(|request| request.header(ACCEPT, "text/csv").timeout(WITHOUT_END));
        let response = match timeout(SILENCE_MAX, sent).await {
            Ok(answered) => answered?,
            Err(_) => return Err(ClientError::Silent),
        };
        if !response.status().is_success() {
            return Err(refusal(response).await?);
        }
        let kind = response.headers().get(CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/csv")) {
            let (url, status) = (response.url().clone(), response.status().as_u16());
            return Err(unexpected(url, status, b"(no CSV: this gateway may be older than this program)"));
        }
        Ok(CsvFile { response })
    }
}

impl CsvFile {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] or [`ClientError::Silent`] if it broke off: what came so far is not all.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match timeout(SILENCE_MAX, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(ClientError::Unreachable),
            Err(_) => Err(ClientError::Silent),
        }
    }

    /// Where the next page begins, if this is one page and there is another.
    pub fn next_cursor(&self) -> Option<String> {
        let link = self.response.headers().get(LINK)?.to_str().ok()?;
        let target = link.strip_prefix('<')?.split_once('>')?.0;
        let next = self.response.url().join(target).ok()?;
        next.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
    }
}
