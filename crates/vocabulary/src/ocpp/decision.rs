//! What is decided before a charger's message is answered.

use super::authorization::IdTagInfo;
use super::boot_status::BootStatus;

/// What an answer depends on beside the request.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// Whether the station is served.
    pub boot_status: BootStatus,
    /// What an accepted station is given as its heartbeat interval, any other as the wait before its next
    /// boot.
    pub heartbeat_interval_s: u32,
    /// The verdict on the request's id tag; without one the tag is `Invalid`.
    pub id_tag_info: Option<IdTagInfo>,
    /// The number of the transaction that a start began; always given for one.
    pub transaction_id: Option<i64>,
    /// Vendors whose `DataTransfer` is accepted, in any case.
    pub data_transfer_vendors: &'a [String],
    /// The certificate that the request asks for is on its way.
    pub certificate_authority: bool,
}
