//! A certificate that a station has asked for and gets: a command of the gateway's own, made in the
//! transaction that answers the request, so that no station is promised one that is then forgotten.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use crate::commands::end::end_each;
use crate::commands::queue;
use crate::commands::queue::NewCommand;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::api::command::{CommandStatus, RequestedBy};
use vocabulary::id::StationId;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::protocol::Protocol;

/// The most characters of a chain that `CertificateSigned` takes (its schema).
const CHAIN_CHARS_MAX: usize = 10_000;

/// How long the answer may take: small chargers check signatures for seconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a certificate waits for a station that went away after it had asked.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// What the certificate authority says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// It has signed.
    Signed {
        /// PEM: the new certificate, and those that go with it.
        chain: String,
    },
    /// It does not.
    Refused {
        /// A code, a colon, and why.
        reason: String,
    },
}

/// Orders that a chain be sent to its station. One that waits to be sent is about a key that the station has
/// given up since. What is returned is the reason why the chain cannot be sent.
pub(crate) fn order(
    w: &mut Tx<'_>,
    station: &StationId,
    protocol: Protocol,
    chain: &str,
) -> Result<Option<String>> {
    let most = chars_max(w, station)?;
    if chain.len() > most {
        let length = chain.len();
        return Ok(Some(format!(
            "chain_too_long: the certificates have {length} characters, the station takes {most}"
        )));
    }
    let (action, payload) = CommandAction::send_certificate(protocol, chain);
    let gateway = RequestedBy::gateway();
    let outdated = "SELECT id FROM commands INDEXED BY commands_queued
                    WHERE station_id = ?1 AND status = 'queued' AND action = ?2 AND requested_by_id = ?3 ORDER BY seq";
    let waiting = params![station.as_str(), action.as_str(), gateway.id.to_string()];
    end_each(w, outdated, waiting, CommandStatus::Canceled)?;
    let new = NewCommand {
        station_id: station.clone(),
        action,
        payload,
        timeout: TIMEOUT,
        queue_for: Some(KEPT_FOR),
        metadata: None,
        key_verifier: None,
        requested_by: gateway,
    };
    let full = "queue_full: too many commands wait for the station".to_owned();
    Ok(if queue::order_unasked(w, &new)? { None } else { Some(full) })
}

/// How long a chain may be: what the station has said of itself counts, if it has said anything.
fn chars_max(w: &Tx<'_>, station: &StationId) -> Result<usize> {
    let said: Option<Option<String>> = w
        .conn
        .prepare_cached(
            "SELECT value FROM configuration_keys
             WHERE station_id = ?1 AND folded_key = lower('CertificateSignedMaxChainSize')",
        )?
        .query_row([station.as_str()], |row| row.get(0))
        .optional()?;
    let said = said.flatten().and_then(|value| value.trim().parse().ok());
    Ok(said.filter(|chars| *chars > 0).map_or(CHAIN_CHARS_MAX, |chars: usize| chars.min(CHAIN_CHARS_MAX)))
}
