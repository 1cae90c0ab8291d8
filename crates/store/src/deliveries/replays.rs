//! Replays and bulk resends: made of small steps, so that nobody waits for them; a kill between two steps
//! loses and doubles nothing.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::deliveries::bulk_resend;
use crate::deliveries::bulk_resend::ResendWalk;
use crate::deliveries::replay_search;
use crate::deliveries::replay_search::{Candidate, Search};
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, arrival_bounds, page};
use crate::log::subscriptions::{IS_ENABLED, webhook_status};
use crate::{Priority, Scope, Store};
use vocabulary::api::command::RequestedBy;
use vocabulary::api::replay::{Replay, ReplayStatus, Selection};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{DiscardReason, Trigger};
use vocabulary::id::{DeliveryId, ReplayId, WebhookId};
use vocabulary::webhook::WebhookStatus;

/// Deliveries made in one step.
pub(crate) const STEP: usize = 200;

/// Due deliveries of replays that a webhook may have: more are made as these are sent.
pub(crate) const AHEAD: usize = 400;

/// Deliveries taken back in one step, so that a replay to many webhooks stalls nobody.
const TAKE_BACK_STEP: usize = 1_000;

/// Windows that are looked through for a step before what was found out is noted.
pub(crate) const WINDOWS_PER_STEP: usize = 20;

/// What was asked for, counted.
#[derive(Debug, Clone)]
pub struct CountedReplay {
    search: Search,
    start: i64,
    /// How many there are to bring back.
    pub matched: u64,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayStep {
    /// It has gone on, and may again at once.
    Made,
    /// Enough of it waits to be sent.
    Waits,
    /// It has come to its end.
    Ended,
}

/// Which replays are listed; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct ReplayFilter {
    /// For this webhook.
    pub webhook_id: Option<WebhookId>,
    /// The customer that can see it.
    pub owner_id: Option<String>,
    /// How far it has come.
    pub status: Option<ReplayStatus>,
    /// Asked for then or later.
    pub since: Option<Timestamp>,
    /// Asked for before that.
    pub until: Option<Timestamp>,
}

const SELECT: &str = "SELECT r.seq, r.id, r.status, r.matched, r.done, r.selection, r.requested_by_id,
    r.requested_by_name, r.created_at_ms, r.completed_at_ms FROM replays r";

impl Store {
    /// Counts what `selection` is about now. `visible_to`: the owner whose key asks for deliveries by filter.
    pub async fn count_replay(
        &self,
        selection: Selection,
        visible_to: Option<String>,
        requested_at: Timestamp,
    ) -> Result<CountedReplay> {
        let of = selection.clone();
        let (start, end) = self.read(move |conn| replay_search::range(conn, &of)).await?;
        let search = Search { selection, visible_to, requested_at, end };
        let (mut position, mut matched) = (start, 0);
        while position < end {
            let search = search.clone();
            let found =
                self.read(move |conn| replay_search::next(conn, &search, position, usize::MAX >> 1)).await?;
            matched += found.candidates.len() as u64;
            position = found.position;
        }
        Ok(CountedReplay { search, start, matched })
    }

    /// Begins what was counted; steps of it follow ([`Store::replay_step`]). `owner_id` is who can see it.
    pub async fn create_replay(
        &self,
        counted: CountedReplay,
        owner_id: Option<String>,
        requested_by: RequestedBy,
    ) -> Result<Replay> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let CountedReplay { search, start, matched } = counted;
            let webhook_id = match &search.selection {
                Selection::Replay { webhook_id, .. } => Some(*webhook_id),
                Selection::Resend { webhook_id, .. } => *webhook_id,
            };
            let selection = serde_json::to_string(&search.selection)?;
            let id = ReplayId::from_value(w.mint.next(w.now));
            let running = matched > 0;
            w.conn
                .prepare_cached(
                    "INSERT INTO replays (id, owner_id, webhook_id, selection, status, matched, position,
                         end_position, requested_by_id, requested_by_name, requested_at_ms, created_at_ms, completed_at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                )?
                .execute(params![
                    id.to_string(),
                    owner_id,
                    webhook_id,
                    selection,
                    if running { ReplayStatus::Running } else { ReplayStatus::Done }.as_str(),
                    matched as i64,
                    start,
                    search.end,
                    requested_by.id.to_string(),
                    requested_by.name,
                    search.requested_at.unix_ms(),
                    w.now.unix_ms(),
                    (!running).then_some(w.now.unix_ms()),
                ])?;
            w.after_commit.replays = true;
            shown(w.conn, id)
        })
        .await
    }

    /// A replay, if there is one that `visible_to` may see.
    pub async fn replay(&self, id: ReplayId, visible_to: Option<String>) -> Result<Option<Replay>> {
        self.read(move |conn| {
            if seq_of(conn, id, visible_to)?.is_none() {
                return Ok(None);
            }
            shown(conn, id).map(Some)
        })
        .await
    }

    /// One page of the replays.
    pub async fn replays(&self, filter: ReplayFilter, slice: Slice) -> Result<Listed<Replay>> {
        self.read(move |conn| {
            let mut conditions = Conditions::default();
            conditions.and_if("r.webhook_id = ?", filter.webhook_id);
            conditions.and_if("r.owner_id = ?", filter.owner_id);
            conditions.and_if("r.status = ?", filter.status.map(|status| status.as_str().to_owned()));
            let spell = |least| ReplayId::from_value(least).to_string();
            for (condition, id) in arrival_bounds("replays", "r", filter.since, filter.until, spell) {
                conditions.and(condition, [id.into()]);
            }
            conditions.and_at("r.created_at_ms >= ?", filter.since);
            conditions.and_at("r.created_at_ms < ?", filter.until);
            page(conn, SELECT, &["r.seq"], conditions, &slice, |row| Ok(read(row.raw())?))
        })
        .await
    }

    /// Ends a replay, and takes back what it has made due and nothing has been tried of since: a delivery
    /// that was made for it is discarded, and one that was reopened is what it was. False if it has come to
    /// its end, and none is left to take back; `None` if there is none that `visible_to` may see.
    ///
    /// It makes nothing more from the first commit on. Many deliveries take more than one; what is left when
    /// this breaks off, [`Store::replay_step`] takes back.
    pub async fn cancel_replay(&self, id: ReplayId, visible_to: Option<String>) -> Result<Option<bool>> {
        let begun = self
            .write(Priority::Api, Scope::Installation, move |w| {
                let Some(seq) = seq_of(w.conn, id, visible_to)? else { return Ok(None) };
                if !end(w, seq, ReplayStatus::Canceled)? && !revoke(w, seq)? {
                    return Ok(Some((seq, None)));
                }
                w.conn.prepare_cached("UPDATE replays SET takes_back = 1 WHERE seq = ?1")?.execute([seq])?;
                w.after_commit.replays = true;
                take_back(w, seq).map(|more| Some((seq, Some(more))))
            })
            .await?;
        let Some((seq, canceled)) = begun else { return Ok(None) };
        let Some(mut more) = canceled else { return Ok(Some(false)) };
        while more {
            more = self.write(Priority::Api, Scope::Installation, move |w| take_back(w, seq)).await?;
        }
        Ok(Some(true))
    }

    /// The rows of the replays that run, the oldest first; and of those that take something back.
    pub async fn running_replays(&self) -> Result<Vec<i64>> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT seq FROM replays WHERE status = 'running'
                 UNION ALL SELECT seq FROM replays WHERE takes_back = 1 ORDER BY seq",
            )?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Waits until a replay was begun. For one waiter only.
    pub async fn replays_begun(&self) {
        self.inner.signals.replays_begun().await;
    }

    /// Goes one step on with a replay (row): makes some of its deliveries due, unless enough of them are. `walk` is
    /// the replay's own, from its last step; an empty one does, and costs a look at what was looked at.
    ///
    /// # Errors
    /// Only the store's own: the step is not made, and may be made again.
    pub async fn replay_step(&self, seq: i64, walk: &mut ResendWalk) -> Result<ReplayStep> {
        let Some(running) = self.read(move |conn| running(conn, seq)).await? else {
            let more = self.write(Priority::Api, Scope::Installation, move |w| take_back(w, seq)).await?;
            return Ok(if more { ReplayStep::Made } else { ReplayStep::Ended });
        };
        if running.is_over_several {
            return self.resend_step(seq, running.search, running.position, walk).await;
        }
        if running.room < STEP.min(AHEAD) {
            return Ok(ReplayStep::Waits);
        }
        let (mut position, mut candidates) = (running.position, Vec::new());
        for _ in 0..WINDOWS_PER_STEP {
            let search = running.search.clone();
            let found = self.read(move |conn| replay_search::next(conn, &search, position, STEP)).await?;
            (position, candidates) = (found.position, found.candidates);
            if !candidates.is_empty() || position >= running.search.end {
                break;
            }
        }
        self.write(Priority::Api, Scope::Installation, move |w| {
            make(w, seq, &running.search, &candidates, position)
        })
        .await
    }

    /// Makes these deliveries (rows) due again, and notes how far the replay has come.
    pub(crate) async fn make_step(
        &self,
        seq: i64,
        search: Search,
        rows: Vec<i64>,
        position: i64,
    ) -> Result<ReplayStep> {
        let candidates: Vec<Candidate> = rows.into_iter().map(Candidate::Reopen).collect();
        self.write(Priority::Api, Scope::Installation, move |w| make(w, seq, &search, &candidates, position))
            .await
    }
}

struct Running {
    search: Search,
    position: i64,
    /// How many of its deliveries may be made now, if they go to one webhook.
    room: usize,
    is_over_several: bool,
}

fn running(conn: &Connection, seq: i64) -> Result<Option<Running>> {
    let found = conn
        .prepare_cached(
            "SELECT selection, owner_id, requested_at_ms, end_position, position, webhook_id FROM replays
             WHERE seq = ?1 AND status = 'running'",
        )?
        .query_row([seq], |row| {
            let search = Search {
                selection: cells::json(row, 0)?,
                visible_to: row.get(1)?,
                requested_at: cells::moment(row, 2)?,
                end: row.get(3)?,
            };
            Ok((search, row.get(4)?, row.get::<_, Option<WebhookId>>(5)?))
        })
        .optional()?;
    let Some((search, position, webhook_id)) = found else { return Ok(None) };
    let room = webhook_id.map(|webhook_id| bulk_resend::room(conn, webhook_id)).transpose()?;
    Ok(Some(Running { search, position, room: room.unwrap_or(0), is_over_several: room.is_none() }))
}

fn make(
    w: &mut Tx<'_>,
    seq: i64,
    search: &Search,
    candidates: &[Candidate],
    position: i64,
) -> Result<ReplayStep> {
    let runs = w
        .conn
        .prepare_cached("SELECT 1 FROM replays WHERE seq = ?1 AND status = 'running'")?
        .exists([seq])?;
    if !runs {
        return Ok(ReplayStep::Ended);
    }
    let trigger = match &search.selection {
        Selection::Replay { webhook_id, .. } => {
            // A webhook that was disabled or deleted meanwhile gets nothing more.
            if !webhook_status(w, *webhook_id)?.is_some_and(WebhookStatus::is_enabled) {
                end(w, seq, ReplayStatus::Canceled)?;
                return Ok(ReplayStep::Ended);
            }
            Trigger::Replay
        }
        Selection::Resend { .. } => Trigger::Resend,
    };
    let mut made = 0;
    for candidate in candidates {
        made += match (candidate, &search.selection) {
            (Candidate::Reopen(delivery), _) => {
                i64::from(reopen(w, seq, *delivery, trigger, search.requested_at)?)
            }
            (Candidate::Make(event), Selection::Replay { webhook_id, .. }) => {
                i64::from(make_delivery(w, seq, *event, *webhook_id)?)
            }
            (Candidate::Make(_), Selection::Resend { .. }) => 0,
        };
    }
    w.conn
        .prepare_cached("UPDATE replays SET done = done + ?2, position = ?3 WHERE seq = ?1")?
        .execute(params![seq, made, position])?;
    if position < search.end {
        return Ok(ReplayStep::Made);
    }
    end(w, seq, ReplayStatus::Done)?;
    Ok(ReplayStep::Ended)
}

/// Makes an ended delivery due again, behind what is live; false if it is not what it was when it was asked for.
fn reopen(w: &mut Tx<'_>, replay: i64, seq: i64, trigger: Trigger, requested_at: Timestamp) -> Result<bool> {
    let webhook_id: Option<Option<WebhookId>> = w
        .conn
        .prepare_cached(&format!(
            "UPDATE deliveries SET status = 'scheduled', trigger = ?2, bulk = 1, step = 0, due_at_ms = ?3,
                    scheduled_at_ms = ?3, completed_at_ms = NULL, order_station = NULL, replay_seq = ?5,
                    before_replay = json_object('status', status, 'trigger', trigger, 'bulk', bulk, 'step', step,
                        'scheduled_at_ms', scheduled_at_ms, 'completed_at_ms', completed_at_ms,
                        'order_station', order_station, 'attempts', attempts)
             WHERE seq = ?1 AND completed_at_ms <= ?4
                   AND (webhook_id IS NULL
                        OR EXISTS (SELECT 1 FROM webhooks w WHERE w.id = deliveries.webhook_id AND {IS_ENABLED}))
             RETURNING coalesce(webhook_id, -origin_id)"
        ))?
        .query_row(params![seq, trigger.as_str(), w.monotonic.unix_ms(), requested_at.unix_ms(), replay], |row| row.get(0))
        .optional()?;
    w.after_commit.lanes.extend(webhook_id.flatten());
    Ok(webhook_id.is_some())
}

/// Makes the delivery that an event never had; false if it has one by now.
fn make_delivery(w: &mut Tx<'_>, replay: i64, event_seq: i64, webhook_id: WebhookId) -> Result<bool> {
    let mut has =
        w.conn.prepare_cached("SELECT 1 FROM deliveries WHERE event_seq = ?1 AND webhook_id = ?2")?;
    if has.exists([event_seq, webhook_id])? {
        return Ok(false);
    }
    let sequence: i64 = w
        .conn
        .prepare_cached(
            "UPDATE webhooks SET last_sequence = last_sequence + 1 WHERE id = ?1 RETURNING last_sequence",
        )?
        .query_row([webhook_id], |row| row.get(0))?;
    w.conn
        .prepare_cached(
            "INSERT INTO deliveries (id, event_seq, webhook_id, sequence, status, trigger, bulk, due_at_ms,
                                     scheduled_at_ms, created_at_ms, replay_seq)
             VALUES (?1, ?2, ?3, ?4, 'scheduled', ?8, 1, ?5, ?5, ?6, ?7)",
        )?
        .execute(params![
            DeliveryId::from_value(w.mint.next(w.now)).to_string(),
            event_seq,
            webhook_id,
            sequence,
            w.monotonic.unix_ms(),
            w.now.unix_ms(),
            replay,
            Trigger::Replay.as_str(),
        ])?;
    w.after_commit.lanes.insert(webhook_id);
    Ok(true)
}

/// Of a replay's deliveries those that nothing has been tried of since it made them due, by the index they
/// are in.
const UNTRIED: &str = "SELECT seq FROM deliveries INDEXED BY deliveries_of_replays
     WHERE replay_seq = ?1 AND status = 'scheduled' AND attempts = coalesce(json_extract(before_replay, '$.attempts'), 0)";

/// A replay that has made everything due is canceled too, as long as something of it was not tried.
fn revoke(w: &Tx<'_>, seq: i64) -> Result<bool> {
    let revoked = w
        .conn
        .prepare_cached(&format!(
            "UPDATE replays SET status = 'canceled' WHERE seq = ?1 AND status = 'done' AND EXISTS ({UNTRIED})"
        ))?
        .execute([seq])?;
    Ok(revoked > 0)
}

/// Takes a step of what a canceled replay has made back, if there is any; whether there may be more.
fn take_back(w: &mut Tx<'_>, seq: i64) -> Result<bool> {
    let takes_back =
        w.conn.prepare_cached("SELECT 1 FROM replays WHERE seq = ?1 AND takes_back = 1")?.exists([seq])?;
    if !takes_back {
        return Ok(false);
    }
    let mut statement = w.conn.prepare_cached(&format!(
        "UPDATE deliveries SET
             status = coalesce(json_extract(before_replay, '$.status'), 'discarded'),
             discarded_because = iif(before_replay IS NULL, ?3, discarded_because),
             completed_at_ms = coalesce(json_extract(before_replay, '$.completed_at_ms'), ?2),
             trigger = coalesce(json_extract(before_replay, '$.trigger'), trigger),
             bulk = coalesce(json_extract(before_replay, '$.bulk'), bulk),
             step = coalesce(json_extract(before_replay, '$.step'), step),
             scheduled_at_ms = coalesce(json_extract(before_replay, '$.scheduled_at_ms'), scheduled_at_ms),
             order_station = json_extract(before_replay, '$.order_station'),
             due_at_ms = NULL, replay_seq = NULL, before_replay = NULL
         WHERE seq IN ({UNTRIED} ORDER BY seq LIMIT {TAKE_BACK_STEP})
         RETURNING coalesce(webhook_id, -origin_id)"
    ))?;
    let lanes: Vec<Option<WebhookId>> = statement
        .query_map(params![seq, w.now.unix_ms(), DiscardReason::Canceled.as_str()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let more = lanes.len() >= TAKE_BACK_STEP;
    w.conn
        .prepare_cached("UPDATE replays SET done = done - ?2, takes_back = ?3 WHERE seq = ?1")?
        .execute(params![seq, lanes.len() as i64, more])?;
    w.after_commit.lanes.extend(lanes.into_iter().flatten());
    Ok(more)
}

fn end(w: &Tx<'_>, seq: i64, status: ReplayStatus) -> Result<bool> {
    let ended = w
        .conn
        .prepare_cached(
            "UPDATE replays SET status = ?2, completed_at_ms = ?3 WHERE seq = ?1 AND status = 'running'",
        )?
        .execute(params![seq, status.as_str(), w.now.unix_ms()])?;
    Ok(ended > 0)
}

fn seq_of(conn: &Connection, id: ReplayId, visible_to: Option<String>) -> Result<Option<i64>> {
    let seq = conn
        .prepare_cached("SELECT seq FROM replays WHERE id = ?1 AND (?2 IS NULL OR owner_id = ?2)")?
        .query_row(params![id.to_string(), visible_to], |row| row.get(0))
        .optional()?;
    Ok(seq)
}

fn shown(conn: &Connection, id: ReplayId) -> Result<Replay> {
    Ok(conn.prepare_cached(&format!("{SELECT} WHERE r.id = ?1"))?.query_row([id.to_string()], read)?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Replay> {
    Ok(Replay {
        id: cells::parsed(row, 1)?,
        status: cells::parsed(row, 2)?,
        matched: row.get::<_, i64>(3)?.max(0) as u64,
        done: row.get::<_, i64>(4)?.max(0) as u64,
        selection: cells::json(row, 5)?,
        requested_by: RequestedBy { id: cells::parsed(row, 6)?, name: row.get(7)? },
        created_at: cells::moment(row, 8)?,
        completed_at: cells::maybe_moment(row, 9)?,
    })
}
