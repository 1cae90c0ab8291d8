//! Behind proxies: whose word about clients counts, for what, and that nobody else can lend themselves an
//! address, an encryption or a certificate. And the listener that metrics have for themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chargehook::config::Config;
use chargehook::station::Admission;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Charger, Running, eventually, http_client, start};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");
const FOR: &str = "X-Forwarded-For";
const PROTO: &str = "X-Forwarded-Proto";
const CERTIFICATE: &str = "X-Client-Cert";

fn trusting(networks: &[&str]) -> impl FnOnce(&mut Config) {
    let networks: Vec<_> = networks.iter().map(|text| text.parse().expect("a network")).collect();
    move |config| {
        config.ocpp.trusted_proxies = networks.clone();
        config.api.trusted_proxies = networks;
        config.ocpp.tls_client_cert_header = Some(CERTIFICATE.parse().expect("a name"));
    }
}

fn basic(station: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{station}:a password")))
}

async fn knock(gateway: &Running, station: &str, headers: &[(&str, &str)]) -> u16 {
    let headers = [&[OCPP16], headers].concat();
    match Charger::connect(gateway.ocpp(), &format!("/ocpp/{station}"), &headers).await {
        Ok(_) => 101,
        Err(response) => response.status().as_u16(),
    }
}

/// What the newest `StationConnected` tells, once there are so many of them.
async fn connected(gateway: &Running, station: &str, times: usize) -> (String, u64) {
    let payload = eventually("the connection is on record", || async {
        let mut events = gateway.events_of(station, "StationConnected").await;
        (events.len() >= times).then(|| events.pop()).flatten().map(|event| event["payload"].clone())
    })
    .await;
    let address = payload["remote_addr"].as_str().expect("an address").to_owned();
    (address, payload["security_profile"].as_u64().expect("a profile"))
}

async fn newest_refusal(gateway: &Running, station: &str) -> Value {
    eventually("the refusal is on record", || async {
        let found = gateway.events_of(station, "StationRejected").await.pop()?;
        Some(found["payload"].clone())
    })
    .await
}

async fn make(gateway: &Running, station: Value) {
    let (status, body) = gateway.api("POST", "/stations", Some(station)).await;
    assert_eq!(status, 201, "{body}");
}

/// Who signs the certificates of stations.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "stations");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { pem: params.self_signed(&key).expect("signs").pem(), issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> rcgen::Certificate {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        params.signed_by(&KeyPair::generate().expect("a key"), &self.issuer).expect("signs")
    }
}

/// As nginx writes a certificate into a header.
fn escaped(certificate: &rcgen::Certificate) -> String {
    utf8_percent_encode(&certificate.pem(), NON_ALPHANUMERIC).to_string()
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_address_and_the_encryption() {
    let gateway = start(|config| {
        trusting(&["127.0.0.0/8"])(config);
        // One station here comes with lower profiles than before.
        config.stations.ratchet_profile = false;
    })
    .await;
    make(&gateway, json!({"station_id": "CP", "password": "a password"})).await;
    let password = basic("CP");
    let with = |headers: &[(&'static str, &'static str)]| {
        let mut all = vec![("Authorization", password.as_str())];
        all.extend(headers);
        all
    };
    // Each time at once, so that no later one can be taken for it.
    for (times, (headers, address, profile)) in [
        (&[(FOR, "1.1.1.1, 203.0.113.7"), (PROTO, "https")][..], "203.0.113.7", 2),
        (&[(FOR, "[2001:db8::7]:4711"), (PROTO, "wss")], "[2001:db8::7]:4711", 2),
        (&[(FOR, "1.1.1.1"), (FOR, "203.0.113.8, 127.0.0.2"), (PROTO, "http")], "203.0.113.8", 1),
        (&[(FOR, "203.0.113.9")], "203.0.113.9", 1),
        (&[(PROTO, "https, http")], "127.0.0.1:", 1),
        (&[(FOR, "nonsense"), (PROTO, "https")], "127.0.0.1:", 2),
        (&[], "127.0.0.1:", 1),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(knock(&gateway, "CP", &with(headers)).await, 101, "{headers:?}");
        let (seen, with_profile) = connected(&gateway, "CP", times + 1).await;
        assert!(seen.starts_with(address) && with_profile == profile, "{headers:?}: {seen} {with_profile}");
        if !address.ends_with(':') {
            assert_eq!(seen, address);
        }
    }
    let (status, _) = gateway.api("PATCH", "/stations/CP", Some(json!({"min_security_profile": 2}))).await;
    assert_eq!(status, 200);
    assert_eq!(knock(&gateway, "CP", &with(&[(FOR, "203.0.113.7"), (PROTO, "http")])).await, 403);
    assert_eq!(newest_refusal(&gateway, "CP").await["remote_addr"], "203.0.113.7");
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let certificate = STANDARD.encode(Authority::new().sign("CP", |_| {}).der());
    let told = [(FOR, "203.0.113.7"), (PROTO, "https"), (CERTIFICATE, certificate.as_str())];
    for networks in [&["10.0.0.0/8", "2001:db8::/32"][..], &["127.0.0.2/32"]] {
        let gateway = start(trusting(networks)).await;
        make(&gateway, json!({"station_id": "CP", "password": "a password", "min_security_profile": 2}))
            .await;
        make(&gateway, json!({"station_id": "FREE", "password": "a password"})).await;
        assert_eq!(knock(&gateway, "CP", &told).await, 401, "a certificate in a header is none");
        let password = basic("CP");
        let with_password = [&told[..], &[("Authorization", password.as_str())]].concat();
        assert_eq!(knock(&gateway, "CP", &with_password).await, 403);
        let refusal = newest_refusal(&gateway, "CP").await;
        assert_eq!(refusal["reason"], "security_profile_too_low");
        assert!(refusal["remote_addr"].as_str().is_some_and(|seen| seen.starts_with("127.0.0.1:")));
        let password = basic("FREE");
        let with_password = [&told[..], &[("Authorization", password.as_str())]].concat();
        assert_eq!(knock(&gateway, "FREE", &with_password).await, 101);
        let (seen, profile) = connected(&gateway, "FREE", 1).await;
        assert!(seen.starts_with("127.0.0.1:") && profile == 1, "{seen} {profile}");
    }
}

#[tokio::test]
async fn a_certificate_that_a_proxy_hands_on_is_profile_3() {
    let authority = Authority::new();
    let gateway = start(trusting(&["127.0.0.1/32"])).await;
    make(&gateway, json!({"station_id": "CP", "password": "a password", "min_security_profile": 3})).await;
    make(&gateway, json!({"station_id": "BY_SERIAL", "certificate_name": "SN-0815"})).await;
    let own = authority.sign("CP", |_| {});
    let (pem, der) = (escaped(&own), STANDARD.encode(own.der()));
    let rfc_9440 = format!(":{der}:");
    for value in [&pem, &der, &rfc_9440] {
        assert_eq!(knock(&gateway, "CP", &[(PROTO, "https"), (CERTIFICATE, value)]).await, 101, "{value}");
    }
    assert_eq!(connected(&gateway, "CP", 3).await.1, 3);
    let by_serial = escaped(&authority.sign("SN-0815", |_| {}));
    assert_eq!(knock(&gateway, "BY_SERIAL", &[(PROTO, "wss"), (CERTIFICATE, &by_serial)]).await, 101);
    assert_eq!(connected(&gateway, "BY_SERIAL", 1).await.1, 3);

    // Somebody else's, none that can be read, and two: nobody's.
    for wrong in
        [&[(CERTIFICATE, by_serial.as_str())][..], &[(CERTIFICATE, "x")], &[(CERTIFICATE, pem.as_str()); 2]]
    {
        let headers = [&[(PROTO, "https")][..], wrong].concat();
        assert_eq!(knock(&gateway, "CP", &headers).await, 403, "{wrong:?}");
        assert_eq!(newest_refusal(&gateway, "CP").await["reason"], "wrong_certificate");
    }
    // A certificate can only have been shown where the connection was encrypted.
    for proto in [&[(PROTO, "http")][..], &[], &[(PROTO, "")], &[(PROTO, "https"), (PROTO, "http")]] {
        let headers = [proto, &[(CERTIFICATE, pem.as_str())]].concat();
        assert_eq!(knock(&gateway, "CP", &headers).await, 401, "{proto:?}");
    }
    // Where there is none the password counts, and is not enough here.
    let password = basic("CP");
    let headers = [(PROTO, "https"), (CERTIFICATE, ""), ("Authorization", password.as_str())];
    assert_eq!(knock(&gateway, "CP", &headers).await, 403);
    assert_eq!(newest_refusal(&gateway, "CP").await["reason"], "security_profile_too_low");
}

#[tokio::test]
async fn with_authorities_a_certificate_is_checked_here_too() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("stations.pem");
    std::fs::write(&file, &authority.pem).expect("written");
    let gateway = start(|config| {
        trusting(&["127.0.0.1/32"])(config);
        config.ocpp.tls_client_ca = Some(file.clone());
        config.ocpp.tls_client_organization = Some("CPO".to_owned());
    })
    .await;
    let cpo =
        |params: &mut CertificateParams| params.distinguished_name.push(DnType::OrganizationName, "CPO");
    let knock = async |certificate: &rcgen::Certificate| {
        knock(&gateway, "CP", &[(PROTO, "https"), (CERTIFICATE, &escaped(certificate))]).await
    };
    assert_eq!(knock(&authority.sign("CP", cpo)).await, 101);
    assert_eq!(knock(&authority.sign("CP", |_| {})).await, 403, "of no organisation");
    let strangers = stranger.sign("CP", cpo);
    assert_eq!(knock(&strangers).await, 403, "of an authority that nobody knows");
    let expired = authority.sign("CP", |params| {
        cpo(params);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    assert_eq!(knock(&expired).await, 403, "expired");
    std::fs::write(&file, &stranger.pem).expect("written");
    eventually("the file is read anew", || async { (knock(&strangers).await == 101).then_some(()) }).await;
}

#[tokio::test]
async fn floods_are_folded_by_the_address_that_the_proxy_tells() {
    let gateway = start(|config| {
        trusting(&["127.0.0.1/32"])(config);
        config.stations.unknown = Admission::Reject;
    })
    .await;
    for number in 0..12 {
        assert_eq!(
            knock(&gateway, "FLOOD", &[(FOR, "203.0.113.7"), (PROTO, "https")]).await,
            404,
            "{number}"
        );
    }
    assert_eq!(knock(&gateway, "OTHER", &[(FOR, "203.0.113.8")]).await, 404);
    assert_eq!(newest_refusal(&gateway, "OTHER").await["remote_addr"], "203.0.113.8");
    let told = gateway.events_of("FLOOD", "StationRejected").await;
    assert_eq!(told.len(), 10);
    assert!(told.iter().all(|event| event["payload"]["remote_addr"] == "203.0.113.7"));
}

/// A call of the API with one more header: its status.
async fn ask(gateway: &Running, key: &str, told: &str) -> u16 {
    let request = http_client().get(gateway.url("/api/v1/webhooks"));
    let response = request.header("X-API-Key", key).header(FOR, told).send().await.expect("answers");
    response.status().as_u16()
}

#[tokio::test]
async fn the_api_knows_addresses_by_its_trusted_proxies() {
    let one_guess = |config: &mut Config| config.api_limits.api_bad_keys_per_second = 1;
    let behind = start(|config| {
        trusting(&["127.0.0.1/32"])(config);
        one_guess(config);
    })
    .await;
    assert_eq!(ask(&behind, "chk_wrong", "203.0.113.7").await, 401);
    assert_eq!(ask(&behind, "chk_wrong", "1.1.1.1, 203.0.113.8").await, 401, "another address");
    let station = json!({"station_id": "CP"});
    let request = http_client().post(behind.url("/api/v1/stations")).header("X-API-Key", ADMIN_KEY);
    let made = request.header(FOR, "1.1.1.1, 203.0.113.9:7").json(&station).send().await.expect("answers");
    assert_eq!(made.status(), 201);
    assert_eq!(behind.get("/audit").await["data"][0]["remote_addr"], "203.0.113.9");

    let open = start(one_guess).await;
    make(&open, station).await;
    assert_eq!(open.get("/audit").await["data"][0]["remote_addr"], "127.0.0.1");
    // Whoever makes up an address for each guess is known by their own. A second gives one more guess.
    eventually("guesses run dry", || async {
        let told = format!("198.51.100.{}", rand_octet());
        (ask(&open, "chk_wrong", &told).await == 429).then_some(())
    })
    .await;
    assert_eq!(ask(&open, ADMIN_KEY, "198.51.100.1").await, 200, "a key in use is no guess");
}

fn rand_octet() -> u8 {
    let mut octet = [0];
    getrandom::fill(&mut octet).expect("randomness");
    octet[0]
}

#[tokio::test]
async fn metrics_may_have_a_listener_of_their_own() {
    let gateway = start(|config| config.api.metrics_listen = Some(([127, 0, 0, 1], 0).into())).await;
    let address = gateway.gateway.metrics_addr().expect("a listener");
    let http = http_client();
    let get = async |url: String| {
        let response = http.get(url).send().await.expect("answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    };
    let (status, text) = get(format!("http://{address}/metrics")).await;
    assert!(status == 200 && text.contains("chargehook_stations_connected 0"), "{status} {text}");
    let (status, text) = get(gateway.url("/metrics")).await;
    assert!(status == 404 && !text.contains("chargehook_stations_connected"), "{status} {text}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(gateway.url(path)).await.0, 200, "{path} stays");
    }
    for path in ["/healthz", "/api/v1/webhooks", "/openapi.json", "/docs/", "/"] {
        assert_eq!(get(format!("http://{address}{path}")).await.0, 404, "{path} is not there");
    }
    gateway.gateway.stop().await;
    assert!(http.get(format!("http://{address}/metrics")).send().await.is_err(), "stopped with the rest");
    let without = start(|_| {}).await;
    assert_eq!(without.gateway.metrics_addr(), None);
    assert_eq!(http.get(without.url("/metrics")).send().await.expect("answers").status(), 200);
}
