//! Whether a station takes commands now.

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::id::StationId;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::command::CommandAction;

/// Why a station cannot take a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// It has no connection.
    NotConnected,
    /// It has never sent a `BootNotification`.
    NeverBooted,
    /// Its boot was answered `Pending`, and it may start and stop nothing.
    Pending,
    /// Its boot was answered `Rejected`.
    Rejected,
    /// Too many wait for it already.
    Full,
}

/// What a command to a station depends on.
pub(super) struct Readiness {
    pub(super) connected: bool,
    pub(super) generation: i64,
    /// The stricter of what its last boot was answered with and what the next one will be; `None`: it never
    /// booted.
    boot_status: Option<BootStatus>,
}

impl Readiness {
    /// As the station's row says; `None` if there is no such station.
    pub(super) fn of(w: &Tx<'_>, station: &StationId) -> Result<Option<Self>> {
        w.maybe(
            "SELECT connected, connection_generation, boot_status, booted_as FROM stations
             WHERE station_id = ?1",
            params![station],
            |row| {
                let (next, last) = (row.word(2)?, row.maybe_word(3)?);
                let boot_status = last.map(|last| stricter(next, last));
                Ok(Self { connected: row.get(0)?, generation: row.get(1)?, boot_status })
            },
        )
    }

    /// Whether it may be asked this now.
    pub(super) fn takes(&self, action: CommandAction) -> std::result::Result<(), NotReady> {
        match self.boot_status {
            _ if !self.connected => Err(NotReady::NotConnected),
            None => Err(NotReady::NeverBooted),
            Some(BootStatus::Rejected) => Err(NotReady::Rejected),
            Some(BootStatus::Pending) if action.needs_acceptance() => Err(NotReady::Pending),
            Some(BootStatus::Pending | BootStatus::Accepted) => Ok(()),
        }
    }
}

/// A charger that was told `Pending` stays so until its next boot, whatever it would be told now; one that is
/// not wanted any more is not asked, whatever it was told.
fn stricter(one: BootStatus, other: BootStatus) -> BootStatus {
    let rank = |status| match status {
        BootStatus::Accepted => 0,
        BootStatus::Pending => 1,
        BootStatus::Rejected => 2,
    };
    if rank(one) >= rank(other) { one } else { other }
}
