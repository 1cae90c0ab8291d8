//! Updates of firmware, and uploads of diagnostics and logs.

use std::time::Duration;

use super::super::answer::{self, Answer, ago, at, state};
use super::super::facts::{CommandFacts, Seen, StationFacts};
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::clock::Timestamp;

/// No update takes longer to get on than that.
const STUCK_AFTER: Duration = Duration::from_secs(3_600);

/// Whether a status says that an update has failed.
fn has_failed(status: &str) -> bool {
    status.ends_with("Failed") || status == "InvalidSignature" || status == "RevokedCertificate"
}

/// Whether it says that an update is under way.
fn is_under_way(status: &str) -> bool {
    matches!(
        status,
        "Downloading"
            | "Downloaded"
            | "Installing"
            | "DownloadScheduled"
            | "DownloadPaused"
            | "InstallRebooting"
            | "InstallScheduled"
            | "SignatureVerified"
    )
}

fn is_update(event: &str) -> bool {
    matches!(event, "FirmwareStatusNotification" | "SignedFirmwareStatusNotification")
}

fn words(status: &str, since: Timestamp, now: Timestamp) -> String {
    match has_failed(status) {
        true => format!("the update of its firmware has failed at {} ({status})", at(since, now)),
        false => format!(
            "the update of its firmware is {status} since {} ({}), and gets no further",
            at(since, now),
            ago(since, now)
        ),
    }
}

fn with_steps(answer: Answer) -> Answer {
    answer
        .next("Check that the charger can reach the location of the file (DNS, TLS, user and password in the URL)")
        .next("Send UpdateFirmware again, with retries; a charger that hangs in an update may need a restart first")
}

pub(super) fn stuck(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref()?;
    let status = station.firmware_status.as_deref()?;
    let report = facts.events.iter().find(|seen| is_update(&seen.event));
    let since = report.map(|seen| seen.at)?;
    // Whatever it told of the update, it has booted with other firmware, or is at work again.
    let booted_since = station.booted_at.is_some_and(|booted| booted > since);
    let is_stuck = is_under_way(status) && facts.now.since(since) >= STUCK_AFTER;
    if booted_since || !(has_failed(status) || is_stuck) {
        return None;
    }
    let order = facts.commands.iter().find(|command| is_order(&command.action));
    let summary = format!("{}: {}.", station.station_id, words(status, since, facts.now));
    let answer =
        Answer::new(Verdict::FirmwareStuck, summary)
            .fact(order.map(|order| {
                answer::of_command(order, order.created_at, format!("{} was sent", order.action))
            }))
            .fact(report.map(|seen| seen.fact(format!("It reported {status}"))));
    Some(with_steps(answer))
}

fn is_order(action: &str) -> bool {
    matches!(action, "UpdateFirmware" | "SignedUpdateFirmware")
}

fn is_upload(action: &str) -> bool {
    matches!(action, "GetDiagnostics" | "GetLog")
}

/// The newest report of these that came after the command, and what it says.
fn report(facts: &CommandFacts, is_wanted: fn(&str) -> bool) -> Option<(&Seen, &str)> {
    let sent = facts.command.sent_at?;
    let seen = facts.events.iter().rev().find(|seen| is_wanted(&seen.event) && seen.at >= sent)?;
    Some((seen, seen.text("status")?))
}

/// An order to update that was accepted, and came to nothing so far.
pub(super) fn of_command(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    if !is_order(&command.action) {
        return None;
    }
    let sent = command.sent_at?;
    let (since, status, seen) = match report(facts, is_update) {
        Some((seen, status)) => (seen.at, status, Some(seen)),
        None => (sent, "Idle", None),
    };
    let is_late = facts.now.since(since) >= STUCK_AFTER && status != "Installed";
    if !(has_failed(status) || is_late) {
        return None;
    }
    let words = match seen {
        Some(_) => words(status, since, facts.now),
        None => format!("nothing was heard of an update since it was accepted, {} ago", ago(sent, facts.now)),
    };
    let answer = Answer::new(Verdict::FirmwareStuck, format!("{}: {words}.", command.station_id))
        .fact(was_sent(facts))
        .fact(seen.map(|seen| seen.fact(format!("It reported {status}"))));
    Some(with_steps(answer))
}

fn was_sent(facts: &CommandFacts) -> Fact {
    let command = &facts.command;
    answer::of_command(
        command,
        command.sent_at.unwrap_or(command.created_at),
        format!("{} was sent", command.action),
    )
}

/// An upload that was accepted, and has failed.
pub(super) fn upload_of_command(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    if !is_upload(&command.action) {
        return None;
    }
    let is_wanted = |event: &str| matches!(event, "DiagnosticsStatusNotification" | "LogStatusNotification");
    let (seen, status) = report(facts, is_wanted)?;
    let has_failed = has_failed(status)
        || matches!(status, "UploadFailure" | "BadMessage" | "NotSupportedOperation" | "PermissionDenied");
    if !has_failed {
        return None;
    }
    let summary = format!(
        "{} accepted the upload, and reported at {} that it failed ({status}).",
        command.station_id,
        at(seen.at, facts.now)
    );
    Some(
        Answer::new(Verdict::UploadFailed, summary)
            .fact(was_sent(facts))
            .fact(seen.fact(format!("It reported {status}")))
            .fact(facts.station.as_ref().and_then(|station| {
                station.last_seen_at.map(|seen| state(seen, "The station was last heard of"))
            }))
            .next("Check that the charger can reach the location, and that it may write there (user and password in the URL)")
            .next(format!("Send {} again", command.action)),
    )
}
