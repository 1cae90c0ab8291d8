//! The numbers that rows get by themselves (`AUTOINCREMENT`).

use rusqlite::Connection;

use crate::error::Result;

/// Moves on the number of the last row of every table, by the step that `step` names for the table: numbers
/// that somebody else may have seen are not given again.
pub(crate) fn skip(conn: &Connection, step: impl Fn(&str) -> i64) -> Result<()> {
    for table in counting_tables(conn)? {
        let step = step(&table);
        let known =
            conn.execute("UPDATE sqlite_sequence SET seq = seq + ?2 WHERE name = ?1", (&table, step))?;
        if known == 0 {
            conn.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (&table, step))?;
        }
    }
    Ok(())
}

/// The tables whose rows are numbered once and for all, as SQLite itself understands them: the text of a
/// schema says `AUTOINCREMENT` in comments and names too, and `sqlite_sequence` does not know tables that
/// never had a row.
fn counting_tables(conn: &Connection) -> Result<Vec<String>> {
    let keys: Vec<(String, String)> = conn
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
             WHERE t.type = 'table' AND c.pk = 1",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut counting = Vec::new();
    for (table, key) in keys {
        let (.., counts) = conn.column_metadata(None, table.as_str(), key.as_str())?;
        if counts {
            counting.push(table);
        }
    }
    Ok(counting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schema::SCHEMA;

    #[test]
    fn tables_that_count_are_those_that_sqlite_numbers() {
        let conn = Connection::open_in_memory().expect("in memory");
        conn.execute_batch(
            "CREATE TABLE counts (a INTEGER PRIMARY KEY /* once */ autoincrement, b TEXT);
             CREATE TABLE named (a INTEGER PRIMARY KEY, \"autoincrement\" TEXT);
             CREATE TABLE commented (a INTEGER PRIMARY KEY -- no AUTOINCREMENT
             );
             CREATE TABLE paired (a TEXT, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE VIEW looks AS SELECT 'AUTOINCREMENT' AS a FROM counts;
             INSERT INTO named VALUES (1, 'x');",
        )
        .expect("makes tables");
        assert_eq!(counting_tables(&conn).expect("reads"), ["counts"]);
        let mut ours = Connection::open_in_memory().expect("in memory");
        SCHEMA.migrate(&mut ours).expect("migrates");
        let counting = counting_tables(&ours).expect("reads");
        for table in ["events", "deliveries", "webhooks", "commands", "audit", "origins"] {
            assert!(counting.iter().any(|name| name == table), "{table}: {counting:?}");
        }
        assert!(!counting.iter().any(|name| name == "transactions"), "these are moved by themselves");
    }
}
