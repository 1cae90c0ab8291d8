//! One call of the API.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::transport::Transport;
use super::{ClientError, Result, refusal, unexpected};

/// A call that is made when it is awaited, and returns a `T`.
#[must_use = "a call is made when it is awaited"]
pub struct Call<T> {
    request: RequestBuilder,
    transport: Transport,
    /// Another status whose body is a `T` too.
    answer_too: Option<StatusCode>,
    brings: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Call<T> {
    /// The request is left out: it carries the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

impl<T> Call<T> {
    pub(super) fn new(request: RequestBuilder, transport: Transport) -> Self {
        Self { request, transport, answer_too: None, brings: PhantomData }
    }

    /// The same call once more; `None` if its body can be read only once.
    pub fn again(&self) -> Option<Self> {
        let (request, transport) = (self.request.try_clone()?, self.transport.clone());
        Some(Self { request, transport, ..*self })
    }

    /// Makes it after a change of its request; the answer, whatever its status.
    pub(super) async fn send(
        self,
        change: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        self.transport.send(change(self.request)).await
    }

    /// The same call, for which this status is an answer, not an error.
    pub(super) fn or(self, status: StatusCode) -> Self {
        Self { answer_too: Some(status), ..self }
    }
}

impl<T: DeserializeOwned> Call<T> {
    /// Makes the call and returns the answer with its text, which may have members that `T` does not know.
    ///
    /// # Errors
    /// As awaiting the call itself.
    pub async fn with_text(self) -> Result<(T, String)> {
        let response = self.transport.send(self.request).await?;
        let status = response.status();
        if !status.is_success() && Some(status) != self.answer_too {
            return Err(refusal(response).await?);
        }
        let url = response.url().clone();
        let text = response.text().await.map_err(ClientError::Unreachable)?;
        // A 204 has no body: that is how a deletion is answered.
        let json = if text.is_empty() { "null" } else { &text };
        match serde_json::from_str(json) {
            Ok(brought) => Ok((brought, text)),
            Err(_) => Err(unexpected(url, status.as_u16(), text.as_bytes())),
        }
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Call<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.with_text().await.map(|(brought, _)| brought) })
    }
}
