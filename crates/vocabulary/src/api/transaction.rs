//! Transactions: charging sessions as the charger reported them.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::CommandId;
use crate::ocpp::authorization::{AuthorizationStatus, IdTagReason};
use crate::words::words;

words! {
    /// How far a transaction has come.
    #[schema(as = TransactionStatus)]
    pub enum Status {
        /// It has begun, and its stop has not come.
        Active = "active",
        /// It is over.
        Completed = "completed",
    }
}

words! {
    /// How far the energy of a transaction can be relied on.
    pub enum EnergyQuality {
        /// The difference of the two meter readings, and nothing that was sent contradicts it.
        Metered = "metered",
        /// There is no reading at the stop; the energy register tells.
        Estimated = "estimated",
        /// The readings contradict themselves, each other, the register or the time, or no vehicle takes so
        /// much.
        Implausible = "implausible",
        /// There is nothing to tell from.
        Missing = "missing",
    }
}

impl EnergyQuality {
    /// Whether the difference of the two meter readings can be relied on.
    pub fn is_metered(self) -> bool {
        self == Self::Metered
    }
}

/// A charging session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Transaction {
    /// The number that OCPP knows it by; unique in the installation, never reused.
    pub transaction_id: i64,
    /// The station it runs on.
    pub station_id: String,
    /// The connector it runs on.
    pub connector_id: Option<i64>,
    /// The station's owner at the start.
    pub owner_id: Option<String>,
    /// Who started it.
    pub id_tag: Option<String>,
    /// What the tag was answered with at the start.
    #[schema(value_type = String)]
    pub id_tag_status: AuthorizationStatus,
    /// Why it was refused; null if it was accepted.
    pub id_tag_reason: Option<IdTagReason>,
    /// The reservation it used, also where its start named none. A number that the station was never given
    /// stands here as it came.
    pub reservation_id: Option<i64>,
    /// The remote start that began it.
    pub command_id: Option<CommandId>,
    /// How far it has come.
    pub status: Status,
    /// Another start followed on its connector, and its own stop has not come.
    pub orphaned: bool,
    /// Some fact about its stop is not the charger's own; also that it was meant, where the stop named −1,
    /// 0 or no transaction and tag, meter or time left no other.
    pub inferred: bool,
    /// When it began, by the charger's clock.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the charger's clock.
    pub stopped_at: Option<Timestamp>,
    /// The meter at the start, in Wh.
    pub meter_start: Option<i64>,
    /// The meter at the stop, in Wh.
    pub meter_stop: Option<i64>,
    /// The first reading of the energy register in the session, in Wh.
    pub first_register_wh: Option<i64>,
    /// The last one, in Wh. A single reading that does not follow from the others is neither.
    pub last_register_wh: Option<i64>,
    /// Why it ended; absent in the charger's message means `Local`.
    pub stop_reason: Option<String>,
    /// Who stopped it.
    pub stop_id_tag: Option<String>,
    /// Counts what was told of it: 1 when it completed, more after corrections.
    pub revision: i64,
    /// When something about it last changed.
    pub updated_at: Timestamp,
    /// `meter_stop` − `meter_start` as sent, in Wh; null if one is missing or it would be negative.
    pub energy_wh: Option<i64>,
    /// From `meter_start` to the last reading of the energy register, in Wh, or what a register shows that
    /// counts each session from zero; never mixed into `energy_wh`.
    pub energy_estimated_wh: Option<i64>,
    /// How far `energy_wh` can be relied on.
    pub energy_quality: EnergyQuality,
    /// How fast it is charging, in W, by the newest meter value that tells; phases are added where there is
    /// no total. Null if none has told, and once it is completed.
    pub power_w: Option<i64>,
    /// What it has charged so far, in Wh, by the newest reading of the energy register; null if that is not
    /// known, and once it is completed.
    pub energy_so_far_wh: Option<i64>,
    /// The state of charge of the vehicle's battery, by the newest meter value that tells; null if none has
    /// told, and once it is completed.
    pub soc_percent: Option<i64>,
    /// How long it has been under way, or took from start to stop, in whole seconds; null if it is not known.
    pub duration_s: Option<i64>,
}

words! {
    /// What sessions are summed by.
    #[schema(as = TransactionGrouping)]
    pub enum Grouping {
        /// The customer they belong to.
        Owner = "owner",
        /// The station they ran on.
        Station = "station",
        /// Where their station stands.
        Site = "site",
        /// The day they ended.
        Day = "day",
        /// The month they ended.
        Month = "month",
        /// How far their energy can be relied on.
        EnergyQuality = "energy_quality",
    }
}

/// What the sessions of one group come to. Of the first six fields it has those that it is grouped by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionSummary {
    /// The customer they belong to; null: none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    pub owner_id: Option<Option<String>>,
    /// The station they ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub station_id: Option<String>,
    /// Where their station stands; null: nobody has said, or the station is deleted.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    pub site: Option<Option<String>>,
    /// The day they ended, in the time zone that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "2026-11-30")]
    pub day: Option<String>,
    /// The month they ended, in the time zone that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "2026-11")]
    pub month: Option<String>,
    /// How far their energy can be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = EnergyQuality, required = false)]
    pub energy_quality: Option<EnergyQuality>,
    /// How many there are.
    pub sessions: i64,
    /// The energy of those that are `metered`, in Wh.
    pub energy_wh: i64,
    /// The energy of those that are `estimated`, in Wh.
    pub estimated_wh: i64,
    /// How long they took together, in whole seconds.
    pub duration_s: i64,
}

/// A member that is there, also if it is null.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// What sessions come to, one row per group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TransactionSummaries {
    /// By the values of the groups, in the order in which they were asked for; null comes first.
    pub data: Vec<TransactionSummary>,
}

/// One value that was metered in a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeterValue {
    /// When it was sampled, by the charger's clock.
    pub occurred_at: Option<Timestamp>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What was measured, such as `Energy.Active.Import.Register`.
    pub measurand: String,
    /// Why it was measured just then, such as `Sample.Periodic` or `Transaction.End`.
    pub context: String,
    /// The phase, or the pair of phases; null: all.
    pub phase: Option<String>,
    /// Where it was measured, such as `Outlet`.
    pub location: String,
    /// `Raw` or `SignedData`.
    pub format: String,
    /// The unit of `value`.
    pub unit: Option<String>,
    /// The text exactly as it was sent.
    #[schema(format = "decimal-or-text")]
    pub value: String,
    /// A decimal in the base unit of its quantity (Wh, varh, W, var, VA, A, V, Celsius, Percent, Hertz); null
    /// if it cannot be read.
    #[schema(format = "decimal")]
    pub value_base: Option<String>,
    /// The unit was not sent, nor is it a default of OCPP: it follows from the measurand.
    pub derived: bool,
}

/// What is known of a stop that never came: the body of `POST /transactions/{id}/close`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseInput {
    /// When the session ended; without it, now.
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
    /// The meter at the stop, in Wh.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub meter_stop: Option<i64>,
    /// Why it ended: a reason of OCPP, or words of your own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 50)]
    pub reason: Option<String>,
}
