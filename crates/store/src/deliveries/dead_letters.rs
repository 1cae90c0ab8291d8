//! Dead letters: deliveries whose schedule is used up, and the events that announce them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::deliveries::direct_url::{DIRECT_IN_BULK, DIRECT_WAITING, is_origin};
use crate::deliveries::tallies::{self, Ended};
use crate::deliveries::webhook_events::append_event;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::log::waiting_deliveries::{BULK_WAITING, ORDERED_LIVE, UNORDERED_WAITING};
use crate::{DeliveryRow, Priority, Scope, Store};
use vocabulary::api::delivery::DeliveryError;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::ErrorCode;
use vocabulary::id::{DeliveryId, EventId, WebhookId};

/// Deliveries that are read in one step of [`Store::give_up_waiting`].
const GIVE_UP_STEP: usize = 500;

/// Newest deliveries of a webhook among which its last answer is looked for.
const ANSWER_SEARCHED: usize = 200;

/// Characters of an answer's body that an error quotes.
const BODY_CHARS: usize = 120;

/// A dead letter, as a `DeliveryFailed` event announces it.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryFailure {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Its event.
    pub event_id: EventId,
    /// Its webhook; null if it went to a URL of its own.
    #[serde(serialize_with = "webhook_or_null")]
    pub webhook_id: WebhookId,
    /// The number of its attempts.
    pub attempts: u32,
    /// The error of its last attempt.
    pub last_error: DeliveryError,
}

fn webhook_or_null<S: serde::Serializer>(
    lane: &WebhookId,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    Some(*lane).filter(|lane| !is_origin(*lane)).serialize(serializer)
}

/// The result of one step of [`Store::give_up_waiting`].
#[derive(Debug, Clone, Default)]
pub struct GivenUp {
    /// How many an event of their own announces.
    pub told: usize,
    /// The dead letters that no event announces yet.
    pub unannounced: Vec<DeliveryFailure>,
    /// Another step may find more.
    pub more: bool,
}

impl Store {
    /// Turns due deliveries whose schedule started before `began_before` into dead letters (`circuit_open`),
    /// the oldest due ones first. A webhook that is paused, or was since then, has none. Events announce the
    /// first `announce` of them; the others are returned.
    pub async fn give_up_waiting(
        &self,
        webhook_id: WebhookId,
        began_before: Timestamp,
        announce: usize,
    ) -> Result<GivenUp> {
        self.write(Priority::Outcome, Scope::Webhook(webhook_id), move |w| {
            give_up(w, webhook_id, began_before, announce)
        })
        .await
    }

    /// Stores one `DeliveryFailed` event for `count` dead letters; `latest` is one of them.
    pub async fn announce_failures(&self, latest: DeliveryFailure, count: u64) -> Result<()> {
        let scope = Scope::Webhook(latest.webhook_id);
        self.write(Priority::Outcome, scope, move |w| announce(w, &latest, count)).await
    }
}

/// Stores the event that announces `count` dead letters by one of them.
pub(crate) fn announce(w: &mut Tx<'_>, failure: &DeliveryFailure, count: u64) -> Result<()> {
    #[derive(Serialize)]
    struct Failed<'a> {
        #[serde(flatten)]
        failure: &'a DeliveryFailure,
        count: u64,
    }
    append_event(w, "DeliveryFailed", failure.webhook_id, &Failed { failure, count })
}

fn give_up(
    w: &mut Tx<'_>,
    webhook_id: WebhookId,
    began_before: Timestamp,
    announce_max: usize,
) -> Result<GivenUp> {
    if !counts_against(w, webhook_id, began_before)? {
        return Ok(GivenUp::default());
    }
    let too_old = too_old(w, webhook_id, began_before, w.monotonic)?;
    let mut given_up = GivenUp { more: !too_old.is_empty(), ..GivenUp::default() };
    let mut ended: BTreeMap<Option<String>, Ended> = BTreeMap::new();
    for TooOld { row, operational, failure, owner_id } in too_old {
        let DeliveryError { code, message } = &failure.last_error;
        w.run(
            "UPDATE deliveries SET status = 'failed', due_at_ms = NULL, completed_at_ms = ?2,
                                   last_error_code = ?3, last_error_message = ?4 WHERE seq = ?1",
            params![row, w.now, code.as_str(), message],
        )?;
        ended.entry(owner_id).or_default().failed += 1;
        if operational {
            continue;
        }
        if given_up.told < announce_max {
            announce(w, &failure, 1)?;
            given_up.told += 1;
        } else {
            given_up.unannounced.push(failure);
        }
    }
    for (owner_id, ended) in ended {
        tallies::add(w, webhook_id, owner_id.as_deref(), ended)?;
    }
    Ok(given_up)
}

/// Whether age counts: not during a pause, and after a pause only from its end on.
fn counts_against(db: &Read<'_>, webhook_id: WebhookId, began_before: Timestamp) -> Result<bool> {
    if is_origin(webhook_id) {
        return Ok(true);
    }
    let active =
        "SELECT 1 FROM webhooks WHERE id = ?1 AND status = 'active' AND coalesce(resumed_at_ms < ?2, TRUE)";
    db.has(active, params![webhook_id, began_before])
}

/// A delivery whose schedule ran out while the breaker was open.
struct TooOld {
    row: DeliveryRow,
    /// Its event is about a webhook, so no event announces its failure.
    operational: bool,
    failure: DeliveryFailure,
    /// The webhook's owner, or the event's if it goes to a URL of its own.
    owner_id: Option<String>,
}

fn too_old(
    db: &Read<'_>,
    webhook_id: WebhookId,
    began_before: Timestamp,
    now: Timestamp,
) -> Result<Vec<TooOld>> {
    let by_time = |which: &str| format!("{which} AND due_at_ms <= ?2 ORDER BY due_at_ms, seq");
    let by_station = format!("{ORDERED_LIVE} ORDER BY order_station, seq");
    let (of_lane, number, waiting) = match is_origin(webhook_id) {
        true => ("origin_id", -webhook_id, vec![by_time(DIRECT_WAITING), by_time(DIRECT_IN_BULK)]),
        false => {
            ("webhook_id", webhook_id, vec![by_time(UNORDERED_WAITING), by_station, by_time(BULK_WAITING)])
        }
    };
    let mut found: Vec<TooOld> = Vec::new();
    for waiting in waiting {
        // The limit counts the rows that are read, not those that are found: a long backlog must not block
        // the writer.
        let sql = format!(
            "SELECT o.seq, e.category = 'webhook', o.id, e.id, o.attempts,
                    CASE WHEN o.webhook_id IS NULL THEN e.owner_id ELSE h.owner_id END
             FROM (SELECT seq, id, event_seq, webhook_id, attempts, scheduled_at_ms, due_at_ms FROM deliveries
                   WHERE {of_lane} = ?1 AND {waiting} LIMIT ?4) AS o
             JOIN events e ON e.seq = o.event_seq LEFT JOIN webhooks h ON h.id = o.webhook_id
             WHERE o.scheduled_at_ms < ?3 AND o.due_at_ms <= ?2"
        );
        db.each(&sql, params![number, now, began_before, GIVE_UP_STEP], |row| {
            let failure = DeliveryFailure {
                delivery_id: row.get(2)?,
                event_id: row.get(3)?,
                webhook_id,
                attempts: row.get(4)?,
                last_error: never_tried(None),
            };
            let (row, operational, owner_id) = (row.get(0)?, row.get(1)?, row.get(5)?);
            found.push(TooOld { row, operational, failure, owner_id });
            Ok(ControlFlow::Continue(()))
        })?;
    }
    // What opened the breaker, for those that were never tried: read once for all of them.
    let mut of_webhook = None;
    for TooOld { row, failure, .. } in &mut found {
        if let Some(own) = last_answer(db, *row)? {
            failure.last_error = given_up_after(&own);
            of_webhook.get_or_insert(Some(own));
        } else {
            if of_webhook.is_none() {
                of_webhook = Some(last_answer_of(db, of_lane, number)?);
            }
            failure.last_error = never_tried(of_webhook.as_ref().and_then(|answer| answer.as_deref()));
        }
    }
    Ok(found)
}

/// The error of a delivery that was tried, for the last time with this result, before its breaker opened.
fn given_up_after(answer: &str) -> DeliveryError {
    let message = format!("{answer}; then the circuit breaker was open until the retry schedule was over");
    DeliveryError { code: ErrorCode::CircuitOpen, message }
}

/// The error of a delivery that was never tried; `answer`: what another one to the same receiver came to.
fn never_tried(answer: Option<&str>) -> DeliveryError {
    let open = "the circuit breaker was open until the retry schedule was over, so this was never tried";
    let message = match answer {
        Some(answer) => format!("other deliveries: {answer}; {open}"),
        None => open.to_owned(),
    };
    DeliveryError { code: ErrorCode::CircuitOpen, message }
}

/// What went wrong with the last attempt of a delivery, with the beginning of what was answered.
fn last_answer(db: &Read<'_>, delivery: DeliveryRow) -> Result<Option<String>> {
    let answer = db.maybe(
        "SELECT error_message, response_body FROM attempts
         WHERE delivery_seq = ?1 AND error_message IS NOT NULL ORDER BY number DESC LIMIT 1",
        params![delivery],
        |row| Ok((row.get::<String>(0)?, row.get::<Option<String>>(1)?)),
    )?;
    Ok(answer.map(|(message, body)| with_body(message, body.as_deref().unwrap_or_default())))
}

/// The same of the newest delivery of a lane that was tried.
fn last_answer_of(db: &Read<'_>, of_lane: &str, number: i64) -> Result<Option<String>> {
    let newest = format!(
        "SELECT seq FROM (SELECT seq, attempts FROM deliveries WHERE {of_lane} = ?1 ORDER BY seq DESC LIMIT ?2) AS d
         WHERE attempts > 0 ORDER BY seq DESC LIMIT 1"
    );
    match db.maybe(&newest, params![number, ANSWER_SEARCHED], |row| row.get(0))? {
        Some(delivery) => last_answer(db, delivery),
        None => Ok(None),
    }
}

/// A message with the beginning of the body that came with it, on one line.
fn with_body(message: String, body: &str) -> String {
    let shown: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match shown.char_indices().nth(BODY_CHARS) {
        _ if shown.is_empty() => message,
        Some((end, _)) => format!("{message} with \"{}…\"", &shown[..end]),
        None => format!("{message} with \"{shown}\""),
    }
}
