//! Claims: the deliveries that a lane may send now, each with a started attempt.
//!
//! **Invariant**: a claim reads and writes rows of deliveries alone. Their events are read after the commit
//! and outside the writer ([`Store::to_deliver`]), each event once, so that no payload delays the writer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::deliveries::direct_url::{self, DirectUrl, SealedDirectUrl};
use crate::deliveries::lane_settings::LaneClaim;
use crate::deliveries::order;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::log::event_row;
use crate::log::row_set::{as_list, in_list};
use crate::log::waiting_deliveries::{BULK_WAITING, UNORDERED_WAITING};
use crate::secrecy::vault::cell;
use crate::{DeliveryRow, LogPosition, Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::Trigger;
use vocabulary::event::Event;
use vocabulary::id::{DeliveryId, WebhookId};

/// The deliveries that one lane has claimed.
#[derive(Clone)]
pub struct LaneClaimed {
    /// The webhook or origin.
    pub webhook_id: WebhookId,
    /// The deliveries to send now.
    pub deliveries: Vec<Claimed>,
    /// When the next waiting delivery is due, perhaps long ago; `None` if none waits, or only behind a
    /// delivery that is under way.
    pub next_due_at: Option<Timestamp>,
    /// Payload size in bytes of the first due delivery that was not admitted: it waits, and so do those
    /// behind it.
    pub not_admitted: Option<usize>,
    /// The station where the pass over the stations in order ended.
    pub after_station: String,
}

/// A claimed delivery: its attempt is on disk, without an outcome. Not `Debug`: its URL may be secret.
#[derive(Clone)]
pub struct Claimed {
    /// The row.
    pub row: DeliveryRow,
    /// Its id.
    pub id: DeliveryId,
    /// The webhook or origin.
    pub webhook_id: WebhookId,
    /// The webhook's count of deliveries.
    pub sequence: Option<i64>,
    /// The number of the started attempt: 1, 2, …
    pub attempt: u32,
    /// The attempt's trigger.
    pub trigger: Trigger,
    /// Failed attempts in this run of the schedule.
    pub step: usize,
    /// The position of its event.
    pub event: LogPosition,
    /// Size of its payload in bytes.
    pub payload_bytes: usize,
    /// Its direct URL and signing secret, encrypted, if it does not use its lane's.
    direct: Option<SealedDirectUrl>,
}

/// Events to deliver by their positions, each with the error if it cannot be read.
pub type EventsToDeliver = HashMap<LogPosition, Result<Arc<Event>>>;

impl Store {
    /// Claims the oldest due deliveries of each lane, and starts an attempt for each.
    ///
    /// Atomic. The returned deliveries are on disk as `processing`, so that a later crash leaves an open
    /// attempt behind (`outcome_unknown`). Lanes whose webhook is not active get nothing. Before each
    /// delivery `admits` decides whether its lane may hold its payload (in bytes); once it returns false, the
    /// lane gets no more.
    pub async fn claim<A>(&self, lanes: Vec<LaneClaim>, mut admits: A) -> Result<Vec<LaneClaimed>>
    where
        A: FnMut(WebhookId, usize) -> bool + Send + 'static,
    {
        let scope = match lanes.as_slice() {
            [only] => Scope::Webhook(only.webhook_id),
            several => Scope::Webhooks(several.iter().map(|lane| lane.webhook_id).collect()),
        };
        let membership = self.inner.membership.clone();
        self.write(Priority::Outcome, scope, move |w| {
            lanes
                .iter()
                .map(|lane| match membership.holds(lane.webhook_id) {
                    true => claim_lane(w, lane, &mut |bytes| admits(lane.webhook_id, bytes)),
                    // Another node's since it was asked for.
                    false => Ok(LaneClaimed::nothing(lane)),
                })
                .collect()
        })
        .await
    }

    /// The events at these positions with all their parts, each read once. It has its own connections, so
    /// that no list request delays it.
    ///
    /// # Errors
    /// If nothing could be read at all. The error of a single event stands in its place.
    pub async fn to_deliver(&self, events: BTreeSet<LogPosition>) -> Result<EventsToDeliver> {
        let vault = self.vault();
        let load = move |db: &Read<'_>| {
            let read = |position| event_row::to_deliver(db, &vault, position).map(Arc::new);
            Ok(events.into_iter().map(|position| (position, read(position))).collect())
        };
        self.inner.engine.read_to_deliver(load).await
    }

    /// The direct URL of a delivery; `None` if it uses its lane's URL.
    ///
    /// # Errors
    /// If its secret cannot be decrypted.
    pub fn direct_url(&self, claimed: &Claimed) -> Result<Option<DirectUrl>> {
        let Some(SealedDirectUrl { url, secret }) = &claimed.direct else { return Ok(None) };
        let open = |sealed: &String| self.inner.vault.open(cell::DELIVERY_SECRET, claimed.id, sealed);
        Ok(Some(DirectUrl { url: url.clone(), secret: secret.as_ref().map(open).transpose()? }))
    }
}

impl LaneClaimed {
    /// Nothing, and nothing that waits.
    fn nothing(lane: &LaneClaim) -> Self {
        Self {
            webhook_id: lane.webhook_id,
            deliveries: Vec::new(),
            next_due_at: None,
            not_admitted: None,
            after_station: lane.after_station.clone(),
        }
    }
}

fn claim_lane(w: &Tx<'_>, lane: &LaneClaim, admits: &mut dyn FnMut(usize) -> bool) -> Result<LaneClaimed> {
    let mut claimed = LaneClaimed::nothing(lane);
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
    // The webhook was paused, disabled or deleted since the lane was read; a signal informs the delivery
    // engine.
    let Some(resumed_at) = resumed_at else { return Ok(claimed) };
    // Requested resends go before any backlog.
    let resent = "status = 'scheduled' AND trigger = 'resend' AND bulk = 0";
    let mut due = due_by_time(w, lane, resent, lane.limit)?;
    if !lane.resends_only {
        due.extend(due_by_time(w, lane, UNORDERED_WAITING, lane.limit - due.len())?);
        let ordered = order::due(w, lane, resumed_at, lane.limit - due.len())?;
        due.extend(ordered.due);
        // Replays go behind all live deliveries.
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
    /// Starts an attempt for each of these, until one is not admitted.
    fn take(
        &mut self,
        w: &Tx<'_>,
        due: Vec<DeliveryRow>,
        admits: &mut dyn FnMut(usize) -> bool,
    ) -> Result<()> {
        // A resend is also among the deliveries that are due by time.
        let mut seen = BTreeSet::new();
        let due: Vec<DeliveryRow> = due.into_iter().filter(|row| seen.insert(*row)).collect();
        let sizes = payload_bytes(w, &due)?;
        let mut admitted = Vec::with_capacity(due.len());
        for row in due {
            // A missing event is reported when it is read.
            let payload_bytes = sizes.get(&row).copied().unwrap_or_default();
            if !admits(payload_bytes) {
                self.not_admitted = Some(payload_bytes);
                break;
            }
            admitted.push((row, payload_bytes));
        }
        self.deliveries.extend(begin_attempts(w, &admitted)?);
        Ok(())
    }
}

/// The sizes of deliveries' payloads. SQLite stores the length in the row's header, so that it does not read
/// the payload.
fn payload_bytes(w: &Tx<'_>, deliveries: &[DeliveryRow]) -> Result<HashMap<DeliveryRow, usize>> {
    if deliveries.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT d.seq, octet_length(e.payload) FROM deliveries d JOIN events e ON e.seq = d.event_seq WHERE {}",
        in_list("d.seq")
    );
    let sizes = w.all(&sql, params![as_list(deliveries)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(sizes.into_iter().collect())
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
        // PostgreSQL would look at all of them for a minimum.
        let sql = format!(
            "SELECT due_at_ms FROM deliveries WHERE webhook_id = ?1 AND {which} ORDER BY due_at_ms, seq LIMIT 1"
        );
        let due_at: Option<Option<Timestamp>> = w.maybe(&sql, params![webhook_id], |row| row.get(0))?;
        next = [next, due_at.flatten()].into_iter().flatten().min();
    }
    Ok(next)
}

/// Starts an attempt for each of these deliveries, whose payloads have so many bytes.
fn begin_attempts(w: &Tx<'_>, deliveries: &[(DeliveryRow, usize)]) -> Result<Vec<Claimed>> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<DeliveryRow> = deliveries.iter().map(|(row, _)| *row).collect();
    let (list, sizes): (String, HashMap<_, _>) = (as_list(&rows), deliveries.iter().copied().collect());
    let sql = format!(
        "UPDATE deliveries SET status = 'processing', due_at_ms = NULL, attempts = attempts + 1,
                               first_tried_at_ms = coalesce(first_tried_at_ms, ?) WHERE {}
         RETURNING id, {}, sequence, attempts, trigger, step, event_seq, url, secret, seq",
        in_list("seq"),
        direct_url::LANE
    );
    let claimed = w.all(&sql, params![w.monotonic, list], |row| {
        let (secret, delivery) = (row.get(8)?, row.get(9)?);
        Ok(Claimed {
            row: delivery,
            id: row.get(0)?,
            webhook_id: row.get(1)?,
            sequence: row.get(2)?,
            attempt: row.get(3)?,
            trigger: row.parsed(4)?,
            step: row.get(5)?,
            event: row.get(6)?,
            payload_bytes: sizes.get(&delivery).copied().unwrap_or_default(),
            direct: row.get::<Option<String>>(7)?.map(|url| SealedDirectUrl { url, secret }),
        })
    })?;
    let sql = format!(
        "INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms)
         SELECT seq, attempts, trigger, CAST(? AS BIGINT) FROM deliveries WHERE {}",
        in_list("seq")
    );
    w.send(&sql, params![w.now, list])?;
    // In the order in which they are due.
    let mut by_row: HashMap<DeliveryRow, Claimed> = claimed.into_iter().map(|one| (one.row, one)).collect();
    Ok(rows.iter().filter_map(|row| by_row.remove(row)).collect())
}
