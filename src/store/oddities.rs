//! The oddities that a station is known for, shown as its `flags`.

use rusqlite::params;

use super::error::Result;
use super::writer::Writing;
use crate::id::StationId;

/// Kinds of oddities remembered per station.
const MAX_FLAGS: usize = 64;

/// Adds oddities to those the station is known for; writes only if one is new.
pub(super) fn add_flags<'a>(
    w: &Writing<'_>,
    id: &StationId,
    known: &str,
    seen: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let mut flags: Vec<String> = serde_json::from_str(known).unwrap_or_default();
    let before = flags.len();
    for flag in seen {
        if flags.len() < MAX_FLAGS && !flags.iter().any(|known| known == flag) {
            flags.push(flag.to_owned());
        }
    }
    if flags.len() > before { write(w, id, &flags) } else { Ok(()) }
}

/// Takes back an oddity that the station may have lost.
pub(super) fn remove_flag(w: &Writing<'_>, id: &StationId, known: &str, lost: &str) -> Result<()> {
    let mut flags: Vec<String> = serde_json::from_str(known).unwrap_or_default();
    let before = flags.len();
    flags.retain(|flag| flag != lost);
    if flags.len() < before { write(w, id, &flags) } else { Ok(()) }
}

fn write(w: &Writing<'_>, id: &StationId, flags: &[String]) -> Result<()> {
    w.conn
        .prepare_cached("UPDATE stations SET flags = ?2 WHERE station_id = ?1")?
        .execute(params![id.as_str(), serde_json::to_string(flags)?])?;
    Ok(())
}
