//! The gateway itself: its disk, its database, its certificates.

use std::time::Duration;

use super::entry::Said;
use super::wording::{at, bytes, sentence, span};
use crate::overview::facts::GatewayFacts;
use vocabulary::api::overview::{Attention, Kind, Severity, SubjectKind};
use vocabulary::clock::Timestamp;

/// A certificate that expires within this time is a warning, and within the second one worse.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 86_400);
const EXPIRES_NOW: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn entries(gateway: &GatewayFacts, now: Timestamp) -> Vec<Attention> {
    let mut all = Vec::new();
    if let Some((since, reason)) = &gateway.not_writing {
        let said = Said {
            severity: Severity::Bad,
            kind: Kind::StorageFailing,
            since: Some(*since),
            text: "Nothing can be stored".to_owned(),
            cause: format!("{}; until that works again, no charger is answered.", sentence(reason)),
        };
        all.push(said.of_gateway());
    }
    all.extend(gateway.not_ready.iter().map(|reason| {
        let said = Said {
            severity: Severity::Bad,
            kind: Kind::StorageFailing,
            since: None,
            text: "The gateway is not ready".to_owned(),
            cause: format!("{}.", sentence(reason)),
        };
        said.of_gateway()
    }));
    all.extend(gateway.disk.and_then(|(free, least)| disk(free, least)));
    all.extend(gateway.database.and_then(|(used, most)| database(used, most)));
    all.extend(gateway.certificates.iter().filter_map(|(name, end)| certificate(name, *end, now)));
    all
}

fn disk(free: u64, least: u64) -> Option<Attention> {
    if free >= least {
        return None;
    }
    let said = Said {
        severity: if free < least / 4 { Severity::Bad } else { Severity::Warn },
        kind: Kind::DiskNearlyFull,
        since: None,
        text: format!("Only {} are free where the data directory is", bytes(free)),
        cause: "Once there is no room left, nothing is stored and no charger is answered.".to_owned(),
    };
    Some(said.of_gateway())
}

fn database(used: u64, most: u64) -> Option<Attention> {
    if used < most / 5 * 4 {
        return None;
    }
    let said = Said {
        severity: Severity::Warn,
        kind: Kind::DatabaseNearlyFull,
        since: None,
        text: format!("The database uses {} of the {} it may", bytes(used), bytes(most)),
        cause: "Beyond retention.max_database_size the oldest events are removed before their time."
            .to_owned(),
    };
    Some(said.of_gateway())
}

fn certificate(name: &str, end: Timestamp, now: Timestamp) -> Option<Attention> {
    let left = end.since(now);
    if left >= EXPIRES_SOON {
        return None;
    }
    let (severity, text) = match left {
        Duration::ZERO => (Severity::Bad, format!("The certificate of {name} has expired")),
        left => {
            let severity = if left < EXPIRES_NOW { Severity::Bad } else { Severity::Warn };
            (severity, format!("The certificate of {name} expires in {}", span(left)))
        }
    };
    let said = Said {
        severity,
        kind: Kind::CertificateExpires,
        since: Some(end),
        text,
        cause: format!(
            "The first certificate of its chain ends {}; whoever checks it refuses it from then on.",
            at(end, now)
        ),
    };
    Some(said.of(SubjectKind::Certificate, name))
}
