//! What is known of an id tag.

use std::cmp::Reverse;

use super::events;
use crate::access::id_tags;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::sessions::transaction_list;
use crate::why::facts::{Shown, TagFacts, TagPolicy};
use vocabulary::api::id_tag::IdTag;
use vocabulary::api::transaction::Transaction;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::authorization::{AuthorizationStatus, UnknownIdTag, id_tag_key, is_same_id_tag};

/// Registrations of one tag that are looked at.
const REGISTRATIONS: i64 = 20;

/// Its sessions that are looked at.
const SESSIONS: i64 = 20;

/// Where it was held, at most.
const SHOWN: usize = 10;

/// All of it. `owner_id`: whose tag it is; `None` is nobody's. `None`: the asker is bound to an owner, and
/// nothing is known of the tag there.
pub(crate) fn facts(
    db: &Read<'_>,
    id_tag: &str,
    owner_id: Option<&str>,
    visible_to: Option<&str>,
    policy: TagPolicy,
    now: Timestamp,
) -> Result<Option<TagFacts>> {
    let key = id_tag_key(id_tag);
    let mut registrations = id_tags::registrations(db, &key, visible_to, REGISTRATIONS)?;
    let asked = registrations.iter().position(|tag| tag.owner_id.as_deref() == owner_id);
    // Whoever names no owner means the only one that there is.
    let meant = asked.or((owner_id.is_none() && registrations.len() == 1).then_some(0));
    let tag = meant.map(|at| registrations.remove(at));
    let shown = shown(db, id_tag, visible_to)?;
    if visible_to.is_some() && tag.is_none() && shown.is_empty() {
        return Ok(None);
    }
    Ok(Some(TagFacts {
        now,
        id_tag: tag.as_ref().map_or_else(|| id_tag.to_owned(), |tag| tag.id_tag.clone()),
        charging: match &tag {
            Some(tag) => charging(db, &key, tag, visible_to, now)?,
            None => Vec::new(),
        },
        tag,
        elsewhere: registrations,
        shown,
        accepts_unknown: policy.unknown == UnknownIdTag::Accept,
        endpoint: policy.endpoint,
    }))
}

/// Sessions that count against a tag's limit.
fn charging(
    db: &Read<'_>,
    key: &str,
    tag: &IdTag,
    visible_to: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Transaction>> {
    let ids: Vec<i64> = db.all(
        "SELECT transaction_id FROM transactions INDEXED BY transactions_active_tag
         WHERE status = 'active' AND id_tag_key = ?1 AND orphaned = 0 AND id_tag_status = ?2
           AND (?3 IS NULL OR owner_id = ?3) AND (?4 IS NULL OR owner_id = ?4)
         ORDER BY transaction_id DESC LIMIT ?5",
        params![key, AuthorizationStatus::Accepted.as_str(), tag.owner_id, visible_to, SESSIONS],
        |row| row.get(0),
    )?;
    let mut sessions = Vec::new();
    for id in ids {
        sessions.extend(transaction_list::by_id(db, id, now)?);
    }
    Ok(sessions)
}

/// Where the tag was held lately, the newest first: its newest sessions, and what is left of the newest
/// questions of all chargers.
fn shown(db: &Read<'_>, id_tag: &str, visible_to: Option<&str>) -> Result<Vec<Shown>> {
    let starts: Vec<(i64, Option<String>)> = db.all(
        "SELECT start_event_seq, owner_id FROM transactions INDEXED BY transactions_by_tag
         WHERE id_tag_key = ?1 AND (?2 IS NULL OR owner_id = ?2) ORDER BY transaction_id DESC LIMIT ?3",
        params![id_tag_key(id_tag), visible_to, SHOWN as i64],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut shown = Vec::new();
    for (position, owner_id) in starts {
        let seen = events::at_positions(db, &[position], visible_to)?.pop();
        shown.extend(seen.map(|seen| (seen, owner_id)));
    }
    let asked = events::newest_of_type(db, "Authorize", visible_to)?;
    shown.extend(
        asked
            .into_iter()
            .filter(|(seen, _)| seen.text("idTag").is_some_and(|own| is_same_id_tag(own, id_tag))),
    );
    shown.sort_by_key(|(seen, _)| Reverse(seen.at));
    let with_owner = |(seen, owner_id)| Shown { seen, owner_id };
    Ok(shown.into_iter().take(SHOWN).map(with_owner).collect())
}
