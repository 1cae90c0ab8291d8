//! Registered id tags: kept, listed, and looked up when a charger asks.

use std::sync::LazyLock;

use crate::access::authorization_answers::{self, NOBODY};
use crate::engine::job::Foreseen;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::listing::{Conditions, Listed, Slice, page};
use crate::{Priority, Scope, Store};
use vocabulary::api::id_tag::{IdTag, IdTagInput, TagStatus};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::{
    AuthorizationStatus, RegisteredTag, id_tag_key, is_same_id_tag, shortened_id_tag_key,
};

const SELECT: &str =
    "SELECT t.seq, t.tag, t.status, nullif(t.owner_id, ''), t.expiry_date_ms, t.parent_id_tag,
         t.max_active_transactions, t.note, t.created_at_ms, t.updated_at_ms,
         (SELECT count(*) FROM transactions x WHERE x.status = 'active' AND x.id_tag_key = t.tag_key
            AND x.orphaned = 0 AND x.id_tag_status = 'Accepted'
            AND (t.owner_id = '' OR x.owner_id = t.owner_id))
     FROM id_tags t";

/// Which tags are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct IdTagFilter {
    /// The customer they belong to.
    pub owner_id: Option<String>,
    /// What they are worth.
    pub status: Option<TagStatus>,
    /// The group they belong to; letter case does not matter.
    pub parent_id_tag: Option<String>,
    /// Registered then or later.
    pub since: Option<Timestamp>,
    /// Registered before that.
    pub until: Option<Timestamp>,
}

/// What became of a tag that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutTag {
    /// It is new.
    Created,
    /// It was registered before, and is as it was put now.
    Replaced,
}

impl Store {
    /// Registers a tag, or replaces what is registered of it.
    pub async fn put_id_tag(&self, id_tag: String, input: IdTagInput) -> Result<(IdTag, PutTag)> {
        self.write(Priority::Api, Scope::Installation, move |w| put(w, &id_tag, &input)).await
    }

    /// Registers many tags at once: all of them, or none.
    pub async fn put_id_tags(&self, tags: Vec<(String, IdTagInput)>) -> Result<Vec<PutTag>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            tags.iter().map(|(id_tag, input)| Ok(put(w, id_tag, input)?.1)).collect()
        })
        .await
    }

    /// The tag of this owner, or of nobody.
    pub async fn id_tag(&self, owner_id: Option<String>, id_tag: String) -> Result<Option<IdTag>> {
        self.read(move |db| by_key(db, owner_id.as_deref().unwrap_or(NOBODY), &id_tag_key(&id_tag))).await
    }

    /// Deletes a tag; false if there is none.
    pub async fn delete_id_tag(&self, owner_id: Option<String>, id_tag: String) -> Result<bool> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let owner = owner_id.as_deref().unwrap_or(NOBODY);
            let delete = "DELETE FROM id_tags WHERE owner_id = ?1 AND tag_key = ?2";
            Ok(w.run(delete, params![owner, id_tag_key(&id_tag)])? == 1)
        })
        .await
    }

    /// One page of the tags that `filter` wants.
    pub async fn id_tags(&self, filter: IdTagFilter, slice: Slice) -> Result<Listed<IdTag>> {
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and_if("t.owner_id = ?", filter.owner_id);
            conditions.and_if("t.status = ?", filter.status.map(|status| word(status).to_owned()));
            conditions.and_if("lower(t.parent_id_tag) = lower(?)", filter.parent_id_tag);
            conditions.and_at("t.created_at_ms >= ?", filter.since);
            conditions.and_at("t.created_at_ms < ?", filter.until);
            page(db, SELECT, &["t.seq"], conditions, &slice, read)
        })
        .await
    }
}

fn word(status: TagStatus) -> &'static str {
    AuthorizationStatus::from(status).as_str()
}

fn put(w: &Tx<'_>, id_tag: &str, input: &IdTagInput) -> Result<(IdTag, PutTag)> {
    let owner = input.owner_id.as_deref().unwrap_or(NOBODY);
    let key = id_tag_key(id_tag);
    let put = match by_key(w, owner, &key)? {
        Some(_) => PutTag::Replaced,
        None => PutTag::Created,
    };
    w.run(
        "INSERT INTO id_tags (owner_id, tag, tag_key, status, expiry_date_ms, parent_id_tag,
                              max_active_transactions, note, created_at_ms, updated_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
         ON CONFLICT (owner_id, tag_key) DO UPDATE
         SET tag = excluded.tag, status = excluded.status, expiry_date_ms = excluded.expiry_date_ms,
             parent_id_tag = excluded.parent_id_tag,
             max_active_transactions = excluded.max_active_transactions, note = excluded.note,
             updated_at_ms = excluded.updated_at_ms",
        params![
            owner,
            id_tag,
            key,
            word(input.status),
            input.expiry_date,
            input.parent_id_tag,
            input.max_active_transactions,
            input.note,
            w.now
        ],
    )?;
    let written = by_key(w, owner, &key)?;
    let written = written.ok_or_else(|| StoreError::Corrupt(format!("id tag {id_tag} is missing")))?;
    Ok((written, put))
}

fn by_key(db: &Read<'_>, owner: &str, key: &str) -> Result<Option<IdTag>> {
    db.maybe(&BY_KEY, params![owner, key], read)
}

static BY_KEY: LazyLock<String> =
    LazyLock::new(|| format!("{SELECT} WHERE t.owner_id = ?1 AND t.tag_key = ?2"));

const IS_REGISTERED: &str = "SELECT 1 FROM id_tags WHERE tag_key = ?1";

/// What [`registered`] and [`is_registered`] read of a tag that nobody has registered, or for everybody.
pub(crate) fn foreseen(id_tag: &str) -> [Foreseen; 2] {
    let key = id_tag_key(id_tag);
    [Foreseen::new(&BY_KEY, params![NOBODY, key]), Foreseen::new(IS_REGISTERED, params![key])]
}

/// Every registration of a tag that `visible_to` may see: of each owner, and of nobody.
pub(crate) fn registrations(
    db: &Read<'_>,
    key: &str,
    visible_to: Option<&str>,
    limit: i64,
) -> Result<Vec<IdTag>> {
    let sql =
        format!("{SELECT} WHERE t.tag_key = ?1 AND (?2 IS NULL OR t.owner_id = ?2) ORDER BY t.seq LIMIT ?3");
    db.all(&sql, params![key, visible_to, limit], read)
}

fn read(row: &Row<'_>) -> Result<IdTag> {
    Ok(IdTag {
        id_tag: row.get(1)?,
        status: row.word(2)?,
        owner_id: row.get(3)?,
        expiry_date: row.get(4)?,
        parent_id_tag: row.get(5)?,
        max_active_transactions: row.get(6)?,
        note: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
        active_transactions: row.get(10)?,
    })
}

/// What is registered of a charger's tag.
pub(crate) struct Registered {
    pub(crate) tag: RegisteredTag,
    /// Whose tag it is; `None`: nobody's.
    owner_id: Option<String>,
    key: String,
}

/// What a charger's tag is registered as.
///
/// The tags of the station's owner count first, then those of nobody. A tag over the limit that nobody
/// registered is looked up by its first 20 characters (quirk Q10).
pub(crate) fn registered(db: &Read<'_>, owner_id: Option<&str>, id_tag: &str) -> Result<Option<Registered>> {
    let keys = std::iter::once(id_tag_key(id_tag)).chain(shortened_id_tag_key(id_tag));
    for key in keys {
        for owner in owner_id.into_iter().chain([NOBODY]) {
            if let Some(found) = by_key(db, owner, &key)? {
                let tag = RegisteredTag {
                    status: found.status.into(),
                    expiry_date: found.expiry_date,
                    parent_id_tag: found.parent_id_tag,
                    max_active_transactions: found.max_active_transactions,
                };
                return Ok(Some(Registered { tag, owner_id: found.owner_id, key }));
            }
        }
    }
    Ok(None)
}

/// Whether anybody has registered a charger's tag, whoever that is.
pub(crate) fn is_registered(db: &Read<'_>, id_tag: &str) -> Result<bool> {
    let keys = std::iter::once(id_tag_key(id_tag)).chain(shortened_id_tag_key(id_tag));
    for key in keys {
        if db.has(IS_REGISTERED, params![key])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// In how many transactions a tag is charging elsewhere when it starts one more on a connector.
///
/// Transactions that do not charge do not count: orphaned ones, those whose tag was refused, and one that is
/// still open on that very connector, whose stop is lost.
pub(crate) fn charging_elsewhere(
    db: &Read<'_>,
    registered: &Registered,
    id_tag: &str,
    (station, connector_id): (&StationId, Option<i64>),
) -> Result<u32> {
    db.one(
        "SELECT count(*) FROM transactions INDEXED BY transactions_active_tag
         WHERE status = 'active' AND id_tag_key IN (?1, ?2) AND (?3 IS NULL OR owner_id = ?3)
           AND orphaned = 0 AND id_tag_status = ?6
           AND NOT (station_id = ?4 AND connector_id IS NOT DISTINCT FROM ?5)",
        params![
            registered.key,
            id_tag_key(id_tag),
            registered.owner_id,
            station,
            connector_id,
            AuthorizationStatus::Accepted.as_str(),
        ],
        |row| row.get(0),
    )
}

/// The group that a tag belongs to: its registration says so, else the endpoint's last answer.
fn group(db: &Read<'_>, owner_id: Option<&str>, id_tag: &str) -> Result<Option<String>> {
    let registered = registered(db, owner_id, id_tag)?.and_then(|found| found.tag.parent_id_tag);
    match registered {
        Some(parent) => Ok(Some(parent)),
        None => authorization_answers::last_group(db, owner_id, id_tag),
    }
}

/// Whether a tag belongs to this group.
pub(crate) fn is_of_group(
    db: &Read<'_>,
    owner_id: Option<&str>,
    id_tag: &str,
    parent_id_tag: &str,
) -> Result<bool> {
    let group = group(db, owner_id, id_tag)?;
    Ok(group.is_some_and(|group| is_same_id_tag(&group, parent_id_tag)))
}

/// Whether two tags belong to one group: its members may stop each other's transactions.
pub(crate) fn share_a_group(db: &Read<'_>, owner_id: Option<&str>, one: &str, other: &str) -> Result<bool> {
    match group(db, owner_id, one)? {
        Some(parent) => is_of_group(db, owner_id, other, &parent),
        None => Ok(false),
    }
}
