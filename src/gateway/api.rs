//! The API of a gateway: its listeners, what its handlers work with, and the tasks that serve it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::StartError;
use crate::http::{self, Api, ApiState, LimitsInForce};
use crate::ui::{self, OneTimeLinks};
use tls::Tls;

/// Where the API and metrics will answer.
pub(super) struct Listeners {
    api: (TcpListener, SocketAddr),
    metrics: Option<(TcpListener, SocketAddr)>,
}

/// An API that answers.
pub(super) struct RunningApi {
    pub(super) addr: SocketAddr,
    /// Where metrics have a place of their own.
    pub(super) metrics_addr: Option<SocketAddr>,
    pub(super) limits: Arc<LimitsInForce>,
    tasks: Vec<JoinHandle<()>>,
}

impl Listeners {
    /// Binds them.
    pub(super) async fn bind(settings: &Api) -> Result<Self, StartError> {
        let api = bind("api.listen", settings.listen).await?;
        let metrics = match settings.metrics_listen {
            Some(address) => Some(bind("api.metrics_listen", address).await?),
            None => None,
        };
        Ok(Self { api, metrics })
    }

    /// Answers there until the end that `state` has.
    ///
    /// # Errors
    /// [`StartError::Dashboard`].
    pub(super) fn serve(
        self,
        state: Arc<ApiState>,
        tls: Option<Arc<Tls>>,
        links: Arc<OneTimeLinks>,
    ) -> Result<RunningApi, StartError> {
        let Self { api: (listener, addr), metrics } = self;
        let (limits, stop) = (state.limits.clone(), state.stop.clone());
        let proxies = Arc::new(state.settings.api.proxies());
        let router = router(&state, links)?;
        let served = http::serve::serve(listener, tls, proxies, limits.clone(), router, stop.clone());
        let mut tasks = vec![tokio::spawn(served)];
        let mut metrics_addr = None;
        if let Some((listener, addr)) = metrics {
            metrics_addr = Some(addr);
            let router = http::metrics_router(state);
            let served = http::serve::serve(listener, None, Arc::default(), limits.clone(), router, stop);
            tasks.push(tokio::spawn(served));
        }
        Ok(RunningApi { addr, metrics_addr, limits, tasks })
    }
}

impl RunningApi {
    /// Waits for the last answers. A client that keeps its connection open does not keep the gateway.
    pub(super) async fn end(self, deadline: Instant) {
        for task in self.tasks {
            let abort = task.abort_handle();
            if timeout_at(deadline, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

/// The API, and the dashboard over it unless that is switched off.
fn router(state: &Arc<ApiState>, links: Arc<OneTimeLinks>) -> Result<Router, StartError> {
    let api = http::router(state.clone());
    match state.settings.api.dashboard {
        true => {
            ui::router(state.clone(), api, links).map_err(|error| StartError::Dashboard(error.to_string()))
        }
        false => Ok(api),
    }
}

/// Binds a listener; with the real port.
async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |reason: io::Error| StartError::Listen { key, address, reason };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let real = listener.local_addr().map_err(refused)?;
    Ok((listener, real))
}
