//! The verdict on an id tag: who is asked, and in which order.

use super::CallTx;
use crate::access::authorization_answers;
use crate::access::id_tags;
use crate::calls::authorization_question::OutsideVerdicts;
use crate::error::Result;
use vocabulary::ocpp::authorization::{self, AuthorizationStatus, IdTagInfo};
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::fact::SessionStarted;

impl CallTx<'_, '_> {
    /// The verdict on a tag. A station that is not accepted starts nothing, whatever the tag.
    ///
    /// Only a start asks how many transactions the tag is in: a driver who holds it out again may want to
    /// end the one there is.
    pub(super) fn tag_verdict(
        &self,
        id_tag: Option<&str>,
        start: Option<&SessionStarted>,
    ) -> Result<IdTagInfo> {
        if self.known.boot_status != BootStatus::Accepted {
            return Ok(IdTagInfo::bare(AuthorizationStatus::Invalid));
        }
        let Some(id_tag) = id_tag else {
            let nobody = self.policy.outside_verdicts.as_ref().map(|outside| outside.fallback);
            let unknown = nobody.unwrap_or(self.policy.unknown_id_tag);
            return Ok(authorization::verdict(None, 0, unknown, self.w.now));
        };
        let owner_id = self.known.owner_id.as_deref();
        let mut unknown = self.policy.unknown_id_tag;
        if let Some(OutsideVerdicts { cache, fallback }) = &self.policy.outside_verdicts {
            if let Some(answer) = &self.advice.verdict {
                authorization_answers::remember(self.w, owner_id, id_tag, answer, *cache)?;
                return Ok(answer.clone());
            }
            let last = authorization_answers::remembered(self.w, owner_id, id_tag, *cache, self.w.now)?;
            if let Some(last) = last {
                return Ok(last);
            }
            unknown = *fallback;
        }
        let registered = id_tags::registered(self.w, owner_id, id_tag)?;
        let charging = match registered.as_ref().zip(start) {
            Some((tag, start)) => id_tags::charging_elsewhere(self.w, tag, self.station, start)?,
            None => 0,
        };
        let tag = registered.as_ref().map(|registered| &registered.tag);
        Ok(authorization::verdict(tag, charging, unknown, self.w.now))
    }
}
