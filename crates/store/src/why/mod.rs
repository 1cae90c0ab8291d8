//! `why`: one answer to why a station, a session, a command or a tag is as it is.
//!
//! `gather` reads facts, a few hundred rows at most and all by an index; `rules` are pure and make the answer
//! of them. `causes` are the sentences that other lists tell too.
//!
//! **Invariant**: an answer tells an owner nothing that the owner could not read elsewhere: every event,
//! command and session that it cites has that owner.

mod answer;
pub(crate) mod causes;
mod facts;
mod gather;
mod rules;

use crate::Store;
use crate::error::Result;
use vocabulary::api::delivery::Delivery;
use vocabulary::api::why::Why;
use vocabulary::clock::Timestamp;
use vocabulary::id::{CommandId, StationId};

pub use facts::TagPolicy;

/// Why an event did not reach a receiver, or has not so far.
pub fn why_delivery(delivery: &Delivery, now: Timestamp) -> Why {
    rules::delivery(delivery, now)
}

impl Store {
    /// Why a station is as it is, or is refused. `None`: nobody knows the identity, or the owner `visible_to`
    /// may not. `heard_at`: when something was last received on its open connection, if that is later than
    /// what is on record.
    pub async fn why_station(
        &self,
        id: StationId,
        visible_to: Option<String>,
        heard_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Why>> {
        self.read(move |db| {
            let facts = gather::station::facts(db, &id, visible_to.as_deref(), now)?;
            Ok(facts.map(|mut facts| {
                if let Some(station) = &mut facts.station {
                    station.station.last_seen_at = station.last_seen_at.max(heard_at);
                }
                rules::station(&facts)
            }))
        })
        .await
    }

    /// Why a session is as it is, or ended as it did. `None`: there is none, or the owner may not see it.
    pub async fn why_transaction(
        &self,
        transaction_id: i64,
        visible_to: Option<String>,
        now: Timestamp,
    ) -> Result<Option<Why>> {
        self.read(move |db| {
            let facts = gather::session::facts(db, transaction_id, visible_to.as_deref(), now)?;
            Ok(facts.map(|facts| rules::session(&facts)))
        })
        .await
    }

    /// Why a command came to what it did. `None`: there is none, or the owner may not see it.
    pub async fn why_command(
        &self,
        id: CommandId,
        visible_to: Option<String>,
        now: Timestamp,
    ) -> Result<Option<Why>> {
        self.read(move |db| {
            let facts = gather::command::facts(db, id, visible_to.as_deref(), now)?;
            Ok(facts.map(|facts| rules::command(&facts)))
        })
        .await
    }

    /// Why a tag of this owner, or of nobody, is let in or not. `None`: nothing is known of it that the owner
    /// `visible_to` may see.
    pub async fn why_id_tag(
        &self,
        id_tag: String,
        owner_id: Option<String>,
        visible_to: Option<String>,
        policy: TagPolicy,
        now: Timestamp,
    ) -> Result<Option<Why>> {
        self.read(move |db| {
            let (owner_id, visible_to) = (owner_id.as_deref(), visible_to.as_deref());
            let facts = gather::tag::facts(db, &id_tag, owner_id, visible_to, policy, now)?;
            Ok(facts.map(|facts| rules::tag(&facts)))
        })
        .await
    }
}
