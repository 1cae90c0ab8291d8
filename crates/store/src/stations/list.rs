//! Stations and their connectors, as they are looked up and listed.

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::{Value, params};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use vocabulary::api::station::{Connector, Station};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::units::ByteSize;

/// Which stations are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct StationFilter {
    /// Whether it has a live connection.
    pub connected: Option<bool>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// The place where it stands.
    pub site: Option<String>,
    /// What its boot is answered with.
    pub boot_status: Option<BootStatus>,
    /// Refused at the handshake.
    pub blocked: Option<bool>,
    /// As told in its boot notification.
    pub vendor: Option<String>,
    /// As told in its boot notification.
    pub model: Option<String>,
    /// As told in its boot notification.
    pub firmware_version: Option<String>,
    /// Part of its identity, name or serial number; letter case does not matter.
    pub text: Option<String>,
    /// It was made, or first connected, then or later.
    pub since: Option<Timestamp>,
    /// It was made, or first connected, before that.
    pub until: Option<Timestamp>,
}

impl StationFilter {
    fn conditions(self) -> Conditions {
        let mut conditions = Conditions::default();
        match self.connected {
            // Spelled out, so that the index of the connected ones is found.
            Some(true) => conditions.and("connected = 1", []),
            Some(false) => conditions.and("connected = 0", []),
            None => {}
        }
        conditions.and_if("owner_id = ?", self.owner_id);
        conditions.and_if("site = ?", self.site);
        conditions.and_if("boot_status = ?", self.boot_status.map(|status| status.as_str().to_owned()));
        conditions.and_if("blocked = ?", self.blocked);
        conditions.and_if("vendor = ?", self.vendor);
        conditions.and_if("model = ?", self.model);
        conditions.and_if("firmware_version = ?", self.firmware_version);
        if let Some(text) = self.text {
            let escaped = text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
            let part = Value::Text(format!("%{escaped}%"));
            let is_like = |column| format!(r"lower({column}) LIKE lower(?) ESCAPE '\'");
            let any = ["station_id", "name", "serial_number"].map(is_like).join(" OR ");
            conditions.and(format!("({any})"), [part.clone(), part.clone(), part]);
        }
        conditions.and_at("created_at_ms >= ?", self.since);
        conditions.and_at("created_at_ms < ?", self.until);
        conditions
    }
}

const COLUMNS: &str = "seq, station_id, name, owner_id, connected, connected_at_ms, last_seen_at_ms,
    remote_addr, vendor, model, serial_number, firmware_version, protocol, security_profile, min_security_profile,
    certificate_name, boot_status, blocked, validation, time_zone, message_size_bytes, ping, clock_skew_ms,
    firmware_status, diagnostics_status, log_status, local_list_version, password_verifiers IS NOT NULL,
    flags, metadata, created_at_ms, updated_at_ms, certificate_serial, abilities,
    site";

impl Store {
    /// The station of this identity.
    pub async fn station(&self, id: StationId) -> Result<Option<Station>> {
        self.read(move |db| by_id(db, &id)).await
    }

    /// One page of the stations that `filter` wants, in the order they became known.
    pub async fn stations(&self, filter: StationFilter, slice: Slice) -> Result<Listed<Station>> {
        self.read(move |db| {
            let select = format!("SELECT {COLUMNS} FROM stations");
            page(db, &select, &["seq"], filter.conditions(), &slice, read)
        })
        .await
    }

    /// The connectors that a station has reported, each with the transaction that runs on it if `visible_to`
    /// may see that: it may have started while the station belonged to another owner.
    pub async fn connectors(&self, id: StationId, visible_to: Option<String>) -> Result<Vec<Connector>> {
        self.read(move |db| connectors(db, &id, visible_to.as_deref())).await
    }
}

/// As [`Store::connectors`], in a read that is under way.
pub(crate) fn connectors(db: &Read<'_>, id: &StationId, visible_to: Option<&str>) -> Result<Vec<Connector>> {
    db.all(
        "SELECT c.connector_id, c.status, c.error_code, c.info, c.vendor_error_code,
                (SELECT max(t.transaction_id) FROM transactions t
                 WHERE t.station_id = c.station_id AND t.connector_id = c.connector_id
                   AND t.status = 'active' AND t.orphaned = 0 AND (?2 IS NULL OR t.owner_id = ?2)),
                c.occurred_at_ms, c.updated_at_ms
         FROM connectors c WHERE c.station_id = ?1 ORDER BY c.connector_id",
        params![id, visible_to],
        read_connector,
    )
}

/// The station of this identity.
pub(crate) fn by_id(db: &Read<'_>, id: &StationId) -> Result<Option<Station>> {
    db.maybe(&format!("SELECT {COLUMNS} FROM stations WHERE station_id = ?1"), params![id], read)
}

fn read(row: &Row<'_>) -> Result<Station> {
    Ok(Station {
        station_id: row.get(1)?,
        name: row.get(2)?,
        owner_id: row.get(3)?,
        connected: row.get(4)?,
        connected_at: row.get(5)?,
        last_seen_at: row.get(6)?,
        remote_addr: row.get(7)?,
        vendor: row.get(8)?,
        model: row.get(9)?,
        serial_number: row.get(10)?,
        firmware_version: row.get(11)?,
        protocol: row.get(12)?,
        security_profile: row.get(13)?,
        min_security_profile: row.get(14)?,
        certificate_name: row.get(15)?,
        boot_status: row.word(16)?,
        blocked: row.get(17)?,
        validation: row.maybe_word(18)?,
        time_zone: row.get(19)?,
        message_size: row.get::<Option<u64>>(20)?.map(ByteSize),
        ping: row.get(21)?,
        clock_skew_ms: row.get(22)?,
        firmware_status: row.get(23)?,
        diagnostics_status: row.get(24)?,
        log_status: row.get(25)?,
        local_list_version: row.get(26)?,
        password_set: row.get(27)?,
        flags: row.json(28)?,
        metadata: row.json(29)?,
        created_at: row.get(30)?,
        updated_at: row.get(31)?,
        certificate_serial: row.get(32)?,
        abilities: row.json(33)?,
        site: row.get(34)?,
    })
}

fn read_connector(row: &Row<'_>) -> Result<Connector> {
    Ok(Connector {
        connector_id: row.get(0)?,
        status: row.get(1)?,
        error_code: row.get(2)?,
        info: row.get(3)?,
        vendor_error_code: row.get(4)?,
        transaction_id: row.get(5)?,
        occurred_at: row.get(6)?,
        updated_at: row.get(7)?,
    })
}
