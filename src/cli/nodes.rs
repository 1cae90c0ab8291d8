//! `chargehook nodes`: lists the gateways that work on one store.

use super::Failure;
use super::session::GatewayArgs;
use super::table::{Column, cut, or_dash, state, time, whole};
use vocabulary::api::node::Node;

pub(super) const HELP: &str = "\
Examples:
  chargehook nodes
  chargehook nodes --watch
  chargehook nodes --json | jq '.data[] | select(.status == \"lost\")'";

pub(super) async fn run(gateway: GatewayArgs) -> Result<(), Failure> {
    let session = gateway.open()?;
    session.page(session.client.nodes(), COLUMNS, row).await
}

const COLUMNS: [Column; 10] = [
    cut("NAME"),
    state("STATUS"),
    whole("STATIONS"),
    whole("LANES"),
    time("LAST SEEN"),
    time("SINCE"),
    whole("OCPP").minor(),
    whole("API").minor(),
    whole("VERSION").minor(),
    whole("EPOCH").minor(),
];

fn row(node: &Node) -> [String; 10] {
    [
        node.name.clone(),
        node.status.to_string(),
        node.stations_connected.to_string(),
        node.lanes.to_string(),
        node.last_seen_at.to_string(),
        node.started_at.to_string(),
        or_dash(node.ocpp_addr.as_ref()),
        or_dash(node.api_addr.as_ref()),
        node.version.clone(),
        node.epoch.to_string(),
    ]
}
