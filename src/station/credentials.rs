//! Checks the passwords of stations as cheaply as possible. Passwords that were right or wrong before are
//! remembered, the light part of a verifier is tried before the slow one, and slow hashes wait in a short
//! queue.
//!
//! **Invariants**: a password that is remembered as right is never refused, no matter who tries others for
//! its station; a client that has tried too many wrong ones costs no hash; every table and queue here is
//! bounded.

mod hash_queue;
#[cfg(test)]
mod tests;
mod wrong_passwords;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::hash_threads::HashThreads;
use super::lock;
use super::login_limit::LoginLimit;
use super::password::{self, LightCheck, LightKey, NotHashed};
use hash_queue::{HashQueue, QueuePlace};
use vocabulary::id::StationId;
use wrong_passwords::WrongPasswords;

/// Slow hashes that may run at once; each takes a core and 19 MiB. Half the cores are left for connected
/// stations.
pub fn hashes_at_once() -> usize {
    (cores() / 2).max(2)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

type Digest = [u8; 32];

/// Checks passwords, and remembers right and wrong ones as digests under a key of this process.
pub struct Passwords {
    digest_key: [u8; 32],
    light_key: Option<Arc<LightKey>>,
    right: Mutex<HashMap<StationId, Digest>>,
    wrong: Mutex<WrongPasswords>,
    login_limit: Mutex<LoginLimit>,
    hash_queue: Arc<Mutex<HashQueue>>,
    light: Semaphore,
    slow: Semaphore,
    hash_threads: HashThreads,
}

/// A password that a client presents.
pub(super) struct PresentedPassword<'a> {
    /// The station that the client claims to be.
    pub(super) station: &'a StationId,
    /// The client's address.
    pub(super) from: IpAddr,
    /// The password as it was sent.
    pub(super) password: &'a [u8],
}

/// The result of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PasswordCheck {
    /// It fits the verifier at this place.
    Right {
        nth: usize,
        /// The same verifier, for quicker checks from now on.
        renewed: Option<String>,
    },
    /// It fits none.
    Wrong,
    /// Too many were wrong in the last minutes; this one was not checked.
    TooManyWrong,
    /// Too many passwords wait to be checked.
    Busy,
}

impl Passwords {
    /// Remembers nothing yet. `light_key` makes checks quick after a restart too. `wrong_per_minute` wrong
    /// passwords are accepted for a station from one address.
    ///
    /// # Errors
    /// Only if there is no randomness, or no thread.
    pub fn new(light_key: Option<LightKey>, wrong_per_minute: u32) -> io::Result<Self> {
        let mut digest_key = [0u8; 32];
        getrandom::fill(&mut digest_key).map_err(io::Error::other)?;
        Ok(Self {
            digest_key,
            light_key: light_key.map(Arc::new),
            right: Mutex::default(),
            wrong: Mutex::default(),
            login_limit: Mutex::new(LoginLimit::new(wrong_per_minute)),
            hash_queue: Arc::default(),
            light: Semaphore::new(cores()),
            slow: Semaphore::new(hashes_at_once()),
            hash_threads: HashThreads::start(hashes_at_once())?,
        })
    }

    /// Changes how many wrong passwords a minute are accepted for a station from one address.
    pub fn bear_per_minute(&self, wrong: u32) {
        lock(&self.login_limit).bear_per_minute(wrong);
    }

    /// The verifier of a new password. It waits for its turn among the slow hashes.
    ///
    /// # Errors
    /// Only if there is no randomness, or no thread.
    pub async fn hash(&self, password: &[u8]) -> Result<String, NotHashed> {
        let (password, key) = (password::normalise(password), self.light_key.clone());
        let _permit = self.slow.acquire().await.map_err(|error| NotHashed(error.to_string()))?;
        let hashed = self.hash_threads.run(move || password::hash(&password, key.as_deref())).await;
        hashed.unwrap_or_else(|| Err(NotHashed("no thread".to_owned())))
    }

    /// Forgets the password of a station that was deleted.
    pub fn forget(&self, station: &StationId) {
        lock(&self.right).remove(station);
    }

    /// Counts a station that came without the credentials it needs; false if that was too often.
    pub(super) fn note_missing(&self, now: Instant, station: &StationId, from: IpAddr) -> bool {
        let mut login_limit = lock(&self.login_limit);
        let borne = login_limit.allow(now, station, from);
        if borne {
            login_limit.note(now, station, from);
        }
        borne
    }

    /// Counts a client that claims to be a station nobody knows; false if that was too often.
    pub(super) fn note_stranger(&self, now: Instant, from: IpAddr) -> bool {
        lock(&self.login_limit).note_stranger(now, from)
    }

    /// Whether a password is that of one of these verifiers, of which there is at least one.
    pub(super) async fn check(
        &self,
        presented: PresentedPassword<'_>,
        verifiers: &[&String],
    ) -> PasswordCheck {
        let password = password::normalise(presented.password);
        let of = |verifier: &str| self.digest(presented.station, &[verifier], &password);
        if let Some(remembered) = lock(&self.right).get(presented.station).copied() {
            let fits =
                |verifier: &&String| of(verifier).is_some_and(|digest| digest.ct_eq(&remembered).into());
            if let Some(nth) = verifiers.iter().position(fits) {
                return PasswordCheck::Right { nth, renewed: None };
            }
        }
        if !self.allows(&presented) {
            return PasswordCheck::TooManyWrong;
        }
        // The digest covers all verifiers: once another password is set, a wrong one may be right.
        let texts: Vec<&str> = verifiers.iter().map(|verifier| verifier.as_str()).collect();
        let of_all = self.digest(presented.station, &texts, &password);
        let checked = match of_all.is_some_and(|digest| lock(&self.wrong).holds(&digest)) {
            true => PasswordCheck::Wrong,
            false => self.hold_against(&presented, &password, verifiers).await,
        };
        match &checked {
            PasswordCheck::Right { nth, renewed } => {
                if let Some(digest) = of(renewed.as_ref().unwrap_or(verifiers[*nth])) {
                    lock(&self.right).insert(presented.station.clone(), digest);
                }
            }
            PasswordCheck::Wrong => {
                lock(&self.login_limit).note(Instant::now(), presented.station, presented.from);
                of_all.into_iter().for_each(|digest| lock(&self.wrong).add(digest));
            }
            PasswordCheck::TooManyWrong | PasswordCheck::Busy => {}
        }
        checked
    }

    fn allows(&self, presented: &PresentedPassword<'_>) -> bool {
        lock(&self.login_limit).allow(Instant::now(), presented.station, presented.from)
    }

    /// Checks with the light hash where that is enough, with the slow one otherwise.
    async fn hold_against(
        &self,
        presented: &PresentedPassword<'_>,
        password: &[u8],
        verifiers: &[&String],
    ) -> PasswordCheck {
        let mut left: Vec<(usize, String)> =
            verifiers.iter().map(|verifier| (*verifier).clone()).enumerate().collect();
        if let Some(key) = self.light_key.clone() {
            let Ok(_permit) = self.light.acquire().await else { return PasswordCheck::Busy };
            // Checked again: passwords before this one in the queue may have been wrong.
            if !self.allows(presented) {
                return PasswordCheck::TooManyWrong;
            }
            let (password, all) = (password.to_vec(), left);
            let tried = spawn_blocking(move || {
                let check = |verifier: &str| password::check_lightly(verifier, &password, &key);
                all.into_iter().map(|(nth, verifier)| (check(&verifier), nth, verifier)).collect::<Vec<_>>()
            });
            let Ok(tried) = tried.await else { return PasswordCheck::Busy };
            if let Some((_, nth, _)) = tried.iter().find(|(check, ..)| *check == LightCheck::Right) {
                return PasswordCheck::Right { nth: *nth, renewed: None };
            }
            let unknown = tried.into_iter().filter(|(check, ..)| *check == LightCheck::Unknown);
            left = unknown.map(|(_, nth, verifier)| (nth, verifier)).collect();
        }
        if left.is_empty() { PasswordCheck::Wrong } else { self.hold_slowly(presented, password, left).await }
    }

    async fn hold_slowly(
        &self,
        presented: &PresentedPassword<'_>,
        password: &[u8],
        verifiers: Vec<(usize, String)>,
    ) -> PasswordCheck {
        let Some(_place) = QueuePlace::take(&self.hash_queue, presented.station) else {
            return PasswordCheck::Busy;
        };
        let Ok(_permit) = self.slow.acquire().await else { return PasswordCheck::Busy };
        if !self.allows(presented) {
            return PasswordCheck::TooManyWrong;
        }
        let (password, key) = (password.to_vec(), self.light_key.clone());
        let tried = self.hash_threads.run(move || {
            let (nth, verifier) =
                verifiers.into_iter().find(|(_, verifier)| password::fits(verifier, &password))?;
            let renewed = key.and_then(|key| password::lightened(&verifier, &password, &key));
            Some(PasswordCheck::Right { nth, renewed })
        });
        match tried.await {
            Some(Some(right)) => right,
            Some(None) => PasswordCheck::Wrong,
            None => PasswordCheck::Busy,
        }
    }

    fn digest(&self, station: &StationId, verifiers: &[&str], password: &[u8]) -> Option<Digest> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.digest_key).ok()?;
        mac.update(station.as_str().as_bytes());
        for verifier in verifiers {
            mac.update(&[0]);
            mac.update(verifier.as_bytes());
        }
        mac.update(&[0, 0]);
        mac.update(password);
        Some(mac.finalize().into_bytes().into())
    }
}
