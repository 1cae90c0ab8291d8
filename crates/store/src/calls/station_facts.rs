//! What a charger's messages tell of the charger itself, kept on its row and those of its connectors.

use std::time::Duration;

use super::CallTx;
use crate::engine::sql::params;
use crate::error::Result;
use crate::station_state::boot_loops;
use crate::station_state::flags::{BOOT_LOOP, FLAPPING, Until, of_clock};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::fact::{Booted, ConnectorStatus};
use vocabulary::ocpp::message::Inbound;
use vocabulary::ocpp::station_clock::{self, Finding, Sighting};

/// A connection that lasts longer is not replaced all the time.
const FLAPPING_FOR: Duration = Duration::from_secs(60);

/// A message that is no older on its arrival is of a right clock.
const ORDINARY_DELAY_MS: i64 = 10_000;

/// How exactly it is known how far a clock is behind.
const BEHIND_EXACT_MS: i64 = 2_000;

/// A clock's skew changes by less than this with every message's way through the network.
const CLOCK_STEP_MS: u64 = 1_000;

impl CallTx<'_, '_> {
    /// Who the charger says it is, and that it was answered.
    pub(super) fn record_boot(&self, boot: &Booted) -> Result<()> {
        self.w.run(
            "UPDATE stations
             SET vendor = coalesce(?2, vendor), model = coalesce(?3, model),
                 serial_number = coalesce(?4, serial_number),
                 firmware_version = coalesce(?5, firmware_version),
                 booted_at_ms = ?6, updated_at_ms = ?6, booted_as = ?7
             WHERE station_id = ?1",
            params![
                self.station,
                boot.vendor,
                boot.model,
                boot.serial_number,
                boot.firmware_version,
                self.w.now,
                self.known.boot_status.as_str(),
            ],
        )?;
        Ok(())
    }

    /// Whether it boots with other firmware than it had, or is another charger altogether.
    pub(super) fn has_new_firmware(&self, boot: &Booted) -> Result<bool> {
        let known: Option<[Option<String>; 3]> = self.w.maybe(
            "SELECT firmware_version, vendor, model FROM stations WHERE station_id = ?1",
            params![self.station],
            |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]),
        )?;
        let said = [&boot.firmware_version, &boot.vendor, &boot.model];
        let differs = |(known, said): (&Option<String>, &Option<String>)| {
            known.as_ref().zip(said.as_ref()).is_some_and(|(known, said)| known != said)
        };
        Ok(known.is_some_and(|known| known.iter().zip(said).any(differs)))
    }

    /// Whether the answer to its last boot tells it to boot again by now: it was not accepted then, and
    /// either is by now or has waited as long as it was to.
    pub(super) fn was_to_boot_again(&self) -> Result<bool> {
        let answered: Option<Option<BootStatus>> = self.w.maybe(
            "SELECT booted_as FROM stations WHERE station_id = ?1",
            params![self.station],
            |row| row.maybe_word(0),
        )?;
        let (Some(Some(answered)), Some(booted_at_ms)) = (answered, self.known.booted_at_ms) else {
            return Ok(false);
        };
        let waited = self.w.now.since(Timestamp::from_unix_ms(booted_at_ms));
        let was_to_wait = Duration::from_secs(self.policy.heartbeat_interval_s.into());
        let is_accepted = self.known.boot_status == BootStatus::Accepted;
        Ok(answered != BootStatus::Accepted && (is_accepted || waited >= was_to_wait))
    }

    /// Oddities that are over because nothing more came of them for a while.
    pub(super) fn end_flags_by_time(&mut self) -> Result<()> {
        let lasts_for = |since_ms: Option<i64>| {
            since_ms.map_or(Duration::ZERO, |at_ms| self.w.now.since(Timestamp::from_unix_ms(at_ms)))
        };
        if self.known.flags.contains(BOOT_LOOP)
            && lasts_for(self.known.booted_at_ms) >= boot_loops::LOOP_WINDOW
        {
            self.flags.over(Until::BootsApart);
        }
        if self.known.flags.contains(FLAPPING) {
            let connected_at: Option<Option<i64>> = self.w.maybe(
                "SELECT connected_at_ms FROM stations WHERE station_id = ?1",
                params![self.station],
                |row| row.get(0),
            )?;
            if lasts_for(connected_at.flatten()) >= FLAPPING_FOR {
                self.flags.over(Until::CalmConnection);
            }
        }
        Ok(())
    }

    /// A connector as it is now, if it has a number. A status that comes out of a queue after a newer one
    /// changes nothing.
    pub(super) fn update_connector(
        &self,
        status: &ConnectorStatus,
        occurred_at: Option<Timestamp>,
    ) -> Result<()> {
        let Some(connector_id) = status.connector_id else { return Ok(()) };
        self.w.run(
            "INSERT INTO connectors (station_id, connector_id, status, error_code, info, vendor_error_code,
                                     occurred_at_ms, updated_at_ms, as_of_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (station_id, connector_id) DO UPDATE
             SET status = excluded.status, error_code = excluded.error_code, info = excluded.info,
                 vendor_error_code = excluded.vendor_error_code, occurred_at_ms = excluded.occurred_at_ms,
                 updated_at_ms = excluded.updated_at_ms, as_of_ms = excluded.as_of_ms
             WHERE connectors.as_of_ms <= excluded.as_of_ms",
            params![
                self.station,
                connector_id,
                status.status,
                status.error_code,
                status.info,
                status.vendor_error_code,
                occurred_at,
                self.w.now,
                self.as_of(occurred_at).unix_ms() - self.w.wall_offset_ms,
            ],
        )?;
        Ok(())
    }

    /// When what a message tells came to be: by the station's own time, put right by how far its clock is
    /// behind for certain, and never after its arrival, so that a clock which was ahead keeps nothing from
    /// being told once it is set. Where there is no time to go by, when it came.
    fn as_of(&self, occurred_at: Option<Timestamp>) -> Timestamp {
        let Some(occurred_at) = occurred_at else { return self.received_at };
        let behind_ms = self.clock_skew_ms.map_or(0, |ahead_ms| ahead_ms.min(0).saturating_neg());
        let is_ordinary = behind_ms <= ORDINARY_DELAY_MS;
        let put_right_ms = occurred_at.unix_ms().saturating_add(if is_ordinary { 0 } else { behind_ms });
        let late_ms = self.received_at.unix_ms().saturating_sub(put_right_ms);
        // What is known of a clock that is behind is as exact as its messages are quick.
        match late_ms <= 0 || (!is_ordinary && late_ms <= BEHIND_EXACT_MS) {
            true => self.received_at,
            false => Timestamp::from_unix_ms(put_right_ms),
        }
    }

    /// What a message's time tells of the station's clock, written only where it says something new.
    pub(super) fn update_clock(&mut self, sighting: &Sighting, call: &mut Inbound) -> Result<()> {
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
        let moved = known.is_none_or(|known| skew_ms.abs_diff(known) > CLOCK_STEP_MS);
        let skew_ms = if moved { skew_ms } else { known.unwrap_or(skew_ms) };
        self.clock_skew_ms = Some(skew_ms);
        match moved || doubt.is_some() {
            true => self.write_clock(Some(skew_ms), None),
            false => Ok(()),
        }
    }

    pub(super) fn write_clock(&self, skew_ms: Option<i64>, doubt: Option<String>) -> Result<()> {
        self.w.run(
            "UPDATE stations SET clock_skew_ms = ?2, clock_doubt = ?3 WHERE station_id = ?1",
            params![self.station, skew_ms, doubt],
        )?;
        Ok(())
    }

    /// How far an update or an upload has come, in the column that says so.
    pub(super) fn record_progress(&self, column: &'static str, status: Option<&str>) -> Result<()> {
        self.w.run(
            &format!("UPDATE stations SET {column} = ?2 WHERE station_id = ?1"),
            params![self.station, status],
        )?;
        Ok(())
    }
}
