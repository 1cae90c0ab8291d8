//! `chargehook stations summary`: how many stations there are of each kind.

use std::array::from_fn;

use clap::Args;
use serde::Serialize;

use super::session::Session;
use super::station_filter::StationFilter;
use super::table::{Column, Table, cut, or_dash, whole, yes_no};
use super::{Failure, input};
use vocabulary::api::Page;
use vocabulary::api::station_summary::{StationCount, StationGroup};
use vocabulary::words;

/// What is counted.
#[derive(Args, Serialize)]
pub(super) struct Summary {
    #[arg(long = "by", value_name = "FIELDS", help = format!(
        "What they are counted by, several with commas between them: {}", words::listed(StationGroup::WORDS)))]
    group_by: String,
    #[command(flatten)]
    #[serde(flatten)]
    filter: StationFilter,
}

pub(super) async fn show(session: &Session, summary: &Summary) -> Result<(), Failure> {
    let call = session.client.station_summary(&input::borrowed(&input::parameters(summary)));
    // The gateway names those that it does not know.
    let known = summary.group_by.split(',').filter_map(|name| name.trim().parse().ok());
    let mut groups: Vec<StationGroup> = Vec::new();
    known.for_each(|group| {
        if !groups.contains(&group) {
            groups.push(group)
        }
    });
    session.rows(call, |page| told(&groups, page)).await
}

/// The numbers of a row, behind what its stations have in common.
const NUMBERS: [&str; 2] = ["STATIONS", "CONNECTED"];

fn told(groups: &[StationGroup], page: &Page<StationCount>) -> String {
    match groups.len() {
        1 => table::<3>(groups, page),
        2 => table::<4>(groups, page),
        3 => table::<5>(groups, page),
        4 => table::<6>(groups, page),
        5 => table::<7>(groups, page),
        6 => table::<8>(groups, page),
        _ => table::<9>(groups, page),
    }
}

fn table<const N: usize>(groups: &[StationGroup], page: &Page<StationCount>) -> String {
    let numbers = groups.len();
    let columns: [Column; N] = from_fn(|place| match groups.get(place) {
        Some(group) => cut(heading(*group)),
        None => whole(NUMBERS.get(place - numbers).copied().unwrap_or_default()),
    });
    let row = |count: &StationCount| {
        from_fn(|place| match groups.get(place) {
            Some(group) => cell(*group, count),
            None if place == numbers => count.stations.to_string(),
            None => count.connected_count.to_string(),
        })
    };
    Table::new(columns).lines(page.data.iter().map(row))
}

fn heading(group: StationGroup) -> &'static str {
    match group {
        StationGroup::Site => "SITE",
        StationGroup::Vendor => "VENDOR",
        StationGroup::Model => "MODEL",
        StationGroup::FirmwareVersion => "FIRMWARE",
        StationGroup::Owner => "OWNER",
        StationGroup::BootStatus => "BOOT",
        StationGroup::Connected => "IS CONNECTED",
    }
}

fn cell(group: StationGroup, count: &StationCount) -> String {
    let text = |text: &Option<Option<String>>| or_dash(text.as_ref().and_then(Option::as_ref));
    match group {
        StationGroup::Site => text(&count.site),
        StationGroup::Vendor => text(&count.vendor),
        StationGroup::Model => text(&count.model),
        StationGroup::FirmwareVersion => text(&count.firmware_version),
        StationGroup::Owner => text(&count.owner_id),
        StationGroup::BootStatus => or_dash(count.boot_status.as_ref()),
        StationGroup::Connected => or_dash(count.connected.map(yes_no)),
    }
}
