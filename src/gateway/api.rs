//! The API of a gateway: its listeners, what its handlers work with, and the tasks that serve it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::StartError;
use crate::config::Config;
use crate::http::{self, Api, ApiState, LimitsInForce, Readiness};
use crate::ui::{self, OneTimeLinks};
use tls::Tls;

/// Where the API and metrics will answer.
pub(super) struct Listeners {
    api: (Arc<TcpListener>, SocketAddr),
    metrics: Option<(Arc<TcpListener>, SocketAddr)>,
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

    /// Where the API will answer, with the real port.
    pub(super) fn api_addr(&self) -> SocketAddr {
        self.api.1
    }

    /// Answers there that the gateway cannot serve, for the reasons that `readiness` has, until `stop`.
    pub(super) fn serve_waiting(
        &self,
        config: &Config,
        tls: Option<Arc<Tls>>,
        readiness: &Readiness,
        stop: &CancellationToken,
    ) -> TaskTracker {
        let limits = Arc::new(LimitsInForce::new(config.api_limits));
        let tasks = TaskTracker::new();
        let proxies = Arc::new(config.api.proxies());
        let listeners = [(Some(&self.api), tls), (self.metrics.as_ref(), None)];
        for (listener, tls) in
            listeners.into_iter().filter_map(|(listener, tls)| Some((listener?.0.clone(), tls)))
        {
            let router = http::waiting_router(readiness.clone());
            let (proxies, limits) = (proxies.clone(), limits.clone());
            tasks.spawn(http::serve::serve(listener, tls, proxies, limits, router, stop.clone()));
        }
        tasks.close();
        tasks
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
async fn bind(key: &'static str, address: SocketAddr) -> Result<(Arc<TcpListener>, SocketAddr), StartError> {
    let refused = |reason: io::Error| StartError::Listen { key, address, reason };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let real = listener.local_addr().map_err(refused)?;
    Ok((Arc::new(listener), real))
}
