//! Reservations: connectors that a station keeps for somebody, as far as its answers tell.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{CommandId, ReservationId};
use crate::words::words;

words! {
    /// How a reservation stands.
    #[schema(as = ReservationStatus)]
    pub enum Status {
        /// The station keeps it.
        Active = "active",
        /// A transaction has begun on it: one that names it, or one of its tag, or its group, on its
        /// connector.
        Used = "used",
        /// It was called back, or its connector or the whole station became `Faulted` or `Unavailable`.
        Canceled = "canceled",
        /// Its time is over.
        Expired = "expired",
        /// The station would not keep it.
        Rejected = "rejected",
        /// The `ReserveNow` was never answered: the station may keep it or not.
        Unknown = "unknown",
    }
}

/// A reservation. One that is made again under the same number replaces the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reservation {
    /// Its id in this API.
    pub id: ReservationId,
    /// The number that OCPP knows it by; unique per station.
    pub reservation_id: i64,
    /// The station that was asked to keep it.
    pub station_id: String,
    /// The customer the station belonged to then.
    pub owner_id: Option<String>,
    /// The connector that is kept; 0 is any one of the station.
    pub connector_id: i64,
    /// For whom.
    pub id_tag: String,
    /// The group whose other tags may use it too.
    pub parent_id_tag: Option<String>,
    /// Until when.
    pub expiry_date: Timestamp,
    /// How it stands.
    pub status: Status,
    /// The `ReserveNow` that asked for it.
    pub command_id: CommandId,
    /// The transaction that used it.
    pub transaction_id: Option<i64>,
    /// When its `ReserveNow` ended.
    pub created_at: Timestamp,
    /// When it last changed, other than by expiring.
    pub updated_at: Timestamp,
}
