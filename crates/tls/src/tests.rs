//! Files that change under a listener, seen by real TLS clients on real sockets.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{Accepted, Files, Tls};
use vocabulary::der::Certificate;

/// Often enough that nobody waits.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the log says, as a writer.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// All that was written since this was last asked.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("sound"))).expect("text")
    }
}

impl io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("sound").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An authority of servers and clients, its files, and a listener that greets with them.
struct Place {
    dir: TempDir,
    authority: Issuer<'static, KeyPair>,
    root: String,
    said: Said,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Place {
    async fn new() -> (Self, tracing::subscriber::DefaultGuard) {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("signs").pem();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listens");
        let place = Self {
            dir: tempfile::tempdir().expect("a directory"),
            authority: Issuer::new(params, key),
            root,
            said: Said::default(),
            address: listener.local_addr().expect("bound"),
            stop: CancellationToken::new(),
        };
        let (certificate, key) = place.issued("first", 1);
        place.write("server.pem", &certificate);
        place.write("server.key", &key);
        place.write("ca.pem", &place.root);
        place.write("revoked.crl", &place.revoking(99));
        let said = place.said.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || said.clone()).finish();
        let guard = tracing::subscriber::set_default(log);
        let tls = Tls::load(Files {
            certificates: vec![place.path("server.pem")],
            keys: vec![place.path("server.key")],
            client_ca: Some(place.path("ca.pem")),
            client_crl: Some(place.path("revoked.crl")),
        });
        let tls = tls.expect("the files can be used");
        tokio::spawn(tls.config.clone().watch_every(LOOK_EVERY, place.stop.clone()));
        tokio::spawn(echo(listener, tls));
        (place, guard)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// A certificate for 127.0.0.1 and its key, both PEM.
    fn issued(&self, name: &str, number: u64) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![rcgen::SanType::IpAddress([127, 0, 0, 1].into())];
        params.serial_number = Some(number.into());
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.authority).expect("signs").pem(), key.serialize_pem())
    }

    /// A list that revokes the certificate of this number.
    fn revoking(&self, number: u64) -> String {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2036, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: number.into(),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.authority).expect("signs").pem().expect("PEM")
    }

    /// A connection that stands, without a certificate of the client's own or with one.
    async fn connect(&self, own: Option<&(String, String)>) -> Option<Connection> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root.as_bytes()).expect("PEM")).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
                )
                .expect("a pair"),
        };
        let stream = TcpStream::connect(self.address).await.expect("TCP connects");
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let mut connection = Connection(stream);
        // In TLS 1.3 a certificate is refused after the client has done its part.
        connection.stands().await.then_some(connection)
    }

    /// The name of the server's certificate, to a new client.
    async fn shown(&self) -> String {
        let connection = self.connect(None).await.expect("is let in");
        let (_, session) = connection.0.get_ref();
        let leaf = Certificate::read(&session.peer_certificates().expect("a certificate")[0]).expect("one");
        leaf.common_names[0].clone()
    }

    /// Waits until the log says this.
    async fn told(&self, words: &str) -> String {
        let mut said = String::new();
        until(words, async || {
            said += &self.said.take();
            said.contains(words)
        })
        .await;
        said
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Connection(TlsStream<TcpStream>);

impl Connection {
    async fn stands(&mut self) -> bool {
        let mut echoed = [0];
        self.0.write_all(b"x").await.is_ok() && self.0.read_exact(&mut echoed).await.is_ok()
    }
}

/// Greets clients and gives back what they say.
async fn echo(listener: TcpListener, tls: Arc<Tls>) {
    loop {
        let (stream, _) = listener.accept().await.expect("accepts");
        let tls = tls.clone();
        tokio::spawn(async move {
            let Ok(Accepted { mut stream, .. }) = tls.accept(stream).await else { return };
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {
                let _ = stream.flush().await;
            }
        });
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(20), "still not so: {what}");
        sleep(LOOK_EVERY).await;
    }
}

const IN_FORCE: &str = "have changed and cannot be used, the old ones stay in force: ";

#[tokio::test]
async fn half_a_file_changes_nothing_and_the_whole_one_does() {
    let (place, _log) = Place::new().await;
    let mut held = place.connect(None).await.expect("is let in");
    let (certificate, key) = place.issued("second", 2);
    for (half, words) in [
        // Broken off in the middle of its base64, before its first line, and the chain before its key.
        (&certificate[..certificate.len() / 2], "server.pem: "),
        ("", "server.pem: holds no certificate in PEM"),
        (&certificate, "server.key: is not the key of the certificate in "),
    ] {
        place.write("server.pem", half);
        let said = place.told(words).await;
        assert!(said.contains(IN_FORCE), "{said}");
        assert_eq!(place.shown().await, "first", "{words}");
    }
    std::fs::remove_file(place.path("server.key")).expect("is there");
    place.told("server.key: cannot be read").await;
    assert_eq!(place.shown().await, "first");
    place.write("server.key", &key);
    place.told("were read anew").await;
    assert_eq!(place.shown().await, "second");
    assert!(held.stands().await, "it keeps what it was greeted with");
}

#[tokio::test]
async fn what_changes_before_somebody_watches_is_not_missed() {
    let (place, _log) = Place::new().await;
    let files = Files {
        certificates: vec![place.path("server.pem")],
        keys: vec![place.path("server.key")],
        ..Files::default()
    };
    let tls = Tls::load(files).expect("the files can be used");
    let before = tls.config.current();
    // As a start does that has a long way between the two.
    let (certificate, key) = place.issued("second", 2);
    place.write("server.key", &key);
    place.write("server.pem", &certificate);
    tokio::spawn(tls.config.clone().watch_every(LOOK_EVERY, place.stop.clone()));
    until("it was read anew", async || !Arc::ptr_eq(&before, &tls.config.current())).await;
}

#[tokio::test]
async fn who_is_revoked_follows_the_list_but_not_its_disappearance() {
    let (place, _log) = Place::new().await;
    let own = place.issued("a client", 7);
    let is_let_in = async || place.connect(Some(&own)).await.is_some();
    let mut held = place.connect(Some(&own)).await.expect("is let in");
    let list = place.revoking(7);
    place.write("revoked.crl", &list);
    until("the list counts", async || !is_let_in().await).await;
    place.said.take();
    for half in [&list[..list.len() / 2], ""] {
        place.write("revoked.crl", half);
        let said = place.told("revoked.crl: ").await;
        assert!(said.contains(IN_FORCE) && !is_let_in().await, "{said}");
    }
    std::fs::remove_file(place.path("revoked.crl")).expect("is there");
    place.told("revoked.crl: cannot be read").await;
    assert!(!is_let_in().await, "a list that is lost takes nothing back");
    // One that does not name it does.
    place.write("revoked.crl", &place.revoking(8));
    place.told("were read anew").await;
    assert!(is_let_in().await);
    assert!(held.stands().await, "whoever is connected stays so");
}
