//! Verdicts on id tags: of a tag as it is registered, and where it was refused.

use std::time::Duration;

use super::super::answer::{Answer, ago, at, of_session, quoted, state};
use super::super::facts::{Seen, SessionFacts, Shown, StationFacts, TagFacts};
use vocabulary::api::id_tag::{IdTag, TagStatus};
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::ocpp::authorization::AuthorizationStatus;
use vocabulary::ocpp::boot_status::BootStatus;

/// A driver who was refused this lately may still stand at the charger.
const LATELY: Duration = Duration::from_secs(15 * 60);

/// Where a tag was held, as facts.
fn shown(facts: &TagFacts) -> impl Iterator<Item = Fact> + '_ {
    facts.shown.iter().take(5).map(|Shown { seen, .. }| {
        let station = seen.station_id.as_deref().unwrap_or("a station");
        let status = seen.tag_status().unwrap_or("nothing");
        let reason = seen.id_tag_reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        seen.fact(format!("It was held against {station}: {} was answered {status}{reason}", seen.event))
    })
}

fn registered(tag: &IdTag) -> Fact {
    let whose = tag.owner_id.as_deref().map_or("without an owner".to_owned(), |owner| format!("for {owner}"));
    state(tag.updated_at, format!("It is registered {whose} as {}", tag.status))
}

fn put(tag: &IdTag, what: &str) -> String {
    let owner = tag.owner_id.as_deref().map(|owner| format!("?owner_id={owner}")).unwrap_or_default();
    format!("PUT /id-tags/{}{owner} {what}", tag.id_tag)
}

fn note(tag: &IdTag) -> String {
    match tag.note.as_deref().filter(|note| !note.is_empty()) {
        Some(note) => format!(" Its note says {:?}.", quoted(note)),
        None => String::new(),
    }
}

pub(super) fn blocked(facts: &TagFacts) -> Option<Answer> {
    let tag = facts.tag.as_ref().filter(|tag| tag.status == TagStatus::Blocked)?;
    let summary = format!(
        "{} is refused because it is registered as Blocked, since {}.{}",
        tag.id_tag,
        at(tag.updated_at, facts.now),
        note(tag)
    );
    Some(
        Answer::new(Verdict::TagBlocked, summary)
            .fact(registered(tag))
            .facts(shown(facts))
            .next(format!("If it may charge again: {}", put(tag, "{\"status\": \"Accepted\"}"))),
    )
}

pub(super) fn expired(facts: &TagFacts) -> Option<Answer> {
    let tag = facts.tag.as_ref()?;
    let past = tag.expiry_date.filter(|date| *date <= facts.now && tag.status == TagStatus::Accepted);
    if tag.status != TagStatus::Expired && past.is_none() {
        return None;
    }
    let why = match past {
        Some(date) => format!("its expiry date was {} ({} ago)", at(date, facts.now), ago(date, facts.now)),
        None => "it is registered as Expired".to_owned(),
    };
    Some(
        Answer::new(Verdict::TagExpired, format!("{} is refused: {why}.{}", tag.id_tag, note(tag)))
            .fact(registered(tag))
            .fact(past.map(|date| state(date, "It expired")))
            .facts(shown(facts))
            .next(format!("Renew it: {}", put(tag, "with a later expiry_date, or none"))),
    )
}

pub(super) fn invalid(facts: &TagFacts) -> Option<Answer> {
    let tag = facts.tag.as_ref().filter(|tag| tag.status == TagStatus::Invalid)?;
    let summary = format!("{} is refused because it is registered as Invalid.{}", tag.id_tag, note(tag));
    Some(
        Answer::new(Verdict::TagInvalid, summary)
            .fact(registered(tag))
            .facts(shown(facts))
            .next(format!("If it may charge: {}", put(tag, "{\"status\": \"Accepted\"}"))),
    )
}

pub(super) fn concurrent(facts: &TagFacts) -> Option<Answer> {
    let tag = facts.tag.as_ref()?;
    let most = tag.max_active_transactions?;
    if (facts.charging.len() as u64) < u64::from(most) {
        return None;
    }
    let first = facts.charging.first();
    let summary = match (most, first) {
        (0, _) | (_, None) => {
            format!("{} may start no session at all: its max_active_transactions is 0.", tag.id_tag)
        }
        (_, Some(session)) => format!(
            "{} may be in {most} session{} at once, and is: in {} on {} since {}. Any further start is refused with \
             ConcurrentTx.",
            tag.id_tag,
            if most == 1 { "" } else { "s" },
            session.transaction_id,
            session.station_id,
            at(session.started_at.unwrap_or(session.updated_at), facts.now)
        ),
    };
    let running = facts.charging.iter().take(10).map(|session| {
        let connector = session.connector_id.map(|id| format!(", connector {id}")).unwrap_or_default();
        let text = format!("It is charging on {}{connector}", session.station_id);
        of_session(session, session.started_at.unwrap_or(session.updated_at), text)
    });
    let answer =
        Answer::new(Verdict::Concurrent, summary).fact(registered(tag)).facts(running).facts(shown(facts));
    let answer = match first {
        Some(session) => answer.next(format!(
            "Ask whether that session still runs (GET /transactions/{}/why); if not, close it: POST \
             /transactions/{}/close",
            session.transaction_id, session.transaction_id
        )),
        None => answer,
    };
    Some(answer.next(format!("Or raise the limit: {}", put(tag, "with another max_active_transactions"))))
}

/// It is fine as it is registered, and was refused for a reason that lies elsewhere.
pub(super) fn refused_elsewhere(facts: &TagFacts) -> Option<Answer> {
    let last = facts.shown.first()?;
    let since = facts.tag.as_ref().map(|tag| tag.updated_at);
    if since.is_some_and(|since| since > last.seen.at) || last.seen.tag_status() == Some("Accepted") {
        return None;
    }
    let station = last.seen.station_id.as_deref().unwrap_or("a station");
    let (verdict, why, next) = match last.seen.id_tag_reason.as_deref()? {
        "endpoint" => (
            Verdict::TagRefusedByEndpoint,
            "the authorisation endpoint (authorization.url) has refused it",
            "Look at the endpoint's own records: its answer counts before the tags that are registered here",
        ),
        "endpoint_unreachable" => (
            Verdict::TagEndpointUnreachable,
            "the authorisation endpoint did not answer in time, and neither an earlier answer nor a registered tag lets \
             it in",
            "Look at the endpoint (authorization.url, authorization.timeout), and register tags here that are to charge \
             without it",
        ),
        _ => return None,
    };
    let summary =
        format!("{} was refused at {station} at {}: {why}.", facts.id_tag, at(last.seen.at, facts.now));
    Some(
        Answer::new(verdict, summary).fact(facts.tag.as_ref().map(registered)).facts(shown(facts)).next(next),
    )
}

pub(super) fn other_owner(facts: &TagFacts) -> Option<Answer> {
    let refused =
        facts.shown.iter().find(|shown| shown.seen.tag_status().is_some_and(|status| status != "Accepted"));
    let told = refused.filter(|shown| shown.seen.id_tag_reason.as_deref() == Some("other_owner"));
    let registered_for = facts.tag.iter().chain(&facts.elsewhere).find(|tag| tag.owner_id.is_some());
    let other_station = refused.filter(|shown| {
        registered_for.is_some_and(|tag| tag.owner_id.as_deref() != shown.owner_id.as_deref())
            && facts.tag.as_ref().is_none_or(|tag| tag.updated_at <= shown.seen.at)
    });
    let is_registered = facts.tag.is_some();
    let only_others = !is_registered && !facts.elsewhere.is_empty();
    let refused = told.or(other_station);
    if refused.is_none() && !only_others {
        return None;
    }
    let whose = match registered_for.and_then(|tag| tag.owner_id.as_deref()) {
        Some(owner) => format!("is registered for {owner} alone"),
        None => "is registered for another owner".to_owned(),
    };
    let where_refused = match refused {
        Some(shown) => format!(
            ", and was held against {}, which belongs to {}, at {}",
            shown.seen.station_id.as_deref().unwrap_or("a station"),
            shown.owner_id.as_deref().unwrap_or("nobody"),
            at(shown.seen.at, facts.now)
        ),
        None => ": stations of others do not know it".to_owned(),
    };
    Some(
        Answer::new(Verdict::TagOtherOwner, format!("{} {whose}{where_refused}.", facts.id_tag))
            .facts(facts.tag.iter().chain(&facts.elsewhere).map(registered))
            .facts(shown(facts))
            .next(format!(
                "If it may charge there, register it for that owner too, or without owner: PUT /id-tags/{}",
                facts.id_tag
            )),
    )
}

pub(super) fn unknown(facts: &TagFacts) -> Option<Answer> {
    if facts.tag.is_some() {
        return None;
    }
    let what = match (facts.endpoint, facts.accepts_unknown) {
        (true, true) => {
            "the authorisation endpoint decides, and where it does not, tags that nobody knows are let in"
        }
        (true, false) => {
            "the authorisation endpoint decides, and where it does not, tags that nobody knows are refused"
        }
        (false, true) => {
            "tags that nobody knows are let in here (authorization.unknown_id_tag is \"accept\")"
        }
        (false, false) => {
            "tags that nobody knows are refused as Invalid here (authorization.unknown_id_tag is \"invalid\")"
        }
    };
    Some(
        Answer::new(Verdict::TagUnknown, format!("{} is not registered: {what}.", facts.id_tag))
            .fact(state(facts.now, "No registration of it was found"))
            .facts(shown(facts))
            .next(format!("If it may charge, register it: PUT /id-tags/{}", facts.id_tag)),
    )
}

/// What the refusal of a tag comes from, as far as the words on record say.
pub(super) fn verdict_of(status: &str, reason: Option<&str>) -> (Verdict, &'static str) {
    match reason.unwrap_or_default() {
        "unknown" => (Verdict::TagUnknown, "nobody has registered it"),
        "blocked" => (Verdict::TagBlocked, "somebody has blocked it"),
        "expired" => (Verdict::TagExpired, "its expiry date has passed"),
        "other_owner" => (Verdict::TagOtherOwner, "it is registered for another owner than the station's"),
        "concurrent" => (Verdict::Concurrent, "it is charging elsewhere already, as often as it may"),
        "endpoint" => (Verdict::TagRefusedByEndpoint, "the authorisation endpoint has refused it"),
        "endpoint_unreachable" => {
            (Verdict::TagEndpointUnreachable, "the authorisation endpoint did not answer")
        }
        "invalid" => {
            (Verdict::TagInvalid, "it is registered as invalid, or the station may not start anything")
        }
        _ => match status {
            "Blocked" => (Verdict::TagBlocked, "it was blocked then"),
            "Expired" => (Verdict::TagExpired, "its expiry date has passed"),
            "ConcurrentTx" => (Verdict::Concurrent, "it is charging elsewhere already, as often as it may"),
            _ => (Verdict::TagInvalid, "it is not known here, or registered as invalid"),
        },
    }
}

/// A session whose tag was refused when it started.
pub(super) fn refused_at_start(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    if session.id_tag_status == AuthorizationStatus::Accepted {
        return None;
    }
    let start = facts.events.iter().find(|seen| seen.is("StartTransaction"));
    let reason = session.id_tag_reason.map(|reason| reason.as_str());
    let (verdict, words) = verdict_of(session.id_tag_status.as_str(), reason);
    let tag = session.id_tag.as_deref().unwrap_or("without a tag");
    let went_on = match (session.stop_reason.as_deref(), session.energy_wh) {
        (Some("DeAuthorized"), _) => " The charger has ended it for that reason.".to_owned(),
        (_, Some(wh)) if wh > 0 => " The charger went on all the same.".to_owned(),
        _ => String::new(),
    };
    let summary = format!(
        "The id tag {} of session {} was answered {}: {words}.{went_on}",
        quoted(tag),
        session.transaction_id,
        session.id_tag_status
    );
    let began = session.started_at.unwrap_or(facts.created_at);
    let stop = facts.events.iter().rev().find(|seen| seen.is("StopTransaction"));
    Some(
        Answer::new(verdict, summary)
            .fact(of_session(session, began, "The session began"))
            .fact(start.map(|seen| seen.fact(format!("Its start was answered {}", session.id_tag_status))))
            .fact(stop.map(|seen| seen.fact("It was stopped")))
            .next(format!("See what is known of the tag: GET /id-tags/{}/why", quoted(tag)))
            .next(
                "If sessions with refused tags are to end at once, set StopTransactionOnInvalidId and \
                 AllowOfflineTxForUnknownId in the charger",
            ),
    )
}

/// The last driver at the station was refused a moment ago, and has not started since.
pub(super) fn refused_lately(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref()?;
    let is_of_tag = |seen: &&Seen| seen.is("Authorize") || seen.is("StartTransaction");
    let last = facts.events.iter().find(is_of_tag)?;
    let status = last.tag_status().filter(|status| *status != "Accepted")?;
    if facts.now.since(last.at) > LATELY || station.boot_status != BootStatus::Accepted {
        return None;
    }
    let (verdict, words) = verdict_of(status, last.id_tag_reason.as_deref());
    let tag = quoted(last.text("idTag").unwrap_or_default());
    let summary = format!(
        "The id tag {tag} was refused at {} at {} ({status}): {words}.",
        station.station_id,
        at(last.at, facts.now)
    );
    Some(
        Answer::new(verdict, summary)
            .fact(last.fact(format!("{} with {tag} was answered {status}", last.event)))
            .next(format!("See what is known of the tag: GET /id-tags/{tag}/why")),
    )
}
