//! Settings of how chargers may connect and are served.

mod limits;
mod ocpp;

use std::time::Duration;

use outbound::destination::PrivateUrl;
use outbound::signature::SigningSecret;
use store::{CallPolicy, OutsideVerdicts, TagRules};
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::setting::{Broken, Rules, setting_words, table};
use vocabulary::units::Span;

pub use limits::Limits;
pub use ocpp::Ocpp;

/// What happens to a station that is not registered (`stations.unknown`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is registered at once.
    Accept,
    /// It is registered, and its boots are answered `Pending`.
    Pending,
    /// It is refused with 404.
    Reject,
}

setting_words!(
    Admission:
    "accept" => Admission::Accept, "pending" => Admission::Pending, "reject" => Admission::Reject,
);

table! {
    /// `[stations]`: rules for all stations.
    pub struct AllStations {
        /// What happens to a station that is not registered.
        unknown: Admission = Admission::Accept,
        /// Raises a station's `min_security_profile` to the profile it has connected with.
        ratchet_profile: bool = true,
        /// How long a station may be silent until `StationOffline`; `None` is three heartbeat intervals.
        offline_after: Option<Span> = None,
    }
}

table! {
    /// `[authorization]`: the verdicts on id tags.
    pub struct Authorization {
        /// The verdict on an id tag that is not registered, if no endpoint is asked.
        unknown_id_tag: UnknownIdTag = UnknownIdTag::Accept,
        /// The endpoint that is asked for a verdict first.
        url: Option<PrivateUrl> = None,
        /// How long its answer may take.
        timeout: Span = Span::seconds(2),
        /// How long its last answer about a tag is used if no new one comes; zero keeps none.
        cache: Span = Span::seconds(86_400),
        /// The verdict on a tag that neither the endpoint, its last answer nor the registered tags know.
        fallback: UnknownIdTag = UnknownIdTag::Invalid,
        /// The key that signs the questions.
        signing_secret: Option<SigningSecret> = None,
    }
}

table! {
    /// `[transactions]`: charging sessions.
    pub struct Transactions {
        /// An orphaned transaction is completed without its stop once nothing was received about it for so
        /// long.
        orphan_after: Span = Span::seconds(86_400),
    }
}

/// All settings of the engine.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `[ocpp]`
    pub ocpp: Ocpp,
    /// `[stations]`
    pub stations: AllStations,
    /// `[authorization]`
    pub authorization: Authorization,
    /// `[transactions]`
    pub transactions: Transactions,
    /// `[limits]` at the start; they may change while chargers are served.
    pub limits: Limits,
}

impl Settings {
    /// How long a station may be silent until it is offline: as set, or three heartbeat intervals.
    pub fn offline_after(&self) -> Duration {
        self.stations.offline_after.map_or(self.ocpp.heartbeat_interval.0 * 3, |after| after.0)
    }

    /// How the store answers messages of stations.
    pub fn call_policy(&self) -> CallPolicy {
        let authorization = &self.authorization;
        CallPolicy {
            heartbeat_interval_s: self.ocpp.heartbeat_interval.0.as_secs() as u32,
            tags: TagRules {
                unknown: authorization.unknown_id_tag,
                outside: authorization.endpoint().map(|_| OutsideVerdicts {
                    cache: authorization.cache.0,
                    fallback: authorization.fallback,
                }),
            },
            data_transfer_vendors: self.ocpp.data_transfer_vendors.clone(),
        }
    }
}

impl Authorization {
    /// The endpoint that is asked for verdicts, and what signs the questions, if there is one.
    pub fn endpoint(&self) -> Option<(&PrivateUrl, &SigningSecret)> {
        self.url.as_ref().zip(self.signing_secret.as_ref())
    }
}

impl Rules for AllStations {
    fn check(&self, broken: &mut Broken) {
        let after = self.offline_after.map(|after| ("offline_after", after));
        broken.unless_positive(after.as_slice());
    }
}

impl Rules for Authorization {
    fn check(&self, broken: &mut Broken) {
        broken.unless(
            self.url.is_none() || self.signing_secret.is_some(),
            "signing_secret",
            "must be set where authorization.url is: whsec_ and the base64 of 24 to 64 bytes",
        );
        // A charger waits for its answer, and some hang up after half a minute.
        broken.unless(
            self.timeout > Span::seconds(0) && self.timeout <= Span::seconds(20),
            "timeout",
            "must be more than nothing and at most 20s",
        );
    }
}

impl Rules for Transactions {
    fn check(&self, broken: &mut Broken) {
        broken.unless_positive(&[("orphan_after", self.orphan_after)]);
    }
}
