//! What an operator looks at first: counts of what there is, and what a person should see to.
//!
//! Everything is read anew each time, in a few milliseconds, so no statement here reads as many rows as there
//! are events or deliveries. [`attention()`] is a pure function of what was read.

pub(crate) mod attention;
mod deliveries;
pub(crate) mod facts;
mod refusals;
mod sessions;
mod stations;

use std::collections::{BTreeMap, BTreeSet};

use crate::Store;
use crate::error::Result;
use crate::overview::facts::{Facts, LaneFact};
use vocabulary::api::overview::{DeliveryFigures, SessionFigures, StationCounts, WebhookCounts};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

pub use attention::attention;

/// What is asked.
#[derive(Debug, Clone)]
pub struct OverviewQuestion {
    /// Only this customer's.
    pub owner_id: Option<String>,
    /// The moment.
    pub now: Timestamp,
    /// When the gateway was started.
    pub started_at: Timestamp,
    /// When today began.
    pub today_began_at: Timestamp,
    /// What the delivery engine knows of webhooks that do not do well.
    pub lanes: BTreeMap<WebhookId, LaneFact>,
}

/// What is known at a glance.
#[derive(Debug, Clone)]
pub struct Glance {
    /// Stations by state.
    pub stations: StationCounts,
    /// Connectors by status.
    pub connectors: BTreeMap<String, u64>,
    /// Sessions now and today, without the power of the last hour.
    pub sessions: SessionFigures,
    /// Deliveries that wait, and of the last 24 hours.
    pub deliveries: DeliveryFigures,
    /// Webhooks by state.
    pub webhooks: WebhookCounts,
    /// What [`attention()`] is made of.
    pub facts: Facts,
}

impl Store {
    /// Counts what there is, and looks for what a person should see to.
    pub async fn overview(&self, question: OverviewQuestion) -> Result<Glance> {
        self.read(move |db| {
            let owner = question.owner_id.as_deref();
            let stations = stations::counts(db, owner)?;
            let (sessions, session_facts) = sessions::read(db, &question)?;
            let (deliveries, webhooks, webhook_facts) = deliveries::read(db, &question)?;
            let troubled = stations::troubled(db, owner)?;
            let sites: BTreeSet<&str> =
                troubled.iter().filter_map(|station| station.site.as_deref()).collect();
            let facts = Facts {
                now: question.now,
                started_at: question.started_at,
                stations_known: stations.total - stations.never_connected,
                site_sizes: stations::site_sizes(db, owner, &sites)?,
                refused: refusals::stations(db, owner, question.now)?,
                failing_addresses: refusals::addresses(db, owner, question.now)?,
                faulted: stations::faulted(db, owner, question.now)?,
                stations: troubled,
                sessions: session_facts,
                webhooks: webhook_facts,
            };
            let connectors = stations::connectors(db, owner)?;
            Ok(Glance { stations, connectors, sessions, deliveries, webhooks, facts })
        })
        .await
    }

    /// The power that the sessions of each owner last reported, together, in W.
    pub async fn power_by_owner(&self) -> Result<BTreeMap<Option<String>, i64>> {
        self.read(sessions::power_by_owner).await
    }
}
