//! Stations as they are looked up and listed.

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Listed, Slice, page_of};
use crate::stations::filter::{StationFilter, StationSort, fits};
use vocabulary::api::station::{Station, StationError};
use vocabulary::id::StationId;
use vocabulary::units::ByteSize;

/// Behind the two columns of an order.
const COLUMNS: &str = "s.station_id, s.name, s.owner_id, s.connected, s.connected_at_ms, s.last_seen_at_ms,
    s.remote_addr, s.vendor, s.model, s.serial_number, s.firmware_version, s.protocol, s.security_profile,
    s.min_security_profile, s.certificate_name, s.boot_status, s.blocked, s.validation, s.time_zone,
    s.message_size_bytes, s.ping, s.clock_skew_ms, s.firmware_status, s.diagnostics_status, s.log_status,
    s.local_list_version, s.password_verifiers IS NOT NULL, s.flags, s.metadata, s.created_at_ms, s.updated_at_ms,
    s.certificate_serial, s.abilities, s.site, s.disconnected_at_ms, s.disconnect_reason, s.offline_since_ms,
    e.connector_id, e.error_code, e.vendor_error_code, e.info, e.error_since_ms,
    (SELECT n.name FROM nodes AS n WHERE n.epoch = s.node_epoch)";

/// Where [`COLUMNS`] has the metadata.
const METADATA: usize = 30;

/// Each station with the newest error among those that its connectors have now.
const FROM: &str = "FROM stations AS s LEFT JOIN connectors AS e
    ON e.station_id = s.station_id AND e.connector_id =
       (SELECT x.connector_id FROM connectors AS x
        WHERE x.station_id = s.station_id AND x.error_since_ms IS NOT NULL
        ORDER BY x.error_since_ms DESC, x.connector_id LIMIT 1)";

fn select(sort: StationSort) -> String {
    format!("SELECT {}, s.seq, {COLUMNS} {FROM}", sort.key())
}

impl Store {
    /// The station of this identity.
    pub async fn station(&self, id: StationId) -> Result<Option<Station>> {
        self.read(move |db| by_id(db, &id)).await
    }

    /// One page of the stations that `filter` wants, in the order that it names.
    pub async fn stations(&self, filter: StationFilter, slice: Slice) -> Result<Listed<Station>> {
        self.read(move |db| {
            let keys: &[&str] = match filter.sort {
                StationSort::Known => &["s.seq"],
                sort => &[sort.key(), "s.seq"],
            };
            let is_wanted = |row: &Row<'_>| Ok(fits(&filter.metadata, &row.json(METADATA)?));
            let is_wanted = (!filter.metadata.is_empty()).then_some(is_wanted);
            page_of(db, &select(filter.sort), keys, filter.conditions(), &slice, is_wanted, read)
        })
        .await
    }
}

/// The station of this identity.
pub(crate) fn by_id(db: &Read<'_>, id: &StationId) -> Result<Option<Station>> {
    let select = select(StationSort::Known);
    db.maybe(&format!("{select} WHERE s.station_id = ?1"), params![id], read)
}

fn read(row: &Row<'_>) -> Result<Station> {
    Ok(Station {
        station_id: row.get(2)?,
        name: row.get(3)?,
        owner_id: row.get(4)?,
        connected: row.get(5)?,
        connected_at: row.get(6)?,
        node: row.get(44)?,
        last_seen_at: row.get(7)?,
        remote_addr: row.get(8)?,
        vendor: row.get(9)?,
        model: row.get(10)?,
        serial_number: row.get(11)?,
        firmware_version: row.get(12)?,
        protocol: row.get(13)?,
        security_profile: row.get(14)?,
        min_security_profile: row.get(15)?,
        certificate_name: row.get(16)?,
        boot_status: row.word(17)?,
        blocked: row.get(18)?,
        validation: row.maybe_word(19)?,
        time_zone: row.get(20)?,
        message_size: row.get::<Option<u64>>(21)?.map(ByteSize),
        ping: row.get(22)?,
        clock_skew_ms: row.get(23)?,
        firmware_status: row.get(24)?,
        diagnostics_status: row.get(25)?,
        log_status: row.get(26)?,
        local_list_version: row.get(27)?,
        password_set: row.get(28)?,
        flags: row.json(29)?,
        metadata: row.json(METADATA)?,
        created_at: row.get(31)?,
        updated_at: row.get(32)?,
        certificate_serial: row.get(33)?,
        abilities: row.json(34)?,
        site: row.get(35)?,
        disconnected_at: row.get(36)?,
        disconnect_reason: row.get(37)?,
        offline_since: row.get(38)?,
        last_error: last_error(row)?,
    })
}

fn last_error(row: &Row<'_>) -> Result<Option<StationError>> {
    let Some(connector_id) = row.get(39)? else { return Ok(None) };
    Ok(Some(StationError {
        connector_id,
        error_code: row.get(40)?,
        vendor_error_code: row.get(41)?,
        info: row.get(42)?,
        at: row.get(43)?,
    }))
}
