//! Connectors that report a fault.

use super::entry::{Said, few};
use super::wording::{more, nth, sentence};
use crate::overview::facts::{Facts, FaultedConnector};
use crate::why::causes;
use vocabulary::api::overview::{Attention, Kind, Severity, SubjectKind};

pub(super) fn entries(facts: &Facts) -> Vec<Attention> {
    let mut faulted: Vec<&FaultedConnector> = facts.faulted.iter().collect();
    faulted.sort_by_key(|connector| std::cmp::Reverse(connector.since));
    few(&faulted, |connector| one(connector), others)
}

fn id(connector: &FaultedConnector) -> String {
    format!("{}/{}", connector.station_id, connector.connector_id)
}

fn one(connector: &FaultedConnector) -> Attention {
    let place = match connector.connector_id {
        0 => connector.station_id.clone(),
        number => format!("Connector {number} of {}", connector.station_id),
    };
    let code = connector.error_code.as_deref().filter(|code| *code != "NoError");
    let told = code.or(connector.vendor_error_code.as_deref());
    let mut cause = sentence(&causes::fault(
        connector.error_code.as_deref(),
        connector.vendor_error_code.as_deref(),
        connector.info.as_deref(),
    ));
    if connector.times_this_week > 1 {
        cause.push_str(&format!("; it is the {} time this week", nth(connector.times_this_week)));
    }
    cause.push('.');
    let said = Said {
        severity: Severity::Bad,
        kind: Kind::ConnectorFaulted,
        since: Some(connector.since),
        text: match told {
            Some(code) => format!("{place} is faulted: {code}"),
            None => format!("{place} is faulted"),
        },
        cause,
    };
    said.of(SubjectKind::Connector, id(connector))
}

fn others(rest: &[&FaultedConnector]) -> Attention {
    let mut codes: Vec<&str> = rest.iter().filter_map(|connector| connector.error_code.as_deref()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.truncate(5);
    let said = Said {
        severity: Severity::Bad,
        kind: Kind::ConnectorFaulted,
        since: rest.iter().map(|connector| connector.since).min(),
        text: format!("{} are faulted", more(rest.len() as u64, "connector")),
        cause: format!("They report {}.", codes.join(", ")),
    };
    said.of_all(SubjectKind::Connector, rest.iter().map(|connector| id(connector)))
}
