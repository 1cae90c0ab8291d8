//! Imports of whatever kind.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportResult {
    /// What it names is new.
    Created,
    /// What it names was there, and is as the row says now.
    Updated,
    /// The row was left out.
    Invalid,
}
