//! The numbers that rows get by themselves (identity columns).

use crate::engine::postgres::driver::{self, Connection};
use crate::engine::sql::params;
use crate::error::Result;

/// Moves on the number of the last row of every table, by the step that `step` names for the table: numbers
/// that somebody else may have seen are not given again.
pub(crate) fn skip(conn: &Connection, step: impl Fn(&str) -> i64) -> Result<()> {
    for (table, _, sequence) in counting_tables(conn)? {
        // What `nextval` gives is one more than the last number.
        let sql = "SELECT setval(CAST(?1 AS regclass), nextval(CAST(?1 AS regclass)) + ?2)";
        driver::one(conn, sql, params![sequence, step(&table) - 1], |_| Ok(()))?;
    }
    Ok(())
}

/// Sets the number of the last row of every table to what `last` names for the table and its column.
pub(crate) fn go_on_behind(conn: &Connection, last: impl Fn(&str, &str) -> Result<i64>) -> Result<()> {
    for (table, column, sequence) in counting_tables(conn)? {
        let last = last(&table, &column)?;
        if last > 0 {
            let sql = "SELECT setval(CAST(?1 AS regclass), ?2)";
            driver::one(conn, sql, params![sequence, last], |_| Ok(()))?;
        }
    }
    Ok(())
}

/// Tables whose rows are numbered once and for all, their numbers' column, and what numbers them.
fn counting_tables(conn: &Connection) -> Result<Vec<(String, String, String)>> {
    let mut tables = Vec::new();
    let sql = "SELECT table_name, column_name, pg_get_serial_sequence(quote_ident(table_name), column_name)
               FROM information_schema.columns
               WHERE table_schema = current_schema() AND is_identity = 'YES' ORDER BY 1";
    driver::each(conn, sql, &[], |row| {
        tables.push((driver::get(row, 0)?, driver::get(row, 1)?, driver::get(row, 2)?));
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(tables)
}
