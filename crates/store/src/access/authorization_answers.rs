//! What the authorisation endpoint last answered about each tag.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagInfo, id_tag_key};

/// How spelled that a station has no owner.
const NOBODY: &str = "";

/// Answers that are kept; beyond it the oldest go.
const ANSWERS_MAX: i64 = 1_000_000;

/// Old answers that each new one takes away: more than one, so that they come to an end.
const SWEPT_AT_ONCE: u32 = 4;

/// Keeps the endpoint's answer for the time when it gives none. `ConcurrentTx` tells of its moment, not of
/// the tag: what was known of the tag before stays known.
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
    w.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO authorization_answers
                 (owner_id, tag_key, status, expiry_date_ms, parent_id_tag, answered_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            owner_id.unwrap_or(NOBODY),
            id_tag_key(id_tag),
            answer.status.as_str(),
            answer.expiry_date.map(Timestamp::unix_ms),
            answer.parent_id_tag,
            w.now.unix_ms(),
        ])?;
    let newest = w.conn.last_insert_rowid();
    w.conn
        .prepare_cached(
            "DELETE FROM authorization_answers
             WHERE seq IN (SELECT seq FROM authorization_answers ORDER BY seq LIMIT ?1)
               AND (answered_at_ms < ?2 OR seq <= ?3)",
        )?
        .execute(params![SWEPT_AT_ONCE, w.now.before(cache).unix_ms(), newest - ANSWERS_MAX])?;
    Ok(())
}

/// The endpoint's last answer about a tag, if it is not older than `cache`. What was accepted until a time
/// that is over is `Expired`.
pub(crate) fn remembered(
    conn: &Connection,
    owner_id: Option<&str>,
    id_tag: &str,
    cache: Duration,
    now: Timestamp,
) -> Result<Option<IdTagInfo>> {
    let answer = conn
        .prepare_cached(
            "SELECT status, expiry_date_ms, parent_id_tag FROM authorization_answers
             WHERE owner_id = ?1 AND tag_key = ?2 AND answered_at_ms > ?3",
        )?
        .query_row(
            params![owner_id.unwrap_or(NOBODY), id_tag_key(id_tag), now.before(cache).unix_ms()],
            |row| {
                Ok(IdTagInfo {
                    status: cells::parsed(row, 0)?,
                    expiry_date: cells::maybe_moment(row, 1)?,
                    parent_id_tag: row.get(2)?,
                })
            },
        )
        .optional()?;
    Ok(answer.map(|answer| {
        let lapsed = answer.expiry_date.is_some_and(|expiry| expiry <= now);
        match answer.status {
            AuthorizationStatus::Accepted if lapsed => {
                IdTagInfo { status: AuthorizationStatus::Expired, ..answer }
            }
            _ => answer,
        }
    }))
}

/// The group that the endpoint last said a tag belongs to, however long ago.
pub(crate) fn last_group(conn: &Connection, owner_id: Option<&str>, id_tag: &str) -> Result<Option<String>> {
    let group: Option<Option<String>> = conn
        .prepare_cached(
            "SELECT parent_id_tag FROM authorization_answers WHERE owner_id = ?1 AND tag_key = ?2",
        )?
        .query_row(params![owner_id.unwrap_or(NOBODY), id_tag_key(id_tag)], |row| row.get(0))
        .optional()?;
    Ok(group.flatten())
}
