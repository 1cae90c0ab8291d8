//! Watches a silent peer: pings it, then takes it for dead, and closes a connection that idles for too long.

use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::Connection;
use crate::station::closing::Closing;
use crate::station::session::close_code;

/// Silent ping intervals after which a peer is taken for dead.
const MISSED_PINGS: u32 = 3;

impl Connection {
    /// When something is to be done if nothing is received until then.
    pub(super) fn next_wake(&self, heard: Instant) -> Instant {
        let interval = self.ping_interval();
        let ping = (self.pings()).then(|| {
            let silent = heard.elapsed().as_secs_f64() / interval.as_secs_f64();
            heard + interval * (silent as u32 + 1)
        });
        let idle = self.stations.limits.get().idle_timeout.map(|limit| heard + limit.0);
        let wakes = [ping, idle, self.calls.next_wake()];
        // A day from now stands for never.
        wakes.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400))
    }

    fn pings(&self) -> bool {
        self.admitted.rules.ping && !self.ping_interval().is_zero()
    }

    fn ping_interval(&self) -> Duration {
        self.stations.settings.ocpp.ping_interval.0
    }

    /// Nothing was received for a while: pings the peer, or takes it for dead.
    pub(super) async fn on_silence(&mut self, heard: Instant) -> Option<Closing> {
        let silent = heard.elapsed();
        if self.stations.limits.get().idle_timeout.is_some_and(|limit| silent >= limit.0) {
            return Some(Closing::by_us(close_code::NORMAL, "idle_timeout"));
        }
        if !self.pings() || silent < self.ping_interval() {
            return None;
        }
        if silent >= self.ping_interval() * MISSED_PINGS {
            return Some(Closing::of(None, "ping_timeout"));
        }
        self.send(Some(Message::Ping(Default::default()))).await
    }
}
