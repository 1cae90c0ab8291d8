//! Stations as integrators create, replace, import and delete them.

use crate::changed::Changed;
use crate::commands::queue;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::history;
use crate::other_nodes::tell_node_of;
use crate::signals::told::StationNews;
use crate::station_state::{boot_loops, certificate_renewal, configuration, password_change};
use crate::stations::list::by_id;
use crate::{Priority, Scope, Store};
use vocabulary::api::station::{Station, StationInput};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::Validation;

/// What became of a station that was to be created.
#[derive(Debug, Clone)]
pub enum Created {
    /// It was created.
    Done(Box<Station>),
    /// There is one of this identity already, or another owner's in another letter case; nothing was changed.
    Exists,
}

/// What an import needs to know of a station besides what is to be written.
#[derive(Clone)]
pub struct StationToImport {
    /// When the station was last changed, if there is one.
    pub read_at: Option<Timestamp>,
    /// `None` keeps the password, an empty list removes it.
    pub password_verifiers: Option<Vec<String>>,
}

/// What became of a station of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It was created.
    Created,
    /// There was one, and it was changed.
    Updated,
    /// It was created, changed or deleted in the meantime; nothing was written.
    Stale,
}

impl Store {
    /// Creates a station. One that has connected before it was known is provisioned only by a change.
    /// `password_verifiers` are argon2id PHC strings, any of which lets it in; none: no password.
    pub async fn create_station(
        &self,
        input: StationInput,
        password_verifiers: Vec<String>,
    ) -> Result<Created> {
        self.write(Priority::Api, Scope::Installation, move |w| create(w, &input, &password_verifiers)).await
    }

    /// Creates and changes stations in one transaction. One that is refused or stale stops none of the
    /// others.
    pub async fn import_stations(
        &self,
        stations: Vec<(StationInput, StationToImport)>,
    ) -> Result<Vec<Imported>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let mut import = |(input, station): &(StationInput, StationToImport)| {
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
            stations.iter().map(&mut import).collect()
        })
        .await
    }

    /// Replaces all that is written in a station, if it was last changed at `read_at`. `password_verifiers`:
    /// `None` keeps the password; an empty list removes it, and with it the lowest security profile that
    /// connections with the password have led to.
    pub async fn replace_station(
        &self,
        read_at: Timestamp,
        input: StationInput,
        password_verifiers: Option<Vec<String>>,
    ) -> Result<Changed<Station>> {
        self.write(Priority::Api, Scope::Station(input.station_id.clone()), move |w| {
            replace(w, read_at, &input, password_verifiers.as_deref())
        })
        .await
    }

    /// Deletes a station with its connectors and the commands that wait for it, if `read_at` is not given or
    /// it was last changed then. Its events and transactions stay, and so does its count of events, should it
    /// come back.
    pub async fn delete_station(&self, id: StationId, read_at: Option<Timestamp>) -> Result<Changed<()>> {
        self.write(Priority::Api, Scope::Station(id.clone()), move |w| delete(w, &id, read_at)).await
    }
}

/// The columns that an operator or an integrator writes. Their values are `?3` and so on, behind the identity
/// (`?1`) and the moment (`?2`).
const WRITTEN: &str =
    "name, owner_id, min_security_profile, certificate_name, boot_status, blocked, validation,
    time_zone, message_size_bytes, ping, metadata, certificate_serial, site";
const WRITTEN_VALUES: &str = "?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15";

fn write(w: &Tx<'_>, statement: &str, input: &StationInput, min_profile: u8) -> Result<usize> {
    w.run(
        statement,
        params![
            input.station_id,
            w.now,
            input.name,
            input.owner_id,
            min_profile,
            input.certificate_name,
            input.boot_status.as_str(),
            input.blocked,
            input.validation.map(Validation::as_str),
            input.time_zone,
            input.message_size.map(|size| size.0),
            input.ping,
            serde_json::to_string(&input.metadata)?,
            input.certificate_serial,
            input.site,
        ],
    )
}

/// A charger that spells its identity in another letter case is still the one that was provisioned. So no
/// other owner may have a station whose identity differs in nothing but letter case: the two would be taken
/// for each other.
fn create(w: &Tx<'_>, input: &StationInput, password_verifiers: &[String]) -> Result<Created> {
    let id = &input.station_id;
    let others = "SELECT 1 FROM stations WHERE lower(station_id) = lower(?1) AND provisioned = 1
                     AND owner_id IS DISTINCT FROM ?2 LIMIT 1";
    if w.has(others, params![id, input.owner_id])? {
        return Ok(Created::Exists);
    }
    let insert = format!(
        "INSERT INTO stations (station_id, created_at_ms, updated_at_ms, provisioned, boot_expected,
                               {WRITTEN})
         VALUES (?1, ?2, ?2, 1, 0, {WRITTEN_VALUES}) ON CONFLICT (station_id) DO NOTHING"
    );
    if write(w, &insert, input, input.min_security_profile)? == 0 {
        return Ok(Created::Exists);
    }
    if !password_verifiers.is_empty() {
        set_password(w, id, password_verifiers)?;
    }
    Ok(Created::Done(Box::new(known(w, id)?)))
}

fn replace(
    w: &mut Tx<'_>,
    read_at: Timestamp,
    input: &StationInput,
    password_verifiers: Option<&[String]>,
) -> Result<Changed<Station>> {
    let id = &input.station_id;
    let Some(before) = by_id(w, id)? else { return Ok(Changed::Unknown) };
    if before.updated_at != read_at {
        return Ok(Changed::Stale);
    }
    let min_profile = settled_min_profile(w, input, &before, password_verifiers)?;
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
        set_password(w, id, verifiers)?;
    }
    let update = format!(
        "UPDATE stations SET ({WRITTEN}) = ({WRITTEN_VALUES}), provisioned = 1,
             updated_at_ms = CASE WHEN ?2 > updated_at_ms THEN ?2 ELSE updated_at_ms + 1 END
         WHERE station_id = ?1"
    );
    write(w, &update, input, min_profile)?;
    if w.is_shared() {
        tell_node_of(w, id, if input.blocked { StationNews::Blocked } else { StationNews::Rules })?;
    }
    Ok(Changed::Done(known(w, id)?))
}

/// The lowest profile of a station that is replaced. If its password is removed, and it was its connections
/// that have raised the profile to 1 or 2, which no station reaches without a password, the profile goes back
/// to the one that was written before. A profile that is written anew stands.
fn settled_min_profile(
    w: &Tx<'_>,
    input: &StationInput,
    before: &Station,
    password_verifiers: Option<&[String]>,
) -> Result<u8> {
    let (id, asked) = (&input.station_id, input.min_security_profile);
    let settled = if asked != before.min_security_profile {
        asked
    } else if password_verifiers.is_some_and(<[_]>::is_empty) && asked < 3 {
        let raised_from = "SELECT profile_raised_from FROM stations WHERE station_id = ?1";
        let Some(written) = w.one(raised_from, params![id], |row| row.get(0))? else { return Ok(asked) };
        written
    } else {
        return Ok(asked);
    };
    w.run("UPDATE stations SET profile_raised_from = NULL WHERE station_id = ?1", params![id])?;
    Ok(settled)
}

/// An empty list: no password.
fn set_password(w: &Tx<'_>, id: &StationId, verifiers: &[String]) -> Result<()> {
    let text = match verifiers {
        [] => None,
        _ => Some(serde_json::to_string(verifiers)?),
    };
    w.run("UPDATE stations SET password_verifiers = ?2 WHERE station_id = ?1", params![id, text])?;
    Ok(())
}

fn delete(w: &mut Tx<'_>, id: &StationId, read_at: Option<Timestamp>) -> Result<Changed<()>> {
    let Some(before) = by_id(w, id)? else { return Ok(Changed::Unknown) };
    if read_at.is_some_and(|read_at| read_at != before.updated_at) {
        return Ok(Changed::Stale);
    }
    queue::station_removed(w, id)?;
    if w.is_shared() {
        tell_node_of(w, id, StationNews::Removed)?;
    }
    w.run("DELETE FROM connectors WHERE station_id = ?1", params![id])?;
    history::forget(w, id)?;
    configuration::forget(w, id)?;
    password_change::forget(w, id)?;
    certificate_renewal::forget(w, id)?;
    w.run("DELETE FROM stations WHERE station_id = ?1", params![id])?;
    Ok(Changed::Done(()))
}

/// A station that was just written.
fn known(w: &Tx<'_>, id: &StationId) -> Result<Station> {
    by_id(w, id)?.ok_or_else(|| StoreError::Corrupt(format!("station {id} is missing")))
}
