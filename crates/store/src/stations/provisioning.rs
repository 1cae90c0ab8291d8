//! Stations as integrators provision, list, change and remove them.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use crate::commands::queue;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::listing::{Conditions, Listed, Slice, page};
use crate::station_state::{boot_loops, certificate_renewal, configuration, password_change};
use crate::webhooks::settings::Changed;
use crate::{Priority, Scope, Store};
use vocabulary::api::station::{Connector, Station, StationInput};
use vocabulary::clock::Timestamp;
use vocabulary::id::{SerialNumber, StationId};
use vocabulary::ocpp::Validation;
use vocabulary::ocpp::boot_status::BootStatus;

/// Which stations are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct StationFilter {
    /// Whether it has a live connection.
    pub connected: Option<bool>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
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

/// What became of a station that was to be made.
#[derive(Debug, Clone)]
pub enum Created {
    /// It was made.
    Done(Box<Station>),
    /// There is one of this identity already, or another owner's in another letter case; nothing was changed.
    Exists,
}

/// What an import needs to know of a station beside what is to be written in it.
#[derive(Clone)]
pub struct StationToImport {
    /// When the station was last changed, if it is there already.
    pub read_at: Option<Timestamp>,
    /// `None` keeps the password, an empty list removes it.
    pub password_verifiers: Option<Vec<String>>,
}

/// What became of a station of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It was made.
    Created,
    /// It was there and is changed.
    Updated,
    /// It was made, changed or removed in the meantime; nothing was written.
    Stale,
}

const COLUMNS: &str = "seq, station_id, name, owner_id, connected, connected_at_ms, last_seen_at_ms, remote_addr, vendor, model,
    serial_number, firmware_version, protocol, security_profile, min_security_profile, certificate_name, boot_status,
    blocked, validation, time_zone, message_size_bytes, ping, clock_skew_ms, firmware_status, diagnostics_status,
    log_status, local_list_version, password_verifiers IS NOT NULL, flags, metadata, created_at_ms, updated_at_ms,
    certificate_serial, abilities";

impl Store {
    /// Makes a station. One that connected without being known becomes a provisioned one only by a change.
    /// `password_verifiers` are argon2id PHC strings, any of which lets it in; none: no password.
    pub async fn create_station(
        &self,
        input: StationInput,
        password_verifiers: Vec<String>,
    ) -> Result<Created> {
        self.write(Priority::Api, Scope::Installation, move |w| create(w, &input, &password_verifiers)).await
    }

    /// Makes and changes stations, each on its own terms, in one transaction.
    pub async fn import_stations(
        &self,
        stations: Vec<(StationInput, StationToImport)>,
    ) -> Result<Vec<Imported>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let import = |(input, station): &(StationInput, StationToImport)| {
                let StationToImport { read_at, password_verifiers } = station;
                Ok(match read_at {
                    Some(read_at) => match replace(w, *read_at, input, password_verifiers.as_deref())? {
                        Changed::Done(_) => Imported::Updated,
                        Changed::Stale | Changed::Unknown => Imported::Stale,
                    },
                    None => match create(w, input, password_verifiers.as_deref().unwrap_or_default())? {
                        Created::Done(_) => Imported::Created,
                        Created::Exists => Imported::Stale,
                    },
                })
            };
            stations.iter().map(import).collect()
        })
        .await
    }

    /// The station of this identity.
    pub async fn station(&self, id: StationId) -> Result<Option<Station>> {
        self.read(move |conn| by_id(conn, &id)).await
    }

    /// One page of the stations that `filter` wants, in the order they became known.
    pub async fn stations(&self, filter: StationFilter, slice: Slice) -> Result<Listed<Station>> {
        self.read(move |conn| {
            let mut conditions = Conditions::default();
            match filter.connected {
                // Spelled out, so that the index of the connected ones is found.
                Some(true) => conditions.and("connected = 1", []),
                Some(false) => conditions.and("connected = 0", []),
                None => {}
            }
            conditions.and_if("owner_id = ?", filter.owner_id);
            conditions.and_if("boot_status = ?", filter.boot_status.map(|status| status.as_str().to_owned()));
            conditions.and_if("blocked = ?", filter.blocked.map(i64::from));
            conditions.and_if("vendor = ?", filter.vendor);
            conditions.and_if("model = ?", filter.model);
            conditions.and_if("firmware_version = ?", filter.firmware_version);
            if let Some(text) = filter.text {
                let escaped = text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
                let part = crate::engine::sql::Value::Text(format!("%{escaped}%"));
                conditions.and(
                    r"(station_id LIKE ? ESCAPE '\' OR name LIKE ? ESCAPE '\' OR serial_number LIKE ? ESCAPE '\')",
                    [part.clone(), part.clone(), part],
                );
            }
            conditions.and_at("created_at_ms >= ?", filter.since);
            conditions.and_at("created_at_ms < ?", filter.until);
            page(conn, &format!("SELECT {COLUMNS} FROM stations"), &["seq"], conditions, &slice, |row| Ok(read(row.raw())?))
        })
        .await
    }

    /// Replaces all that is written in a station, if it was last changed at `read_at`.
    /// `password_verifiers`: `None` keeps the password, an empty list removes it, and with it the lowest security
    /// profile that connections with it have led to.
    pub async fn replace_station(
        &self,
        read_at: Timestamp,
        input: StationInput,
        password_verifiers: Option<Vec<String>>,
    ) -> Result<Changed<Station>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            replace(w, read_at, &input, password_verifiers.as_deref())
        })
        .await
    }

    /// Removes a station with its connectors and the commands that wait for it, if `read_at` is not given or it was last changed then. Its
    /// events and transactions stay, and so does its count of events, should it come back.
    pub async fn delete_station(&self, id: StationId, read_at: Option<Timestamp>) -> Result<Changed<()>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(before) = by_id(w.conn, &id)? else { return Ok(Changed::Unknown) };
            if read_at.is_some_and(|read_at| read_at != before.updated_at) {
                return Ok(Changed::Stale);
            }
            queue::station_removed(w, &id)?;
            w.conn.prepare_cached("DELETE FROM connectors WHERE station_id = ?1")?.execute([id.as_str()])?;
            configuration::forget(w, &id)?;
            password_change::forget(w, &id)?;
            certificate_renewal::forget(w, &id)?;
            w.conn.prepare_cached("DELETE FROM stations WHERE station_id = ?1")?.execute([id.as_str()])?;
            Ok(Changed::Done(()))
        })
        .await
    }

    /// The connectors that a station has told of, each with the transaction that runs on it, if `visible_to` may see
    /// that: it may have begun while the station was another owner's.
    pub async fn connectors(&self, id: StationId, visible_to: Option<String>) -> Result<Vec<Connector>> {
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT c.connector_id, c.status, c.error_code, c.info, c.vendor_error_code,
                        (SELECT max(t.transaction_id) FROM transactions t
                         WHERE t.station_id = c.station_id AND t.connector_id = c.connector_id
                           AND t.status = 'active' AND t.orphaned = 0 AND (?2 IS NULL OR t.owner_id = ?2)),
                        c.occurred_at_ms, c.updated_at_ms
                 FROM connectors c WHERE c.station_id = ?1 ORDER BY c.connector_id",
            )?;
            let connectors = statement
                .query_map(params![id.as_str(), visible_to], read_connector)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(connectors)
        })
        .await
    }
}

/// A charger that spells its identity in another letter case is still the one that was provisioned, so nobody
/// else's may be made that differs in nothing but that: it would be taken for the other, or both for none.
fn create(w: &Tx<'_>, input: &StationInput, password_verifiers: &[String]) -> Result<Created> {
    let inserted = w
                .conn
                .prepare_cached(
                    "INSERT INTO stations (station_id, name, owner_id, provisioned, password_verifiers,
                        min_security_profile, certificate_name, boot_status, blocked, validation, time_zone,
                        message_size_bytes, ping, metadata, certificate_serial, boot_expected, created_at_ms,
                        updated_at_ms)
                     SELECT :station_id, :name, :owner_id, 1, :verifiers, :min_profile, :certificate_name, :boot_status,
                        :blocked, :validation, :time_zone, :message_size, :ping, :metadata, :certificate_serial, 0, :now, :now
                     WHERE NOT EXISTS (SELECT 1 FROM stations other WHERE lower(other.station_id) = lower(:station_id)
                        AND other.provisioned = 1 AND other.owner_id IS NOT :owner_id)
                     ON CONFLICT (station_id) DO NOTHING",
                )?
                .execute(named_params! {
                    ":station_id": input.station_id.as_str(),
                    ":name": input.name,
                    ":owner_id": input.owner_id,
                    ":verifiers": verifiers_text(password_verifiers)?,
                    ":min_profile": input.min_security_profile,
                    ":certificate_name": input.certificate_name,
                    ":boot_status": input.boot_status.as_str(),
                    ":blocked": input.blocked,
                    ":validation": input.validation.map(Validation::as_str),
                    ":time_zone": input.time_zone,
                    ":message_size": input.message_size.map(|size| size.0 as i64),
                    ":ping": input.ping,
                    ":metadata": serde_json::to_string(&input.metadata)?,
                    ":certificate_serial": input.certificate_serial.as_ref().map(SerialNumber::as_str),
                    ":now": w.now.unix_ms(),
                })?;
    if inserted == 0 {
        return Ok(Created::Exists);
    }
    let station = by_id(w.conn, &input.station_id)?;
    station.map(|station| Created::Done(Box::new(station))).ok_or_else(|| lost(&input.station_id))
}

fn replace(
    w: &Tx<'_>,
    read_at: Timestamp,
    input: &StationInput,
    password_verifiers: Option<&[String]>,
) -> Result<Changed<Station>> {
    let id = &input.station_id;
    let Some(before) = by_id(w.conn, id)? else { return Ok(Changed::Unknown) };
    if before.updated_at != read_at {
        return Ok(Changed::Stale);
    }
    let mut min_profile = input.min_security_profile;
    if min_profile != before.min_security_profile {
        w.conn
            .prepare_cached("UPDATE stations SET profile_raised_from = NULL WHERE station_id = ?1")?
            .execute([id.as_str()])?;
    } else if password_verifiers.is_some_and(<[_]>::is_empty) {
        min_profile = without_password(w, id, min_profile)?;
    }
    if input.certificate_serial != before.certificate_serial {
        certificate_renewal::forget(w, id)?;
    }
    if password_verifiers.is_some()
        || input.boot_status != before.boot_status
        || min_profile != before.min_security_profile
    {
        // It comes back with what it was given, or asks again whether it is welcome.
        boot_loops::expect(w, id)?;
    }
    if let Some(verifiers) = password_verifiers {
        password_change::forget(w, id)?;
        w.conn
            .prepare_cached("UPDATE stations SET password_verifiers = ?2 WHERE station_id = ?1")?
            .execute(params![id.as_str(), verifiers_text(verifiers)?])?;
    }
    w.conn
        .prepare_cached(
            "UPDATE stations SET name = :name, owner_id = :owner_id, provisioned = 1,
                        min_security_profile = :min_profile, certificate_name = :certificate_name,
                        boot_status = :boot_status, blocked = :blocked, validation = :validation,
                        time_zone = :time_zone, message_size_bytes = :message_size, ping = :ping,
                        metadata = :metadata, certificate_serial = :certificate_serial, updated_at_ms = max(:now, updated_at_ms + 1)
                     WHERE station_id = :station_id",
        )?
        .execute(named_params! {
            ":station_id": id.as_str(),
            ":name": input.name,
            ":owner_id": input.owner_id,
            ":min_profile": min_profile,
            ":certificate_name": input.certificate_name,
            ":boot_status": input.boot_status.as_str(),
            ":blocked": input.blocked,
            ":validation": input.validation.map(Validation::as_str),
            ":time_zone": input.time_zone,
            ":message_size": input.message_size.map(|size| size.0 as i64),
            ":ping": input.ping,
            ":metadata": serde_json::to_string(&input.metadata)?,
            ":certificate_serial": input.certificate_serial.as_ref().map(SerialNumber::as_str),
            ":now": w.now.unix_ms(),
        })?;
    by_id(w.conn, id)?.map(Changed::Done).ok_or_else(|| lost(id))
}

/// The lowest profile of a station whose password is taken away. If it was its connections that raised it to
/// 1 or 2, which nobody reaches without a password, it goes back to what was written; what was written
/// stands.
fn without_password(w: &Tx<'_>, id: &StationId, min_profile: u8) -> Result<u8> {
    let raised_from: Option<u8> = w
        .conn
        .prepare_cached("SELECT profile_raised_from FROM stations WHERE station_id = ?1")?
        .query_row([id.as_str()], |row| row.get(0))?;
    let Some(written) = raised_from.filter(|_| min_profile < 3) else { return Ok(min_profile) };
    w.conn
        .prepare_cached("UPDATE stations SET profile_raised_from = NULL WHERE station_id = ?1")?
        .execute([id.as_str()])?;
    Ok(written)
}

fn lost(id: &StationId) -> StoreError {
    StoreError::Corrupt(format!("station {id} is gone"))
}

fn verifiers_text(verifiers: &[String]) -> Result<Option<String>> {
    if verifiers.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(verifiers)?))
}

fn by_id(conn: &Connection, id: &StationId) -> Result<Option<Station>> {
    let station = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM stations WHERE station_id = ?1"))?
        .query_row([id.as_str()], read)
        .optional()?;
    Ok(station)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Station> {
    Ok(Station {
        station_id: row.get(1)?,
        name: row.get(2)?,
        owner_id: row.get(3)?,
        connected: row.get(4)?,
        connected_at: cells::maybe_moment(row, 5)?,
        last_seen_at: cells::maybe_moment(row, 6)?,
        remote_addr: row.get(7)?,
        vendor: row.get(8)?,
        model: row.get(9)?,
        serial_number: row.get(10)?,
        firmware_version: row.get(11)?,
        protocol: row.get(12)?,
        security_profile: row.get(13)?,
        min_security_profile: row.get(14)?,
        certificate_name: row.get(15)?,
        boot_status: cells::word(row, 16)?,
        blocked: row.get(17)?,
        validation: cells::maybe_word(row, 18)?,
        time_zone: row.get(19)?,
        message_size: row
            .get::<_, Option<i64>>(20)?
            .map(|bytes| vocabulary::units::ByteSize(bytes.max(0) as u64)),
        ping: row.get(21)?,
        clock_skew_ms: row.get(22)?,
        firmware_status: row.get(23)?,
        diagnostics_status: row.get(24)?,
        log_status: row.get(25)?,
        local_list_version: row.get(26)?,
        password_set: row.get(27)?,
        flags: cells::json(row, 28)?,
        metadata: cells::json(row, 29)?,
        created_at: cells::moment(row, 30)?,
        updated_at: cells::moment(row, 31)?,
        certificate_serial: cells::maybe_parsed(row, 32)?,
        abilities: cells::json(row, 33)?,
    })
}

fn read_connector(row: &Row<'_>) -> rusqlite::Result<Connector> {
    Ok(Connector {
        connector_id: row.get(0)?,
        status: row.get(1)?,
        error_code: row.get(2)?,
        info: row.get(3)?,
        vendor_error_code: row.get(4)?,
        transaction_id: row.get(5)?,
        occurred_at: cells::maybe_moment(row, 6)?,
        updated_at: cells::moment(row, 7)?,
    })
}
