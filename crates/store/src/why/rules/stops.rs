//! Why a session ended, by the reason that its stop gives.

use super::super::answer::{Answer, at, kwh, of_command, of_session, quoted};
use super::super::facts::{Seen, SessionFacts};
use vocabulary::api::command::Command;
use vocabulary::api::transaction::{Status, Transaction};
use vocabulary::api::why::Verdict;

/// The verdict on a stop's reason, and what it says.
fn verdict_of(reason: &str) -> (Verdict, &'static str) {
    match reason {
        "Local" => (Verdict::StoppedByDriver, "the driver ended it at the station"),
        "Remote" => (Verdict::StoppedRemotely, "it was ended by a command"),
        "EVDisconnected" => (Verdict::Unplugged, "the driver unplugged the car"),
        "UnlockCommand" => (Verdict::Unlocked, "its connector was unlocked by a command"),
        "PowerLoss" => (Verdict::PowerLoss, "the station lost its power"),
        "EmergencyStop" => (Verdict::EmergencyStop, "somebody pressed the emergency stop"),
        "DeAuthorized" => {
            (Verdict::Deauthorized, "its id tag was not valid (any more), so the station ended it")
        }
        "HardReset" | "SoftReset" | "Reboot" => (Verdict::StationRestarted, "the station restarted"),
        _ => (Verdict::StoppedForOtherReason, "the station ended it"),
    }
}

fn reason_of(session: &Transaction) -> &str {
    // OCPP 1.6, 6.49: a stop without a reason means Local.
    session.stop_reason.as_deref().unwrap_or("Local")
}

/// A command that the end comes of.
fn order<'a>(facts: &'a SessionFacts, reason: &str) -> Option<&'a Command> {
    let is_meant = |command: &&Command| match reason {
        "Remote" => {
            let payload: serde_json::Value = serde_json::from_str(command.payload.get()).unwrap_or_default();
            command.action == "RemoteStopTransaction"
                && payload["transactionId"].as_i64() == Some(facts.session.transaction_id)
        }
        "UnlockCommand" => command.action == "UnlockConnector",
        "HardReset" | "SoftReset" | "Reboot" => command.action == "Reset",
        _ => false,
    };
    let stop = facts.events.iter().rev().find(|seen| seen.is("StopTransaction"))?;
    facts.commands.iter().filter(|command| command.sent_at.is_some_and(|sent| sent <= stop.at)).find(is_meant)
}

fn answer(facts: &SessionFacts) -> Answer {
    let session = &facts.session;
    let reason = reason_of(session);
    let (verdict, words) = verdict_of(reason);
    let end = session.stopped_at.unwrap_or(session.updated_at);
    let order = order(facts, reason);
    let by = match order {
        Some(order) => format!(", ordered by {:?} ({})", order.requested_by.name, order.id),
        None if verdict == Verdict::StoppedForOtherReason => format!(" with the reason {:?}", quoted(reason)),
        None => String::new(),
    };
    let energy = match session.energy_wh {
        Some(wh) => format!(" It came to {}.", kwh(wh)),
        None => String::new(),
    };
    let summary =
        format!("Session {} ended at {}: {words}{by}.{energy}", session.transaction_id, at(end, facts.now));
    let stop = facts.events.iter().rev().find(|seen| seen.is("StopTransaction"));
    let completed = facts.events.iter().rev().find(|seen| seen.is("TransactionCompleted"));
    let before = facts.statuses.iter().take(5).map(|seen: &Seen| {
        seen.fact(format!("The connector reported {}", quoted(seen.text("status").unwrap_or("nothing"))))
    });
    Answer::new(verdict, summary)
        .fact(of_session(session, session.started_at.unwrap_or(facts.created_at), "The session began"))
        .facts(before)
        .fact(order.map(|order| {
            of_command(order, order.sent_at.unwrap_or(order.created_at), format!("{} was sent", order.action))
        }))
        .fact(stop.map(|seen| seen.fact(format!("Its stop came, with the reason {}", quoted(reason)))))
        .fact(completed.map(|seen| seen.fact("It was completed")))
}

/// Ends that nobody wanted.
pub(super) fn problems(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    let (verdict, _) = verdict_of(reason_of(session));
    if session.status != Status::Completed || verdict.is_ordinary() {
        return None;
    }
    let next = match verdict {
        Verdict::PowerLoss => {
            "Ask at the site what happened to the power: a breaker, a residual current device, an outage"
        }
        Verdict::EmergencyStop => {
            "Ask on site why, and release the emergency stop: until then the charger gives no power"
        }
        Verdict::Deauthorized => "See what is known of its tag: GET /id-tags/{tag}/why",
        Verdict::StationRestarted => {
            "If nobody has restarted it, look at its boots and ask the vendor: GET /stations/{id}/why"
        }
        _ => "Look at what the connector reported before: a fault, a full car, a limit of the operator's",
    };
    let tag = quoted(session.id_tag.as_deref().unwrap_or_default());
    Some(answer(facts).next(next.replace("{tag}", &tag).replace("{id}", &session.station_id)))
}

/// Ends as sessions have them.
pub(super) fn ordinary(facts: &SessionFacts) -> Option<Answer> {
    (facts.session.status == Status::Completed).then(|| answer(facts))
}
