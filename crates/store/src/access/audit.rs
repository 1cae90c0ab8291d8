//! The audit log: an entry is inserted with a change ([`crate::access::request_record`]), and completed with
//! the answer.

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::{Value, params};
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use vocabulary::api::audit::{AuditEntry, ChangeMethod};
use vocabulary::api::command::RequestedBy;
use vocabulary::clock::Timestamp;
use vocabulary::id::ApiKeyId;

/// A change that is asked for.
#[derive(Debug, Clone)]
pub struct Change {
    /// The key that asks for it.
    pub requested_by: RequestedBy,
    /// Where the request came from.
    pub remote_addr: Option<String>,
    /// The operation's name.
    pub action: String,
    /// Its method.
    pub method: ChangeMethod,
    /// Its path, without the query.
    pub path: String,
    /// The kind of thing it is about, as paths spell it.
    pub resource: String,
    /// Which one, if the path names it.
    pub resource_id: Option<String>,
    /// The customer, if the request names one; else it is the owner of the thing that the path names.
    pub owner_id: Option<String>,
}

/// How a change was answered.
#[derive(Debug, Clone, Default)]
pub struct ChangeAnswer {
    /// The HTTP status.
    pub status: u16,
    /// What was created, if the path names nothing.
    pub resource_id: Option<String>,
    /// What came out of it, if that is another thing.
    pub result_id: Option<String>,
    /// The customer that the answer names.
    pub owner_id: Option<String>,
    /// Names of the members of the request's body.
    pub fields: Vec<String>,
}

/// Which entries are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// The key that asked for it.
    pub key_id: Option<ApiKeyId>,
    /// The operation's name.
    pub action: Option<String>,
    /// Its method.
    pub method: Option<ChangeMethod>,
    /// The kind of thing.
    pub resource: Option<String>,
    /// The thing, or what came of it.
    pub resource_id: Option<String>,
    /// The customer.
    pub owner_id: Option<String>,
    /// Asked for then or later.
    pub since: Option<Timestamp>,
    /// Asked for before that.
    pub until: Option<Timestamp>,
}

const SELECT: &str = "SELECT seq, at_ms, key_id, key_name, remote_addr, action, method, path, resource,
    resource_id, result_id, owner_id, fields, status FROM audit";

impl Store {
    /// One page of the entries that `filter` wants, in the order they were asked for.
    pub async fn audit(&self, filter: AuditFilter, slice: Slice) -> Result<Listed<AuditEntry>> {
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and_if("key_id = ?", filter.key_id);
            conditions.and_if("action = ?", filter.action);
            conditions.and_if("method = ?", filter.method.map(|method| method.as_str().to_owned()));
            conditions.and_if("resource = ?", filter.resource);
            if let Some(id) = filter.resource_id {
                conditions.and("(resource_id = ? OR result_id = ?)", [id.clone().into(), id.into()]);
            }
            conditions.and_if("owner_id = ?", filter.owner_id);
            conditions.and_at("at_ms >= ?", filter.since);
            conditions.and_at("at_ms < ?", filter.until);
            page(db, SELECT, &["seq"], conditions, &slice, read)
        })
        .await
    }
}

/// Inserts an entry for a change; its number.
pub(crate) fn insert(w: &Tx<'_>, change: &Change, owner_id: Option<String>) -> Result<i64> {
    w.one(
        "INSERT INTO audit (at_ms, key_id, key_name, remote_addr, action, method, path, resource, resource_id,
            owner_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING seq",
        params![
            w.now,
            change.requested_by.id,
            change.requested_by.name,
            change.remote_addr,
            change.action,
            change.method.as_str(),
            change.path,
            change.resource,
            change.resource_id,
            owner_id,
        ],
        |row| row.get(0),
    )
}

/// Adds to an entry how the change was answered.
pub(crate) fn settle(w: &Tx<'_>, entry: i64, answer: &ChangeAnswer) -> Result<()> {
    let fields = serde_json::to_string(&answer.fields)?;
    w.run(
        "UPDATE audit SET status = ?2, resource_id = coalesce(resource_id, ?3), result_id = ?4,
                          owner_id = coalesce(owner_id, ?5), fields = ?6
         WHERE seq = ?1",
        params![entry, answer.status, answer.resource_id, answer.result_id, answer.owner_id, fields],
    )?;
    Ok(())
}

/// The customer that a change is about: the one that the request names, or the owner of the thing it names.
pub(crate) fn owner_of_change(w: &Tx<'_>, change: &Change) -> Result<Option<String>> {
    match (&change.owner_id, &change.resource_id) {
        (None, Some(id)) => owner_of(w, &change.resource, id),
        (told, _) => Ok(told.clone()),
    }
}

/// A key was created or revoked on the data directory, where no API key is asked for.
pub(crate) fn by_hand(w: &Tx<'_>, action: &str, id: ApiKeyId, owner_id: Option<&str>) -> Result<()> {
    insert_by_hand(w, action, "api-keys", Some(id), owner_id)
}

/// Something was done to the secrets of the whole database.
pub(crate) fn secrets_by_hand(w: &Tx<'_>, action: &str) -> Result<()> {
    insert_by_hand(w, action, "secrets", None, None)
}

fn insert_by_hand(
    w: &Tx<'_>,
    action: &str,
    resource: &str,
    id: Option<ApiKeyId>,
    owner_id: Option<&str>,
) -> Result<()> {
    w.run(
        "INSERT INTO audit (at_ms, action, resource, resource_id, owner_id)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![w.now, action, resource, id, owner_id],
    )?;
    Ok(())
}

/// The customer that a thing belongs to. It is looked up before the change, which may delete the thing.
fn owner_of(w: &Tx<'_>, resource: &str, id: &str) -> Result<Option<String>> {
    let query = match resource {
        "webhooks" => "SELECT owner_id FROM webhooks WHERE id = ?1",
        "stations" => "SELECT owner_id FROM stations WHERE station_id = ?1",
        "commands" => "SELECT owner_id FROM commands WHERE id = ?1",
        "transactions" => "SELECT owner_id FROM transactions WHERE transaction_id = ?1",
        "events" => "SELECT owner_id FROM events WHERE id = ?1",
        // As lists show them: a delivery to a webhook without owner is the operator's business.
        "deliveries" => {
            "SELECT CASE WHEN d.webhook_id IS NULL THEN (SELECT owner_id FROM events WHERE seq = d.event_seq)
                         ELSE (SELECT owner_id FROM webhooks WHERE id = d.webhook_id) END
             FROM deliveries AS d WHERE d.id = ?1"
        }
        "replays" => "SELECT owner_id FROM replays WHERE id = ?1",
        "api-keys" => "SELECT owner_id FROM api_keys WHERE id = ?1",
        _ => return Ok(None),
    };
    let id = match resource {
        // Numbers.
        "webhooks" | "transactions" => id.parse().map_or(Value::Null, Value::Int),
        _ => Value::from(id),
    };
    Ok(w.maybe(query, params![id], |row| row.get(0))?.flatten())
}

fn read(row: &Row<'_>) -> Result<AuditEntry> {
    let key = row.get::<Option<ApiKeyId>>(2)?.zip(row.get::<Option<String>>(3)?);
    Ok(AuditEntry {
        id: row.get(0)?,
        created_at: row.get(1)?,
        requested_by: key.map(|(id, name)| RequestedBy { id, name }),
        remote_addr: row.get(4)?,
        action: row.get(5)?,
        method: row.maybe_word(6)?,
        path: row.get(7)?,
        resource: row.get(8)?,
        resource_id: row.get(9)?,
        result_id: row.get(10)?,
        owner_id: row.get(11)?,
        fields: row.json(12)?,
        status: row.get(13)?,
    })
}
