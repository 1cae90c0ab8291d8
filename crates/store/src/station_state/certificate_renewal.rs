//! The change of the one certificate that opens for a station (`certificate_serial`).
//!
//! A station may come back with a new certificate before its answer to `CertificateSigned` is here, or after
//! an answer that was lost, or never take it on. So from the commit that sends it the new one opens beside
//! the stored one, until a connection shows it: from then on the old one, which may be in other hands by now,
//! does not open any more. **Invariant**: `stations.certificate_serial` holds what is settled,
//! `certificate_renewals` what is not, so a restart changes nothing.

use tracing::info;

use crate::command_result::{CommandVerdict, EndedCommand, SentCommand};
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use vocabulary::der;
use vocabulary::id::{CommandId, SerialNumber, StationId};

/// Certificates that may be unsettled per station, of one that never uses what it is sent.
const UNSETTLED_PER_STATION: i64 = 4;

/// A client certificate that a connection has been let in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedCertificate {
    /// Its number.
    pub serial_number: SerialNumber,
    /// If it was sent to the station, it becomes the only one that opens, also where any has opened so far.
    pub pin: bool,
}

/// The certificates that open for a station beside the one that is stored for it.
pub(crate) fn unsettled(db: &Read<'_>, station: &StationId) -> Result<Vec<SerialNumber>> {
    db.all("SELECT serial_number FROM certificate_renewals WHERE station_id = ?1", params![station], |row| {
        row.parsed(0)
    })
}

/// A `CertificateSigned` leaves after this commit. Of a station that uses none of what it is sent the newest
/// few are kept.
pub(crate) fn sent(w: &Tx<'_>, command: &SentCommand<'_>, chain: &str) -> Result<()> {
    let Some(number) = leaf(chain) else { return Ok(()) };
    w.run(
        "INSERT INTO certificate_renewals (command_id, station_id, serial_number) VALUES (?1, ?2, ?3)
         ON CONFLICT (command_id) DO NOTHING",
        params![command.id, command.station, number.as_str()],
    )?;
    w.run(
        "DELETE FROM certificate_renewals
         WHERE station_id = ?1 AND command_id NOT IN (
            SELECT command_id FROM certificate_renewals WHERE station_id = ?1
            ORDER BY command_id DESC LIMIT ?2)",
        params![command.station, UNSETTLED_PER_STATION],
    )?;
    Ok(())
}

/// The number of the certificate that comes first in a chain; `None` if it cannot be read, and so not be
/// shown.
fn leaf(chain: &str) -> Option<SerialNumber> {
    der::pem_certificates(chain).into_iter().next().map(|leaf| leaf.serial_number)
}

/// A `CertificateSigned` has ended, or was answered after that.
pub(crate) fn ended(w: &Tx<'_>, command: &EndedCommand<'_>, verdict: CommandVerdict) -> Result<()> {
    match verdict {
        // What it had been sent before is overwritten.
        CommandVerdict::Accepted => forget_before(w, command.station, command.id, "<"),
        CommandVerdict::Refused | CommandVerdict::NeverSent => {
            w.run("DELETE FROM certificate_renewals WHERE command_id = ?1", params![command.id])?;
            Ok(())
        }
        CommandVerdict::Unknown => Ok(()),
    }
}

/// Whether a certificate still opens for the station, and if it is a new one, settles that this is the one it
/// uses: the stored number is its number from now on, if there was one or it is to be pinned.
pub(crate) fn used(w: &Tx<'_>, station: &StationId, used: &UsedCertificate) -> Result<bool> {
    let number = used.serial_number.as_str();
    let stored: Option<String> = w
        .maybe("SELECT certificate_serial FROM stations WHERE station_id = ?1", params![station], |row| {
            row.get(0)
        })?
        .flatten();
    let sent_with: Option<CommandId> = w.one(
        "SELECT max(command_id) FROM certificate_renewals WHERE station_id = ?1 AND serial_number = ?2",
        params![station, number],
        |row| row.get(0),
    )?;
    let Some(sent_with) = sent_with else { return Ok(stored.is_none_or(|stored| stored == number)) };
    // One that was sent later may still be used.
    forget_before(w, station, sent_with, "<=")?;
    if stored.is_some() || used.pin {
        w.run(
            "UPDATE stations
             SET certificate_serial = ?2,
                 updated_at_ms = CASE WHEN ?3 > updated_at_ms THEN ?3 ELSE updated_at_ms + 1 END
             WHERE station_id = ?1",
            params![station, number, w.now],
        )?;
        info!(station.id = %station, "{station} uses certificate {number} now: no older one opens for it");
    }
    Ok(true)
}

/// An operator has said which certificate it is, or the station is gone.
pub(crate) fn forget(w: &Tx<'_>, station: &StationId) -> Result<()> {
    w.run("DELETE FROM certificate_renewals WHERE station_id = ?1", params![station])?;
    Ok(())
}

/// Forgets what was sent before a command (`<`), or with it too (`<=`).
fn forget_before(w: &Tx<'_>, station: &StationId, command: CommandId, which: &str) -> Result<()> {
    w.run(
        &format!("DELETE FROM certificate_renewals WHERE station_id = ?1 AND command_id {which} ?2"),
        params![station, command],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connected, Priority, Scope, Store, Unwelcome};
    use vocabulary::clock::{Clock, Timestamp};
    use vocabulary::ocpp::command::CommandAction;
    use vocabulary::ocpp::protocol::Protocol;

    /// A certificate of this number.
    fn chain(number: u64) -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.serial_number = Some(number.into());
        params.self_signed(&key).expect("signs").pem()
    }

    struct Bench {
        _dir: tempfile::TempDir,
        store: Store,
        station: StationId,
    }

    impl Bench {
        /// A station that keeps to certificate 1.
        async fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
            let store = Store::open(dir.path(), clock).expect("a store");
            let input = r#"{"station_id": "CP", "certificate_serial": "1"}"#;
            let input = serde_json::from_str(input).expect("a station");
            store.create_station(input, Vec::new()).await.expect("writes");
            Self { _dir: dir, store, station: StationId::new("CP").expect("legal") }
        }

        async fn sends(&self, number: u64) {
            let station = self.station.clone();
            let work = self.store.write(Priority::Api, Scope::Installation, move |w| {
                let (id, chain) = (CommandId::from_value(number.into()), chain(number));
                let (action, payload) = CommandAction::send_certificate(Protocol::default(), &chain);
                sent(w, &SentCommand { id, station: &station, action, payload: &payload }, &chain)
            });
            work.await.expect("writes");
        }

        /// Whether a connection that shows this certificate is taken.
        async fn takes(&self, number: u8) -> bool {
            let serial_number = SerialNumber::from_bytes(&[number]);
            let connected = Connected {
                station_id: self.station.clone(),
                generation: 1,
                protocol: Protocol::default(),
                remote_addr: "127.0.0.1:1".to_owned(),
                security_profile: 3,
                certificate: Some(UsedCertificate { serial_number, pin: false }),
                ratchet: true,
                discovered_as: None,
                flags: Vec::new(),
            };
            match self.store.connected(connected).await.expect("decides") {
                Ok(_) => true,
                Err(unwelcome) => {
                    assert_eq!(unwelcome, Unwelcome::WrongCertificate);
                    false
                }
            }
        }

        /// The number that is stored, and those that open beside it.
        async fn state(&self) -> (String, String) {
            let station = self.station.clone();
            let open = self.store.read(move |db| unsettled(db, &station)).await.expect("reads");
            let open: Vec<_> = open.iter().map(SerialNumber::as_str).collect();
            let stored = self.store.station(self.station.clone()).await.expect("reads");
            let stored = stored.and_then(|station| station.certificate_serial);
            (stored.map(|number| number.to_string()).unwrap_or_default(), open.join(" "))
        }
    }

    fn state(stored: &str, open: &str) -> (String, String) {
        (stored.to_owned(), open.to_owned())
    }

    #[tokio::test]
    async fn the_newest_few_open_until_one_is_used_and_those_before_it_are_over() {
        let bench = Bench::new().await;
        assert!(bench.takes(1).await);
        for number in 2..=7 {
            bench.sends(number).await;
        }
        assert_eq!(bench.state().await, state("1", "4 5 6 7"));
        assert!(!bench.takes(3).await, "four others were sent since");
        assert!(bench.takes(1).await, "none was used");
        assert!(bench.takes(5).await);
        assert_eq!(bench.state().await, state("5", "6 7"), "one that was sent later may still be used");
        for (number, is_taken) in [(1, false), (4, false), (5, true), (7, true), (6, false), (5, false)] {
            assert_eq!(bench.takes(number).await, is_taken, "{number}");
        }
        assert_eq!(bench.state().await, state("7", ""));
    }

    #[tokio::test]
    async fn a_station_that_is_removed_leaves_nothing_that_opens() {
        let bench = Bench::new().await;
        bench.sends(2).await;
        bench.store.delete_station(bench.station.clone(), None).await.expect("writes");
        assert_eq!(bench.state().await, state("", ""));
    }
}
