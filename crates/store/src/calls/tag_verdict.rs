//! The verdict on an id tag: who is asked, and in which order.

use super::CallTx;
use crate::access::authorization_answers;
use crate::error::Result;
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagInfo, IdTagReason, TagVerdict};
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
    ) -> Result<TagVerdict> {
        if self.known.boot_status != BootStatus::Accepted {
            let info = IdTagInfo::bare(AuthorizationStatus::Invalid);
            return Ok(TagVerdict::of(info, IdTagReason::Invalid));
        }
        let (tags, now) = (&self.policy.tags, self.w.now);
        let Some(id_tag) = id_tag else { return Ok(tags.on_unknown(now)) };
        let owner_id = self.known.owner_id.as_deref();
        if let Some(outside) = &tags.outside
            && let Some(answer) = &self.advice.verdict
        {
            authorization_answers::remember(self.w, owner_id, id_tag, answer, outside.cache)?;
            return Ok(TagVerdict::of(answer.clone(), IdTagReason::Endpoint));
        }
        let place = start.map(|start| (self.station, start.connector_id));
        tags.verdict(self.w, owner_id, id_tag, place, now)
    }
}
