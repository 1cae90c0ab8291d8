//! What the authorisation endpoint is asked, and what it last answered.

use crate::Store;
use crate::access::id_tags;
use crate::engine::sql::params;
use crate::error::Result;
use crate::sessions::transactions;
use vocabulary::id::StationId;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::fact::Fact;
use vocabulary::ocpp::message::Inbound;

/// What the endpoint is told beside the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The customer the station belongs to.
    pub owner_id: Option<String>,
    /// The connector that the message names.
    pub connector_id: Option<i64>,
    /// The tag as it came.
    pub id_tag: String,
    /// Whether the tag is registered here, with the station's owner or nobody.
    pub registered: bool,
}

impl Store {
    /// What to ask the endpoint about a message; `None` if there is no tag in it, if its station is not
    /// accepted, or if it repeats one that was answered before.
    pub async fn question(&self, station: StationId, call: &Inbound) -> Result<Option<Question>> {
        let (id_tag, connector_id) = match call.message.fact() {
            Fact::TagShown { id_tag } => (id_tag, None),
            Fact::SessionStarted(start) => (start.id_tag.as_deref(), start.connector_id),
            Fact::SessionEnded(stop) => (stop.id_tag.as_deref(), None),
            _ => return Ok(None),
        };
        let Some(id_tag) = id_tag.map(str::to_owned) else { return Ok(None) };
        let (message, occurred_at) = (call.message.clone(), call.occurred_at);
        self.read(move |db| {
            let known: Option<(Option<String>, BootStatus)> = db.maybe(
                "SELECT owner_id, boot_status FROM stations WHERE station_id = ?1",
                params![station],
                |row| Ok((row.get(0)?, row.word(1)?)),
            )?;
            let Some((owner_id, BootStatus::Accepted)) = known else { return Ok(None) };
            let repeated = match message.fact() {
                Fact::SessionStarted(start) => {
                    transactions::started_by(db, &station, start, occurred_at)?.is_some()
                }
                Fact::SessionEnded(stop) => transactions::stopped_by(db, &station, stop)?.is_some(),
                _ => false,
            };
            if repeated {
                return Ok(None);
            }
            let registered = id_tags::registered(db, owner_id.as_deref(), &id_tag)?.is_some();
            Ok(Some(Question { owner_id, connector_id, id_tag, registered }))
        })
        .await
    }
}
