//! The charger's certificates: roots it was given, and its own, which it asks to have signed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::SignatureScheme;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use super::chance::Chance;
use super::charger::Charger;
use super::commands::Answer;
use super::outbox::{About, Message};
use crate::clock::Timestamp;
use crate::der::{self, COMMON_NAME, Certificate, ORGANIZATION};
use crate::ocpp::v16::FromChargePoint as Action;

/// An Ed25519 key as PKCS #8 (RFC 8410), all but its 32 bytes.
const ED25519_PKCS8: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The algorithm identifier of Ed25519.
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
const OBJECT_IDENTIFIER: u8 = 0x06;

/// A root certificate that was installed.
#[derive(Debug, Clone)]
struct Root {
    kind: String,
    certificate: Certificate,
}

/// What the charger holds.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    roots: Vec<Root>,
    /// The bits of the key that the last signing request was about.
    requested_key: Option<Vec<u8>>,
    own: Option<Certificate>,
}

impl Charger {
    /// Answers `InstallCertificate`.
    pub(super) fn install_certificate(&mut self, now: Timestamp, payload: &Value) -> Answer {
        let kind = payload["certificateType"].as_str().unwrap_or_default();
        let pem = payload["certificate"].as_str().unwrap_or_default();
        let Some(certificate) = der::pem_certificates(pem).into_iter().next() else {
            if kind == "CentralSystemRootCertificate" {
                self.security_event(now, "InvalidCentralSystemCertificate", None);
            }
            return Ok(json!({"status": "Rejected"}));
        };
        let room = self.configuration.whole("CertificateStoreMaxLength") as usize;
        let roots = &mut self.certificates.roots;
        roots.retain(|root| root.kind != kind || root.certificate != certificate);
        if roots.len() >= room {
            return Ok(json!({"status": "Failed"}));
        }
        roots.push(Root { kind: kind.to_owned(), certificate });
        Ok(json!({"status": "Accepted"}))
    }

    /// Answers `GetInstalledCertificateIds`.
    pub(super) fn installed_certificates(&self, payload: &Value) -> Answer {
        let of_kind = self.certificates.roots.iter().filter(|root| payload["certificateType"] == root.kind);
        let ids: Vec<Value> = of_kind.map(|root| hash_data(&root.certificate)).collect();
        Ok(match ids.is_empty() {
            true => json!({"status": "NotFound"}),
            false => json!({"status": "Accepted", "certificateHashData": ids}),
        })
    }

    /// Answers `DeleteCertificate`; the charger's own certificate stays.
    pub(super) fn delete_certificate(&mut self, payload: &Value) -> Answer {
        let named =
            |certificate: &Certificate| is_same(&hash_data(certificate), &payload["certificateHashData"]);
        if self.certificates.own.as_ref().is_some_and(named) {
            return Ok(json!({"status": "Failed"}));
        }
        let before = self.certificates.roots.len();
        self.certificates.roots.retain(|root| !named(&root.certificate));
        let found = self.certificates.roots.len() < before;
        Ok(json!({"status": if found { "Accepted" } else { "NotFound" }}))
    }

    /// Answers `CertificateSigned`: the leaf must be for the key of the last signing request.
    pub(super) fn certificate_signed(&mut self, now: Timestamp, payload: &Value) -> Answer {
        let pem = payload["certificateChain"].as_str().unwrap_or_default();
        let room = self.configuration.whole("CertificateSignedMaxChainSize") as usize;
        let leaf = der::pem_certificates(pem).into_iter().next().filter(|_| pem.len() <= room);
        let asked_for = self.certificates.requested_key.as_ref();
        match leaf.filter(|leaf| asked_for == Some(&leaf.public_key)) {
            Some(leaf) => {
                self.certificates.own = Some(leaf);
                Ok(json!({"status": "Accepted"}))
            }
            None => {
                self.security_event(now, "InvalidChargePointCertificate", None);
                Ok(json!({"status": "Rejected"}))
            }
        }
    }

    /// Makes a key and asks for a certificate; says whether that was possible.
    pub(super) fn request_certificate(&mut self) -> bool {
        let organization = self.configuration.text("CpoName").to_owned();
        let Some((csr, key)) = signing_request(self.options.id.as_str(), &organization, &mut self.chance)
        else {
            return false;
        };
        self.certificates.requested_key = Some(key);
        let mut message = Message::new(Action::SignCertificate, json!({"csr": csr}), About::Plain);
        message.triggered = true;
        self.outbox.push(message);
        true
    }
}

/// A PKCS #10 request for a new Ed25519 key (RFC 2986, RFC 8410), and the bits of that key.
fn signing_request(name: &str, organization: &str, chance: &mut Chance) -> Option<(String, Vec<u8>)> {
    let mut secret = ED25519_PKCS8.to_vec();
    for _ in 0..4 {
        // A simulated charger's key guards nothing; it only has to be repeatable.
        secret.extend(chance.bits().to_be_bytes());
    }
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(secret));
    let key = rustls::crypto::ring::sign::any_supported_type(&secret).ok()?;
    let public_key = key.public_key()?.to_vec();
    let signer = key.choose_scheme(&[SignatureScheme::ED25519])?;
    let utf8 = |text: &str| der::element(0x0c, text.as_bytes());
    let kind = |kind: &[u8]| der::element(OBJECT_IDENTIFIER, kind);
    let part = |of: &[u8], text: &str| der::element(0x31, &der::sequence(&[&kind(of), &utf8(text)]));
    let subject = der::sequence(&[&part(ORGANIZATION, organization), &part(COMMON_NAME, name)]);
    let info = der::sequence(&[&[0x02, 0x01, 0x00], &subject, &public_key, &[0xa0, 0x00]]);
    let signature = signer.sign(&info).ok()?;
    let request = der::sequence(&[&info, ED25519, &der::bit_string(&signature)]);
    let bits = public_key.get(public_key.len().checked_sub(32)?..)?.to_vec();
    Some((pem("CERTIFICATE REQUEST", &request), bits))
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn hash_data(certificate: &Certificate) -> Value {
    json!({
        "hashAlgorithm": "SHA256",
        "issuerNameHash": certificate.issuer_name_hash(),
        "issuerKeyHash": certificate.issuer_key_hash(),
        "serialNumber": certificate.serial_number,
    })
}

/// Hex in any case, serial numbers with or without leading zeros.
fn is_same(mine: &Value, named: &Value) -> bool {
    let plain = |value: &Value, field: &str| {
        let text = value[field].as_str().unwrap_or_default().to_lowercase();
        if field == "serialNumber" { text.trim_start_matches('0').to_owned() } else { text }
    };
    ["hashAlgorithm", "issuerNameHash", "issuerKeyHash", "serialNumber"]
        .iter()
        .all(|field| plain(mine, field) == plain(named, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_named_in_any_case_and_with_zeros_in_front() {
        let name = |serial: &str, key: &str| json!({"hashAlgorithm": "SHA256", "issuerNameHash": "ab", "issuerKeyHash": key, "serialNumber": serial});
        assert!(is_same(&name("1f", "cd"), &name("001F", "CD")));
        assert!(!is_same(&name("1f", "cd"), &name("1f0", "cd")));
        assert!(!is_same(&name("1f", "cd"), &name("1f", "ce")));
    }

    #[test]
    fn a_signing_request_carries_the_key_it_was_signed_with() {
        let (pem, key) = signing_request("CP", "CPO", &mut Chance::seeded(1)).expect("a request");
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = BASE64.decode(body).expect("base64");
        assert!(der.windows(32).any(|window| window == key));
        assert_eq!((der[1], usize::from(der[2])), (0x81, der.len() - 3), "{}", hex::encode(&der));
    }
}
