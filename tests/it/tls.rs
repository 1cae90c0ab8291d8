//! TLS through real clients: security profiles 2 and 3, versions, certificates, and what happens when their
//! files change.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chargehook::config::Config;
use chargehook::gateway::StartError;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use serde_json::json;
use tempfile::TempDir;
use tls::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::harness::{
    ADMIN_KEY, Charger, DEADLINE, Running, eventually, is_of_embedded, program, program_in, start,
};
use crate::scripted::obey;

pub(crate) const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");

/// A certificate with its key, both PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Who signs certificates.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signs").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn sign(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).expect("signs").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// A server at this address; its common name tells which certificate that was.
    fn server(&self, name: &str, key: &KeyPair) -> Identity {
        self.sign(key, |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            let address = std::net::IpAddr::from([127, 0, 0, 1]);
            params.subject_alt_names = vec![rcgen::SanType::IpAddress(address)];
        })
    }

    /// A station of the organisation `CPO`.
    pub(crate) fn station(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        self.sign(&KeyPair::generate().expect("a key"), |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params.distinguished_name.push(DnType::OrganizationName, "CPO");
            change(params);
        })
    }
}

fn rsa_key() -> KeyPair {
    KeyPair::from_pem(include_str!("../tls/rsa.key")).expect("an RSA key")
}

/// The files of a gateway: an ECDSA and an RSA certificate, and the stations' authority.
pub(crate) struct Place {
    dir: TempDir,
    pub(crate) servers: Authority,
    pub(crate) stations: Authority,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().expect("a directory"),
            servers: Authority::new("servers"),
            stations: Authority::new("stations"),
        };
        place.write("ecdsa", &place.servers.server("ecdsa 1", &KeyPair::generate().expect("a key")));
        place.write("rsa", &place.servers.server("rsa 1", &rsa_key()));
        std::fs::write(place.path("stations.pem"), &place.stations.certificate).expect("written");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, identity: &Identity) {
        std::fs::write(self.path(&format!("{name}.key")), &identity.key).expect("written");
        std::fs::write(self.path(&format!("{name}.pem")), &identity.certificate).expect("written");
    }

    pub(crate) fn encrypt(&self, config: &mut Config) {
        config.ocpp.tls_certificate = vec![self.path("ecdsa.pem"), self.path("rsa.pem")];
        config.ocpp.tls_key = vec![self.path("ecdsa.key"), self.path("rsa.key")];
        config.ocpp.tls_client_ca = Some(self.path("stations.pem"));
    }

    pub(crate) fn client(&self) -> Client {
        Client { roots: self.servers.certificate.clone(), identity: None, schemes: None, versions: None }
    }

    pub(crate) fn client_of(&self, identity: Identity) -> Client {
        Client { identity: Some(identity), ..self.client() }
    }
}

/// How a client greets.
pub(crate) struct Client {
    pub(crate) roots: String,
    pub(crate) identity: Option<Identity>,
    /// What the schemes begin with that it takes from a server; `None`: all of them.
    schemes: Option<&'static str>,
    versions: Option<&'static SupportedProtocolVersion>,
}

impl Client {
    fn config(&self) -> ClientConfig {
        let mut provider = rustls::crypto::ring::default_provider();
        if let Some(wanted) = self.schemes {
            let verifiers = &mut provider.signature_verification_algorithms;
            let mapping = verifiers.mapping.iter().copied();
            let is_wanted = |scheme: &str| scheme.starts_with(wanted);
            let mapping = mapping.filter(|(scheme, _)| scheme.as_str().is_some_and(is_wanted));
            verifiers.mapping = mapping.collect::<Vec<_>>().leak();
        }
        let versions = self.versions.map_or(rustls::ALL_VERSIONS.to_vec(), |one| vec![one]);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.roots.as_bytes()).expect("PEM")).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)
            .expect("versions")
            .with_root_certificates(roots);
        match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
                        .collect::<Result<Vec<_>, _>>()
                        .expect("PEM"),
                    PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM"),
                )
                .expect("a pair"),
        }
    }

    async fn greet(&self, address: SocketAddr) -> std::io::Result<Stream> {
        let stream = TcpStream::connect(address).await.expect("TCP connects");
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(Arc::new(self.config())).connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }

    /// The status of the handshake; `None` if there is no TLS.
    pub(crate) async fn knock(
        &self,
        address: SocketAddr,
        station: &str,
        password: Option<&str>,
    ) -> Option<u16> {
        match self.dial(address, station, password).await? {
            Ok(_) => Some(101),
            Err(response) => Some(response.status().as_u16()),
        }
    }

    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        station: &str,
        password: Option<&str>,
    ) -> Option<Result<Charger, http::Response<Option<Vec<u8>>>>> {
        let stream = self.greet(address).await.ok()?;
        let credentials =
            password.map(|password| format!("Basic {}", STANDARD.encode(format!("{station}:{password}"))));
        let mut headers = vec![OCPP16];
        headers.extend(credentials.as_deref().map(|value| ("Authorization", value)));
        let url = format!("ws://{address}/ocpp/{station}");
        // In TLS 1.3 a server refuses a certificate after the client has done its part.
        Charger::attempt(stream, &url, &headers).await
    }
}

/// The common name of the server's certificate, and the version that was agreed on.
fn shown(stream: &Stream) -> (String, ProtocolVersion) {
    let Stream::Tls(stream) = stream else { panic!("encrypted") };
    let (_, session) = stream.get_ref();
    let leaf = &session.peer_certificates().expect("a certificate")[0];
    let text = String::from_utf8_lossy(leaf).into_owned();
    let name = ["ecdsa 1", "ecdsa 2", "rsa 1"].into_iter().find(|name| text.contains(name));
    (name.expect("one of ours").to_owned(), session.protocol_version().expect("agreed"))
}

/// What a bare connection is answered until it is closed.
async fn said_to(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.expect("sends");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until the station's newest connection on record has this security profile.
pub(crate) async fn connected_with(gateway: &Running, station: &str, profile: u64) {
    eventually("the connection is on record", || async {
        let newest = gateway.events_of(station, "StationConnected").await.pop()?;
        (newest["payload"]["security_profile"] == profile).then_some(())
    })
    .await;
}

async fn rejected(gateway: &Running, station: &str) -> (String, u64) {
    let found = eventually("the refusal is on record", || async {
        gateway.events_of(station, "StationRejected").await.pop()
    })
    .await;
    let payload = &found["payload"];
    (payload["reason"].as_str().expect("a reason").to_owned(), payload["http_status"].as_u64().expect("one"))
}

pub(crate) async fn make(gateway: &Running, station: serde_json::Value) {
    let (status, body) = gateway.api("POST", "/stations", Some(station)).await;
    assert_eq!(status, 201, "{body}");
}

#[tokio::test]
async fn case_18_profile_2_with_the_certificate_that_the_client_can_check() {
    let place = Place::new();
    let gateway = start(|config| place.encrypt(config)).await;
    for (versions, agreed) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for (schemes, name) in [("RSA", "rsa 1"), ("ECDSA", "ecdsa 1")] {
            let client = Client { versions: Some(versions), schemes: Some(schemes), ..place.client() };
            let stream = client.greet(gateway.ocpp()).await.expect("greets");
            assert_eq!(shown(&stream), (name.to_owned(), agreed));
        }
    }
    make(&gateway, json!({"station_id": "CP", "password": "a password", "min_security_profile": 2})).await;
    let client = place.client();
    assert_eq!(client.knock(gateway.ocpp(), "CP", None).await, Some(401));
    assert_eq!(client.knock(gateway.ocpp(), "CP", Some("wrong")).await, Some(401));
    let mut charger =
        client.dial(gateway.ocpp(), "CP", Some("a password")).await.expect("TLS").expect("welcome");
    charger.still_serves().await;
    connected_with(&gateway, "CP", 2).await;
    assert_eq!(gateway.get("/stations/CP").await["security_profile"], 2);
    // Encrypted, but nothing is proved.
    assert_eq!(client.knock(gateway.ocpp(), "OPEN", None).await, Some(101));
    connected_with(&gateway, "OPEN", 0).await;
    // Nothing is spoken in the clear where TLS is.
    let mut plain = TcpStream::connect(gateway.ocpp()).await.expect("connects");
    let answer = said_to(&mut plain, "GET /ocpp/CP HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!answer.starts_with("HTTP/"), "{answer}");
}

#[tokio::test]
async fn case_19_profile_3_lets_in_whom_a_valid_certificate_names() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_client_organization = Some("CPO".to_owned());
    })
    .await;
    make(&gateway, json!({"station_id": "CP", "password": "a password", "min_security_profile": 3})).await;
    make(&gateway, json!({"station_id": "BY_SERIAL", "certificate_name": "SN-0815"})).await;
    let knock = async |station: &str, identity: Identity| {
        place.client_of(identity).knock(gateway.ocpp(), station, None).await
    };
    let stations = &place.stations;
    assert_eq!(knock("CP", stations.station("CP", |_| {})).await, Some(101));
    connected_with(&gateway, "CP", 3).await;
    assert_eq!(knock("BY_SERIAL", stations.station("SN-0815", |_| {})).await, Some(101));
    let by_alternative_name = stations.station("something", |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("CP".try_into().expect("a name"))];
    });
    assert_eq!(knock("CP", by_alternative_name).await, Some(101));

    assert_eq!(knock("CP", stations.station("SN-0815", |_| {})).await, Some(403));
    assert_eq!(rejected(&gateway, "CP").await, ("wrong_certificate".to_owned(), 403));
    let of_another =
        stations.station("CP", |params| params.distinguished_name.push(DnType::OrganizationName, "Other"));
    assert_eq!(knock("CP", of_another).await, Some(403), "another organisation");
    let expired = stations.station("CP", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    assert_eq!(knock("CP", expired).await, None, "expired");
    assert_eq!(
        knock("CP", Authority::new("stations").station("CP", |_| {})).await,
        None,
        "unknown authority"
    );

    // On the same listener the password counts for those who show no certificate.
    make(&gateway, json!({"station_id": "SECOND", "password": "a password"})).await;
    let client = place.client();
    assert_eq!(client.knock(gateway.ocpp(), "SECOND", Some("a password")).await, Some(101));
    assert_eq!(client.knock(gateway.ocpp(), "CP", Some("a password")).await, Some(403));
    assert_eq!(rejected(&gateway, "CP").await.0, "security_profile_too_low");
}

#[tokio::test]
async fn case_20_a_profile_is_left_behind_once_the_next_one_was_used() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    })
    .await;
    let encrypted = gateway.gateway.ocpps_addr().expect("a second listener");
    make(&gateway, json!({"station_id": "CP", "password": "a password"})).await;
    let header = format!("Basic {}", STANDARD.encode("CP:a password"));
    let headers = [OCPP16, ("Authorization", header.as_str())];
    let plainly = async || Charger::connect(gateway.ocpp(), "/ocpp/CP", &headers).await;
    let status =
        |refused: Result<Charger, http::Response<_>>| refused.err().map(|answer| answer.status().as_u16());
    let raise = async |charger: &mut Charger, to: &str| {
        let payload = json!({"key": "SecurityProfile", "value": to});
        let accepted = json!({"status": "Accepted"});
        obey(&gateway, charger, "CP", "ChangeConfiguration", payload, accepted).await;
    };
    let password = Some("a password");

    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    let mut charger = plainly().await.expect("welcome");
    charger.call("BootNotification", boot).await;
    raise(&mut charger, "2").await;
    // It may fail at the higher one, and come back as it was.
    let mut charger = plainly().await.expect("welcome");
    charger.still_serves().await;
    let client = place.client();
    let mut charger = client.dial(encrypted, "CP", password).await.expect("TLS").expect("welcome");
    charger.still_serves().await;
    connected_with(&gateway, "CP", 2).await;
    assert_eq!(status(plainly().await), Some(403));
    assert_eq!(rejected(&gateway, "CP").await, ("security_profile_too_low".to_owned(), 403));

    raise(&mut charger, "3").await;
    assert_eq!(client.knock(encrypted, "CP", password).await, Some(101));
    let certain = place.client_of(place.stations.station("CP", |_| {}));
    let mut charger = certain.dial(encrypted, "CP", None).await.expect("TLS").expect("welcome");
    charger.still_serves().await;
    connected_with(&gateway, "CP", 3).await;
    assert_eq!(gateway.get("/stations/CP").await["min_security_profile"], 3);
    assert_eq!(client.knock(encrypted, "CP", password).await, Some(403));

    // Only the operator goes back.
    let lower = json!({"min_security_profile": 1});
    assert_eq!(gateway.api("PATCH", "/stations/CP", Some(lower)).await.0, 200);
    assert_eq!(status(plainly().await), None);
}

#[tokio::test]
async fn taking_the_password_away_locks_nobody_out() {
    let gateway = start(|_| {}).await;
    let connect = async |station: &str, password: Option<&str>| {
        let credentials = STANDARD.encode(format!("{station}:{}", password.unwrap_or_default()));
        let header = format!("Basic {credentials}");
        let mut headers = vec![OCPP16];
        headers.extend(password.map(|_| ("Authorization", header.as_str())));
        match Charger::connect(gateway.ocpp(), &format!("/ocpp/{station}"), &headers).await {
            Ok(mut charger) => {
                charger.still_serves().await;
                None
            }
            Err(answer) => Some(answer.status().as_u16()),
        }
    };
    let patch = async |station: &str, body: serde_json::Value| {
        let (status, station) = gateway.api("PATCH", &format!("/stations/{station}"), Some(body)).await;
        assert_eq!(status, 200, "{station}");
        station["min_security_profile"].as_u64()
    };
    let without = json!({"password": null});
    make(&gateway, json!({"station_id": "RAISED", "password": "a password"})).await;
    assert_eq!(connect("RAISED", Some("a password")).await, None);
    assert_eq!(patch("RAISED", json!({"name": "nothing to do with it"})).await, Some(1));
    assert_eq!(patch("RAISED", without.clone()).await, Some(0));
    assert_eq!(connect("RAISED", None).await, None);
    // What the operator has written is not undone by the way.
    make(&gateway, json!({"station_id": "WRITTEN", "password": "a password", "min_security_profile": 1}))
        .await;
    assert_eq!(connect("WRITTEN", Some("a password")).await, None);
    assert_eq!(patch("WRITTEN", without).await, Some(1));
    assert_eq!(connect("WRITTEN", None).await, Some(403));
}

#[tokio::test]
async fn profiles_go_down_again_where_the_ratchet_is_off() {
    let header = format!("Basic {}", STANDARD.encode("CP:a password"));
    let headers = [OCPP16, ("Authorization", header.as_str())];

    let lenient = start(|config| config.stations.ratchet_profile = false).await;
    make(&lenient, json!({"station_id": "CP", "password": "a password"})).await;
    let mut charger = Charger::connect(lenient.ocpp(), "/ocpp/CP", &headers).await.expect("welcome");
    charger.still_serves().await;
    assert_eq!(lenient.get("/stations/CP").await["min_security_profile"], 0);
}

#[tokio::test]
async fn two_listeners_are_one_gateway() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    })
    .await;
    let encrypted = gateway.gateway.ocpps_addr().expect("a second listener");
    make(&gateway, json!({"station_id": "CP", "password": "a password"})).await;
    let header = format!("Basic {}", STANDARD.encode("CP:a password"));
    let mut plain = Charger::connect(gateway.ocpp(), "/ocpp/CP", &[OCPP16, ("Authorization", &header)])
        .await
        .expect("welcome");
    plain.still_serves().await;
    connected_with(&gateway, "CP", 1).await;
    let mut charger =
        place.client().dial(encrypted, "CP", Some("a password")).await.expect("TLS").expect("welcome");
    // The newest connection takes over, whichever way it comes.
    plain.closed().await;
    charger.still_serves().await;
    connected_with(&gateway, "CP", 2).await;
}

#[tokio::test]
async fn changed_files_are_read_anew_and_nobody_is_dropped() {
    let place = Place::new();
    let gateway = start(|config| place.encrypt(config)).await;
    let address = gateway.ocpp();
    let client = place.client();
    let mut charger = client.dial(address, "CP", None).await.expect("TLS").expect("welcome");
    let certificate_now = async || shown(&client.greet(address).await.expect("greets")).0;
    assert_eq!(certificate_now().await, "ecdsa 1");

    let second = place.servers.server("ecdsa 2", &KeyPair::generate().expect("a key"));
    // First the key alone: it does not fit the old certificate, which stays in force.
    std::fs::write(place.path("ecdsa.key"), &second.key).expect("written");
    charger.still_serves().await;
    assert_eq!(certificate_now().await, "ecdsa 1");
    std::fs::write(place.path("ecdsa.pem"), &second.certificate).expect("written");
    eventually("the new certificate is shown", || async {
        (certificate_now().await == "ecdsa 2").then_some(())
    })
    .await;

    // Who is trusted changes too.
    let others = Authority::new("stations");
    let stranger = place.client_of(others.station("NEW", |_| {}));
    assert_eq!(stranger.knock(address, "NEW", None).await, None);
    std::fs::write(place.path("stations.pem"), &others.certificate).expect("written");
    eventually("the new authority is trusted", || async {
        (stranger.knock(address, "NEW", None).await == Some(101)).then_some(())
    })
    .await;
    charger.still_serves().await;
}

#[tokio::test]
async fn the_api_speaks_tls() {
    let place = Place::new();
    let gateway = start(|config| {
        config.api.tls_certificate = vec![place.path("ecdsa.pem")];
        config.api.tls_key = vec![place.path("ecdsa.key")];
    })
    .await;
    let root = reqwest::Certificate::from_pem(place.servers.certificate.as_bytes()).expect("a certificate");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().expect("a client");
    let url = format!("https://{}/api/v1/stations", gateway.gateway.api_addr());
    let response = http.get(url).header("X-API-Key", ADMIN_KEY).send().await.expect("answers");
    assert_eq!(response.status(), 200);
    assert!(http.get(gateway.url("/healthz")).send().await.is_err(), "nothing in the clear");

    let authority = place.path("servers.pem");
    std::fs::write(&authority, &place.servers.certificate).expect("written");
    let list = async |ca: &Path| {
        let mut command = program();
        command.args(["stations", "list", "--api-key", ADMIN_KEY, "--ca"]).arg(ca);
        command.args(["--url", &format!("https://{}", gateway.gateway.api_addr())]);
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.expect("runs").expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(list(&authority).await, (Some(0), String::new()));
    let (code, said) = list(&place.path("stations.pem")).await;
    assert!(code == Some(1) && said.contains("certificate"), "{said}");
}

#[tokio::test]
async fn slow_greetings_are_not_waited_for() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        config.limits.handshake_timeout = vocabulary::units::Span(std::time::Duration::from_millis(300));
    })
    .await;
    let mut silent = TcpStream::connect(gateway.ocpp()).await.expect("connects");
    let closed = said_to(&mut silent, "\u{16}\u{3}").await;
    assert_eq!(closed, "");
}

/// What `serve` says to files that it cannot use.
fn serve(change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = program_in(dir.path());
    command.args(["serve", "--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(dir.path());
    change(&mut command);
    let output = command.output().expect("runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_key() {
    let place = Place::new();
    let text = |path: &Path| path.display().to_string();
    let (certificate, key) = (place.path("ecdsa.pem"), place.path("ecdsa.key"));
    std::fs::write(place.path("empty.pem"), "nothing").expect("written");
    let empty = place.path("empty.pem");
    for (certificate, key, ca, words) in [
        (&place.path("no.pem"), &key, None, "ocpp.tls_certificate: "),
        (&empty, &key, None, "holds no certificate in PEM"),
        (&certificate, &empty, None, "holds no private key in PEM"),
        (&certificate, &place.path("rsa.key"), None, "ocpp.tls_key: "),
        (&certificate, &place.path("rsa.key"), None, "is not the key of the certificate in "),
        (&certificate, &key, Some(&empty), "ocpp.tls_client_ca: "),
    ] {
        let (code, said) = serve(|command| {
            command.env("CHARGEHOOK_OCPP_TLS_CERTIFICATE", text(certificate));
            command.env("CHARGEHOOK_OCPP_TLS_KEY", text(key));
            if let Some(ca) = ca {
                command.env("CHARGEHOOK_OCPP_TLS_CLIENT_CA", text(ca));
            }
        });
        assert!(code == Some(2) && said.contains(words), "{code:?}: {said}");
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_start_leaves_nothing_behind() {
    if is_of_embedded("the test store makes the directory by itself") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = crate::harness::config(&dir.path().join("data"));
    config.api.tls_certificate = vec!["no.pem".into()];
    config.api.tls_key = vec!["no.key".into()];
    let started = chargehook::gateway::Gateway::start(config, vocabulary::clock::Clock::System).await;
    let Err(StartError::Tls { key, .. }) = started else { panic!("refused") };
    assert_eq!(key, "api.tls_certificate");
    assert!(!dir.path().join("data").exists());
}

#[test]
fn the_ready_line_names_the_second_listener() {
    let place = Place::new();
    let dir = tempfile::tempdir().expect("a directory");
    let mut serve = program_in(dir.path())
        .args(["serve", "--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .env("CHARGEHOOK_OCPP_TLS_LISTEN", "127.0.0.1:0")
        .env("CHARGEHOOK_OCPP_TLS_CERTIFICATE", place.path("ecdsa.pem"))
        .env("CHARGEHOOK_OCPP_TLS_KEY", place.path("ecdsa.key"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = serve.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    serve.kill().expect("runs");
    serve.wait().expect("ends");
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, _, ocpp, api, ocpps] = words[..] else { panic!("five words, not {line:?}") };
    for (word, name) in [(ocpp, "ocpp="), (api, "api="), (ocpps, "ocpps=")] {
        let address: SocketAddr = word.strip_prefix(name).expect(name).parse().expect("an address");
        assert_ne!(address.port(), 0, "{line}");
    }
}

#[tokio::test]
async fn a_certificate_that_a_proxy_shows_for_itself_is_no_stations() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.trusted_proxies =
            vec!["127.0.0.1".parse::<std::net::IpAddr>().expect("an address").into()];
    })
    .await;
    make(&gateway, json!({"station_id": "CP", "min_security_profile": 3})).await;
    let proxy = place.client_of(place.stations.station("CP", |_| {}));
    for (told, status) in [
        // It tells of a client, so the connection and its certificate are its own.
        (Some(("X-Forwarded-For", "203.0.113.7")), 403),
        (Some(("X-Forwarded-Proto", "https")), 403),
        (None, 101),
    ] {
        let stream = proxy.greet(gateway.ocpp()).await.expect("TLS");
        let headers: Vec<_> = std::iter::once(OCPP16).chain(told).collect();
        let url = format!("ws://{}/ocpp/CP", gateway.ocpp());
        let answer = Charger::attempt(stream, &url, &headers).await.expect("an answer");
        assert_eq!(answer.map_or_else(|refused| refused.status().as_u16(), |_| 101), status, "{told:?}");
    }
}
