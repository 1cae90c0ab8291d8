//! The actor around one WebSocket: reads frames, lets the session decide, does what it says.
//!
//! One message at a time: the next is read only after the answer to the last one was sent, which keeps
//! answers in order and pushes back on a charger that sends faster than the disk writes. [`commands`] are
//! sent between two messages. [`storing`] does what the session says, [`sending`] is what leaves, [`silence`]
//! watches a peer that says nothing, and [`drain`] serves at the end what had been received before it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tracing::{info, warn};

use super::Stations;
use super::closing::{Closing, close, record};
use super::offline_watch::tell_of_takeovers;
use super::rate_limiter::RateLimiter;
use super::registry::{Leave, Registration, Rules};
use super::session::{Input, Now, Session, close_code};
use super::websocket::{Received, Socket};
use commands::Calls;
use store::{Connected, Unwelcome, Welcome};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::log_limit::limited;
use vocabulary::ocpp::frame::Unserveable;

mod commands;
mod drain;
mod sending;
mod silence;
mod storing;

/// A message counts once more for every so many bytes, because its cost grows with its size.
const COUNTED_BYTES: usize = 4 << 10;

/// How long a new connection waits until the one it replaces has put everything on disk.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(5);

/// A connection that the handshake has let in.
pub(super) struct Admitted {
    pub(super) connected: Connected,
    pub(super) rules: Rules,
    pub(super) message_size_bytes: usize,
}

/// Serves one connection to its end, and records its beginning and its end.
pub(super) async fn serve(stations: Arc<Stations>, socket: Socket, mut admitted: Admitted) {
    let station = admitted.connected.station_id.clone();
    let began = stations.monotonic.now();
    let registration = register(&stations, &mut admitted.connected, began).await;
    let Welcome { commands_waiting } = match record_start(&stations, &admitted.connected).await {
        Ok(welcome) => welcome,
        Err(closing) => {
            close(socket, &closing).await;
            stations.registry.unregister(&station, registration.generation);
            return;
        }
    };
    info!(station.id = %station, "{station} connected from {}", admitted.connected.remote_addr);
    let mut connection = Connection {
        session: Session::new(admitted.connected.protocol, stations.settings.ocpp.validation),
        limiter: stations.message_limiter(),
        stations: stations.clone(),
        station: station.clone(),
        socket,
        admitted,
        registration,
        leaving: None,
        silent: false,
        calls: Calls::new(commands_waiting, Instant::now() + stations.settings.ocpp.first_call_delay.0),
    };
    connection.follow(connection.admitted.rules);
    let end = connection.run().await;
    // Boxed, like everything rare: thousands of idle connections would keep memory for it.
    let mut end = Box::pin(connection.serve_what_was_received(end)).await;
    end.replaced |= connection.leaving == Some(Leave::Replaced);
    info!(station.id = %station, "{station} disconnected: {}", end.reason.escape_debug());
    let Connection { socket, registration, .. } = connection;
    // A newer connection waits for the record alone: a peer that is gone never answers a close frame.
    tokio::join!(close(socket, &end), record(&stations, &station, began, &end, &registration));
}

/// Makes this the station's newest connection, and waits until the one before has ended.
async fn register(stations: &Stations, connected: &mut Connected, began: Timestamp) -> Registration {
    let station = &connected.station_id;
    let mut registration = stations.registry.register(station, connected.generation, began);
    if stations.doors.is_cancelled() {
        // All connections were asked to leave before this one was registered.
        stations.registry.ask_to_leave(station, Leave::Shutdown);
    }
    if registration.flapping_is_news {
        tell_of_takeovers(station, 1);
    }
    if registration.flapping {
        connected.flags.push("flapping".to_owned());
    }
    if let Some(predecessor) = registration.predecessor.take() {
        wait_until_gone(predecessor).await;
    }
    registration
}

/// Puts the connection on record. `Err`: it may not stay, or cannot be recorded, and is closed so.
async fn record_start(stations: &Stations, connected: &Connected) -> Result<Welcome, Closing> {
    let station = &connected.station_id;
    match stations.store.connected(connected.clone()).await {
        Ok(Ok(welcome)) => Ok(welcome),
        Ok(Err(unwelcome)) => {
            let reason = match unwelcome {
                Unwelcome::Unknown => "removed",
                Unwelcome::Blocked => "blocked",
                Unwelcome::SecurityProfileTooLow => "security_profile_too_low",
                Unwelcome::WrongCertificate => "wrong_certificate",
            };
            Err(Closing::by_us(close_code::POLICY, reason))
        }
        Err(error) => {
            limited!(warn: station.id = %station, "the connection of {station} could not be recorded: {error}");
            Err(Closing::by_us(close_code::INTERNAL, "storage unavailable"))
        }
    }
}

async fn wait_until_gone(mut predecessor: watch::Receiver<bool>) {
    // An error means that its actor is gone, which is as good.
    let _ = timeout(TAKEOVER_PATIENCE, predecessor.wait_for(|gone| *gone)).await;
}

/// A connection that is served.
pub(super) struct Connection {
    stations: Arc<Stations>,
    station: StationId,
    socket: Socket,
    session: Session,
    limiter: RateLimiter,
    admitted: Admitted,
    registration: Registration,
    /// It has been asked to leave.
    leaving: Option<Leave>,
    /// No more answers are sent.
    silent: bool,
    calls: Calls,
}

impl Connection {
    /// Takes the station's rules.
    fn follow(&mut self, rules: Rules) {
        self.admitted.rules = rules;
        self.session.read_by(rules.validation.unwrap_or(self.stations.settings.ocpp.validation), rules.zone);
    }

    /// Takes the station's rules if they have changed.
    fn follow_changes(&mut self) {
        if self.registration.rules.has_changed().unwrap_or(false) {
            let changed = *self.registration.rules.borrow_and_update();
            changed.into_iter().for_each(|rules| self.follow(rules));
        }
    }

    /// Serves the connection until something ends it.
    async fn run(&mut self) -> Closing {
        let mut heard = Instant::now();
        loop {
            if let Some(why) = self.leaving {
                return Closing::asked(why);
            }
            if self.socket.get_ref().is_mute() {
                return Closing::of(None, "connection_lost");
            }
            if self.may_call() {
                // Boxed, like all that is rare: thousands of idle connections hold room for what is not.
                if let Some(end) = Box::pin(self.call_next()).await {
                    return end;
                }
            }
            let wake = self.next_wake(heard);
            let received = tokio::select! {
                received = self.socket.next() => received,
                why = &mut self.registration.leave => {
                    self.leaving = Some(why.unwrap_or(Leave::Shutdown));
                    continue;
                }
                () = self.registration.commands.notified() => {
                    self.calls.waiting = true;
                    self.calls.until_boot = false;
                    continue;
                }
                () = sleep_until(wake) => {
                    let end = match self.calls.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        true => Box::pin(self.act(self.now(), Input::TimedOut)).await,
                        false => self.on_silence(heard).await,
                    };
                    if let Some(end) = end {
                        return end;
                    }
                    continue;
                }
            };
            heard = Instant::now();
            let now = self.now();
            if matches!(received, Some(Ok(_))) {
                self.registration.last_seen.mark(now.monotonic);
            }
            self.follow_changes();
            self.wait_for_its_turn(&received).await;
            if let Some(end) = self.receive(received, now).await {
                return end;
            }
        }
    }

    /// A socket over its rate is read more slowly; nothing is dropped. A connection that is to end does not
    /// wait.
    async fn wait_for_its_turn(&mut self, received: &Received) {
        while let Err(wait) = self.stations.take_message(&mut self.limiter) {
            if self.leaving.is_some() {
                break;
            }
            tokio::select! {
                () = sleep(wait) => {}
                why = &mut self.registration.leave => self.leaving = Some(why.unwrap_or(Leave::Shutdown)),
            }
        }
        self.count_bytes(received);
    }

    /// Lets a large message count more than once.
    fn count_bytes(&mut self, received: &Received) {
        if let Some(Ok(message)) = received {
            // Fragments count by what was read for them, not by what is in them.
            let bytes = self.socket.get_ref().payload_bytes().max(message.len());
            self.limiter.owe(bytes / COUNTED_BYTES);
        }
    }

    fn now(&self) -> Now {
        Now { wall: self.stations.clock.now(), monotonic: self.stations.monotonic.now() }
    }

    /// Serves what the socket has received.
    async fn receive(&mut self, received: Received, now: Now) -> Option<Closing> {
        if matches!(received, Some(Ok(_))) {
            self.socket.get_mut().mark();
        }
        match received {
            Some(Ok(Message::Text(text))) => self.act(now, Input::Text(&text)).await,
            Some(Ok(Message::Binary(bytes))) => self.act(now, Input::Binary(&bytes)).await,
            // The library answers pings with the next read or write.
            Some(Ok(Message::Ping(_))) => self.send(None).await,
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => None,
            Some(Ok(Message::Close(frame))) => {
                let _ = self.send(None).await;
                Some(match frame {
                    Some(frame) => {
                        Closing::of(Some(frame.code.into()), words(&frame.reason, "closed_by_station"))
                    }
                    None => Closing::of(None, "closed_by_station"),
                })
            }
            Some(Err(WsError::Capacity(CapacityError::MessageTooLong { size, .. }))) => {
                self.act(now, Input::Unreadable { reason: Unserveable::TooLarge, size }).await
            }
            Some(Err(WsError::Utf8(_))) => {
                let size = self.socket.get_ref().payload_bytes();
                self.act(now, Input::Unreadable { reason: Unserveable::NotUtf8, size }).await
            }
            Some(Err(error)) => Some(Closing::broken(&error)),
            None => Some(Closing::of(None, "connection_lost")),
        }
    }
}

fn words(given: &str, otherwise: &str) -> String {
    if given.is_empty() { otherwise.to_owned() } else { given.to_owned() }
}
