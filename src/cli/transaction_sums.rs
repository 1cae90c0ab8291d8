//! `chargehook transactions summary`: what sessions come to, as a table with a column for each grouping.

use std::array::from_fn;

use clap::Args;
use serde::Serialize;

use super::input;
use super::table::{Column, Table, cut, or_dash, state, whole};
use vocabulary::api::transaction::{Grouping, TransactionSummaries, TransactionSummary};
use vocabulary::clock::Timestamp;

/// What transactions are summed by.
#[derive(Args, Serialize)]
pub(super) struct Summed {
    /// What a row is about: owner, station, site, day, month, energy_quality; several with commas
    #[arg(long = "by", value_name = "WHAT")]
    group_by: String,
    /// They ended then or later: a time, or how long ago (30d)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// They ended before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
    /// Where days and months begin: an IANA name such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

impl Summed {
    /// A table with a column for each grouping.
    pub(super) fn table(&self, summaries: &TransactionSummaries) -> String {
        let by: Vec<Grouping> = self.group_by.split(',').filter_map(|by| by.trim().parse().ok()).collect();
        match by.len() {
            0 | 1 => table::<5>(&by, summaries),
            2 => table::<6>(&by, summaries),
            3 => table::<7>(&by, summaries),
            4 => table::<8>(&by, summaries),
            5 => table::<9>(&by, summaries),
            _ => table::<10>(&by, summaries),
        }
    }
}

/// The columns of a summary behind those that it is grouped by.
const SUMS: [Column; 4] = [whole("SESSIONS"), whole("WH"), whole("ESTIMATED WH"), whole("TOOK")];

fn table<const N: usize>(by: &[Grouping], summaries: &TransactionSummaries) -> String {
    let groups = N - SUMS.len();
    let column = |grouping: Option<&Grouping>| match grouping {
        Some(Grouping::Owner) => cut("OWNER"),
        Some(Grouping::Station) => whole("STATION"),
        Some(Grouping::Site) => cut("SITE"),
        Some(Grouping::Day) => whole("DAY"),
        Some(Grouping::Month) => whole("MONTH"),
        Some(Grouping::EnergyQuality) => state("QUALITY"),
        None => cut(""),
    };
    let columns = from_fn(|place| match place.checked_sub(groups) {
        Some(sum) => SUMS[sum],
        None => column(by.get(place)),
    });
    let row = |summary: &TransactionSummary| -> [String; N] {
        let sums = [
            summary.sessions.to_string(),
            summary.energy_wh.to_string(),
            summary.estimated_wh.to_string(),
            hours(summary.duration_s),
        ];
        from_fn(|place| match place.checked_sub(groups) {
            Some(sum) => sums[sum].clone(),
            None => value(by.get(place), summary),
        })
    };
    Table::<N>::new(columns).lines(summaries.data.iter().map(row))
}

/// What a summary is about.
fn value(grouping: Option<&Grouping>, summary: &TransactionSummary) -> String {
    match grouping {
        Some(Grouping::Owner) => or_dash(summary.owner_id.as_ref().and_then(Option::as_ref)),
        Some(Grouping::Station) => or_dash(summary.station_id.as_ref()),
        Some(Grouping::Site) => or_dash(summary.site.as_ref().and_then(Option::as_ref)),
        Some(Grouping::Day) => or_dash(summary.day.as_ref()),
        Some(Grouping::Month) => or_dash(summary.month.as_ref()),
        Some(Grouping::EnergyQuality) => or_dash(summary.energy_quality),
        None => String::new(),
    }
}

/// Hours and minutes; of less than an hour minutes and seconds.
pub(super) fn hours(seconds: i64) -> String {
    match seconds {
        0..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}
