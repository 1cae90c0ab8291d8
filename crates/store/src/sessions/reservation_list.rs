//! Reservations as they are listed. Whether one has expired is read off its date, so that nothing has to be
//! awake for it.

use crate::Store;
use crate::engine::row::Row;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use vocabulary::api::reservation::{Reservation, Status};
use vocabulary::clock::Timestamp;

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
        self.read(move |db| {
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
            page(db, &select, &["seq"], conditions, &slice, |row| read(row, now))
        })
        .await
    }
}

fn read(row: &Row<'_>, now: Timestamp) -> Result<Reservation> {
    let expiry_date = row.get(8)?;
    let status = match row.word(9)? {
        Status::Active | Status::Unknown if expiry_date <= now => Status::Expired,
        status => status,
    };
    Ok(Reservation {
        id: row.parsed(1)?,
        reservation_id: row.get(2)?,
        station_id: row.get(3)?,
        owner_id: row.get(4)?,
        connector_id: row.get(5)?,
        id_tag: row.get(6)?,
        parent_id_tag: row.get(7)?,
        expiry_date,
        status,
        command_id: row.parsed(10)?,
        transaction_id: row.get(11)?,
        created_at: row.get(12)?,
        updated_at: row.get(13)?,
    })
}
