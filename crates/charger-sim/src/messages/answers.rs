//! Answers that take more than one line to make.

use rust_ocpp::v1_6::messages::get_composite_schedule::GetCompositeScheduleResponse;
use rust_ocpp::v1_6::messages::trigger_message::TriggerMessageResponse;
use rust_ocpp::v1_6::types::{
    ChargingRateUnitType, ChargingSchedule, ChargingSchedulePeriod, GetCompositeScheduleStatus,
};
use serde_json::Value;

use super::{TriggerMessageStatus, payload as json, time, whole};
use crate::profile::Unit;
use crate::schedule::Composite;

/// The answer to `TriggerMessage`, and to `ExtendedTriggerMessage`.
pub(crate) fn triggered(status: TriggerMessageStatus) -> Value {
    json(&TriggerMessageResponse { status })
}

/// The answer to `GetCompositeSchedule`; `None` if there is no such connector.
pub(crate) fn composite_schedule(schedule: Option<(u32, Composite)>) -> GetCompositeScheduleResponse {
    let Some((connector_id, composite)) = schedule else {
        let status = GetCompositeScheduleStatus::Rejected;
        return GetCompositeScheduleResponse { status, ..GetCompositeScheduleResponse::default() };
    };
    GetCompositeScheduleResponse {
        status: GetCompositeScheduleStatus::Accepted,
        connector_id: Some(whole(connector_id)),
        schedule_start: Some(time(composite.start)),
        charging_schedule: Some(charging_schedule(&composite)),
    }
}

pub(crate) fn charging_schedule(composite: &Composite) -> ChargingSchedule {
    let periods = composite.periods.iter().map(|(start, limit)| {
        // One decimal, as the schema wants it, and never more than is allowed.
        let tenths = (limit.in_unit(composite.unit) * 10.0 + 1e-6).floor();
        ChargingSchedulePeriod {
            start_period: whole(start.as_secs()),
            limit: format!("{:.1}", tenths / 10.0).parse().unwrap_or_default(),
            number_phases: (limit.phases != 3).then(|| whole(limit.phases)),
        }
    });
    ChargingSchedule {
        duration: Some(whole(composite.duration.as_secs())),
        start_schedule: Some(time(composite.start)),
        charging_rate_unit: match composite.unit {
            Unit::Ampere => ChargingRateUnitType::A,
            Unit::Watt => ChargingRateUnitType::W,
        },
        charging_schedule_period: periods.collect(),
        min_charging_rate: None,
    }
}
