//! A state as a chip: shape, colour and word together, so that none of them has to be seen alone.

use maud::{Markup, html};

use vocabulary::api::bulk_command::{BulkCommand, BulkResult, BulkStatus};
use vocabulary::api::command::{Command, CommandStatus};
use vocabulary::api::node;
use vocabulary::api::station::{Connector, Station};
use vocabulary::api::transaction::{EnergyQuality, Status, Transaction};
use vocabulary::api::webhook_stats::BreakerState;

use vocabulary::delivery::DeliveryStatus;
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagReason};
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::webhook::WebhookStatus;

/// What a state means to somebody who looks after the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) enum Tone {
    /// As it should be: a full circle.
    Ok,
    /// Worth a look: a triangle.
    Warn,
    /// Somebody has to do something: a square.
    Bad,
    /// At work: a half circle.
    Info,
    /// At rest, or not there: an empty circle.
    Off,
}

impl Tone {
    /// The name of its class in the style sheet.
    pub(in crate::ui) fn class(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Info => "info",
            Self::Off => "off",
        }
    }
}

/// A chip with any word.
pub(in crate::ui) fn chip(tone: Tone, word: &str) -> Markup {
    html! { span class={ "chip " (tone.class()) } { (word) } }
}

/// Whether a station is connected, blocked, or was never there.
pub(in crate::ui) fn station(station: &Station) -> Markup {
    match station {
        Station { blocked: true, .. } => chip(Tone::Bad, "blocked"),
        Station { connected: true, offline_since: Some(_), .. } => chip(Tone::Warn, "silent"),
        Station { connected: true, boot_status: BootStatus::Accepted, .. } => chip(Tone::Ok, "connected"),
        Station { connected: true, boot_status, .. } => chip(Tone::Warn, boot_status.as_str()),
        Station { connected_at: None, .. } => chip(Tone::Off, "never connected"),
        _ => chip(Tone::Off, "offline"),
    }
}

/// The tone of a connector's status, under any spelling that chargers use.
pub(in crate::ui) fn connector_tone(status: Option<&str>) -> Tone {
    match status.unwrap_or_default() {
        "Available" => Tone::Ok,
        "Charging" | "Preparing" | "Finishing" | "Occupied" => Tone::Info,
        "SuspendedEV" | "SuspendedEVSE" | "Reserved" => Tone::Warn,
        "Faulted" => Tone::Bad,
        _ => Tone::Off,
    }
}

/// A connector: its number, and its status, or its error where there is one. Of a station that is not
/// `online` it is what was last known: no colour says that it is so now.
pub(in crate::ui) fn connector(connector: &Connector, online: bool) -> Markup {
    let status = connector.status.as_deref();
    let error = connector.error_code.as_deref().filter(|code| *code != "NoError");
    let word = match (status, error) {
        (Some("Faulted"), Some(error)) => error,
        (status, _) => status.unwrap_or("unknown"),
    };
    let number = match connector.connector_id {
        0 => "station".to_owned(),
        number => number.to_string(),
    };
    let tone = if online { connector_tone(status) } else { Tone::Off };
    chip(tone, &format!("{number} {word}"))
}

/// Whether a node serves.
pub(in crate::ui) fn node(status: node::Status) -> Markup {
    let tone = match status {
        node::Status::Active => Tone::Ok,
        node::Status::Draining => Tone::Warn,
        node::Status::Lost => Tone::Bad,
    };
    chip(tone, status.as_str())
}

/// Whether a session runs.
pub(in crate::ui) fn session(status: Status, orphaned: bool) -> Markup {
    match (status, orphaned) {
        (_, true) => chip(Tone::Warn, "orphaned"),
        (Status::Active, false) => chip(Tone::Info, "active"),
        (Status::Completed, false) => chip(Tone::Off, "completed"),
    }
}

/// How far the energy of a session can be billed.
pub(in crate::ui) fn energy_quality(quality: EnergyQuality) -> Markup {
    let tone = match quality {
        EnergyQuality::Metered => Tone::Ok,
        EnergyQuality::Estimated => Tone::Warn,
        EnergyQuality::Implausible => Tone::Bad,
        EnergyQuality::Missing => Tone::Off,
    };
    chip(tone, quality.as_str())
}

/// Why a session's id tag was refused; nothing if it was accepted.
pub(in crate::ui) fn refused_tag(session: &Transaction) -> Markup {
    if session.id_tag_status == AuthorizationStatus::Accepted {
        return html! {};
    }
    let word = match session.id_tag_reason {
        Some(IdTagReason::OtherOwner) => "of another owner",
        Some(IdTagReason::Concurrent) => "charging elsewhere",
        Some(IdTagReason::Endpoint) => "refused by the endpoint",
        Some(IdTagReason::EndpointUnreachable) => "endpoint unreachable",
        Some(reason) => reason.as_str(),
        None => session.id_tag_status.as_str(),
    };
    chip(Tone::Warn, word)
}

/// What becomes of a delivery.
pub(in crate::ui) fn delivery(status: DeliveryStatus) -> Markup {
    let tone = match status {
        DeliveryStatus::Success => Tone::Ok,
        DeliveryStatus::Failed => Tone::Bad,
        DeliveryStatus::Retry => Tone::Warn,
        DeliveryStatus::Processing | DeliveryStatus::Scheduled => Tone::Info,
        DeliveryStatus::Discarded => Tone::Off,
    };
    chip(tone, status.as_str())
}

/// Whether a webhook gets events: an open `breaker` says more than `active`.
pub(in crate::ui) fn webhook(status: WebhookStatus, breaker: Option<BreakerState>) -> Markup {
    let tone = match (status, breaker) {
        (WebhookStatus::Active, Some(BreakerState::Open)) => return chip(Tone::Bad, "failing"),
        (WebhookStatus::Active, Some(BreakerState::Ramp)) => return chip(Tone::Warn, "recovering"),
        (WebhookStatus::Active, _) => Tone::Ok,
        (WebhookStatus::Paused, _) => Tone::Warn,
        (WebhookStatus::Disabled, _) => Tone::Off,
        (WebhookStatus::AutoDisabled, _) => Tone::Bad,
    };
    chip(tone, status.as_str())
}

/// How a command has ended, or where it is; a charger that has refused it is an end of its own.
pub(in crate::ui) fn command(command: &Command) -> Markup {
    match (command.status, command.accepted) {
        (CommandStatus::Completed, Some(false)) => chip(Tone::Bad, "refused"),
        (CommandStatus::Completed, Some(true)) => chip(Tone::Ok, "accepted"),
        (CommandStatus::Completed, None) => chip(Tone::Ok, "completed"),
        (status @ (CommandStatus::Queued | CommandStatus::Sent), _) => chip(Tone::Info, status.as_str()),
        (status @ (CommandStatus::Expired | CommandStatus::Canceled), _) => chip(Tone::Off, status.as_str()),
        (status, _) => chip(Tone::Bad, status.as_str()),
    }
}

/// How far a bulk command has come.
pub(in crate::ui) fn bulk_command(bulk: &BulkCommand) -> Markup {
    let tone = match bulk.status {
        BulkStatus::Running => Tone::Info,
        BulkStatus::Done if bulk.rejected + bulk.failed > 0 => Tone::Warn,
        BulkStatus::Done => Tone::Ok,
        BulkStatus::Canceled => Tone::Off,
    };
    chip(tone, bulk.status.as_str())
}

/// What a bulk command has come to at a station.
pub(in crate::ui) fn bulk_result(result: BulkResult) -> Markup {
    let tone = match result {
        BulkResult::Accepted => Tone::Ok,
        BulkResult::Rejected => Tone::Bad,
        BulkResult::Failed => Tone::Warn,
        BulkResult::Waiting | BulkResult::Queued | BulkResult::Sent => Tone::Info,
        BulkResult::Skipped => Tone::Off,
    };
    chip(tone, result.as_str())
}

/// What a delivery waits for, in words.
pub(in crate::ui) fn waits_for(reason: &str) -> &str {
    match reason {
        "schedule" => "its time",
        "breaker" => "the receiver to answer again (its breaker is open)",
        "rate_limit" => "the webhook's rate limit",
        "order" => "an earlier delivery of its station",
        "slot" => "its turn",
        "paused" => "the webhook to be resumed",
        "settings" => "the webhook's settings to be readable",
        other => other,
    }
}
