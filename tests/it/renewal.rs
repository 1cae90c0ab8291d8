//! Certificates that stations ask for: signed by the gateway's own authority, sent, and used.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chargehook::config::Config;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, date_time_ymd,
};
use serde_json::{Value, json};

use crate::harness::{Charger, Running, eventually, program, start};
use crate::scripted::obey;
use crate::tls::{Identity, Place, connected_with, make};

/// An authority between the root that everybody trusts and the stations.
fn sign_with_an_intermediate(place: &Place, config: &mut Config) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, "issuing");
    // Its name has two values of one kind: what it issues must name it just so.
    params.distinguished_name.push(DnType::OrganizationalUnitName, "Charging");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 11]), "Europe");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let certificate = params.signed_by(&key, &place.stations.issuer).expect("signs").pem();
    std::fs::write(place.path("issuing.pem"), certificate + place.stations.certificate.as_str())
        .expect("written");
    std::fs::write(place.path("issuing.key"), key.serialize_pem()).expect("written");
    config.ocpp.certificate_ca = Some(place.path("issuing.pem"));
    config.ocpp.certificate_ca_key = Some(place.path("issuing.key"));
}

/// What a station sends to have a key signed.
pub(crate) fn request(key: &KeyPair, name: &str, organization: &str) -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, name);
    // Whatever is asked for beside a name is not given.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.subject_alt_names = vec![rcgen::SanType::DnsName("OTHER".try_into().expect("a name"))];
    params.serialize_request(key).and_then(|request| request.pem()).expect("signs")
}

pub(crate) async fn boot(charger: &mut Charger) {
    charger.call("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})).await;
}

/// Asks for a certificate and is sent it, answer first: the chain.
pub(crate) async fn certified(charger: &mut Charger, csr: &str, verdict: &str) -> String {
    assert_eq!(charger.call("SignCertificate", json!({"csr": csr})).await, json!({"status": "Accepted"}));
    let called = charger.called().await;
    assert_eq!(called.action, "CertificateSigned");
    charger.answer(&called.id, json!({"status": verdict})).await;
    called.payload["certificateChain"].as_str().expect("PEM").to_owned()
}

pub(crate) async fn newest_command(gateway: &Running, station: &str, status: &str) -> Value {
    eventually("the command has ended", || async {
        let commands = gateway.get(&format!("/commands?station_id={station}&action=CertificateSigned")).await;
        let newest = commands["data"][0].clone();
        (newest["status"] == status).then_some(newest)
    })
    .await
}

#[tokio::test]
async fn case_21_a_certificate_is_renewed_triggered_or_not() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_client_organization = Some("CPO".to_owned());
        sign_with_an_intermediate(&place, config);
    })
    .await;
    make(&gateway, json!({"station_id": "CP", "min_security_profile": 3, "certificate_name": "SN-0815"}))
        .await;
    let old = place.client_of(place.stations.station("CP", |_| {}));
    let mut charger = old.dial(gateway.ocpp(), "CP", None).await.expect("TLS").expect("welcome");
    boot(&mut charger).await;

    let trigger = json!({"requestedMessage": "SignChargePointCertificate"});
    obey(&gateway, &mut charger, "CP", "ExtendedTriggerMessage", trigger, json!({"status": "Accepted"}))
        .await;
    let key = KeyPair::generate().expect("a key");
    let chain = certified(&mut charger, &request(&key, "SN-0815", "CPO"), "Accepted").await;
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2, "leaf and issuer, no root: {chain}");
    let command = newest_command(&gateway, "CP", "completed").await;
    assert_eq!((&command["requested_by"]["name"], &command["accepted"]), (&json!("gateway"), &json!(true)));
    assert_eq!(command["payload"]["certificateChain"], chain);
    let told = gateway.events_of("CP", "CertificateSigned").await.pop().expect("an event");
    assert_eq!(told["payload"]["command_id"], command["id"]);

    // It comes back with the new one, which is good for this station alone.
    let renewed = place.client_of(Identity { certificate: chain, key: key.serialize_pem() });
    let mut charger = renewed.dial(gateway.ocpp(), "CP", None).await.expect("TLS").expect("welcome");
    charger.still_serves().await;
    connected_with(&gateway, "CP", 3).await;
    assert_eq!(renewed.knock(gateway.ocpp(), "OTHER", None).await, Some(403));

    // Unasked, and refused by the station.
    let key = KeyPair::generate().expect("a key");
    certified(&mut charger, &request(&key, "CP", "CPO"), "Rejected").await;
    let refused = json!({"type": "InvalidChargePointCertificate", "timestamp": "2026-04-14T12:00:00Z"});
    charger.call("SecurityEventNotification", refused).await;
    eventually("the refusal is on record", || async {
        let commands = gateway.get("/commands?station_id=CP&action=CertificateSigned").await;
        (commands["data"][0]["accepted"] == false && commands["data"][1]["accepted"] == true).then_some(())
    })
    .await;
    // The old one is good until it expires or is revoked.
    assert_eq!(old.knock(gateway.ocpp(), "CP", None).await, Some(101));
}

#[tokio::test]
async fn only_a_station_s_own_sound_request_is_signed() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_client_organization = Some("CPO".to_owned());
        sign_with_an_intermediate(&place, config);
    })
    .await;
    make(&gateway, json!({"station_id": "CP", "password": "a password"})).await;
    let dialed = place.client().dial(gateway.ocpp(), "CP", Some("a password")).await;
    let mut charger = dialed.expect("TLS").expect("welcome");
    boot(&mut charger).await;
    let key = KeyPair::generate().expect("a key");
    let good = request(&key, "CP", "CPO");
    let body: String = good.lines().filter(|line| !line.starts_with('-')).collect();
    let mut tampered = STANDARD.decode(body).expect("base64");
    // The last byte is one of the signature's.
    *tampered.last_mut().expect("bytes") ^= 1;
    let tampered = hex::encode(tampered);
    for (csr, code) in [
        (request(&key, "OTHER", "CPO"), "wrong_name"),
        (request(&key, "CP", "Somebody"), "wrong_organization"),
        (tampered, "wrong_signature"),
        (include_str!("../tls/weak-request.pem").to_owned(), "weak_key"),
        ("nothing".to_owned(), "unreadable"),
        (place.stations.certificate.clone(), "unreadable"),
    ] {
        let answer = charger.call("SignCertificate", json!({"csr": csr})).await;
        assert_eq!(answer, json!({"status": "Rejected"}), "{code}");
        let event = gateway.events_of("CP", "SignCertificate").await.pop().expect("an event");
        let violations = event["violations"].as_array().expect("a list");
        let [violation] = &violations[..] else { panic!("{code}: {event}") };
        assert_eq!(violation["field"], "csr");
        let problem = violation["problem"].as_str().expect("words");
        assert!(problem.starts_with(&format!("{code}: ")), "{problem} instead of {code}");
        let flags = gateway.get("/stations/CP").await["flags"].clone();
        assert!(flags.as_array().expect("a list").contains(&json!(format!("csr:{code}"))), "{flags}");
    }
    // What the station says of itself is respected.
    let told = json!({"configurationKey": [{"key": "CertificateSignedMaxChainSize", "readonly": true, "value": "500"}]});
    obey(&gateway, &mut charger, "CP", "GetConfiguration", json!({}), told).await;
    assert_eq!(charger.call("SignCertificate", json!({"csr": good})).await, json!({"status": "Rejected"}));
    let event = gateway.events_of("CP", "SignCertificate").await.pop().expect("an event");
    assert!(
        event["violations"][0]["problem"].as_str().is_some_and(|words| words.starts_with("chain_too_long"))
    );
    charger.still_serves().await;

    // Nobody gets a certificate for a name that he only says is his.
    let mut stranger =
        place.client().dial(gateway.ocpp(), "OPEN", None).await.expect("TLS").expect("welcome");
    boot(&mut stranger).await;
    let csr = request(&key, "OPEN", "CPO");
    assert_eq!(stranger.call("SignCertificate", json!({"csr": csr})).await, json!({"status": "Rejected"}));
    let event = gateway.events_of("OPEN", "SignCertificate").await.pop().expect("an event");
    assert!(
        event["violations"][0]["problem"]
            .as_str()
            .is_some_and(|words| words.starts_with("not_authenticated"))
    );
}

#[tokio::test]
async fn a_certificate_waits_for_its_station_and_the_newest_is_enough() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        // Nothing is sent before the station is gone.
        config.ocpp.first_call_delay = vocabulary::units::Span::seconds(60);
        sign_with_an_intermediate(&place, config);
    })
    .await;
    let encrypted = gateway.gateway.ocpps_addr().expect("a second listener");
    make(&gateway, json!({"station_id": "CP", "password": "a password"})).await;
    let client = place.client();
    let dial =
        async || client.dial(encrypted, "CP", Some("a password")).await.expect("TLS").expect("welcome");
    let mut charger = dial().await;
    let keys = [KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key")];
    for key in &keys {
        let answer = charger.call("SignCertificate", json!({"csr": request(key, "CP", "")})).await;
        assert_eq!(answer, json!({"status": "Accepted"}));
    }
    drop(charger);
    let mut charger = dial().await;
    boot(&mut charger).await;
    let called = charger.called().await;
    assert_eq!(called.action, "CertificateSigned");
    charger.answer(&called.id, json!({"status": "Accepted"})).await;
    let chain = called.payload["certificateChain"].as_str().expect("PEM").to_owned();
    let newest = place.client_of(Identity { certificate: chain, key: keys[1].serialize_pem() });
    assert_eq!(newest.knock(encrypted, "CP", None).await, Some(101));
    newest_command(&gateway, "CP", "completed").await;
    let commands = gateway.get("/commands?station_id=CP").await;
    assert_eq!(commands["data"][1]["status"], "canceled", "its key was given up: {commands}");
}

#[tokio::test]
async fn a_revoked_certificate_is_not_let_in() {
    let place = Place::new();
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        // Past its time: what it says counts all the same.
        next_update: date_time_ymd(2026, 2, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: 4711.into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&place.stations.issuer).expect("signs").pem().expect("PEM");
    std::fs::write(place.path("stations.crl"), list).expect("written");
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_client_crl = Some(place.path("stations.crl"));
    })
    .await;
    let knock = async |serial: u64| {
        let identity = place.stations.station("CP", |params| params.serial_number = Some(serial.into()));
        place.client_of(identity).knock(gateway.ocpp(), "CP", None).await
    };
    assert_eq!(knock(4711).await, None);
    assert_eq!(knock(4712).await, Some(101));
}

#[test]
fn an_authority_that_cannot_sign_is_named_at_the_start() {
    let place = Place::new();
    let leaf = place.stations.station("CP", |_| {});
    place.write("leaf", &leaf);
    let check = |certificate: &str, key: &str| {
        let mut config = Config::default();
        config.ocpp.certificate_ca = Some(place.path(certificate));
        config.ocpp.certificate_ca_key = Some(place.path(key));
        let checked = chargehook::gateway::check_files(&config, vocabulary::clock::Clock::System.now());
        checked.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for (certificate, key, words) in [
        ("leaf.pem", "leaf.key", "ocpp.certificate_ca: "),
        ("leaf.pem", "leaf.key", "may not issue others"),
        ("stations.pem", "leaf.key", "ocpp.certificate_ca_key: "),
        ("stations.pem", "no.key", "cannot be read"),
    ] {
        let said = check(certificate, key);
        assert!(said.contains(words), "{said:?} lacks {words:?}");
    }
    let issuer: &Issuer<'_, KeyPair> = &place.stations.issuer;
    std::fs::write(place.path("stations.key"), issuer.key().serialize_pem()).expect("written");
    assert_eq!(check("stations.pem", "stations.key"), "");
}

#[test]
fn an_authority_that_nobody_trusts_is_told_of() {
    let place = Place::new();
    let mut config = Config::default();
    place.encrypt(&mut config);
    sign_with_an_intermediate(&place, &mut config);
    let doubt = |config: &Config| {
        let now = vocabulary::clock::Clock::System.now();
        chargehook::gateway::check_files(config, now).expect("the files can be used").unwrap_or_default()
    };
    assert_eq!(doubt(&config), "");
    let issuing = std::fs::read_to_string(place.path("issuing.pem")).expect("is there");
    let alone = issuing.split_inclusive("-----END CERTIFICATE-----\n").next().expect("one");
    std::fs::write(place.path("issuing.pem"), alone).expect("written");
    assert_eq!(doubt(&config), "", "the root need not be in the file");
    let others = crate::tls::Authority::new("stations");
    std::fs::write(place.path("stations.pem"), &others.certificate).expect("written");
    let said = doubt(&config);
    assert!(said.contains("stations.pem (ocpp.tls_client_ca) does not trust them: "), "{said}");
    config.ocpp.tls_client_ca = None;
    assert!(doubt(&config).ends_with("without ocpp.tls_client_ca they are not asked for any"));
    config.ocpp.tls_client_cert_header = Some(http::HeaderName::from_static("x-client-cert"));
    assert_eq!(doubt(&config), "");

    // It is told, and nothing is held up.
    config.ocpp.tls_client_cert_header = None;
    let mut check = program();
    check.args(["config", "check"]);
    for (name, path) in [
        ("CERTIFICATE_CA", &config.ocpp.certificate_ca),
        ("CERTIFICATE_CA_KEY", &config.ocpp.certificate_ca_key),
    ] {
        check.env(format!("CHARGEHOOK_OCPP_{name}"), path.as_ref().expect("is set"));
    }
    let output = check.output().expect("runs");
    let (told, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success() && printed.ends_with(": no faults\n"), "{printed}");
    assert!(told.contains("ocpp.certificate_ca signs"), "{told}");
}
