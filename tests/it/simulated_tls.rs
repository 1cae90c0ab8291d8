//! The simulated charger over TLS: it climbs the security profiles as it is told over OCPP, and renews its
//! certificate.

use std::net::SocketAddr;
use std::time::Duration;

use charger_sim::connection::Endpoint;
use charger_sim::trust::Trust;
use charger_sim::{ChargerOptions, Sessions, session};
use chrono::{Datelike, TimeDelta, Utc};
use rcgen::{Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vocabulary::id::StationId;

use crate::harness::{Running, eventually, start};
use crate::tls::{Place, connected_with, make};

/// Asks for something until it is accepted: a charger that comes back otherwise is gone for a moment.
async fn accepted(gateway: &Running, action: &str, payload: Value) {
    let body = json!({"action": action, "payload": payload});
    let (status, command) = gateway.api("POST", "/stations/SIM/commands", Some(body)).await;
    assert_eq!((status, &command["response"]["status"]), (200, &json!("Accepted")), "{action}: {command}");
}

async fn set(gateway: &Running, key: &str, value: &str) {
    accepted(gateway, "ChangeConfiguration", json!({"key": key, "value": value})).await;
}

/// Waits for so many connections of the station, the newest of them with this profile.
async fn connections(gateway: &Running, count: usize, profile: u64) {
    eventually(&format!("connection {count} is on record"), || async {
        (gateway.events_of("SIM", "StationConnected").await.len() >= count).then_some(())
    })
    .await;
    connected_with(gateway, "SIM", profile).await;
}

fn quick(url: &str) -> ChargerOptions {
    let endpoint = Endpoint::parse(url).expect("a URL");
    let mut options = ChargerOptions::new(endpoint, StationId::new("SIM").expect("an identity"));
    options.sessions = Sessions::ByHand;
    options.reconnect_first = Duration::from_millis(20);
    options
}

#[tokio::test]
async fn it_climbs_from_nothing_to_a_certificate_of_its_own() {
    let place = Place::new();
    let issuer: &Issuer<'_, KeyPair> = &place.stations.issuer;
    std::fs::write(place.path("stations.key"), issuer.key().serialize_pem()).expect("written");
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.ocpp.tls_client_organization = Some("CPO".to_owned());
        config.ocpp.certificate_ca = Some(place.path("stations.pem"));
        config.ocpp.certificate_ca_key = Some(place.path("stations.key"));
    })
    .await;
    let encrypted = gateway.gateway.ocpps_addr().expect("a second listener");
    let mut options = quick(&format!("ws://{}/ocpp", gateway.ocpp()));
    options.encrypted_endpoint = Some(Endpoint::parse(&format!("wss://{encrypted}/ocpp")).expect("a URL"));
    let stop = CancellationToken::new();
    let work = tokio::spawn(session::run(options, stop.clone(), |_, _| {}));
    make(&gateway, json!({"station_id": "UNUSED"})).await;
    connections(&gateway, 1, 0).await;

    let key = "00112233445566778899aabbccddeeff";
    set(&gateway, "AuthorizationKey", key).await;
    connections(&gateway, 2, 0).await;
    set(&gateway, "SecurityProfile", "1").await;
    connections(&gateway, 3, 1).await;
    let root =
        json!({"certificateType": "CentralSystemRootCertificate", "certificate": place.servers.certificate});
    accepted(&gateway, "InstallCertificate", root).await;
    set(&gateway, "SecurityProfile", "2").await;
    connections(&gateway, 4, 2).await;
    set(&gateway, "CpoName", "CPO").await;
    accepted(&gateway, "ExtendedTriggerMessage", json!({"requestedMessage": "SignChargePointCertificate"}))
        .await;
    let certified = || async {
        let events = gateway.events_of("SIM", "CertificateSigned").await;
        let taken = events.iter().filter(|event| event["payload"]["response"]["status"] == "Accepted");
        taken.count()
    };
    eventually("it has a certificate", || async { (certified().await == 1).then_some(()) }).await;
    set(&gateway, "SecurityProfile", "3").await;
    connections(&gateway, 5, 3).await;
    // Another one, and it comes back with that.
    accepted(&gateway, "ExtendedTriggerMessage", json!({"requestedMessage": "SignChargePointCertificate"}))
        .await;
    connections(&gateway, 6, 3).await;
    assert_eq!(certified().await, 2);
    assert_eq!(gateway.get("/stations/SIM").await["min_security_profile"], 3);
    stop.cancel();
    work.await.expect("leaves");
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_renewed_and_the_old_one_left_behind() {
    let place = Place::new();
    let issuer: &Issuer<'_, KeyPair> = &place.stations.issuer;
    std::fs::write(place.path("stations.key"), issuer.key().serialize_pem()).expect("written");
    let gateway = start(|config| {
        place.encrypt(config);
        config.ocpp.tls_client_organization = Some("CPO".to_owned());
        config.ocpp.certificate_ca = Some(place.path("stations.pem"));
        config.ocpp.certificate_ca_key = Some(place.path("stations.key"));
    })
    .await;
    make(&gateway, json!({"station_id": "SIM", "certificate_name": "SN-0815", "certificate_serial": "01"}))
        .await;
    let soon = Utc::now() + TimeDelta::days(10);
    let old = || {
        place.stations.station("SN-0815", |params| {
            params.serial_number = Some(1.into());
            params.not_after = date_time_ymd(soon.year(), soon.month() as u8, soon.day() as u8);
        })
    };
    place.write("sim", &old());
    std::fs::write(place.path("servers.pem"), &place.servers.certificate).expect("written");
    let mut options = quick(&format!("wss://{}/ocpp", gateway.ocpp()));
    let own = (place.path("sim.pem"), place.path("sim.key"));
    options.trust =
        Trust::read(Some(&place.path("servers.pem")), Some((&own.0, &own.1))).expect("can be read");
    let stop = CancellationToken::new();
    let work = tokio::spawn(session::run(options, stop.clone(), |_, _| {}));
    connections(&gateway, 2, 3).await;
    let number = gateway.get("/stations/SIM").await["certificate_serial"].clone();
    assert_ne!(number, "1");
    let newest = gateway.events_of("SIM", "StationConnected").await.pop().expect("an event");
    assert_eq!(newest["payload"]["certificate_serial"], number);
    assert_eq!(place.client_of(old()).knock(gateway.ocpp(), "SIM", None).await, Some(403));
    // The new one is good for a year: it does not ask again.
    assert_eq!(gateway.events_of("SIM", "SignCertificate").await.len(), 1);
    stop.cancel();
    work.await.expect("leaves");
}

#[tokio::test]
async fn a_profile_that_leads_nowhere_is_taken_back() {
    let gateway = start(|_| {}).await;
    let mut options = quick(&format!("ws://{}/ocpp", gateway.ocpp()));
    // Nothing speaks TLS there.
    options.encrypted_endpoint = Some(options.endpoint.encrypted());
    options.password = Some(b"a password".to_vec());
    let place = Place::new();
    make(&gateway, json!({"station_id": "SIM", "password": "a password"})).await;
    let stop = CancellationToken::new();
    let work = tokio::spawn(session::run(options, stop.clone(), |_, _| {}));
    connections(&gateway, 1, 1).await;
    let root =
        json!({"certificateType": "CentralSystemRootCertificate", "certificate": place.servers.certificate});
    accepted(&gateway, "InstallCertificate", root).await;
    set(&gateway, "SecurityProfile", "2").await;
    connections(&gateway, 2, 1).await;
    let body = json!({"action": "GetConfiguration", "payload": {"key": ["SecurityProfile"]}});
    let (_, command) = gateway.api("POST", "/stations/SIM/commands", Some(body)).await;
    assert_eq!(command["response"]["configurationKey"][0]["value"], "1", "{command}");
    stop.cancel();
    work.await.expect("leaves");
}

#[tokio::test]
async fn the_options_of_the_program_are_files_that_are_read() {
    let place = Place::new();
    let gateway = start(|config| place.encrypt(config)).await;
    place.write("sim", &place.stations.station("SIM", |_| {}));
    std::fs::write(place.path("servers.pem"), &place.servers.certificate).expect("written");
    let url = format!("wss://{}/ocpp", gateway.ocpp());
    let run = async |arguments: Vec<String>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_charger-sim"));
        command.args(["--id", "SIM", "--url", &url, "--json"]);
        command.args(["--sessions", "1", "--session-duration", "100ms", "--pause", "0s"]).args(arguments);
        // The gateway it talks to runs on this thread.
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let file = |option: &str, name: &str| [option.to_owned(), place.path(name).display().to_string()];
    let all = [file("--ca", "servers.pem"), file("--cert", "sim.pem"), file("--key", "sim.key")].concat();
    let (code, said) = run(all).await;
    assert_eq!(code, Some(0), "{said}");
    connected_with(&gateway, "SIM", 3).await;
    let (code, said) =
        run([file("--ca", "servers.pem"), file("--cert", "sim.pem"), file("--key", "no.key")].concat()).await;
    assert!(code == Some(2) && said.contains("no.key: cannot be read"), "{code:?}: {said}");
    // The roots in the file are the only ones that are trusted.
    let stranger = Trust::read(Some(&place.path("stations.pem")), None).expect("roots");
    let mut options = quick(&url);
    options.trust = stranger;
    let credentials = charger_sim::Charger::new(options.clone(), vocabulary::clock::Clock::System.now())
        .credentials()
        .expect("usable");
    let refused = options.endpoint.dial(&options.id, &credentials, None).await.expect_err("not trusted");
    assert!(refused.to_string().contains("is not trusted"), "{refused}");
}
