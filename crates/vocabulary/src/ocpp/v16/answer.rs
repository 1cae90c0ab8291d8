//! What a charge point is answered: a pure function of its request and what was decided.
//!
//! What is written is exactly right, whatever was read: official spellings, UTC with `Z`, no nulls,
//! nothing the schema does not name, members in the order of the reference.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::request::Request;
use crate::clock::Timestamp;
use crate::ocpp::authorization::{AuthorizationStatus, ID_TAG_CHARS_MAX};
use crate::ocpp::decision::Decision;
use crate::ocpp::frame::empty_object;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireIdTagInfo<'a> {
    status: AuthorizationStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_date: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id_tag: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authorized<'a> {
    id_tag_info: WireIdTagInfo<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Booted {
    status: &'static str,
    current_time: Timestamp,
    interval: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CurrentTime {
    current_time: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Started<'a> {
    id_tag_info: WireIdTagInfo<'a>,
    transaction_id: i64,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// The payload of the CALLRESULT to `request`.
pub fn answer(request: &Request, decision: &Decision<'_>, now: Timestamp) -> Box<RawValue> {
    match request {
        Request::Authorize { .. } => write(&Authorized { id_tag_info: id_tag_info(decision, now) }),
        Request::BootNotification(_) => write(&Booted {
            status: decision.boot_status.wire(),
            current_time: now,
            // 0 would leave the pace to the charger, and some then send without pause.
            interval: decision.heartbeat_interval_s.clamp(1, i32::MAX as u32),
        }),
        Request::Heartbeat => write(&CurrentTime { current_time: now }),
        Request::StartTransaction(_) => {
            debug_assert!(decision.transaction_id.is_some(), "a StartTransaction always gets a number");
            write(&Started {
                id_tag_info: id_tag_info(decision, now),
                transaction_id: decision.transaction_id.unwrap_or_default(),
            })
        }
        Request::StopTransaction(stop) if stop.id_tag.is_some() && decision.id_tag_info.is_some() => {
            write(&Authorized { id_tag_info: id_tag_info(decision, now) })
        }
        Request::DataTransfer { vendor_id, .. } => {
            let vendor = vendor_id.as_deref().unwrap_or_default();
            let known = decision.data_transfer_vendors.iter().any(|known| known.eq_ignore_ascii_case(vendor));
            write(&Status { status: if known { "Accepted" } else { "UnknownVendorId" } })
        }
        Request::SignCertificate { .. } => {
            write(&Status { status: if decision.certificate_authority { "Accepted" } else { "Rejected" } })
        }
        // It is enough for the charger to know that its message has come.
        _ => empty_object(),
    }
}

fn id_tag_info<'a>(decision: &'a Decision<'_>, now: Timestamp) -> WireIdTagInfo<'a> {
    let Some(info) = &decision.id_tag_info else {
        return WireIdTagInfo {
            status: AuthorizationStatus::Invalid,
            expiry_date: None,
            parent_id_tag: None,
        };
    };
    // A past date beside `Accepted` makes chargers refuse the tag, or forget it at once.
    let lapsed = |expiry: &Timestamp| info.status == AuthorizationStatus::Accepted && *expiry <= now;
    // A charger need not take a longer group; half a group would be another one.
    let fits = |parent: &&str| parent.chars().count() <= ID_TAG_CHARS_MAX;
    WireIdTagInfo {
        status: info.status,
        expiry_date: info.expiry_date.filter(|expiry| !lapsed(expiry)),
        parent_id_tag: info.parent_id_tag.as_deref().filter(fits),
    }
}

fn write(payload: &impl Serialize) -> Box<RawValue> {
    to_raw_value(payload).unwrap_or_else(|_| unreachable!("texts and numbers are always JSON"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::ocpp::Validation;
    use crate::ocpp::authorization::IdTagInfo;
    use crate::ocpp::boot_status::BootStatus;
    use crate::ocpp::fact::{Booted, SessionEnded, SessionStarted};
    use crate::ocpp::reading::Reading;
    use crate::ocpp::schema::Part;
    use crate::ocpp::v16::schemas::SCHEMAS;
    use crate::ocpp::v16::{FromChargePoint, read};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

    fn accepted() -> IdTagInfo {
        IdTagInfo {
            status: AuthorizationStatus::Accepted,
            expiry_date: Some(NOW.after(Duration::from_secs(60))),
            parent_id_tag: Some("FLEET".to_owned()),
        }
    }

    fn decision<'a>() -> Decision<'a> {
        Decision {
            boot_status: BootStatus::Accepted,
            heartbeat_interval_s: 300,
            id_tag_info: Some(accepted()),
            transaction_id: Some(123_456_789),
            data_transfer_vendors: &[],
            certificate_authority: false,
        }
    }

    #[track_caller]
    fn check(request: Request, decision: &Decision<'_>, expected: &str) {
        assert_eq!(answer(&request, decision, NOW).get(), expected);
    }

    fn authorize() -> Request {
        Request::Authorize { id_tag: Some("A".to_owned()) }
    }

    fn boot() -> Request {
        Request::BootNotification(Booted::default())
    }

    fn stop(id_tag: Option<&str>) -> Request {
        Request::StopTransaction(SessionEnded { id_tag: id_tag.map(str::to_owned), ..Default::default() })
    }

    fn data_transfer(vendor: Option<&str>) -> Request {
        Request::DataTransfer { vendor_id: vendor.map(str::to_owned), message_id: None }
    }

    #[test]
    fn boots_and_heartbeats() {
        check(
            boot(),
            &decision(),
            r#"{"status":"Accepted","currentTime":"2026-04-14T12:34:56.789Z","interval":300}"#,
        );
        let pending = Decision { boot_status: BootStatus::Pending, heartbeat_interval_s: 0, ..decision() };
        check(
            boot(),
            &pending,
            r#"{"status":"Pending","currentTime":"2026-04-14T12:34:56.789Z","interval":1}"#,
        );
        check(Request::Heartbeat, &decision(), r#"{"currentTime":"2026-04-14T12:34:56.789Z"}"#);
    }

    #[test]
    fn verdicts_are_written_without_nulls_and_past_dates() {
        check(
            authorize(),
            &decision(),
            r#"{"idTagInfo":{"status":"Accepted","expiryDate":"2026-04-14T12:35:56.789Z","parentIdTag":"FLEET"}}"#,
        );
        let past = IdTagInfo { expiry_date: Some(NOW), parent_id_tag: Some("F".repeat(21)), ..accepted() };
        check(
            authorize(),
            &Decision { id_tag_info: Some(past.clone()), ..decision() },
            r#"{"idTagInfo":{"status":"Accepted"}}"#,
        );
        let expired = IdTagInfo { status: AuthorizationStatus::Expired, parent_id_tag: None, ..past };
        check(
            authorize(),
            &Decision { id_tag_info: Some(expired), ..decision() },
            r#"{"idTagInfo":{"status":"Expired","expiryDate":"2026-04-14T12:34:56.789Z"}}"#,
        );
        check(
            authorize(),
            &Decision { id_tag_info: None, ..decision() },
            r#"{"idTagInfo":{"status":"Invalid"}}"#,
        );
    }

    #[test]
    fn a_start_always_gets_its_number_and_a_verdict() {
        let start = || Request::StartTransaction(SessionStarted::default());
        for status in AuthorizationStatus::ALL {
            check(
                start(),
                &Decision { id_tag_info: Some(IdTagInfo::bare(status)), ..decision() },
                &format!(r#"{{"idTagInfo":{{"status":"{status}"}},"transactionId":123456789}}"#),
            );
        }
    }

    #[test]
    fn a_stop_gets_a_verdict_only_if_it_names_a_tag() {
        let bare =
            Decision { id_tag_info: Some(IdTagInfo::bare(AuthorizationStatus::Blocked)), ..decision() };
        check(stop(Some("A")), &bare, r#"{"idTagInfo":{"status":"Blocked"}}"#);
        check(stop(None), &bare, "{}");
        check(stop(Some("A")), &Decision { id_tag_info: None, ..decision() }, "{}");
    }

    #[test]
    fn vendors_and_certificates_need_somebody_who_understands_them() {
        let vendors = ["com.Vendor".to_owned()];
        let known = Decision { data_transfer_vendors: &vendors, certificate_authority: true, ..decision() };
        check(data_transfer(Some("COM.vendor")), &known, r#"{"status":"Accepted"}"#);
        check(data_transfer(Some("com.other")), &known, r#"{"status":"UnknownVendorId"}"#);
        check(data_transfer(None), &known, r#"{"status":"UnknownVendorId"}"#);
        check(Request::SignCertificate { csr: None }, &known, r#"{"status":"Accepted"}"#);
        check(Request::SignCertificate { csr: None }, &decision(), r#"{"status":"Rejected"}"#);
    }

    /// Every kind of request, with its action.
    fn every_request() -> impl Iterator<Item = (FromChargePoint, Request)> {
        let payload = RawValue::from_string(r#"{"idTag":"A","vendorId":"V"}"#.to_owned()).expect("JSON");
        let reading = Reading { validation: Validation::Off, received_at: NOW, zone: None };
        FromChargePoint::ALL
            .iter()
            .map(move |&action| (action, read::read(action, &payload, &reading).expect("lenient").request))
    }

    #[test]
    fn every_answer_is_legal_for_the_schema() {
        let vendors = ["V".to_owned()];
        for (action, request) in every_request() {
            for boot_status in BootStatus::ALL {
                for id_tag_info in [Some(accepted()), None]
                    .into_iter()
                    .chain(AuthorizationStatus::ALL.map(IdTagInfo::bare).map(Some))
                {
                    for (vendors, authority) in [(&vendors[..], true), (&[], false)] {
                        let decision = Decision {
                            boot_status,
                            id_tag_info: id_tag_info.clone(),
                            data_transfer_vendors: vendors,
                            certificate_authority: authority,
                            ..decision()
                        };
                        let answer = answer(&request, &decision, NOW);
                        let value: Value = serde_json::from_str(answer.get()).expect("JSON");
                        assert_eq!(
                            SCHEMAS.violations(Part::Response, action.as_str(), &value),
                            [],
                            "{action}"
                        );
                    }
                }
            }
        }
    }
}
