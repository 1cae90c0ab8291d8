//! The numbers beside the places of the navigation. They come from the overview, and are kept for a few
//! seconds for everybody who sees the same: no page waits for them but the first one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::components::layout::{Count, Section};
use crate::client::Client;
use crate::http::Identity;
use vocabulary::api::overview::Overview;

/// Numbers older than that are asked for anew while the page is answered with the old ones.
const FRESH: Duration = Duration::from_secs(3);

/// A page waits for new numbers rather than show those that are older.
const SHOWN: Duration = Duration::from_secs(30);

/// Customers whose numbers are kept.
const KEPT_MAX: usize = 256;

/// Whose numbers: a customer's, or everybody's.
type Whose = Option<String>;

struct Kept {
    at: Instant,
    counts: Vec<Count>,
    /// Somebody asks for new ones.
    is_asked: bool,
}

/// The numbers of the last moments.
#[derive(Default)]
pub(super) struct Counts {
    kept: Mutex<HashMap<Whose, Kept>>,
}

impl Counts {
    /// The numbers that this key may see. `client` carries the same key.
    pub(super) async fn of(self: &Arc<Self>, identity: &Identity, client: &Client) -> Vec<Count> {
        if !identity.may("read") {
            return Vec::new();
        }
        let whose: Whose = identity.owner_id().map(str::to_owned);
        let known = {
            let mut kept = self.kept();
            kept.get_mut(&whose).filter(|kept| kept.at.elapsed() < SHOWN).map(|kept| {
                let asks = kept.at.elapsed() >= FRESH && !kept.is_asked;
                kept.is_asked |= asks;
                (kept.counts.clone(), asks)
            })
        };
        match known {
            Some((counts, false)) => counts,
            Some((counts, true)) => {
                let (this, client) = (self.clone(), client.clone());
                tokio::spawn(async move { this.ask(whose, &client).await });
                counts
            }
            None => self.ask(whose, client).await,
        }
    }

    /// A page does without numbers that cannot be had.
    async fn ask(&self, whose: Whose, client: &Client) -> Vec<Count> {
        let asked = client.overview(&[]).await;
        let mut kept = self.kept();
        let Ok(overview) = asked else {
            kept.get_mut(&whose).into_iter().for_each(|kept| kept.is_asked = false);
            return Vec::new();
        };
        let counts = counts(&overview);
        if kept.len() >= KEPT_MAX && !kept.contains_key(&whose) {
            kept.retain(|_, kept| kept.at.elapsed() < SHOWN);
        }
        if kept.len() < KEPT_MAX || kept.contains_key(&whose) {
            let new = Kept { at: Instant::now(), counts: counts.clone(), is_asked: false };
            kept.insert(whose, new);
        }
        counts
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Whose, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of an overview stands in the navigation.
fn counts(overview: &Overview) -> Vec<Count> {
    let number = |section, number, what, path| Count { section, number, what, path };
    vec![
        number(Section::Overview, overview.attention.len() as u64, "to see to", "/ui/#attention"),
        number(Section::Stations, overview.stations.offline, "offline", "/ui/stations?state=offline"),
        number(Section::Sessions, overview.sessions.active, "active", "/ui/sessions?status=active"),
        number(Section::Webhooks, overview.webhooks.failing, "failing", "/ui/webhooks?status=failing"),
        number(
            Section::Deliveries,
            overview.deliveries.dead_letters,
            "dead letters",
            "/ui/deliveries?status=failed",
        ),
    ]
}
