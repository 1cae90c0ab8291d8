//! What a charger's messages tell of the charger itself, kept on its row and those of its connectors.

use rusqlite::{OptionalExtension, params};

use super::Serving;
use crate::clock::Timestamp;
use crate::ocpp::v16::inbound::{BootNotification, Inbound, StatusNotification};
use crate::ocpp::v16::station_clock::{self, Finding, Sighting};
use crate::store::error::Result;
use crate::store::oddities::{Until, of_clock};

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

    /// Whether it boots with other firmware than it had, or is another charger altogether.
    pub(super) fn has_new_firmware(&self, boot: &BootNotification) -> Result<bool> {
        let known: Option<[Option<String>; 3]> = self
            .w
            .conn
            .prepare_cached("SELECT firmware_version, vendor, model FROM stations WHERE station_id = ?1")?
            .query_row([self.station.as_str()], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
            .optional()?;
        let told = [&boot.firmware_version, &boot.vendor, &boot.model];
        let differs = |(known, told): (&Option<String>, &Option<String>)| {
            known.as_ref().zip(told.as_ref()).is_some_and(|(known, told)| known != told)
        };
        Ok(known.is_some_and(|known| known.iter().zip(told).any(differs)))
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

    /// What a message's time tells of the station's clock, written only where it says something new.
    pub(super) fn note_clock(&mut self, sighting: &Sighting, call: &mut Inbound) -> Result<()> {
        let (known, doubt) = (self.known.clock_skew_ms, self.known.clock_doubt.as_deref());
        let before = doubt.and_then(|doubt| serde_json::from_str(doubt).ok());
        let offset_ms = sighting.offset_ms();
        let skew_ms = match Finding::of(sighting, known, before) {
            Finding::Skew(skew_ms) => skew_ms,
            Finding::Doubt(doubt) => {
                // Whatever it waited for, it does not come before it was written.
                call.violations.extend(station_clock::violation(offset_ms.max(0)));
                let doubt = Some(serde_json::to_string(&doubt)?);
                return self.write_clock(known, doubt);
            }
        };
        call.violations.extend(station_clock::violation(offset_ms));
        self.flags.over(Until::ClockRight);
        if let Some(flag) = of_clock(skew_ms) {
            self.flags.seen(flag);
        }
        self.clock_skew_ms = Some(skew_ms);
        let moved = known.is_none_or(|known| skew_ms.abs_diff(known) > CLOCK_STEP_MS);
        match moved || doubt.is_some() {
            true => self.write_clock(Some(skew_ms), None),
            false => Ok(()),
        }
    }

    pub(super) fn write_clock(&self, skew_ms: Option<i64>, doubt: Option<String>) -> Result<()> {
        self.w
            .conn
            .prepare_cached("UPDATE stations SET clock_skew_ms = ?2, clock_doubt = ?3 WHERE station_id = ?1")?
            .execute(params![self.station.as_str(), skew_ms, doubt])?;
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
