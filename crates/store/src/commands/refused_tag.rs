//! A remote start for an id tag that its start will be refused with: whoever asks for it is warned.

use crate::access::tag_rules::TagRules;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::IdTagReason;
use vocabulary::ocpp::purpose::{Purpose, RemoteStart};

/// What to say of a command for a tag that is refused as things stand. Nothing where an endpoint is to be
/// asked that has said nothing of it yet.
pub(super) fn warning(
    w: &Tx<'_>,
    tags: &TagRules,
    station: &StationId,
    purpose: &Purpose,
) -> Result<Option<String>> {
    let Purpose::StartSession(RemoteStart { id_tag, connector_id }) = purpose else { return Ok(None) };
    let owner_id: Option<Option<String>> =
        w.maybe("SELECT owner_id FROM stations WHERE station_id = ?1", params![station], |row| row.get(0))?;
    let owner_id = owner_id.flatten();
    let place = Some((station, *connector_id));
    let verdict = tags.verdict(w, owner_id.as_deref(), id_tag, place, w.now)?;
    let Some(why) = verdict.reason.and_then(why) else { return Ok(None) };
    let status = verdict.info.status;
    Ok(Some(format!("idTag: {why}: as things stand its start is answered {status}")))
}

fn why(reason: IdTagReason) -> Option<&'static str> {
    Some(match reason {
        IdTagReason::Unknown => "this tag is not registered",
        IdTagReason::Blocked => "this tag is blocked",
        IdTagReason::Expired => "this tag is past its date",
        IdTagReason::Invalid => "this tag is registered as invalid",
        IdTagReason::OtherOwner => "this tag is registered with another owner than the station's",
        IdTagReason::Concurrent => "this tag is charging already, as often as it may",
        IdTagReason::Endpoint => "the authorization endpoint refused this tag when it was last asked",
        IdTagReason::EndpointUnreachable => return None,
    })
}
