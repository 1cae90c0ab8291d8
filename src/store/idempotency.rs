//! Requests that carried an `Idempotency-Key`, and what they were answered, for a day.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::error::Result;
use super::vault::{Vault, cell};
use super::{Priority, Store, cells};
use crate::id::ApiKeyId;

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Old rows that one request takes away at most.
const SWEEP_ROWS: i64 = 100;

/// Where a request stands.
#[derive(Clone)]
pub enum RequestStanding {
    /// It is the first with this key, and is now recorded as running.
    First,
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
    /// Records that a request has begun, unless one with this key did before.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn begin_request(
        &self,
        api_key: ApiKeyId,
        key: String,
        hash: [u8; 32],
    ) -> Result<RequestStanding> {
        self.write(Priority::Api, move |w| {
            let oldest = w.now.before(KEPT_FOR).unix_ms();
            w.conn
                .prepare_cached(
                    "DELETE FROM idempotent_requests WHERE (api_key_id, idempotency_key) IN
                     (SELECT api_key_id, idempotency_key FROM idempotent_requests WHERE created_at_ms <= ?1
                      ORDER BY created_at_ms LIMIT ?2)",
                )?
                .execute([oldest, SWEEP_ROWS])?;
            let api_key = api_key.to_string();
            let known = w
                .conn
                .prepare_cached(
                    "SELECT request_hash, status, headers, body FROM idempotent_requests
                     WHERE api_key_id = ?1 AND idempotency_key = ?2 AND created_at_ms > ?3",
                )?
                .query_row(params![api_key, key, oldest], Row::read)
                .optional()?;
            let sealed_for = format!("{api_key}/{key}");
            if let Some(row) = known {
                return row.standing(w.vault, &sealed_for, &hash);
            }
            let hash = w.vault.seal_bytes(cell::REQUEST_HASH, &sealed_for, &hash)?;
            w.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO idempotent_requests (api_key_id, idempotency_key, request_hash, created_at_ms)
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![api_key, key, hash, w.now.unix_ms()])?;
            Ok(RequestStanding::First)
        })
        .await
    }

    /// Keeps the answer of a request that [`RequestStanding::First`] let run.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn answer_request(&self, api_key: ApiKeyId, key: String, answer: KeptAnswer) -> Result<()> {
        self.write(Priority::Api, move |w| {
            let headers = serde_json::to_string(&answer.headers)?;
            let sealed_for = format!("{api_key}/{key}");
            let body = w.vault.seal_bytes(cell::REQUEST_ANSWER, sealed_for, &answer.body)?;
            w.conn
                .prepare_cached(
                    "UPDATE idempotent_requests SET status = ?3, headers = ?4, body = ?5
                     WHERE api_key_id = ?1 AND idempotency_key = ?2",
                )?
                .execute(params![api_key.to_string(), key, answer.status, headers, body])?;
            Ok(())
        })
        .await
    }

    /// Forgets a request that changed nothing, so that its key is free again.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn forget_request(&self, api_key: ApiKeyId, key: String) -> Result<()> {
        self.write(Priority::Api, move |w| {
            w.conn
                .prepare_cached(
                    "DELETE FROM idempotent_requests WHERE api_key_id = ?1 AND idempotency_key = ?2",
                )?
                .execute(params![api_key.to_string(), key])?;
            Ok(())
        })
        .await
    }
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
pub(super) fn settle(w: &mut super::writer::Writing<'_>) -> Result<()> {
    w.conn.execute("DELETE FROM idempotent_requests WHERE status IS NULL", [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_crash_locks_no_key_and_a_request_that_runs_locks_its_own_for_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let by = ApiKeyId::from_value(1);
        let store = Store::open(dir.path(), Clock::System).expect("opens");
        let begin = async |store: &Store, hash: u8| {
            store.begin_request(by, "once".to_owned(), [hash; 32]).await.expect("writes")
        };
        assert!(matches!(begin(&store, 1).await, RequestStanding::First));
        assert!(matches!(begin(&store, 1).await, RequestStanding::Running));
        assert!(matches!(begin(&store, 2).await, RequestStanding::Running), "it may be refused yet");
        store.close();
        drop(store);

        let store = Store::open(dir.path(), Clock::System).expect("opens again");
        assert!(matches!(begin(&store, 2).await, RequestStanding::First));
        let answer = KeptAnswer { status: 201, headers: Vec::new(), body: "made".into() };
        store.answer_request(by, "once".to_owned(), answer).await.expect("writes");
        assert!(matches!(begin(&store, 1).await, RequestStanding::Other));
        let again = begin(&store, 2).await;
        assert!(matches!(again, RequestStanding::Answered(answer) if answer.body == "made"));
    }
}
