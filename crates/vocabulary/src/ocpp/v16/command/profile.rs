//! Charging profiles: purpose against connector and transaction, kind against schedule (OCPP 1.6 §3.13,
//! §7.8).

use serde_json::Value;

use super::{Given, Wrong};

/// A profile that comes with a remote start is for the transaction that is yet to begin.
pub(super) fn check_of_remote_start(profile: Given<'_>, wrong: &mut Wrong) {
    if let Some(purpose) = profile.text("chargingProfilePurpose")
        && purpose != "TxProfile"
    {
        wrong.add_unless_known(&profile.path_of("chargingProfilePurpose"), || {
            "must be TxProfile: a remote start sets the profile of its own transaction alone".to_owned()
        });
    }
    if profile.has("transactionId") {
        wrong.add(
            profile.path_of("transactionId"),
            "must be left out: the transaction has no number before it has begun",
        );
    }
    check(profile, wrong);
}

/// A profile that is set for the connector `connector_id`.
pub(super) fn check_of_set(profile: Given<'_>, connector_id: Option<i64>, wrong: &mut Wrong) {
    let purpose = profile.text("chargingProfilePurpose");
    match (purpose, connector_id) {
        (Some("ChargePointMaxProfile"), Some(1..)) => {
            wrong.add("connectorId", "must be 0: a ChargePointMaxProfile limits the station as a whole");
        }
        (Some("TxProfile"), Some(0)) => {
            wrong.add(
                "connectorId",
                "must be at least 1: a TxProfile belongs to a transaction, which runs on a connector",
            );
        }
        _ => {}
    }
    let transaction = profile.path_of("transactionId");
    match purpose {
        Some("TxProfile") if !profile.has("transactionId") => {
            wrong.add(transaction, "is required: a TxProfile is set for the transaction that is running");
        }
        Some("ChargePointMaxProfile" | "TxDefaultProfile") if profile.has("transactionId") => {
            wrong.add(transaction, "must be left out: only a TxProfile belongs to a transaction");
        }
        _ => {}
    }
    check(profile, wrong);
}

fn check(profile: Given<'_>, wrong: &mut Wrong) {
    if let (Some(from), Some(to)) = (profile.time("validFrom"), profile.time("validTo"))
        && from >= to
    {
        wrong.add(profile.path_of("validTo"), "must lie after validFrom: the profile would never be valid");
    }
    let kind = profile.text("chargingProfileKind");
    let recurrency = profile.path_of("recurrencyKind");
    match (kind, profile.has("recurrencyKind")) {
        (Some("Recurring"), false) => {
            wrong.add(recurrency, "is required: a Recurring profile recurs Daily or Weekly");
        }
        (Some("Absolute" | "Relative"), true) => {
            wrong.add(recurrency, "must be left out: only a Recurring profile recurs");
        }
        _ => {}
    }
    let Some(object) = profile.object.get("chargingSchedule").and_then(Value::as_object) else { return };
    let path = profile.path_of("chargingSchedule");
    let schedule = Given { object, path: &path };
    let start = schedule.path_of("startSchedule");
    match (kind, schedule.has("startSchedule")) {
        (Some("Recurring"), false) => {
            wrong.add(start, "is required: a Recurring schedule needs a moment to recur from");
        }
        (Some("Relative"), true) => {
            wrong.add(
                start,
                "must be left out: a Relative schedule begins with the charging, whenever that is",
            );
        }
        _ => {}
    }
    periods(schedule, wrong);
}

/// Periods begin at 0 and follow each other.
fn periods(schedule: Given<'_>, wrong: &mut Wrong) {
    const NAME: &str = "chargingSchedulePeriod";
    if schedule.object.get(NAME).and_then(Value::as_array).is_some_and(Vec::is_empty) {
        wrong.add(schedule.path_of(NAME), "must not be empty: a schedule has at least one period");
    }
    let mut before = None;
    for (index, period) in schedule.objects(NAME) {
        let path = format!("{}.{index}", schedule.path_of(NAME));
        let period = Given { object: period, path: &path };
        let Some(start) = period.integer("startPeriod") else { continue };
        let field = period.path_of("startPeriod");
        if index == 0 && start != 0 {
            wrong.add_unless_known(&field, || {
                "must be 0 in the first period: the schedule begins with it".to_owned()
            });
        }
        if before.is_some_and(|before| start <= before) {
            wrong.add_unless_known(&field, || "must be greater than that of the period before".to_owned());
        }
        before = Some(start);
    }
}
