//! Charging profiles: what fits which connector, and what a schedule must be.

use super::*;

/// A `SetChargingProfile` for the connector, made of the profile's members.
fn set(connector_id: i64, members: &Value) -> String {
    let mut profile = json!({
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}]},
    });
    for (name, value) in members.as_object().expect("members") {
        profile[name] = value.clone();
    }
    json!({ "connectorId": connector_id, "csChargingProfiles": profile }).to_string()
}

#[track_caller]
fn set_refused(connector_id: i64, members: &Value, expected: &[&str]) {
    refused(Action::SetChargingProfile, &set(connector_id, members), expected);
}

#[test]
fn a_profiles_purpose_fits_its_connector() {
    let purpose = |purpose: &str| json!({ "chargingProfilePurpose": purpose });
    sent(Action::SetChargingProfile, &set(0, &purpose("ChargePointMaxProfile")));
    sent(Action::SetChargingProfile, &set(0, &purpose("TxDefaultProfile")));
    sent(Action::SetChargingProfile, &set(2, &purpose("TxDefaultProfile")));
    sent(
        Action::SetChargingProfile,
        &set(1, &json!({ "chargingProfilePurpose": "TxProfile", "transactionId": 7 })),
    );
    set_refused(1, &purpose("ChargePointMaxProfile"), &["connectorId must be 0"]);
    set_refused(
        0,
        &purpose("TxProfile"),
        &["connectorId must be at least 1", "csChargingProfiles.transactionId is required: a TxProfile"],
    );
    set_refused(
        0,
        &json!({ "transactionId": 7 }),
        &["csChargingProfiles.transactionId must be left out: only a TxProfile"],
    );
}

#[test]
fn a_profiles_kind_fits_its_schedule() {
    let schedule = |start: bool| {
        let mut schedule =
            json!({"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}]});
        if start {
            schedule["startSchedule"] = json!("2026-04-14T00:00:00Z");
        }
        schedule
    };
    set_refused(
        0,
        &json!({ "chargingProfileKind": "Recurring", "chargingSchedule": schedule(false) }),
        &[
            "csChargingProfiles.chargingSchedule.startSchedule is required: a Recurring",
            "csChargingProfiles.recurrencyKind is required: a Recurring",
        ],
    );
    set_refused(
        0,
        &json!({ "chargingProfileKind": "Relative", "chargingSchedule": schedule(true), "recurrencyKind": "Daily" }),
        &[
            "csChargingProfiles.chargingSchedule.startSchedule must be left out: a Relative",
            "csChargingProfiles.recurrencyKind must be left out",
        ],
    );
    sent(
        Action::SetChargingProfile,
        &set(0, &json!({ "chargingProfileKind": "Absolute", "chargingSchedule": schedule(true) })),
    );
    for (from, to) in [("2026-04-15T00:00:00Z", "2026-04-14T00:00:00Z"), (NOW, NOW)] {
        set_refused(
            0,
            &json!({ "validFrom": from, "validTo": to }),
            &["csChargingProfiles.validTo must lie after validFrom"],
        );
    }
}

#[test]
fn a_schedules_periods_begin_at_0_and_rise() {
    let periods = |periods: Value| json!({ "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": periods} });
    let at = |starts: &[i64]| {
        periods(starts.iter().map(|start| json!({"startPeriod": start, "limit": 16})).collect())
    };
    let path = "csChargingProfiles.chargingSchedule.chargingSchedulePeriod";
    set_refused(0, &at(&[]), &[&format!("{path} must not be empty")]);
    set_refused(0, &at(&[60]), &[&format!("{path}.0.startPeriod must be 0 in the first period")]);
    set_refused(
        0,
        &at(&[0, 60, 60, 30, 90]),
        &[
            &format!("{path}.2.startPeriod must be greater than that of the period before"),
            &format!("{path}.3.startPeriod must be greater than that of the period before"),
        ],
    );
    set_refused(
        0,
        &periods(
            json!([{"startPeriod": 0, "limit": -0.5, "numberPhases": 4}, {"startPeriod": -1, "limit": 1}]),
        ),
        &[
            &format!("{path}.0.limit must be at least 0"),
            &format!("{path}.0.numberPhases must be 1, 2 or 3"),
            &format!("{path}.1.startPeriod must be at least 0"),
        ],
    );
}

#[test]
fn one_decimal_place_is_counted_in_decimals() {
    let with_limit = |limit: &str| set(0, &json!({})).replace("16", limit);
    for tenths in 0..=10_000 {
        let limit = format!("{}.{}", tenths / 10, tenths % 10);
        let written = limit.strip_suffix(".0").unwrap_or(&limit);
        assert_eq!(sent(Action::SetChargingProfile, &with_limit(&limit)), with_limit(written));
    }
    assert_eq!(sent(Action::SetChargingProfile, &with_limit("1.60e1")), with_limit("16"));
    let path = "csChargingProfiles.chargingSchedule.chargingSchedulePeriod.0.limit";
    for limit in ["0.30000000000000004", "16.05", "0.01"] {
        refused(
            Action::SetChargingProfile,
            &with_limit(limit),
            &[&format!("{path} must have at most one decimal place")],
        );
    }
    refused(
        Action::SetChargingProfile,
        &with_limit("1e300"),
        &[&format!("{path} must be within the 32 bits")],
    );
}

#[test]
fn a_remote_start_sets_the_profile_of_its_own_transaction() {
    let start = |members: &Value| {
        let set: Value = serde_json::from_str(&set(1, members)).expect("JSON");
        json!({ "idTag": "A", "chargingProfile": set["csChargingProfiles"] }).to_string()
    };
    sent(Action::RemoteStartTransaction, &start(&json!({ "chargingProfilePurpose": "TxProfile" })));
    refused(
        Action::RemoteStartTransaction,
        &start(&json!({ "chargingProfilePurpose": "TxDefaultProfile", "transactionId": 7 })),
        &[
            "chargingProfile.chargingProfilePurpose must be TxProfile",
            "chargingProfile.transactionId must be left out: the transaction has no number",
        ],
    );
}
