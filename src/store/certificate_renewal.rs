//! The change of the one certificate that opens for a station (`certificate_serial`).
//!
//! A station may come back with a new certificate before its answer to `CertificateSigned` is here, or after an
//! answer that was lost, or never take it on. So from the commit that sends it the new one opens beside the
//! stored one, until a connection shows it: from then on the old one, which may be in other hands by now, does
//! not open any more. **Invariant**: `stations.certificate_serial` holds what is settled,
//! `certificate_renewals` what is not, so a restart changes nothing.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use serde_json::value::RawValue;

use super::cells;
use super::effects::{EndedCommand, SentCommand, Verdict};
use super::error::Result;
use super::writer::Writing;
use crate::der;
use crate::id::{CommandId, SerialNumber, StationId};

/// Certificates that may be unsettled per station, of one that never uses what it is sent.
const UNSETTLED_PER_STATION: i64 = 4;

/// A client certificate that a connection has been let in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedCertificate {
    /// Its number.
    pub serial_number: SerialNumber,
    /// If it was sent to the station, it becomes the only one that opens, also where any has opened so far.
    pub pin: bool,
}

/// The certificates that open for a station beside the one that is stored for it.
pub(super) fn unsettled(conn: &Connection, station: &StationId) -> Result<Vec<SerialNumber>> {
    let mut statement =
        conn.prepare_cached("SELECT serial_number FROM certificate_renewals WHERE station_id = ?1")?;
    let numbers = statement
        .query_map([station.as_str()], |row| cells::parsed(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(numbers)
}

/// A `CertificateSigned` leaves after this commit. Of a station that uses none of what it is sent the newest few
/// are kept.
pub(super) fn sent(w: &Writing<'_>, command: &SentCommand<'_>) -> Result<()> {
    let Some(number) = leaf(command.payload) else { return Ok(()) };
    w.conn
        .prepare_cached(
            "INSERT INTO certificate_renewals (command_id, station_id, serial_number) VALUES (?1, ?2, ?3)
             ON CONFLICT (command_id) DO NOTHING",
        )?
        .execute(params![command.id.to_string(), command.station.as_str(), number.as_str()])?;
    w.conn
        .prepare_cached(
            "DELETE FROM certificate_renewals
             WHERE station_id = ?1 AND command_id NOT IN (
                SELECT command_id FROM certificate_renewals WHERE station_id = ?1
                ORDER BY command_id DESC LIMIT ?2)",
        )?
        .execute(params![command.station.as_str(), UNSETTLED_PER_STATION])?;
    Ok(())
}

/// The number of the certificate that comes first in a chain; `None` if it cannot be read, and so not be shown.
fn leaf(payload: &RawValue) -> Option<SerialNumber> {
    let payload: Value = serde_json::from_str(payload.get()).ok()?;
    let chain = der::pem_certificates(payload["certificateChain"].as_str()?);
    chain.into_iter().next().map(|leaf| leaf.serial_number)
}

/// A `CertificateSigned` has ended, or was answered after that.
pub(super) fn ended(w: &Writing<'_>, command: &EndedCommand<'_>, verdict: Verdict) -> Result<()> {
    match verdict {
        // What it had been sent before is overwritten.
        Verdict::Accepted => forget_before(w, command.station, command.id, "<"),
        Verdict::Refused | Verdict::NeverSent => {
            w.conn
                .prepare_cached("DELETE FROM certificate_renewals WHERE command_id = ?1")?
                .execute([command.id.to_string()])?;
            Ok(())
        }
        Verdict::Unknown => Ok(()),
    }
}

/// Whether a certificate still opens for the station, and if it is a new one, settles that this is the one it
/// uses: the stored number is its number from now on, if there was one or it is to be pinned.
pub(super) fn used(w: &Writing<'_>, station: &StationId, used: &UsedCertificate) -> Result<bool> {
    let number = used.serial_number.as_str();
    let stored: Option<String> = w
        .conn
        .prepare_cached("SELECT certificate_serial FROM stations WHERE station_id = ?1")?
        .query_row([station.as_str()], |row| row.get(0))
        .optional()?
        .flatten();
    let sent_with: Option<CommandId> = w
        .conn
        .prepare_cached(
            "SELECT max(command_id) FROM certificate_renewals WHERE station_id = ?1 AND serial_number = ?2",
        )?
        .query_row(params![station.as_str(), number], |row| cells::maybe_parsed(row, 0))?;
    let Some(sent_with) = sent_with else { return Ok(stored.is_none_or(|stored| stored == number)) };
    // One that was sent later may still be used.
    forget_before(w, station, sent_with, "<=")?;
    if stored.is_some() || used.pin {
        w.conn
            .prepare_cached(
                "UPDATE stations SET certificate_serial = ?2, updated_at_ms = max(?3, updated_at_ms + 1)
                 WHERE station_id = ?1",
            )?
            .execute(params![station.as_str(), number, w.now.unix_ms()])?;
    }
    Ok(true)
}

/// An operator has said which certificate it is, or the station is gone.
pub(super) fn forget(w: &Writing<'_>, station: &StationId) -> Result<()> {
    w.conn
        .prepare_cached("DELETE FROM certificate_renewals WHERE station_id = ?1")?
        .execute([station.as_str()])?;
    Ok(())
}

/// Forgets what was sent before a command (`<`), or with it too (`<=`).
fn forget_before(w: &Writing<'_>, station: &StationId, command: CommandId, which: &str) -> Result<()> {
    w.conn
        .prepare_cached(&format!(
            "DELETE FROM certificate_renewals WHERE station_id = ?1 AND command_id {which} ?2"
        ))?
        .execute(params![station.as_str(), command.to_string()])?;
    Ok(())
}
