//! The candidates of a replay or bulk resend: rows are searched in windows, the oldest first, so that no read
//! takes long.

use std::ops::ControlFlow;

use crate::deliveries::direct_url::is_origin;
use crate::deliveries::list::{DeliveryFilter, FROM};
use crate::engine::row::Row;
use crate::engine::sql::{ToParam, params, values_of};
use crate::engine::tx::Read;
use crate::error::{Result, StoreError};
use crate::listing::Conditions;
use crate::log::row_set::as_list;
use crate::log::subscriptions::{IS_ENABLED, load_subscription};
use crate::log::{event_row, removed_before};
use crate::search_words::Wanted;
use crate::{DeliveryRow, LogPosition};
use vocabulary::api::replay::{Only, Selection};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;
use vocabulary::id::{DeliveryId, EventId, WebhookId, least_at};
use vocabulary::subscription::{EventPattern, Subject, Subscription};

/// Deliveries searched in one read.
const DELIVERIES_WINDOW: i64 = 20_000;

/// Events searched in one read: their payloads are read too.
const EVENTS_WINDOW: i64 = 4_000;

/// One candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Candidate {
    /// This delivery has ended, and is reopened.
    Reopen(DeliveryRow),
    /// This event has no delivery to the webhook, and gets one.
    Make(LogPosition),
}

/// The bounds of a search.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) selection: Selection,
    /// The owner of the key that asked for deliveries by filter.
    pub(super) visible_to: Option<String>,
    /// Deliveries that ended later are left out: they were not requested, or are reopened already.
    pub(super) requested_at: Timestamp,
    /// Rows behind this one are left out.
    pub(super) end: i64,
}

/// The result of one read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    /// The next read starts behind this row.
    pub(super) position: i64,
}

/// The rows that are searched for a selection.
enum Walk {
    Deliveries(Box<DeliveryFilter>, Option<(Timestamp, Timestamp)>),
    Events {
        webhook_id: WebhookId,
        only: Only,
        events: Vec<EventPattern>,
        since: Timestamp,
        until: Timestamp,
    },
}

fn patterns(texts: &[String]) -> Result<Vec<EventPattern>> {
    let read = |text: &String| text.parse().map_err(|error| StoreError::Corrupt(format!("{text}: {error}")));
    texts.iter().map(read).collect()
}

fn walk(search: &Search) -> Result<Walk> {
    Ok(match &search.selection {
        Selection::Replay { webhook_id, only: Only::Failed, events, since, until } => {
            let filter = DeliveryFilter {
                status: vec![DeliveryStatus::Failed],
                webhook_id: Some(*webhook_id),
                events: patterns(events)?,
                ..DeliveryFilter::default()
            };
            Walk::Deliveries(Box::new(filter), Some((*since, *until)))
        }
        Selection::Replay { webhook_id, only, events, since, until } => Walk::Events {
            webhook_id: *webhook_id,
            only: *only,
            events: patterns(events)?,
            since: *since,
            until: *until,
        },
        Selection::Resend {
            status,
            webhook_id,
            event_id,
            events,
            station_id,
            owner_id,
            since,
            until,
            status_code,
            min_attempts,
            q,
        } => {
            let filter = DeliveryFilter {
                status: status.clone(),
                webhook_id: *webhook_id,
                event_id: *event_id,
                events: patterns(events)?,
                station_id: station_id.clone(),
                owner_id: owner_id.clone(),
                since: *since,
                until: *until,
                answers: status_code.clone(),
                min_attempts: *min_attempts,
                q: q.clone(),
                visible_to: search.visible_to.clone(),
            };
            Walk::Deliveries(Box::new(filter), None)
        }
    })
}

/// The lanes whose deliveries are searched: webhooks, and origins below zero.
#[derive(Debug)]
pub(super) enum Lanes {
    All,
    Only(WebhookId),
    Except(Vec<WebhookId>),
}

impl Lanes {
    fn narrow(&self, conditions: &mut Conditions) {
        match self {
            Self::All => {}
            Self::Only(lane) if is_origin(*lane) => conditions.and("d.origin_id = ?", [(-lane).into()]),
            Self::Only(lane) => conditions.and("d.webhook_id = ?", [(*lane).into()]),
            Self::Except(lanes) if lanes.is_empty() => {}
            Self::Except(lanes) => conditions.and(
                "coalesce(d.webhook_id, -d.origin_id)
                     NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(?))",
                [as_list(lanes).into()],
            ),
        }
    }
}

/// The row behind which the first read starts, and the last row there is now.
pub(super) fn range(db: &Read<'_>, selection: &Selection) -> Result<(i64, i64)> {
    let since = match selection {
        Selection::Replay { since, .. } => Some(*since),
        Selection::Resend { since, .. } => *since,
    };
    let least = since.map_or(0, least_at);
    let (table, least) = match selection.is_of_events() {
        true => ("events", EventId::from_value(least).to_string()),
        false => ("deliveries", DeliveryId::from_value(least).to_string()),
    };
    let newest = format!("SELECT coalesce(max(seq), 0) FROM {table}");
    let end: i64 = db.one(&newest, &[], |row| row.get(0))?;
    let first = format!("SELECT seq FROM {table} WHERE id >= ?1 ORDER BY id LIMIT 1");
    let first: Option<i64> = db.maybe(&first, params![least], |row| row.get(0))?;
    Ok((first.map_or(end, |first| first - 1), end))
}

/// Searches the next window behind `position` for at most `limit` candidates.
pub(super) fn next(db: &Read<'_>, search: &Search, position: i64, limit: usize) -> Result<Found> {
    let Walk::Events { webhook_id, only, events, since, until } = walk(search)? else {
        let window = deliveries(db, search, &Lanes::All, position, limit)?;
        let candidates = window.found.into_iter().map(|found| Candidate::Reopen(found.row)).collect();
        return Ok(Found { candidates, position: window.reaches });
    };
    let Some(subscription) = load_subscription(db, webhook_id)? else {
        return Ok(Found { candidates: Vec::new(), position: search.end });
    };
    let window_end = window_end(db, "events", search, position, EVENTS_WINDOW)?;
    let mut conditions = Conditions::default();
    conditions.and_fits("e", &events, false);
    conditions.and("e.seq > ? AND e.seq <= ?", [position.into(), window_end.into()]);
    conditions.and("e.timestamp_ms >= ? AND e.timestamp_ms < ?", [since.into(), until.into()]);
    conditions.and("e.duplicate_of IS NULL AND e.test = 0", []);
    let sql = format!(
        "SELECT {}, d.seq, d.status = 'discarded', coalesce(d.completed_at_ms <= ?, FALSE)
         FROM events e LEFT JOIN deliveries d ON d.event_seq = e.seq AND d.webhook_id = ?
         WHERE {} ORDER BY e.seq",
        event_row::COLUMNS,
        conditions.text()
    );
    let conditions = conditions.into_values();
    let mut values = vec![search.requested_at.to_param(), webhook_id.to_param()];
    values.extend(values_of(&conditions));
    let judge = Judge { subscription, only, removed: removed_before::of_outcomes(db)? };
    let mut found = Found { candidates: Vec::new(), position: window_end };
    db.each(&sql, &values, |row| {
        let position: LogPosition = row.get(0)?;
        found.candidates.extend(judge.candidate(row)?);
        if found.candidates.len() < limit {
            return Ok(ControlFlow::Continue(()));
        }
        found.position = position.number();
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Finds the candidate of an event.
struct Judge {
    subscription: Subscription,
    only: Only,
    /// The newest delivery that retention has deleted before its event.
    removed: Option<DeliveryId>,
}

impl Judge {
    /// The candidate of an event. Behind the event's columns stand those of its delivery: the row, whether it
    /// was discarded, and whether it had ended when the replay was requested.
    fn candidate(&self, row: &Row<'_>) -> Result<Option<Candidate>> {
        let delivery: Option<DeliveryRow> = row.get(event_row::BEHIND)?;
        if let Some(delivery) = delivery {
            let discarded: bool = row.get(event_row::BEHIND + 1)?;
            let ended: bool = row.get(event_row::BEHIND + 2)?;
            let wanted = ended && (discarded || self.only == Only::All);
            return Ok(wanted.then_some(Candidate::Reopen(delivery)));
        }
        let event = event_row::read(row)?;
        // It matched when it was appended, so it had a delivery, which retention has deleted.
        let had_one = self.only == Only::Missing
            && event.position > self.subscription.created_seq
            && self.removed.is_some_and(|removed| event.id.value() < removed.value());
        if had_one {
            return Ok(None);
        }
        let mut subject = Subject::of(&event);
        // A replay may also cover events from before the webhook's creation.
        subject.position = None;
        let wanted = self.subscription.judge(&subject).is_ok();
        Ok(wanted.then_some(Candidate::Make(event.position)))
    }
}

/// A delivery and its lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfLane {
    pub(super) row: DeliveryRow,
    /// 0 if it has none.
    pub(super) lane: WebhookId,
}

/// The result of one read of deliveries.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) found: Vec<OfLane>,
    /// The row behind which the next read starts.
    pub(super) reaches: i64,
}

/// Searches the deliveries of some lanes, as [`next`] does.
pub(super) fn deliveries(
    db: &Read<'_>,
    search: &Search,
    lanes: &Lanes,
    position: i64,
    limit: usize,
) -> Result<Window> {
    let Walk::Deliveries(filter, arrived) = walk(search)? else {
        return Ok(Window { found: Vec::new(), reaches: search.end });
    };
    let window_end = window_end(db, "deliveries", search, position, DELIVERIES_WINDOW)?;
    let wanted = filter.q.as_deref().map(Wanted::parse);
    let mut conditions = filter.conditions();
    if let Some((since, until)) = arrived {
        conditions.and("e.timestamp_ms >= ? AND e.timestamp_ms < ?", [since.into(), until.into()]);
    }
    lanes.narrow(&mut conditions);
    conditions.and("d.seq > ? AND d.seq <= ?", [position.into(), window_end.into()]);
    conditions.and("d.completed_at_ms <= ?", [search.requested_at.into()]);
    conditions.and(format!("(d.webhook_id IS NULL OR {IS_ENABLED})"), []);
    let sql = format!(
        "SELECT d.seq, coalesce(d.webhook_id, -d.origin_id, 0), e.payload {FROM} WHERE {} ORDER BY d.seq",
        conditions.text()
    );
    let mut window = Window { found: Vec::new(), reaches: window_end };
    db.each(&sql, &values_of(&conditions.into_values()), |row| {
        if let Some(wanted) = &wanted
            && !wanted.is_in(row.text(2)?)
        {
            return Ok(ControlFlow::Continue(()));
        }
        let found = OfLane { row: row.get(0)?, lane: row.get(1)? };
        window.found.push(found);
        if window.found.len() < limit {
            return Ok(ControlFlow::Continue(()));
        }
        window.reaches = found.row.number();
        Ok(ControlFlow::Break(()))
    })?;
    Ok(window)
}

/// The end of the window behind `position`. The window starts at the first existing row, because a restored
/// backup leaves gaps of millions of row numbers.
fn window_end(db: &Read<'_>, table: &str, search: &Search, position: i64, rows: i64) -> Result<i64> {
    let first = format!("SELECT seq FROM {table} WHERE seq > ?1 ORDER BY seq LIMIT 1");
    let first: Option<i64> = db.maybe(&first, params![position], |row| row.get(0))?;
    Ok(search.end.min(first.map_or(search.end, |first| first.saturating_add(rows))))
}
