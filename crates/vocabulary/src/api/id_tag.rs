//! Id tags: what a driver holds against a charger, as integrators register it.

use crate::ocpp::authorization::AuthorizationStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use super::import::ImportResult;
use crate::clock::Timestamp;
use crate::words::words;

words! {
    /// What a registered tag is worth. `ConcurrentTx` follows from its transactions and is never registered.
    #[derive(Default)]
    pub enum TagStatus {
        /// It may charge.
        #[default]
        Accepted = "Accepted",
        /// It is known, and may not.
        Blocked = "Blocked",
        /// Its time is over.
        Expired = "Expired",
        /// It is to be treated as unknown.
        Invalid = "Invalid",
    }
}

/// What is written in a tag: the body of `PUT /id-tags/{tag}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdTagInput {
    /// What it is worth.
    #[serde(default)]
    #[schema(default = "Accepted")]
    pub status: TagStatus,
    /// The customer it belongs to: only that customer's stations know it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub owner_id: Option<String>,
    /// From then on it is answered `Expired`; may be past.
    #[serde(default)]
    pub expiry_date: Option<Timestamp>,
    /// The group it belongs to: tags of one group may end each other's transactions.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 20)]
    pub parent_id_tag: Option<String>,
    /// In how many transactions it may be at once; one more is answered `ConcurrentTx`. Null: no limit.
    /// Orphans, starts whose tag was refused and one on the very connector where it starts again do not
    /// count.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_active_transactions: Option<u32>,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// A tag as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdTag {
    /// As it was registered; matching ignores letter case, and blanks and control characters around it.
    pub id_tag: String,
    /// What it is worth.
    pub status: TagStatus,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// From then on it is answered `Expired`.
    pub expiry_date: Option<Timestamp>,
    /// The group it belongs to.
    pub parent_id_tag: Option<String>,
    /// In how many transactions it may be at once.
    pub max_active_transactions: Option<u32>,
    /// For people.
    pub note: Option<String>,
    /// How many transactions of its are active now and count against the limit: no orphans, and none whose
    /// start was refused.
    pub active_transactions: u32,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What became of one row of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedRow {
    /// Which row, from 1; the header line of a CSV is not counted.
    pub row: u64,
    /// The tag, if the row names one.
    pub id_tag: Option<String>,
    /// `created`, `updated` or `invalid`.
    pub result: ImportResult,
    /// What is wrong with the row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<super::problem::FieldError>,
}

impl From<TagStatus> for AuthorizationStatus {
    fn from(status: TagStatus) -> Self {
        match status {
            TagStatus::Accepted => Self::Accepted,
            TagStatus::Blocked => Self::Blocked,
            TagStatus::Expired => Self::Expired,
            TagStatus::Invalid => Self::Invalid,
        }
    }
}
