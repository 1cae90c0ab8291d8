//! `why`: one answer to why a station, a session, a command or a tag is as it is, made of facts on record.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::words::words;

/// Declares the verdicts with what each means: once, for the code, the OpenAPI document and `docs/why.md`.
macro_rules! verdicts {
    ($($Word:ident = $spelled:tt: $meaning:tt,)+) => {
        words! {
            /// What is the matter, as a code.
            #[schema(as = WhyVerdict)]
            pub enum Verdict { $(#[doc = $meaning] $Word = $spelled,)+ }
        }

        impl Verdict {
            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$Word => $meaning),+ }
            }
        }
    };
}

verdicts! {
    Ok = "ok": "Nothing is wrong; the facts say what was looked at.",
    NeverConnected = "never_connected": "The station is registered, and has never connected.",
    RefusedBadCredentials = "refused_bad_credentials":
        "The station is refused because its password is missing or wrong.",
    RefusedUnknown = "refused_unknown":
        "A charger with this identity is refused because no such station is registered.",
    RefusedTls = "refused_tls":
        "The station is refused because of its certificate, or no TLS connection comes about.",
    RefusedProfile = "refused_profile":
        "The station is refused because it connects with a lower security profile than it must.",
    RefusedHandshake = "refused_handshake":
        "The station is refused because it offers no subprotocol that the gateway speaks.",
    Blocked = "blocked": "An operator has blocked the station.",
    Offline = "offline": "The station is not connected, or nothing is heard from it any more.",
    Flapping = "flapping": "The station connects again and again.",
    BootLoop = "boot_loop": "The station boots again and again, and nobody has asked it to.",
    NotBooted = "not_booted": "The station is connected, and has not sent a BootNotification.",
    Pending = "pending": "The station's boot is answered Pending until an operator accepts it.",
    Rejected = "rejected": "The station's boot is answered Rejected.",
    Faulted = "faulted": "A connector reports a fault.",
    Unavailable = "unavailable": "A connector is out of service: somebody or something has made it Unavailable.",
    ClockWrong = "clock_wrong": "The station's clock is more than five minutes off.",
    NotAnswering = "not_answering": "The station does not answer commands.",
    FirmwareStuck = "firmware_stuck": "An update of the firmware has failed, or has not ended for an hour.",
    UploadFailed = "upload_failed": "The station could not upload its diagnostics or log.",
    TagUnknown = "tag_unknown": "Nobody has registered the id tag.",
    TagBlocked = "tag_blocked": "The id tag is blocked.",
    TagExpired = "tag_expired": "The id tag has expired.",
    TagInvalid = "tag_invalid": "The id tag is registered as invalid, or the station may not start anything.",
    TagOtherOwner = "tag_other_owner":
        "The id tag is registered for another owner than the station belongs to.",
    TagRefusedByEndpoint = "tag_refused_by_endpoint": "The authorisation endpoint has refused the id tag.",
    TagEndpointUnreachable = "tag_endpoint_unreachable":
        "The authorisation endpoint did not answer, and nothing else lets the id tag in.",
    Concurrent = "concurrent": "The id tag is charging elsewhere already, as often as it may.",
    NoCable = "no_cable": "A remote start was accepted, and no cable was plugged in.",
    NotStarted = "not_started": "A remote start was accepted, and no session followed, though a car may be there.",
    ChargerSaidNo = "charger_said_no": "The charger has answered the command, and refuses it.",
    Timeout = "timeout": "The charger did not answer the command in time.",
    ConnectionLost = "connection_lost": "The connection ended before the command was answered.",
    Expired = "expired": "The command's turn did not come in time; it was never sent.",
    Canceled = "canceled": "The command was canceled before it was sent.",
    Waiting = "waiting": "It is under way, and waits for something.",
    SuspendedByCar = "suspended_by_car": "The car takes no power, or took none.",
    SuspendedByStation = "suspended_by_station": "The station gives no power, or gave none.",
    NeverStopped = "never_stopped": "The session's stop has not come, and it does not seem to run any more.",
    Orphaned = "orphaned": "Another session has begun on the connector, and the stop of this one has not come.",
    EnergyNotMetered = "energy_not_metered": "The energy of the session cannot be told from its meter readings.",
    EnergyImplausible = "energy_implausible":
        "The readings of the meter contradict each other, or no car takes so much.",
    NoEnergy = "no_energy": "The session ended without any energy.",
    PowerLoss = "power_loss": "The session ended because the station lost its power.",
    EmergencyStop = "emergency_stop": "Somebody has pressed the emergency stop.",
    Deauthorized = "deauthorized": "The station has ended the session because the id tag is not valid.",
    StationRestarted = "station_restarted": "The session ended because the station restarted.",
    StoppedForOtherReason = "stopped_for_other_reason": "The station ended the session, and gives no reason of OCPP.",
    StoppedByDriver = "stopped_by_driver": "The driver has ended the session at the station.",
    StoppedRemotely = "stopped_remotely": "The session was ended by a command.",
    Unplugged = "unplugged": "The driver has unplugged the car.",
    Unlocked = "unlocked": "The session ended because the connector was unlocked.",
    NotDelivered = "not_delivered": "The event did not reach its receiver, and is not tried any more.",
    Discarded = "discarded": "Nothing is sent of the event: it was canceled, or its webhook is off.",
    Retrying = "retrying": "The event has not reached its receiver so far, and is tried again.",
}

impl Verdict {
    /// Whether nothing is wrong: all is well, or a session has ended as sessions do.
    pub const fn is_ordinary(self) -> bool {
        matches!(
            self,
            Self::Ok | Self::StoppedByDriver | Self::StoppedRemotely | Self::Unplugged | Self::Unlocked
        )
    }
}

words! {
    /// What a fact is taken from, and what `GET` shows it.
    #[schema(as = WhyFactKind)]
    pub enum FactKind {
        /// An event: `GET /events/{id}`.
        Event = "event",
        /// A command: `GET /commands/{id}`.
        Command = "command",
        /// A delivery: `GET /deliveries/{id}`.
        Delivery = "delivery",
        /// A charging session: `GET /transactions/{id}`.
        Transaction = "transaction",
        /// What is on record of a thing as it is now.
        State = "state",
    }
}

/// One fact that an answer is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WhyFact)]
pub struct Fact {
    /// When it happened, or since when it is so.
    pub at: Timestamp,
    /// What happened, in a sentence.
    pub text: String,
    /// What it is taken from.
    pub kind: FactKind,
    /// What the `GET` of its kind takes; null only for `state`.
    pub id: Option<String>,
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// What is the matter. More codes may be added; take one that you do not know for a problem.
    pub verdict: Verdict,
    /// The cause, in one or two sentences.
    pub summary: String,
    /// What the answer is made of, the newest last.
    pub facts: Vec<Fact>,
    /// What can be done. Empty only where nothing is wrong.
    pub next: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_a_code_and_a_sentence_of_its_own() {
        let mut meanings: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.meaning()).collect();
        meanings.sort_unstable();
        meanings.dedup();
        assert_eq!(meanings.len(), Verdict::WORDS.len());
        assert!(meanings.iter().all(|meaning| meaning.ends_with('.')));
    }
}
