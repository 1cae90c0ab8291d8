//! The charger's certificates: roots it was given, and its own, which it asks to have signed.

use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::Charger;
use crate::messages::security::{
    CertificateHashData, CertificateSignedStatus, DeleteCertificateStatus, InstallCertificateStatus,
    SignCertificate,
};
use crate::outbox::{About, Message};
use crate::trust::{OwnCertificate, Trust};
use vocabulary::clock::Timestamp;
use vocabulary::der::Certificate;

/// So long before its certificate expires a charger asks for the next one (OCPP security whitepaper, A03).
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 86_400);

/// So long it waits for one that it has asked for by itself, before it asks again.
const ASKS_EVERY: Duration = Duration::from_secs(86_400);

/// What a central system is known by.
const CENTRAL_SYSTEM: &str = "CentralSystemRootCertificate";

/// A root certificate that was installed, or that the charger came with.
#[derive(Debug, Clone)]
struct Root {
    kind: String,
    certificate: Certificate,
    der: CertificateDer<'static>,
}

/// The key of the last signing request.
struct Requested {
    public_key: Vec<u8>,
    key: PrivateKeyDer<'static>,
}

/// What the charger holds. Not `Debug`: keys are among it.
pub(crate) struct Certificates {
    roots: Vec<Root>,
    requested: Option<Requested>,
    own: Option<OwnCertificate>,
    /// When it last asked by itself.
    asked_at: Option<Timestamp>,
}

impl Certificates {
    /// What a charger comes with.
    pub(crate) fn new(trust: &Trust) -> Self {
        let root = |der: &CertificateDer<'static>| {
            let certificate = Certificate::read(der)?;
            Some(Root { kind: CENTRAL_SYSTEM.to_owned(), certificate, der: der.clone() })
        };
        let roots = trust.roots.iter().filter_map(root).collect();
        Self { roots, requested: None, own: trust.own.clone(), asked_at: None }
    }

    /// What TLS is spoken with; with the charger's own certificate, if it is to be shown.
    pub(crate) fn trust(&self, shows_its_own: bool) -> Trust {
        let roots = self.roots.iter().filter(|root| root.kind == CENTRAL_SYSTEM);
        Trust {
            roots: roots.map(|root| root.der.clone()).collect(),
            own: self.own.clone().filter(|_| shows_its_own),
        }
    }

    /// Whether a central system can be told from somebody else.
    pub(crate) fn has_root(&self) -> bool {
        self.roots.iter().any(|root| root.kind == CENTRAL_SYSTEM)
    }

    /// Whether the charger has a certificate of its own.
    pub(crate) fn has_own(&self) -> bool {
        self.own.is_some()
    }

    /// Whose charger it is, as its own certificate says.
    pub(crate) fn organization(&self) -> Option<String> {
        self.own()?.organizations.into_iter().next()
    }

    fn own(&self) -> Option<Certificate> {
        first_of(&self.own.as_ref()?.chain).map(|(certificate, _)| certificate)
    }

    /// When the charger's own certificate has to be renewed; `None` if it has none.
    pub(crate) fn renewal_due(&self) -> Option<Timestamp> {
        let due = self.own()?.not_after?.before(RENEWED_BEFORE);
        Some(self.asked_at.map_or(due, |asked_at| due.max(asked_at.after(ASKS_EVERY))))
    }

    /// Takes the certificate back that there was before.
    pub(crate) fn restore(&mut self, own: Option<OwnCertificate>) {
        self.own = own;
    }
}

impl Charger {
    /// Answers `InstallCertificate`.
    pub(crate) fn install_certificate(
        &mut self,
        now: Timestamp,
        payload: &Value,
    ) -> InstallCertificateStatus {
        let kind = payload["certificateType"].as_str().unwrap_or_default();
        let pem = payload["certificate"].as_str().unwrap_or_default();
        let Some((certificate, der)) = first_of(&chain(pem)) else {
            if kind == CENTRAL_SYSTEM {
                self.security_event(now, "InvalidCentralSystemCertificate", None);
            }
            return InstallCertificateStatus::Rejected;
        };
        let room = self.configuration.whole("CertificateStoreMaxLength") as usize;
        let roots = &mut self.certificates.roots;
        roots.retain(|root| root.kind != kind || root.certificate != certificate);
        if roots.len() >= room {
            return InstallCertificateStatus::Failed;
        }
        roots.push(Root { kind: kind.to_owned(), certificate, der });
        InstallCertificateStatus::Accepted
    }

    /// Answers `GetInstalledCertificateIds`.
    pub(crate) fn installed_certificates(&self, payload: &Value) -> Vec<CertificateHashData> {
        let of_kind = self.certificates.roots.iter().filter(|root| payload["certificateType"] == root.kind);
        of_kind.map(|root| hash_data(&root.certificate)).collect()
    }

    /// Answers `DeleteCertificate`; the charger's own certificate stays.
    pub(crate) fn delete_certificate(&mut self, payload: &Value) -> DeleteCertificateStatus {
        let named =
            |certificate: &Certificate| is_same(&hash_data(certificate), &payload["certificateHashData"]);
        if self.certificates.own().is_some_and(|own| named(&own)) {
            return DeleteCertificateStatus::Failed;
        }
        let before = self.certificates.roots.len();
        self.certificates.roots.retain(|root| !named(&root.certificate));
        let found = self.certificates.roots.len() < before;
        if found { DeleteCertificateStatus::Accepted } else { DeleteCertificateStatus::NotFound }
    }

    /// Answers `CertificateSigned`: the leaf must be for the key of the last signing request.
    pub(crate) fn certificate_signed(&mut self, now: Timestamp, payload: &Value) -> CertificateSignedStatus {
        let pem = payload["certificateChain"].as_str().unwrap_or_default();
        let room = self.configuration.whole("CertificateSignedMaxChainSize") as usize;
        let chain = chain(pem);
        let leaf = first_of(&chain).filter(|_| pem.len() <= room);
        let requested = self.certificates.requested.as_ref();
        let key =
            leaf.zip(requested).filter(|((leaf, _), requested)| leaf.public_key == requested.public_key);
        match key.map(|(_, requested)| requested.key.clone_key()) {
            Some(key) => {
                let old = self.certificates.own.replace(OwnCertificate { chain, key });
                self.change_certificate(now, old);
                CertificateSignedStatus::Accepted
            }
            None => {
                self.security_event(now, "InvalidChargePointCertificate", None);
                CertificateSignedStatus::Rejected
            }
        }
    }

    /// Asks for the next certificate without being told to.
    pub(crate) fn renew_certificate(&mut self, now: Timestamp) {
        self.certificates.asked_at = Some(now);
        self.request_certificate();
    }

    /// Makes a key and asks for a certificate, by the name in the one that it has; says whether that was
    /// possible.
    pub(crate) fn request_certificate(&mut self) -> bool {
        let own = self.certificates.own();
        let name = own.as_ref().and_then(|own| own.common_names.first());
        let name = name.map_or(self.options.id.as_str(), String::as_str);
        let Some((csr, requested)) = signing_request(name, self.configuration.text("CpoName")) else {
            return false;
        };
        self.certificates.requested = Some(requested);
        let mut message = Message::new(&SignCertificate { csr }, About::Plain);
        message.triggered = true;
        self.outbox.push(message);
        true
    }
}

/// The certificates of a PEM text; none if one of them cannot be read.
fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap_or_default()
}

fn first_of(chain: &[CertificateDer<'static>]) -> Option<(Certificate, CertificateDer<'static>)> {
    let der = chain.first()?;
    Some((Certificate::read(der)?, der.clone()))
}

/// A PKCS #10 request (RFC 2986) for a new key on P-256, and that key.
fn signing_request(name: &str, organization: &str) -> Option<(String, Requested)> {
    let key = KeyPair::generate().ok()?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organization);
    subject.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    let request = params.serialize_request(&key).and_then(|request| request.pem()).ok()?;
    Some((request, Requested { public_key: key.public_key_raw().to_vec(), key: key.into() }))
}

fn hash_data(certificate: &Certificate) -> CertificateHashData {
    CertificateHashData {
        hash_algorithm: "SHA256",
        issuer_name_hash: certificate.issuer_name_hash(),
        issuer_key_hash: certificate.issuer_key_hash(),
        serial_number: certificate.serial_number.to_string(),
    }
}

/// Hex in any case, serial numbers with or without leading zeros.
fn is_same(mine: &CertificateHashData, named: &Value) -> bool {
    let plain = |field: &str| named[field].as_str().unwrap_or_default().to_lowercase();
    let without_zeros = |text: &str| text.to_lowercase().trim_start_matches('0').to_owned();
    plain("hashAlgorithm") == mine.hash_algorithm.to_lowercase()
        && plain("issuerNameHash") == mine.issuer_name_hash.to_lowercase()
        && plain("issuerKeyHash") == mine.issuer_key_hash.to_lowercase()
        && without_zeros(&plain("serialNumber")) == without_zeros(&mine.serial_number)
}

#[cfg(test)]
mod tests {
    use vocabulary::der::SigningRequest;

    use super::*;
    use crate::messages::payload;

    #[test]
    fn certificates_are_named_in_any_case_and_with_zeros_in_front() {
        let name = |serial: &str, key: &str| CertificateHashData {
            hash_algorithm: "SHA256",
            issuer_name_hash: "ab".to_owned(),
            issuer_key_hash: key.to_owned(),
            serial_number: serial.to_owned(),
        };
        let is_same = |named| is_same(&name("1f", "cd"), &payload(&named));
        assert!(is_same(name("001F", "CD")));
        assert!(!is_same(name("1f0", "cd")));
        assert!(!is_same(name("1f", "ce")));
    }

    #[test]
    fn a_signing_request_names_the_charger_and_its_organisation() {
        let (pem, requested) = signing_request("CP", "CPO").expect("a request");
        let read = SigningRequest::read(&pem).expect("can be read");
        assert_eq!(
            (&read.common_names[..], &read.organizations[..]),
            (&["CP".to_owned()][..], &["CPO".to_owned()][..])
        );
        assert_eq!(read.public_key, requested.public_key);
    }
}
