//! Claims: the deliveries that a lane may send now, each with an attempt that was begun.
//!
//! **Invariant**: a claim reads and writes rows of deliveries alone. What they tell is read after its
//! commit and aside ([`Store::to_deliver`]), each event once, so that no payload keeps the writer from its
//! work.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::deliveries::direct_url::{self, DirectUrl, SealedDirectUrl};
use crate::deliveries::lane_settings::LaneClaim;
use crate::deliveries::order;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::log::event_row;
use crate::log::waiting_deliveries::{BULK_WAITING, UNORDERED_WAITING};
use crate::secrecy::vault::cell;
use crate::{DeliveryRow, LogPosition, Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::Trigger;
use vocabulary::event::Event;
use vocabulary::id::{DeliveryId, WebhookId};

/// What one lane got.
#[derive(Clone)]
pub struct LaneClaimed {
    /// Whose.
    pub webhook_id: WebhookId,
    /// To be sent now.
    pub deliveries: Vec<Claimed>,
    /// When the next one that waits is due, perhaps long ago; `None`: none waits, or only behind one that
    /// is under way.
    pub next_due_at: Option<Timestamp>,
    /// Bytes of the payload of the first that was due and not admitted: it waits, and so do those behind it.
    pub not_admitted: Option<usize>,
    /// Where the look at the stations in order ended.
    pub after_station: String,
}

/// A delivery that is to be sent: its attempt is on disk, without an outcome. Not `Debug`: its URL may be
/// secret.
#[derive(Clone)]
pub struct Claimed {
    /// The row.
    pub row: DeliveryRow,
    /// Its id.
    pub id: DeliveryId,
    /// Whose.
    pub webhook_id: WebhookId,
    /// The webhook's count of deliveries.
    pub sequence: Option<i64>,
    /// The attempt that was begun: 1, 2, …
    pub attempt: u32,
    /// What it is made for.
    pub trigger: Trigger,
    /// Failed attempts of this run of the schedule so far.
    pub step: usize,
    /// What it tells.
    pub event: LogPosition,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// Where it goes, if not where its lane says, and what signs it, sealed.
    direct: Option<SealedDirectUrl>,
}

/// Events that are to be told, by their positions: each as it was read, or why it cannot be.
pub type EventsToDeliver = HashMap<LogPosition, Result<Arc<Event>>>;

impl Store {
    /// Takes the oldest due deliveries of each lane for sending, and begins an attempt for each.
    ///
    /// Atomic; what is returned is on disk as `processing`, so that a crash from here on leaves an open
    /// attempt behind (`outcome_unknown`). Lanes whose webhook is not active get nothing. `admits` is asked
    /// before each one whether its lane may hold so many bytes of payload; once it says no, the lane gets
    /// no more.
    pub async fn claim<A>(&self, lanes: Vec<LaneClaim>, mut admits: A) -> Result<Vec<LaneClaimed>>
    where
        A: FnMut(WebhookId, usize) -> bool + Send + 'static,
    {
        let scope = match lanes.as_slice() {
            [only] => Scope::Webhook(only.webhook_id),
            _ => Scope::Installation,
        };
        self.write(Priority::Outcome, scope, move |w| {
            lanes
                .iter()
                .map(|lane| claim_lane(w, lane, &mut |bytes| admits(lane.webhook_id, bytes)))
                .collect()
        })
        .await
    }

    /// The events at these positions with all that goes along with them, each read once. Reads on connections
    /// of its own, so that no list that somebody asks for holds it up.
    ///
    /// # Errors
    /// If nothing could be read at all. What is wrong with one event stands in its place.
    pub async fn to_deliver(&self, events: BTreeSet<LogPosition>) -> Result<EventsToDeliver> {
        let vault = self.vault();
        let load = move |db: &Read<'_>| {
            let read = |position| event_row::to_deliver(db, &vault, position).map(Arc::new);
            Ok(events.into_iter().map(|position| (position, read(position))).collect())
        };
        self.inner.engine.read_to_deliver(load).await
    }

    /// Where a delivery goes that has a URL of its own; `None`: where its lane says.
    ///
    /// # Errors
    /// If its secret cannot be opened.
    pub fn direct_url(&self, claimed: &Claimed) -> Result<Option<DirectUrl>> {
        let Some(SealedDirectUrl { url, secret }) = &claimed.direct else { return Ok(None) };
        let open = |sealed: &String| self.inner.vault.open(cell::DELIVERY_SECRET, claimed.id, sealed);
        Ok(Some(DirectUrl { url: url.clone(), secret: secret.as_ref().map(open).transpose()? }))
    }
}

fn claim_lane(w: &Tx<'_>, lane: &LaneClaim, admits: &mut dyn FnMut(usize) -> bool) -> Result<LaneClaimed> {
    let mut claimed = LaneClaimed {
        webhook_id: lane.webhook_id,
        deliveries: Vec::new(),
        next_due_at: None,
        not_admitted: None,
        after_station: lane.after_station.clone(),
    };
    if direct_url::is_origin(lane.webhook_id) {
        let due = direct_url::due(w, lane)?;
        claimed.take(w, due, admits)?;
        claimed.next_due_at = direct_url::next_due_at(w, lane.webhook_id)?;
        return Ok(claimed);
    }
    let resumed_at: Option<Option<Timestamp>> = w.maybe(
        "SELECT resumed_at_ms FROM webhooks WHERE id = ?1 AND status = 'active'",
        params![lane.webhook_id],
        |row| row.get(0),
    )?;
    // It was paused, disabled or deleted since the lane looked; of that the engine is told by a signal.
    let Some(resumed_at) = resumed_at else { return Ok(claimed) };
    // What somebody asked for goes before any backlog.
    let resent = "status = 'scheduled' AND trigger = 'resend' AND bulk = 0";
    let mut due = due_by_time(w, lane, resent, lane.limit)?;
    if !lane.resends_only {
        due.extend(due_by_time(w, lane, UNORDERED_WAITING, lane.limit - due.len())?);
        let ordered = order::due(w, lane, resumed_at, lane.limit - due.len())?;
        due.extend(ordered.due);
        // Replays go behind everything that is live.
        due.extend(due_by_time(w, lane, BULK_WAITING, lane.limit - due.len())?);
        claimed.after_station = ordered.after_station;
        claimed.next_due_at = ordered.next_due_at;
    }
    claimed.take(w, due, admits)?;
    let unordered = next_unordered(w, lane.webhook_id)?;
    claimed.next_due_at = [claimed.next_due_at, unordered].into_iter().flatten().min();
    Ok(claimed)
}

impl LaneClaimed {
    /// Begins an attempt for each of these, until one is not admitted.
    fn take(
        &mut self,
        w: &Tx<'_>,
        due: Vec<DeliveryRow>,
        admits: &mut dyn FnMut(usize) -> bool,
    ) -> Result<()> {
        let mut seen = BTreeSet::new();
        for row in due {
            // A resend is also among those that are due by time.
            if !seen.insert(row) {
                continue;
            }
            let payload_bytes = payload_bytes(w, row)?;
            if !admits(payload_bytes) {
                self.not_admitted = Some(payload_bytes);
                break;
            }
            self.deliveries.push(begin_attempt(w, row, payload_bytes)?);
        }
        Ok(())
    }
}

/// How long what a delivery tells is. The length stands in the row's head, so that the payload is not read
/// for it.
fn payload_bytes(w: &Tx<'_>, delivery: DeliveryRow) -> Result<usize> {
    let length: Option<Option<usize>> = w.maybe(
        "SELECT octet_length(e.payload) FROM deliveries d JOIN events e ON e.seq = d.event_seq
         WHERE d.seq = ?1",
        params![delivery],
        |row| row.get(0),
    )?;
    // One without its event shows that when it is read.
    Ok(length.flatten().unwrap_or_default())
}

fn due_by_time(w: &Tx<'_>, lane: &LaneClaim, which: &str, limit: usize) -> Result<Vec<DeliveryRow>> {
    let sql = format!(
        "SELECT seq FROM deliveries WHERE webhook_id = ?1 AND {which} AND due_at_ms <= ?2
         ORDER BY due_at_ms, seq LIMIT ?3"
    );
    w.all(&sql, params![lane.webhook_id, w.monotonic, limit], |row| row.get(0))
}

fn next_unordered(w: &Tx<'_>, webhook_id: WebhookId) -> Result<Option<Timestamp>> {
    let mut next: Option<Timestamp> = None;
    for which in [UNORDERED_WAITING, BULK_WAITING] {
        let sql = format!("SELECT min(due_at_ms) FROM deliveries WHERE webhook_id = ?1 AND {which}");
        let due_at: Option<Timestamp> = w.one(&sql, params![webhook_id], |row| row.get(0))?;
        next = [next, due_at].into_iter().flatten().min();
    }
    Ok(next)
}

fn begin_attempt(w: &Tx<'_>, delivery: DeliveryRow, payload_bytes: usize) -> Result<Claimed> {
    let sql = format!(
        "UPDATE deliveries SET status = 'processing', due_at_ms = NULL, attempts = attempts + 1,
                               first_tried_at_ms = coalesce(first_tried_at_ms, ?2) WHERE seq = ?1
         RETURNING id, {}, sequence, attempts, trigger, step, event_seq, url, secret",
        direct_url::LANE
    );
    let claimed = w.one(&sql, params![delivery, w.monotonic], |row| {
        let secret = row.get(8)?;
        Ok(Claimed {
            row: delivery,
            id: row.get(0)?,
            webhook_id: row.get(1)?,
            sequence: row.get(2)?,
            attempt: row.get(3)?,
            trigger: row.parsed(4)?,
            step: row.get(5)?,
            event: row.get(6)?,
            payload_bytes,
            direct: row.get::<Option<String>>(7)?.map(|url| SealedDirectUrl { url, secret }),
        })
    })?;
    w.run(
        "INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms) VALUES (?1, ?2, ?3, ?4)",
        params![delivery, claimed.attempt, claimed.trigger.as_str(), w.now],
    )?;
    Ok(claimed)
}
