//! All chance of a simulation, from one seed.

use charger_sim::chance::Chance;

/// Throws dice; the same seed throws the same.
#[derive(Debug, Clone)]
pub(super) struct Dice(Chance);

impl Dice {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(Chance::seeded(seed))
    }

    /// 0 to `sides` - 1.
    pub(super) fn below(&mut self, sides: usize) -> usize {
        (self.0.bits() % sides as u64) as usize
    }

    /// True once in so many throws.
    pub(super) fn one_in(&mut self, throws: usize) -> bool {
        self.below(throws) == 0
    }
}
