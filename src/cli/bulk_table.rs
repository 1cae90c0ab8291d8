//! Bulk commands as they are shown.

use super::table::{Column, cut, fields, or_dash, state, time, whole};
use vocabulary::api::bulk_command::{BulkCommand, BulkStatus};

/// The columns of bulk commands.
pub(super) const COLUMNS: [Column; 6] =
    [whole("ID"), time("CREATED"), state("STATUS"), whole("ENDED"), cut("ACTION"), cut("BY").minor()];

/// A row of them.
pub(super) fn row(bulk: &BulkCommand) -> [String; 6] {
    [
        bulk.id.to_string(),
        bulk.created_at.to_string(),
        bulk.status.to_string(),
        format!("{}/{}", bulk.ended(), bulk.matched),
        bulk.action.clone(),
        bulk.requested_by.name.clone(),
    ]
}

/// All of one.
pub(super) fn details(bulk: &BulkCommand) -> String {
    let status = match bulk.status {
        BulkStatus::Canceled if bulk.completed_at.is_none() => "canceled; some were sent before".to_owned(),
        status => status.to_string(),
    };
    fields(&[
        ("bulk command", bulk.id.to_string()),
        ("status", status),
        ("action", bulk.action.clone()),
        ("payload", bulk.payload.to_string()),
        ("stations", bulk.matched.to_string()),
        ("chosen by", bulk.filter.as_ref().map_or_else(|| "name".to_owned(), ToString::to_string)),
        ("sent", bulk.sent.to_string()),
        ("accepted", bulk.accepted.to_string()),
        ("rejected", bulk.rejected.to_string()),
        ("failed", bulk.failed.to_string()),
        ("skipped", bulk.skipped.to_string()),
        ("rate", bulk.rate.clone()),
        ("offline", bulk.offline.to_string()),
        ("asked for by", bulk.requested_by.name.clone()),
        ("asked for", bulk.created_at.to_string()),
        ("ended", or_dash(bulk.completed_at)),
    ])
}
