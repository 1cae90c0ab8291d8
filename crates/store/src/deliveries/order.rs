//! Webhooks with `ordering: station`: which deliveries of a station may be sent now.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::DeliveryRow;
use crate::deliveries::lane_settings::LaneClaim;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::waiting_deliveries::ORDERED_LIVE;
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

/// Stations read in one claim; the next claim continues behind them.
const STATIONS_PER_CLAIM: usize = 1_000;

/// Deliveries of one station that may have blocked for too long. A schedule of days and a wait of an hour
/// make a few dozen.
const OVERTAKEN_MAX: usize = 64;

/// If a claim could not read all stations, the next one follows after this long.
const NEXT_LOOK: Duration = Duration::from_millis(50);

/// The result of one pass over a webhook's stations.
pub(crate) struct InOrder {
    /// Deliveries to send now: at most one per station, apart from those that have been overtaken.
    pub(crate) due: Vec<DeliveryRow>,
    /// When another one is due, or may be overtaken.
    pub(crate) next_due_at: Option<Timestamp>,
    /// The last station that was read.
    pub(crate) after_station: String,
}

/// Reads one station after the other, in a circle over many claims, so that none is left out. A delivery
/// blocks others since `resumed_at` at the earliest, because nothing could be sent before.
pub(crate) fn due(
    w: &Tx<'_>,
    lane: &LaneClaim,
    resumed_at: Option<Timestamp>,
    limit: usize,
) -> Result<InOrder> {
    let mut found = InOrder { due: Vec::new(), next_due_at: None, after_station: lane.after_station.clone() };
    let mut wrapped = false;
    for _ in 0..STATIONS_PER_CLAIM {
        if found.due.len() >= limit {
            found.wait_until(w.monotonic);
            return Ok(found);
        }
        match next_station(w, lane.webhook_id, &found.after_station)? {
            // The circle is complete: every station has been read.
            Some(station) if wrapped && station > lane.after_station => return Ok(found),
            Some(station) => {
                look_at(w, lane, resumed_at, &station, &mut found)?;
                found.after_station = station;
            }
            None if wrapped || lane.after_station.is_empty() => return Ok(found),
            None => {
                wrapped = true;
                found.after_station.clear();
            }
        }
    }
    found.wait_until(w.monotonic.after(NEXT_LOOK));
    Ok(found)
}

impl InOrder {
    fn wait_until(&mut self, moment: Timestamp) {
        self.next_due_at = Some(self.next_due_at.map_or(moment, |at| at.min(moment)));
    }
}

fn next_station(w: &Tx<'_>, webhook_id: WebhookId, after: &str) -> Result<Option<String>> {
    let sql = format!(
        "SELECT order_station FROM deliveries WHERE webhook_id = ?1 AND order_station > ?2 AND {ORDERED_LIVE}
         ORDER BY order_station LIMIT 1"
    );
    w.maybe(&sql, params![webhook_id, after], |row| row.get(0))
}

/// The station's oldest delivery blocks the others, unless it has blocked them for too long.
fn look_at(
    w: &Tx<'_>,
    lane: &LaneClaim,
    resumed_at: Option<Timestamp>,
    station: &str,
    found: &mut InOrder,
) -> Result<()> {
    let sql = format!(
        "SELECT seq, due_at_ms, first_tried_at_ms FROM deliveries
         WHERE webhook_id = ?1 AND order_station = ?2 AND {ORDERED_LIVE} ORDER BY seq LIMIT ?3"
    );
    w.each(&sql, params![lane.webhook_id, station, OVERTAKEN_MAX], |row| {
        let due_at: Option<Timestamp> = row.get(1)?;
        match due_at {
            Some(due_at) if due_at <= w.monotonic => found.due.push(row.get(0)?),
            Some(due_at) => found.wait_until(due_at),
            // It is under way, and its end wakes the lane.
            None => {}
        }
        let first_tried_at: Option<Timestamp> = row.get(2)?;
        let blocks_since = first_tried_at.max(resumed_at.filter(|_| first_tried_at.is_some()));
        let blocks_until = blocks_since.unwrap_or(w.monotonic).after(lane.order_max_wait);
        if blocks_until <= w.monotonic {
            return Ok(ControlFlow::Continue(()));
        }
        if first_tried_at.is_some() {
            found.wait_until(blocks_until);
        }
        Ok(ControlFlow::Break(()))
    })
}
