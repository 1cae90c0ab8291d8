//! What a charge point is answered: a pure function of its request and the facts (reference 3.1 to 3.4).
//!
//! What is written is exactly right, whatever was read: official spellings, UTC with `Z`, no nulls,
//! nothing the schema does not name, members in the order of the reference.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::authorization::{AuthorizationStatus, IdTagInfo};
use super::inbound::Request;
use crate::clock::Timestamp;
use crate::ocpp::frame::empty_object;

/// Whether a station is served (contract, section 4: `boot_status`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootStatus {
    /// It is.
    #[default]
    Accepted,
    /// Not yet: it may be configured, but starts nothing.
    Pending,
    /// It is not, and is to stay silent.
    Rejected,
}

/// A text that is no boot status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a boot status: accepted, pending or rejected")]
pub struct UnknownBootStatus;

impl BootStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Pending, Self::Rejected];

    /// The status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
        }
    }

    /// The status as it is spelled in a frame.
    pub fn wire(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Pending => "Pending",
            Self::Rejected => "Rejected",
        }
    }
}

impl fmt::Display for BootStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BootStatus {
    type Err = UnknownBootStatus;

    fn from_str(text: &str) -> Result<Self, UnknownBootStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownBootStatus)
    }
}

/// What an answer depends on beside the request.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Whether the station is served.
    pub boot_status: BootStatus,
    /// What an accepted station is given as its heartbeat interval, any other as the wait before its next boot.
    pub heartbeat_interval_s: u32,
    /// The verdict on the request's id tag; without one the tag is `Invalid`.
    pub id_tag_info: Option<IdTagInfo>,
    /// The number of the transaction that a `StartTransaction` began; always given for one.
    pub transaction_id: Option<i64>,
    /// Vendors whose `DataTransfer` is accepted, in any case.
    pub data_transfer_vendors: &'a [String],
    /// Somebody signs certificates.
    pub certificate_authority: bool,
}

/// The longest `parentIdTag` that a charger has to take, in characters.
const PARENT_ID_TAG_CHARS_MAX: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireIdTagInfo<'a> {
    status: AuthorizationStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_date: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id_tag: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authorized<'a> {
    id_tag_info: WireIdTagInfo<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Booted {
    status: &'static str,
    current_time: Timestamp,
    interval: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CurrentTime {
    current_time: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Started<'a> {
    id_tag_info: WireIdTagInfo<'a>,
    transaction_id: i64,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// The payload of the CALLRESULT to `request`.
pub fn answer(request: &Request, facts: &Facts<'_>, now: Timestamp) -> Box<RawValue> {
    match request {
        Request::Authorize { .. } => write(&Authorized { id_tag_info: id_tag_info(facts, now) }),
        Request::BootNotification(_) => write(&Booted {
            status: facts.boot_status.wire(),
            current_time: now,
            // 0 would leave the pace to the charger, and some then send without pause.
            interval: facts.heartbeat_interval_s.clamp(1, i32::MAX as u32),
        }),
        Request::Heartbeat => write(&CurrentTime { current_time: now }),
        Request::StartTransaction(_) => {
            debug_assert!(facts.transaction_id.is_some(), "a StartTransaction always gets a number");
            write(&Started {
                id_tag_info: id_tag_info(facts, now),
                transaction_id: facts.transaction_id.unwrap_or_default(),
            })
        }
        Request::StopTransaction(stop) if stop.id_tag.is_some() && facts.id_tag_info.is_some() => {
            write(&Authorized { id_tag_info: id_tag_info(facts, now) })
        }
        Request::DataTransfer { vendor_id, .. } => {
            let vendor = vendor_id.as_deref().unwrap_or_default();
            let known = facts.data_transfer_vendors.iter().any(|known| known.eq_ignore_ascii_case(vendor));
            write(&Status { status: if known { "Accepted" } else { "UnknownVendorId" } })
        }
        Request::SignCertificate => {
            write(&Status { status: if facts.certificate_authority { "Accepted" } else { "Rejected" } })
        }
        Request::StopTransaction(_)
        | Request::MeterValues(_)
        | Request::StatusNotification(_)
        | Request::DiagnosticsStatusNotification { .. }
        | Request::FirmwareStatusNotification { .. }
        | Request::LogStatusNotification { .. }
        | Request::SecurityEventNotification
        | Request::SignedFirmwareStatusNotification { .. } => empty_object(),
    }
}

fn id_tag_info<'a>(facts: &'a Facts<'_>, now: Timestamp) -> WireIdTagInfo<'a> {
    let Some(info) = &facts.id_tag_info else {
        return WireIdTagInfo {
            status: AuthorizationStatus::Invalid,
            expiry_date: None,
            parent_id_tag: None,
        };
    };
    // A past date beside `Accepted` makes chargers refuse the tag, or forget it at once.
    let lapsed = |expiry: &Timestamp| info.status == AuthorizationStatus::Accepted && *expiry <= now;
    WireIdTagInfo {
        status: info.status,
        expiry_date: info.expiry_date.filter(|expiry| !lapsed(expiry)),
        parent_id_tag: info
            .parent_id_tag
            .as_deref()
            .filter(|parent| parent.chars().count() <= PARENT_ID_TAG_CHARS_MAX),
    }
}

fn write(payload: &impl Serialize) -> Box<RawValue> {
    to_raw_value(payload).unwrap_or_else(|_| unreachable!("texts and numbers are always JSON"))
}
