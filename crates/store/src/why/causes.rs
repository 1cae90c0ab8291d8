//! Sentences that name a cause, for every place that tells one: `why`, and lists of what needs attention.
//!
//! Each is a part of a sentence that follows a colon, and begins in lower case.

use std::time::Duration;

use super::answer::{quoted, span};

/// Why a station is not connected, by the reason of its `StationDisconnected`.
pub(crate) fn disconnection(reason: &str) -> String {
    let words = match reason {
        "connection_lost" => "the connection broke off: the station lost its power or its network",
        "ping_timeout" => "it did not answer pings any more: its network, or the station itself, hangs",
        "idle_timeout" => "nothing came from it for longer than limits.idle_timeout allows",
        "send_timeout" => "it took nothing off its connection any more: its network hangs",
        "closed_by_station" => "the station closed the connection itself",
        "shutdown" | "gateway_stopped" => "the gateway was stopped, and the station has not come back since",
        "requested" => "it was disconnected on request, and has not come back since",
        "replaced" => "a newer connection took its place, and ended as well",
        "removed" => "the station was deleted",
        "blocked" => "the station was blocked",
        "storage unavailable" => "the gateway could not write to its disk, and has closed the connection",
        other => return format!("the connection ended with {:?}", quoted(other)),
    };
    words.to_owned()
}

/// Why the handshake does not let a station in, by the reason of its `StationRejected`.
pub(crate) fn refusal(reason: &str) -> String {
    let words = match reason {
        "bad_credentials" => "its password is missing or is not the one that is registered here",
        "too_many_failures" => {
            "too many wrong passwords, or unknown stations, came from its address within a minute"
        }
        "unknown_station" => "no such station is registered, and stations.unknown is \"reject\"",
        "wrong_certificate" => "the client certificate that it shows is not that of this station",
        "security_profile_too_low" => {
            "it connects with a lower security profile than its min_security_profile asks for"
        }
        "unknown_subprotocol" => "it offers only WebSocket subprotocols that the gateway does not speak",
        "missing_subprotocol" => {
            "it offers no WebSocket subprotocol, and ocpp.missing_subprotocol is \"reject\""
        }
        "tls_certificate_expired" => "its client certificate has expired",
        "tls_certificate_not_yet_valid" => "its client certificate is not valid yet",
        "tls_unknown_issuer" => {
            "its client certificate is of an authority that is not in tls_client_ca, or an intermediate one is \
             missing"
        }
        "tls_certificate_revoked" => "its client certificate is revoked",
        tls if tls.starts_with("tls_") => "its client certificate cannot be used",
        other => return format!("the handshake ends with {other}"),
    };
    words.to_owned()
}

/// What a connector's fault is.
pub(crate) fn fault(error_code: Option<&str>, vendor_error_code: Option<&str>, info: Option<&str>) -> String {
    let words = match error_code.unwrap_or_default() {
        "" | "NoError" => "it names no error".to_owned(),
        "ConnectorLockFailure" => "the connector does not lock or unlock (ConnectorLockFailure)".to_owned(),
        "EVCommunicationError" => "it cannot talk to the car (EVCommunicationError)".to_owned(),
        "GroundFailure" => "the residual current protection has tripped (GroundFailure)".to_owned(),
        "HighTemperature" => "it is too hot (HighTemperature)".to_owned(),
        "OverCurrentFailure" => "the overcurrent protection has tripped (OverCurrentFailure)".to_owned(),
        "OverVoltage" => "the mains voltage is too high (OverVoltage)".to_owned(),
        "UnderVoltage" => "the mains voltage is too low (UnderVoltage)".to_owned(),
        "PowerMeterFailure" => "its meter cannot be read (PowerMeterFailure)".to_owned(),
        "PowerSwitchFailure" => "its contactor does not switch (PowerSwitchFailure)".to_owned(),
        "ReaderFailure" => "its card reader fails (ReaderFailure)".to_owned(),
        "ResetFailure" => "it could not reset (ResetFailure)".to_owned(),
        "WeakSignal" => "its mobile or wireless signal is weak (WeakSignal)".to_owned(),
        "InternalError" => "a fault inside the charger (InternalError)".to_owned(),
        "OtherError" => "an error of the vendor's own (OtherError)".to_owned(),
        other => quoted(other),
    };
    let more = [vendor_error_code, info];
    let more = more.into_iter().flatten().map(str::trim).filter(|text| !text.is_empty());
    more.fold(words, |words, more| format!("{words}, {:?}", quoted(more)))
}

/// How far a clock is off.
pub(crate) fn clock(skew_ms: i64) -> String {
    let by = span(Duration::from_millis(skew_ms.unsigned_abs()));
    if skew_ms < 0 { format!("{by} behind") } else { format!("{by} ahead") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_in_words() {
        assert_eq!(
            fault(Some("OtherError"), Some("E17"), Some("door open ")),
            "an error of the vendor's own (OtherError), \"E17\", \"door open\""
        );
        assert_eq!(fault(None, None, None), "it names no error");
        assert_eq!(clock(-3_600_000), "1 h behind");
        assert!(disconnection("bye\n").contains("\"bye\""));
    }
}
