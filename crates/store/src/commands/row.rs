//! A command's row, as far as its end depends on it.

use serde_json::value::RawValue;

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::api::command::CommandStatus;
use vocabulary::clock::Timestamp;
use vocabulary::id::{BulkCommandId, CommandId, StationId};
use vocabulary::ocpp::command::CommandAction;

/// A command's row, as far as its end depends on it.
pub(crate) struct CommandRow {
    pub(crate) id: CommandId,
    pub(crate) station: StationId,
    pub(crate) action: CommandAction,
    pub(crate) status: CommandStatus,
    /// As it may be shown.
    pub(super) payload: Box<RawValue>,
    pub(super) metadata: Option<Box<RawValue>>,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) answered_late: bool,
    /// The transaction that began while the answer was waited for.
    pub(crate) transaction_id: Option<i64>,
    /// The bulk command that it is part of.
    pub(super) bulk_id: Option<BulkCommandId>,
}

impl CommandRow {
    pub(crate) fn by_id(w: &Tx<'_>, id: CommandId) -> Result<Option<Self>> {
        w.maybe(
            "SELECT station_id, action, status, payload, metadata, completed_at_ms,
                    late_response IS NOT NULL, transaction_id, bulk_id
             FROM commands WHERE id = ?1",
            params![id],
            |row| {
                let action = row.parsed(1)?;
                Ok(Self {
                    id,
                    station: row.parsed(0)?,
                    action,
                    status: row.word(2)?,
                    payload: row.get(3)?,
                    metadata: row.get(4)?,
                    completed_at: row.get(5)?,
                    answered_late: row.get(6)?,
                    transaction_id: row.get(7)?,
                    bulk_id: row.get(8)?,
                })
            },
        )
    }

    /// The same if its answer is waited for.
    pub(super) fn sent(w: &Tx<'_>, id: CommandId) -> Result<Option<Self>> {
        Ok(Self::by_id(w, id)?.filter(|row| row.status == CommandStatus::Sent))
    }
}
