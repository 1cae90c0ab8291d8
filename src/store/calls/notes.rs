//! What a charger's messages tell of the charger itself, kept on its row and those of its connectors.

use rusqlite::params;

use super::Serving;
use crate::clock::Timestamp;
use crate::ocpp::v16::inbound::{BootNotification, StatusNotification};
use crate::ocpp::v16::time;
use crate::store::error::Result;

/// A clock's skew changes by less than this with every message's way through the network.
const CLOCK_STEP_MS: u64 = 1_000;

impl Serving<'_, '_> {
    /// Who the charger says it is, and that it was answered.
    pub(super) fn note_boot(&self, boot: &BootNotification) -> Result<()> {
        self.w
            .conn
            .prepare_cached(
                "UPDATE stations
                 SET vendor = coalesce(?2, vendor), model = coalesce(?3, model),
                     serial_number = coalesce(?4, serial_number),
                     firmware_version = coalesce(?5, firmware_version),
                     booted_at_ms = ?6, updated_at_ms = ?6, booted_as = ?7
                 WHERE station_id = ?1",
            )?
            .execute(params![
                self.station.as_str(),
                boot.vendor,
                boot.model,
                boot.serial_number,
                boot.firmware_version,
                self.w.now.unix_ms(),
                self.known.boot_status.as_str(),
            ])?;
        Ok(())
    }

    /// A connector as it is now; without a number there is none to note it of.
    pub(super) fn note_connector(
        &self,
        status: &StatusNotification,
        occurred_at: Option<Timestamp>,
    ) -> Result<()> {
        let Some(connector_id) = status.connector_id else { return Ok(()) };
        self.w
            .conn
            .prepare_cached(
                "INSERT INTO connectors (station_id, connector_id, status, error_code, info, vendor_error_code,
                                         occurred_at_ms, updated_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (station_id, connector_id) DO UPDATE
                 SET status = excluded.status, error_code = excluded.error_code, info = excluded.info,
                     vendor_error_code = excluded.vendor_error_code, occurred_at_ms = excluded.occurred_at_ms,
                     updated_at_ms = excluded.updated_at_ms",
            )?
            .execute(params![
                self.station.as_str(),
                connector_id,
                status.status,
                status.error_code,
                status.info,
                status.vendor_error_code,
                occurred_at.map(|at| at.unix_ms()),
                self.w.now.unix_ms(),
            ])?;
        Ok(())
    }

    /// How far the station's clock is off, written anew only where that says something new.
    pub(super) fn note_clock(&self, occurred_at: Timestamp) -> Result<()> {
        let skew_ms = time::skew_ms(occurred_at, self.received_at);
        let moved = |known: i64| skew_ms.abs_diff(known) > CLOCK_STEP_MS;
        if self.known.clock_skew_ms.is_none_or(moved) {
            self.w
                .conn
                .prepare_cached("UPDATE stations SET clock_skew_ms = ?2 WHERE station_id = ?1")?
                .execute(params![self.station.as_str(), skew_ms])?;
        }
        Ok(())
    }

    /// How far an update or an upload has come, in the column that says so.
    pub(super) fn note_progress(&self, column: &'static str, status: Option<&str>) -> Result<()> {
        self.w
            .conn
            .prepare_cached(&format!("UPDATE stations SET {column} = ?2 WHERE station_id = ?1"))?
            .execute(params![self.station.as_str(), status])?;
        Ok(())
    }
}
