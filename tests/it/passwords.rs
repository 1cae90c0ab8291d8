//! Passwords of stations over restarts and versions: what is kept of them, and what a reconnect costs.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use store::test_store::{change, rows};

use crate::harness::{Charger, Running, start};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");
const PASSWORD: &str = "a password of a station";

/// Tries to connect as `CP`; the status it is answered with.
pub(crate) async fn knock(gateway: &Running, password: &str) -> u16 {
    let credentials = BASE64_STANDARD.encode(format!("CP:{password}"));
    let headers = [OCPP16, ("Authorization", &*format!("Basic {credentials}"))];
    match Charger::connect(gateway.ocpp(), "/ocpp/CP", &headers).await {
        Ok(_) => 101,
        Err(refused) => refused.status().as_u16(),
    }
}

/// What the database holds of the station's password.
fn kept(gateway: &Running) -> String {
    let kept: Vec<[Value; 1]> =
        rows(gateway.data_dir(), "SELECT password_verifiers FROM stations WHERE station_id = 'CP'", &[]);
    kept[0][0].as_str().expect("a password").to_owned()
}

fn overwrite(gateway: &Running, verifiers: &str) {
    let sql = "UPDATE stations SET password_verifiers = ?1 WHERE station_id = 'CP' RETURNING 1";
    assert!(change(gateway.data_dir(), sql, &[verifiers]));
}

#[tokio::test]
async fn a_verifier_has_a_light_part_that_outlives_restarts() {
    let gateway = start(|_| {}).await;
    let body = json!({"station_id": "CP", "password": PASSWORD});
    assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
    let made = kept(&gateway);
    assert!(made.contains("$argon2id$") && made.contains('#') && !made.contains(PASSWORD), "{made}");
    assert_eq!(knock(&gateway, PASSWORD).await, 101);
    let gateway = gateway.restart(|_| {}).await;
    let (slow, light) = made.split_once('#').expect("two parts");
    assert_eq!(knock(&gateway, PASSWORD).await, 101);
    assert_eq!(knock(&gateway, "another password").await, 401);
    assert_eq!(kept(&gateway), made, "nothing to renew");

    // As an older version has left it, or a gateway with another key.
    for older in [format!("{slow}\"]"), format!("{slow}#00000000{}", &light[8..])] {
        overwrite(&gateway, &older);
        assert_eq!(knock(&gateway, "another password").await, 401);
        assert_eq!(kept(&gateway), older);
        assert_eq!(knock(&gateway, PASSWORD).await, 101);
        assert_eq!(kept(&gateway), made, "it has its light part again");
    }
}
