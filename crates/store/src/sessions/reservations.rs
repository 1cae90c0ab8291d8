//! Reservations: what the ends of `ReserveNow` and `CancelReservation` make of them, the starts that use them
//! and the faults that end them.

use std::time::Duration;

use crate::access::id_tags;
use crate::command_result::{CommandVerdict, EndedCommand};
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use vocabulary::api::reservation::Status;
use vocabulary::clock::Timestamp;
use vocabulary::id::{ReservationId, StationId};
use vocabulary::ocpp::authorization::is_same_id_tag;
use vocabulary::ocpp::fact::{ConnectorStatus, SessionStarted};
use vocabulary::ocpp::purpose::Reserve;

/// How much earlier than a reservation something that came after it can claim to be: chargers' clocks are not
/// exact.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60);

/// A `ReserveNow` has ended, or was answered after that.
pub(crate) fn reserve_ended(
    w: &mut Tx<'_>,
    command: &EndedCommand<'_>,
    asked: &Reserve,
    verdict: CommandVerdict,
) -> Result<()> {
    let status = match verdict {
        CommandVerdict::Accepted => Status::Active,
        CommandVerdict::Refused => Status::Rejected,
        CommandVerdict::Unknown => Status::Unknown,
        CommandVerdict::NeverSent => return Ok(()),
    };
    if command.late {
        // Only what was assumed then is put right, not what has been learned since.
        w.run(
            "UPDATE reservations SET status = ?2, updated_at_ms = ?3
             WHERE station_id = ?4 AND command_id = ?1 AND status = 'unknown'",
            params![command.id, status.as_str(), w.now, command.station],
        )?;
        return Ok(());
    }
    let before = w.maybe(
        "SELECT seq, status IN ('active', 'unknown') AND expiry_date_ms > ?3 FROM reservations
         WHERE station_id = ?1 AND reservation_id = ?2",
        params![command.station, asked.reservation_id, w.now],
        |row| Ok((row.get::<i64>(0)?, row.get::<bool>(1)?)),
    )?;
    if let Some((seq, kept)) = before {
        if kept && status == Status::Rejected {
            // The station would not change it, so what it kept it keeps.
            return Ok(());
        }
        w.run("DELETE FROM reservations WHERE seq = ?1", params![seq])?;
    }
    insert(w, command, asked, status)
}

fn insert(w: &mut Tx<'_>, command: &EndedCommand<'_>, asked: &Reserve, status: Status) -> Result<()> {
    let id = ReservationId::from_value(w.mint.next(w.now));
    w.run(
        "INSERT INTO reservations (id, station_id, reservation_id, owner_id, command_id, connector_id,
                                   id_tag, parent_id_tag, expiry_date_ms, status, created_at_ms,
                                   updated_at_ms)
         VALUES (?1, ?2, ?3, (SELECT owner_id FROM stations WHERE station_id = ?2), ?4, ?5, ?6, ?7, ?8, ?9,
                 ?10, ?10)",
        params![
            id,
            command.station,
            asked.reservation_id,
            command.id,
            asked.connector_id,
            asked.id_tag,
            asked.parent_id_tag,
            asked.expiry_date,
            status.as_str(),
            w.now,
        ],
    )?;
    Ok(())
}

/// A `CancelReservation` has ended. Without a clear answer the reservation is left as it is.
pub(crate) fn cancel_ended(
    w: &Tx<'_>,
    command: &EndedCommand<'_>,
    reservation_id: i64,
    verdict: CommandVerdict,
) -> Result<()> {
    if verdict != CommandVerdict::Accepted {
        return Ok(());
    }
    w.run(
        "UPDATE reservations SET status = 'canceled', updated_at_ms = ?3
         WHERE station_id = ?1 AND reservation_id = ?2 AND status IN ('active', 'unknown')
           AND expiry_date_ms > ?3",
        params![command.station, reservation_id, w.now],
    )?;
    Ok(())
}

/// The reservation that a start uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedReservation {
    seq: i64,
    /// The number that the station knows it by.
    pub(crate) reservation_id: i64,
}

/// What a start has to do with reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReservationMatch {
    /// The one that it uses.
    pub(crate) used: Option<UsedReservation>,
    /// It names a number that this station was never given.
    pub(crate) names_an_unknown: bool,
}

/// Finds the reservation that a start uses: the one it names, else one of its tag, or of its tag's group, for
/// its connector or for any. −1 and 0 name none.
///
/// `started_at` is when it began by our own clock, if that is known. The one it names may be over by now: the
/// charger may have been offline. One that it does not name must have been there then.
pub(crate) fn find_for_start(
    db: &Read<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    start: &SessionStarted,
    started_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<ReservationMatch> {
    let mut names_an_unknown = false;
    if let Some(reservation_id) = start.reservation_id.filter(|number| *number > 0) {
        let named: Option<(i64, bool)> = db.maybe(
            "SELECT seq, status IN ('active', 'unknown') FROM reservations
             WHERE station_id = ?1 AND reservation_id = ?2",
            params![station, reservation_id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if let Some((seq, true)) = named {
            let used = Some(UsedReservation { seq, reservation_id });
            return Ok(ReservationMatch { used, names_an_unknown: false });
        }
        names_an_unknown = named.is_none();
    }
    let used = find_unnamed(db, station, owner_id, start, started_at, now)?;
    Ok(ReservationMatch { used, names_an_unknown })
}

/// The oldest reservation for the tag of a start, on its connector rather than on any.
fn find_unnamed(
    db: &Read<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    start: &SessionStarted,
    started_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<UsedReservation>> {
    let Some(id_tag) = start.id_tag.as_deref() else { return Ok(None) };
    let open: Vec<(UsedReservation, String, Option<String>)> = db.all(
        "SELECT seq, reservation_id, id_tag, parent_id_tag FROM reservations
         WHERE station_id = ?1 AND status IN ('active', 'unknown') AND connector_id IN (0, ?2)
           AND expiry_date_ms > ?3 AND (?4 IS NULL OR created_at_ms <= ?4)
         ORDER BY connector_id = 0, seq",
        params![
            station,
            start.connector_id,
            started_at.unwrap_or(now),
            started_at.map(|at| at.after(CLOCKS_DIFFER_BY)),
        ],
        |row| {
            let reservation = UsedReservation { seq: row.get(0)?, reservation_id: row.get(1)? };
            Ok((reservation, row.get(2)?, row.get(3)?))
        },
    )?;
    for (reservation, reserved_for, parent) in open {
        let is_reserved_for = is_same_id_tag(&reserved_for, id_tag)
            || match parent.as_deref() {
                Some(parent) => id_tags::is_of_group(db, owner_id, id_tag, parent)?,
                None => id_tags::share_a_group(db, owner_id, &reserved_for, id_tag)?,
            };
        if is_reserved_for {
            return Ok(Some(reservation));
        }
    }
    Ok(None)
}

/// A transaction has started on a reservation.
pub(crate) fn mark_used(w: &Tx<'_>, used: UsedReservation, transaction_id: i64) -> Result<()> {
    w.run(
        "UPDATE reservations SET status = 'used', transaction_id = ?2, updated_at_ms = ?3 WHERE seq = ?1",
        params![used.seq, transaction_id, w.now],
    )?;
    Ok(())
}

/// A connector, or with 0 the whole station, is as its status says: one that is out of order keeps no
/// reservation.
///
/// `since` is when it became so by our own clock, if that is known: what was reserved later is not concerned.
pub(crate) fn cancel_if_out_of_order(
    w: &Tx<'_>,
    station: &StationId,
    status: &ConnectorStatus,
    since: Option<Timestamp>,
) -> Result<()> {
    let Some(connector_id) = status.connector_id.filter(|_| status.is_out_of_order) else { return Ok(()) };
    w.run(
        "UPDATE reservations SET status = 'canceled', updated_at_ms = ?4
         WHERE station_id = ?1 AND status IN ('active', 'unknown') AND expiry_date_ms > ?4
           AND ?2 IN (0, connector_id) AND (?3 IS NULL OR created_at_ms <= ?3)",
        params![station, connector_id, since.map(|at| at.after(CLOCKS_DIFFER_BY)), w.now],
    )?;
    Ok(())
}
