//! API keys, and the gateway's own health.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::ApiKeyId;

/// What is written in an API key: the body of `POST /api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyInput {
    /// For people.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// `read`, `write`, `command`, `command:PATTERN` (these actions alone, of which there must be one),
    /// `admin`.
    #[schema(min_items = 1, max_items = 50, example = json!(["read", "write"]))]
    pub scopes: Vec<String>,
    /// The customer it is bound to: it sees and touches nothing else.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub owner_id: Option<String>,
    /// From then on it is refused.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// An API key as it is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Names it; not the key itself.
    pub id: ApiKeyId,
    /// The key: only in the answer that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The customer it is bound to.
    pub owner_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether the gateway lives, or can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or `unavailable`.
    pub status: String,
    /// The program's version.
    pub version: String,
    /// Why it cannot serve; where it can, what should be looked after before it cannot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Bytes that are free on the file system of the data directory; told by `readyz` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
}
