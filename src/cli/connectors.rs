//! `chargehook connectors`: lists the connectors of all stations.

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::session::{GatewayArgs, ListArgs, Session};
use super::table::{Column, cut, or_dash, state, time, whole, yes_no};
use vocabulary::api::station::Connector;

pub(super) const HELP: &str = "\
Examples:
  chargehook connectors --status Faulted,Unavailable
  chargehook connectors --status Available --connected --site Harbour
  chargehook connectors --error-code GroundFailure --csv";

/// The arguments of `connectors`.
#[derive(Args)]
pub(super) struct Connectors {
    #[command(flatten)]
    list: ListArgs<Filter>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Args, Serialize)]
struct Filter {
    /// Their status, such as Available, Charging or Faulted; several with commas between them
    #[arg(long)]
    status: Option<String>,
    /// Their error code, such as GroundFailure
    #[arg(long, value_name = "CODE")]
    error_code: Option<String>,
    /// Only of this station
    #[arg(long = "station", value_name = "ID")]
    station_id: Option<String>,
    /// Only of stations at this place
    #[arg(long)]
    site: Option<String>,
    /// Only of this customer's stations
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Only of stations that are connected, or with =false of those that are not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    connected: Option<bool>,
}

pub(super) async fn run(Connectors { list, gateway }: Connectors) -> Result<(), Failure> {
    let session = gateway.open()?;
    let ask = |parameters: &[(&str, &str)]| session.client.all_connectors(parameters);
    session.list(&list.paging, &list.filter, ask, COLUMNS, row).await
}

const COLUMNS: [Column; 10] = [
    whole("STATION"),
    whole("CONNECTOR"),
    state("STATUS"),
    time("SINCE"),
    state("ERROR"),
    state("CONNECTED"),
    cut("SITE").minor(),
    whole("TRANSACTION").minor(),
    cut("INFO").minor(),
    cut("OWNER").minor(),
];

fn row(connector: &Connector) -> [String; 10] {
    [
        connector.station_id.clone(),
        connector.connector_id.to_string(),
        or_dash(connector.status.as_ref()),
        connector.since.to_string(),
        or_dash(connector.error_code.as_ref()),
        yes_no(connector.connected),
        or_dash(connector.site.as_ref()),
        or_dash(connector.transaction_id),
        info(connector),
        or_dash(connector.owner_id.as_ref()),
    ]
}

/// What the charger says beside the code.
fn info(connector: &Connector) -> String {
    or_dash(connector.info.as_ref().or(connector.vendor_error_code.as_ref()))
}

/// Shows the connectors of one station.
pub(super) async fn of_station(session: &Session, id: &str) -> Result<(), Failure> {
    let columns = [
        whole("CONNECTOR"),
        state("STATUS"),
        state("ERROR"),
        time("SINCE"),
        whole("TRANSACTION"),
        cut("INFO").minor(),
    ];
    session
        .page(session.client.connectors(id), columns, |connector| {
            [
                connector.connector_id.to_string(),
                or_dash(connector.status.as_ref()),
                or_dash(connector.error_code.as_ref()),
                connector.since.to_string(),
                or_dash(connector.transaction_id),
                info(connector),
            ]
        })
        .await
}
