//! API keys: known by their SHA-256 only.

use std::time::Duration;

use crate::access::audit;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use crate::{Priority, Scope, Store};
use vocabulary::api::access::ApiKey;
use vocabulary::clock::Timestamp;
use vocabulary::id::ApiKeyId;

/// The use of a key is written down no more often than this.
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
    /// It is refused from then on.
    pub expires_at: Option<Timestamp>,
    /// When its use was last written down.
    pub last_used_at: Option<Timestamp>,
}

/// A key that is to be created.
#[derive(Clone)]
pub struct NewKey {
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The customer it is bound to.
    pub owner_id: Option<String>,
    /// It is refused from then on.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
}

/// Which keys are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyFilter {
    /// The customer they are bound to.
    pub owner_id: Option<String>,
    /// Created then or later.
    pub since: Option<Timestamp>,
    /// Created before that.
    pub until: Option<Timestamp>,
}

const SELECT: &str =
    "SELECT seq, id, name, scopes, owner_id, created_at_ms, expires_at_ms, last_used_at_ms FROM api_keys";

impl Store {
    /// The key with this SHA-256.
    pub async fn api_key(&self, hash: [u8; 32]) -> Result<Option<KeyFacts>> {
        self.read(move |db| {
            let key = db.maybe(&format!("{SELECT} WHERE key_hash = ?1"), params![hash], read_key)?;
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

    /// Writes down that a key is in use, unless that was done a moment ago.
    pub async fn note_key_use(&self, id: ApiKeyId) -> Result<()> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            w.run(
                "UPDATE api_keys SET last_used_at_ms = ?2
                 WHERE id = ?1 AND (last_used_at_ms IS NULL OR last_used_at_ms <= ?3)",
                params![id, w.now, w.now.before(KEY_USE_STEP)],
            )?;
            Ok(())
        })
        .await
    }

    /// Creates a key.
    pub async fn create_api_key(&self, key: NewKey) -> Result<ApiKey> {
        self.write(Priority::Api, Scope::Installation, move |w| insert(w, &key)).await
    }

    /// Creates a key on the data directory, where no key is asked for: the audit log says so.
    pub async fn create_api_key_by_hand(&self, key: NewKey) -> Result<ApiKey> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let made = insert(w, &key)?;
            audit::by_hand(w, "api_keys_create", made.id, made.owner_id.as_deref())?;
            Ok(made)
        })
        .await
    }

    /// Creates the first key of an installation; `None`, with nothing written, if there is one already.
    pub async fn create_first_api_key(&self, key: NewKey) -> Result<Option<ApiKey>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let any = w.has("SELECT 1 FROM api_keys LIMIT 1", &[])?;
            if any { Ok(None) } else { insert(w, &key).map(Some) }
        })
        .await
    }

    /// Whether the installation has any key.
    pub async fn has_api_keys(&self) -> Result<bool> {
        self.read(|db| db.has("SELECT 1 FROM api_keys LIMIT 1", &[])).await
    }

    /// One page of the keys that `filter` wants.
    pub async fn api_keys(&self, filter: ApiKeyFilter, slice: Slice) -> Result<Listed<ApiKey>> {
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and_if("owner_id = ?", filter.owner_id);
            conditions.and_at("created_at_ms >= ?", filter.since);
            conditions.and_at("created_at_ms < ?", filter.until);
            page(db, SELECT, &["seq"], conditions, &slice, read_key)
        })
        .await
    }

    /// Revokes a key at once; false if there is none, or it belongs to another owner than the one given.
    pub async fn revoke_api_key(&self, id: ApiKeyId, owner_id: Option<String>) -> Result<bool> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let delete = "DELETE FROM api_keys WHERE id = ?1 AND (?2 IS NULL OR owner_id = ?2)";
            Ok(w.run(delete, params![id, owner_id])? == 1)
        })
        .await
    }

    /// Revokes a key at once, on the data directory: the audit log says so. False if there is none.
    pub async fn revoke_api_key_by_hand(&self, id: ApiKeyId) -> Result<bool> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let deleted = "DELETE FROM api_keys WHERE id = ?1 RETURNING owner_id";
            let owner = w.maybe(deleted, params![id], |row| row.get::<Option<String>>(0))?;
            let Some(owner_id) = owner else { return Ok(false) };
            audit::by_hand(w, "api_keys_revoke", id, owner_id.as_deref())?;
            Ok(true)
        })
        .await
    }
}

fn insert(w: &mut Tx<'_>, key: &NewKey) -> Result<ApiKey> {
    let id = ApiKeyId::from_value(w.mint.next(w.now));
    let scopes = serde_json::to_string(&key.scopes)?;
    w.run(
        "INSERT INTO api_keys (id, name, key_hash, scopes, owner_id, created_at_ms, expires_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![id, key.name, key.hash, scopes, key.owner_id, w.now, key.expires_at],
    )?;
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

fn read_key(row: &Row<'_>) -> Result<ApiKey> {
    Ok(ApiKey {
        id: row.get(1)?,
        key: None,
        name: row.get(2)?,
        scopes: row.json(3)?,
        owner_id: row.get(4)?,
        created_at: row.get(5)?,
        expires_at: row.get(6)?,
        last_used_at: row.get(7)?,
    })
}
