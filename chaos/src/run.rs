//! One seed from plan to verdict, many seeds in a row, and a failing one made smaller.

use protocol::Record;

use crate::{
    books::{Balance, Terms, check, shown},
    lake::Row,
    plan::{Plan, What},
    sensors::EPOCH,
    trace::Event,
    world::{Figures, Mutation, World},
};

/// Runs that a failing plan may be tried again with less.
const SHRINKS: usize = 200;
/// Violations that are shown.
const SHOWN: usize = 12;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub plan: Plan,
    pub balance: Balance,
    /// All that was stored, if it failed.
    pub losses: Vec<String>,
    pub figures: Figures,
    /// Of all that happened: the same for the same plan.
    pub hash: u64,
    pub last: Vec<Event>,
}

impl Outcome {
    pub fn failed(&self) -> bool {
        !self.balance.violations.is_empty()
    }
}

/// Runs a plan.
pub fn run(plan: Plan, mutation: Option<Mutation>, print: bool) -> Outcome {
    let mut world = World::new(plan, mutation, print);
    let rest = world.run();
    let terms =
        Terms { lossless: world.plan().is_lossless(), window_us: i64::try_from(world.plan().window).unwrap_or(i64::MAX), zero_us: EPOCH };
    let records = world.lake.rows().map(|row| &row.record);
    let mut balance = check(&world.plant.truth, records, terms);
    if let Err(waiting) = rest {
        balance.violations.insert(0, format!("does not settle: {waiting}"));
    }
    if let Some(violation) = audit(&world) {
        balance.violations.push(violation);
    }
    if print {
        world.lake.rows().for_each(|row| println!("stored {}", line(row)));
    }
    let losses = world.lake.rows().filter_map(|row| match &row.record {
        Record::Loss(loss) => Some(format!("{} (row {} of stream {})", shown(loss, terms), row.seq, row.stream)),
        _ => None,
    });
    Outcome {
        losses: if balance.violations.is_empty() { Vec::new() } else { losses.collect() },
        plan: world.plan().clone(),
        balance,
        figures: world.figures,
        hash: world.trace.hash(),
        last: world.trace.last().cloned().collect(),
    }
}

/// A stored row, for people.
fn line(row: &Row) -> String {
    let seconds = |at: protocol::Timestamp| (at.as_micros() - EPOCH) as f64 / 1e6;
    let what = match &row.record {
        Record::Window(w) => {
            format!(
                "{} {} window {:.3} to {:.3} count {} sum {}",
                w.asset,
                w.signal,
                seconds(w.start),
                seconds(w.end),
                w.count,
                w.mean * w.count as f64
            )
        }
        Record::Anomaly(anomaly) => format!("{} {} anomaly", anomaly.asset, anomaly.signal),
        Record::State(state) => format!("{} {} at {:.3}", state.asset, state.state, seconds(state.event_time)),
        Record::Parts(p) => format!("{} {} parts {:.3} to {:.3}", p.asset, p.produced, seconds(p.from), seconds(p.to)),
        Record::Loss(loss) => shown(loss, Terms { zero_us: EPOCH, ..Terms::default() }),
    };
    format!("{} {:>4}  {what}", row.stream, row.seq)
}

/// The gateway's own books against what is stored. They go back with a backup, and may be gone with a damaged checkpoint.
fn audit(world: &World) -> Option<String> {
    let books_are_whole = !world.plan().has(|what| matches!(what, What::Restore { .. } | What::Rot { .. }));
    let books = world.gateway.process.as_ref().filter(|_| books_are_whole)?.core.books();
    let stored: u64 = world.lake.rows().map(|row| if let Record::Window(window) = &row.record { window.count } else { 0 }).sum();
    let accounted = stored + books.lost_after + books.open;
    (books.taken != accounted && books.taken > 0).then(|| {
        format!(
            "the gateway's books: {} taken in; {stored} stored + {} lost afterwards + {} open = {accounted}",
            books.taken, books.lost_after, books.open
        )
    })
}

/// Leaves faults out as long as it still fails; the smallest plan found, and what it came to.
pub fn shrink(failing: Outcome, mutation: Option<Mutation>) -> Outcome {
    let (mut best, mut tries) = (failing, 0);
    let mut portion = best.plan.faults.len().div_ceil(2);
    while portion > 0 && tries < SHRINKS {
        let mut from = 0;
        while from < best.plan.faults.len() && tries < SHRINKS {
            let mut less = best.plan.clone();
            less.faults.drain(from..(from + portion).min(less.faults.len()));
            tries += 1;
            let outcome = run(less, mutation, false);
            if outcome.failed() { best = outcome } else { from += portion }
        }
        portion = if portion == 1 { 0 } else { portion.div_ceil(2) };
    }
    best
}

/// What is wrong with a run, for people.
pub fn explain(outcome: &Outcome, mutation: Option<Mutation>) -> String {
    use std::fmt::Write as _;
    let Plan { seed, size, length, window, each_reading, faults, .. } = &outcome.plan;
    let mut text = format!(
        "seed {seed} fails: {} machines, {} of faults, windows of {}, durability by {}\n",
        size.machines,
        crate::plan::lasting(*length),
        crate::plan::lasting(*window),
        if *each_reading { "reading" } else { "window" },
    );
    for fault in faults {
        let _ = writeln!(text, "  {fault}");
    }
    let violations = &outcome.balance.violations;
    for violation in violations.iter().take(SHOWN) {
        let _ = writeln!(text, "VIOLATION  {violation}");
    }
    if violations.len() > SHOWN {
        let _ = writeln!(text, "... and {} more", violations.len() - SHOWN);
    }
    for loss in outcome.losses.iter().take(3 * SHOWN) {
        let _ = writeln!(text, "told  {loss}");
    }
    text.push_str("the last events:\n");
    for event in &outcome.last {
        let _ = writeln!(text, "  {event}");
    }
    let mutation = mutation.map_or(String::new(), |mutation| format!(" --mutate {}", mutation.name()));
    let numbers: Vec<String> = faults.iter().map(|fault| fault.number.to_string()).collect();
    let numbers = if numbers.is_empty() { "none".into() } else { numbers.join(",") };
    let _ = writeln!(text, "again, with all events:  millrace-chaos sim --only {seed} --faults {numbers} --trace{mutation}");
    text
}

/// All runs of a range of seeds, or up to the first that fails.
pub fn run_seeds(seeds: impl Iterator<Item = u64>, mutation: Option<Mutation>, mut done: impl FnMut(&Outcome) -> bool) -> Option<Outcome> {
    for seed in seeds {
        let outcome = run(Plan::drawn(seed), mutation, false);
        let goes_on = done(&outcome);
        if outcome.failed() || !goes_on {
            return outcome.failed().then_some(outcome);
        }
    }
    None
}
