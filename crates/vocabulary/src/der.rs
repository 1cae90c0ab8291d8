//! As much of X.509 as OCPP needs: who issued a certificate, its number, its key, and whom it names.
//!
//! Nothing here decides whether a certificate can be trusted. Certificates are read by hand: `rcgen` does not
//! read them, and a crate that does would bring about a dozen others for these few fields. [`request`] says
//! the same of signing requests.

mod request;

use chrono::NaiveDateTime;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::id::SerialNumber;

pub use request::SigningRequest;
use tag::{
    BIT_STRING, BOOLEAN, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, UTC_TIME,
    UTF8_STRING,
};

/// The tags of elements (X.690, 8.1.2) that certificates are read and written with.
pub mod tag {
    /// `BOOLEAN`.
    pub const BOOLEAN: u8 = 0x01;
    /// `INTEGER`.
    pub const INTEGER: u8 = 0x02;
    /// `BIT STRING`.
    pub const BIT_STRING: u8 = 0x03;
    /// `OCTET STRING`.
    pub const OCTET_STRING: u8 = 0x04;
    /// `OBJECT IDENTIFIER`.
    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    /// `UTF8String`.
    pub const UTF8_STRING: u8 = 0x0c;
    /// `UTCTime`.
    pub const UTC_TIME: u8 = 0x17;
    /// `GeneralizedTime`.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// `SEQUENCE`, constructed.
    pub const SEQUENCE: u8 = 0x30;
    /// `SET`, constructed.
    pub const SET: u8 = 0x31;
}

/// `[0]`, explicit: the version in a certificate, the attributes in a signing request.
const CONTEXT_0: u8 = 0xa0;
/// `[3]`, explicit: the extensions of a certificate.
const CONTEXT_3: u8 = 0xa3;

/// `commonName`, 2.5.4.3.
pub const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `organizationName`, 2.5.4.10.
pub const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// `subjectKeyIdentifier`, 2.5.29.14.
pub const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
/// `subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// `basicConstraints`, 2.5.29.19.
pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// Alternative names that are texts: e-mail, DNS and URI (RFC 5280, 4.2.1.6).
const TEXTUAL_NAMES: [u8; 3] = [0x81, 0x82, 0x86];

/// The parts of a certificate that OCPP names it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What its issuer tells it from others by.
    pub serial_number: SerialNumber,
    /// The issuer's name, as it is encoded.
    pub issuer: Vec<u8>,
    /// The subject's name, as it is encoded.
    pub subject: Vec<u8>,
    /// The last moment that it holds, if its encoding can be read.
    pub not_after: Option<Timestamp>,
    /// What certificates that it has issued name its key by.
    pub key_id: Option<Vec<u8>>,
    /// It may issue certificates.
    pub is_authority: bool,
    /// The bits of its public key.
    pub public_key: Vec<u8>,
    /// The common names of its subject.
    pub common_names: Vec<String>,
    /// The organisations of its subject.
    pub organizations: Vec<String>,
    /// The subject's alternative names that are texts.
    pub alternative_names: Vec<String>,
}

impl Certificate {
    /// Reads a certificate; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (certificate, rest) = take(der, SEQUENCE)?;
        let (mut body, _) = take(certificate, SEQUENCE)?;
        if !rest.is_empty() {
            return None;
        }
        if let Some((_, after)) = take(body, CONTEXT_0) {
            body = after;
        }
        let (serial, body) = take(body, INTEGER)?;
        let (_, body) = take(body, SEQUENCE)?;
        let (_, after_issuer) = take(body, SEQUENCE)?;
        let issuer_name = &body[..body.len() - after_issuer.len()];
        let (validity, after_validity) = take(after_issuer, SEQUENCE)?;
        let (subject, after_subject) = take(after_validity, SEQUENCE)?;
        let subject_name = &after_validity[..after_validity.len() - after_subject.len()];
        let (key_info, after_key) = take(after_subject, SEQUENCE)?;
        let (_, key_info) = take(key_info, SEQUENCE)?;
        let (bits, _) = take(key_info, BIT_STRING)?;
        let extensions = extensions(after_key)?;
        let extension = |kind| extensions.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
        let key_id = extension(SUBJECT_KEY_ID).and_then(|value| take(value, OCTET_STRING));
        // SEQUENCE { cA BOOLEAN DEFAULT FALSE, … }
        let constraints = extension(BASIC_CONSTRAINTS).and_then(|value| take(value, SEQUENCE));
        let is_authority = constraints.and_then(|(value, _)| take(value, BOOLEAN));
        Some(Self {
            serial_number: SerialNumber::from_bytes(serial),
            issuer: issuer_name.to_vec(),
            subject: subject_name.to_vec(),
            not_after: not_after(validity),
            key_id: key_id.map(|(id, _)| id.to_vec()),
            is_authority: is_authority.is_some_and(|(value, _)| value != [0]),
            // The first byte says how many bits of the last one are unused.
            public_key: bits.get(1..)?.to_vec(),
            common_names: attributes(subject, COMMON_NAME)?,
            organizations: attributes(subject, ORGANIZATION)?,
            alternative_names: alternative_names(extension(ALTERNATIVE_NAMES))?,
        })
    }

    /// SHA-256 of the issuer's name, hex (RFC 6960, 4.1.1).
    pub fn issuer_name_hash(&self) -> String {
        hex::encode(Sha256::digest(&self.issuer))
    }

    /// SHA-256 of the issuer's key, hex; a root is its own issuer.
    pub fn issuer_key_hash(&self) -> String {
        hex::encode(Sha256::digest(&self.public_key))
    }
}

/// What people call a distinguished name, as it is encoded: its common name, or else its organisation.
pub fn name_text(name: &[u8]) -> Option<String> {
    let (content, _) = take(name, SEQUENCE)?;
    let first = |kind| attributes(content, kind)?.into_iter().next();
    first(COMMON_NAME).or_else(|| first(ORGANIZATION))
}

/// The values of one kind in a distinguished name; `None` if it is none.
fn attributes(mut name: &[u8], kind: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    while !name.is_empty() {
        let (mut set, rest) = take(name, SET)?;
        name = rest;
        while !set.is_empty() {
            let (attribute, rest) = take(set, SEQUENCE)?;
            set = rest;
            let (its_kind, value) = take(attribute, OBJECT_IDENTIFIER)?;
            if its_kind == kind {
                found.extend(text(value));
            }
        }
    }
    Some(found)
}

/// A text of one of the string types; `None` for those that nobody uses any more.
fn text(value: &[u8]) -> Option<String> {
    const PRINTABLE: u8 = 0x13;
    const IA5: u8 = 0x16;
    let (bytes, _) = take(value, *value.first()?)?;
    match value.first()? {
        &UTF8_STRING | &PRINTABLE | &IA5 => std::str::from_utf8(bytes).ok().map(str::to_owned),
        _ => None,
    }
}

/// What follows the key of a certificate: the kind and the content of each extension.
fn extensions(mut after_key: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut found = Vec::new();
    while !after_key.is_empty() {
        let (content, rest) = take(after_key, *after_key.first()?)?;
        if after_key.first() == Some(&CONTEXT_3) {
            let (mut extensions, _) = take(content, SEQUENCE)?;
            while !extensions.is_empty() {
                let (extension, others) = take(extensions, SEQUENCE)?;
                extensions = others;
                let (kind, value) = take(extension, OBJECT_IDENTIFIER)?;
                let value = take(value, BOOLEAN).map_or(value, |(_critical, value)| value);
                found.push((kind, take(value, OCTET_STRING)?.0));
            }
        }
        after_key = rest;
    }
    Some(found)
}

/// The texts among the alternative names.
fn alternative_names(extension: Option<&[u8]>) -> Option<Vec<String>> {
    let Some(extension) = extension else { return Some(Vec::new()) };
    let mut found = Vec::new();
    let (mut names, _) = take(extension, SEQUENCE)?;
    while let Some(tag) = names.first() {
        let (name, rest) = take(names, *tag)?;
        if TEXTUAL_NAMES.contains(tag) {
            found.extend(std::str::from_utf8(name).ok().map(str::to_owned));
        }
        names = rest;
    }
    Some(found)
}

/// The second of two times (RFC 5280, 4.1.2.5).
fn not_after(validity: &[u8]) -> Option<Timestamp> {
    let (_, second) = take(validity, *validity.first()?)?;
    let tag = *second.first()?;
    let (text, _) = take(second, tag)?;
    let text = std::str::from_utf8(text).ok()?;
    let full = match tag {
        // Two digits of a year mean one from 1950 to 2049.
        UTC_TIME => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&full, "%Y%m%d%H%M%SZ").ok()?;
    Some(Timestamp::from_unix_ms(time.and_utc().timestamp_millis()))
}

/// The certificates of a PEM text, in order; empty if one of them cannot be read.
pub fn pem_certificates(pem: &str) -> Vec<Certificate> {
    let read = |der: Result<CertificateDer<'_>, _>| der.ok().and_then(|der| Certificate::read(&der));
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(read).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The content of the element that begins `der`, if it has this tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let bytes = rest.get(..usize::from(first & 0x7f))?;
            rest = &rest[bytes.len()..];
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => return None,
    };
    (rest.len() >= length).then(|| rest.split_at(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_as_openssl_reads_it() {
        let pem = include_str!("../../../tests/tls/ca.pem");
        let [certificate] = &pem_certificates(pem)[..] else { panic!("one certificate") };
        assert!(!certificate.serial_number.as_str().starts_with('0'));
        assert_eq!(certificate.issuer_name_hash().len(), 64);
        // The leaf was issued by it: the same issuer, another key.
        let [leaf] = &pem_certificates(include_str!("../../../tests/tls/good.pem"))[..] else {
            panic!("one certificate")
        };
        assert_eq!(leaf.issuer, certificate.issuer);
        assert_ne!(leaf.public_key, certificate.public_key);
        assert_eq!(leaf.common_names, ["good"]);
        assert_eq!(name_text(&leaf.subject).as_deref(), Some("good"));
        let organization = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x0a\x0c\x01O";
        assert_eq!(name_text(organization).as_deref(), Some("O"));
        assert_eq!(name_text(b"\x30"), None);
        assert_eq!(leaf.alternative_names, ["localhost"], "an address is no text");
        assert!(certificate.is_authority && !leaf.is_authority);
        assert!(leaf.not_after > Some(Timestamp::from_unix_ms(1_776_170_096_789)), "{:?}", leaf.not_after);
    }

    #[test]
    fn times_have_two_digits_of_a_year_or_four() {
        let (old, new) = (b"\x17\x0d491231235959Z", b"\x18\x0f20500101000000Z");
        for (second, text) in [(&old[..], "2049-12-31T23:59:59.000Z"), (&new[..], "2050-01-01T00:00:00.000Z")]
        {
            let validity = [old, second].concat();
            assert_eq!(not_after(&validity).map(|at| at.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        assert!(pem_certificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").is_empty());
        assert!(pem_certificates("certificate").is_empty());
        assert!(Certificate::read(&[0x30, 0x84, 0xff]).is_none());
    }

    #[test]
    fn long_elements_say_how_long_they_are() {
        let long: [(&[u8], usize); 5] = [
            (&[0x30, 0x00], 0),
            (&[0x30, 0x7f], 127),
            (&[0x30, 0x81, 0x80], 128),
            (&[0x30, 0x82, 0x01, 0x2c], 300),
            (&[0x30, 0x83, 0x01, 0x11, 0x70], 70_000),
        ];
        for (head, length) in long {
            let content = vec![7; length];
            let der = [head, &content].concat();
            assert_eq!(take(&der, SEQUENCE), Some((&content[..], &[][..])));
            assert_eq!(take(&der[..der.len() - 1], SEQUENCE), None, "cut off");
        }
    }
}
