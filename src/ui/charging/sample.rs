//! A session as the API shows one, for tests.

use serde_json::{Value, json};

use vocabulary::api::transaction::Transaction;

/// An active session with some fields.
pub(in crate::ui) fn session(fields: &Value) -> Transaction {
    let mut whole = json!({
        "transaction_id": 7, "station_id": "DEPOT_07", "connector_id": 1, "id_tag": "04A2B3",
        "id_tag_status": "Accepted", "status": "active", "orphaned": false, "inferred": false, "revision": 0,
        "updated_at": "2026-04-14T10:00:00.000Z", "energy_quality": "missing",
    });
    for (name, value) in fields.as_object().expect("an object") {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).expect("a session")
}
