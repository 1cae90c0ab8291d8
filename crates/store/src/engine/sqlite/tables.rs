//! The tables of a database of SQLite.

use rusqlite::Connection;

use crate::engine::tables::Table;
use crate::error::{Result, StoreError};

/// All tables; those that others refer to come before these.
pub(crate) fn in_order(conn: &Connection) -> Result<Vec<Table>> {
    let ours = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name";
    let mut rest: Vec<(Table, Vec<String>)> = Vec::new();
    for name in texts(conn, ours, "")? {
        let columns = texts(conn, "SELECT name FROM pragma_table_info(?1) ORDER BY cid", &name)?;
        let mut refers_to = texts(conn, "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?1)", &name)?;
        refers_to.retain(|other| *other != name);
        rest.push((Table { name, columns }, refers_to));
    }
    let mut ordered: Vec<Table> = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let is_free = |(_, refers_to): &(Table, Vec<String>)| {
            refers_to.iter().all(|other| ordered.iter().any(|table| table.name == *other))
        };
        let next = rest.iter().position(is_free);
        let next =
            next.ok_or_else(|| StoreError::Corrupt("tables refer to each other in a circle".to_owned()))?;
        ordered.push(rest.remove(next).0);
    }
    Ok(ordered)
}

/// One text of each row; the statement may have one value.
fn texts(conn: &Connection, sql: &str, value: &str) -> Result<Vec<String>> {
    let mut statement = conn.prepare(sql)?;
    if statement.parameter_count() > 0 {
        statement.raw_bind_parameter(1, value)?;
    }
    let mut rows = statement.raw_query();
    let mut texts = Vec::new();
    while let Some(row) = rows.next()? {
        texts.push(row.get(0)?);
    }
    Ok(texts)
}

/// The last number that a row of `table` has got by itself, as far as SQLite remembers it.
pub(crate) fn last_number(conn: &Connection, table: &str) -> Result<i64> {
    let sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?1), 0)";
    Ok(conn.query_row(sql, [table], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schema::SCHEMA;

    #[test]
    fn what_is_referred_to_comes_first() {
        let mut conn = Connection::open_in_memory().expect("in memory");
        SCHEMA.migrate(&mut conn).expect("migrates");
        let tables = in_order(&conn).expect("reads");
        let place = |name: &str| tables.iter().position(|table| table.name == name).expect(name);
        for (referred, refers) in [
            ("webhooks", "webhook_previous_secrets"),
            ("deliveries", "attempts"),
            ("bulk_commands", "bulk_command_stations"),
        ] {
            assert!(place(referred) < place(refers), "{refers}");
        }
        assert_eq!(tables[place("station_sequences")].columns, ["station_id", "last"]);
        assert!(tables.iter().all(|table| !table.name.starts_with("sqlite_")));
    }
}
