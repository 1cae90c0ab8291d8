//! How many stations there are of each kind.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::words::words;

words! {
    /// What stations are counted by.
    pub enum StationGroup {
        /// The place where they stand.
        Site = "site",
        /// As told in their boot notifications.
        Vendor = "vendor",
        /// As told in their boot notifications.
        Model = "model",
        /// As told in their boot notifications.
        FirmwareVersion = "firmware_version",
        /// The customer they belong to (`owner_id`).
        Owner = "owner",
        /// What their boots are answered with.
        BootStatus = "boot_status",
        /// Whether they have a live connection.
        Connected = "connected",
    }
}

/// Stations that have something in common. It has the members that it was asked to group by, null where the
/// stations have no such value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StationCount {
    /// The place where they stand.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub site: Option<Option<String>>,
    /// As told in their boot notifications.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub vendor: Option<Option<String>>,
    /// As told in their boot notifications.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub model: Option<Option<String>>,
    /// As told in their boot notifications.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub firmware_version: Option<Option<String>>,
    /// The customer they belong to.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner_id: Option<Option<String>>,
    /// What their boots are answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_status: Option<String>,
    /// Whether they have a live connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// How many there are.
    pub stations: u64,
    /// How many of them have a live connection.
    pub connected_count: u64,
}

/// A member that is there, null or not.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
