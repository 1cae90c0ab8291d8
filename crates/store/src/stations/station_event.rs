//! The events that tell what has happened to a station.

use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append::{self, AppendOptions};
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::StationId;

/// Appends an event about a station.
pub(super) fn append_station_event(
    w: &mut Tx<'_>,
    id: &StationId,
    event: &'static str,
    payload: &impl Serialize,
) -> Result<()> {
    let event = NewEvent::about_station(Category::Station, event, id, w.now, to_raw_value(payload)?);
    append::append(w, &event, AppendOptions::default()).map(drop)
}
