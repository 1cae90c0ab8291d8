//! The REST API's bodies, one file per resource: shared by the server, the client and the command
//! line, and the source of the OpenAPI document.
//!
//! **Invariant**: a body is data only. What may be asked of it is checked in `http`, what it does is
//! done in the store.

pub mod access;
pub mod audit;
pub mod bulk_command;
pub mod command;
pub mod delivery;
pub mod event;
pub mod id_tag;
pub mod import;
pub mod ingest;
pub mod message;
pub mod node;
pub mod overview;
pub mod problem;
pub mod replay;
pub mod report;
pub mod reservation;
pub mod station;
pub mod station_summary;
pub mod text;
pub mod transaction;
pub mod webhook;
pub mod webhook_stats;
pub mod why;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list, and where the next one begins.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows, each with all the fields of the single resource.
    pub data: Vec<T>,
    /// Pass it as `cursor`, with the other parameters unchanged, for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// How long a list may be asked to be; more is a 422.
pub const LIMIT_MAX: u32 = 500;

/// How long a list is if nothing is said.
pub const LIMIT_DEFAULT: u32 = 50;

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The oldest first.
    Asc,
    /// The newest first.
    #[default]
    Desc,
}
