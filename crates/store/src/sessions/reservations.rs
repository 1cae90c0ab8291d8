//! Reservations: kept from the ends of `ReserveNow` and `CancelReservation`, from the starts that use them
//! and the faults that end them. Expiry is read off the date, so that nothing has to be awake for it.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::Store;
use crate::access::id_tags;
use crate::command_result::{CommandVerdict, EndedCommand};
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use vocabulary::api::reservation::{Reservation, Status};
use vocabulary::clock::Timestamp;
use vocabulary::id::{ReservationId, StationId};
use vocabulary::ocpp::authorization::is_same_id_tag;
use vocabulary::ocpp::fact::{ConnectorStatus, SessionStarted};
use vocabulary::ocpp::purpose::Reserve;

/// How much earlier than a reservation something that came after it can claim to be: chargers' clocks are not
/// exact.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60);

/// Which reservations are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct ReservationFilter {
    /// The station that keeps it.
    pub station_id: Option<String>,
    /// The customer the station belonged to.
    pub owner_id: Option<String>,
    /// How it stands now.
    pub status: Option<Status>,
    /// Its `ReserveNow` ended then or later.
    pub since: Option<Timestamp>,
    /// Its `ReserveNow` ended before that.
    pub until: Option<Timestamp>,
}

const COLUMNS: &str = "seq, id, reservation_id, station_id, owner_id, connector_id, id_tag, parent_id_tag,
    expiry_date_ms, status, command_id, transaction_id, created_at_ms, updated_at_ms";

impl Store {
    /// One page of the reservations that `filter` wants, as they stand at `now`, in the order their
    /// `ReserveNow` ended.
    pub async fn reservations(
        &self,
        filter: ReservationFilter,
        slice: Slice,
        now: Timestamp,
    ) -> Result<Listed<Reservation>> {
        self.read(move |conn| {
            let mut conditions = Conditions::default();
            conditions.and_if("station_id = ?", filter.station_id);
            conditions.and_if("owner_id = ?", filter.owner_id);
            let open = "status IN ('active', 'unknown')";
            match filter.status {
                Some(Status::Expired) => {
                    conditions.and(format!("{open} AND expiry_date_ms <= ?"), [now.unix_ms().into()]);
                }
                Some(status @ (Status::Active | Status::Unknown)) => conditions.and(
                    "status = ? AND expiry_date_ms > ?",
                    [status.as_str().to_owned().into(), now.unix_ms().into()],
                ),
                other => conditions.and_if("status = ?", other.map(|status| status.as_str().to_owned())),
            }
            conditions.and_at("created_at_ms >= ?", filter.since);
            conditions.and_at("created_at_ms < ?", filter.until);
            let select = format!("SELECT {COLUMNS} FROM reservations");
            page(conn, &select, &["seq"], conditions, &slice, |row| Ok(read(row.raw(), now)?))
        })
        .await
    }
}

fn read(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Reservation> {
    let expiry_date = cells::moment(row, 8)?;
    let status = match cells::word(row, 9)? {
        Status::Active | Status::Unknown if expiry_date <= now => Status::Expired,
        status => status,
    };
    Ok(Reservation {
        id: cells::parsed(row, 1)?,
        reservation_id: row.get(2)?,
        station_id: row.get(3)?,
        owner_id: row.get(4)?,
        connector_id: row.get(5)?,
        id_tag: row.get(6)?,
        parent_id_tag: row.get(7)?,
        expiry_date,
        status,
        command_id: cells::parsed(row, 10)?,
        transaction_id: row.get(11)?,
        created_at: cells::moment(row, 12)?,
        updated_at: cells::moment(row, 13)?,
    })
}

/// A `ReserveNow` has ended, or was answered after that.
pub(crate) fn reserved(
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
        w.conn
            .prepare_cached(
                "UPDATE reservations SET status = ?2, updated_at_ms = ?3
                 WHERE station_id = ?4 AND command_id = ?1 AND status = 'unknown'",
            )?
            .execute(params![
                command.id.to_string(),
                status.as_str(),
                w.now.unix_ms(),
                command.station.as_str()
            ])?;
        return Ok(());
    }
    let before = w
        .conn
        .prepare_cached(
            "SELECT seq, status IN ('active', 'unknown') AND expiry_date_ms > ?3 FROM reservations
             WHERE station_id = ?1 AND reservation_id = ?2",
        )?
        .query_row(params![command.station.as_str(), asked.reservation_id, w.now.unix_ms()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
        })
        .optional()?;
    if let Some((seq, kept)) = before {
        if kept && status == Status::Rejected {
            // The station would not change it, so what it kept it keeps.
            return Ok(());
        }
        w.conn.prepare_cached("DELETE FROM reservations WHERE seq = ?1")?.execute([seq])?;
    }
    let id = ReservationId::from_value(w.mint.next(w.now));
    w.conn
        .prepare_cached(
            "INSERT INTO reservations (id, station_id, reservation_id, owner_id, command_id, connector_id, id_tag,
                                       parent_id_tag, expiry_date_ms, status, created_at_ms, updated_at_ms)
             VALUES (?1, ?2, ?3, (SELECT owner_id FROM stations WHERE station_id = ?2), ?4, ?5, ?6, ?7, ?8, ?9,
                     ?10, ?10)",
        )?
        .execute(params![
            id.to_string(),
            command.station.as_str(),
            asked.reservation_id,
            command.id.to_string(),
            asked.connector_id,
            asked.id_tag,
            asked.parent_id_tag,
            asked.expiry_date.unix_ms(),
            status.as_str(),
            w.now.unix_ms(),
        ])?;
    Ok(())
}

/// A `CancelReservation` has ended. Without a clear answer the reservation is left as it is.
pub(crate) fn canceled(
    w: &Tx<'_>,
    command: &EndedCommand<'_>,
    reservation_id: i64,
    verdict: CommandVerdict,
) -> Result<()> {
    if verdict != CommandVerdict::Accepted {
        return Ok(());
    }
    w.conn
        .prepare_cached(
            "UPDATE reservations SET status = 'canceled', updated_at_ms = ?3
             WHERE station_id = ?1 AND reservation_id = ?2 AND status IN ('active', 'unknown')
               AND expiry_date_ms > ?3",
        )?
        .execute(params![command.station.as_str(), reservation_id, w.now.unix_ms()])?;
    Ok(())
}

/// The reservation that a start uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    seq: i64,
    /// The number that OCPP knows it by.
    pub(crate) reservation_id: i64,
}

/// What a start has to do with reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfStart {
    /// The one that it uses.
    pub(crate) used: Option<Used>,
    /// It names a number that this station was never given.
    pub(crate) names_an_unknown: bool,
}

/// Finds the reservation that a start uses: the one it names, else one of its tag, or of its tag's group, for
/// its connector or for any. −1 and 0 name none.
///
/// `begun_at` is when it began by our own clock, if that is known. The one it names may be over by now: the
/// charger may have been offline. One that it does not name must have been there then.
pub(crate) fn of_start(
    conn: &Connection,
    station: &StationId,
    owner_id: Option<&str>,
    start: &SessionStarted,
    begun_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<OfStart> {
    let mut names_an_unknown = false;
    if let Some(reservation_id) = start.reservation_id.filter(|number| *number > 0) {
        let named: Option<(i64, bool)> = conn
            .prepare_cached(
                "SELECT seq, status IN ('active', 'unknown') FROM reservations
                 WHERE station_id = ?1 AND reservation_id = ?2",
            )?
            .query_row(params![station.as_str(), reservation_id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((seq, true)) = named {
            return Ok(OfStart { used: Some(Used { seq, reservation_id }), names_an_unknown: false });
        }
        names_an_unknown = named.is_none();
    }
    let used = kept_for(conn, station, owner_id, start, begun_at, now)?;
    Ok(OfStart { used, names_an_unknown })
}

/// The oldest reservation for the tag of a start, on its connector rather than on any.
fn kept_for(
    conn: &Connection,
    station: &StationId,
    owner_id: Option<&str>,
    start: &SessionStarted,
    begun_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Used>> {
    let Some(id_tag) = start.id_tag.as_deref() else { return Ok(None) };
    let mut select = conn.prepare_cached(
        "SELECT seq, reservation_id, id_tag, parent_id_tag FROM reservations
         WHERE station_id = ?1 AND status IN ('active', 'unknown') AND connector_id IN (0, ?2)
           AND expiry_date_ms > ?3 AND (?4 IS NULL OR created_at_ms <= ?4)
         ORDER BY connector_id = 0, seq",
    )?;
    let mut rows = select.query(params![
        station.as_str(),
        start.connector_id,
        begun_at.unwrap_or(now).unix_ms(),
        begun_at.map(|at| at.after(CLOCKS_DIFFER_BY).unix_ms()),
    ])?;
    while let Some(row) = rows.next()? {
        let (reserved, parent): (String, Option<String>) = (row.get(2)?, row.get(3)?);
        let is_kept_for = is_same_id_tag(&reserved, id_tag)
            || match parent.as_deref() {
                Some(parent) => {
                    id_tags::is_of_group(&crate::engine::tx::Read::of(conn), owner_id, id_tag, parent)?
                }
                None => {
                    id_tags::share_a_group(&crate::engine::tx::Read::of(conn), owner_id, &reserved, id_tag)?
                }
            };
        if is_kept_for {
            return Ok(Some(Used { seq: row.get(0)?, reservation_id: row.get(1)? }));
        }
    }
    Ok(None)
}

/// A transaction has begun on a reservation.
pub(crate) fn use_up(w: &Tx<'_>, used: Used, transaction_id: i64) -> Result<()> {
    w.conn
        .prepare_cached(
            "UPDATE reservations SET status = 'used', transaction_id = ?2, updated_at_ms = ?3 WHERE seq = ?1",
        )?
        .execute(params![used.seq, transaction_id, w.now.unix_ms()])?;
    Ok(())
}

/// A connector, or with 0 the whole station, is as its status says: one that is out of order keeps nothing
/// any more (OCPP 1.6, 5.13).
///
/// `since` is when it became so by our own clock, if that is known: what was reserved later is not concerned.
pub(crate) fn told_status(
    w: &Tx<'_>,
    station: &StationId,
    status: &ConnectorStatus,
    since: Option<Timestamp>,
) -> Result<()> {
    let (Some(connector_id), Some("Faulted" | "Unavailable")) =
        (status.connector_id, status.status.as_deref())
    else {
        return Ok(());
    };
    w.conn
        .prepare_cached(
            "UPDATE reservations SET status = 'canceled', updated_at_ms = ?4
             WHERE station_id = ?1 AND status IN ('active', 'unknown') AND expiry_date_ms > ?4
               AND ?2 IN (0, connector_id) AND (?3 IS NULL OR created_at_ms <= ?3)",
        )?
        .execute(params![
            station.as_str(),
            connector_id,
            since.map(|at| at.after(CLOCKS_DIFFER_BY).unix_ms()),
            w.now.unix_ms(),
        ])?;
    Ok(())
}
