//! What a simulated charger is, and what happens to it.

use std::str::FromStr;
use std::time::Duration;

use super::connection::Endpoint;
use super::trust::Trust;
use vocabulary::id::StationId;

/// How many charging sessions a charger begins of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// This many, one after the other; then it has done its work and leaves.
    Count(u64),
    /// One after the other until it is stopped.
    Endless,
    /// None: it waits for `RemoteStartTransaction` until it is stopped.
    OnlyRemote,
    /// None, and no driver comes for a remote start either: cars and tags are moved by
    /// [`Charger::act`](super::Charger::act).
    ByHand,
}

/// How a charger misbehaves on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Cuts its TCP connection in the middle of things, again and again.
    Drop,
    /// Thinks for seconds before it sends anything.
    Slow,
    /// Sends broken JSON in front of some messages.
    Malformed,
    /// Sends some messages twice.
    Duplicate,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "drop" => Ok(Self::Drop),
            "slow" => Ok(Self::Slow),
            "malformed" => Ok(Self::Malformed),
            "duplicate" => Ok(Self::Duplicate),
            _ => Err("one of drop, slow, malformed, duplicate".to_owned()),
        }
    }
}

/// One charger: where it connects, who it is, how its days go. Every duration is real time unless it says
/// otherwise. Not `Debug`: it holds a password.
#[derive(Clone)]
pub struct ChargerOptions {
    /// The central system.
    pub endpoint: Endpoint,
    /// Where it is reached with security profiles 2 and 3, if not at the same port.
    pub encrypted_endpoint: Option<Endpoint>,
    /// The identity, the last segment of the URL and the user name of Basic authentication.
    pub id: StationId,
    /// The password's bytes, for Basic authentication.
    pub password: Option<Vec<u8>>,
    /// Whom it trusts over `wss://`, and its certificate.
    pub trust: Trust,
    /// Connectors, numbered from 1.
    pub connectors: u32,
    /// The cables are part of the charger: `UnlockConnector` has nothing to unlock.
    pub fixed_cables: bool,
    /// The tag the driver holds against the reader.
    pub id_tag: String,
    /// What the charger does unasked.
    pub sessions: Sessions,
    /// How long a car charges, by the charger's own clock.
    pub session_duration: Duration,
    /// `MeterValueSampleInterval` at the start, by the charger's own clock. OCPP's key knows whole
    /// seconds; shorter intervals stand until somebody changes that key.
    pub sample_interval: Duration,
    /// How long a driver takes: from plugging in to holding out the tag, and from the end of a
    /// session to unplugging.
    pub handling: Duration,
    /// How long the bay stays empty between two sessions.
    pub pause: Duration,
    /// How much faster than the real one the charger's own clock runs while cars charge. Above 1 the clock
    /// starts so far in the past that it arrives at the present with the last session, and
    /// never passes it: power × time = energy holds by the timestamps that are sent.
    pub time_scale: f64,
    /// Battery of the cars, Wh.
    pub battery_wh: f64,
    /// The most a connector gives, W; spread over three phases.
    pub max_power_w: f64,
    /// How long an answer may take before its CALL counts as lost.
    pub call_timeout: Duration,
    /// The first wait before connecting anew; doubles with every failure, with jitter.
    pub reconnect_first: Duration,
    /// The longest wait before connecting anew.
    pub reconnect_max: Duration,
    /// How long the charger is gone after a `Reset`.
    pub reboot: Duration,
    /// How long each step of a firmware update or an upload takes.
    pub transfer: Duration,
    /// Vendor in `BootNotification`.
    pub vendor: String,
    /// Model in `BootNotification`.
    pub model: String,
    /// Seed of its chance: meters, jitter, message ids. `None`: another one each time.
    pub seed: Option<u64>,
    /// How it misbehaves, if it does.
    pub fault: Option<Fault>,
}

impl ChargerOptions {
    /// An ordinary charger: two connectors, 11 kW, a car after the other for a minute each.
    pub fn new(endpoint: Endpoint, id: StationId) -> Self {
        Self {
            endpoint,
            encrypted_endpoint: None,
            id,
            password: None,
            trust: Trust::default(),
            connectors: 2,
            fixed_cables: false,
            id_tag: "TAG_1".to_owned(),
            sessions: Sessions::Endless,
            session_duration: Duration::from_secs(60),
            sample_interval: Duration::from_secs(10),
            handling: Duration::from_secs(1),
            pause: Duration::from_secs(5),
            time_scale: 1.0,
            battery_wh: 60_000.0,
            max_power_w: 11_040.0,
            call_timeout: Duration::from_secs(30),
            reconnect_first: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(60),
            reboot: Duration::from_secs(3),
            transfer: Duration::from_secs(2),
            vendor: "chargehook".to_owned(),
            model: "charger-sim".to_owned(),
            seed: None,
            fault: None,
        }
    }

    /// The security profile that it comes with.
    pub(super) fn security_profile(&self) -> u8 {
        match (self.endpoint.is_encrypted(), &self.trust.own, &self.password) {
            (true, Some(_), _) => 3,
            (true, None, Some(_)) => 2,
            (false, _, Some(_)) => 1,
            (_, _, None) => 0,
        }
    }

    /// A duration by the charger's own clock in real time.
    pub(super) fn real(&self, own: Duration) -> Duration {
        own.div_f64(self.time_scale.max(1.0))
    }
}
