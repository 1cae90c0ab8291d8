//! What the handshake asks of a station before it lets it in.

use crate::Store;
use crate::cells;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::station_state::{certificate_renewal, password_change};
use vocabulary::id::{SerialNumber, StationId};
use vocabulary::ocpp::Validation;
use vocabulary::zone::Zone;

/// What the handshake must know of a station.
#[derive(Clone)]
pub struct StationAccess {
    /// The identity as it is provisioned, possibly in another letter case than the one offered.
    pub station_id: StationId,
    /// Argon2id verifiers (PHC strings), any of which lets the station in; none: no password.
    pub password_verifiers: Vec<String>,
    /// Those of passwords it was told to use, while it is not settled whether it does.
    pub new_verifiers: Vec<String>,
    /// Connections below this security profile are refused.
    pub min_security_profile: u8,
    /// The name that its client certificate may carry instead of its identity.
    pub certificate_name: Option<String>,
    /// The number of the one client certificate that opens; `None`: any that names it.
    pub certificate_serial: Option<SerialNumber>,
    /// Those of certificates it was sent, while it has used none of them. They open beside the one.
    pub new_serials: Vec<SerialNumber>,
    /// Refused whatever it brings.
    pub blocked: bool,
    /// How strictly its messages are read; `None`: as configured for all.
    pub validation: Option<Validation>,
    /// Its own limit on messages, in bytes.
    pub message_size_bytes: Option<u64>,
    /// Whether the server pings it.
    pub ping: bool,
    /// The zone of its times without zone.
    pub zone: Option<Zone>,
}

impl Store {
    /// What is known of the station that calls itself `identity`: an exact match, else a single one in
    /// another letter case among those made through the API.
    pub async fn station_access(&self, identity: &StationId) -> Result<Option<StationAccess>> {
        const COLUMNS: &str =
            "SELECT station_id, password_verifiers, min_security_profile, blocked, validation,
                                      message_size_bytes, ping, time_zone, certificate_name,
                                      certificate_serial FROM stations";
        let identity = identity.clone();
        self.read(move |db| {
            let exact =
                db.maybe(&format!("{COLUMNS} WHERE station_id = ?1"), params![identity], read_access)?;
            if exact.is_some() {
                return with_unsettled(db, exact);
            }
            let mut similar = db.all(
                &format!("{COLUMNS} WHERE lower(station_id) = lower(?1) AND provisioned = 1 LIMIT 2"),
                params![identity],
                read_access,
            )?;
            let similar = similar.pop().filter(|_| similar.is_empty());
            with_unsettled(db, similar)
        })
        .await
    }
}

/// Adds what a station was told to prove itself with, and perhaps does.
fn with_unsettled(db: &Read<'_>, access: Option<StationAccess>) -> Result<Option<StationAccess>> {
    access
        .map(|access| {
            Ok(StationAccess {
                new_verifiers: password_change::open_verifiers(db, &access.station_id)?,
                new_serials: match access.certificate_serial {
                    Some(_) => certificate_renewal::unsettled(db, &access.station_id)?,
                    None => Vec::new(),
                },
                ..access
            })
        })
        .transpose()
}

fn read_access(row: &Row<'_>) -> Result<StationAccess> {
    let station_id: StationId = row.get(0)?;
    let of = station_id.to_string();
    let named = |column| ("stations", &of as &dyn std::fmt::Display, column);
    Ok(StationAccess {
        station_id,
        password_verifiers: row.maybe_json(1)?.unwrap_or_default(),
        new_verifiers: Vec::new(),
        min_security_profile: row.get(2)?,
        certificate_name: row.get(8)?,
        certificate_serial: row.get(9)?,
        new_serials: Vec::new(),
        blocked: row.get(3)?,
        validation: cells::setting(named("validation"), row.maybe_word(4))?,
        message_size_bytes: row.get::<Option<i64>>(5)?.map(|bytes| bytes.max(0) as u64),
        ping: row.get(6)?,
        zone: cells::setting(named("time_zone"), row.maybe_parsed(7))?,
    })
}
