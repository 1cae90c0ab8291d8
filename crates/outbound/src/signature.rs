//! Signatures: they prove to a receiver that a delivery comes from the gateway (Standard Webhooks 1.0).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use vocabulary::clock::Timestamp;

const PREFIX: &str = "whsec_";

/// The key that signs a webhook's deliveries: 24 to 64 bytes, written `whsec_` and base64.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

/// Why a text is no signing secret. Shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It does not start with `whsec_`.
    #[error("a signing secret starts with whsec_")]
    Prefix,
    /// What follows is not base64.
    #[error("a signing secret is whsec_ and standard base64 with padding")]
    Base64,
    /// Too short or too long.
    #[error(
        "a signing secret holds {min} to {max} bytes, not {0}",
        min = SigningSecret::MIN_BYTES,
        max = SigningSecret::MAX_BYTES
    )]
    Length(usize),
}

impl SigningSecret {
    /// The shortest key, in bytes.
    pub const MIN_BYTES: usize = 24;
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 64;
    /// The key that is made when none is given, in bytes.
    const GENERATED_BYTES: usize = 32;

    /// A fresh random key.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = vec![0; Self::GENERATED_BYTES];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    /// The text that integrators configure: `whsec_` and base64. `Debug` never shows it.
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes keys of every length")
    }
}

impl FromStr for SigningSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?;
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&key.len()) {
            return Err(InvalidSecret::Length(key.len()));
        }
        Ok(Self(key))
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SigningSecret {}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

impl<'de> Deserialize<'de> for SigningSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn standard_mac(secret: &SigningSecret, id: &str, timestamp_s: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = secret.mac();
    mac.update(format!("{id}.{timestamp_s}.").as_bytes());
    mac.update(body);
    mac
}

fn plain_mac(secret: &SigningSecret, timestamp_s: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = secret.mac();
    mac.update(format!("{timestamp_s}.").as_bytes());
    mac.update(body);
    mac
}

/// `webhook-signature`: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, one per secret,
/// space separated, in the order of `secrets`.
pub fn standard(secrets: &[SigningSecret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| standard_mac(secret, id, timestamp_s, body).finalize().into_bytes())
        .map(|digest| format!("v1,{}", STANDARD.encode(digest)))
        .collect();
    signatures.join(" ")
}

/// `X-Webhook-Signature`: `sha256=` and hex of HMAC-SHA256 over `timestamp.body`.
pub fn plain(secret: &SigningSecret, timestamp_s: i64, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(plain_mac(secret, timestamp_s, body).finalize().into_bytes()))
}

/// Why a delivery is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// Its time is too far in the past or the future; it may be a replay.
    #[error("the timestamp is too far from now")]
    Timestamp,
    /// No signature fits.
    #[error("no signature fits")]
    Signature,
}

fn check_age(timestamp_s: i64, now: Timestamp, tolerance: Duration) -> Result<(), NotVerified> {
    let tolerance_s = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    let age_s = now.unix_s().checked_sub(timestamp_s).ok_or(NotVerified::Timestamp)?;
    if age_s.unsigned_abs() > tolerance_s.unsigned_abs() { Err(NotVerified::Timestamp) } else { Ok(()) }
}

/// Checks a `webhook-signature` header as a receiver does: any `v1` signature of the list may fit.
///
/// # Errors
/// Says what does not fit.
pub fn verify_standard(
    secret: &SigningSecret,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
    header: &str,
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), NotVerified> {
    check_age(timestamp_s, now, tolerance)?;
    let mac = standard_mac(secret, id, timestamp_s, body);
    let fits = |signature: &str| {
        signature
            .strip_prefix("v1,")
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .is_some_and(|digest| mac.clone().verify_slice(&digest).is_ok())
    };
    if header.split(' ').any(fits) { Ok(()) } else { Err(NotVerified::Signature) }
}

/// Checks an `X-Webhook-Signature` header as a receiver does.
///
/// # Errors
/// Says what does not fit.
pub fn verify_plain(
    secret: &SigningSecret,
    timestamp_s: i64,
    body: &[u8],
    header: &str,
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), NotVerified> {
    check_age(timestamp_s, now, tolerance)?;
    let digest = header
        .strip_prefix("sha256=")
        .and_then(|digits| hex::decode(digits).ok())
        .ok_or(NotVerified::Signature)?;
    plain_mac(secret, timestamp_s, body).verify_slice(&digest).map_err(|_| NotVerified::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with Python's hmac, hashlib and base64 over the keys 00 01 … 1f and 24 times ff.
    const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OLD: &str = "whsec_////////////////////////////////";
    const ID: &str = "evt_01";
    const TIMESTAMP_S: i64 = 1776170096;
    const BODY: &[u8] = br#"{"id":"evt_1","event":"ping"}"#;
    const STANDARD_NEW: &str = "v1,h5eSp+eODjniqYBBxzteThoU0fxrR58hiJSCVlGje0s=";
    const STANDARD_OLD: &str = "v1,O9mfdMPet8Fq/UlCTFZ77oGouSFdNN3Cy1gYGJAcG4M=";
    const PLAIN_NEW: &str = "sha256=d8619dfda566d3dda32ebbb8f365b84aae8f3aa24ee916dfb91a63f2a2bb75d8";

    fn secret(text: &str) -> SigningSecret {
        text.parse().expect("a secret")
    }

    #[test]
    fn signatures_are_those_of_an_independent_implementation() {
        let both = [secret(NEW), secret(OLD)];
        assert_eq!(standard(&both[..1], ID, TIMESTAMP_S, BODY), STANDARD_NEW);
        assert_eq!(standard(&both, ID, TIMESTAMP_S, BODY), format!("{STANDARD_NEW} {STANDARD_OLD}"));
        assert_eq!(plain(&both[0], TIMESTAMP_S, BODY), PLAIN_NEW);
        assert_eq!(standard(&[], ID, TIMESTAMP_S, BODY), "");
    }

    #[test]
    fn a_signature_verifies_under_either_secret_and_only_for_what_was_signed() {
        let now = Timestamp::from_unix_ms(TIMESTAMP_S * 1_000 + 4_000);
        let minutes = Duration::from_secs(300);
        let header = format!("{STANDARD_NEW} {STANDARD_OLD} v2,abc");
        let verify = |key: &str, id, timestamp_s, body, header: &str| {
            verify_standard(&secret(key), id, timestamp_s, body, header, now, minutes)
        };
        assert_eq!(verify(NEW, ID, TIMESTAMP_S, BODY, &header), Ok(()));
        assert_eq!(verify(OLD, ID, TIMESTAMP_S, BODY, &header), Ok(()));
        assert_eq!(verify(OLD, ID, TIMESTAMP_S, BODY, STANDARD_NEW), Err(NotVerified::Signature));
        assert_eq!(verify(NEW, "evt_02", TIMESTAMP_S, BODY, &header), Err(NotVerified::Signature));
        assert_eq!(verify(NEW, ID, TIMESTAMP_S + 1, BODY, &header), Err(NotVerified::Signature));
        assert_eq!(verify(NEW, ID, TIMESTAMP_S, b"{}", &header), Err(NotVerified::Signature));
        assert_eq!(verify(NEW, ID, TIMESTAMP_S - 300, BODY, &header), Err(NotVerified::Timestamp));
        assert_eq!(verify(NEW, ID, i64::MIN, BODY, &header), Err(NotVerified::Timestamp));
        let plain = |body, header| verify_plain(&secret(NEW), TIMESTAMP_S, body, header, now, minutes);
        assert_eq!(plain(BODY, PLAIN_NEW), Ok(()));
        assert_eq!(plain(b"{}", PLAIN_NEW), Err(NotVerified::Signature));
        assert_eq!(plain(BODY, &PLAIN_NEW["sha256=".len()..]), Err(NotVerified::Signature));
    }

    #[test]
    fn secrets_are_checked_and_never_shown_by_debug() {
        let made = SigningSecret::generate().expect("randomness");
        assert_eq!(made.expose().parse(), Ok(made.clone()));
        assert_ne!(made, SigningSecret::generate().expect("randomness"));
        assert_eq!(format!("{made:?}"), "SigningSecret(***)");
        assert_eq!("MDEy".parse::<SigningSecret>(), Err(InvalidSecret::Prefix));
        assert_eq!("whsec_*".parse::<SigningSecret>(), Err(InvalidSecret::Base64));
        assert_eq!("whsec_MDEy".parse::<SigningSecret>(), Err(InvalidSecret::Length(3)));
        let long = format!("whsec_{}", STANDARD.encode([0; 65]));
        assert_eq!(long.parse::<SigningSecret>(), Err(InvalidSecret::Length(65)));
    }
}
