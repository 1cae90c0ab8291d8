//! The change of a station's password with `ChangeConfiguration(AuthorizationKey)`.
//!
//! The charger may come back with the new password before its answer is here, or after an answer that was
//! lost, or never take it on. So from the commit that sends it the new one counts beside the old one, until
//! an answer or a handshake settles which it is. **Invariant**: `stations.password_verifiers` holds what is
//! settled, `key_rotations` what is not, so a restart changes nothing.

use crate::command_result::{CommandVerdict, EndedCommand};
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::{Priority, Scope, Store};
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::command::CommandAction;

/// Passwords that may be unsettled per station: each costs a wrong one a slow hash.
const UNSETTLED_PER_STATION: i64 = 4;

/// Which password a station has come back with, while it is not settled which one it uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsedPassword {
    /// The one it had.
    Old,
    /// The one it was told to use, by its verifier.
    New(String),
}

/// How far a new password has come, as `key_rotations.state` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RotationState {
    /// Its command was not sent yet: it lets nobody in.
    Ordered,
    /// Its command was sent, and nobody knows what the charger made of it.
    Open,
    /// The charger has accepted it, for after its next boot or for its first use.
    Kept,
}

impl RotationState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Open => "open",
            Self::Kept => "kept",
        }
    }
}

impl Store {
    /// Settles which password a station uses: the one it has just been let in with.
    pub async fn password_used(&self, station: StationId, used: UsedPassword) -> Result<()> {
        self.write(Priority::Inbound, Scope::Station(station.clone()), move |w| match used {
            UsedPassword::New(verifier) => settle(w, &station, &verifier),
            UsedPassword::Old => {
                // An answer that is still to come says more than a connection lost before it. And one that
                // takes effect with a reboot, or where the old password is none, may well be used later.
                w.run(
                    "DELETE FROM key_rotations
                     WHERE station_id = ?1 AND state = ?2 AND NOT EXISTS (
                        SELECT 1 FROM commands WHERE id = command_id AND status IN ('queued', 'sent'))",
                    params![station, RotationState::Open.as_str()],
                )?;
                Ok(())
            }
        })
        .await
    }

    /// Puts a verifier in the place of another one of the same password, settled or not. Nothing happens if
    /// there is no such one any more.
    pub async fn renew_verifier(&self, station: StationId, old: String, renewed: String) -> Result<()> {
        self.write(Priority::Inbound, Scope::Station(station.clone()), move |w| {
            let settled: Option<String> = w
                .maybe(
                    "SELECT password_verifiers FROM stations WHERE station_id = ?1",
                    params![station],
                    |row| row.get(0),
                )?
                .flatten();
            if let Some(settled) = settled {
                let mut verifiers: Vec<String> = serde_json::from_str(&settled)?;
                verifiers.iter_mut().filter(|own| **own == old).for_each(|own| own.clone_from(&renewed));
                w.run(
                    "UPDATE stations SET password_verifiers = ?2 WHERE station_id = ?1",
                    params![station, serde_json::to_string(&verifiers)?],
                )?;
            }
            w.run(
                "UPDATE key_rotations SET verifier = ?3 WHERE station_id = ?1 AND verifier = ?2",
                params![station, old, renewed],
            )?;
            Ok(())
        })
        .await
    }
}

/// The verifiers that let a station in beside its own.
pub(crate) fn open_verifiers(db: &Read<'_>, station: &StationId) -> Result<Vec<String>> {
    db.all(
        "SELECT verifier FROM key_rotations WHERE station_id = ?1 AND state <> ?2 ORDER BY command_id",
        params![station, RotationState::Ordered.as_str()],
        |row| row.get(0),
    )
}

/// A command that brings a new password was made; the password counts once it is sent.
pub(crate) fn ordered(w: &Tx<'_>, id: CommandId, station: &StationId, verifier: &str) -> Result<()> {
    w.run(
        "INSERT INTO key_rotations (command_id, station_id, verifier, state) VALUES (?1, ?2, ?3, ?4)",
        params![id, station, verifier, RotationState::Ordered.as_str()],
    )?;
    Ok(())
}

/// The command leaves after this commit. Of a station that never says what it makes of its new passwords
/// the newest few are kept.
pub(crate) fn sent(w: &Tx<'_>, id: CommandId, station: &StationId) -> Result<()> {
    let opened = w.run(
        "UPDATE key_rotations SET state = ?2 WHERE command_id = ?1",
        params![id, RotationState::Open.as_str()],
    )?;
    if opened == 1 {
        w.run(
            "DELETE FROM key_rotations
             WHERE station_id = ?1 AND state <> ?3 AND command_id NOT IN (
                SELECT command_id FROM key_rotations WHERE station_id = ?1 AND state <> ?3
                ORDER BY command_id DESC LIMIT ?2)",
            params![station, UNSETTLED_PER_STATION, RotationState::Ordered.as_str()],
        )?;
    }
    Ok(())
}

/// The command has ended, or was answered after that.
pub(crate) fn ended(w: &Tx<'_>, command: &EndedCommand<'_>, verdict: CommandVerdict) -> Result<()> {
    let id = command.id;
    let verifier: Option<String> =
        w.maybe("SELECT verifier FROM key_rotations WHERE command_id = ?1", params![id], |row| row.get(0))?;
    // Another key, or a handshake has settled it before the answer came.
    let Some(verifier) = verifier else { return Ok(()) };
    match verdict {
        CommandVerdict::Accepted
            if !command.answers(CommandAction::needs_reboot) && has_password(w, command.station)? =>
        {
            settle(w, command.station, &verifier)
        }
        // After the next boot; or, of a station that had none so far, with its first use of it: one of
        // security profile 0 keeps the key, and sends none before it is told to use profile 1.
        CommandVerdict::Accepted => {
            // What it was told before is overwritten.
            forget(w, command.station)?;
            w.run(
                "INSERT INTO key_rotations (command_id, station_id, verifier, state)
                 VALUES (?1, ?2, ?3, ?4)",
                params![id, command.station, verifier, RotationState::Kept.as_str()],
            )?;
            Ok(())
        }
        CommandVerdict::Refused | CommandVerdict::NeverSent => {
            w.run("DELETE FROM key_rotations WHERE command_id = ?1", params![id])?;
            Ok(())
        }
        CommandVerdict::Unknown => Ok(()),
    }
}

/// An operator has said what the password is, or the station is gone.
pub(crate) fn forget(w: &Tx<'_>, station: &StationId) -> Result<()> {
    w.run(
        "DELETE FROM key_rotations WHERE station_id = ?1 AND state <> ?2",
        params![station, RotationState::Ordered.as_str()],
    )?;
    Ok(())
}

fn has_password(w: &Tx<'_>, station: &StationId) -> Result<bool> {
    let found = w.maybe(
        "SELECT password_verifiers IS NOT NULL FROM stations WHERE station_id = ?1",
        params![station],
        |row| row.get(0),
    )?;
    Ok(found.unwrap_or(false))
}

/// From now on this is the station's only password.
fn settle(w: &Tx<'_>, station: &StationId, verifier: &str) -> Result<()> {
    let verifiers = serde_json::to_string(&[verifier])?;
    w.run(
        "UPDATE stations
         SET password_verifiers = ?2,
             updated_at_ms = CASE WHEN ?3 > updated_at_ms THEN ?3 ELSE updated_at_ms + 1 END
         WHERE station_id = ?1",
        params![station, verifiers, w.now],
    )?;
    forget(w, station)
}
