//! Registered id tags: kept, listed, and looked up when a charger asks.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::access::authorization_answers;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use crate::{Priority, Scope, Store};
use vocabulary::api::id_tag::{IdTag, IdTagInput, TagStatus};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::{
    AuthorizationStatus, RegisteredTag, id_tag_key, is_same_id_tag, shortened_id_tag_key,
};
use vocabulary::ocpp::fact::SessionStarted;

/// How `owner_id` spells that a tag belongs to nobody.
const NOBODY: &str = "";

const SELECT: &str =
    "SELECT t.seq, t.tag, t.status, nullif(t.owner_id, ''), t.expiry_date_ms, t.parent_id_tag,
        t.max_active_transactions, t.note, t.created_at_ms, t.updated_at_ms,
        (SELECT count(*) FROM transactions x WHERE x.status = 'active' AND x.id_tag_key = t.tag_key
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

impl Store {
    /// Registers a tag or replaces what is registered of it; true if it is new.
    pub async fn put_id_tag(&self, id_tag: String, input: IdTagInput) -> Result<(IdTag, bool)> {
        self.write(Priority::Api, Scope::Installation, move |w| put(w, &id_tag, &input)).await
    }

    /// Registers many tags at once: all of them, or none.
    pub async fn put_id_tags(&self, tags: Vec<(String, IdTagInput)>) -> Result<Vec<bool>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            tags.iter().map(|(id_tag, input)| Ok(put(w, id_tag, input)?.1)).collect()
        })
        .await
    }

    /// The tag of this owner, or of nobody.
    pub async fn id_tag(&self, owner_id: Option<String>, id_tag: String) -> Result<Option<IdTag>> {
        self.read(move |conn| by_key(conn, owner_id.as_deref().unwrap_or(NOBODY), &id_tag_key(&id_tag))).await
    }

    /// Forgets a tag; false if there is none.
    pub async fn delete_id_tag(&self, owner_id: Option<String>, id_tag: String) -> Result<bool> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let gone = w
                .conn
                .prepare_cached("DELETE FROM id_tags WHERE owner_id = ?1 AND tag_key = ?2")?
                .execute(params![owner_id.as_deref().unwrap_or(NOBODY), id_tag_key(&id_tag)])?;
            Ok(gone == 1)
        })
        .await
    }

    /// One page of the tags that `filter` wants.
    pub async fn id_tags(&self, filter: IdTagFilter, slice: Slice) -> Result<Listed<IdTag>> {
        self.read(move |conn| {
            let mut conditions = Conditions::default();
            conditions.and_if("t.owner_id = ?", filter.owner_id);
            conditions.and_if("t.status = ?", filter.status.map(|status| word(status).to_owned()));
            conditions.and_if("lower(t.parent_id_tag) = lower(?)", filter.parent_id_tag);
            conditions.and_at("t.created_at_ms >= ?", filter.since);
            conditions.and_at("t.created_at_ms < ?", filter.until);
            page(conn, SELECT, &["t.seq"], conditions, &slice, |row| Ok(read(row.raw())?))
        })
        .await
    }
}

fn word(status: TagStatus) -> &'static str {
    AuthorizationStatus::from(status).as_str()
}

fn put(w: &Tx<'_>, id_tag: &str, input: &IdTagInput) -> Result<(IdTag, bool)> {
    let owner = input.owner_id.as_deref().unwrap_or(NOBODY);
    let key = id_tag_key(id_tag);
    let is_new = by_key(w.conn, owner, &key)?.is_none();
    w.conn
        .prepare_cached(
            "INSERT INTO id_tags (owner_id, tag, tag_key, status, expiry_date_ms, parent_id_tag,
                                  max_active_transactions, note, created_at_ms, updated_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
             ON CONFLICT (owner_id, tag_key) DO UPDATE
             SET tag = excluded.tag, status = excluded.status, expiry_date_ms = excluded.expiry_date_ms,
                 parent_id_tag = excluded.parent_id_tag,
                 max_active_transactions = excluded.max_active_transactions, note = excluded.note,
                 updated_at_ms = excluded.updated_at_ms",
        )?
        .execute(params![
            owner,
            id_tag,
            key,
            word(input.status),
            input.expiry_date.map(Timestamp::unix_ms),
            input.parent_id_tag,
            input.max_active_transactions,
            input.note,
            w.now.unix_ms(),
        ])?;
    let written = by_key(w.conn, owner, &key)?;
    let written = written.ok_or_else(|| crate::StoreError::Corrupt(format!("id tag {id_tag} vanished")))?;
    Ok((written, is_new))
}

fn by_key(conn: &Connection, owner: &str, key: &str) -> Result<Option<IdTag>> {
    let found = conn
        .prepare_cached(&format!("{SELECT} WHERE t.owner_id = ?1 AND t.tag_key = ?2"))?
        .query_row([owner, key], read)
        .optional()?;
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<IdTag> {
    Ok(IdTag {
        id_tag: row.get(1)?,
        status: cells::word(row, 2)?,
        owner_id: row.get(3)?,
        expiry_date: cells::maybe_moment(row, 4)?,
        parent_id_tag: row.get(5)?,
        max_active_transactions: row.get(6)?,
        note: row.get(7)?,
        created_at: cells::moment(row, 8)?,
        updated_at: cells::moment(row, 9)?,
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
/// A station looks at its owner's tags, then at those of nobody. A tag over the limit that nobody
/// registered is looked up by its first 20 characters (quirk Q10).
pub(crate) fn registered(
    conn: &Connection,
    owner_id: Option<&str>,
    id_tag: &str,
) -> Result<Option<Registered>> {
    let keys = std::iter::once(id_tag_key(id_tag)).chain(shortened_id_tag_key(id_tag));
    for key in keys {
        for owner in owner_id.into_iter().chain([NOBODY]) {
            if let Some(found) = by_key(conn, owner, &key)? {
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

/// In how many transactions a tag is charging elsewhere when it starts one more on a connector.
///
/// What does not charge does not count: an orphan, a start whose tag was refused, and what is still open on
/// that very connector, whose stop is lost.
pub(crate) fn charging_elsewhere(
    conn: &Connection,
    registered: &Registered,
    station: &StationId,
    start: &SessionStarted,
) -> Result<u32> {
    let count = conn
        .prepare_cached(
            "SELECT count(*) FROM transactions INDEXED BY transactions_active_tag
             WHERE status = 'active' AND id_tag_key IN (?1, ?2) AND (?3 IS NULL OR owner_id = ?3)
               AND orphaned = 0 AND id_tag_status = ?6 AND NOT (station_id = ?4 AND connector_id IS ?5)",
        )?
        .query_row(
            params![
                registered.key,
                start.id_tag.as_deref().map(id_tag_key),
                registered.owner_id,
                station.as_str(),
                start.connector_id,
                AuthorizationStatus::Accepted.as_str(),
            ],
            |row| row.get(0),
        )?;
    Ok(count)
}

/// The group a tag belongs to: what is registered of it says so, else the endpoint's last answer.
fn group(conn: &Connection, owner_id: Option<&str>, id_tag: &str) -> Result<Option<String>> {
    let registered = registered(conn, owner_id, id_tag)?.and_then(|found| found.tag.parent_id_tag);
    match registered {
        Some(parent) => Ok(Some(parent)),
        None => authorization_answers::last_group(conn, owner_id, id_tag),
    }
}

/// Whether a tag is of this group.
pub(crate) fn is_of_group(
    conn: &Connection,
    owner_id: Option<&str>,
    id_tag: &str,
    parent_id_tag: &str,
) -> Result<bool> {
    let group = group(conn, owner_id, id_tag)?;
    Ok(group.is_some_and(|group| is_same_id_tag(&group, parent_id_tag)))
}

/// Whether two tags are of one group: its members may end each other's transactions.
pub(crate) fn share_a_group(
    conn: &Connection,
    owner_id: Option<&str>,
    one: &str,
    other: &str,
) -> Result<bool> {
    match group(conn, owner_id, one)? {
        Some(parent) => is_of_group(conn, owner_id, other, &parent),
        None => Ok(false),
    }
}
