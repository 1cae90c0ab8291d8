//! The memory that deliveries under way may hold, and which lane may take some. Pure.
//!
//! **Invariant**: the total is never exceeded, with one exception: a delivery larger than half of it is sent
//! once almost nothing else is under way. As with permits, lanes that hold much leave half of the total to
//! those that hold little. Large deliveries leave an eighth to small ones, so that large bodies to endpoints
//! that hang hold up no small ones.

use std::collections::HashMap;

use vocabulary::id::WebhookId;

/// Bytes that a delivery holds beside its payload: its row, its headers, its request.
const OVERHEAD_BYTES: u64 = 2 << 10;

/// Bytes that a delivery of an event holds: the payload, and the body made of it.
pub(super) const fn held_by(payload_bytes: usize) -> u64 {
    2 * payload_bytes as u64 + OVERHEAD_BYTES
}

/// The bytes that one lane holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    pub(super) held: u64,
    /// Its last send failed.
    pub(super) failing: bool,
}

/// The budget at one moment.
#[derive(Debug, Clone)]
pub(super) struct ByteBudget {
    total: u64,
    held: u64,
    /// A lane that has waited long for a large delivery: no other lane takes a large one before it.
    first: Option<WebhookId>,
}

impl ByteBudget {
    pub(super) fn new(total: u64, held: u64, first: Option<WebhookId>) -> Self {
        Self { total, held, first }
    }

    /// Whether the lane may take a delivery that holds so many bytes.
    pub(super) fn admits(&self, webhook_id: WebhookId, share: Share, bytes: u64) -> bool {
        if self.held == 0 {
            return true;
        }
        let is_small = bytes <= self.total / 1_024;
        if !is_small && self.first.is_some_and(|first| first != webhook_id) {
            return false;
        }
        let kept = match (share.held, share.failing) {
            (held, _) if is_small && held <= self.total / 64 => 0,
            (0, false) => self.total / 8,
            (0, true) => self.total / 4,
            (held, false) if held <= self.total / 64 => self.total / 4,
            _ => self.total / 2,
        };
        if self.held + bytes + kept <= self.total {
            return true;
        }
        // It would never fit beside the bytes that are kept for others.
        bytes > self.total / 2 && self.held <= self.total / 8
    }
}

/// The budget during one claim: an admitted delivery takes its bytes at once.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) room: ByteBudget,
    pub(super) shares: HashMap<WebhookId, Share>,
}

impl Admission {
    pub(super) fn new(room: ByteBudget) -> Self {
        Self { room, shares: HashMap::new() }
    }

    /// Whether the lane may take a delivery of an event with such a payload.
    pub(super) fn admit(&mut self, webhook_id: WebhookId, payload_bytes: usize) -> bool {
        let share = self.shares.entry(webhook_id).or_default();
        let bytes = held_by(payload_bytes);
        let admits = self.room.admits(webhook_id, *share, bytes);
        if admits {
            self.room.held += bytes;
            share.held += bytes;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn admission(total_mib: usize) -> Admission {
        Admission::new(ByteBudget::new((total_mib * MIB) as u64, 0, None))
    }

    /// How many deliveries of this payload the lane gets until it is refused one.
    fn takes(admission: &mut Admission, webhook_id: WebhookId, payload_bytes: usize) -> usize {
        (0..10_000).take_while(|_| admission.admit(webhook_id, payload_bytes)).count()
    }

    #[test]
    fn what_is_held_stays_within_the_room_and_small_ones_find_some_behind_any_number_of_large_ones() {
        let mut admission = admission(64);
        assert_eq!(takes(&mut admission, 1, MIB), 15, "one lane gets half of it");
        let others: usize = (2..200).map(|lane| takes(&mut admission, lane, MIB)).sum();
        assert!(others >= 8, "and others some of the rest: {others}");
        let free = admission.room.total - admission.room.held;
        assert!(free >= admission.room.total / 8, "not to the end: {free}");
        for lane in 200..280 {
            assert!((0..32).all(|_| admission.admit(lane, 500)), "lane {lane}");
        }
        for lane in 300..2_000 {
            takes(&mut admission, lane, 30_000);
        }
        assert!(admission.room.held <= admission.room.total);
    }

    #[test]
    fn what_is_larger_than_all_of_it_goes_alone_but_for_a_little_that_is_small() {
        let mut admission = admission(1);
        assert_eq!(takes(&mut admission, 1, MIB), 1, "nothing else is under way");
        assert!(!admission.admit(2, MIB) && !admission.admit(2, 100), "and now it is");
        admission.room.held = 10_000;
        assert!(admission.admit(2, MIB));
        admission.room.held = (MIB / 2) as u64;
        assert!(!admission.admit(3, MIB));
    }

    #[test]
    fn who_has_waited_for_long_goes_before_others_that_are_large() {
        let mut admission = admission(64);
        assert!(admission.admit(1, MIB));
        admission.room.first = Some(7);
        assert!(!admission.admit(2, MIB));
        assert!(admission.admit(2, 500) && admission.admit(7, MIB));
    }

    #[test]
    fn lanes_that_fail_leave_more_to_others() {
        let mut admission = admission(64);
        admission.room.held = (50 * MIB) as u64;
        admission.shares.insert(1, Share { held: 0, failing: true });
        assert!(!admission.admit(1, MIB) && admission.admit(2, MIB));
    }
}
