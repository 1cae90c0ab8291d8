//! How a database of SQLite is brought to the schema: its `user_version` is how many of the steps it has.

use rusqlite::Connection;

use crate::engine::schema::Schema;
use crate::error::{Result, StoreError};

impl Schema {
    /// The version of a database; 0: it is empty.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] if this schema does not reach as far.
    pub(crate) fn version_of(self, conn: &Connection) -> Result<i64> {
        let known = self.newest();
        let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match found > known {
            true => Err(StoreError::NewerSchema { found, known }),
            false => Ok(found),
        }
    }

    /// Takes a database through the steps that it lacks, each in a transaction of its own.
    pub(crate) fn migrate(self, conn: &mut Connection) -> Result<()> {
        let found = self.version_of(conn)?;
        for (done, step) in self.steps().iter().enumerate().skip(found as usize) {
            let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            // Another process may have migrated while we waited for the lock.
            if version == done as i64 {
                tx.execute_batch(step)?;
                tx.pragma_update(None, "user_version", done as i64 + 1)?;
            }
            tx.commit()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schema::{LATER, SCHEMA};

    /// A past before stations told since when they are away, and connectors since when they are as they are.
    const BEFORE_STATIONS: &str = r#"
        INSERT INTO stations (station_id, connected, offline, connected_at_ms, last_seen_at_ms, created_at_ms,
                              updated_at_ms)
        VALUES ('gone', 0, 1, 100, 150, 1, 1), ('forgotten', 0, 0, 100, 140, 1, 1), ('never', 0, 0, NULL, NULL, 1, 1),
               ('here', 1, 0, 300, 300, 1, 1), ('silent', 1, 1, 300, 300, 1, 1);
        INSERT INTO events (id, event, category, station_id, timestamp_ms, payload)
        VALUES ('a', 'StationDisconnected', 'station', 'gone', 90, '{"reason":"shutdown","replaced":false}'),
               ('b', 'StationDisconnected', 'station', 'gone', 160, '{"reason":"requested","replaced":false}'),
               ('c', 'StationDisconnected', 'station', 'gone', 170, '{"reason":"replaced","replaced":true}'),
               ('d', 'StationDisconnected', 'station', 'forgotten', 90, '{"reason":"shutdown","replaced":false}');
        INSERT INTO connectors (station_id, connector_id, status, error_code, updated_at_ms, as_of_ms)
        VALUES ('here', 1, 'Faulted', 'GroundFailure', 320, 310), ('here', 2, 'Available', 'NoError', 320, 330),
               ('deleted', 1, 'Available', 'NoError', 320, 310);
    "#;

    #[test]
    fn stations_and_connectors_of_before_tell_since_when_they_are_as_they_are() {
        let mut conn = Connection::open_in_memory().expect("in memory");
        SCHEMA.first(1).migrate(&mut conn).expect("the first version");
        conn.execute_batch(BEFORE_STATIONS).expect("a past");
        SCHEMA.migrate(&mut conn).expect("migrates");
        let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).expect("a text");
        let stations = text(
            "SELECT group_concat(station_id || ' ' || coalesce(disconnected_at_ms, '-') || ' '
                    || coalesce(disconnect_reason, '-') || ' ' || coalesce(offline_since_ms, '-'), '; ')
             FROM (SELECT * FROM stations ORDER BY seq)",
        );
        let expected = "gone 160 requested 160; forgotten 140 connection_lost 140; never - - -; here - - -; \
                        silent - - 300";
        assert_eq!(stations, expected);
        let connectors = text(
            "SELECT group_concat(station_seq || ' ' || connector_id || ' ' || since_ms || ' '
                    || coalesce(error_since_ms, '-'), '; ') FROM connectors",
        );
        assert_eq!(connectors, "4 1 310 310; 4 2 330 -");
    }

    #[test]
    fn the_history_of_a_database_with_rows_begins_with_what_is_known() {
        let mut conn = Connection::open_in_memory().expect("in memory");
        SCHEMA.first(3).migrate(&mut conn).expect("migrates");
        conn.execute_batch(
            "INSERT INTO meta (key, value) VALUES ('wall_offset_ms', 1000);
             INSERT INTO stations (station_id, created_at_ms, updated_at_ms, connected, offline,
                                   connected_at_ms, last_seen_at_ms)
             VALUES ('NEVER', 1, 1, 0, 0, NULL, NULL), ('THERE', 1, 1, 1, 0, 5, 9),
                    ('SILENT', 1, 1, 1, 1, 5, 9), ('GONE', 1, 1, 0, 1, 5, 9);
             INSERT INTO connectors (station_id, connector_id, status, error_code, updated_at_ms, as_of_ms)
             VALUES ('THERE', 1, 'Charging', 'NoError', 8, 7), ('THERE', 2, 'Faulted', 'GroundFailure', 8, 7),
                    ('THERE', 3, NULL, NULL, 8, 7), ('DELETED', 1, 'Available', NULL, 8, 7);",
        )
        .expect("inserts");
        SCHEMA.migrate(&mut conn).expect("migrates");
        let all = |sql: &str| {
            let mut statement = conn.prepare(sql).expect("prepares");
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("reads");
            rows.collect::<rusqlite::Result<Vec<_>>>().expect("texts")
        };
        assert_eq!(
            all("SELECT concat_ws(' ', station_id, connector_id, at_ms, status, error_code)
                 FROM connector_history ORDER BY 1"),
            ["THERE 1 1007 Charging", "THERE 2 1007 Faulted GroundFailure"]
        );
        assert_eq!(
            all("SELECT concat_ws(' ', station_id, at_ms, presence) FROM presence_history ORDER BY 1"),
            ["GONE 9 disconnected", "SILENT 9 silent", "THERE 5 connected"]
        );
    }

    #[test]
    fn a_database_is_taken_from_step_to_step_and_a_newer_one_is_refused() {
        let mut conn = Connection::open_in_memory().expect("in memory");
        for schema in [SCHEMA, SCHEMA, LATER, LATER] {
            schema.migrate(&mut conn).expect("migrates, and twice is once");
            assert_eq!(schema.version_of(&conn).expect("reads"), schema.newest());
        }
        let refused = SCHEMA.migrate(&mut conn).expect_err("newer");
        let StoreError::NewerSchema { found, known } = refused else { panic!("{refused}") };
        assert_eq!((found, known), (LATER.newest(), SCHEMA.newest()));
    }
}
