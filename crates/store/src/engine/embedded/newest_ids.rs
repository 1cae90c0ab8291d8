//! Ids go on where the last run stopped.

use rusqlite::{Connection, OptionalExtension};

use crate::LogPosition;
use crate::engine::embedded::raw_cells;
use crate::error::Result;
use vocabulary::id::{ApiKeyId, CommandId, DeliveryId, EventId, IdMint, ReplayId, ReservationId};

/// Where the newest event stands, and a mint that goes on behind everything that was ever minted.
pub(crate) fn newest_ids(conn: &Connection) -> Result<(LogPosition, IdMint)> {
    let event: Option<(i64, EventId)> = conn
        .query_row("SELECT seq, id FROM events ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, raw_cells::parsed(row, 1)?))
        })
        .optional()?;
    let (seq, event) = event.map_or((0, 0), |(seq, id)| (seq, id.value()));
    // The newest of all may be of any kind: where the clock has stepped back, the next one is only one more.
    let others = [
        newest_id(conn, "deliveries")?.map(DeliveryId::value),
        newest_id(conn, "commands")?.map(CommandId::value),
        newest_id(conn, "replays")?.map(ReplayId::value),
        newest_id(conn, "reservations")?.map(ReservationId::value),
        newest_id(conn, "api_keys")?.map(ApiKeyId::value),
    ];
    let newest = others.into_iter().flatten().fold(event, u128::max);
    Ok((LogPosition::from_number(seq), IdMint::after(newest)))
}

fn newest_id<T>(conn: &Connection, table: &str) -> Result<Option<T>>
where
    T: std::str::FromStr<Err = vocabulary::id::InvalidId>,
{
    let sql = format!("SELECT id FROM {table} ORDER BY seq DESC LIMIT 1");
    Ok(conn.query_row(&sql, [], |row| raw_cells::parsed(row, 0)).optional()?)
}

#[cfg(test)]
mod tests {
    use crate::Store;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn no_id_is_given_twice_whatever_kind_was_the_newest_before_a_restart() {
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
