//! `chargehook reports`: what a running gateway tells of the past.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::session::Tasks;
use super::table::{Column, Table, cut, or_dash, whole};
use super::{Failure, input};
use vocabulary::api::report::{UptimeGrouping, UptimeReport, UptimeRow};
use vocabulary::clock::Timestamp;

pub(super) const HELP: &str = "\
Examples:
  chargehook reports uptime --month 2026-11
  chargehook reports uptime --month 2026-11 --by station --rule cec --time-zone America/Los_Angeles
  chargehook reports uptime --by station --worst 20
  chargehook reports uptime --since 7d --site 'Car park 7' --json";

/// The arguments of `reports`.
pub(super) type Reports = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Shows how long connectors were up, in minutes
    ///
    /// RULE % counts what the rule leaves out as up, as the texts behind cec and uk do.
    Uptime(Uptime),
}

#[derive(Args, Serialize)]
pub(super) struct Uptime {
    /// A month, such as 2026-11 [default: the month that it is now]
    #[arg(long)]
    month: Option<String>,
    /// In place of a month: from then on, a time, or how long ago (7d)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// With --since: until then [default: now]
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
    /// Where months begin: an IANA name such as Europe/London [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// What a row is about: connector, station or site [default: connector]
    #[arg(long = "by", value_name = "WHAT")]
    group_by: Option<String>,
    /// How time is counted: plain, cec or uk [default: plain]
    #[arg(long)]
    rule: Option<String>,
    /// Only so many rows: those with the lowest uptime, the lowest first
    #[arg(long, value_name = "N")]
    worst: Option<u32>,
    /// Only this station
    #[arg(long = "station", value_name = "ID")]
    station_id: Option<String>,
    /// Only stations that stand there
    #[arg(long)]
    site: Option<String>,
    /// Only stations of this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
}

pub(super) async fn run(Reports { task, gateway }: Reports) -> Result<(), Failure> {
    let session = gateway.open()?;
    let Task::Uptime(asked) = task;
    let call = session.client.uptime(&input::borrowed(&input::parameters(&asked)));
    session.rows(call, told).await
}

/// The numbers of a row.
const FIGURES: [Column; 9] = [
    whole("UP %"),
    whole("RULE %"),
    whole("UP"),
    whole("DOWN"),
    whole("EXCLUDED").minor(),
    whole("UNKNOWN").minor(),
    whole("FAULTED").minor(),
    whole("OFFLINE").minor(),
    whole("CHARGING").minor(),
];

const CONNECTORS: [Column; 3] = [cut("STATION"), whole("CONNECTOR"), cut("SITE").minor()];
const STATIONS: [Column; 3] = [cut("STATION"), whole("CONNECTORS"), cut("SITE").minor()];
const SITES: [Column; 2] = [cut("SITE"), whole("CONNECTORS")];

fn told(report: &UptimeReport) -> String {
    let rows = report.data.iter();
    match report.group_by {
        UptimeGrouping::Connector => written::<3, 12>(CONNECTORS, rows, |row| {
            [or_dash(row.station_id.as_ref()), or_dash(row.connector_id), or_dash(row.site.as_ref())]
        }),
        UptimeGrouping::Station => written::<3, 12>(STATIONS, rows, |row| {
            [or_dash(row.station_id.as_ref()), row.connectors.to_string(), or_dash(row.site.as_ref())]
        }),
        UptimeGrouping::Site => written::<2, 11>(SITES, rows, |row| {
            [row.site.clone().unwrap_or_else(|| "(none)".to_owned()), row.connectors.to_string()]
        }),
    }
}

/// The rows, each with what it is about (`N` columns) before its numbers: `ALL` columns together.
fn written<'a, const N: usize, const ALL: usize>(
    about: [Column; N],
    rows: impl Iterator<Item = &'a UptimeRow>,
    name: impl Fn(&UptimeRow) -> [String; N],
) -> String {
    let columns = std::array::from_fn(|place| match about.get(place) {
        Some(column) => *column,
        None => FIGURES[place - N],
    });
    let rows = rows.map(|row| {
        let mut cells = name(row).into_iter().chain(figures(row));
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    });
    Table::<ALL>::new(columns).lines(rows)
}

fn figures(row: &UptimeRow) -> [String; 9] {
    [
        percent(row.uptime_percent),
        percent(row.rule_percent),
        minutes(row.up),
        minutes(row.down),
        minutes(row.excluded),
        minutes(row.unknown),
        minutes(row.faulted),
        minutes(row.offline),
        minutes(row.charging),
    ]
}

fn percent(percent: Option<f64>) -> String {
    or_dash(percent.map(|percent| format!("{percent:.3}")))
}

fn minutes(minutes: f64) -> String {
    format!("{minutes:.0}")
}
