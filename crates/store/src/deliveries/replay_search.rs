//! What a replay or a bulk resend is about: rows looked through in windows, oldest first, so that no read
//! takes long, whatever there is.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use crate::deliveries::direct_url::is_origin;
use crate::deliveries::list::{DeliveryFilter, FROM, Query};
use crate::error::{Result, StoreError};
use crate::listing::fits_one_of;
use crate::log::search::as_list;
use crate::log::subscriptions::{IS_ENABLED, load_subscription};
use crate::log::{event_row, removed_before};
use vocabulary::api::replay::{Only, Selection};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;
use vocabulary::event::Event;
use vocabulary::id::{DeliveryId, EventId, WebhookId};
use vocabulary::subscription::{EventPattern, Subject, Subscription};

/// Deliveries looked at in one read.
const DELIVERIES_WINDOW: i64 = 20_000;

/// Events looked at in one read: their payloads are read too.
const EVENTS_WINDOW: i64 = 4_000;

/// One thing to bring back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// This delivery has ended, and is made due again.
    Reopen(i64),
    /// This event has no delivery to the webhook yet.
    Make(i64),
}

/// What is looked through, and up to where.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) selection: Selection,
    /// The owner whose key asks for deliveries by filter.
    pub(crate) visible_to: Option<String>,
    /// What came to its end later is left out: it is not what was asked for, or has been brought back already.
    pub(crate) requested_at: Timestamp,
    /// Rows behind this one are left out.
    pub(crate) end: i64,
}

/// What one read found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) candidates: Vec<Candidate>,
    /// The next read begins behind this row.
    pub(crate) position: i64,
}

/// What is looked through for a selection.
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
        Selection::Resend { status, webhook_id, event_id, events, station_id, owner_id, since, until, q } => {
            let filter = DeliveryFilter {
                status: status.clone(),
                webhook_id: *webhook_id,
                event_id: *event_id,
                events: patterns(events)?,
                station_id: station_id.clone(),
                owner_id: owner_id.clone(),
                since: *since,
                until: *until,
                q: q.clone(),
                visible_to: search.visible_to.clone(),
            };
            Walk::Deliveries(Box::new(filter), None)
        }
    })
}

/// Whose deliveries are looked for: lanes are webhooks, and origins below zero.
#[derive(Debug)]
pub(crate) enum Lanes {
    All,
    Only(WebhookId),
    Except(Vec<WebhookId>),
}

impl Lanes {
    fn narrow(&self, query: &mut Query) {
        match self {
            Self::All => {}
            Self::Only(lane) if is_origin(*lane) => query.and("d.origin_id = ?", -lane),
            Self::Only(lane) => query.and("d.webhook_id = ?", *lane),
            Self::Except(lanes) if lanes.is_empty() => {}
            Self::Except(lanes) => query.and(
                "coalesce(d.webhook_id, -d.origin_id) NOT IN (SELECT value FROM json_each(?))",
                as_list(lanes),
            ),
        }
    }
}

/// Behind which row the first read begins, and up to which row there is anything now.
pub(crate) fn range(conn: &Connection, selection: &Selection) -> Result<(i64, i64)> {
    let (walks_events, since) = match selection {
        Selection::Replay { only, since, .. } => (*only != Only::Failed, Some(*since)),
        Selection::Resend { since, .. } => (false, *since),
    };
    let least = (since.map_or(0, Timestamp::unix_ms).clamp(0, (1 << 48) - 1) as u128) << 80;
    let (table, least) = match walks_events {
        true => ("events", EventId::from_value(least).to_string()),
        false => ("deliveries", DeliveryId::from_value(least).to_string()),
    };
    let end: i64 =
        conn.query_row(&format!("SELECT coalesce(max(seq), 0) FROM {table}"), [], |row| row.get(0))?;
    let first: Option<i64> = conn
        .query_row(&format!("SELECT seq FROM {table} WHERE id >= ?1 ORDER BY id LIMIT 1"), [least], |row| {
            row.get(0)
        })
        .optional()?;
    Ok((first.map_or(end, |first| first - 1), end))
}

/// Looks through the next window behind `position`, for at most `limit` candidates.
pub(crate) fn next(conn: &Connection, search: &Search, position: i64, limit: usize) -> Result<Found> {
    match walk(search)? {
        Walk::Deliveries(..) => {
            let (rows, position) = deliveries(conn, search, &Lanes::All, position, limit)?;
            Ok(Found {
                candidates: rows.into_iter().map(|(row, _)| Candidate::Reopen(row)).collect(),
                position,
            })
        }
        Walk::Events { webhook_id, only, events, since, until } => {
            let mut found = Found { candidates: Vec::new(), position };
            let Some(subscription) = load_subscription(&crate::engine::tx::Read::of(conn), webhook_id)?
            else {
                return Ok(Found { position: search.end, ..found });
            };
            let window_end = window_end(conn, "events", search, position, EVENTS_WINDOW)?;
            let (fits, texts) = fits_one_of("e", &events, false).unwrap_or(("TRUE".to_owned(), Vec::new()));
            let mut values: Vec<Box<dyn ToSql>> =
                texts.into_iter().map(|text| Box::new(text) as Box<dyn ToSql>).collect();
            for value in [position, window_end, since.unix_ms(), until.unix_ms()] {
                values.push(Box::new(value));
            }
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {} FROM events e WHERE {fits} AND e.seq > ? AND e.seq <= ? AND e.timestamp_ms >= ?
                     AND e.timestamp_ms < ? AND e.duplicate_of IS NULL AND NOT e.test ORDER BY e.seq",
                event_row::COLUMNS
            ))?;
            let mut rows = statement.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                let event = event_row::read(&crate::engine::row::Row::Embedded(row))?;
                if let Some(candidate) = judge(conn, search, &subscription, only, &event)? {
                    found.candidates.push(candidate);
                    if found.candidates.len() == limit {
                        return Ok(Found { position: event.seq, ..found });
                    }
                }
            }
            Ok(Found { position: window_end, ..found })
        }
    }
}

/// The same for deliveries (rows) of some lanes, each with its lane; and the row behind which the next read begins.
pub(crate) fn deliveries(
    conn: &Connection,
    search: &Search,
    lanes: &Lanes,
    position: i64,
    limit: usize,
) -> Result<(Vec<(i64, WebhookId)>, i64)> {
    let Walk::Deliveries(filter, arrived) = walk(search)? else { return Ok((Vec::new(), search.end)) };
    let window_end = window_end(conn, "deliveries", search, position, DELIVERIES_WINDOW)?;
    let mut query = Query::from(*filter);
    if let Some((since, until)) = arrived {
        query.and("e.timestamp_ms >= ?", since.unix_ms());
        query.and("e.timestamp_ms < ?", until.unix_ms());
    }
    lanes.narrow(&mut query);
    query.and("d.seq > ?", position);
    query.and("d.seq <= ?", window_end);
    query.and("d.completed_at_ms <= ?", search.requested_at.unix_ms());
    let sql = format!(
        "SELECT d.seq, coalesce(d.webhook_id, -d.origin_id, 0) {FROM}
         WHERE {} AND (d.webhook_id IS NULL OR {IS_ENABLED}) ORDER BY d.seq LIMIT {limit}",
        query.conditions()
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&query.values), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, WebhookId)> = rows.collect::<rusqlite::Result<_>>()?;
    let position = match rows.last() {
        Some((row, _)) if rows.len() == limit => *row,
        _ => window_end,
    };
    Ok((rows, position))
}

/// Where the window behind `position` ends. It begins with the first row that there is: rows count on by
/// millions where a backup was restored, and a gap is no window.
fn window_end(conn: &Connection, table: &str, search: &Search, position: i64, rows: i64) -> Result<i64> {
    let first: Option<i64> = conn
        .prepare_cached(&format!("SELECT seq FROM {table} WHERE seq > ?1 ORDER BY seq LIMIT 1"))?
        .query_row([position], |row| row.get(0))
        .optional()?;
    Ok(search.end.min(first.map_or(search.end, |first| first.saturating_add(rows))))
}

fn judge(
    conn: &Connection,
    search: &Search,
    subscription: &Subscription,
    only: Only,
    event: &Event,
) -> Result<Option<Candidate>> {
    let delivery: Option<(i64, bool, bool)> = conn
        .prepare_cached(
            "SELECT seq, status = 'discarded', coalesce(completed_at_ms <= ?3, FALSE) FROM deliveries
             WHERE event_seq = ?1 AND webhook_id = ?2",
        )?
        .query_row(params![event.seq, subscription.webhook_id, search.requested_at.unix_ms()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(match delivery {
        Some((seq, discarded, ended)) => {
            (ended && (discarded || only == Only::All)).then_some(Candidate::Reopen(seq))
        }
        // It matched when it came, so there was one: retention has removed it.
        None if only == Only::Missing
            && event.seq > subscription.created_seq
            && removed_before::of_outcomes(&crate::engine::tx::Read::of(conn))?
                .is_some_and(|removed| event.id.value() < removed.value()) =>
        {
            None
        }
        None => {
            let mut subject = Subject::of(event);
            // What came before the webhook was made is what a replay is asked for, too.
            subject.seq = None;
            subscription.judge(&subject).is_ok().then_some(Candidate::Make(event.seq))
        }
    })
}
