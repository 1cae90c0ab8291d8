//! The certificate authority of the stations: signs their requests if they may make them.
//!
//! **Invariant**: only the key of a request is used. The subject is written here and requested extensions are
//! ignored, so a certificate names one station and can only authenticate it.
//!
//! Certificates are not written with `rcgen`, because it writes the issuer's name out of a map with one value
//! for each kind. The name of an authority with two `DC` or two `OU` would change, and nobody would find the
//! issuer of its certificates.

mod encode;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime, alg_id};
use rustls::sign::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::files::{self, File, TlsError};
use super::reload::{Prepared, Reloaded};
use vocabulary::clock::Timestamp;
use vocabulary::der::{
    BASIC_CONSTRAINTS, COMMON_NAME, Certificate, ORGANIZATION, SUBJECT_KEY_ID, SigningRequest,
};
use vocabulary::id::SerialNumber;

/// A new certificate is valid from this long ago, because chargers' clocks may be slow.
const BACKDATED: Duration = Duration::from_secs(3_600);

/// The smallest RSA key, in bits (OCPP security whitepaper, A00.FR.502).
const RSA_BITS_MIN: usize = 2_048;

/// `keyUsage`, 2.5.29.15.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// A bit string of nine bits of which the first, `digitalSignature`, is set.
const DIGITAL_SIGNATURE: &[u8] = &[0x03, 0x02, 0x07, 0x80];
/// `authorityKeyIdentifier`, 2.5.29.35.
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
/// `extKeyUsage`, 2.5.29.37.
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// `id-kp-clientAuth`, 1.3.6.1.5.5.7.3.2.
const CLIENT_AUTHENTICATION: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// Settings of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// PEM: the certificate that issues, then those between it and its root.
    pub certificate: PathBuf,
    /// PEM: its key.
    pub key: PathBuf,
    /// How long new certificates are valid; never longer than the one that issues them.
    pub validity: Duration,
    /// The organisation that requests must name; `None`: any.
    pub organization: Option<String>,
}

/// Signs certificates of stations. Its key is in memory only, and in no log.
pub struct Authority {
    settings: AuthoritySettings,
    issuer: Arc<Reloaded<Issuer>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The contents of the files.
struct Issuer {
    certificate: Certificate,
    key: Arc<dyn SigningKey>,
    /// PEM of the certificates that go with each new one.
    intermediates: String,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM: the new certificate, then those between it and the root.
    pub chain: String,
    /// Its number.
    pub serial_number: SerialNumber,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// Why certificates of an authority are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotTrusted(String);

/// The subject of a certificate.
struct Subject<'a> {
    /// The distinguished name, encoded.
    name: Vec<u8>,
    /// The key with its kind, encoded.
    key_info: Vec<u8>,
    /// The bits of the key alone.
    public_key: &'a [u8],
}

/// Why a request is not signed. Each begins with a code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedRequest {
    /// It is no PKCS #10 request.
    #[error("unreadable: neither PEM nor hex of a PKCS #10 request")]
    Unreadable,
    /// TLS with this gateway cannot use such a key.
    #[error(
        "unsupported_key: RSA from 2048 bits, P-256, P-384 and Ed25519 are signed, with SHA-256 or better"
    )]
    UnsupportedKey,
    /// The RSA key is too short.
    #[error("weak_key: an RSA key has at least 2048 bits, this one has {0}")]
    WeakKey(usize),
    /// It was not signed with its own key.
    #[error("wrong_signature: it was not signed with the key that it asks a certificate for")]
    WrongSignature,
    /// The common name is not the station's.
    #[error("wrong_name: its common name must be the station's identity or its certificate_name")]
    WrongName,
    /// The organisation is another one.
    #[error("wrong_organization: its organisation must be the one of ocpp.tls_client_organization")]
    WrongOrganization,
    /// The authority has expired, or cannot sign.
    #[error("authority_unable: {0}")]
    Authority(&'static str),
}

impl Authority {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be used, and why.
    pub fn load(settings: AuthoritySettings) -> Result<Arc<Self>, TlsError> {
        let files = vec![settings.certificate.clone(), settings.key.clone()];
        let named = settings.clone();
        let load = move || Issuer::load(&named);
        let issuer = Reloaded::new("the certificate authority's files", files, load)?;
        Ok(Arc::new(Self { settings, issuer }))
    }

    /// Reads its files again.
    ///
    /// # Errors
    /// As [`Authority::load`]; nothing is different then.
    pub fn prepare_again(&self) -> Result<Prepared, TlsError> {
        self.issuer.prepare_again()
    }

    /// Reads the files again whenever they change, until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        self.issuer.clone().watch(stop).await;
    }

    /// When the certificate that issues expires, if that can be read.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.issuer.current().certificate.not_after
    }

    /// Signs a request of a station that has these names. It takes milliseconds of a core.
    ///
    /// # Errors
    /// Why it is not signed.
    pub fn sign(&self, request: &str, names: &[&str], now: Timestamp) -> Result<Issued, RefusedRequest> {
        let request = SigningRequest::read(request).ok_or(RefusedRequest::Unreadable)?;
        check_key(&request)?;
        // A second name is refused: readers of the certificate might use either.
        let [name] = &request.common_names[..] else { return Err(RefusedRequest::WrongName) };
        if !names.contains(&name.as_str()) {
            return Err(RefusedRequest::WrongName);
        }
        let organization = match &self.settings.organization {
            Some(own) if !request.organizations.contains(own) => {
                return Err(RefusedRequest::WrongOrganization);
            }
            Some(own) => Some(own),
            None => request.organizations.first(),
        };
        let subject: Vec<(&[u8], &str)> = organization
            .map(|organization| (ORGANIZATION, organization.as_str()))
            .into_iter()
            .chain([(COMMON_NAME, name.as_str())])
            .collect();
        let subject = Subject {
            name: encode::name(&subject),
            key_info: request.key_info,
            public_key: &request.public_key,
        };
        self.issuer.current().issue(&subject, now, self.settings.validity)
    }

    /// Whether certificates that are signed here are accepted by a verifier with these `roots` and `revoked`
    /// lists. It is tried with a certificate that nobody gets.
    ///
    /// # Errors
    /// Why they are not.
    pub fn is_trusted_by(
        &self,
        roots: &Path,
        revoked: Option<&Path>,
        now: Timestamp,
    ) -> Result<(), NotTrusted> {
        let issuer = self.issuer.current();
        let refused = |reason: &dyn fmt::Display| NotTrusted(reason.to_string());
        // Its own key will do, because nobody has to prove it here.
        let Some(key_info) = issuer.key.public_key() else { return Ok(()) };
        let subject = Subject {
            name: encode::name(&[(COMMON_NAME, "a trial")]),
            key_info: key_info.to_vec(),
            public_key: &issuer.certificate.public_key,
        };
        let trial = issuer.issue(&subject, now, self.settings.validity).map_err(|error| refused(&error))?;
        let chain = CertificateDer::pem_slice_iter(trial.chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| refused(&error))?;
        let (own, above) = chain.split_first().ok_or_else(|| refused(&"there is none"))?;
        let verifier = files::client_verifier(roots, revoked).map_err(|error| refused(&error))?;
        let at = UnixTime::since_unix_epoch(Duration::from_millis(now.unix_ms().max(0) as u64));
        verifier.verify_client_cert(own, above, at).map(drop).map_err(|error| refused(&error))
    }
}

/// A request proves that its sender has the key. And TLS with this gateway must be able to use the key.
fn check_key(request: &SigningRequest) -> Result<(), RefusedRequest> {
    let provider = ring::default_provider();
    let known = provider.signature_verification_algorithms.all.iter();
    let mut fitting = known
        .filter(|known| *known.public_key_alg_id() == *request.key_algorithm)
        .filter(|known| *known.signature_alg_id() == *request.signature_algorithm)
        .peekable();
    if fitting.peek().is_none() {
        return Err(RefusedRequest::UnsupportedKey);
    }
    if *alg_id::RSA_ENCRYPTION == *request.key_algorithm {
        match request.rsa_bits() {
            Some(bits) if bits < RSA_BITS_MIN => return Err(RefusedRequest::WeakKey(bits)),
            Some(_) => {}
            None => return Err(RefusedRequest::UnsupportedKey),
        }
    }
    let is_its_own = fitting.any(|known| {
        known.verify_signature(&request.public_key, &request.signed, &request.signature).is_ok()
    });
    if is_its_own { Ok(()) } else { Err(RefusedRequest::WrongSignature) }
}

impl Issuer {
    fn load(settings: &AuthoritySettings) -> Result<Self, TlsError> {
        let path = &settings.certificate;
        let provider = ring::default_provider();
        let pair = files::pair(&provider, path, &settings.key)?;
        let unreadable = || files::fault(File::Certificate, path, "holds a certificate that cannot be read");
        let read = |der: &CertificateDer<'_>| Certificate::read(der).ok_or_else(unreadable);
        let chain = pair.cert.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        // A root is its own issuer and is not sent, because those who trust it have it.
        let between = chain.iter().zip(&pair.cert).filter(|(read, _)| read.issuer != read.subject);
        let intermediates = between.map(|(_, der)| encode::pem("CERTIFICATE", der)).collect();
        let certificate = chain.into_iter().next().ok_or_else(unreadable)?;
        if !certificate.is_authority {
            let reason = "begins with a certificate that may not issue others (basicConstraints)";
            return Err(files::fault(File::Certificate, path, reason));
        }
        let issuer = Self { certificate, key: pair.key, intermediates };
        match issuer.signer() {
            Some(_) => Ok(issuer),
            None => Err(files::fault(
                File::Key,
                &settings.key,
                "is of a kind that certificates are not signed with",
            )),
        }
    }

    /// The signer, and the encoded name of its algorithm.
    fn signer(&self) -> Option<(Box<dyn Signer>, Vec<u8>)> {
        let called = [
            (SignatureScheme::ECDSA_NISTP256_SHA256, alg_id::ECDSA_SHA256),
            (SignatureScheme::ECDSA_NISTP384_SHA384, alg_id::ECDSA_SHA384),
            (SignatureScheme::RSA_PKCS1_SHA256, alg_id::RSA_PKCS1_SHA256),
            (SignatureScheme::ED25519, alg_id::ED25519),
        ];
        let signer = self.key.choose_scheme(&called.map(|(scheme, _)| scheme))?;
        let (_, name) = called.into_iter().find(|(scheme, _)| *scheme == signer.scheme())?;
        Some((signer, encode::sequence(&[&name])))
    }

    fn issue(
        &self,
        subject: &Subject<'_>,
        now: Timestamp,
        validity: Duration,
    ) -> Result<Issued, RefusedRequest> {
        let end =
            self.certificate.not_after.ok_or(RefusedRequest::Authority("its own dates cannot be read"))?;
        if end <= now {
            return Err(RefusedRequest::Authority("its own certificate has expired"));
        }
        let not_after = now.after(validity).min(end);
        let beyond = || RefusedRequest::Authority("no certificate holds beyond the year 9999");
        let dates = encode::time(now.before(BACKDATED)).zip(encode::time(not_after)).ok_or_else(beyond)?;
        let unable = RefusedRequest::Authority("its key does not sign");
        let (signer, algorithm) = self.signer().ok_or(unable.clone())?;
        // 127 random bits, and never 0 in front: 16 bytes however it is written.
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(|_| RefusedRequest::Authority("there is no randomness"))?;
        serial[0] = serial[0] & 0x7f | 0x40;
        let key_id = &Sha256::digest(subject.public_key)[..20];
        let mut extensions = vec![
            encode::extension(BASIC_CONSTRAINTS, true, &encode::sequence(&[])),
            encode::extension(KEY_USAGE, true, DIGITAL_SIGNATURE),
            encode::extension(
                EXTENDED_KEY_USAGE,
                false,
                &encode::sequence(&[&encode::object_identifier(CLIENT_AUTHENTICATION)]),
            ),
            // RFC 7093, 2: the first 160 bits of a SHA-256.
            encode::extension(SUBJECT_KEY_ID, false, &encode::octet_string(key_id)),
        ];
        if let Some(id) = &self.certificate.key_id {
            let named = encode::sequence(&[&encode::element(0x80, id)]);
            extensions.push(encode::extension(AUTHORITY_KEY_ID, false, &named));
        }
        let extensions = encode::sequence(&extensions.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let body = encode::sequence(&[
            // Version 3.
            &encode::element(0xa0, &encode::integer(&[2])),
            &encode::integer(&serial),
            &algorithm,
            &self.certificate.subject,
            &encode::sequence(&[&dates.0, &dates.1]),
            &subject.name,
            &subject.key_info,
            &encode::element(0xa3, &extensions),
        ]);
        let signature = signer.sign(&body).map_err(|_| unable)?;
        let certificate = encode::sequence(&[&body, &algorithm, &encode::bit_string(&signature)]);
        Ok(Issued {
            chain: encode::pem("CERTIFICATE", &certificate) + &self.intermediates,
            serial_number: SerialNumber::from_bytes(&serial),
            not_after,
        })
    }
}
