//! What the authorisation endpoint last answered about each tag.

use std::time::Duration;

use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagInfo, IdTagReason, TagVerdict, id_tag_key};

/// How `owner_id` spells that a tag belongs to nobody.
pub(super) const NOBODY: &str = "";

/// Answers that are kept at most; beyond it the oldest are deleted.
const ANSWERS_MAX: i64 = 1_000_000;

/// Old answers that each new one deletes at most: more than one, so that they get fewer.
const SWEPT_AT_ONCE: u32 = 4;

/// Keeps the endpoint's answer for the time when it gives none. `ConcurrentTx` says something about the
/// moment and not about the tag, so what was known of the tag before stays known.
pub(crate) fn remember(
    w: &Tx<'_>,
    owner_id: Option<&str>,
    id_tag: &str,
    answer: &IdTagInfo,
    cache: Duration,
) -> Result<()> {
    if answer.status == AuthorizationStatus::ConcurrentTx || cache.is_zero() {
        return Ok(());
    }
    let (owner, tag) = (owner_id.unwrap_or(NOBODY), id_tag_key(id_tag));
    // The new answer takes a row at the end, so the tag's former one goes; and with it what is too old.
    w.run(
        "DELETE FROM authorization_answers
         WHERE (owner_id = ?1 AND tag_key = ?2)
            OR (seq IN (SELECT seq FROM authorization_answers ORDER BY seq LIMIT ?3)
                AND (answered_at_ms < ?4 OR seq <= (SELECT max(seq) FROM authorization_answers) - ?5))",
        params![owner, tag, SWEPT_AT_ONCE, w.now.before(cache), ANSWERS_MAX - 1],
    )?;
    w.run(
        "INSERT INTO authorization_answers
            (owner_id, tag_key, status, expiry_date_ms, parent_id_tag, answered_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![owner, tag, answer.status.as_str(), answer.expiry_date, answer.parent_id_tag, w.now],
    )?;
    Ok(())
}

/// The endpoint's last answer about a tag, if it is not older than `cache`. A tag that was accepted until a
/// moment that has passed is `Expired`.
pub(crate) fn remembered(
    db: &Read<'_>,
    owner_id: Option<&str>,
    id_tag: &str,
    cache: Duration,
    now: Timestamp,
) -> Result<Option<TagVerdict>> {
    let answer: Option<IdTagInfo> = db.maybe(
        "SELECT status, expiry_date_ms, parent_id_tag FROM authorization_answers
         WHERE owner_id = ?1 AND tag_key = ?2 AND answered_at_ms > ?3",
        params![owner_id.unwrap_or(NOBODY), id_tag_key(id_tag), now.before(cache)],
        |row| Ok(IdTagInfo { status: row.parsed(0)?, expiry_date: row.get(1)?, parent_id_tag: row.get(2)? }),
    )?;
    Ok(answer.map(|answer| {
        let lapsed = answer.expiry_date.is_some_and(|expiry| expiry <= now);
        if lapsed && answer.status == AuthorizationStatus::Accepted {
            let expired = IdTagInfo { status: AuthorizationStatus::Expired, ..answer };
            return TagVerdict::of(expired, IdTagReason::Expired);
        }
        TagVerdict::of(answer, IdTagReason::Endpoint)
    }))
}

/// The group that the endpoint last said a tag belongs to, however long ago.
pub(crate) fn last_group(db: &Read<'_>, owner_id: Option<&str>, id_tag: &str) -> Result<Option<String>> {
    let group: Option<Option<String>> = db.maybe(
        "SELECT parent_id_tag FROM authorization_answers WHERE owner_id = ?1 AND tag_key = ?2",
        params![owner_id.unwrap_or(NOBODY), id_tag_key(id_tag)],
        |row| row.get(0),
    )?;
    Ok(group.flatten())
}
