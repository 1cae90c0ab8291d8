//! Requests that carried an `Idempotency-Key`, and what they were answered, for a day.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use crate::access::request_record::RequestKey;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::secrecy::vault::{Vault, cell};
use crate::{Priority, Scope, Store};
use vocabulary::id::ApiKeyId;

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Old rows that one request takes away at most.
const SWEEP_ROWS: i64 = 100;

/// Where a request stands.
#[derive(Clone)]
pub enum RequestStanding {
    /// It is the first with this key, and is marked as running as long as this is held.
    First(RequestKey),
    /// The first one is still running.
    Running,
    /// It is another request than the first one with this key.
    Other,
    /// The first one was answered with this.
    Answered(KeptAnswer),
}

/// An answer, for the next time it is asked for.
#[derive(Clone)]
pub struct KeptAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Headers that belong to it.
    pub headers: Vec<(String, String)>,
    /// The body. It may show a secret, so it is sealed where it is kept.
    pub body: bytes::Bytes,
}

impl Store {
    /// Says where a request stands, and marks it as running if it is the first with its key. Nothing is
    /// written: that is done with the first change that it makes.
    pub async fn begin_request(
        &self,
        api_key: ApiKeyId,
        key: String,
        hash: [u8; 32],
    ) -> Result<RequestStanding> {
        let Some(running) = self.inner.running.begin(api_key, key, hash) else {
            return Ok(RequestStanding::Running);
        };
        let (vault, monotonic) = (self.vault(), self.monotonic().clone());
        self.read(move |conn| {
            let oldest = monotonic.to_wall(monotonic.now()).before(KEPT_FOR).unix_ms();
            let api_key = api_key.to_string();
            let known = conn
                .prepare_cached(
                    "SELECT request_hash, status, headers, body FROM idempotent_requests
                     WHERE api_key_id = ?1 AND idempotency_key = ?2 AND created_at_ms > ?3",
                )?
                .query_row(params![api_key, running.key, oldest], Row::read)
                .optional()?;
            match known {
                Some(row) => row.standing(&vault, &running.sealed_for(), &running.hash),
                None => Ok(RequestStanding::First(running)),
            }
        })
        .await
    }

    /// Frees the key of a request that nobody will answer.
    pub async fn forget_request(&self, api_key: ApiKeyId, key: String) -> Result<()> {
        self.write(Priority::Api, Scope::Installation, move |w| forget(w, api_key, &key)).await
    }
}

impl RequestKey {
    /// The place that what is kept under it is sealed for.
    fn sealed_for(&self) -> String {
        format!("{}/{}", self.api_key, self.key)
    }
}

/// Notes, with the first change of a request, that it runs.
pub(crate) fn begin(w: &Tx<'_>, key: &RequestKey) -> Result<()> {
    sweep(w)?;
    let hash = w.vault.seal_bytes(cell::REQUEST_HASH, key.sealed_for(), &key.hash)?;
    w.conn
        .prepare_cached(
            "INSERT INTO idempotent_requests (api_key_id, idempotency_key, request_hash, created_at_ms)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (api_key_id, idempotency_key) DO UPDATE SET request_hash = excluded.request_hash,
                status = NULL, headers = NULL, body = NULL, created_at_ms = excluded.created_at_ms",
        )?
        .execute(params![key.api_key.to_string(), key.key, hash, w.now.unix_ms()])?;
    Ok(())
}

/// Keeps the answer of a request.
pub(crate) fn keep(w: &Tx<'_>, key: &RequestKey, answer: &KeptAnswer) -> Result<()> {
    let headers = serde_json::to_string(&answer.headers)?;
    let hash = w.vault.seal_bytes(cell::REQUEST_HASH, key.sealed_for(), &key.hash)?;
    let body = w.vault.seal_bytes(cell::REQUEST_ANSWER, key.sealed_for(), &answer.body)?;
    w.conn
        .prepare_cached(
            "INSERT INTO idempotent_requests
                (api_key_id, idempotency_key, request_hash, status, headers, body, created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (api_key_id, idempotency_key) DO UPDATE SET request_hash = excluded.request_hash,
                status = excluded.status, headers = excluded.headers, body = excluded.body,
                created_at_ms = excluded.created_at_ms",
        )?
        .execute(params![
            key.api_key.to_string(),
            key.key,
            hash,
            answer.status,
            headers,
            body,
            w.now.unix_ms()
        ])?;
    Ok(())
}

/// Frees a key: its request changed nothing, or nobody will answer it.
pub(crate) fn forget(w: &Tx<'_>, api_key: ApiKeyId, key: &str) -> Result<()> {
    w.conn
        .prepare_cached("DELETE FROM idempotent_requests WHERE api_key_id = ?1 AND idempotency_key = ?2")?
        .execute(params![api_key.to_string(), key])?;
    Ok(())
}

/// Takes away some of what is too old.
fn sweep(w: &Tx<'_>) -> Result<()> {
    w.conn
        .prepare_cached(
            "DELETE FROM idempotent_requests WHERE (api_key_id, idempotency_key) IN
             (SELECT api_key_id, idempotency_key FROM idempotent_requests WHERE created_at_ms <= ?1
              ORDER BY created_at_ms LIMIT ?2)",
        )?
        .execute([w.now.before(KEPT_FOR).unix_ms(), SWEEP_ROWS])?;
    Ok(())
}

/// What is kept of a request. Its hash is sealed too: a body may hold a password that can be guessed.
struct Row {
    sealed_hash: Vec<u8>,
    status: Option<u16>,
    headers: Option<Vec<(String, String)>>,
    sealed_body: Option<Vec<u8>>,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            sealed_hash: row.get(0)?,
            status: row.get(1)?,
            headers: cells::maybe_json(row, 2)?,
            sealed_body: row.get(3)?,
        })
    }

    fn standing(self, vault: &Vault, sealed_for: &str, hash: &[u8]) -> Result<RequestStanding> {
        // Whatever this one says: the key is free again if the one that runs is refused.
        let Some(status) = self.status else { return Ok(RequestStanding::Running) };
        if vault.open_bytes(cell::REQUEST_HASH, sealed_for, &self.sealed_hash)? != hash {
            return Ok(RequestStanding::Other);
        }
        let body = self.sealed_body.unwrap_or_default();
        let body = vault.open_bytes(cell::REQUEST_ANSWER, sealed_for, &body)?.into();
        Ok(RequestStanding::Answered(KeptAnswer { status, headers: self.headers.unwrap_or_default(), body }))
    }
}

/// Forgets the requests that a crash cut off: nobody will ever answer them.
pub(crate) fn settle(w: &mut Tx<'_>) -> Result<()> {
    w.conn.execute("DELETE FROM idempotent_requests WHERE status IS NULL", [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, ChangeAnswer, Recording};
    use vocabulary::clock::Clock;

    fn by() -> ApiKeyId {
        ApiKeyId::from_value(1)
    }

    async fn begin(store: &Store, hash: u8) -> RequestStanding {
        store.begin_request(by(), "once".to_owned(), [hash; 32]).await.expect("reads")
    }

    /// Lets the first request with the key make a change.
    async fn changing(store: &Store, hash: u8) -> std::sync::Arc<Recording> {
        let RequestStanding::First(key) = begin(store, hash).await else { panic!("it is not the first") };
        let recording = Recording::of(Change::seed(by()), Some(key));
        let handler = store.put_on_record();
        store.recorded(recording.clone(), handler).await.expect("writes");
        recording
    }

    #[tokio::test]
    async fn a_crash_locks_no_key_and_a_request_that_runs_locks_its_own_for_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("opens");
        let runs = changing(&store, 1).await;
        assert!(matches!(begin(&store, 1).await, RequestStanding::Running));
        assert!(matches!(begin(&store, 2).await, RequestStanding::Running), "it may be refused yet");
        store.close();
        drop((runs, store));

        let store = Store::open(dir.path(), Clock::System).expect("opens again");
        let runs = changing(&store, 2).await;
        let answer = KeptAnswer { status: 201, headers: Vec::new(), body: "made".into() };
        store.settle_request(runs, ChangeAnswer::default(), Some(answer)).await.expect("writes");
        assert!(matches!(begin(&store, 1).await, RequestStanding::Other));
        let again = begin(&store, 2).await;
        assert!(matches!(again, RequestStanding::Answered(answer) if answer.body == "made"));
    }

    #[tokio::test]
    async fn a_request_that_changes_nothing_leaves_its_key_free_and_writes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("opens");
        let written = "SELECT (SELECT count(*) FROM idempotent_requests) + (SELECT count(*) FROM audit)";
        let RequestStanding::First(key) = begin(&store, 1).await else { panic!("it is not the first") };
        let recording = Recording::of(Change::seed(by()), Some(key));
        let nothing = store
            .write(Priority::Api, Scope::Installation, |w| Ok(w.conn.execute("DELETE FROM webhooks", [])?));
        assert_eq!(store.recorded(recording.clone(), nothing).await.expect("writes"), 0);
        assert!(!recording.is_on_record().await);
        assert_eq!(store.seed_number(written).await, 0);
        drop(recording);
        // Another one with the key changes something, and is rolled back with all that is written beside it.
        let RequestStanding::First(key) = begin(&store, 2).await else { panic!("it is free") };
        let recording = Recording::of(Change::seed(by()), Some(key));
        let failed = store.write(Priority::Api, Scope::Installation, |w| {
            w.conn.execute("INSERT INTO origins (origin) VALUES ('http://a')", [])?;
            Err::<(), _>(crate::StoreError::Corrupt("on purpose".to_owned()))
        });
        assert!(store.recorded(recording.clone(), failed).await.is_err());
        assert!(!recording.is_on_record().await);
        assert_eq!(store.seed_number(written).await, 0);
        let done = store.write(Priority::Api, Scope::Installation, |w| {
            Ok(w.conn.execute("INSERT INTO origins (origin) VALUES ('http://a')", [])?)
        });
        store.recorded(recording.clone(), done).await.expect("writes");
        assert!(recording.is_on_record().await);
        assert_eq!(store.seed_number(written).await, 2, "the entry and the mark of the key");
    }
}
