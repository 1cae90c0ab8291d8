//! How a simulated charger introduces itself.

use rust_ocpp::v1_6::messages::boot_notification::BootNotificationRequest;

/// The most characters of `chargePointSerialNumber` (OCPP 1.6, `CiString25Type`).
const SERIAL_CHARS_MAX: usize = 25;

/// The BootNotification of `station`, whose serial number its identity is as far as there is room.
pub(super) fn of(station: &str, vendor: &str, model: &str) -> BootNotificationRequest {
    BootNotificationRequest {
        charge_point_vendor: vendor.to_owned(),
        charge_point_model: model.to_owned(),
        charge_point_serial_number: Some(station.chars().take(SERIAL_CHARS_MAX).collect()),
        ..BootNotificationRequest::default()
    }
}
