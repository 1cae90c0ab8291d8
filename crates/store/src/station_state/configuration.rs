//! Each station's configuration as it was last read or set.

use crate::Store;
use crate::command_result::{CommandVerdict, EndedCommand};
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::api::station::ConfigurationKey;
use vocabulary::id::StationId;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::purpose::SetConfiguration;

/// Keys kept per station: chargers have a hundred, and one that invents new ones must not fill the disk.
const KEYS_PER_STATION: usize = 2_000;

/// The longest key that is kept, in characters; OCPP's has 50. What the station said stands in the command.
const KEY_CHARS_MAX: usize = 500;

impl Store {
    /// The configuration of a station as far as it is known, by key.
    pub async fn configuration(&self, station: StationId) -> Result<Vec<ConfigurationKey>> {
        self.read(move |db| {
            db.all(
                "SELECT key, value, readonly, known, pending_reboot, read_at_ms, set_at_ms
                 FROM configuration_keys WHERE station_id = ?1 ORDER BY folded_key",
                params![station],
                read,
            )
        })
        .await
    }
}

fn read(row: &Row<'_>) -> Result<ConfigurationKey> {
    Ok(ConfigurationKey {
        key: row.get(0)?,
        value: row.get(1)?,
        readonly: row.get(2)?,
        known: row.get(3)?,
        pending_reboot: row.get(4)?,
        read_at: row.get(5)?,
        set_at: row.get(6)?,
    })
}

/// What is new about a key.
#[derive(Default)]
struct News<'a> {
    key: &'a str,
    known: bool,
    value: Option<&'a str>,
    readonly: Option<bool>,
    pending_reboot: Option<bool>,
    /// It was set rather than read.
    set: bool,
}

/// A `GetConfiguration` was answered, possibly late: what it tells is true either way.
pub(crate) fn told(w: &Tx<'_>, command: &EndedCommand<'_>) -> Result<()> {
    let Some(response) = command.response else { return Ok(()) };
    let Ok(response) = serde_json::from_str(response.get()) else { return Ok(()) };
    let told = command.action.configuration(&response);
    let known = told.keys.iter().map(|entry| News {
        key: &entry.key,
        known: true,
        value: entry.value.as_deref(),
        readonly: entry.readonly,
        ..News::default()
    });
    let unknown = told.unknown.iter().map(|key| News { key, ..News::default() });
    note(w, command.station, known.chain(unknown))
}

/// A key was to be set: the command has ended, or was answered after that.
pub(crate) fn changed(
    w: &Tx<'_>,
    command: &EndedCommand<'_>,
    asked: &SetConfiguration,
    verdict: CommandVerdict,
) -> Result<()> {
    let news = match verdict {
        CommandVerdict::Accepted => News {
            key: &asked.key,
            known: true,
            value: asked.value.as_deref(),
            pending_reboot: Some(command.answers(CommandAction::needs_reboot)),
            set: true,
            ..News::default()
        },
        CommandVerdict::Refused if command.answers(CommandAction::knows_no_such_key) => {
            News { key: &asked.key, set: true, ..News::default() }
        }
        // The key is as it was, or nobody knows: what was last known stays.
        CommandVerdict::Refused | CommandVerdict::Unknown | CommandVerdict::NeverSent => return Ok(()),
    };
    note(w, command.station, std::iter::once(news))
}

/// Writes what is new, the last of several where a key comes twice.
fn note<'a>(w: &Tx<'_>, station: &StationId, news: impl Iterator<Item = News<'a>>) -> Result<()> {
    let kept: i64 =
        w.one("SELECT count(*) FROM configuration_keys WHERE station_id = ?1", params![station], |row| {
            row.get(0)
        })?;
    let mut room = KEYS_PER_STATION.saturating_sub(kept.max(0) as usize);
    let news = news.filter(|news| news.key.chars().count() <= KEY_CHARS_MAX);
    for news in news.take(KEYS_PER_STATION) {
        let (read_at, set_at) = if news.set { (None, Some(w.now)) } else { (Some(w.now), None) };
        let values = params![
            station,
            news.key,
            news.value,
            news.readonly,
            news.known,
            news.pending_reboot,
            read_at,
            set_at
        ];
        let updated = w.run(
            "UPDATE configuration_keys
             SET key = ?2, value = ?3, readonly = coalesce(?4, readonly), known = ?5,
                 pending_reboot = CASE WHEN ?5 = 1 THEN coalesce(?6, pending_reboot) ELSE 0 END,
                 read_at_ms = coalesce(?7, read_at_ms), set_at_ms = coalesce(?8, set_at_ms)
             WHERE station_id = ?1 AND folded_key = lower(?2)",
            values,
        )?;
        if updated == 0 && room > 0 {
            room -= 1;
            w.run(
                "INSERT INTO configuration_keys (station_id, folded_key, key, value, readonly, known,
                                                 pending_reboot, read_at_ms, set_at_ms)
                 VALUES (?1, lower(?2), ?2, ?3, ?4, ?5, coalesce(?6, 0), ?7, ?8)",
                values,
            )?;
        }
    }
    Ok(())
}

/// The station has booted: what waited for that has taken effect.
pub(crate) fn booted(w: &Tx<'_>, station: &StationId) -> Result<()> {
    w.run(
        "UPDATE configuration_keys SET pending_reboot = 0 WHERE station_id = ?1 AND pending_reboot = 1",
        params![station],
    )?;
    Ok(())
}

/// The station is gone.
pub(crate) fn forget(w: &Tx<'_>, station: &StationId) -> Result<()> {
    w.run("DELETE FROM configuration_keys WHERE station_id = ?1", params![station])?;
    Ok(())
}
