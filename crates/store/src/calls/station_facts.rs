//! The state of a station and its connectors, as messages change it.

use std::time::Duration;

use super::CallTx;
use crate::engine::sql::params;
use crate::error::Result;
use crate::history::connector_status;
use crate::station_state::boot_loops;
use crate::station_state::flags::{BOOT_LOOP, FLAPPING, Until};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::fact::{ConnectorStatus, Report};

/// A connection that lasts longer is not replaced all the time.
const FLAPPING_FOR: Duration = Duration::from_secs(60);

impl CallTx<'_, '_> {
    /// Oddities that are over because nothing more came of them for a while.
    pub(super) fn end_flags_by_time(&mut self) -> Result<()> {
        let lasts_for = |since: Option<Timestamp>| since.map_or(Duration::ZERO, |at| self.w.now.since(at));
        if self.known.flags.contains(BOOT_LOOP) && lasts_for(self.known.booted_at) >= boot_loops::LOOP_WINDOW
        {
            self.flags.over(Until::BootsApart);
        }
        if self.known.flags.contains(FLAPPING) {
            let connected_at: Option<Option<Timestamp>> = self.w.maybe(
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
    /// changes nothing, nor does one of a station that was deleted. What is told again keeps its beginning.
    pub(super) fn update_connector(
        &mut self,
        status: &ConnectorStatus,
        occurred_at: Option<Timestamp>,
    ) -> Result<()> {
        let Some(connector_id) = status.connector_id else { return Ok(()) };
        let as_of = self.as_of(occurred_at);
        const UPDATE: &str =
            "INSERT INTO connectors (station_id, connector_id, status, error_code, info, vendor_error_code,
                                     occurred_at_ms, updated_at_ms, as_of_ms, since_ms, error_since_ms,
                                     station_seq)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, s.seq
             FROM stations AS s WHERE s.station_id = ?1
             ON CONFLICT (station_id, connector_id) DO UPDATE
             SET status = excluded.status, error_code = excluded.error_code, info = excluded.info,
                 vendor_error_code = excluded.vendor_error_code, occurred_at_ms = excluded.occurred_at_ms,
                 updated_at_ms = excluded.updated_at_ms, as_of_ms = excluded.as_of_ms,
                 since_ms = CASE WHEN connectors.status IS NOT DISTINCT FROM excluded.status
                                 THEN connectors.since_ms ELSE excluded.since_ms END,
                 error_since_ms = CASE WHEN connectors.error_code IS NOT DISTINCT FROM excluded.error_code
                                       THEN connectors.error_since_ms ELSE excluded.error_since_ms END
             WHERE connectors.as_of_ms <= excluded.as_of_ms";
        let (as_of_ms, error_since) =
            (as_of.unix_ms() - self.w.wall_offset_ms, status.has_error.then_some(as_of));
        let values = params![
            self.station,
            connector_id,
            status.status,
            status.error_code,
            status.info,
            status.vendor_error_code,
            occurred_at,
            self.w.now,
            as_of_ms,
            as_of,
            error_since,
        ];
        let held = connector_status::newest(self.w, self.station, connector_id)?;
        let is_newest = match connector_status::is_behind(held.as_ref(), as_of) {
            // Nobody has to wait for how the row stood.
            true => self.w.send(UPDATE, values).map(|()| true)?,
            false => self.w.run(UPDATE, values)? == 1,
        };
        connector_status::note(self.w, self.station, status, as_of, (held, is_newest))
    }

    /// What the charger reports of itself, in place of what it reported before.
    pub(super) fn keep_report(&self, report: Report, value: Option<&str>) -> Result<()> {
        self.w.send(
            &format!("UPDATE stations SET {report} = ?2 WHERE station_id = ?1"),
            params![self.station, value],
        )
    }
}
