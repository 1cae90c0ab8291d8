//! API keys: known by their SHA-256 only.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use crate::access::audit;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use crate::{Priority, Scope, Store};
use vocabulary::api::access::ApiKey;
use vocabulary::clock::Timestamp;
use vocabulary::id::ApiKeyId;

/// A key's use is noted no more often than this.
pub const KEY_USE_STEP: Duration = Duration::from_secs(60);

/// What a request needs to know of its key.
#[derive(Debug, Clone)]
pub struct KeyFacts {
    /// Names it.
    pub id: ApiKeyId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The customer it is bound to.
    pub owner_id: Option<String>,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When its use was last noted.
    pub last_used_at: Option<Timestamp>,
}

/// A key that is to be made.
#[derive(Clone)]
pub struct NewKey {
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The customer it is bound to.
    pub owner_id: Option<String>,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
}

const SELECT: &str =
    "SELECT seq, id, name, scopes, owner_id, created_at_ms, expires_at_ms, last_used_at_ms FROM api_keys";

impl Store {
    /// The key with this SHA-256.
    pub async fn api_key(&self, hash: [u8; 32]) -> Result<Option<KeyFacts>> {
        self.read(move |conn| {
            let key = conn
                .prepare_cached(&format!("{SELECT} WHERE key_hash = ?1"))?
                .query_row([hash.as_slice()], read_key)
                .optional()?;
            Ok(key.map(|key| KeyFacts {
                id: key.id,
                name: key.name,
                scopes: key.scopes,
                owner_id: key.owner_id,
                expires_at: key.expires_at,
                last_used_at: key.last_used_at,
            }))
        })
        .await
    }

    /// Notes that a key is in use, unless that was noted a moment ago.
    pub async fn note_key_use(&self, id: ApiKeyId) -> Result<()> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let before = w.now.before(KEY_USE_STEP).unix_ms();
            w.conn
                .prepare_cached(
                    "UPDATE api_keys SET last_used_at_ms = ?2
                     WHERE id = ?1 AND (last_used_at_ms IS NULL OR last_used_at_ms <= ?3)",
                )?
                .execute(params![id.to_string(), w.now.unix_ms(), before])?;
            Ok(())
        })
        .await
    }

    /// Makes a key.
    pub async fn create_api_key(&self, key: NewKey) -> Result<ApiKey> {
        self.write(Priority::Api, Scope::Installation, move |w| insert(w, &key)).await
    }

    /// Makes a key on the data directory, where no key asks for it: the audit log says so.
    pub async fn create_api_key_by_hand(&self, key: NewKey) -> Result<ApiKey> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let made = insert(w, &key)?;
            audit::by_hand(w, "api_keys_create", made.id, made.owner_id.as_deref())?;
            Ok(made)
        })
        .await
    }

    /// Makes the first key of an installation; `None`, with nothing written, if there is one already.
    pub async fn create_first_api_key(&self, key: NewKey) -> Result<Option<ApiKey>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let any = w.conn.prepare_cached("SELECT 1 FROM api_keys LIMIT 1")?.exists([])?;
            if any { Ok(None) } else { insert(w, &key).map(Some) }
        })
        .await
    }

    /// Whether the installation has any key.
    pub async fn has_api_keys(&self) -> Result<bool> {
        self.read(|conn| Ok(conn.prepare_cached("SELECT 1 FROM api_keys LIMIT 1")?.exists([])?)).await
    }

    /// One page of the keys, those of one owner if it is given.
    pub async fn api_keys(
        &self,
        owner_id: Option<String>,
        (since, until): (Option<Timestamp>, Option<Timestamp>),
        slice: Slice,
    ) -> Result<Listed<ApiKey>> {
        self.read(move |conn| {
            let mut conditions = Conditions::default();
            conditions.and_if("owner_id = ?", owner_id);
            conditions.and_at("created_at_ms >= ?", since);
            conditions.and_at("created_at_ms < ?", until);
            page(conn, SELECT, &["seq"], conditions, &slice, |row| Ok(read_key(row.raw())?))
        })
        .await
    }

    /// Makes a key useless at once; false if there is none, or it is not of the owner that is given.
    pub async fn revoke_api_key(&self, id: ApiKeyId, owner_id: Option<String>) -> Result<bool> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let gone = w
                .conn
                .prepare_cached("DELETE FROM api_keys WHERE id = ?1 AND (?2 IS NULL OR owner_id = ?2)")?
                .execute(params![id.to_string(), owner_id])?;
            Ok(gone == 1)
        })
        .await
    }

    /// Makes a key useless at once, on the data directory: the audit log says so. False if there is none.
    pub async fn revoke_api_key_by_hand(&self, id: ApiKeyId) -> Result<bool> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let gone: Option<Option<String>> = w
                .conn
                .prepare_cached("DELETE FROM api_keys WHERE id = ?1 RETURNING owner_id")?
                .query_row([id.to_string()], |row| row.get(0))
                .optional()?;
            if let Some(owner_id) = &gone {
                audit::by_hand(w, "api_keys_revoke", id, owner_id.as_deref())?;
            }
            Ok(gone.is_some())
        })
        .await
    }
}

fn insert(w: &mut Tx<'_>, key: &NewKey) -> Result<ApiKey> {
    let id = ApiKeyId::from_value(w.mint.next(w.now));
    let scopes = serde_json::to_string(&key.scopes)?;
    w.conn
        .prepare_cached(
            "INSERT INTO api_keys (id, name, key_hash, scopes, owner_id, created_at_ms, expires_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            id.to_string(),
            key.name,
            key.hash.as_slice(),
            scopes,
            key.owner_id,
            w.now.unix_ms(),
            key.expires_at.map(Timestamp::unix_ms),
        ])?;
    Ok(ApiKey {
        id,
        key: None,
        name: key.name.clone(),
        scopes: key.scopes.clone(),
        owner_id: key.owner_id.clone(),
        created_at: w.now,
        expires_at: key.expires_at,
        last_used_at: None,
    })
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: cells::parsed(row, 1)?,
        key: None,
        name: row.get(2)?,
        scopes: cells::json(row, 3)?,
        owner_id: row.get(4)?,
        created_at: cells::moment(row, 5)?,
        expires_at: cells::maybe_moment(row, 6)?,
        last_used_at: cells::maybe_moment(row, 7)?,
    })
}
