//! Who a station is over TLS: the one certificate that opens for it, how another one takes its place, and
//! passwords that come with a certificate or change without an answer. All with real TLS clients.

use chargehook::config::Config;
use rcgen::{Issuer, KeyPair};
use serde_json::{Value, json};

use crate::harness::{Charger, Running, eventually, start};
use crate::renewal::{boot, certified, newest_command, request};
use crate::scripted::{ask, obey};
use crate::tls::{Client, Identity, Place, connected_with, make};

/// A certificate of this number that names the station.
fn numbered(place: &Place, station: &str, number: u64) -> Client {
    let identity = place.stations.station(station, |params| params.serial_number = Some(number.into()));
    place.client_of(identity)
}

/// The authority that everybody trusts signs what stations ask for.
fn sign(place: &Place, config: &mut Config) {
    let issuer: &Issuer<'_, KeyPair> = &place.stations.issuer;
    std::fs::write(place.path("stations.key"), issuer.key().serialize_pem()).expect("written");
    config.ocpp.certificate_ca = Some(place.path("stations.pem"));
    config.ocpp.certificate_ca_key = Some(place.path("stations.key"));
}

async fn change(gateway: &Running, station: &str, patch: Value) -> Value {
    let (status, changed) = gateway.api("PATCH", &format!("/stations/{station}"), Some(patch)).await;
    assert_eq!(status, 200, "{changed}");
    changed
}

async fn welcome(gateway: &Running, client: &Client, station: &str, password: Option<&str>) -> Charger {
    let mut charger = client.dial(gateway.ocpp(), station, password).await.expect("TLS").expect("welcome");
    // Its connection is on record once it is served.
    charger.still_serves().await;
    charger
}

async fn newest_refusal(gateway: &Running, station: &str, count: usize) -> Value {
    eventually("the refusal is on record", || async {
        let mut refusals = gateway.events_of(station, "StationRejected").await;
        (refusals.len() >= count).then(|| refusals.pop().expect("there is one")["payload"]["reason"].clone())
    })
    .await
}

#[tokio::test]
async fn a_stored_number_opens_for_one_certificate_of_all_that_name_the_station() {
    let place = Place::new();
    let gateway = start(|config| place.encrypt(config)).await;
    make(&gateway, json!({"station_id": "CP", "certificate_serial": "00:12:6A"})).await;
    assert_eq!(gateway.get("/stations/CP").await["certificate_serial"], "126a");
    let knock = async |number: u64| numbered(&place, "CP", number).knock(gateway.ocpp(), "CP", None).await;
    assert_eq!(knock(0x126a).await, Some(101));
    connected_with(&gateway, "CP", 3).await;
    let connected = gateway.events_of("CP", "StationConnected").await.pop().expect("an event");
    assert_eq!(connected["payload"]["certificate_serial"], "126a");
    assert_eq!(knock(0x126b).await, Some(403), "it names the station, and is another one");
    assert_eq!(newest_refusal(&gateway, "CP", 1).await, "wrong_certificate");
    let of_another = numbered(&place, "OTHER", 0x126a).knock(gateway.ocpp(), "CP", None).await;
    assert_eq!(of_another, Some(403), "numbers are each authority's own: it must name the station as well");
    // What has nothing to do with it changes nothing.
    assert_eq!(change(&gateway, "CP", json!({"name": "a name"})).await["certificate_serial"], "126a");
    assert_eq!(knock(0x126a).await, Some(101));

    assert_eq!(
        change(&gateway, "CP", json!({"certificate_serial": "0x126B"})).await["certificate_serial"],
        "126b"
    );
    assert_eq!((knock(0x126a).await, knock(0x126b).await), (Some(403), Some(101)));
    let audited = gateway.get("/audit?resource_id=CP").await["data"][0].clone();
    assert_eq!(
        audited["fields"],
        json!(["certificate_serial"]),
        "who has changed it is on record: {audited}"
    );
    let opened = change(&gateway, "CP", json!({"certificate_serial": null})).await;
    assert_eq!(opened["certificate_serial"], Value::Null);
    assert_eq!((knock(0x126a).await, knock(0x126b).await), (Some(101), Some(101)));
    for wrong in [json!("12-6a"), json!(""), json!("serial"), json!(4714), json!("1".repeat(90))] {
        let body = json!({"certificate_serial": wrong});
        let (status, problem) = gateway.api("PATCH", "/stations/CP", Some(body)).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("certificate_serial")), "{wrong}");
    }
    let rows = json!([{"station_id": "CP", "certificate_serial": "AB CD"}, {"station_id": "NEW", "certificate_serial": "0"}]);
    gateway.api("POST", "/stations/import", Some(rows)).await;
    assert_eq!(gateway.get("/stations/CP").await["certificate_serial"], "abcd");
    assert_eq!(gateway.get("/stations/NEW").await["certificate_serial"], "0");
}

#[tokio::test]
async fn the_number_moves_on_with_the_certificate_that_a_station_was_sent() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        sign(&place, config);
    })
    .await;
    make(&gateway, json!({"station_id": "CP", "min_security_profile": 3, "certificate_serial": "01"})).await;
    let old = numbered(&place, "CP", 1);
    let mut charger = welcome(&gateway, &old, "CP", None).await;
    boot(&mut charger).await;
    // What the station refuses does not open.
    let key = KeyPair::generate().expect("a key");
    let chain = certified(&mut charger, &request(&key, "CP", "CPO"), "Rejected").await;
    newest_command(&gateway, "CP", "completed").await;
    let refused = place.client_of(Identity { certificate: chain, key: key.serialize_pem() });
    assert_eq!(refused.knock(gateway.ocpp(), "CP", None).await, Some(403));

    // The answer to this one is lost: both open, over a restart too.
    let key = KeyPair::generate().expect("a key");
    let csr = json!({"csr": request(&key, "CP", "CPO")});
    assert_eq!(charger.call("SignCertificate", csr).await, json!({"status": "Accepted"}));
    let chain = charger.called().await.payload["certificateChain"].as_str().expect("PEM").to_owned();
    drop(charger);
    newest_command(&gateway, "CP", "connection_lost").await;
    let gateway = gateway
        .restart(|config| {
            place.encrypt(config);
            sign(&place, config);
        })
        .await;
    let renewed = place.client_of(Identity { certificate: chain, key: key.serialize_pem() });
    let _charger = welcome(&gateway, &old, "CP", None).await;
    assert_eq!(gateway.get("/stations/CP").await["certificate_serial"], "1");
    let mut charger = welcome(&gateway, &renewed, "CP", None).await;
    let number = gateway.get("/stations/CP").await["certificate_serial"].clone();
    assert_eq!(number.as_str().map(str::len), Some(32), "{number}");
    assert_eq!(old.knock(gateway.ocpp(), "CP", None).await, Some(403), "the old one may be in other hands");

    // One of another authority, which an integrator sends, moves it on as well.
    boot(&mut charger).await;
    let third = place.stations.station("CP", |params| params.serial_number = Some(3.into()));
    let payload = json!({"certificateChain": third.certificate});
    obey(&gateway, &mut charger, "CP", "CertificateSigned", payload, json!({"status": "Accepted"})).await;
    let third = place.client_of(third);
    let mut charger = welcome(&gateway, &third, "CP", None).await;
    assert_eq!(gateway.get("/stations/CP").await["certificate_serial"], "3");
    assert_eq!(renewed.knock(gateway.ocpp(), "CP", None).await, Some(403));

    // The operator's word is the last: what was sent before it counts no more.
    boot(&mut charger).await;
    let fourth = place.stations.station("CP", |params| params.serial_number = Some(4.into()));
    let payload = json!({"certificateChain": fourth.certificate});
    obey(&gateway, &mut charger, "CP", "CertificateSigned", payload, json!({"status": "Accepted"})).await;
    change(&gateway, "CP", json!({"certificate_serial": "1"})).await;
    let fourth = place.client_of(fourth);
    assert_eq!(fourth.knock(gateway.ocpp(), "CP", None).await, Some(403));
    assert_eq!(old.knock(gateway.ocpp(), "CP", None).await, Some(101));
}

#[tokio::test]
async fn the_configuration_can_have_every_station_keep_to_what_it_was_sent() {
    let place = Place::new();
    let gateway = start(|config| {
        place.encrypt(config);
        sign(&place, config);
        config.ocpp.certificate_pin = true;
    })
    .await;
    make(&gateway, json!({"station_id": "CP", "password": "a password"})).await;
    let of_the_vendor = numbered(&place, "CP", 1);
    let mut charger = welcome(&gateway, &of_the_vendor, "CP", None).await;
    assert_eq!(gateway.get("/stations/CP").await["certificate_serial"], Value::Null, "it was not sent");
    boot(&mut charger).await;
    let key = KeyPair::generate().expect("a key");
    let chain = certified(&mut charger, &request(&key, "CP", "CPO"), "Accepted").await;
    newest_command(&gateway, "CP", "completed").await;
    assert_eq!(of_the_vendor.knock(gateway.ocpp(), "CP", None).await, Some(101), "not used yet");
    let renewed = place.client_of(Identity { certificate: chain, key: key.serialize_pem() });
    let _charger = welcome(&gateway, &renewed, "CP", None).await;
    assert!(gateway.get("/stations/CP").await["certificate_serial"].is_string());
    assert_eq!(of_the_vendor.knock(gateway.ocpp(), "CP", None).await, Some(403));
}

#[tokio::test]
async fn a_password_that_comes_with_a_certificate_has_to_be_right() {
    let place = Place::new();
    let gateway = start(|config| place.encrypt(config)).await;
    make(&gateway, json!({"station_id": "CP", "password": "a password"})).await;
    make(&gateway, json!({"station_id": "WITHOUT"})).await;
    let client = numbered(&place, "CP", 1);
    let knock = async |password| client.knock(gateway.ocpp(), "CP", password).await;
    assert_eq!(knock(Some("wrong password")).await, Some(401));
    assert_eq!(newest_refusal(&gateway, "CP", 1).await, "bad_credentials");
    assert_eq!(knock(None).await, Some(101), "the certificate is enough");
    assert_eq!(knock(Some("a password")).await, Some(101));
    connected_with(&gateway, "CP", 3).await;
    // There is nothing that it could be wrong about.
    let without = numbered(&place, "WITHOUT", 2);
    assert_eq!(without.knock(gateway.ocpp(), "WITHOUT", Some("whatever")).await, Some(101));
    connected_with(&gateway, "WITHOUT", 3).await;
}

#[tokio::test]
async fn case_17_over_tls_both_keys_count_after_a_lost_answer_until_one_is_used() {
    const OLD: &str = "00112233445566778899aabbccddeeff";
    const NEW: &str = "ffeeddccbbaa99887766554433221100";
    let place = Place::new();
    let gateway = start(|config| place.encrypt(config)).await;
    let client = place.client();
    let knock = async |station: &str, key| client.knock(gateway.ocpp(), station, Some(key)).await;
    for (station, used, other) in
        [("NEW_IS_USED", NEW, OLD), ("OLD_IS_USED", OLD, NEW), ("ANSWERED", NEW, OLD)]
    {
        make(&gateway, json!({"station_id": station, "password": OLD, "min_security_profile": 2})).await;
        let mut charger = welcome(&gateway, &client, station, Some(OLD)).await;
        boot(&mut charger).await;
        let order = json!({"action": "ChangeConfiguration",
            "payload": {"key": "AuthorizationKey", "value": NEW}});
        let asking = ask(&gateway, station, order);
        let called = charger.called().await;
        assert_eq!(called.payload["value"], NEW);
        let status = match station {
            "ANSWERED" => {
                charger.answer(&called.id, json!({"status": "Accepted"})).await;
                "completed"
            }
            // The TCP connection breaks: no answer, no close frame, no end of the TLS session.
            _ => {
                drop(charger);
                "connection_lost"
            }
        };
        let (_, command) = asking.await.expect("asks to the end");
        assert_eq!(command["status"], status, "{station}");
        assert_eq!(knock(station, "ababababababababababababababababab").await, Some(401));
        let _charger = welcome(&gateway, &client, station, Some(used)).await;
        assert_eq!(knock(station, other).await, Some(401), "{station}");
        assert_eq!(knock(station, used).await, Some(101), "{station}");
    }
}
