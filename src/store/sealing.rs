//! A database and its key: whether they belong together, and how one that was plain is sealed.
//!
//! **Invariant**: `meta` holds `secrets_check` exactly when every secret in the database is sealed, and
//! `secrets_residue` as long as its file may still hold some in pages that nothing uses.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use tracing::{info, warn};

use super::error::{KeyFault, Result, StoreError};
use super::schema;
use super::secrets_key::{KeySource, SecretsKey};
use super::vault::{Cell, Vault, cell};
use crate::ocpp::v16::{FromCentralSystem, command};

/// The entry of `meta` that only the right key opens, and what it holds.
const CHECK: &str = "secrets_check";
const CHECK_TEXT: &str = "chargehook";

/// The entry of `meta` that asks for the file to be written anew.
const RESIDUE: &str = "secrets_residue";

/// The key of the database at `path`, which need not exist; made if nothing is sealed yet. The database is
/// not changed, nor anything beside it, unless the key is the right one.
///
/// # Errors
/// [`StoreError::Key`]; the file's.
pub(super) fn unlock(path: &Path, source: &KeySource) -> Result<Vault> {
    let sealed = match path.exists() {
        true => check_of(&schema::open_untouched(path)?)?,
        false => None,
    };
    match sealed {
        None => Ok(Vault::new(&source.read_or_make()?)),
        Some(check) => fitting(&check, source).map(|(vault, _)| vault),
    }
}

/// The key that opens `check`.
fn fitting(check: &str, source: &KeySource) -> Result<(Vault, SecretsKey)> {
    let key = match (source.read()?, source) {
        (Some(key), _) => key,
        (None, KeySource::File(path)) => return Err(KeyFault::Missing(path.clone()).into()),
        (None, KeySource::Given(_)) => return Err(KeyFault::Wrong(source.to_string()).into()),
    };
    let vault = Vault::new(&key);
    match vault.open(cell::CHECK, CHECK, check) {
        Ok(text) if text == CHECK_TEXT => Ok((vault, key)),
        _ => Err(KeyFault::Wrong(source.to_string()).into()),
    }
}

/// The key of `source` if it is the one that the secrets of this database are sealed with; `None` if nothing
/// is sealed in it.
pub(super) fn key_of(conn: &Connection, source: &KeySource) -> Result<Option<SecretsKey>> {
    check_of(conn)?.map(|check| fitting(&check, source).map(|(_, key)| key)).transpose()
}

/// Whether anything in this database was sealed: then it needs its key.
pub(super) fn is_sealed(conn: &Connection) -> Result<bool> {
    check_of(conn).map(|check| check.is_some())
}

fn check_of(conn: &Connection) -> Result<Option<String>> {
    let made: bool =
        conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')", [], |row| {
            row.get(0)
        })?;
    if !made {
        return Ok(None);
    }
    let check =
        conn.query_row("SELECT value FROM meta WHERE key = ?1", [CHECK], |row| row.get(0)).optional()?;
    Ok(check)
}

/// Seals what a database holds in the clear, once; afterwards nothing of it is left in the file.
/// `fresh`: it was made just now, so there is nothing that could be left.
pub(super) fn settle(conn: &mut Connection, vault: &Vault, fresh: bool) -> Result<()> {
    if check_of(conn)?.is_none() {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        seal_all(&tx, vault)?;
        let check = vault.seal(cell::CHECK, CHECK, CHECK_TEXT)?;
        tx.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", [CHECK, &check])?;
        if !fresh {
            tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, 1)", [RESIDUE])?;
        }
        tx.commit()?;
    }
    let residue =
        conn.query_row("SELECT EXISTS (SELECT 1 FROM meta WHERE key = ?1)", [RESIDUE], |row| row.get(0))?;
    if residue {
        sweep(conn)?;
    }
    Ok(())
}

/// Writes the file anew, without the pages that nothing uses any more, and empties the write-ahead log.
fn sweep(conn: &Connection) -> Result<()> {
    info!(
        "the secrets in the database are sealed now; its file is written anew once, so that none is left in it"
    );
    let swept = conn.execute_batch("VACUUM").and_then(|()| {
        let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
        if busy {
            return Ok(false);
        }
        conn.execute("DELETE FROM meta WHERE key = ?1", [RESIDUE])?;
        Ok(true)
    });
    match swept {
        Ok(true) => {}
        Ok(false) => {
            warn!("somebody reads the database: its file may hold secrets in the clear until the next start")
        }
        // A full disk, most likely: no reason not to serve.
        Err(error) => warn!(
            "the database could not be written anew, so its file may still hold secrets in the clear; the next \
             start tries it again: {error}"
        ),
    }
    Ok(())
}

/// Columns of text that are sealed as they are, and what names their rows.
const TEXTS: [(&str, &str, &str, Cell); 6] = [
    ("webhooks", "signing_secret", "id", cell::SIGNING_SECRET),
    ("webhooks", "secret_value", "id", cell::SECRET_VALUE),
    ("webhooks", "custom_headers", "id", cell::WEBHOOK_HEADERS),
    ("webhook_previous_secrets", "signing_secret", "webhook_id", cell::PREVIOUS_SECRET),
    ("events", "custom_headers", "id", cell::EVENT_HEADERS),
    ("deliveries", "secret", "id", cell::DELIVERY_SECRET),
];

fn seal_all(conn: &Connection, vault: &Vault) -> Result<()> {
    for (table, column, id, cell) in TEXTS {
        let plain: Vec<(String, String)> = conn
            .prepare(&format!(
                "SELECT CAST({id} AS TEXT), {column} FROM {table} WHERE {column} IS NOT NULL AND {column} <> '{{}}'"
            ))?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut update =
            conn.prepare(&format!("UPDATE {table} SET {column} = ?3 WHERE {id} = ?1 AND {column} = ?2"))?;
        for (row, text) in plain {
            let sealed = vault.seal(cell, &row, &text)?;
            update.execute(params![row, text, sealed])?;
        }
    }
    seal_commands(conn, vault)?;
    seal_requests(conn, vault)
}

fn seal_commands(conn: &Connection, vault: &Vault) -> Result<()> {
    let action = FromCentralSystem::ChangeConfiguration;
    let queued: Vec<(String, String)> = conn
        .prepare("SELECT id, payload FROM commands WHERE status = 'queued' AND action = ?1")?
        .query_map([action.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, text) in queued {
        let payload = serde_json::value::RawValue::from_string(text)
            .map_err(|error| StoreError::Corrupt(format!("command {id}: {error}")))?;
        if command::new_password(action, &payload).is_some() {
            let sealed = vault.seal(cell::COMMAND_PAYLOAD, &id, payload.get())?;
            conn.execute(
                "UPDATE commands SET payload = ?2, sealed_payload = ?3 WHERE id = ?1",
                params![id, command::shown(action, &payload).get(), sealed],
            )?;
        }
    }
    Ok(())
}

fn seal_requests(conn: &Connection, vault: &Vault) -> Result<()> {
    type Kept = (String, String, Vec<u8>, Option<Vec<u8>>);
    let kept: Vec<Kept> = conn
        .prepare("SELECT api_key_id, idempotency_key, request_hash, body FROM idempotent_requests")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (api_key, key, hash, body) in kept {
        let row = format!("{api_key}/{key}");
        let hash = vault.seal_bytes(cell::REQUEST_HASH, &row, &hash)?;
        let body = body.map(|body| vault.seal_bytes(cell::REQUEST_ANSWER, &row, &body)).transpose()?;
        conn.execute(
            "UPDATE idempotent_requests SET request_hash = ?3, body = ?4 WHERE api_key_id = ?1 AND idempotency_key = ?2",
            params![api_key, key, hash, body],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::store::{DATABASE, LaneClaim, Store, Turn};

    /// A database of before there was a key, with secrets of every kind and what is left of deleted ones.
    const PLAIN: &str = r#"
        INSERT INTO webhooks (name, url, status, events, stations, secret_header, secret_value, signing_secret,
            format, custom_headers, ordering, ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight,
            created_at_ms, updated_at_ms)
        VALUES ('old', 'https://example.com/', 'active', '["*"]', '["*"]', 'x-key', 'PLAIN-value', 'PLAIN-signing',
            'flat', '{"x-token":"PLAIN-header"}', 'none', 1000, 1000, '["1s"]', 1, 1, 1);
        INSERT INTO webhooks SELECT 7, 'gone', url, status, disabled_reason, events, stations, owner_id, secret_header,
            'PLAIN-gone' || hex(zeroblob(3000)), signing_secret, format, custom_headers, filter, ordering,
            ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight, rate_limit, 0, 0, NULL, 0, 1, 1,
            NULL, NULL, NULL FROM webhooks;
        DELETE FROM webhooks WHERE id = 7;
        INSERT INTO webhook_previous_secrets VALUES (1, 'PLAIN-previous', 9000000000000);
        INSERT INTO events (id, event, category, timestamp_ms, payload, custom_headers, target)
        VALUES ('evt_00000000010000000000000000', 'a.b', 'custom', 1, '{}', '{"x-token":"PLAIN-sent"}', 'url');
        INSERT INTO origins (origin) VALUES ('https://example.com');
        INSERT INTO deliveries (id, event_seq, url, origin_id, secret, status, due_at_ms, scheduled_at_ms, created_at_ms)
        VALUES ('dlv_00000000010000000000000000', 1, 'https://example.com/x', 1, 'PLAIN-dynamic', 'scheduled', 1, 1, 1);
        INSERT INTO stations (station_id, connected, connection_generation, booted_as, created_at_ms, updated_at_ms)
        VALUES ('CP', 0, 0, 'accepted', 1, 1);
        INSERT INTO commands (id, station_id, action, payload, timeout_ms, queue, requested_by_id, requested_by_name,
            status, generation, expires_at_ms, created_at_ms)
        VALUES ('cmd_00000000010000000000000000', 'CP', 'ChangeConfiguration',
            '{"key":"AuthorizationKey","value":"PLAIN-password"}', 1000, 1, 'key_00000000010000000000000000', 'k',
            'queued', 0, 9000000000000, 1);
        INSERT INTO idempotent_requests VALUES ('key_00000000010000000000000000', 'once', X'01', 201, '[]',
            CAST('PLAIN-answer' AS BLOB), 1);
    "#;

    fn holds_plain(dir: &Path) -> bool {
        let files = std::fs::read_dir(dir).expect("a directory");
        let mut all = files.map(|file| std::fs::read(file.expect("a file").path()).expect("reads"));
        all.any(|bytes| bytes.windows(6).any(|window| window == b"PLAIN-"))
    }

    #[tokio::test]
    async fn a_plain_database_is_sealed_at_the_first_start_and_nothing_plain_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let conn = schema::open_writer(&dir.path().join(DATABASE)).expect("opens");
        schema::make_older(&conn, 9);
        conn.execute_batch(PLAIN).expect("inserts");
        drop(conn);
        assert!(holds_plain(dir.path()));

        let store = Store::open(dir.path(), Clock::System).expect("opens");
        assert!(!holds_plain(dir.path()), "neither rows, nor free pages, nor the write-ahead log");
        let lane = store.lane(1).await.expect("reads").expect("is there");
        let signing: Vec<_> = lane.signing_secrets.iter().map(|secret| secret.text.as_str()).collect();
        assert_eq!(signing, ["PLAIN-signing", "PLAIN-previous"]);
        assert_eq!(lane.secret, Some(("x-key".to_owned(), "PLAIN-value".to_owned())));
        assert_eq!(lane.custom_headers["x-token"], "PLAIN-header");
        let claim = LaneClaim {
            webhook_id: -1,
            limit: 1,
            resends_only: false,
            order_max_wait: Duration::ZERO,
            after_station: String::new(),
        };
        let claimed = store.claim(vec![claim]).await.expect("claims");
        let delivery = &claimed[0].deliveries[0];
        assert_eq!(delivery.event.custom_headers["x-token"], "PLAIN-sent");
        let elsewhere = delivery.elsewhere.as_ref().expect("a URL of its own");
        assert_eq!(elsewhere.secret.as_deref(), Some("PLAIN-dynamic"));
        store.seed_run("UPDATE stations SET connected = 1, booted_at_ms = 1").await;
        let turn = store.claim_command("CP".parse().expect("an id"), 0).await.expect("claims");
        let Turn::Send(outgoing) = turn else { panic!("{turn:?}") };
        assert_eq!(outgoing.payload.get(), r#"{"key":"AuthorizationKey","value":"PLAIN-password"}"#);
        let shown = store.command(outgoing.id).await.expect("reads").expect("is there");
        assert!(!shown.payload.get().contains("PLAIN"), "{}", shown.payload);
        assert!(!holds_plain(dir.path()), "not even once it was used");
    }

    #[test]
    fn a_database_and_another_key_do_not_touch_each_other() {
        let dir = tempfile::tempdir().expect("a directory");
        Store::open(dir.path(), Clock::System).expect("opens").close();
        let (key, aside) = (dir.path().join("secrets.key"), dir.path().join("aside"));
        std::fs::rename(&key, &aside).expect("moves");
        let refused = Store::open(dir.path(), Clock::System).err().expect("refused");
        assert!(matches!(refused, StoreError::Key(KeyFault::Missing(_))), "{refused}");
        assert!(!key.exists(), "none is made for a database that has one");
        std::fs::write(&key, "00".repeat(32)).expect("writes");
        let refused = Store::open(dir.path(), Clock::System).err().expect("refused");
        assert!(matches!(refused, StoreError::Key(KeyFault::Wrong(_))), "{refused}");
        std::fs::rename(&aside, &key).expect("moves back");
        Store::open(dir.path(), Clock::System).expect("opens again").close();
    }
}
