//! The verifier of a station's password, and how a password is checked against it. Pure, and slow on purpose:
//! do not call it on the async threads.
//!
//! A verifier is the PHC string of an argon2id that takes tens of milliseconds. That protects a stolen
//! database, but is too slow for ten thousand chargers that reconnect at once. So if there is a key outside
//! the database, a second part follows behind a `#`: the same password, hashed by a light argon2id under that
//! key. Without the key this part is useless and ignored. With it a check takes half a millisecond, also
//! after a restart. An attacker who has both database and key guesses about a hundred times faster than with
//! the database alone; a random password of 16 bytes or more cannot be guessed either way.

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A hex text of this many digits stands for the bytes that it spells.
const HEX_DIGITS: std::ops::RangeInclusive<usize> = 32..=40;

/// Memory of the light argon2id, in KiB; one pass.
const LIGHT_MEMORY_KIB: u32 = 1_024;

/// The password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct NotHashed(pub(super) String);

/// A secret outside the database, with which passwords are checked quickly.
pub struct LightKey {
    secret: [u8; 32],
    /// Tells light parts of this key from those of others.
    id: String,
}

impl LightKey {
    /// The key of this secret, which must be random and stay the same over restarts.
    pub fn new(secret: [u8; 32]) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(&secret).map(|mac| mac.chain_update(b"id of this key"));
        let id = mac.map(|mac| hex::encode(&mac.finalize().into_bytes()[..4])).unwrap_or_default();
        Self { secret, id }
    }

    /// The light part of a verifier. Its salt is the slow part, which has a random salt itself.
    fn digest(&self, password: &[u8], slow: &str) -> Option<[u8; 32]> {
        let params = Params::new(LIGHT_MEMORY_KIB, 1, 1, Some(32)).ok()?;
        let light =
            Argon2::new_with_secret(&self.secret, Algorithm::Argon2id, Version::V0x13, params).ok()?;
        let mut digest = [0u8; 32];
        light.hash_password_into(password, &Sha256::digest(slow.as_bytes()), &mut digest).ok()?;
        Some(digest)
    }
}

/// Whether a password is a key written in hex instead of its bytes.
pub(super) fn is_hex_key(password: &[u8]) -> bool {
    HEX_DIGITS.contains(&password.len()) && password.iter().all(u8::is_ascii_hexdigit)
}

/// The bytes that a password stands for. Chargers may send an `AuthorizationKey` as bytes or as hex; any
/// other text stands for itself.
pub(super) fn normalise(password: &[u8]) -> Vec<u8> {
    is_hex_key(password).then(|| hex::decode(password).ok()).flatten().unwrap_or_else(|| password.to_vec())
}

/// A verifier's slow part, and its light part if it has one.
struct Parts<'a> {
    slow: &'a str,
    light: Option<LightPart<'a>>,
}

struct LightPart<'a> {
    key_id: &'a str,
    digest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(verifier: &'a str) -> Self {
        let Some((slow, light)) = verifier.split_once('#') else {
            return Self { slow: verifier, light: None };
        };
        let light = light.split_once('.').map(|(key_id, digest)| LightPart { key_id, digest });
        Self { slow, light }
    }
}

/// What the light part of a verifier says of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LightCheck {
    Right,
    Wrong,
    /// Nothing: there is no light part under this key.
    Unknown,
}

/// The verifier of a normalised password, with a light part if there is a key.
///
/// # Errors
/// Only if there is no randomness.
pub(super) fn hash(password: &[u8], key: Option<&LightKey>) -> Result<String, NotHashed> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(|error| NotHashed(error.to_string()))?;
    let slow = Argon2::default()
        .hash_password_with_salt(password, &salt)
        .map_err(|error| NotHashed(error.to_string()))?
        .to_string();
    Ok(key.and_then(|key| lightened(&slow, password, key)).unwrap_or(slow))
}

/// A verifier of this password with a light part under this key.
pub(super) fn lightened(verifier: &str, password: &[u8], key: &LightKey) -> Option<String> {
    let slow = Parts::of(verifier).slow;
    let light = BASE64_STANDARD.encode(key.digest(password, slow)?);
    Some(format!("{slow}#{}.{light}", key.id))
}

/// Whether a normalised password is that of a verifier, by its light part.
pub(super) fn check_lightly(verifier: &str, password: &[u8], key: &LightKey) -> LightCheck {
    let Parts { slow, light } = Parts::of(verifier);
    let light = light.filter(|light| light.key_id == key.id);
    let expected = light.and_then(|light| BASE64_STANDARD.decode(light.digest).ok());
    match (expected, key.digest(password, slow)) {
        (Some(expected), Some(digest)) if digest.ct_eq(&expected).into() => LightCheck::Right,
        (Some(_), Some(_)) => LightCheck::Wrong,
        _ => LightCheck::Unknown,
    }
}

/// Whether a normalised password is that of a verifier, by its slow part.
pub(super) fn fits(verifier: &str, password: &[u8]) -> bool {
    PasswordHash::new(Parts::of(verifier).slow)
        .is_ok_and(|parsed| Argon2::default().verify_password(password, &parsed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_bytes_as_hex_and_a_text_as_itself() {
        let hex_key = b"0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF";
        let bytes = hex::decode(hex_key).expect("hex");
        assert_eq!(normalise(hex_key), bytes);
        assert_eq!(normalise(&hex_key.to_ascii_lowercase()), bytes);
        assert_eq!(normalise(&bytes), bytes);
        assert_eq!(normalise(b"a plain password"), b"a plain password");
        assert_eq!(normalise(b"0123456789abcdef"), b"0123456789abcdef", "too short for a key");
    }

    #[test]
    fn both_parts_tell_right_from_wrong() {
        let key = LightKey::new([7; 32]);
        let verifier = hash(b"a plain password", Some(&key)).expect("hashes");
        assert!(fits(&verifier, b"a plain password"));
        assert!(!fits(&verifier, b"another password"));
        assert_eq!(check_lightly(&verifier, b"a plain password", &key), LightCheck::Right);
        assert_eq!(check_lightly(&verifier, b"another password", &key), LightCheck::Wrong);
        assert!(!verifier.contains("plain"));
    }

    #[test]
    fn without_its_key_a_light_part_is_passed_over() {
        let (key, other) = (LightKey::new([7; 32]), LightKey::new([8; 32]));
        let verifier = hash(b"a plain password", Some(&key)).expect("hashes");
        assert_eq!(check_lightly(&verifier, b"a plain password", &other), LightCheck::Unknown);
        assert!(fits(&verifier, b"a plain password"), "the slow part does not need it");
        let renewed = lightened(&verifier, b"a plain password", &other).expect("renews");
        assert_eq!(check_lightly(&renewed, b"a plain password", &other), LightCheck::Right);
        assert_eq!(check_lightly(&renewed, b"a plain password", &key), LightCheck::Unknown);
        let bare = hash(b"a plain password", None).expect("hashes");
        assert_eq!(check_lightly(&bare, b"a plain password", &key), LightCheck::Unknown);
        assert!(!bare.contains('#'));
    }
}
