//! How a request reaches the gateway: over the network, or in the same process without any.

use axum::Router;
use axum::body::Body;
use http::{Extensions, Request, Uri};
use reqwest::{RequestBuilder, Response};
use tower::ServiceExt;

use super::{ClientError, Result};

/// The way to the gateway.
#[derive(Clone)]
pub(super) enum Transport {
    /// A gateway somewhere.
    Network,
    /// The API of this process, and what its requests carry along (who has signed in). No other process can
    /// send that. The request passes the same layers as one from the network.
    InProcess(Router, Extensions),
}

impl Transport {
    /// Sends a request.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] if no answer comes.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        match self {
            Self::Network => request.send().await.map_err(ClientError::Unreachable),
            Self::InProcess(api, extensions) => {
                let request = request.build().map_err(ClientError::Unreachable)?;
                let request = Request::try_from(request).map_err(ClientError::Unreachable)?;
                let (mut parts, body) = request.into_parts();
                // As a server gets it: the path and the query alone.
                parts.uri = parts.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
                parts.extensions.extend(extensions.clone());
                let Ok(response) = api.clone().oneshot(Request::from_parts(parts, Body::new(body))).await;
                let response = response.map(|body| reqwest::Body::wrap_stream(body.into_data_stream()));
                Ok(Response::from(response))
            }
        }
    }
}
