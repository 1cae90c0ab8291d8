//! Stations as they knock, connect and leave.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde_json::value::to_raw_value;
use tracing::info;

use crate::commands::queue;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append;
use crate::log::append::Manner;
use crate::station_state::boot_loops;
use crate::station_state::certificate_renewal;
use crate::station_state::certificate_renewal::UsedCertificate;
use crate::station_state::flags::{Change, Until};
use crate::stations::presence;
use crate::stations::presence::set_offline;
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::{SerialNumber, StationId};
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::protocol::Protocol;

/// A connection that was admitted.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Whose.
    pub station_id: StationId,
    /// Grows with every connection of this run; the newest one is the station's.
    pub generation: u64,
    /// Where it comes from.
    pub remote_addr: String,
    /// OCPP security profile, 0 to 3.
    pub security_profile: u8,
    /// The client certificate it came with, if it did.
    pub certificate: Option<UsedCertificate>,
    /// The station is to be refused below this profile from now on.
    pub ratchet: bool,
    /// How a station that nobody knew is registered; `None`: it must be known.
    pub discovered_as: Option<BootStatus>,
    /// Oddities of the handshake.
    pub flags: Vec<String>,
}

/// What a connection that was put on record has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// Commands wait for the station.
    pub commands_waiting: bool,
}

/// Why a station that the handshake has let in is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwelcome {
    /// It was deleted since.
    Unknown,
    /// It was blocked since.
    Blocked,
    /// It may not come with so low a security profile any more.
    SecurityProfileTooLow,
    /// Another certificate has taken the place of the one that it has shown.
    WrongCertificate,
}

/// How a connection ended.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionEnd {
    /// The WebSocket close code, if there was a close frame.
    pub code: Option<u16>,
    /// Why, in a word.
    pub reason: String,
    /// How long it lasted.
    pub duration_ms: u64,
    /// A newer connection of the same station took over.
    pub replaced: bool,
}

/// An attempt to connect that was turned away.
#[derive(Debug, Clone, Serialize)]
pub struct Rejected {
    /// The identity that was offered, as it was offered.
    pub identity: String,
    /// Why, in a word.
    pub reason: &'static str,
    /// What it was answered.
    pub http_status: u16,
    /// Where it came from.
    pub remote_addr: String,
    /// How many such attempts this event stands for.
    pub count: u64,
}

/// Why the gateway hangs up on a station that it wants to come back; some boot when they do.
const OUR_DOING: [&str; 2] = ["requested", "storage unavailable"];

impl Store {
    /// Records a connection: registers the station if it is new and may be, marks it connected and
    /// appends `StationDiscovered`, `StationConnected` and, if it had been silent, `StationOnline`. Of a
    /// station that is not welcome any more since its handshake nothing is recorded.
    pub async fn connected(&self, connected: Connected) -> Result<std::result::Result<Welcome, Unwelcome>> {
        self.write(Priority::Inbound, Scope::Installation, move |w| connect(w, &connected)).await
    }

    /// Records the end of a connection with a `StationDisconnected`, and ends the commands that are lost with
    /// it; the station stays connected if a newer generation took over.
    pub async fn disconnected(
        &self,
        station_id: StationId,
        generation: u64,
        last_seen: Timestamp,
        end: ConnectionEnd,
    ) -> Result<()> {
        self.write(Priority::Inbound, Scope::Installation, move |w| {
            w.conn
                .prepare_cached(
                    "UPDATE stations SET connected = 0, last_seen_at_ms = max(coalesce(last_seen_at_ms, 0), ?3)
                     WHERE station_id = ?1 AND connection_generation = ?2",
                )?
                .execute(params![station_id.as_str(), generation as i64, last_seen.unix_ms()])?;
            append_station_event(w, &station_id, "StationDisconnected", &end)?;
            if OUR_DOING.contains(&end.reason.as_str()) {
                boot_loops::expect(w, &station_id)?;
            }
            queue::connection_lost(w, &station_id, generation)
        })
        .await
    }

    /// Records that a charger was turned away: a `StationRejected`, which no station counts.
    pub async fn rejected(&self, rejected: Rejected) -> Result<()> {
        self.write(Priority::Inbound, Scope::Installation, move |w| {
            let event = NewEvent {
                station_id: Some(rejected.identity.clone()),
                ..NewEvent::new(Category::Station, "StationRejected", w.now, to_raw_value(&rejected)?)
            };
            let manner = Manner { uncounted: true, ..Manner::default() };
            append::append(w, &event, manner).map(drop)
        })
        .await
    }
}

fn connect(w: &mut Tx<'_>, connected: &Connected) -> Result<std::result::Result<Welcome, Unwelcome>> {
    let id = &connected.station_id;
    if let Some(boot_status) = connected.discovered_as {
        discover(w, id, boot_status, &connected.remote_addr)?;
    }
    let known = w
        .conn
        .prepare_cached(
            "SELECT offline, flags, blocked, min_security_profile FROM stations WHERE station_id = ?1",
        )?
        .query_row([id.as_str()], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get::<_, u8>(3)?))
        })
        .optional()?;
    let Some((was_offline, flags, blocked, min_profile)) = known else { return Ok(Err(Unwelcome::Unknown)) };
    // Whoever blocks a station asks its connection to leave, and finds none before it has registered.
    if blocked {
        return Ok(Err(Unwelcome::Blocked));
    }
    if connected.security_profile < min_profile {
        return Ok(Err(Unwelcome::SecurityProfileTooLow));
    }
    if let Some(certificate) = &connected.certificate
        && !certificate_renewal::used(w, id, certificate)?
    {
        return Ok(Err(Unwelcome::WrongCertificate));
    }
    if connected.ratchet && connected.security_profile > min_profile {
        raise_min_profile(w, id, connected.security_profile)?;
    }
    let protocol = Protocol::default();
    w.conn
        .prepare_cached(
            "UPDATE stations
             SET connected = 1, connection_generation = ?2, connected_at_ms = ?3, last_seen_at_ms = ?3,
                 remote_addr = ?4, protocol = ?5, security_profile = ?6
             WHERE station_id = ?1 AND (connected = 0 OR connection_generation < ?2)",
        )?
        .execute(params![
            id.as_str(),
            connected.generation as i64,
            w.now.unix_ms(),
            connected.remote_addr,
            protocol.as_str(),
            connected.security_profile,
        ])?;
    let mut change = Change::default();
    change.over(Until::Connection);
    change.over(Until::CalmConnection);
    connected.flags.iter().for_each(|flag| change.seen(flag.as_str()));
    change.write(w, id, &flags)?;
    #[derive(Serialize)]
    struct Payload<'a> {
        remote_addr: &'a str,
        protocol: &'static str,
        security_profile: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        certificate_serial: Option<&'a SerialNumber>,
    }
    let certificate = connected.certificate.as_ref();
    let payload = Payload {
        remote_addr: &connected.remote_addr,
        protocol: protocol.as_str(),
        security_profile: connected.security_profile,
        certificate_serial: certificate.map(|certificate| &certificate.serial_number),
    };
    append_station_event(w, id, "StationConnected", &payload)?;
    if was_offline {
        // Of an earlier run's silence the registry knows nothing, so its end is told here.
        set_offline(w, id, false, Some(w.now))?;
    }
    Ok(Ok(Welcome { commands_waiting: queue::waiting(w, id)? }))
}

/// Whoever has shown that it can do better is not let in with less; a failed attempt at more costs nothing.
/// What was written in the station is remembered, for when the password that it connected with is taken away.
fn raise_min_profile(w: &Tx<'_>, id: &StationId, profile: u8) -> Result<()> {
    w.conn
        .prepare_cached(
            "UPDATE stations SET profile_raised_from = coalesce(profile_raised_from, min_security_profile),
                 min_security_profile = ?2, updated_at_ms = max(?3, updated_at_ms + 1)
             WHERE station_id = ?1",
        )?
        .execute(params![id.as_str(), profile, w.now.unix_ms()])?;
    Ok(())
}

/// Registers a station on the spot, unless it is known already.
fn discover(w: &mut Tx<'_>, id: &StationId, boot_status: BootStatus, remote_addr: &str) -> Result<()> {
    let inserted = w
        .conn
        .prepare_cached(
            "INSERT INTO stations (station_id, boot_status, boot_expected, created_at_ms, updated_at_ms)
             VALUES (?1, ?2, 0, ?3, ?3)
             ON CONFLICT (station_id) DO NOTHING",
        )?
        .execute(params![id.as_str(), boot_status.as_str(), w.now.unix_ms()])?;
    if inserted == 1 {
        #[derive(Serialize)]
        struct Payload<'a> {
            remote_addr: &'a str,
            boot_status: &'static str,
        }
        let payload = Payload { remote_addr, boot_status: boot_status.as_str() };
        append_station_event(w, id, "StationDiscovered", &payload)?;
    }
    Ok(())
}

/// Appends what has happened to a station: an event of its own.
pub(crate) fn append_station_event(
    w: &mut Tx<'_>,
    id: &StationId,
    event: &'static str,
    payload: &impl Serialize,
) -> Result<()> {
    let event = NewEvent::about_station(Category::Station, event, id, w.now, to_raw_value(payload)?);
    append::append(w, &event, Manner::default()).map(drop)
}

/// What the last run left open: stations recorded as connected are not any more.
pub(crate) fn settle(w: &mut Tx<'_>) -> Result<()> {
    let left: Vec<(String, Option<i64>)> = w
        .conn
        .prepare("SELECT station_id, connected_at_ms FROM stations WHERE connected = 1 ORDER BY seq")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (station, connected_at_ms) in &left {
        let Ok(id) = StationId::new(station) else { continue };
        let since = connected_at_ms.map_or(w.now, Timestamp::from_unix_ms);
        let end = ConnectionEnd {
            code: None,
            reason: "gateway_stopped".to_owned(),
            duration_ms: w.now.since(since).as_millis() as u64,
            replaced: false,
        };
        append_station_event(w, &id, "StationDisconnected", &end)?;
    }
    presence::note_last_messages(w)?;
    // Generations are counted anew in every run.
    w.conn.execute("UPDATE stations SET connected = 0, connection_generation = 0", [])?;
    boot_loops::expect_all(w)?;
    if !left.is_empty() {
        info!("{} stations were connected when the gateway last stopped", left.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Changed;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn a_station_that_was_blocked_or_deleted_since_its_handshake_is_not_recorded_as_connected() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock).expect("a store");
        let id = StationId::new("CP").expect("legal");
        let let_in = |generation| Connected {
            station_id: id.clone(),
            generation,
            remote_addr: "127.0.0.1:1".to_owned(),
            security_profile: 0,
            certificate: None,
            ratchet: true,
            discovered_as: None,
            flags: Vec::new(),
        };
        let input = |text| serde_json::from_str(text).expect("a station");
        store.create_station(input(r#"{"station_id":"CP"}"#), Vec::new()).await.expect("writes");
        let station = store.station(id.clone()).await.expect("reads").expect("known");
        let blocked = input(r#"{"station_id":"CP","blocked":true}"#);
        let changed = store.replace_station(station.updated_at, blocked, None).await.expect("writes");
        let Changed::Done(station) = changed else { panic!("it was changed meanwhile") };
        assert_eq!(store.connected(let_in(1)).await.expect("decides"), Err(Unwelcome::Blocked));
        let seen = store.station(id.clone()).await.expect("reads").expect("known");
        assert!(!seen.connected);
        let welcome = input(r#"{"station_id":"CP","blocked":false}"#);
        store.replace_station(station.updated_at, welcome, None).await.expect("writes");
        assert!(store.connected(let_in(2)).await.expect("decides").is_ok());
        store.delete_station(id.clone(), None).await.expect("writes");
        assert_eq!(store.connected(let_in(3)).await.expect("decides"), Err(Unwelcome::Unknown));
    }
}
