//! Ids go on where the last run stopped.

use rusqlite::Connection;

use crate::LogPosition;
use crate::engine::sql::FromCell;
use crate::engine::sqlite::driver;
use crate::error::Result;
use vocabulary::id::{
    ApiKeyId, BulkCommandId, CommandId, DeliveryId, EventId, IdMint, ReplayId, ReservationId,
};

/// What the last run has given last.
pub(crate) struct NewestIds {
    /// Where the newest event stands.
    pub(crate) event: LogPosition,
    /// Goes on behind everything that was ever minted.
    pub(crate) mint: IdMint,
}

impl NewestIds {
    pub(crate) fn of(conn: &Connection) -> Result<Self> {
        let newest_event = "SELECT seq, id FROM events ORDER BY seq DESC LIMIT 1";
        let newest: Option<(LogPosition, EventId)> =
            driver::maybe(conn, newest_event, &[], |row| Ok((driver::get(row, 0)?, driver::get(row, 1)?)))?;
        let (event, value) = newest.map_or((LogPosition::START, 0), |(event, id)| (event, id.value()));
        // The newest of all may be of any kind: where the clock has stepped back, the next one is only one
        // more.
        let others = [
            newest_id(conn, "deliveries")?.map(DeliveryId::value),
            newest_id(conn, "commands")?.map(CommandId::value),
            newest_id(conn, "bulk_commands")?.map(BulkCommandId::value),
            newest_id(conn, "replays")?.map(ReplayId::value),
            newest_id(conn, "reservations")?.map(ReservationId::value),
            newest_id(conn, "api_keys")?.map(ApiKeyId::value),
        ];
        let newest = others.into_iter().flatten().fold(value, u128::max);
        Ok(Self { event, mint: IdMint::after(newest) })
    }
}

fn newest_id<T: FromCell>(conn: &Connection, table: &str) -> Result<Option<T>> {
    let newest = format!("SELECT id FROM {table} ORDER BY seq DESC LIMIT 1");
    driver::maybe(conn, &newest, &[], |row| driver::get(row, 0))
}

#[cfg(test)]
mod tests {
    use crate::Store;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn no_id_is_given_twice_whatever_kind_was_the_newest_before_a_restart() {
        if crate::test_store::is_shared() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        store.seed_events("CP", 1).await.expect("an event");
        store
            .seed_run(
                "INSERT INTO replays (id, selection, status, matched, position, end_position, requested_by_id,
                                      requested_by_name, requested_at_ms, created_at_ms)
                 VALUES ('rpl_7zzzzzzzzzzzzzzzzzzzzzzzz0', '{\"kind\":\"resend\"}', 'running', 0, 0, 0, 'k', 'k', 0, 0)",
            )
            .await;
        store.close();
        let store = Store::open(dir.path(), Clock::System).expect("again");
        let next = store.seed_events("CP", 1).await.expect("an event");
        assert_eq!(next[0].to_string(), "evt_7zzzzzzzzzzzzzzzzzzzzzzzz1");
    }
}
