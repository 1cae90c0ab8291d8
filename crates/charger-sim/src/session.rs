//! One charger on a real socket, in real time.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::charger::{Charger, Input, Output};
use super::connection::{DialError, Socket};
use super::director::{Director, Next};
use super::notice::{Notice, Summary};
use super::options::{ChargerOptions, Fault};
use vocabulary::clock::Clock;
use vocabulary::id::StationId;

/// One in so many messages is hit by a fault.
const FAULT_ONE_IN: u64 = 5;
/// How long a slow charger thinks.
const SLOW: Duration = Duration::from_secs(3);
/// How long the other side may take to close in turn.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

type Dialing = Pin<Box<dyn Future<Output = Result<Socket, DialError>> + Send>>;

/// Runs one charger until it has done its sessions or `stop` is canceled, and says what it did.
///
/// `observe` hears of everything, in order; it must not block. Nothing is an error: a charger
/// keeps trying until it is stopped.
pub async fn run(
    options: ChargerOptions,
    stop: CancellationToken,
    observe: impl FnMut(&StationId, &Notice) + Send,
) -> Summary {
    run_driver(options, None, stop, observe).await.0
}

/// Takes one charger through the steps of `director`, and of `lines` while there are any, until the last
/// one is done or `stop` is canceled. Besides what it did, says how many steps failed.
pub async fn run_directed(
    options: ChargerOptions,
    director: Director,
    lines: Option<mpsc::UnboundedReceiver<String>>,
    stop: CancellationToken,
    observe: impl FnMut(&StationId, &Notice) + Send,
) -> (Summary, u64) {
    let stage = Stage { director, lines, read: 0 };
    run_driver(options, Some(stage), stop, observe).await
}

async fn run_driver(
    options: ChargerOptions,
    stage: Option<Stage>,
    stop: CancellationToken,
    mut observe: impl FnMut(&StationId, &Notice) + Send,
) -> (Summary, u64) {
    let mut driver = Driver {
        stage,
        chance: Chance::seeded(options.seed.unwrap_or_default() ^ 0x5eed),
        charger: Charger::new(options.clone(), Clock::System.now()),
        socket: None,
        dialing: None,
        summary: Summary::default(),
        options,
    };
    let mut event = Event::Tick;
    loop {
        let turn = match driver.turn(event, &mut observe).await {
            Turn::On => driver.direct(&mut observe).await,
            turn => turn,
        };
        match turn {
            Turn::On => {}
            Turn::Lost(reason) => {
                event = Event::Lost(reason);
                continue;
            }
            Turn::Finished => break,
        }
        event = tokio::select! {
            () = stop.cancelled() => break,
            event = driver.next_event() => event,
        };
    }
    if let Some(socket) = driver.socket.take() {
        close(socket).await;
    }
    let failures = driver.stage.as_ref().map_or(0, |stage| stage.director.failures());
    (driver.summary, failures)
}

/// Who tells a charger what to do, and where that comes from.
struct Stage {
    director: Director,
    lines: Option<mpsc::UnboundedReceiver<String>>,
    /// Lines so far.
    read: usize,
}

struct Driver {
    stage: Option<Stage>,
    options: ChargerOptions,
    charger: Charger,
    socket: Option<Socket>,
    dialing: Option<Dialing>,
    chance: Chance,
    summary: Summary,
}

/// What the charger is to be told next.
enum Event {
    Tick,
    Dialed(Result<Box<Socket>, DialError>),
    Text(String),
    Lost(String),
    /// A line from the terminal; `None`: no more of them.
    Line(Option<String>),
}

/// How a turn ended.
enum Turn {
    On,
    Lost(String),
    Finished,
}

impl Driver {
    /// Tells the charger, and does what it says.
    async fn turn(&mut self, event: Event, observe: &mut (impl FnMut(&StationId, &Notice) + Send)) -> Turn {
        let text;
        let input = match event {
            Event::Tick => Input::Tick,
            Event::Line(line) => {
                if let Some(notice) = self.stage.as_mut().and_then(|stage| stage.take(line)) {
                    self.tell(&notice, observe);
                }
                Input::Tick
            }
            Event::Dialed(Ok(socket)) => {
                self.socket = Some(*socket);
                Input::Connected
            }
            Event::Dialed(Err(error)) => Input::DialFailed(error.to_string()),
            Event::Text(received) => {
                text = received;
                Input::Text(&text)
            }
            Event::Lost(reason) => {
                self.socket = None;
                Input::Disconnected(reason)
            }
        };
        let outputs = self.charger.handle(Clock::System.now(), input);
        self.carry_out(outputs, observe).await
    }

    /// Does what the steps say, as far as that is possible now.
    async fn direct(&mut self, observe: &mut (impl FnMut(&StationId, &Notice) + Send)) -> Turn {
        loop {
            let Some(stage) = &mut self.stage else { return Turn::On };
            let now = Clock::System.now();
            match stage.director.next(now, &self.charger) {
                Next::Wait => return Turn::On,
                Next::End => return Turn::Finished,
                Next::Tell(notice) => self.tell(&notice, observe),
                Next::Act(act) => match self.charger.act(now, &act) {
                    Ok(outputs) => match self.carry_out(outputs, observe).await {
                        Turn::On => {}
                        turn => return turn,
                    },
                    Err(reason) => {
                        let notice = stage.director.refused(reason.to_string());
                        self.tell(&notice, observe);
                    }
                },
            }
        }
    }

    fn tell(&mut self, notice: &Notice, observe: &mut (impl FnMut(&StationId, &Notice) + Send)) {
        self.summary.note(notice);
        if let Some(stage) = &mut self.stage {
            stage.director.observe(notice);
        }
        observe(&self.options.id, notice);
    }

    async fn carry_out(
        &mut self,
        outputs: Vec<Output>,
        observe: &mut (impl FnMut(&StationId, &Notice) + Send),
    ) -> Turn {
        let mut turn = Turn::On;
        for output in outputs {
            match output {
                Output::Notice(notice) => self.tell(&notice, observe),
                Output::Finished => turn = Turn::Finished,
                Output::Dial => self.dial(),
                Output::Close => {
                    if let Some(socket) = self.socket.take() {
                        close(socket).await;
                    }
                    turn = Turn::Lost("closed by the charger".to_owned());
                }
                Output::Cut => {
                    self.socket = None;
                    self.dialing = None;
                }
                // Nothing leaves through a socket that is lost already.
                Output::Send(_) | Output::Ping if !matches!(turn, Turn::On) => {}
                Output::Send(text) => {
                    if let Err(reason) = self.send(text).await {
                        turn = Turn::Lost(reason);
                    }
                }
                Output::Ping => {
                    if let Err(reason) = self.transmit(Message::Ping(Vec::new().into())).await {
                        turn = Turn::Lost(reason);
                    }
                }
            }
        }
        turn
    }

    fn dial(&mut self) {
        let (endpoint, id) = (self.charger.endpoint(), self.options.id.clone());
        let credentials = self.charger.credentials();
        self.dialing = Some(Box::pin(async move { endpoint.dial(&id, &credentials?, None).await }));
    }

    async fn next_event(&mut self) -> Event {
        let now = Clock::System.now();
        let directed = self.stage.as_ref().and_then(|stage| stage.director.deadline());
        let deadline = self.charger.next_deadline().into_iter().chain(directed).min();
        let deadline = deadline.map(|at| Instant::now() + at.since(now));
        let (socket, dialing, stage) = (&mut self.socket, &mut self.dialing, &mut self.stage);
        tokio::select! {
            event = received(socket) => event,
            dialed = dialed(dialing) => Event::Dialed(dialed.map(Box::new)),
            line = next_line(stage) => Event::Line(line),
            () = tick(deadline) => Event::Tick,
        }
    }

    async fn send(&mut self, text: String) -> Result<(), String> {
        let hit = self.chance.bits().is_multiple_of(FAULT_ONE_IN);
        match self.options.fault.filter(|_| hit) {
            None => {}
            Some(Fault::Drop) => {
                self.transmit(Message::text(text)).await?;
                return Err("cut on purpose (--fault drop)".to_owned());
            }
            Some(Fault::Slow) => tokio::time::sleep(SLOW).await,
            // Under an id of its own: what is refused for it is not the message that follows.
            Some(Fault::Malformed) => {
                let broken = format!("[2,\"broken-{:08x}\",\"Heartbeat\",{{", self.chance.bits() as u32);
                self.transmit(Message::text(broken)).await?;
            }
            Some(Fault::Duplicate) => self.transmit(Message::text(text.clone())).await?,
        }
        self.transmit(Message::text(text)).await
    }

    async fn transmit(&mut self, message: Message) -> Result<(), String> {
        match &mut self.socket {
            Some(socket) => socket.send(message).await.map_err(|error| error.to_string()),
            None => Err("not connected".to_owned()),
        }
    }
}

/// The next thing the socket says; never, without one.
async fn received(socket: &mut Option<Socket>) -> Event {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Event::Text(text.as_str().to_owned()),
            Some(Ok(Message::Close(frame))) => {
                let reason = match frame {
                    Some(frame) if frame.reason.is_empty() => {
                        format!("closed by the central system ({})", u16::from(frame.code))
                    }
                    Some(frame) => {
                        format!("closed by the central system ({}: {})", u16::from(frame.code), frame.reason)
                    }
                    None => "closed by the central system".to_owned(),
                };
                // One more read lets the closing handshake finish.
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, socket.next()).await;
                return Event::Lost(reason);
            }
            // Pings are answered by the library; binary messages are none of OCPP's.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Event::Lost(error.to_string()),
            None => return Event::Lost("the connection ended".to_owned()),
        }
    }
}

impl Stage {
    /// Takes in a line; what is wrong with it, if something is.
    fn take(&mut self, line: Option<String>) -> Option<Notice> {
        let Some(line) = line else {
            self.lines = None;
            self.director.close();
            return None;
        };
        self.read += 1;
        self.director.push(self.read, &line).err()
    }
}

/// The next line of the terminal; never, without one.
async fn next_line(stage: &mut Option<Stage>) -> Option<String> {
    match stage.as_mut().and_then(|stage| stage.lines.as_mut()) {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

async fn dialed(dialing: &mut Option<Dialing>) -> Result<Socket, DialError> {
    match dialing {
        Some(future) => {
            let result = future.await;
            *dialing = None;
            result
        }
        None => std::future::pending().await,
    }
}

async fn tick(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Closes politely, but does not wait long for the other side to do so too.
pub(super) async fn close(mut socket: Socket) {
    let drain = async {
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, drain).await;
}
