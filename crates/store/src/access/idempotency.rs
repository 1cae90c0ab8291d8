//! Requests that carried an `Idempotency-Key`, and what they were answered, for a day.

use std::time::Duration;

use crate::access::running_requests::RequestKey;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::other_nodes::Left;
use crate::secrecy::vault::{Vault, cell};
use crate::{Priority, Scope, Store};
use vocabulary::id::ApiKeyId;

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Old rows that one request deletes at most.
const SWEEP_ROWS: u32 = 100;

/// What is known of a request with an `Idempotency-Key`.
#[derive(Clone)]
pub enum RequestState {
    /// It is the first with this key. It counts as running as long as this is held.
    First(RequestKey),
    /// The first one is still running.
    Running,
    /// The first one with this key was another request.
    AnotherRequest,
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
    /// Looks a request up, and marks it as running if it is the first with its key. Nothing is written: that
    /// is done with the first change that the request makes.
    pub async fn begin_request(
        &self,
        api_key: ApiKeyId,
        key: String,
        hash: [u8; 32],
    ) -> Result<RequestState> {
        let Some(running) = self.inner.running.begin(api_key, key, hash) else {
            return Ok(RequestState::Running);
        };
        let (vault, monotonic) = (self.vault(), self.inner.monotonic.clone());
        self.read(move |db| {
            let oldest = monotonic.to_wall(monotonic.now()).before(KEPT_FOR);
            let known = db.maybe(
                "SELECT request_hash, status, headers, body FROM idempotent_requests
                 WHERE api_key_id = ?1 AND idempotency_key = ?2 AND created_at_ms > ?3",
                params![api_key, running.key, oldest],
                KeptRequest::read,
            )?;
            match known {
                Some(request) => request.state(&vault, &running.sealed_for(), &running.hash),
                None => Ok(RequestState::First(running)),
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
    /// The place that its cells are sealed for.
    fn sealed_for(&self) -> String {
        format!("{}/{}", self.api_key, self.key)
    }
}

/// Writes down that a request is running, with the first change that it makes.
pub(crate) fn begin(w: &Tx<'_>, key: &RequestKey) -> Result<()> {
    sweep(w)?;
    let hash = w.vault.seal_bytes(cell::REQUEST_HASH, key.sealed_for(), &key.hash)?;
    let begun = w.run(
        "INSERT INTO idempotent_requests (api_key_id, idempotency_key, request_hash, created_at_ms, node_epoch)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (api_key_id, idempotency_key) DO UPDATE SET request_hash = excluded.request_hash,
            status = NULL, headers = NULL, body = NULL, created_at_ms = excluded.created_at_ms,
            node_epoch = excluded.node_epoch
         WHERE idempotent_requests.created_at_ms <= ?6",
        params![key.api_key, key.key, hash, w.now, w.epoch, w.now.before(KEPT_FOR)],
    )?;
    // When this one was looked up there was no other: it was begun on another node since.
    if begun == 0 { Err(StoreError::RequestRuns) } else { Ok(()) }
}

/// Keeps the answer of a request.
pub(crate) fn keep(w: &Tx<'_>, key: &RequestKey, answer: &KeptAnswer) -> Result<()> {
    let headers = serde_json::to_string(&answer.headers)?;
    let hash = w.vault.seal_bytes(cell::REQUEST_HASH, key.sealed_for(), &key.hash)?;
    let body = w.vault.seal_bytes(cell::REQUEST_ANSWER, key.sealed_for(), &answer.body)?;
    w.run(
        "INSERT INTO idempotent_requests
            (api_key_id, idempotency_key, request_hash, status, headers, body, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (api_key_id, idempotency_key) DO UPDATE SET request_hash = excluded.request_hash,
            status = excluded.status, headers = excluded.headers, body = excluded.body,
            created_at_ms = excluded.created_at_ms",
        params![key.api_key, key.key, hash, answer.status, headers, body, w.now],
    )?;
    Ok(())
}

/// Frees a key: its request has changed nothing, or nobody will answer it.
pub(crate) fn forget(w: &Tx<'_>, api_key: ApiKeyId, key: &str) -> Result<()> {
    w.run(
        "DELETE FROM idempotent_requests WHERE api_key_id = ?1 AND idempotency_key = ?2",
        params![api_key, key],
    )?;
    Ok(())
}

/// Deletes some of the rows that are too old.
fn sweep(w: &Tx<'_>) -> Result<()> {
    w.run(
        "DELETE FROM idempotent_requests WHERE (api_key_id, idempotency_key) IN
         (SELECT api_key_id, idempotency_key FROM idempotent_requests WHERE created_at_ms <= ?1
          ORDER BY created_at_ms LIMIT ?2)",
        params![w.now.before(KEPT_FOR), SWEEP_ROWS],
    )?;
    Ok(())
}

/// What is kept of a request. Its hash is sealed too: a body may hold a password that can be guessed.
struct KeptRequest {
    sealed_hash: Vec<u8>,
    status: Option<u16>,
    headers: Option<Vec<(String, String)>>,
    sealed_body: Option<Vec<u8>>,
}

impl KeptRequest {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            sealed_hash: row.get(0)?,
            status: row.get(1)?,
            headers: row.maybe_json(2)?,
            sealed_body: row.get(3)?,
        })
    }

    fn state(self, vault: &Vault, sealed_for: &str, hash: &[u8]) -> Result<RequestState> {
        // Even if this is another request: the key is free again if the one that runs is refused.
        let Some(status) = self.status else { return Ok(RequestState::Running) };
        if vault.open_bytes(cell::REQUEST_HASH, sealed_for, &self.sealed_hash)? != hash {
            return Ok(RequestState::AnotherRequest);
        }
        let body = self.sealed_body.unwrap_or_default();
        let body = vault.open_bytes(cell::REQUEST_ANSWER, sealed_for, &body)?.into();
        Ok(RequestState::Answered(KeptAnswer { status, headers: self.headers.unwrap_or_default(), body }))
    }
}

/// Deletes the requests that the end of a node has cut off: nobody will ever answer them.
pub(crate) fn settle(w: &mut Tx<'_>, left: Left) -> Result<()> {
    w.run(
        "DELETE FROM idempotent_requests WHERE status IS NULL AND (?1 IS NULL OR node_epoch = ?1)",
        params![left.epoch],
    )?;
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

    async fn begin(store: &Store, hash: u8) -> RequestState {
        store.begin_request(by(), "once".to_owned(), [hash; 32]).await.expect("reads")
    }

    /// Lets the first request with the key make a change.
    async fn changing(store: &Store, hash: u8) -> std::sync::Arc<Recording> {
        let RequestState::First(key) = begin(store, hash).await else { panic!("it is not the first") };
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
        assert!(matches!(begin(&store, 1).await, RequestState::Running));
        assert!(matches!(begin(&store, 2).await, RequestState::Running), "it may be refused yet");
        store.close();
        drop((runs, store));

        let store = Store::open(dir.path(), Clock::System).expect("opens again");
        let runs = changing(&store, 2).await;
        let answer = KeptAnswer { status: 201, headers: Vec::new(), body: "made".into() };
        store.settle_request(runs, ChangeAnswer::default(), Some(answer)).await.expect("writes");
        assert!(matches!(begin(&store, 1).await, RequestState::AnotherRequest));
        let again = begin(&store, 2).await;
        assert!(matches!(again, RequestState::Answered(answer) if answer.body == "made"));
    }

    #[tokio::test]
    async fn a_request_that_changes_nothing_leaves_its_key_free_and_writes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("opens");
        let written = "SELECT (SELECT count(*) FROM idempotent_requests) + (SELECT count(*) FROM audit)";
        let RequestState::First(key) = begin(&store, 1).await else { panic!("it is not the first") };
        let recording = Recording::of(Change::seed(by()), Some(key));
        let nothing = store.write(Priority::Api, Scope::Installation, |w| w.run("DELETE FROM webhooks", &[]));
        assert_eq!(store.recorded(recording.clone(), nothing).await.expect("writes"), 0);
        assert!(!recording.is_on_record().await);
        assert_eq!(store.seed_number(written).await, 0);
        drop(recording);
        // Another one with the key changes something, and is rolled back with all that is written beside it.
        let RequestState::First(key) = begin(&store, 2).await else { panic!("it is free") };
        let recording = Recording::of(Change::seed(by()), Some(key));
        let failed = store.write(Priority::Api, Scope::Installation, |w| {
            w.run("INSERT INTO origins (origin) VALUES ('http://a')", &[])?;
            Err::<(), _>(crate::StoreError::Corrupt("on purpose".to_owned()))
        });
        assert!(store.recorded(recording.clone(), failed).await.is_err());
        assert!(!recording.is_on_record().await);
        assert_eq!(store.seed_number(written).await, 0);
        let done = store.write(Priority::Api, Scope::Installation, |w| {
            w.run("INSERT INTO origins (origin) VALUES ('http://a')", &[])
        });
        store.recorded(recording.clone(), done).await.expect("writes");
        assert!(recording.is_on_record().await);
        assert_eq!(store.seed_number(written).await, 2, "the entry and the mark of the key");
    }
}
