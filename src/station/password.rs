//! Station passwords: kept as argon2id, checked once per process and then by a keyed digest, so that
//! ten thousand chargers can come back without ten thousand slow hashes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::id::StationId;

/// Slow hashes that may run at once; each takes a core and 19 MiB.
pub const HASHES_AT_ONCE: usize = 2;

/// Hex keys of this many digits stand for the bytes they spell.
const HEX_DIGITS: std::ops::RangeInclusive<usize> = 32..=40;

/// The password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct NotHashed(String);

/// Whether a password is a key written in hex, where its bytes were due.
pub(super) fn is_hex_key(password: &[u8]) -> bool {
    HEX_DIGITS.contains(&password.len()) && password.iter().all(u8::is_ascii_hexdigit)
}

/// The bytes that a password stands for: an `AuthorizationKey` written in hex is the bytes it spells,
/// so that chargers may send either form; any other text is itself.
fn normalise(password: &[u8]) -> Vec<u8> {
    is_hex_key(password).then(|| hex::decode(password).ok()).flatten().unwrap_or_else(|| password.to_vec())
}

/// The argon2id verifier (PHC string) of a password. Slow on purpose: call it off the async threads.
///
/// # Errors
/// Only if there is no randomness.
pub fn hash(password: &[u8]) -> Result<String, NotHashed> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(|error| NotHashed(error.to_string()))?;
    Argon2::default()
        .hash_password_with_salt(&normalise(password), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| NotHashed(error.to_string()))
}

fn verify(password: &[u8], verifiers: &[String]) -> bool {
    verifiers.iter().any(|verifier| {
        PasswordHash::new(verifier)
            .is_ok_and(|parsed| Argon2::default().verify_password(password, &parsed).is_ok())
    })
}

/// Checks passwords and remembers, under a key of this process, what was right.
pub struct Passwords {
    key: [u8; 32],
    right: Mutex<HashMap<StationId, [u8; 32]>>,
    hashing: Semaphore,
}

impl Passwords {
    /// An empty memory under a fresh key.
    ///
    /// # Errors
    /// Only if there is no randomness.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0u8; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { key, right: Mutex::default(), hashing: Semaphore::new(HASHES_AT_ONCE) })
    }

    /// Whether `password` is the station's, by any of its verifiers.
    pub async fn check(&self, station: &StationId, password: &[u8], verifiers: &[String]) -> bool {
        let password = normalise(password);
        let digest = self.digest(station, &password, verifiers);
        if let Some(digest) = digest
            && self.remembered(station).is_some_and(|right| right.ct_eq(&digest).into())
        {
            return true;
        }
        let Ok(_permit) = self.hashing.acquire().await else { return false };
        let verifiers = verifiers.to_vec();
        let verified = tokio::task::spawn_blocking(move || verify(&password, &verifiers)).await;
        let verified = verified.unwrap_or(false);
        if let (true, Some(digest)) = (verified, digest) {
            self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(station.clone(), digest);
        }
        verified
    }

    fn remembered(&self, station: &StationId) -> Option<[u8; 32]> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).get(station).copied()
    }

    /// Covers the verifiers too: with another password set, the memory of the old one is worth nothing.
    fn digest(&self, station: &StationId, password: &[u8], verifiers: &[String]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(station.as_str().as_bytes());
        for part in verifiers {
            mac.update(&[0]);
            mac.update(part.as_bytes());
        }
        mac.update(&[0, 0]);
        mac.update(password);
        Some(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_taken_as_bytes_as_hex_and_a_text_as_itself() {
        let station = StationId::new("CP_1").expect("legal");
        let passwords = Passwords::new().expect("random");
        let hex_key = vec![hash(b"0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF").expect("hashes")];
        let bytes = hex::decode("0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF").expect("hex");
        assert!(passwords.check(&station, &bytes, &hex_key).await);
        assert!(passwords.check(&station, b"0001020304050607ffffffffffffffffffffffff", &hex_key).await);
        assert!(!passwords.check(&station, b"0001020304050607fffffffffffffffffffffffe", &hex_key).await);
        let text = vec![hash(b"a plain password").expect("hashes")];
        assert!(passwords.check(&station, b"a plain password", &text).await);
        assert!(!passwords.check(&station, &bytes, &text).await, "another password was set");
        assert!(!passwords.check(&station, b"", &text).await);
    }

    #[tokio::test]
    async fn the_second_check_of_a_right_password_is_fast() {
        let station = StationId::new("CP_1").expect("legal");
        let passwords = Passwords::new().expect("random");
        let verifiers = vec![hash(b"a plain password").expect("hashes")];
        assert!(passwords.check(&station, b"a plain password", &verifiers).await);
        // With every slow hash forbidden, only memory can answer.
        passwords.hashing.close();
        assert!(passwords.check(&station, b"a plain password", &verifiers).await);
        assert!(!passwords.check(&station, b"another password", &verifiers).await);
    }
}
