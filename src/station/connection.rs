//! The actor around one WebSocket: reads frames, lets the session decide, does what it says.
//!
//! One message at a time: the next is read only after the answer to the last one was sent, which keeps
//! answers in order and pushes back on a charger that sends faster than the disk writes. Between two messages
//! commands are sent, one at a time; the store is their queue, and here is only a flag that it may hold some.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tracing::{debug, info, warn};

use super::Stations;
use super::certificate_signing;
use super::closing::{Closing, close, record, send_close_frame};
use super::offline_watch::tell_of_takeovers;
use super::rate_limiter::RateLimiter;
use super::registry::{Leave, Registration, Rules};
use super::session::{Action, Append, Input, Now, Session, close_code};
use super::websocket::{Received, Socket};
use store::{Advice, Connected, Signing, StoreError, Turn, Unwelcome, Welcome};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::log_limit::limited;
use vocabulary::ocpp::authorization::IdTagInfo;
use vocabulary::ocpp::frame::Unserveable;
use vocabulary::ocpp::v16::inbound::{Inbound, Request};

/// A message counts once more for every so many bytes of it, as what it costs grows with them.
const COUNTED_BYTES: usize = 4 << 10;

/// A message of so many bytes takes longer to read than a socket should wait for its turn.
const LONG_BYTES: usize = 64 << 10;

/// How long one message may take to leave; a peer that does not read is not waited for longer.
const SEND_PATIENCE: Duration = Duration::from_secs(30);

/// The same once the connection is to end: somebody waits for that.
const LAST_SEND_PATIENCE: Duration = Duration::from_secs(1);

/// How long a new connection waits until the one it replaces has put everything on disk.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(5);

/// How long after a failure of the store the next command is asked for.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);

/// Silent ping intervals after which a peer is taken for dead.
const MISSED_PINGS: u32 = 3;

/// A connection that the handshake has let in.
pub(super) struct Admitted {
    pub(super) connected: Connected,
    pub(super) rules: Rules,
    pub(super) message_size_bytes: usize,
}

/// Serves one connection to its end, whatever that is, and records both.
pub(super) async fn serve(stations: Arc<Stations>, mut socket: Socket, mut admitted: Admitted) {
    let station = admitted.connected.station_id.clone();
    let began = stations.store.monotonic().now();
    let mut registration = stations.registry.register(&station, admitted.connected.generation, began);
    if stations.stop.is_cancelled() {
        // All have been asked to leave before this one was known.
        stations.registry.ask_to_leave(&station, Leave::Shutdown);
    }
    if registration.flapping_is_news {
        tell_of_takeovers(&station, 1);
    }
    if registration.flapping {
        admitted.connected.flags.push("flapping".to_owned());
    }
    if let Some(predecessor) = registration.predecessor.take() {
        wait_until_gone(predecessor).await;
    }
    let Welcome { commands_waiting } = match stations.store.connected(admitted.connected.clone()).await {
        Ok(Ok(welcome)) => welcome,
        Ok(Err(unwelcome)) => {
            let reason = match unwelcome {
                Unwelcome::Unknown => "removed",
                Unwelcome::Blocked => "blocked",
                Unwelcome::SecurityProfileTooLow => "security_profile_too_low",
                Unwelcome::WrongCertificate => "wrong_certificate",
            };
            send_close_frame(&mut socket, close_code::POLICY, reason).await;
            stations.registry.unregister(&station, registration.generation);
            return;
        }
        Err(error) => {
            limited!(warn: station.id = %station, "the connection of {station} could not be recorded: {error}");
            send_close_frame(&mut socket, close_code::INTERNAL, "storage unavailable").await;
            stations.registry.unregister(&station, registration.generation);
            return;
        }
    };
    info!(station.id = %station, "{station} connected from {}", admitted.connected.remote_addr);
    let mut connection = Connection {
        session: Session::new(stations.settings.ocpp.validation),
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
    // Boxed, like all that is rare: thousands of idle connections hold room for what is not.
    let mut end = Box::pin(connection.serve_what_was_received(end)).await;
    end.replaced |= connection.leaving == Some(Leave::Replaced);
    info!(station.id = %station, "{station} disconnected: {}", end.reason.escape_debug());
    let Connection { socket, registration, .. } = connection;
    // A successor waits for the record alone: a peer that is gone never says goodbye.
    tokio::join!(close(socket, &end), record(&stations, &station, began, &end, &registration));
}

async fn wait_until_gone(mut predecessor: watch::Receiver<bool>) {
    // An error means that its actor is gone altogether, which is as good.
    let _ = timeout(TAKEOVER_PATIENCE, predecessor.wait_for(|gone| *gone)).await;
}

/// When the station may be called, and whether there is something to call it for.
struct Calls {
    /// Commands may wait in the store.
    waiting: bool,
    /// All of them wait for the station's next boot.
    until_boot: bool,
    /// Nothing is sent before that.
    not_before: Option<Instant>,
    /// When the answer to the open CALL is given up.
    deadline: Option<Instant>,
}

impl Calls {
    fn new(waiting: bool, not_before: Instant) -> Self {
        Self { waiting, until_boot: false, not_before: Some(not_before), deadline: None }
    }

    /// When there is something to do: an answer to give up, or a first command to send.
    fn next_wake(&self) -> Option<Instant> {
        self.deadline.or(self.not_before.filter(|_| self.waiting))
    }
}

pub(super) struct Connection {
    pub(super) stations: Arc<Stations>,
    station: StationId,
    pub(super) socket: Socket,
    session: Session,
    pub(super) limiter: RateLimiter,
    admitted: Admitted,
    registration: Registration,
    /// It has been asked to leave.
    pub(super) leaving: Option<Leave>,
    /// Nothing is answered any more.
    pub(super) silent: bool,
    calls: Calls,
}

impl Connection {
    fn follow(&mut self, rules: Rules) {
        self.admitted.rules = rules;
        self.session.read_by(rules.validation.unwrap_or(self.stations.settings.ocpp.validation), rules.zone);
    }

    fn follow_changes(&mut self) {
        if self.registration.rules.has_changed().unwrap_or(false) {
            let changed = *self.registration.rules.borrow_and_update();
            changed.into_iter().for_each(|rules| self.follow(rules));
        }
    }

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

    /// Over its rate, a socket is read slower: nothing is dropped. Nobody waits for that when it is to end.
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

    /// Has a large message count more than once.
    pub(super) fn count_bytes(&mut self, received: &Received) {
        if let Some(Ok(message)) = received {
            // Its fragments, too: what is read for them, and not what is in them.
            let bytes = self.socket.get_ref().payload_bytes().max(message.len());
            self.limiter.owe(bytes / COUNTED_BYTES);
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { wall: self.stations.clock.now(), monotonic: self.stations.store.monotonic().now() }
    }

    /// When something is to be done if nothing is heard until then.
    fn next_wake(&self, heard: Instant) -> Instant {
        let interval = self.ping_interval();
        let ping = (self.pings()).then(|| {
            let silent = heard.elapsed().as_secs_f64() / interval.as_secs_f64();
            heard + interval * (silent as u32 + 1)
        });
        let idle = self.stations.limits.get().idle_timeout.map(|limit| heard + limit.0);
        let wakes = [ping, idle, self.calls.next_wake()];
        // A day: far enough to mean never.
        wakes.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400))
    }

    /// Whether a command should be asked for now.
    fn may_call(&self) -> bool {
        let calls = &self.calls;
        calls.waiting
            && !calls.until_boot
            && self.session.may_call()
            && calls.not_before.is_none_or(|moment| moment <= Instant::now())
    }

    /// Sends the next command, if there is one that may be sent.
    async fn call_next(&mut self) -> Option<Closing> {
        self.calls.not_before = None;
        match self.stations.store.claim_command(self.station.clone(), self.registration.generation).await {
            Ok(Turn::Send(command)) => {
                debug!(station.id = %self.station, "{} is sent {}", self.station, command.action);
                let timeout = command.timeout;
                let end = self.act(self.now(), Input::Command(command)).await;
                // Counted from the sending, however long that took.
                self.calls.deadline = (!self.session.may_call()).then(|| Instant::now() + timeout);
                return end;
            }
            Ok(Turn::NotYet) => self.calls.until_boot = true,
            Ok(Turn::Nothing) => self.calls.waiting = false,
            Err(error) => {
                limited!(warn: station.id = %self.station, "no command could be claimed for {}: {error}", self.station);
                self.calls.not_before = Some(Instant::now() + CLAIM_AGAIN);
            }
        }
        None
    }

    fn pings(&self) -> bool {
        self.admitted.rules.ping && !self.ping_interval().is_zero()
    }

    fn ping_interval(&self) -> Duration {
        self.stations.settings.ocpp.ping_interval.0
    }

    /// Nothing was heard for a while: ask with a ping, or take the peer for dead.
    async fn on_silence(&mut self, heard: Instant) -> Option<Closing> {
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

    /// Serves what the socket gave.
    pub(super) async fn receive(&mut self, received: Received, now: Now) -> Option<Closing> {
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

    /// Sends a message, or what the library has to say. What fails or takes too long makes the connection
    /// mute: the answers of what was received are dropped from then on, and not the messages.
    async fn send(&mut self, message: Option<Message>) -> Option<Closing> {
        let Self { socket, registration, leaving, silent, .. } = self;
        if *silent || socket.get_ref().is_mute() {
            return None;
        }
        let mut until = Instant::now() + if leaving.is_some() { LAST_SEND_PATIENCE } else { SEND_PATIENCE };
        let sent = {
            let sending = async {
                match message {
                    Some(message) => socket.send(message).await,
                    None => socket.flush().await,
                }
            };
            let mut sending = pin!(sending);
            loop {
                tokio::select! {
                    sent = &mut sending => break Some(sent),
                    why = &mut registration.leave, if leaving.is_none() => {
                        *leaving = Some(why.unwrap_or(Leave::Shutdown));
                        until = until.min(Instant::now() + LAST_SEND_PATIENCE);
                    }
                    () = sleep_until(until) => break None,
                }
            }
        };
        match sent {
            Some(Ok(()) | Err(WsError::ConnectionClosed)) => {
                socket.get_ref().is_mute().then(|| Closing::of(None, "connection_lost"))
            }
            Some(Err(error)) => Some(Closing::broken(&error)),
            None => {
                socket.get_mut().fall_mute();
                Some(Closing::of(None, "send_timeout"))
            }
        }
    }

    /// Does what the session says until it says nothing more.
    async fn act(&mut self, now: Now, input: Input<'_>) -> Option<Closing> {
        let mut todo: VecDeque<Action> = match input.bytes() {
            // Milliseconds, in which this thread would look after no other socket.
            LONG_BYTES.. => aside(|| self.session.handle(now, input)),
            _ => self.session.handle(now, input),
        }
        .into();
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Append(append) => match self.append(append, now.wall).await {
                    Ok(answer) => {
                        let next = self.session.handle(self.now(), Input::Stored(answer));
                        todo.extend(next);
                    }
                    // No answer: the charger keeps its message and sends it again.
                    Err(error) => {
                        limited!(warn: station.id = %self.station, "a message of {} could not be stored: {error}", self.station);
                        return Some(Closing::without_storage());
                    }
                },
                Action::Send(text) => {
                    if let Some(end) = self.send(Some(Message::text(text))).await {
                        return Some(end);
                    }
                }
                Action::Booted => {
                    self.calls.not_before = None;
                    self.calls.until_boot = false;
                }
                Action::Close(code, reason) => return Some(Closing::at_fault(code, reason)),
            }
        }
        None
    }

    async fn append(
        &mut self,
        append: Append,
        received_at: Timestamp,
    ) -> Result<Option<Box<serde_json::value::RawValue>>, StoreError> {
        let (store, station) = (&self.stations.store, self.station.clone());
        match append {
            Append::Call(call) => {
                debug!(station.id = %station, "{station} sent {}", call.action);
                let advice = Advice {
                    verdict: self.outside_verdict(&call).await?,
                    signing: self.signing(&call).await?,
                };
                let answered = self.stations.calls.serve(station, *call, received_at, advice).await?;
                if answered.command_made {
                    self.stations.registry.tell_of_commands(&self.station);
                }
                Ok(Some(answered.payload))
            }
            Append::Rejected(rejection) => {
                debug!(station.id = %station, "{station} sent a message that is {}", rejection.reason.as_str());
                store.reject_message(station, *rejection, received_at).await.map(|()| None)
            }
            Append::Ended(ended) => {
                self.calls.deadline = None;
                store.end_command(*ended).await.map(|()| None)
            }
            Append::Unexpected(unexpected) => {
                debug!(station.id = %station, "{station} sent an answer that nobody waits for");
                store.unexpected_answer(station, *unexpected, received_at).await.map(|()| None)
            }
        }
    }
}

impl Connection {
    /// What the authorisation endpoint says of the message's tag, if there is one to ask and to ask about.
    async fn outside_verdict(&self, call: &Inbound) -> Result<Option<IdTagInfo>, StoreError> {
        let Some(call_out) = &self.stations.call_out else { return Ok(None) };
        // Boxed: the future of a connection, which lives for days, keeps no room for an HTTP request.
        Box::pin(async {
            let Some(question) = self.stations.store.question(self.station.clone(), call).await? else {
                return Ok(None);
            };
            Ok(call_out.ask(&self.station, call.action, &question).await)
        })
        .await
    }
}

impl Connection {
    /// What the certificate authority says to the message, if it is a request for a certificate.
    async fn signing(&self, call: &Inbound) -> Result<Option<Signing>, StoreError> {
        let Request::SignCertificate { csr } = &call.request else { return Ok(None) };
        let profile = self.admitted.connected.security_profile;
        Box::pin(certificate_signing::answer(&self.stations, &self.station, profile, csr.as_deref())).await
    }
}

/// Does something long while another thread takes over what this one has to do.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        // There is no other.
        _ => work(),
    }
}

fn words(given: &str, otherwise: &str) -> String {
    if given.is_empty() { otherwise.to_owned() } else { given.to_owned() }
}
