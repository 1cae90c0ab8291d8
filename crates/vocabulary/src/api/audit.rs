//! The audit log: who changed what, and when.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::RequestedBy;
use crate::clock::Timestamp;
use crate::words::words;

words! {
    /// The methods of requests that change something.
    pub enum ChangeMethod {
        /// Makes something, or sets something going.
        Post = "POST",
        /// Replaces.
        Put = "PUT",
        /// Changes some fields.
        Patch = "PATCH",
        /// Removes.
        Delete = "DELETE",
    }
}

/// One change. It names what was given, never the values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Grows with every entry; not without gaps.
    pub id: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The API key that asked for it; null for the command line on the data directory.
    pub requested_by: Option<RequestedBy>,
    /// The address the request came from.
    pub remote_addr: Option<String>,
    /// The operation: its `operationId` in this document.
    #[schema(example = "webhooks_patch")]
    pub action: String,
    /// The request's method; null for the command line.
    pub method: Option<ChangeMethod>,
    /// The request's path, without its query; null for the command line.
    #[schema(example = "/api/v1/webhooks/5")]
    pub path: Option<String>,
    /// The kind of thing it is about, as paths spell it.
    #[schema(example = "webhooks")]
    pub resource: String,
    /// Which one: the one that the path names, or that was made. Null where it is about several.
    #[schema(example = "5")]
    pub resource_id: Option<String>,
    /// What was made of it, if that is another thing: the command of a station, the replay of a webhook.
    pub result_id: Option<String>,
    /// The customer it belonged to, or belongs to now if it belonged to none.
    pub owner_id: Option<String>,
    /// Names of the fields that the request's body gave.
    #[schema(example = json!(["url", "secret_value"]))]
    pub fields: Vec<String>,
    /// The HTTP status of the answer. Null: not answered yet, or never, because the caller hung up or the
    /// gateway was stopped; the change may have been made.
    #[schema(minimum = 200, maximum = 599)]
    pub status: Option<u16>,
}
