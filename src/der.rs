//! As much of X.509 as OCPP needs: who issued a certificate, its number, its key, and whom it names.
//!
//! Nothing here decides whether a certificate can be trusted.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, explicit: the version in a certificate, the attributes in a signing request.
const CONTEXT_0: u8 = 0xa0;
/// `[3]`, explicit: the extensions of a certificate.
const CONTEXT_3: u8 = 0xa3;

/// `commonName`, 2.5.4.3.
pub(crate) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `organizationName`, 2.5.4.10.
pub(crate) const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// `subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// Alternative names that are texts: e-mail, DNS and URI (RFC 5280, 4.2.1.6).
const TEXTUAL_NAMES: [u8; 3] = [0x81, 0x82, 0x86];

/// The parts of a certificate that OCPP names it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Hex without leading zeros.
    pub serial_number: String,
    /// The issuer's name, as it is encoded.
    pub issuer: Vec<u8>,
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
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
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
        let (issuer, after_issuer) = take(body, SEQUENCE)?;
        let (_, after_validity) = take(after_issuer, SEQUENCE)?;
        let (subject, after_subject) = take(after_validity, SEQUENCE)?;
        let (key_info, after_key) = take(after_subject, SEQUENCE)?;
        let (_, key_info) = take(key_info, SEQUENCE)?;
        let (bits, _) = take(key_info, BIT_STRING)?;
        let serial = hex::encode(serial);
        Some(Self {
            serial_number: match serial.trim_start_matches('0') {
                "" => "0".to_owned(),
                digits => digits.to_owned(),
            },
            issuer: sequence(&[issuer]),
            // The first byte says how many bits of the last one are unused.
            public_key: bits.get(1..)?.to_vec(),
            common_names: attributes(subject, COMMON_NAME)?,
            organizations: attributes(subject, ORGANIZATION)?,
            alternative_names: alternative_names(after_key)?,
        })
    }

    /// SHA-256 of the issuer's name, hex (RFC 6960, 4.1.1).
    pub(crate) fn issuer_name_hash(&self) -> String {
        hex::encode(Sha256::digest(&self.issuer))
    }

    /// SHA-256 of the issuer's key, hex; a root is its own issuer.
    pub(crate) fn issuer_key_hash(&self) -> String {
        hex::encode(Sha256::digest(&self.public_key))
    }
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
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const IA5: u8 = 0x16;
    let (bytes, _) = take(value, *value.first()?)?;
    match value.first()? {
        &UTF8 | &PRINTABLE | &IA5 => std::str::from_utf8(bytes).ok().map(str::to_owned),
        _ => None,
    }
}

/// The texts among the alternative names, in what follows the key of a certificate.
fn alternative_names(mut after_key: &[u8]) -> Option<Vec<String>> {
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
                if kind == ALTERNATIVE_NAMES {
                    let (names, _) = take(take(value, OCTET_STRING)?.0, SEQUENCE)?;
                    textual_names(names, &mut found)?;
                }
            }
        }
        after_key = rest;
    }
    Some(found)
}

fn textual_names(mut names: &[u8], found: &mut Vec<String>) -> Option<()> {
    while let Some(tag) = names.first() {
        let (name, rest) = take(names, *tag)?;
        if TEXTUAL_NAMES.contains(tag) {
            found.extend(std::str::from_utf8(name).ok().map(str::to_owned));
        }
        names = rest;
    }
    Some(())
}

/// The certificates of a PEM text, in order; empty if one of them cannot be read.
pub(crate) fn pem_certificates(pem: &str) -> Vec<Certificate> {
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

/// One element.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match content.len() {
        short @ 0..=0x7f => der.push(short as u8),
        long => {
            let bytes = (long as u32).to_be_bytes();
            let used = bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
            der.push(0x80 | used.len() as u8);
            der.extend(used);
        }
    }
    der.extend_from_slice(content);
    der
}

/// A sequence of elements.
pub(crate) fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &elements.concat())
}

/// A string of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_as_openssl_reads_it() {
        let pem = include_str!("../tests/tls/ca.pem");
        let [certificate] = &pem_certificates(pem)[..] else { panic!("one certificate") };
        assert!(!certificate.serial_number.starts_with('0'));
        assert_eq!(certificate.issuer_name_hash().len(), 64);
        // The leaf was issued by it: the same issuer, another key.
        let [leaf] = &pem_certificates(include_str!("../tests/tls/good.pem"))[..] else {
            panic!("one certificate")
        };
        assert_eq!(leaf.issuer, certificate.issuer);
        assert_ne!(leaf.public_key, certificate.public_key);
        assert_eq!(leaf.common_names, ["good"]);
        assert_eq!(leaf.alternative_names, ["localhost"], "an address is no text");
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        assert!(pem_certificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").is_empty());
        assert!(pem_certificates("certificate").is_empty());
        assert!(Certificate::read(&[0x30, 0x84, 0xff]).is_none());
    }

    #[test]
    fn long_elements_can_be_read_again() {
        for length in [0, 127, 128, 300, 70_000] {
            let content = vec![7; length];
            let der = element(SEQUENCE, &content);
            assert_eq!(take(&der, SEQUENCE), Some((&content[..], &[][..])));
        }
    }
}
