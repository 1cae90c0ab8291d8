//! Sessions at a glance.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::overview::OverviewQuestion;
use crate::overview::facts::{DoubtfulSession, OpenSession, SessionFacts};
use vocabulary::api::overview::SessionFigures;
use vocabulary::clock::Timestamp;

/// A session that has been active for longer needs a look.
pub(super) const LONG: Duration = Duration::from_secs(2 * 86_400);

/// Sessions that were completed before are settled, one way or the other.
pub(super) const DOUBTFUL_FOR: Duration = Duration::from_secs(7 * 86_400);

/// The newest doubtful sessions, among which those of the last days are looked for.
const DOUBTFUL_MAX: usize = 500;

/// The figures of sessions, and those that need a look.
pub(super) fn read(db: &Read<'_>, question: &OverviewQuestion) -> Result<(SessionFigures, SessionFacts)> {
    let owner = question.owner_id.as_deref();
    let mut figures = SessionFigures::default();
    let mut facts = SessionFacts::default();
    let long_since = question.now.before(LONG);
    db.each(
        "SELECT transaction_id, station_id, coalesce(started_at_ms, created_at_ms), orphaned,
                orphan_activity_at_ms,
                CASE WHEN EXISTS (SELECT 1 FROM stations s
                                  WHERE s.station_id = transactions.station_id AND s.offline = 1)
                     THEN NULL ELSE power_w END
         FROM transactions WHERE status = 'active' AND (?1 IS NULL OR owner_id = ?1)",
        params![owner],
        |row| {
            let orphaned: bool = row.get(3)?;
            let started_at: Timestamp = row.get(2)?;
            if !orphaned {
                figures.active += 1;
                figures.power_w += row.get::<Option<i64>>(5)?.unwrap_or_default();
            }
            if orphaned || started_at < long_since {
                let open = OpenSession {
                    transaction_id: row.get(0)?,
                    station_id: row.get(1)?,
                    started_at,
                    heard_at: row.get(4)?,
                };
                let which = if orphaned { &mut facts.orphaned } else { &mut facts.long };
                which.push(open);
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    figures.energy_today_wh = db.one(
        "SELECT coalesce(sum(energy_wh), 0) FROM transactions
         WHERE stopped_at_ms >= ?2 AND energy_quality = 'metered' AND (?1 IS NULL OR owner_id = ?1)",
        params![owner, question.today_began_at],
        |row| row.get(0),
    )?;
    facts.doubtful = doubtful(db, owner, question.now.before(DOUBTFUL_FOR))?;
    Ok((figures, facts))
}

/// Completed sessions without an energy that can be relied on, the newest first.
fn doubtful(db: &Read<'_>, owner: Option<&str>, since: Timestamp) -> Result<Vec<DoubtfulSession>> {
    let sql = format!(
        "SELECT transaction_id, station_id, energy_quality, completed_at_ms FROM (
             SELECT transaction_id, station_id, energy_quality, completed_at_ms FROM transactions
             WHERE energy_quality IN ('implausible', 'missing') AND (?1 IS NULL OR owner_id = ?1)
             ORDER BY transaction_id DESC LIMIT {DOUBTFUL_MAX}) AS newest
         WHERE completed_at_ms >= ?2"
    );
    db.all(&sql, params![owner, since], |row| {
        Ok(DoubtfulSession {
            transaction_id: row.get(0)?,
            station_id: row.get(1)?,
            quality: row.word(2)?,
            completed_at: row.get(3)?,
        })
    })
}

/// The power of all sessions that run, by owner.
pub(super) fn power_by_owner(db: &Read<'_>) -> Result<BTreeMap<Option<String>, i64>> {
    let mut by_owner = BTreeMap::new();
    db.each(
        "SELECT owner_id, power_w FROM transactions
         WHERE status = 'active' AND orphaned = 0 AND power_w IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM stations s
                           WHERE s.station_id = transactions.station_id AND s.offline = 1)",
        &[],
        |row| {
            *by_owner.entry(row.get(0)?).or_default() += row.get::<i64>(1)?;
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(by_owner)
}
