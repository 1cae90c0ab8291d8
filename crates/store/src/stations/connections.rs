//! Stations as they connect, disconnect, and are refused.

use serde::Serialize;
use tracing::info;

use crate::commands::queue;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::history::station_presence;
use crate::other_nodes::Left;
use crate::signals::told::StationNews;
use crate::station_state::boot_loops;
use crate::station_state::certificate_renewal::{self, UsedCertificate};
use crate::station_state::flags::{Change, Until};
use crate::stations::presence::{self, set_offline};
use crate::stations::station_event::append_station_event;
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::history::Presence;
use vocabulary::id::{SerialNumber, StationId};
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::protocol::Protocol;

/// A connection that was admitted.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Whose.
    pub station_id: StationId,
    /// Grows with every connection of this run; the newest connection is the station's.
    pub generation: u64,
    /// The version of OCPP that was negotiated.
    pub protocol: Protocol,
    /// Where it comes from.
    pub remote_addr: String,
    /// OCPP security profile, 0 to 3.
    pub security_profile: u8,
    /// The client certificate it came with, if it did.
    pub certificate: Option<UsedCertificate>,
    /// The station is to be refused below this profile from now on.
    pub ratchet: bool,
    /// The boot status of a station that is registered by its first connection; `None`: it must be known.
    pub discovered_as: Option<BootStatus>,
    /// Flags for what was odd about the handshake.
    pub flags: Vec<String>,
}

/// What a connection has to know once it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// Commands wait for the station.
    pub commands_waiting: bool,
}

/// What a connection is told when it is to be recorded.
pub type Admission = std::result::Result<Welcome, Unwelcome>;

/// Why a station that the handshake has let in is not welcome any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwelcome {
    /// It was deleted since.
    Unknown,
    /// It was blocked since.
    Blocked,
    /// It may not connect with so low a security profile any more.
    SecurityProfileTooLow,
    /// The certificate that it has shown was replaced by another one.
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

/// Reasons for which the gateway closes a connection although it wants the station to come back. Some
/// chargers boot then.
const CLOSED_BY_GATEWAY: [&str; 3] = ["requested", "storage unavailable", "shutdown"];

impl Store {
    /// Records a connection: registers the station if it is new and may be, marks it connected and appends
    /// `StationDiscovered`, `StationConnected` and, if it had been silent, `StationOnline`. Nothing is
    /// recorded of a station that is not welcome any more since its handshake.
    pub async fn connected(&self, connected: Connected) -> Result<Admission> {
        let scope = Scope::Station(connected.station_id.clone());
        self.write(Priority::Inbound, scope, move |w| connect(w, &connected)).await
    }

    /// Records the end of a connection with a `StationDisconnected`, and ends the commands that are lost with
    /// it. The station stays connected if a newer generation has taken over.
    pub async fn disconnected(
        &self,
        station_id: StationId,
        generation: u64,
        last_seen: Timestamp,
        end: ConnectionEnd,
    ) -> Result<()> {
        let has_others = self.inner.membership.is_among_others();
        self.write(Priority::Inbound, Scope::Station(station_id.clone()), move |w| {
            if has_others && (generation >> 32) as i64 != w.epoch {
                // This node was fenced since: whoever did that has recorded the end of its connections.
                return Ok(());
            }
            if set_disconnected(w, &station_id, generation, last_seen, &end)? == 1 {
                station_presence::note(w, &station_id, Presence::Disconnected, w.now)?;
            }
            append_station_event(w, &station_id, "StationDisconnected", &end)?;
            if CLOSED_BY_GATEWAY.contains(&end.reason.as_str()) {
                boot_loops::expect(w, &station_id)?;
            }
            queue::connection_lost(w, &station_id, generation)
        })
        .await
    }
}

/// What has to be known of a station that connects.
struct Known {
    /// The node that it is connected to by now.
    node_epoch: Option<i64>,
    offline: bool,
    flags: String,
    blocked: bool,
    min_security_profile: u8,
}

impl Known {
    fn of(w: &Tx<'_>, id: &StationId) -> Result<Option<Self>> {
        let known = "SELECT offline, flags, blocked, min_security_profile, node_epoch FROM stations WHERE station_id = ?1";
        w.maybe(known, params![id], |row| {
            Ok(Self {
                offline: row.get(0)?,
                flags: row.get(1)?,
                blocked: row.get(2)?,
                min_security_profile: row.get(3)?,
                node_epoch: row.get(4)?,
            })
        })
    }
}

fn connect(w: &mut Tx<'_>, connected: &Connected) -> Result<Admission> {
    let id = &connected.station_id;
    if let Some(boot_status) = connected.discovered_as {
        discover(w, id, boot_status, &connected.remote_addr)?;
    }
    let Some(known) = Known::of(w, id)? else { return Ok(Err(Unwelcome::Unknown)) };
    if let Some(unwelcome) = unwelcome(w, connected, &known)? {
        return Ok(Err(unwelcome));
    }
    if connected.ratchet && connected.security_profile > known.min_security_profile {
        raise_min_profile(w, id, connected.security_profile)?;
    }
    set_connected(w, connected)?;
    if known.node_epoch.is_some_and(|epoch| epoch != w.epoch) {
        w.after_commit.stations.push((id.clone(), StationNews::TakenOver));
    }
    station_presence::note(w, id, Presence::Connected, w.now)?;
    let mut change = Change::default();
    change.over(Until::Connection);
    change.over(Until::CalmConnection);
    connected.flags.iter().for_each(|flag| change.seen(flag.as_str()));
    change.write(w, id, &known.flags)?;
    append_connected(w, connected)?;
    if known.offline {
        // The registry of this run does not know that the station had been silent in an earlier one.
        set_offline(w, id, false, Some(w.now))?;
    }
    Ok(Ok(Welcome { commands_waiting: queue::is_any_queued(w, id)? }))
}

/// Looks again at what the handshake has checked: the station may have been changed since. Whoever blocks a
/// station has its connection closed, and finds none before it is registered.
fn unwelcome(w: &Tx<'_>, connected: &Connected, known: &Known) -> Result<Option<Unwelcome>> {
    if known.blocked {
        return Ok(Some(Unwelcome::Blocked));
    }
    if connected.security_profile < known.min_security_profile {
        return Ok(Some(Unwelcome::SecurityProfileTooLow));
    }
    Ok(match &connected.certificate {
        Some(certificate) if !certificate_renewal::used(w, &connected.station_id, certificate)? => {
            Some(Unwelcome::WrongCertificate)
        }
        _ => None,
    })
}

/// A station that has shown that it can do better is not let in with less. A failed attempt at more costs
/// nothing. The configured profile is remembered for the time when the password is removed that it has
/// connected with.
fn raise_min_profile(w: &Tx<'_>, id: &StationId, profile: u8) -> Result<()> {
    w.run(
        "UPDATE stations SET profile_raised_from = coalesce(profile_raised_from, min_security_profile),
             min_security_profile = ?2,
             updated_at_ms = CASE WHEN ?3 > updated_at_ms THEN ?3 ELSE updated_at_ms + 1 END
         WHERE station_id = ?1",
        params![id, profile, w.now],
    )?;
    Ok(())
}

fn set_connected(w: &Tx<'_>, connected: &Connected) -> Result<()> {
    w.run(
        "UPDATE stations
         SET connected = 1, connection_generation = ?2, connected_at_ms = ?3, last_seen_at_ms = ?3,
             offline_since_ms = NULL, remote_addr = ?4, protocol = ?5, security_profile = ?6, node_epoch = ?7
         WHERE station_id = ?1
           AND (connected = 0 OR connection_generation < ?2 OR node_epoch IS DISTINCT FROM ?7)",
        params![
            connected.station_id,
            connected.generation,
            w.now,
            connected.remote_addr,
            connected.protocol.as_str(),
            connected.security_profile,
            w.epoch,
        ],
    )?;
    Ok(())
}

/// Says how many rows it has changed: none, if a newer connection has taken over on record.
///
/// A station whose connection was taken over is not away, so that its disconnection is no fact about it. One
/// that was silent before the end, its socket open, is away since its last message.
fn set_disconnected(
    w: &Tx<'_>,
    id: &StationId,
    generation: u64,
    last_seen: Timestamp,
    end: &ConnectionEnd,
) -> Result<usize> {
    let (disconnected_at, reason) = match end.replaced {
        true => (None, None),
        false => (Some(w.now), Some(end.reason.as_str())),
    };
    w.run(
        "UPDATE stations SET connected = 0, node_epoch = NULL,
             last_seen_at_ms = CASE WHEN last_seen_at_ms > ?3 THEN last_seen_at_ms ELSE ?3 END,
             offline_since_ms = CASE WHEN offline_since_ms >= ?3 THEN offline_since_ms ELSE ?4 END,
             disconnected_at_ms = coalesce(?5, disconnected_at_ms),
             disconnect_reason = coalesce(?6, disconnect_reason)
         WHERE station_id = ?1 AND connection_generation = ?2",
        params![id, generation, last_seen, w.now, disconnected_at, reason],
    )
}

fn append_connected(w: &mut Tx<'_>, connected: &Connected) -> Result<()> {
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
        protocol: connected.protocol.as_str(),
        security_profile: connected.security_profile,
        certificate_serial: certificate.map(|certificate| &certificate.serial_number),
    };
    append_station_event(w, &connected.station_id, "StationConnected", &payload)
}

/// Registers a station on the spot, unless it is known already.
fn discover(w: &mut Tx<'_>, id: &StationId, boot_status: BootStatus, remote_addr: &str) -> Result<()> {
    let inserted = w.run(
        "INSERT INTO stations (station_id, boot_status, boot_expected, created_at_ms, updated_at_ms)
         VALUES (?1, ?2, 0, ?3, ?3)
         ON CONFLICT (station_id) DO NOTHING",
        params![id, boot_status.as_str(), w.now],
    )?;
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

/// Ends the connections that a node has left open.
pub(crate) fn settle(w: &mut Tx<'_>, Left { epoch, reason }: Left) -> Result<()> {
    let connected = "SELECT station_id, connected_at_ms FROM stations
                     WHERE connected = 1 AND (?1 IS NULL OR node_epoch = ?1) ORDER BY seq";
    let left: Vec<(String, Option<Timestamp>)> =
        w.all(connected, params![epoch], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (station, connected_at) in &left {
        let Ok(id) = StationId::new(station) else { continue };
        let end = ConnectionEnd {
            code: None,
            reason: reason.to_owned(),
            duration_ms: w.now.since(connected_at.unwrap_or(w.now)).as_millis() as u64,
            replaced: false,
        };
        append_station_event(w, &id, "StationDisconnected", &end)?;
    }
    presence::note_last_messages(w, epoch)?;
    for (station, _) in &left {
        let Ok(id) = StationId::new(station) else { continue };
        // Nobody knows how long the gateway was away: they were there when they were last heard of.
        let away_since = presence::recorded_last_seen(w, &id)?.unwrap_or(w.now);
        station_presence::note(w, &id, Presence::Disconnected, away_since)?;
    }
    // Nobody knows how long their connections have lasted after that.
    w.run(
        "UPDATE stations SET connected = 0, disconnect_reason = ?1,
             disconnected_at_ms = coalesce(last_seen_at_ms, connected_at_ms, ?2),
             offline_since_ms = coalesce(last_seen_at_ms, connected_at_ms, ?2), node_epoch = NULL
         WHERE connected = 1 AND (?3 IS NULL OR node_epoch = ?3)",
        params![reason, w.now, epoch],
    )?;
    match epoch {
        None => boot_loops::expect_all(w)?,
        Some(_) => {
            for (station, _) in &left {
                let Ok(id) = StationId::new(station) else { continue };
                boot_loops::expect(w, &id)?;
            }
        }
    }
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
            protocol: Protocol::default(),
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
