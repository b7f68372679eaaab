//! Which fault comes when: a pure function of the seed. One or two at a time, then calm, so that what each did can be told apart.

use std::time::Duration;

use super::fault::{Kind, On, Target};

/// Until the plant runs evenly.
const WARM_UP: Duration = Duration::from_secs(12);
/// Kept free at the end.
const COOL_DOWN: Duration = Duration::from_secs(8);
/// Tenths of a second without a fault between two.
const CALM: (u64, u64) = (80, 140);
/// Of ten faults so many get company.
const PAIRS: u64 = 3;

/// So many episodes may find no room before the schedule is at its end.
const MISFITS: u32 = 12;

/// One fault of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub kind: Kind,
    pub target: Target,
    /// From the start of the run.
    pub at: Duration,
    pub lasts: Duration,
    /// Decides what is left open, as after how many bytes a connection is cut.
    pub dice: u64,
}

impl Planned {
    pub fn ends(&self) -> Duration {
        self.at + self.lasts
    }
}

/// The faults of a run of `length` with `gateways`, in the order of their begin. Each of `kinds` comes once before one comes again.
pub fn plan(seed: u64, length: Duration, gateways: usize, kinds: &[Kind]) -> Vec<Planned> {
    let mut random = Random(seed);
    let mut deck = Vec::new();
    let mut planned: Vec<Planned> = Vec::new();
    let mut at = WARM_UP;
    let mut misfits = 0;
    // Towards the end a shorter fault may still have its place where a long one has none.
    while !kinds.is_empty() && gateways > 0 && misfits < MISFITS {
        let first = one(&mut random, &mut deck, kinds, gateways, at);
        let mut ends = first.ends();
        let mut episode = vec![first];
        if random.below(10) < PAIRS {
            let later = at + tenths(random.below(40)).min(episode[0].lasts);
            let second = one(&mut random, &mut deck, kinds, gateways, later);
            if compatible(&episode[0], &second) {
                ends = ends.max(second.ends());
                episode.push(second);
            } else {
                // Its turn comes next.
                deck.push(second.kind);
            }
        }
        if ends + COOL_DOWN > length {
            misfits += 1;
            continue;
        }
        planned.append(&mut episode);
        at = ends + tenths(random.between(CALM));
    }
    planned
}

fn one(random: &mut Random, deck: &mut Vec<Kind>, kinds: &[Kind], gateways: usize, at: Duration) -> Planned {
    if deck.is_empty() {
        deck.extend(kinds);
        random.shuffle(deck);
    }
    let kind = deck.pop().unwrap_or(kinds[0]);
    let gateway = random.below(gateways as u64) as usize;
    let target = match kind.on() {
        On::Collector => Target::Collector,
        On::Gateway => Target::Gateway(gateway),
        On::Link => Target::Link(gateway),
        On::Machines => Target::Machines,
    };
    Planned { kind, target, at, lasts: tenths(random.between(kind.lasts())), dice: random.next() }
}

/// Two at a time befall different things; and what takes a new certificate or a copy needs the other end to be well.
fn compatible(a: &Planned, b: &Planned) -> bool {
    let needs_peace = |kind| matches!(kind, Kind::GatewayCertificate | Kind::GatewayRestored | Kind::CollectorRestored);
    a.target != b.target && !needs_peace(a.kind) && !needs_peace(b.kind)
}

fn tenths(tenths: u64) -> Duration {
    Duration::from_millis(tenths * 100)
}

/// SplitMix64: small, and the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// In `low..=high`.
    pub fn between(&mut self, (low, high): (u64, u64)) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_one_another() {
        let plans: Vec<_> = [1, 1, 2].map(|seed| plan(seed, HOUR, 3, Kind::all())).into();
        assert_eq!(plans[0], plans[1]);
        assert_ne!(plans[0], plans[2]);
        // Replaying a seed that somebody printed must work after an update, too.
        assert_eq!(Random(1).next(), 0x910A_2DEC_8902_5CC1);
    }

    #[test]
    fn never_more_than_two_at_a_time_and_never_two_on_one_target() {
        for seed in 0..200 {
            let plan = plan(seed, HOUR, 2, Kind::all());
            assert!(plan.len() > 50);
            for (i, a) in plan.iter().enumerate() {
                let with: Vec<_> = plan.iter().enumerate().filter(|(j, b)| i != *j && a.at <= b.ends() && b.at <= a.ends()).collect();
                assert!(with.len() <= 1, "seed {seed}: {a:?} with {with:?}");
                assert!(with.iter().all(|(_, b)| b.target != a.target), "seed {seed}: {a:?} with {with:?}");
            }
        }
    }

    #[test]
    fn there_is_calm_before_between_and_after() {
        for seed in 0..50 {
            let plan = plan(seed, Duration::from_secs(600), 2, Kind::all());
            let mut until = Duration::ZERO;
            for (i, fault) in plan.iter().enumerate() {
                let alone = plan[..i].iter().all(|before| before.ends() < fault.at);
                if alone {
                    assert!(fault.at >= until + tenths(CALM.0), "seed {seed}: {fault:?} after {until:?}");
                }
                until = until.max(fault.ends());
            }
            assert!(until + COOL_DOWN <= Duration::from_secs(600));
        }
    }

    #[test]
    fn each_kind_comes_before_one_comes_again_and_no_other_than_wanted() {
        let wanted = [Kind::GatewayKill, Kind::LinkCut, Kind::CollectorFreeze];
        for seed in 0..50 {
            let kinds: Vec<Kind> = plan(seed, HOUR, 2, &wanted).iter().map(|p| p.kind).collect();
            assert!(kinds.iter().all(|k| wanted.contains(k)));
            for kind in wanted {
                let share = kinds.iter().filter(|k| **k == kind).count();
                assert!(share.abs_diff(kinds.len() / 3) <= 2, "seed {seed}: {kind:?} {share} times of {}", kinds.len());
            }
        }
    }

    #[test]
    fn a_fault_lasts_as_long_as_its_kind_may_and_every_gateway_gets_some() {
        let plan = plan(7, HOUR, 3, Kind::all());
        for fault in &plan {
            let (low, high) = fault.kind.lasts();
            assert!((tenths(low)..=tenths(high)).contains(&fault.lasts), "{fault:?}");
        }
        for gateway in 0..3 {
            assert!(plan.iter().any(|f| f.target == Target::Gateway(gateway)) && plan.iter().any(|f| f.target == Target::Link(gateway)));
        }
    }

    #[test]
    fn too_short_a_run_and_no_kinds_at_all_give_no_faults() {
        assert!(plan(1, Duration::from_secs(10), 2, Kind::all()).is_empty());
        assert!(plan(1, HOUR, 2, &[]).is_empty());
    }
}
