//! What the header of a database file says of the program that has made it.

use rusqlite::Connection;

use crate::error::Result;

/// A kind of file of ours.
pub(crate) struct Kind {
    /// What its header says of the program that made it (`PRAGMA application_id`).
    pub(super) id: i32,
    /// What development versions before 0.2.0 wrote there. Their schemas had numbers too, which mean other
    /// schemas than the same numbers do now, so that their files are told apart by this.
    pub(super) development: Option<i32>,
}

/// The database: `CHG2`, and `CHGH` before 0.2.0.
pub(crate) const DATABASE: Kind = Kind { id: 0x4348_4732, development: Some(0x4348_4748) };

/// The search index: `CHGS`.
pub(crate) const SEARCH: Kind = Kind { id: 0x4348_4753, development: None };

/// Says in the file that it is of this kind.
pub(crate) fn mark(conn: &Connection, kind: &Kind) -> Result<()> {
    if application_id(conn)? != kind.id {
        conn.pragma_update(None, "application_id", kind.id)?;
    }
    Ok(())
}

pub(super) fn application_id(conn: &Connection) -> rusqlite::Result<i32> {
    conn.query_row("PRAGMA application_id", [], |row| row.get(0))
}
