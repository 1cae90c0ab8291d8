//! Sessions whose stop has not come.

use std::time::Duration;

use super::super::answer::{Answer, ago, at, of_session, quoted, state};
use super::super::facts::{Seen, SessionFacts};
use vocabulary::api::transaction::{Status, Transaction};
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::clock::Timestamp;

/// A session of which nothing is heard for so long does not run any more.
const SILENT_AFTER: Duration = Duration::from_secs(24 * 3_600);

fn began(facts: &SessionFacts) -> Fact {
    let session = &facts.session;
    of_session(session, session.started_at.unwrap_or(facts.created_at), "The session began")
}

fn last_sign(facts: &SessionFacts) -> Timestamp {
    let events = facts.events.iter().map(|seen| seen.at);
    events.chain(facts.metered_at).chain([facts.created_at]).max().unwrap_or(facts.created_at)
}

fn how_to_close(answer: Answer, session: &Transaction) -> Answer {
    answer.next(format!(
        "Close it with what you know of its end: POST /transactions/{}/close, with stopped_at and meter_stop",
        session.transaction_id
    ))
}

pub(super) fn orphaned(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    let by_nobody = facts.ended_by.as_deref() == Some("orphan");
    if !session.orphaned || !(session.status == Status::Active || by_nobody) {
        return None;
    }
    let followed = facts.follower.as_ref().map(|next| {
        of_session(next, next.started_at.unwrap_or(next.updated_at), "Another session began on its connector")
    });
    let next = match &facts.follower {
        Some(next) => format!(
            ": session {} began on its connector at {}",
            next.transaction_id,
            at(next.started_at.unwrap_or(next.updated_at), facts.now)
        ),
        None => ", though another session began on its connector".to_owned(),
    };
    let ended = match by_nobody {
        true => " It was completed without its stop once nothing was heard of it for long enough.",
        false => "",
    };
    let summary = format!(
        "The stop of session {} has not come{next}. Its stop is lost or late.{ended}",
        session.transaction_id
    );
    let answer = Answer::new(Verdict::Orphaned, summary)
        .fact(began(facts))
        .fact(facts.metered_at.map(|metered| state(metered, "Its newest meter value came")))
        .fact(followed);
    let answer = match by_nobody {
        true => answer
            .next("Its energy is an estimate: check it before it is charged for; a late stop corrects it"),
        false => how_to_close(answer, session),
    };
    Some(answer.next(
        "If it happens often at this station, its queue of messages is lost when it restarts: ask the vendor",
    ))
}

/// The report by which the connector is free again, though the session is open.
fn freed(facts: &SessionFacts) -> Option<&Seen> {
    facts
        .statuses
        .first()
        .filter(|seen| seen.text("status") == Some("Available") && seen.at > facts.created_at)
}

pub(super) fn never_stopped(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    if facts.ended_by.as_deref() == Some("close") {
        return Some(closed(facts));
    }
    if session.status != Status::Active {
        return None;
    }
    let sign = last_sign(facts);
    let (why, report) = match freed(facts) {
        Some(seen) => {
            (format!("its connector is Available again since {}", at(seen.at, facts.now)), Some(seen))
        }
        None if facts.now.since(sign) > SILENT_AFTER => {
            (format!("nothing was heard of it for {}", ago(sign, facts.now)), None)
        }
        None => return None,
    };
    let summary = format!("The stop of session {} has not come: {why}.", session.transaction_id);
    let answer = Answer::new(Verdict::NeverStopped, summary)
        .fact(began(facts))
        .fact(facts.metered_at.map(|metered| state(metered, "Its newest meter value came")))
        .fact(report.map(|seen| seen.fact("The connector reported Available")));
    let answer = answer.next(format!(
        "If the station is online, ask it to stop: RemoteStopTransaction {{\"transactionId\": {}}}",
        session.transaction_id
    ));
    Some(how_to_close(answer, session))
}

/// Somebody has closed it, because its stop had not come.
fn closed(facts: &SessionFacts) -> Answer {
    let session = &facts.session;
    let end = session.stopped_at.unwrap_or(session.updated_at);
    let reason =
        session.stop_reason.as_deref().map(|reason| format!(" ({})", quoted(reason))).unwrap_or_default();
    let summary = format!(
        "The stop of session {} never came: it was closed by hand{reason}, with {} as its end.",
        session.transaction_id,
        at(end, facts.now)
    );
    Answer::new(Verdict::NeverStopped, summary)
        .fact(began(facts))
        .fact(facts.metered_at.map(|metered| state(metered, "Its newest meter value came")))
        .fact(of_session(session, end, "It was closed by hand"))
        .next("Check its energy before it is charged for; the charger's own stop corrects it, should it still come")
}
