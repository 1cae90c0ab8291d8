//! A boot: who the charger is now, and whether anybody asked it to boot.

use std::time::Duration;

use super::{Answered, CallTx};
use crate::engine::sql::params;
use crate::error::Result;
use crate::station_state::flags::{BOOT_LOOP, Until};
use crate::station_state::{boot_loops, configuration, unsupported_actions};
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::fact::Booted;
use vocabulary::ocpp::message::{Inbound, Message};

impl CallTx<'_, '_> {
    pub(super) fn boot(&mut self, mut call: Inbound, message: &Message, boot: &Booted) -> Result<Answered> {
        let new_firmware = self.has_new_firmware(boot)?;
        let asked_for = new_firmware || self.was_to_boot_again()?;
        self.flags.over(Until::BootsApart);
        if let Some(boots) = boot_loops::count(self.w, self.station, asked_for)? {
            let minutes = boot_loops::LOOP_WINDOW.as_secs() / 60;
            let problem =
                format!("{BOOT_LOOP}: {boots} boots within {minutes} minutes that nobody asked for");
            call.violations.push(Violation::message(problem));
            self.in_boot_loop = true;
        }
        if self.known.booted_at.is_some() {
            self.flags.over(Until::NextBoot);
        }
        if new_firmware {
            self.flags.over(Until::NewFirmware);
            unsupported_actions::forget(self.w, self.station)?;
        }
        if self.clock_was_never_set() {
            // It counts anew with its power: what it showed before says nothing of what it shows now.
            self.write_clock(None, None)?;
        }
        self.record_boot(boot)?;
        configuration::booted(self.w, self.station)?;
        self.append_and_answer(call, message, None)
    }

    /// Who the charger says it is, and that it was answered.
    fn record_boot(&self, boot: &Booted) -> Result<()> {
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
    fn has_new_firmware(&self, boot: &Booted) -> Result<bool> {
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
    fn was_to_boot_again(&self) -> Result<bool> {
        let answered: Option<Option<BootStatus>> = self.w.maybe(
            "SELECT booted_as FROM stations WHERE station_id = ?1",
            params![self.station],
            |row| row.maybe_word(0),
        )?;
        let (Some(Some(answered)), Some(booted_at)) = (answered, self.known.booted_at) else {
            return Ok(false);
        };
        let waited = self.w.now.since(booted_at);
        let was_to_wait = Duration::from_secs(self.policy.heartbeat_interval_s.into());
        let is_accepted = self.known.boot_status == BootStatus::Accepted;
        Ok(answered != BootStatus::Accepted && (is_accepted || waited >= was_to_wait))
    }
}
