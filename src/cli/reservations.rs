//! `chargehook reservations`: lists what stations keep for somebody.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::session::{ListArgs, Tasks};
use super::table::{Column, cut, or_dash, state, time, whole};
use super::{Failure, input};
use vocabulary::api::reservation::{Reservation, Status};
use vocabulary::clock::Timestamp;
use vocabulary::words;

pub(super) const HELP: &str = "\
Examples:
  chargehook reservations list --status active
  chargehook reservations list --station WALLBOX_001 --csv

To make one, and to cancel it: chargehook command STATION ReserveNow, … CancelReservation";

/// The arguments of `reservations`.
pub(super) type Reservations = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the reservations, the newest first
    List(ListArgs<Filter>),
}

#[derive(Args, Serialize)]
pub(super) struct Filter {
    /// Only of this station
    #[arg(long = "station", value_name = "ID")]
    station_id: Option<String>,
    /// Only of this customer's stations
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    #[arg(long, help = format!("Their status: {}", words::listed(Status::WORDS)))]
    status: Option<String>,
    /// Answered by the station then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Answered by the station before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

pub(super) async fn run(Reservations { task, gateway }: Reservations) -> Result<(), Failure> {
    let session = gateway.open()?;
    let Task::List(ListArgs { filter, paging }) = task;
    let ask = |parameters: &[(&str, &str)]| session.client.reservations(parameters);
    session.list(&paging, &filter, ask, COLUMNS, row).await
}

const COLUMNS: [Column; 9] = [
    whole("STATION"),
    whole("CONNECTOR"),
    state("STATUS"),
    time("EXPIRES"),
    whole("ID TAG"),
    whole("NUMBER").minor(),
    whole("TRANSACTION").minor(),
    time("CREATED").minor(),
    cut("OWNER").minor(),
];

fn row(reservation: &Reservation) -> [String; 9] {
    // Connector 0 is any one of the station.
    let connector = match reservation.connector_id {
        0 => "any".to_owned(),
        number => number.to_string(),
    };
    [
        reservation.station_id.clone(),
        connector,
        reservation.status.to_string(),
        reservation.expiry_date.to_string(),
        reservation.id_tag.clone(),
        reservation.reservation_id.to_string(),
        or_dash(reservation.transaction_id),
        reservation.created_at.to_string(),
        or_dash(reservation.owner_id.as_ref()),
    ]
}
