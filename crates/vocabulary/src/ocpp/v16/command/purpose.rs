//! What follows from a command of OCPP 1.6: what it is for, and what its sending does to the station.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Result, Value, from_str};

use super::secret::{AUTHORIZATION_KEY, is_authorization_key};
use crate::clock::Timestamp;
use crate::ocpp::purpose::{Purpose, RemoteStart, Reserve, SetConfiguration};
use crate::ocpp::v16::FromCentralSystem;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoteStartTransaction {
    id_tag: String,
    connector_id: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReserveNow {
    connector_id: i64,
    expiry_date: Timestamp,
    id_tag: String,
    parent_id_tag: Option<String>,
    reservation_id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelReservation {
    reservation_id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeAvailability {
    connector_id: i64,
    #[serde(rename = "type")]
    availability: String,
}

#[derive(Deserialize)]
struct ChangeConfiguration {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateSigned {
    certificate_chain: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendLocalList {
    list_version: i64,
}

/// What a checked command is for.
///
/// # Errors
/// The payload was never checked.
pub fn purpose(action: FromCentralSystem, payload: &RawValue) -> Result<Purpose> {
    use FromCentralSystem as Action;
    let payload = payload.get();
    Ok(match action {
        Action::RemoteStartTransaction => {
            let RemoteStartTransaction { id_tag, connector_id } = from_str(payload)?;
            Purpose::StartSession(RemoteStart { id_tag, connector_id })
        }
        Action::ReserveNow => {
            let ReserveNow { connector_id, expiry_date, id_tag, parent_id_tag, reservation_id } =
                from_str(payload)?;
            Purpose::Reserve(Reserve { reservation_id, connector_id, id_tag, parent_id_tag, expiry_date })
        }
        Action::CancelReservation => {
            let CancelReservation { reservation_id } = from_str(payload)?;
            Purpose::CancelReservation { reservation_id }
        }
        Action::ChangeAvailability => {
            let ChangeAvailability { connector_id, availability } = from_str(payload)?;
            Purpose::ChangeAvailability { connector_id, operative: availability == "Operative" }
        }
        Action::GetConfiguration => Purpose::ReadConfiguration,
        Action::ChangeConfiguration => {
            let ChangeConfiguration { key, value } = from_str(payload)?;
            let value = (!is_authorization_key(&key)).then_some(value);
            Purpose::SetConfiguration(SetConfiguration { key, value })
        }
        Action::CertificateSigned => {
            let CertificateSigned { certificate_chain: chain } = from_str(payload)?;
            Purpose::SendCertificate { chain }
        }
        Action::SendLocalList => {
            let SendLocalList { list_version: version } = from_str(payload)?;
            Purpose::SendLocalList { version }
        }
        Action::GetLocalListVersion => Purpose::ReadLocalListVersion,
        _ => Purpose::Other,
    })
}

/// Whether a station that does this may boot, or send a boot.
pub fn may_cause_boot(action: FromCentralSystem, payload: &RawValue) -> bool {
    use FromCentralSystem as Action;
    let names = |member: &str, names: &[&str]| {
        let payload: Value = from_str(payload.get()).unwrap_or_default();
        let named = payload.get(member).and_then(Value::as_str).unwrap_or_default().trim();
        names.iter().any(|name| named.eq_ignore_ascii_case(name))
    };
    match action {
        Action::Reset | Action::UpdateFirmware | Action::SignedUpdateFirmware | Action::CertificateSigned => {
            true
        }
        Action::TriggerMessage | Action::ExtendedTriggerMessage => {
            names("requestedMessage", &["BootNotification"])
        }
        Action::ChangeConfiguration => names("key", &[AUTHORIZATION_KEY, "SecurityProfile"]),
        _ => false,
    }
}

/// Whether somebody stands in front of the charger for it, so that it is of no use later.
pub fn is_urgent(action: FromCentralSystem) -> bool {
    use FromCentralSystem::{RemoteStartTransaction, RemoteStopTransaction, ReserveNow, UnlockConnector};
    matches!(action, RemoteStartTransaction | RemoteStopTransaction | ReserveNow | UnlockConnector)
}

/// Whether a station whose boot was answered `Pending` must not be asked this (OCPP 1.6 §4.2).
pub fn needs_acceptance(action: FromCentralSystem) -> bool {
    use FromCentralSystem::{RemoteStartTransaction, RemoteStopTransaction};
    matches!(action, RemoteStartTransaction | RemoteStopTransaction)
}

/// The type of the event that tells of its end: the action's name, but for `DataTransfer`, which chargers
/// send too.
pub fn event_type(action: FromCentralSystem) -> &'static str {
    match action {
        FromCentralSystem::DataTransfer => "DataTransferSent",
        other => other.as_str(),
    }
}
