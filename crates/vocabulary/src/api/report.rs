//! Reports over the past.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::words::words;

words! {
    /// How time is counted. `plain`: all time that a connector was faulted, unavailable or out of reach is
    /// down. `cec`: as California's reliability standards count it. `uk`: as the Public Charge Point
    /// Regulations 2023 count it. docs/reports.md has the formulas.
    pub enum UptimeRule {
        /// Nothing is left out.
        Plain = "plain",
        /// Planned maintenance (72 hours a year), faults of vehicles and outages of power are left out.
        Cec = "cec",
        /// Time without contact is left out.
        Uk = "uk",
    }
}

words! {
    /// What a row is about.
    pub enum UptimeGrouping {
        /// One connector.
        Connector = "connector",
        /// The connectors of one station.
        Station = "station",
        /// The connectors of all stations of one site.
        Site = "site",
    }
}

/// How long connectors were up in a span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UptimeReport {
    /// When the span begins.
    pub since: Timestamp,
    /// When it ends; of a month that is not over, now.
    pub until: Timestamp,
    /// The rule that time was counted by.
    pub rule: UptimeRule,
    /// What a row is about.
    pub group_by: UptimeGrouping,
    /// All rows together, also those that were not asked for.
    pub total: UptimeRow,
    /// How many rows there are; more than in `data` if only the worst were asked for.
    pub row_count: u64,
    /// The rows, by station and connector, or by site; with `worst` by uptime. A connector appears once it
    /// has told a status.
    pub data: Vec<UptimeRow>,
}

/// How long one connector, or several together, were up. Times are in minutes, added up over connectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UptimeRow {
    /// The station; not in rows of sites, nor in `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station_id: Option<String>,
    /// The connector; only in rows of connectors. 0 is a station that has told of no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector_id: Option<i64>,
    /// Where the stations stand.
    pub site: Option<String>,
    /// The customer the station belongs to now; not in rows of sites, or if it belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// How many connectors were added up.
    pub connectors: u64,
    /// All of the time.
    pub minutes: f64,
    /// They could be used, or were in use.
    pub up: f64,
    /// They were down, by the rule.
    pub down: f64,
    /// They were down, and the rule leaves that out.
    pub excluded: f64,
    /// Nothing had been told of them yet.
    pub unknown: f64,
    /// `up` of `up` and `down`; null if both are 0. Cut off behind three decimals, so that nothing reaches a
    /// threshold by rounding.
    pub uptime_percent: Option<f64>,
    /// The same with `excluded` as up: the percentage that the texts behind `cec` and `uk` define.
    pub rule_percent: Option<f64>,
    /// What `down` and `excluded` consist of.
    pub reasons: UptimeReasons,
    /// Up and free. This and the next five depend on no rule, and add up to `minutes` with `unknown`.
    pub available: f64,
    /// Up and charging.
    pub charging: f64,
    /// Up and otherwise in use: preparing, suspended, finishing or reserved.
    pub occupied: f64,
    /// `Faulted`.
    pub faulted: f64,
    /// `Unavailable`.
    pub unavailable: f64,
    /// Neither, and the station was out of reach.
    pub offline: f64,
}

/// Minutes by the reason for which they were down, or left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UptimeReasons {
    /// The connector, or the station, was `Faulted`: down.
    pub faulted: f64,
    /// The connector, or the station, was `Unavailable`: down.
    pub unavailable: f64,
    /// The station was out of reach: down, by `uk` left out.
    pub offline: f64,
    /// An operator had taken it out of service (`ChangeAvailability`): left out by `cec`.
    pub maintenance: f64,
    /// The connector reported a fault of the vehicle: left out by `cec`.
    pub vehicle_fault: f64,
    /// The station reported a loss of power: left out by `cec` and `uk`.
    pub power_outage: f64,
}
