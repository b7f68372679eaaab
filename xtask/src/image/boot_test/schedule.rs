//! When the power is cut: a pure function of the seed. Some cuts hit the boot, the others a running gateway; before some of those the
//! collector is away, so that what the card holds is the only copy.

use std::time::Duration;

use crate::chaos::schedule::Random;

/// When a cut comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This share of a usual boot (per mille) after power on.
    Booting { per_mille: u64 },
    /// So long after the gateway is healthy.
    Running { after: Duration },
}

/// One cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub moment: Moment,
    /// The collector is away from the gateway's health to its health after the cut.
    pub collector_away: bool,
}

/// The cuts of a run. Of ten, three hit the boot; the first one never does, so that the gateway has something to lose.
pub fn plan(seed: u64, cuts: u16) -> Vec<Cut> {
    let mut random = Random(seed);
    let booting = usize::from(cuts) * 3 / 10;
    let mut deck: Vec<bool> = (0..usize::from(cuts.saturating_sub(1))).map(|number| number < booting).collect();
    random.shuffle(&mut deck);
    let mut running = 0;
    std::iter::once(false)
        .chain(deck)
        .take(usize::from(cuts))
        .map(|boots| {
            if boots {
                return Cut { moment: Moment::Booting { per_mille: random.between((30, 980)) }, collector_away: false };
            }
            running += 1;
            let away = running % 3 == 2;
            // Away for long enough that more is on the card than one interval of durability.
            let tenths = if away { (150, 500) } else { (20, 400) };
            Cut { moment: Moment::Running { after: Duration::from_millis(random.between(tenths) * 100) }, collector_away: away }
        })
        .collect()
}

impl Cut {
    /// For people.
    pub fn says(&self) -> String {
        let away = if self.collector_away { ", the collector away" } else { "" };
        match self.moment {
            Moment::Booting { per_mille } => {
                format!("during boot, at {:.1} % of the time that the quickest one took", per_mille as f64 / 10.0)
            }
            Moment::Running { after } => format!("{:.1} s after the gateway is healthy{away}", after.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_cuts_at_the_same_moments_and_another_one_at_others() {
        assert_eq!(plan(1, 10), plan(1, 10));
        assert_ne!(plan(1, 10), plan(2, 10));
    }

    #[test]
    fn of_ten_cuts_three_hit_the_boot_and_two_find_the_collector_away() {
        for seed in 0..50 {
            let cuts = plan(seed, 10);
            assert_eq!(cuts.len(), 10);
            assert_eq!(cuts.iter().filter(|c| matches!(c.moment, Moment::Booting { .. })).count(), 3, "seed {seed}");
            assert_eq!(cuts.iter().filter(|c| c.collector_away).count(), 2, "seed {seed}");
            assert!(matches!(cuts[0].moment, Moment::Running { .. }));
        }
    }

    #[test]
    fn few_cuts_are_cuts_too() {
        assert!(plan(1, 0).is_empty());
        assert_eq!(plan(1, 1).len(), 1);
        assert_eq!(plan(1, 2).len(), 2);
    }
}
