//! Nodes: the gateways that work on one store.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::words::words;

words! {
    /// How a node is.
    #[schema(as = NodeStatus)]
    pub enum Status {
        /// It serves.
        Active = "active",
        /// It was asked to stop, and hands over what it has.
        Draining = "draining",
        /// It was not heard of for its lease: others have taken over. It is shown for an hour.
        Lost = "lost",
    }
}

/// A gateway that works on the store. One with a store of its own is the only one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// As `[node] name` says.
    pub name: String,
    /// Grows with every start of any node; never given twice.
    pub epoch: i64,
    /// Of the program.
    pub version: String,
    /// How it is.
    pub status: Status,
    /// When it joined.
    pub started_at: Timestamp,
    /// Its last sign of life, by the database's clock.
    pub last_seen_at: Timestamp,
    /// Where chargers connect.
    pub ocpp_addr: Option<String>,
    /// Where its REST API answers.
    pub api_addr: Option<String>,
    /// Stations that are connected to it.
    pub stations_connected: u64,
    /// Webhooks, and origins of direct URLs, whose deliveries it sends.
    pub lanes: u64,
}
