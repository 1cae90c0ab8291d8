//! Messages that cannot be served: each is kept as a `MessageRejected`, and flags its station.

use serde_json::value::to_raw_value;

use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append::{self, AppendOptions};
use crate::station_state::flags::Change;
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::StationId;
use vocabulary::ocpp::rejection::Rejection;

/// Inserts the `MessageRejected` of a message that cannot be served.
pub(crate) fn keep(
    w: &mut Tx<'_>,
    station: &StationId,
    rejection: Rejection,
    received_at: Timestamp,
) -> Result<()> {
    let mut flags = Change::default();
    flags.seen(rejection.reason.as_str());
    flags.violations(&rejection.violations);
    flags.write_unread(w, station)?;
    let payload = to_raw_value(&rejection.payload())?;
    let response = rejection.answer.as_ref().map(|refused| {
        let (code, description) = (refused.code, refused.description.as_str());
        to_raw_value(&serde_json::json!({ "code": code, "description": description, "details": {} }))
    });
    let event = NewEvent {
        response: response.transpose()?,
        message_id: rejection.answer.map(|refused| refused.message_id.text()),
        violations: rejection.violations,
        ..NewEvent::about_station(Category::Station, "MessageRejected", station, received_at, payload)
    };
    append::append(w, &event, AppendOptions::default()).map(drop)
}
