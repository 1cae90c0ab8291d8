//! A certificate that a station has requested and gets: a command of the gateway's own. It is created in the
//! transaction that answers the request, so that every station that is promised a certificate gets one.

use std::time::Duration;

use crate::commands::end::end_each;
use crate::commands::queue::{self, NewCommand};
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::api::command::{CommandStatus, RequestedBy};
use vocabulary::id::StationId;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::protocol::Protocol;

/// The most characters of a chain that `CertificateSigned` takes (its schema).
const CHAIN_CHARS_MAX: usize = 10_000;

/// How long the answer may take: small chargers take seconds to check a signature.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a certificate waits for a station that has disconnected after its request.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// What the certificate authority answers to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// It has signed.
    Signed {
        /// PEM: the new certificate, and those that go with it.
        chain: String,
    },
    /// It has refused.
    Refused {
        /// A code, a colon, and why.
        reason: String,
    },
}

/// What became of a chain that was to be sent.
pub(crate) enum ChainOrder {
    /// It is queued.
    Queued,
    /// It cannot be sent: a code, a colon, and why.
    Refused(String),
}

/// Queues the command that sends a chain to its station. One that is still queued is canceled: it is about a
/// key that the station has replaced since.
pub(crate) fn order(
    w: &mut Tx<'_>,
    station: &StationId,
    protocol: Protocol,
    chain: &str,
) -> Result<ChainOrder> {
    let most = chars_max(w, station)?;
    if chain.len() > most {
        let length = chain.len();
        return Ok(ChainOrder::Refused(format!(
            "chain_too_long: the certificates have {length} characters, the station takes {most}"
        )));
    }
    let (action, payload) = CommandAction::send_certificate(protocol, chain);
    cancel_queued(w, station, action)?;
    let new = NewCommand {
        station_id: station.clone(),
        action,
        payload,
        timeout: TIMEOUT,
        queue_for: Some(KEPT_FOR),
        metadata: None,
        key_verifier: None,
        requested_by: RequestedBy::gateway(),
    };
    Ok(match queue::create_own(w, &new)? {
        true => ChainOrder::Queued,
        false => ChainOrder::Refused("queue_full: too many commands wait for the station".to_owned()),
    })
}

fn cancel_queued(w: &mut Tx<'_>, station: &StationId, action: CommandAction) -> Result<()> {
    let queued = "SELECT id FROM commands INDEXED BY commands_queued
                  WHERE station_id = ?1 AND status = 'queued' AND action = ?2 AND requested_by_id = ?3
                  ORDER BY seq";
    let gateway = RequestedBy::gateway().id.to_string();
    end_each(w, queued, params![station, action.as_str(), gateway], CommandStatus::Canceled)
}

/// How long a chain may be: the station's own word counts, if it has given one.
fn chars_max(w: &Tx<'_>, station: &StationId) -> Result<usize> {
    let said: Option<Option<String>> = w.maybe(
        "SELECT value FROM configuration_keys
         WHERE station_id = ?1 AND folded_key = lower('CertificateSignedMaxChainSize')",
        params![station],
        |row| row.get(0),
    )?;
    let said = said.flatten().and_then(|value| value.trim().parse().ok());
    Ok(said.filter(|chars| *chars > 0).map_or(CHAIN_CHARS_MAX, |chars: usize| chars.min(CHAIN_CHARS_MAX)))
}
