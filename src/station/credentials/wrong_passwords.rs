//! The passwords that were wrong lately.

use std::collections::{HashSet, VecDeque};

use super::Digest;

/// Wrong passwords that are remembered, as digests of 32 bytes.
const WRONG_MAX: usize = 10_000;

/// The newest wrong passwords.
#[derive(Default)]
pub(super) struct WrongPasswords {
    digests: HashSet<Digest>,
    order: VecDeque<Digest>,
}

impl WrongPasswords {
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    pub(super) fn add(&mut self, digest: Digest) {
        if !self.digests.insert(digest) {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > WRONG_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_wrong_ones_the_newest_are_remembered() {
        let mut recent = WrongPasswords::default();
        let digest = |nth: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&nth.to_le_bytes());
            digest
        };
        (0..2 * WRONG_MAX).for_each(|nth| recent.add(digest(nth)));
        assert!(!recent.holds(&digest(WRONG_MAX - 1)) && recent.holds(&digest(WRONG_MAX)));
        assert_eq!((recent.digests.len(), recent.order.len()), (WRONG_MAX, WRONG_MAX));
    }
}
