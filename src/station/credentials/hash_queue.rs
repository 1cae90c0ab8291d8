//! The short queue for slow hashes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::station::lock;
use vocabulary::id::StationId;

/// Handshakes that may wait for a slow hash, about two seconds of work. Others are told to come back.
pub(super) const QUEUE_MAX: usize = 64;

/// Of these, for one station, so that guesses for one hold up no other.
pub(super) const QUEUE_MAX_PER_STATION: usize = 4;

/// Handshakes that wait for a slow hash, or have one made.
#[derive(Default)]
pub(super) struct HashQueue {
    pub(super) length: usize,
    pub(super) of: HashMap<StationId, usize>,
}

/// A place in the queue; it is free again once this is dropped.
pub(super) struct QueuePlace {
    hash_queue: Arc<Mutex<HashQueue>>,
    station: StationId,
}

impl QueuePlace {
    pub(super) fn take(queue: &Arc<Mutex<HashQueue>>, station: &StationId) -> Option<Self> {
        let mut held = lock(queue);
        let own = held.of.get(station).copied().unwrap_or(0);
        if held.length >= QUEUE_MAX || own >= QUEUE_MAX_PER_STATION {
            return None;
        }
        held.length += 1;
        held.of.insert(station.clone(), own + 1);
        Some(Self { hash_queue: queue.clone(), station: station.clone() })
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut held = lock(&self.hash_queue);
        held.length -= 1;
        let left = held.of.get(&self.station).map_or(0, |own| own - 1);
        match left {
            0 => held.of.remove(&self.station),
            left => held.of.insert(self.station.clone(), left),
        };
    }
}
