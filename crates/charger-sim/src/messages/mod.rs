//! The messages that a charger sends, all made here: each is a type of `rust_ocpp`, written by `serde_json`.
//!
//! CALLs are made in [`requests`], CALLRESULTs in [`answers`]. What `rust_ocpp` 3.0 cannot express:
//!
//! - It lacks the security extension (OCPP security whitepaper): [`security`] has types of our own for it.
//!   Only the answer to `ExtendedTriggerMessage` borrows a type, that of `TriggerMessage`, which looks the
//!   same.
//! - A message of a transaction is made before the central system has numbered the transaction, and central
//!   systems number beyond the 32 bits of its `transaction_id`: [`set_transaction_id`] puts the number in as
//!   it came.
//! - A message that is wrong on purpose (`--fault malformed`) is text, written where the fault is.
//!
//! Its types do not read what the central system sends: they refuse times without a zone and lose unknown
//! fields, so commands stay JSON. Its `validate` is not asked either, since it refuses legal messages (an
//! empty text, a long list of keys); the tests hold whatever is sent against the official schemas.

mod answers;
pub(super) mod requests;
pub(super) mod security;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

pub(super) use answers::{composite_schedule, triggered};
pub(super) use requests::Request;
pub(super) use rust_ocpp::v1_6::messages::get_configuration::GetConfigurationResponse;
pub(super) use rust_ocpp::v1_6::types::{
    AvailabilityStatus, CancelReservationStatus, ChargePointErrorCode, ChargePointStatus,
    ChargingProfileStatus, ClearCacheStatus, ClearChargingProfileStatus, ConfigurationStatus,
    DataTransferStatus, DiagnosticsStatus, FirmwareStatus, KeyValue, Measurand, MeterValue, Phase,
    ReadingContext, Reason, RemoteStartStopStatus, ReservationStatus, ResetResponseStatus, SampledValue,
    TriggerMessageStatus, UnitOfMeasure, UnlockStatus, UpdateStatus,
};

#[cfg(test)]
pub(super) use answers::charging_schedule;

use vocabulary::clock::Timestamp;

/// The payload of a message.
pub(super) fn payload(message: &impl Serialize) -> Value {
    serde_json::to_value(message).unwrap_or_else(|error| unreachable!("a message is always JSON: {error}"))
}

/// The payload of a message as text, for those who send too many to look at them.
pub(super) fn payload_text(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_else(|error| unreachable!("a message is always JSON: {error}"))
}

/// Puts the central system's number of the transaction into a `MeterValues` or `StopTransaction`.
pub(super) fn set_transaction_id(payload: &mut Value, id: i64) {
    payload["transactionId"] = id.into();
}

/// How OCPP spells a status, a reason or an error code.
pub(super) fn spelling(word: &impl Serialize) -> String {
    struct Word<'a, T>(&'a T);
    impl<T: Serialize> std::fmt::Display for Word<'_, T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.serialize(f)
        }
    }
    Word(word).to_string()
}

/// A moment as `rust_ocpp` takes it; it is written in UTC, with milliseconds where there are any.
fn time(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.unix_ms()).unwrap_or_default()
}

/// OCPP's whole numbers have 32 bits: more than that is the most.
fn whole(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
