//! What is known here of an id tag, and what follows from that: the endpoint's last answer, the registered
//! tag, or the operator's rule for tags that nobody knows.

use std::time::Duration;

use crate::access::{authorization_answers, id_tags};
use crate::engine::tx::Read;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::{self, IdTagReason, TagVerdict, UnknownIdTag};

/// What the operator has decided about id tags.
#[derive(Debug, Clone)]
pub struct TagRules {
    /// The verdict on tags nobody registered.
    pub unknown: UnknownIdTag,
    /// Where an endpoint gives verdicts: what becomes of tags it says nothing of.
    pub outside: Option<OutsideVerdicts>,
}

/// How verdicts are found where an endpoint gives them.
#[derive(Debug, Clone)]
pub struct OutsideVerdicts {
    /// How long its last answer about a tag stands in for one that does not come.
    pub cache: Duration,
    /// The verdict if nothing is known of a tag.
    pub fallback: UnknownIdTag,
}

impl TagRules {
    /// The verdict on a tag that nobody knows.
    pub(crate) fn on_unknown(&self, now: Timestamp) -> TagVerdict {
        let unknown = self.outside.as_ref().map_or(self.unknown, |outside| outside.fallback);
        let verdict = authorization::verdict(None, 0, unknown, now);
        match self.outside {
            Some(_) => TagVerdict::of(verdict.info, IdTagReason::EndpointUnreachable),
            None => verdict,
        }
    }

    /// The verdict on a tag at a station of this owner, as far as it is known without the endpoint. With a
    /// connector where a session starts it also counts in how many transactions the tag is.
    pub(crate) fn verdict(
        &self,
        db: &Read<'_>,
        owner_id: Option<&str>,
        id_tag: &str,
        start: Option<(&StationId, Option<i64>)>,
        now: Timestamp,
    ) -> Result<TagVerdict> {
        if let Some(OutsideVerdicts { cache, .. }) = &self.outside {
            let last = authorization_answers::remembered(db, owner_id, id_tag, *cache, now)?;
            if let Some(last) = last {
                return Ok(last);
            }
        }
        let Some(registered) = id_tags::registered(db, owner_id, id_tag)? else {
            let verdict = self.on_unknown(now);
            return Ok(match verdict.reason {
                Some(IdTagReason::Unknown) if id_tags::is_registered(db, id_tag)? => {
                    TagVerdict::of(verdict.info, IdTagReason::OtherOwner)
                }
                _ => verdict,
            });
        };
        let charging = match start {
            Some(place) => id_tags::charging_elsewhere(db, &registered, id_tag, place)?,
            None => 0,
        };
        Ok(authorization::verdict(Some(&registered.tag), charging, self.unknown, now))
    }
}
