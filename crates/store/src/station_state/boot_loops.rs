//! Boots that nobody asked for, and the loops they make (quirk Q32).

use std::time::Duration;

use crate::command_result::{CommandVerdict, EndedCommand, SentCommand};
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::id::StationId;
use vocabulary::ocpp::command::CommandAction;

/// So many boots within [`LOOP_WINDOW`] are a loop.
const LOOP_BOOTS: usize = 3;

/// A charger needs a minute to boot, and nobody needs three boots in five.
pub(crate) const LOOP_WINDOW: Duration = Duration::from_secs(300);

/// Boots that are remembered: a loop needs no more.
const REMEMBERED_BOOTS: usize = 20;

/// Takes in a boot; how many there were of late, if that makes a loop. One that was expected, or that
/// something else has `asked_for`, does not count.
pub(crate) fn count(w: &Tx<'_>, station: &StationId, asked_for: bool) -> Result<Option<usize>> {
    let known: Option<(bool, String)> = w.maybe(
        "SELECT boot_expected, recent_boots FROM stations WHERE station_id = ?1",
        params![station],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let Some((expected, recent)) = known else { return Ok(None) };
    let mut boots: Vec<i64> = serde_json::from_str(&recent).unwrap_or_default();
    let since_ms = w.monotonic.before(LOOP_WINDOW).unix_ms();
    boots.retain(|at_ms| *at_ms > since_ms);
    let counts = !expected && !asked_for;
    if counts {
        boots.push(w.monotonic.unix_ms());
        let surplus = boots.len().saturating_sub(REMEMBERED_BOOTS);
        boots.drain(..surplus);
    }
    w.run(
        "UPDATE stations SET boot_expected = 0, recent_boots = ?2 WHERE station_id = ?1",
        params![station, serde_json::to_string(&boots)?],
    )?;
    Ok((counts && boots.len() >= LOOP_BOOTS).then_some(boots.len()))
}

/// The station's next boot is no surprise.
pub(crate) fn expect(w: &Tx<'_>, station: &StationId) -> Result<()> {
    set_expected(w, station, true)
}

/// Nor is that of any station: they come back to a gateway that was started anew.
pub(crate) fn expect_all(w: &Tx<'_>) -> Result<()> {
    w.run("UPDATE stations SET boot_expected = 1", &[])?;
    Ok(())
}

/// A command is sent: some make a station boot, before it has answered too.
pub(crate) fn sent(w: &Tx<'_>, command: &SentCommand<'_>) -> Result<()> {
    match command.action.may_cause_boot(command.payload) {
        true => expect(w, command.station),
        false => Ok(()),
    }
}

/// A command has ended: what was refused makes no station boot, and some need a boot to take effect.
pub(crate) fn ended(w: &Tx<'_>, command: &EndedCommand<'_>, verdict: CommandVerdict) -> Result<()> {
    if command.answers(CommandAction::needs_reboot) {
        return expect(w, command.station);
    }
    match verdict == CommandVerdict::Refused && command.action.may_cause_boot(command.payload) {
        true => set_expected(w, command.station, false),
        false => Ok(()),
    }
}

fn set_expected(w: &Tx<'_>, station: &StationId, expected: bool) -> Result<()> {
    w.run(
        "UPDATE stations SET boot_expected = ?2 WHERE station_id = ?1 AND boot_expected <> ?2",
        params![station, expected],
    )?;
    Ok(())
}
