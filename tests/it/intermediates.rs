//! Receivers whose certificate cannot be trusted, and what the attempt says of it: a server that forgets its
//! intermediate certificate is told from one that is self-signed, and from one of an unknown authority.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::deliveries::{delivery, webhook};
use crate::harness::start;

/// A certificate in PEM, and what it signs others with.
struct Signer {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Signer {
    fn root(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().expect("a key"));
        let pem = params.self_signed(&key).expect("signs").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().expect("a key"));
        let pem = params.signed_by(&key, &self.issuer).expect("signs").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A server on this machine: its certificate and its key.
    fn server(&self) -> (String, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        (server().signed_by(&key, &self.issuer).expect("signs").pem(), key)
    }
}

fn server() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, "receiver");
    params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    params
}

/// Answers every request with 204, and greets with this chain; its URL.
async fn receiver(chain: &str, key: &KeyPair) -> String {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut bytes = [0; 16 << 10];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_intermediate_certificate_is_called_that_and_nothing_else_is() {
    let (root, strange) = (Signer::root("our root"), Signer::root("a strange root"));
    let (between, strange_between) =
        (root.intermediate("the one between"), strange.intermediate("a strange one between"));
    let (own, key) = between.server();
    let (strange_own, strange_key) = strange_between.server();
    let lone = KeyPair::generate().expect("a key");
    let self_signed = server().self_signed(&lone).expect("signs").pem();
    let dir = tempfile::tempdir().expect("a directory");
    let extra_ca = dir.path().join("root.pem");
    std::fs::write(&extra_ca, &root.pem).expect("written");
    let gateway = start(|config| config.outbound.extra_ca = Some(extra_ca)).await;

    let missing = "the server did not send its intermediate certificate";
    let untrusted = "self-signed, or of an authority that is not trusted here";
    let whole = [own.as_str(), &between.pem].concat();
    for (what, chain, key, words) in [
        ("all that is needed", whole.as_str(), &key, None),
        ("with the root, which is more than that", &[&whole, root.pem.as_str()].concat(), &key, None),
        ("the server's own alone", &own, &key, Some(missing)),
        ("the root, but not what is between", &[&own, root.pem.as_str()].concat(), &key, Some(missing)),
        ("another one's intermediate", &[&own, strange.pem.as_str()].concat(), &key, Some(missing)),
        ("self-signed", &self_signed, &lone, Some(untrusted)),
        (
            "a root that nobody knows",
            &[&strange_own, strange_between.pem.as_str()].concat(),
            &strange_key,
            Some(untrusted),
        ),
        (
            "the same with that root",
            &[&strange_own, strange_between.pem.as_str(), &strange.pem].concat(),
            &strange_key,
            Some(untrusted),
        ),
    ] {
        let url = receiver(chain, key).await;
        let hook =
            webhook(&gateway, &url, json!({"retry_schedule": [], "events": ["certificate.tried"]})).await;
        let event = json!({"event": "certificate.tried", "payload": {}, "webhook_id": hook["id"]});
        let (status, sent) = gateway.api("POST", "/events", Some(event)).await;
        assert_eq!(status, 202, "{sent}");
        let ended = |delivery: &serde_json::Value| delivery["completed_at"].is_string();
        let delivery = delivery(&gateway, &hook, ended).await;
        let error = &delivery["attempts"][0]["error"];
        match words {
            None => assert_eq!(delivery["status"], "success", "{what}: {delivery}"),
            Some(words) => {
                assert_eq!(
                    (&delivery["status"], &error["code"]),
                    (&json!("failed"), &json!("tls")),
                    "{what}"
                );
                let message = error["message"].as_str().expect("words");
                assert!(message.contains(words), "{what}: {message}");
                assert_eq!(message.contains("intermediate"), words == missing, "{what}: {message}");
                assert_eq!(message.contains("the one between"), words == missing, "{what}: {message}");
            }
        }
    }
}
