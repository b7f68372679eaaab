//! Simulated runs: many seeds without a violation, the same steps for the same seed, and bugs put in on purpose that are found.

use chaos::{
    plan::Plan,
    run::{explain, run, run_seeds},
    world::{Figures, Mutation},
};

fn all_clean(seeds: std::ops::RangeInclusive<u64>) {
    let mut total = Figures::default();
    let failing = run_seeds(seeds, None, |outcome| {
        total.add(&outcome.figures);
        true
    });
    assert!(failing.is_none(), "{}", failing.map_or_else(String::new, |outcome| explain(&outcome, None)));
    println!("{} kill points, {} of them aimed, {} readings", total.stops(), total.aimed, total.readings);
    assert!(total.stops() > 500, "{} kill points", total.stops());
    assert!(total.kills > 100 && total.power_cuts > 100 && total.clean_stops > 50 && total.restores > 5);
}

#[test]
fn many_seeds_lose_and_double_nothing_uncounted() {
    all_clean(1..=150);
}

#[test]
fn as_many_more_seeds_lose_and_double_nothing_uncounted() {
    all_clean(151..=300);
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    for seed in 1..=8 {
        let (first, second) = (run(Plan::drawn(seed), None, false), run(Plan::drawn(seed), None, false));
        assert_eq!((first.hash, first.figures), (second.hash, second.figures), "seed {seed}");
    }
    assert_ne!(run(Plan::drawn(1), None, false).hash, run(Plan::drawn(2), None, false).hash);
}

fn is_found(mutation: Mutation) {
    let mut seeds = 0;
    let failing = run_seeds(1..=1_000, Some(mutation), |_| {
        seeds += 1;
        true
    });
    let failing = failing.unwrap_or_else(|| panic!("{} was not found in {seeds} seeds", mutation.name()));
    println!("{} was found by seed {}: {}", mutation.name(), failing.plan.seed, failing.balance.violations[0]);
    let without = run(failing.plan.clone(), None, false);
    assert!(!without.failed(), "it fails without the bug too: {:?}", without.balance.violations);
}

#[test]
fn a_sync_that_does_nothing_is_found() {
    is_found(Mutation::SkipSync);
}

#[test]
fn an_answer_before_the_journal_is_written_is_found() {
    is_found(Mutation::EarlyAck);
}

#[test]
fn a_ledger_that_takes_every_batch_for_new_is_found() {
    is_found(Mutation::NoLedger);
}
