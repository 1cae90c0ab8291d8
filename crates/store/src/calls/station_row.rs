//! The station's row, as far as answers depend on it.

use crate::engine::job::Foreseen;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::boot_status::BootStatus;

/// The station's row, as far as answers depend on it.
pub(super) struct StationRow {
    pub(super) owner_id: Option<String>,
    pub(super) boot_status: BootStatus,
    /// The node that it is connected to.
    node_epoch: Option<i64>,
    pub(super) booted_at: Option<Timestamp>,
    pub(super) flags: String,
    /// How far its clock was ahead before this message.
    pub(super) clock_skew_ms: Option<i64>,
    /// Messages that agree on another skew; JSON.
    pub(super) clock_doubt: Option<String>,
}

const SELECT: &str =
    "SELECT owner_id, boot_status, booted_at_ms, flags, clock_skew_ms, clock_doubt, node_epoch
             FROM stations WHERE station_id = ?1";

impl StationRow {
    /// What [`StationRow::of`] reads.
    pub(super) fn foreseen(station: &StationId) -> Foreseen {
        Foreseen::new(SELECT, params![station])
    }

    /// As it is before the message.
    pub(super) fn of(w: &Tx<'_>, station: &StationId) -> Result<Self> {
        let known = w.maybe(SELECT, params![station], |row| {
            Ok(Self {
                owner_id: row.get(0)?,
                boot_status: row.word(1)?,
                booted_at: row.get(2)?,
                flags: row.get(3)?,
                clock_skew_ms: row.get(4)?,
                clock_doubt: row.get(5)?,
                node_epoch: row.get(6)?,
            })
        })?;
        // What it says on a connection that another node has taken over, or that was lost with its node, is
        // said again on the new one.
        let is_here = known.as_ref().is_none_or(|known: &Self| known.node_epoch == Some(w.epoch));
        if w.is_shared() && !is_here {
            return Err(StoreError::Elsewhere);
        }
        // A station deleted while its last messages were on their way: they are kept all the same.
        Ok(known.unwrap_or_else(|| Self {
            owner_id: None,
            boot_status: BootStatus::Rejected,
            booted_at: None,
            flags: "[]".to_owned(),
            clock_skew_ms: None,
            clock_doubt: None,
            node_epoch: None,
        }))
    }
}
