//! What a month of one machine costs, and what the running shift costs at each question. `cargo xtask bench --only oee`.
//!
//! The month: 30,000 state changes, 43,200 counts (one a minute), 93 shifts with breaks, two products. `month` puts the record in order and sums it;
//! `month_by_shift` asks a record in order for each shift; `live_1000_questions` takes a count and asks, a thousand times, in the middle of a shift, with ten
//! changes of state; `from_scratch` is what one of those questions would cost without what the live machine keeps.

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion};
use kpi::oee::{
    Catalogue, DowntimeKind, LiveMachine, MachineRecord, PartInterval, PartTally, PlannedDowntime, Prepared, ProductRun, Rules, StatePoint,
};
use protocol::{MachineState, TimeRange, Timestamp};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600;
const MONTH: i64 = 31 * 24 * HOUR;

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { from: Timestamp(from * SECOND), to: Timestamp(to * SECOND) }
}

fn record() -> MachineRecord {
    let shifts = MONTH / (8 * HOUR);
    let begin = |shift: i64| shift * 8 * HOUR;
    let pause = |shift: i64| {
        let from = begin(shift) + 3 * HOUR;
        PlannedDowntime { range: range(from, from + 1_800), kind: DowntimeKind::Break, name: "pause".into() }
    };
    let run = |shift: i64| {
        let product = if shift % 2 == 0 { "A" } else { "B" };
        let ideal_cycle_s = Some(if shift % 2 == 0 { 2.0 } else { 3.0 });
        ProductRun { range: range(begin(shift), begin(shift + 1)), product: product.into(), order: shift.to_string(), ideal_cycle_s }
    };
    let states = [MachineState::Producing, MachineState::Idle, MachineState::Producing, MachineState::UnplannedStop];
    let reasons: Vec<Arc<str>> = (0..20).map(|i| Arc::from(format!("M{i}"))).collect();
    let state = |i: i64| {
        let state = states[i as usize % states.len()];
        let reason = (state == MachineState::UnplannedStop).then(|| Arc::clone(&reasons[i as usize % reasons.len()]));
        StatePoint { at: Timestamp(i * MONTH / 30_000 * SECOND), state, reason }
    };
    let count = |minute: i64| {
        let parts = PartTally { produced: 20, rejected: u64::from(minute % 10 == 0), ..PartTally::default() };
        let range = range(minute * 60, minute * 60 + 60);
        PartInterval { from: range.from, to: range.to, parts }
    };
    MachineRecord {
        operation: Some(vec![range(0, MONTH)]),
        downtime: (0..shifts).map(pause).collect(),
        states: (0..30_000).map(state).collect(),
        runs: (0..shifts).map(run).collect(),
        parts: (0..43_200).map(count).collect(),
        ideal_cycle_s: Some(2.0),
        ..MachineRecord::default()
    }
}

fn main() {
    let mut criterion = Criterion::default().sample_size(30).configure_from_args();
    let (record, catalogue, rules) = (record(), Arc::new(Catalogue::default()), Rules::default());
    let (month, end) = (range(0, MONTH), Timestamp(MONTH * SECOND));
    let prepare = |record| Prepared::new(record, Arc::clone(&catalogue), rules);
    criterion.bench_function("oee/month", |b| {
        b.iter_batched(|| record.clone(), |record| black_box(prepare(record).tally(month, end)), BatchSize::LargeInput);
    });
    let prepared = prepare(record.clone());
    criterion.bench_function("oee/month_by_shift", |b| {
        b.iter(|| (0..93).map(|shift| prepared.tally(range(shift * 8 * HOUR, (shift + 1) * 8 * HOUR), end).total_micros()).sum::<i64>());
    });
    criterion.bench_function("oee/month_explained", |b| b.iter(|| prepared.intervals(month, end, usize::MAX).len()));

    let (shift, now) = (range(0, 8 * HOUR), 4 * HOUR);
    let mut so_far = record;
    so_far.states.retain(|s| s.at < Timestamp(now * SECOND));
    so_far.parts.retain(|p| p.to <= Timestamp(now * SECOND));
    let mut live = LiveMachine::new(shift, so_far.clone(), Arc::clone(&catalogue), rules);
    live.tally(Timestamp(now * SECOND));
    criterion.bench_function("oee/live_1000_questions", |b| {
        b.iter_batched_ref(
            || live.clone(),
            |live| {
                for second in 0..1_000 {
                    let at = now + second;
                    if second % 100 == 0 {
                        let state = if second % 200 == 0 { MachineState::Idle } else { MachineState::Producing };
                        live.state(StatePoint::new(Timestamp(at * SECOND), state));
                    }
                    let count = range(at, at + 1);
                    live.count(PartInterval { from: count.from, to: count.to, parts: PartTally { produced: 1, ..PartTally::default() } });
                    black_box(live.tally(Timestamp((at + 1) * SECOND)));
                }
            },
            BatchSize::LargeInput,
        );
    });
    criterion.bench_function("oee/from_scratch", |b| {
        let until = Timestamp(now * SECOND);
        b.iter_batched(|| so_far.clone(), |record| black_box(prepare(record).tally(shift, until)), BatchSize::LargeInput);
    });
    criterion.final_summary();
}
