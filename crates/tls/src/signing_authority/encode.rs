//! New certificates in DER: only what [`Authority`](super::Authority) writes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Datelike, Utc};
use vocabulary::clock::Timestamp;
use vocabulary::der::tag::{
    BIT_STRING, BOOLEAN, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, UTC_TIME,
    UTF8_STRING,
};

/// A moment, in whole seconds; `None` beyond the year 9999.
pub(super) fn time(at: Timestamp) -> Option<Vec<u8>> {
    let time = DateTime::<Utc>::from_timestamp_millis(at.unix_ms())?;
    match time.year() {
        1950..=2049 => Some(element(UTC_TIME, time.format("%y%m%d%H%M%SZ").to_string().as_bytes())),
        0..=9999 => Some(element(GENERALIZED_TIME, time.format("%Y%m%d%H%M%SZ").to_string().as_bytes())),
        _ => None,
    }
}

/// A distinguished name of these attributes, each a set of its own.
pub(super) fn name(attributes: &[(&[u8], &str)]) -> Vec<u8> {
    let part = |(kind, text): &(&[u8], &str)| {
        element(SET, &sequence(&[&object_identifier(kind), &element(UTF8_STRING, text.as_bytes())]))
    };
    sequence(&attributes.iter().map(part).collect::<Vec<_>>().iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// An extension (RFC 5280, 4.1) with this content.
pub(super) fn extension(kind: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[BOOLEAN, 1, 0xff] } else { &[] };
    sequence(&[&object_identifier(kind), critical, &octet_string(content)])
}

/// One element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
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
pub(super) fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &elements.concat())
}

/// An object identifier of these bytes.
pub(super) fn object_identifier(kind: &[u8]) -> Vec<u8> {
    element(OBJECT_IDENTIFIER, kind)
}

/// A string of octets.
pub(super) fn octet_string(bytes: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, bytes)
}

/// A positive number of these bytes, most significant first.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if bytes.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, bytes].concat())
}

/// A PEM text of this label, such as `CERTIFICATE` (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// A string of whole bytes.
pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_digits_of_a_year_or_four() {
        let written = |text: &str| time(text.parse().expect("a time"));
        assert_eq!(written("2049-12-31T23:59:59Z").as_deref(), Some(&b"\x17\x0d491231235959Z"[..]));
        assert_eq!(written("2050-01-01T00:00:00Z").as_deref(), Some(&b"\x18\x0f20500101000000Z"[..]));
        assert_eq!(time(Timestamp::from_unix_ms(i64::MAX)), None);
    }

    #[test]
    fn long_elements_say_how_long_they_are() {
        let heads: [(usize, &[u8]); 5] = [
            (0, &[0x30, 0x00]),
            (127, &[0x30, 0x7f]),
            (128, &[0x30, 0x81, 0x80]),
            (300, &[0x30, 0x82, 0x01, 0x2c]),
            (70_000, &[0x30, 0x83, 0x01, 0x11, 0x70]),
        ];
        for (length, head) in heads {
            assert_eq!(element(SEQUENCE, &vec![7; length])[..head.len()], *head);
        }
    }
}
