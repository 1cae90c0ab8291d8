//! Whom a client certificate names that is not trusted: what nothing else says of a station whose certificate
//! has expired. Nobody may be let in by it.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::ClientCertificate;

tokio::task_local! {
    /// The names in the certificate that was refused in this handshake.
    static REFUSED: RefCell<Vec<String>>;
}

/// Names of a certificate that are kept, and the characters of each.
const NAMES_MAX: usize = 4;
const NAME_CHARS_MAX: usize = 64;

/// Makes a handshake; with the names in the certificate that was refused in it, if one was.
pub(super) async fn with_names<T>(handshake: impl Future<Output = T>) -> (T, Vec<String>) {
    REFUSED
        .scope(RefCell::default(), async {
            let done = handshake.await;
            (done, REFUSED.with(RefCell::take))
        })
        .await
}

/// Verifies as `inner` does, and remembers whom a certificate names that it refuses.
#[derive(Debug)]
pub(super) struct Remembering {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
}

fn remember(leaf: &CertificateDer<'_>) {
    let Some(certificate) = ClientCertificate::read(leaf) else { return };
    let is_short = |name: &String| name.chars().count() <= NAME_CHARS_MAX;
    let names = certificate.names.into_iter().filter(is_short).take(NAMES_MAX).collect();
    // A chain that a proxy hands on is verified outside of a handshake.
    let _ = REFUSED.try_with(|refused| refused.replace(names));
}

impl ClientCertVerifier for Remembering {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now);
        if verified.is_err() {
            remember(end_entity);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }
}
