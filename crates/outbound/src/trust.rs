//! The authorities that requests trust: the system's and the operator's. A refusal says more than rustls
//! does.
//!
//! A server that sends only its own certificate, without the intermediate one that issued it, works in
//! browsers, which fetch or remember the intermediate, and nowhere else. To rustls its authority is just
//! unknown.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use vocabulary::der::{self, Certificate};

/// An issuer's name is cut to this length, because a stranger has written it.
const NAME_MAX_CHARS: usize = 64;

/// Stands for a missing name.
const NAMELESS: &str = "(without a name)";

/// The certificate that issued the server's own is neither trusted nor among those that it sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server did not send the certificate of its issuer {issuer:?}")]
struct MissingIntermediate {
    /// What the server's own certificate calls its issuer.
    issuer: String,
}

/// The certificates of a PEM text, each of which can be a root.
pub(super) fn roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut usable = RootCertStore::empty();
    CertificateDer::pem_slice_iter(pem)
        .map(|read| {
            let certificate = read.map_err(|error| error.to_string())?;
            usable.add(certificate.clone()).map_err(|error| error.to_string())?;
            Ok(certificate)
        })
        .collect()
}

/// The configuration of all connections: the system's roots and these. It is shared, so that idle connections
/// and sessions are reused.
pub(super) fn client_config(extra: &[CertificateDer<'static>]) -> Result<ClientConfig, Error> {
    let provider = match CryptoProvider::get_default() {
        Some(chosen) => chosen.clone(),
        None => Arc::new(ring::default_provider()),
    };
    let inner = Verifier::new_with_extra_roots(extra.iter().cloned(), provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Explaining { inner }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// It decides nothing by itself; it only says more about a refusal.
#[derive(Debug)]
struct Explaining {
    inner: Verifier,
}

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                missing_intermediate(end_entity, intermediates).map_or(error, |missing| {
                    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(missing))))
                })
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

/// The missing issuer of a server's own certificate, if that is why no root was reached. No root has that
/// issuer's name and key, or the verifier would have found it.
fn missing_intermediate(own: &[u8], sent: &[CertificateDer<'_>]) -> Option<MissingIntermediate> {
    let own = Certificate::read(own)?;
    let self_signed = own.issuer == own.subject;
    let issuer_sent =
        || sent.iter().filter_map(|der| Certificate::read(der)).any(|other| other.subject == own.issuer);
    (!self_signed && !issuer_sent()).then(|| {
        let name = der::name_text(&own.issuer).unwrap_or_else(|| NAMELESS.to_owned());
        let shown = name.chars().filter(|c| !c.is_control()).take(NAME_MAX_CHARS);
        MissingIntermediate { issuer: shown.collect() }
    })
}

/// Why there is no secure connection with `host`, in words that say what can be done.
pub(super) fn describe(host: &str, error: &rustls::Error) -> String {
    use CertificateError as C;
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return match error {
            rustls::Error::InvalidMessage(_) => format!("{host} does not speak TLS on this port: {error}"),
            _ => format!("no TLS connection with {host}: {error}"),
        };
    };
    if let C::Other(OtherError(reason)) = certificate
        && let Some(MissingIntermediate { issuer }) = reason.downcast_ref()
    {
        return format!(
            "the server did not send its intermediate certificate: {host} shows a certificate issued by {issuer:?}, whose \
             own it did not send and which is no authority trusted here (it should send its whole chain; \
             delivery.extra_ca adds an authority of your own)"
        );
    }
    match certificate {
        C::Expired | C::ExpiredContext { .. } => format!("the certificate of {host} has expired"),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet")
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => {
            format!("the certificate is not for {host}: {certificate}")
        }
        C::Revoked => format!("the certificate of {host} has been revoked"),
        C::UnknownIssuer => format!(
            "the certificate of {host} is self-signed, or of an authority that is not trusted here \
             (delivery.extra_ca adds one)"
        ),
        // The usual self-signed certificate is an authority's certificate used by a server.
        other if other.to_string().contains("CaUsedAsEndEntity") => format!(
            "the certificate of {host} is self-signed, or of an authority that is not trusted here \
             (delivery.extra_ca adds one)"
        ),
        other => format!("the certificate of {host} is not valid: {other}"),
    }
}
