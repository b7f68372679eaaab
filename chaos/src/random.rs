//! Random numbers of a run: one generator for each concern, all from the seed.
//!
//! Invariant: what one concern draws never shifts what another one gets, so a change in one part of a run leaves the rest as it was.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// What a generator is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// What goes wrong, and when.
    Plan = 1,
    /// How long each step takes.
    Schedule = 2,
    /// What becomes of requests and answers.
    Network = 3,
    /// What machines measure.
    Sensors = 4,
    /// The gateway's disk, the collector's disk and that of a second collector have a number each.
    GatewayDisk = 5,
    CollectorDisk = 6,
    SecondDisk = 7,
    /// Random numbers that the processes themselves ask for.
    Processes = 8,
}

/// The generator of one concern.
#[derive(Debug, Clone)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn of(seed: u64, concern: Concern) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(concern as u64);
        Self(rng)
    }

    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// One of `0..end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        // The product's upper half: no bias that a run would notice.
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// One of `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).saturating_add(1))
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, thousandths: u32) -> bool {
        // Drawn in any case: a probability of none must not shift what comes after.
        self.below(1_000) < u64::from(thousandths)
    }

    /// One of `items`, which are not empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// In `0.0..1.0`.
    pub fn fraction(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_concern_draws_does_not_shift_another() {
        let mut alone = Dice::of(7, Concern::Network);
        let mut beside = Dice::of(7, Concern::Network);
        let mut other = Dice::of(7, Concern::Schedule);
        for _ in 0..100 {
            other.number();
            assert_eq!(alone.number(), beside.number());
        }
        assert_ne!(Dice::of(7, Concern::Network).number(), Dice::of(7, Concern::Schedule).number());
        assert_ne!(Dice::of(7, Concern::Network).number(), Dice::of(8, Concern::Network).number());
    }

    #[test]
    fn ranges_are_kept_and_reached() {
        let mut dice = Dice::of(1, Concern::Plan);
        let mut seen = [false; 4];
        for _ in 0..1_000 {
            let n = dice.between(3, 6);
            seen[n as usize - 3] = true;
            assert!((0.0..1.0).contains(&dice.fraction()));
        }
        assert_eq!(seen, [true; 4]);
        assert!(!dice.chance(0) && dice.chance(1_000));
        assert_eq!(dice.below(0), 0);
    }
}
