//! What a lane needs of the store: its webhook's settings, and the deliveries it may send now.
//!
//! **Invariant**: a claim reads and writes rows of deliveries alone. What they tell is read after its
//! commit and aside ([`Store::to_deliver`]), each event once, so that no payload keeps the writer from its
//! work.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tracing::error;

use crate::deliveries::{direct_url, order};
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError, UnreadableSetting};
use crate::log::append;
use crate::log::append::Manner;
use crate::log::event_row;
use crate::log::waiting_deliveries::{BULK_WAITING, ORDERED_LIVE, UNORDERED_WAITING};
use crate::secrecy::vault::{Vault, cell};
use crate::webhooks::settings::owner_of;
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{BodyFormat, Trigger};
use vocabulary::event::{Event, NewEvent};
use vocabulary::id::{DeliveryId, WebhookId};
use vocabulary::units::Span;
use vocabulary::webhook::{Ordering, WebhookStatus};

/// How a webhook's deliveries are made, as it is stored.
#[derive(Clone)]
pub struct LaneSettings {
    /// Whose; below zero it is the origin of URLs that came with their events.
    pub webhook_id: WebhookId,
    /// Whether deliveries are made.
    pub state: LaneState,
    /// Where to.
    pub url: String,
    /// The body's shape.
    pub format: BodyFormat,
    /// What signs, newest first.
    pub signing_secrets: Vec<SigningSecretText>,
    /// The header that carries `secret_value`, and the value.
    pub secret: Option<(String, String)>,
    /// Headers of the webhook's own.
    pub custom_headers: BTreeMap<String, String>,
    /// Each station's events strictly in order, each of which may block the next this long; `None`: no order.
    pub station_order: Option<Duration>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Waits between attempts.
    pub retry_schedule: Vec<Duration>,
    /// Sends under way at once.
    pub max_in_flight: usize,
    /// As it was written (`10/s`).
    pub rate_limit: Option<String>,
}

/// Whether a webhook's deliveries are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// They are.
    Active,
    /// They wait until it is resumed, or until this moment.
    Paused {
        /// `None`: until somebody resumes it.
        until: Option<Timestamp>,
    },
    /// They are discarded: by somebody, or by the gateway.
    Disabled,
    /// They wait: a setting cannot be read, and none is sent by another one than was asked for.
    OutOfOrder,
}

/// A signing secret as it is stored.
#[derive(Clone)]
pub struct SigningSecretText {
    /// `whsec_…`
    pub text: String,
    /// When it stops signing; `None`: it is the current one.
    pub expires_at: Option<Timestamp>,
}

impl LaneSettings {
    /// The lane of a webhook with a setting that cannot be read.
    fn out_of_order(webhook_id: WebhookId) -> Self {
        Self {
            webhook_id,
            state: LaneState::OutOfOrder,
            url: String::new(),
            format: BodyFormat::default(),
            signing_secrets: Vec::new(),
            secret: None,
            custom_headers: BTreeMap::new(),
            station_order: None,
            timeout: Duration::ZERO,
            retry_schedule: Vec::new(),
            max_in_flight: 1,
            rate_limit: None,
        }
    }
}

impl fmt::Debug for LaneSettings {
    /// Secrets and headers, which may be secrets too, are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneSettings")
            .field("webhook_id", &self.webhook_id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What one lane asks for.
#[derive(Debug, Clone)]
pub struct LaneClaim {
    /// Whose deliveries.
    pub webhook_id: WebhookId,
    /// At most this many.
    pub limit: usize,
    /// Only what somebody asked to have sent again: it passes an open breaker.
    pub resends_only: bool,
    /// How long one delivery may block the next of its station.
    pub order_max_wait: Duration,
    /// Where the last look at the stations in order ended: the next one begins after it.
    pub after_station: String,
}

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
    pub seq: i64,
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
    /// The row of what to tell.
    pub event_seq: i64,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// Where it goes, if not where its lane says, and what signs it, sealed.
    direct: Option<SealedDirectUrl>,
}

/// Events that are to be told, by their rows: each as it was read, or why it cannot be.
pub type EventsToDeliver = HashMap<i64, Result<Arc<Event>>>;

#[derive(Clone)]
struct SealedDirectUrl {
    url: String,
    secret: Option<String>,
}

/// Where a delivery goes that has a URL of its own.
#[derive(Clone)]
pub struct DirectUrl {
    /// Where to.
    pub url: String,
    /// What signs it (`whsec_…`).
    pub secret: Option<String>,
}

impl fmt::Debug for DirectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectUrl { .. }")
    }
}

impl Store {
    /// Every webhook's lane and when its next delivery is due.
    pub async fn lanes(&self) -> Result<Vec<(LaneSettings, Option<Timestamp>)>> {
        let vault = self.vault();
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(&SELECT_LANE)?;
            let mut rows = statement.query([])?;
            let mut lanes = Vec::new();
            while let Some(row) = rows.next()? {
                let lane = read_lane(conn, row, &vault);
                lanes.push(or_out_of_order(row.get(0)?, lane)?);
            }
            lanes.extend(direct_url::lanes(conn)?);
            Ok(lanes)
        })
        .await
    }

    /// These lanes and when the next delivery of each is due; `None` where there is no such webhook or
    /// origin.
    pub async fn lanes_of(
        &self,
        ids: BTreeSet<WebhookId>,
    ) -> Result<Vec<(WebhookId, Option<(LaneSettings, Option<Timestamp>)>)>> {
        let vault = self.vault();
        let read = move |conn: &Connection, id| match one_lane(conn, id, &vault).transpose() {
            Some(lane) => Ok((id, Some(or_out_of_order(id, lane)?))),
            None => Ok((id, None)),
        };
        self.read(move |conn| ids.into_iter().map(|id| read(conn, id)).collect()).await
    }

    /// One webhook's lane; `None` if there is no such webhook.
    ///
    /// # Errors
    /// [`StoreError::Setting`] if it is out of order.
    pub async fn lane(&self, webhook_id: WebhookId) -> Result<Option<LaneSettings>> {
        let vault = self.vault();
        self.read(move |conn| Ok(one_lane(conn, webhook_id, &vault)?.map(|(settings, _)| settings))).await
    }

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
        let claim = move |w: &mut Tx<'_>| {
            lanes
                .iter()
                .map(|lane| claim_lane(w, lane, &mut |bytes| admits(lane.webhook_id, bytes)))
                .collect()
        };
        self.write(Priority::Outcome, Scope::Installation, claim).await
    }

    /// The events of these rows with all that goes along with them, each read once. Reads on connections of
    /// its own, so that no list that somebody asks for holds it up.
    ///
    /// # Errors
    /// If nothing could be read at all. What is wrong with one event stands in its place.
    pub async fn to_deliver(&self, event_seqs: BTreeSet<i64>) -> Result<EventsToDeliver> {
        let vault = self.vault();
        let load = move |conn: &Read<'_>| {
            let read =
                |seq| event_row::to_deliver(conn, &vault, crate::LogPosition::from_number(seq)).map(Arc::new);
            Ok(event_seqs.into_iter().map(|seq| (seq, read(seq))).collect())
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

impl Store {
    /// Stores an event that was made to test a webhook: marked, uncounted, with the webhook's owner, and
    /// without deliveries.
    pub async fn append_test(&self, webhook_id: WebhookId, event: NewEvent) -> Result<Event> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let owner = owner_of(w.conn, webhook_id)?;
            let manner = Manner {
                test: true,
                owner: crate::log::append::Owner::Known(owner.as_deref()),
                ..Manner::default()
            };
            let seq = append::append(w, &event, manner)?;
            event_row::just_stored(w, seq)
        })
        .await
    }
}

/// What a lane needs of its webhook, and what is due when.
static SELECT_LANE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT w.id, w.status, w.url, w.format, w.signing_secret, w.secret_header, w.secret_value,
           w.custom_headers, w.ordering, w.ordering_max_wait_ms, w.timeout_ms, w.retry_schedule, w.max_in_flight,
           w.rate_limit, w.paused_until_ms,
           (SELECT min(due_at_ms) FROM deliveries WHERE webhook_id = w.id AND {UNORDERED_WAITING}),
           (SELECT min(due_at_ms) FROM deliveries WHERE webhook_id = w.id AND {BULK_WAITING}),
           EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = w.id AND {ORDERED_LIVE})
         FROM webhooks w"
    )
});

type DueLane = (LaneSettings, Option<Timestamp>);

fn one_lane(conn: &Connection, id: WebhookId, vault: &Vault) -> Result<Option<DueLane>> {
    if direct_url::is_origin(id) {
        return direct_url::lane(conn, id);
    }
    let mut statement = conn.prepare_cached(&format!("{} WHERE w.id = ?1", *SELECT_LANE))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(|row| read_lane(conn, row, vault)).transpose()
}

/// A webhook whose settings cannot be read is out of order, and the others are not.
fn or_out_of_order(webhook_id: WebhookId, lane: Result<DueLane>) -> Result<DueLane> {
    match lane {
        Err(error @ (StoreError::Setting(_) | StoreError::Corrupt(_) | StoreError::Cell(_))) => {
            error!(
                webhook.id = webhook_id,
                "webhook {webhook_id} is out of order, nothing is sent to it: {error}"
            );
            Ok((LaneSettings::out_of_order(webhook_id), None))
        }
        lane => lane,
    }
}

fn read_lane(conn: &Connection, row: &Row<'_>, vault: &Vault) -> Result<DueLane> {
    let settings = read_settings(conn, row, vault)?;
    // What it subscribes to is no business of a lane's, but one half of a webhook does not go on without
    // the other.
    crate::log::subscriptions::load_subscription(&Read::of(conn), settings.webhook_id)?;
    let unordered: [Option<i64>; 2] = [row.get(15)?, row.get(16)?];
    // When those in order are due shows when they are looked at: at once, to be on the safe side.
    let ordered = row.get::<_, bool>(17)?.then_some(0);
    let due_at = ordered.or(unordered.into_iter().flatten().min()).map(Timestamp::from_unix_ms);
    Ok((settings, due_at))
}

/// Secrets that sign beside the current one, newest first.
fn previous_secrets(
    conn: &Connection,
    webhook_id: WebhookId,
    vault: &Vault,
) -> Result<Vec<SigningSecretText>> {
    let mut statement = conn.prepare_cached(
        "SELECT signing_secret, expires_at_ms FROM webhook_previous_secrets WHERE webhook_id = ?1
         ORDER BY expires_at_ms DESC",
    )?;
    let secrets = statement.query_map([webhook_id], |row| {
        Ok(SigningSecretText {
            text: cells::sealed(row, 0, vault, (cell::PREVIOUS_SECRET, &webhook_id))?,
            expires_at: cells::maybe_moment(row, 1)?,
        })
    })?;
    Ok(secrets.collect::<rusqlite::Result<_>>()?)
}

fn read_settings(conn: &Connection, row: &Row<'_>, vault: &Vault) -> Result<LaneSettings> {
    let webhook_id: WebhookId = row.get(0)?;
    let named = |column| ("webhooks", &webhook_id as &dyn fmt::Display, column);
    let sealed = |column, place| cells::sealed(row, column, vault, (place, &webhook_id));
    let current = cells::setting(named("signing_secret"), sealed(4, cell::SIGNING_SECRET))?;
    let mut signing_secrets = vec![SigningSecretText { text: current, expires_at: None }];
    signing_secrets.extend(previous_secrets(conn, webhook_id, vault)?);
    let ordering: Ordering = cells::setting(named("ordering"), cells::parsed(row, 8))?;
    let ordering_max_wait = millis(row.get(9)?);
    let retry_schedule = cells::setting(named("retry_schedule"), cells::json::<Vec<Span>>(row, 11))?;
    let max_in_flight: i64 = row.get(12)?;
    if max_in_flight < 1 {
        return Err(UnreadableSetting::of_webhook(webhook_id, "max_in_flight", max_in_flight).into());
    }
    let status: WebhookStatus = cells::setting(named("status"), cells::parsed(row, 1))?;
    let secret_value = cells::maybe_sealed(row, 6, vault, (cell::SECRET_VALUE, &webhook_id));
    let custom_headers = cells::headers(row, 7, vault, (cell::WEBHOOK_HEADERS, &webhook_id));
    Ok(LaneSettings {
        webhook_id,
        state: match status {
            WebhookStatus::Active => LaneState::Active,
            WebhookStatus::Paused => LaneState::Paused { until: cells::maybe_moment(row, 14)? },
            WebhookStatus::Disabled | WebhookStatus::AutoDisabled => LaneState::Disabled,
        },
        url: row.get(2)?,
        format: cells::setting(named("format"), cells::parsed(row, 3))?,
        signing_secrets,
        secret: row.get::<_, Option<String>>(5)?.zip(cells::setting(named("secret_value"), secret_value)?),
        custom_headers: cells::setting(named("custom_headers"), custom_headers)?,
        station_order: (ordering == Ordering::Station).then_some(ordering_max_wait),
        timeout: millis(row.get(10)?),
        retry_schedule: retry_schedule.into_iter().map(|span| span.0).collect(),
        max_in_flight: max_in_flight as usize,
        rate_limit: row.get(13)?,
    })
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

fn claim_lane(
    w: &mut Tx<'_>,
    lane: &LaneClaim,
    admits: &mut dyn FnMut(usize) -> bool,
) -> Result<LaneClaimed> {
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
        claimed.next_due_at = direct_url::next_due_at(w.conn, lane.webhook_id)?;
        return Ok(claimed);
    }
    let resumed_at: Option<Option<i64>> = w
        .conn
        .prepare_cached("SELECT resumed_at_ms FROM webhooks WHERE id = ?1 AND status = 'active'")?
        .query_row([lane.webhook_id], |row| row.get(0))
        .optional()?;
    // It was paused, disabled or deleted since the lane looked; of that the engine is told by a signal.
    let Some(resumed_at) = resumed_at else { return Ok(claimed) };
    let resumed_at = resumed_at.map(Timestamp::from_unix_ms);
    // What somebody asked for goes before any backlog.
    let mut due =
        due_by_time(w, lane, "status = 'scheduled' AND trigger = 'resend' AND bulk = 0", lane.limit)?;
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
    /// Begins an attempt for each of these rows, until one is not admitted.
    fn take(&mut self, w: &Tx<'_>, due: Vec<i64>, admits: &mut dyn FnMut(usize) -> bool) -> Result<()> {
        let mut seen = BTreeSet::new();
        for seq in due {
            // A resend is also among those that are due by time.
            if !seen.insert(seq) {
                continue;
            }
            let payload_bytes = payload_bytes(w.conn, seq)?;
            if !admits(payload_bytes) {
                self.not_admitted = Some(payload_bytes);
                break;
            }
            self.deliveries.push(begin_attempt(w, seq, payload_bytes)?);
        }
        Ok(())
    }
}

/// How long what a delivery tells is. The length stands in the row's head, so that the payload is not read
/// for it.
fn payload_bytes(conn: &Connection, seq: i64) -> Result<usize> {
    let length: Option<i64> = conn
        .prepare_cached(
            "SELECT octet_length(e.payload) FROM deliveries d JOIN events e ON e.seq = d.event_seq WHERE d.seq = ?1",
        )?
        .query_row([seq], |row| row.get(0))
        .optional()?
        .flatten();
    // One without its event shows that when it is read.
    Ok(length.unwrap_or_default().max(0) as usize)
}

fn due_by_time(w: &Tx<'_>, lane: &LaneClaim, which: &str, limit: usize) -> Result<Vec<i64>> {
    let mut statement = w.conn.prepare_cached(&format!(
        "SELECT seq FROM deliveries WHERE webhook_id = ?1 AND {which} AND due_at_ms <= ?2
         ORDER BY due_at_ms, seq LIMIT ?3"
    ))?;
    let rows = statement
        .query_map(params![lane.webhook_id, w.monotonic.unix_ms(), limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn next_unordered(w: &Tx<'_>, webhook_id: WebhookId) -> Result<Option<Timestamp>> {
    let mut next: Option<i64> = None;
    for which in [UNORDERED_WAITING, BULK_WAITING] {
        let due_at: Option<i64> = w
            .conn
            .prepare_cached(&format!(
                "SELECT min(due_at_ms) FROM deliveries WHERE webhook_id = ?1 AND {which}"
            ))?
            .query_row([webhook_id], |row| row.get(0))?;
        next = [next, due_at].into_iter().flatten().min();
    }
    Ok(next.map(Timestamp::from_unix_ms))
}

fn begin_attempt(w: &Tx<'_>, seq: i64, payload_bytes: usize) -> Result<Claimed> {
    let mut statement = w.conn.prepare_cached(&format!(
        "UPDATE deliveries SET status = 'processing', due_at_ms = NULL, attempts = attempts + 1,
                               first_tried_at_ms = coalesce(first_tried_at_ms, ?2) WHERE seq = ?1
         RETURNING id, {}, sequence, attempts, trigger, step, event_seq, url, secret",
        direct_url::LANE
    ))?;
    let claimed = statement.query_row(params![seq, w.monotonic.unix_ms()], |row| {
        let secret = row.get(8)?;
        Ok(Claimed {
            seq,
            id: cells::parsed(row, 0)?,
            webhook_id: row.get(1)?,
            sequence: row.get(2)?,
            attempt: row.get(3)?,
            trigger: cells::parsed(row, 4)?,
            step: row.get::<_, i64>(5)?.max(0) as usize,
            event_seq: row.get(6)?,
            payload_bytes,
            direct: row.get::<_, Option<String>>(7)?.map(|url| SealedDirectUrl { url, secret }),
        })
    })?;
    w.conn
        .prepare_cached(
            "INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![seq, claimed.attempt, claimed.trigger.as_str(), w.now.unix_ms()])?;
    Ok(claimed)
}
