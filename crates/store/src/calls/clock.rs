//! The station's clock: how far it is off, and when things happened by ours.

use super::CallTx;
use crate::engine::sql::params;
use crate::error::Result;
use crate::station_state::flags::{Until, of_clock};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::message::Inbound;
use vocabulary::ocpp::station_clock::{self, Finding, Sighting};

/// A message that is no older on its arrival is of a right clock.
const ORDINARY_DELAY_MS: i64 = 10_000;

/// How exactly it is known how far a clock is behind.
const BEHIND_EXACT_MS: i64 = 2_000;

/// A clock's skew changes by less than this with every message's way through the network.
const CLOCK_STEP_MS: u64 = 1_000;

impl CallTx<'_, '_> {
    /// Whether the station's clock was never set: its live messages lie years behind, or the first that it
    /// sends.
    pub(super) fn clock_was_never_set(&self) -> bool {
        self.clock_skew_ms.is_some_and(station_clock::was_never_set)
    }

    /// A time of the station's clock by ours; `None` if nobody knows how far that is off.
    pub(super) fn by_our_clock(&self, occurred_at: Option<Timestamp>) -> Option<Timestamp> {
        let (at, ahead_ms) = occurred_at.zip(self.clock_skew_ms)?;
        Some(Timestamp::from_unix_ms(at.unix_ms().saturating_sub(ahead_ms)))
    }

    /// When what a message tells came to be: by the station's own time, put right by how far its clock is
    /// behind for certain, and never after its arrival, so that a clock which was ahead keeps nothing from
    /// being told once it is set. Where there is no time to go by, when it came.
    pub(super) fn as_of(&self, occurred_at: Option<Timestamp>) -> Timestamp {
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
        self.w.send(
            "UPDATE stations SET clock_skew_ms = ?2, clock_doubt = ?3 WHERE station_id = ?1",
            params![self.station, skew_ms, doubt],
        )
    }
}
