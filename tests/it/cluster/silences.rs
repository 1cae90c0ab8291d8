//! How long stations are not answered and lanes bring nothing, while something happens to the cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::crash::{Ledger, Received};

/// The longest silences of any station and of any lane since somebody asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Longest {
    pub(super) station: Duration,
    pub(super) lane: Duration,
}

impl Longest {
    pub(super) fn or(self, other: Self) -> Self {
        Self { station: self.station.max(other.station), lane: self.lane.max(other.lane) }
    }
}

struct Heard {
    stations: BTreeMap<String, Instant>,
    lanes: Vec<Instant>,
    longest: Longest,
}

/// Listens to all stations and lanes.
#[derive(Clone)]
pub(super) struct Silences(Arc<Mutex<Heard>>);

impl Silences {
    /// Listens to whatever is in the ledger and whatever receivers get, until the test ends.
    pub(super) fn listen(ledger: &Ledger, receivers: &[Arc<Received>]) -> Self {
        let lanes = vec![Instant::now(); receivers.len()];
        let heard = Heard { stations: BTreeMap::new(), lanes, longest: Longest::default() };
        let silences = Self(Arc::new(Mutex::new(heard)));
        let (ledger, receivers, heard) = (ledger.clone(), receivers.to_vec(), silences.0.clone());
        tokio::spawn(async move {
            let (mut known, mut received) = (0, vec![0; receivers.len()]);
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let now = Instant::now();
                let mut heard = heard.lock().expect("sound");
                let ledger = ledger.lock().expect("sound");
                for answered in ledger.get(known..).unwrap_or_default() {
                    heard.stations.insert(answered.station_id.to_string(), now);
                }
                known = ledger.len();
                for (nth, receiver) in receivers.iter().enumerate() {
                    let count = receiver.times.lock().expect("sound").len();
                    if count > received[nth] {
                        (received[nth], heard.lanes[nth]) = (count, now);
                    }
                }
                let longest = |moments: &mut dyn Iterator<Item = &Instant>| {
                    moments.map(|at| now - *at).max().unwrap_or_default()
                };
                let station = longest(&mut heard.stations.values());
                let lane = longest(&mut heard.lanes.iter());
                heard.longest = heard.longest.or(Longest { station, lane });
            }
        });
        silences
    }

    /// Whether everybody was heard of after that moment.
    pub(super) fn all_since(&self, moment: Instant, stations: usize) -> bool {
        let heard = self.0.lock().expect("sound");
        let counted = heard.stations.len() == stations;
        counted && heard.stations.values().chain(&heard.lanes).all(|at| *at > moment)
    }

    /// The longest ones since this was asked for the last time.
    pub(super) fn take(&self) -> Longest {
        std::mem::take(&mut self.0.lock().expect("sound").longest)
    }
}
