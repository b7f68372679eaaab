//! Any sequence of pushes, commits, compactions and restarts answers as a plain list of rows would.

use std::collections::BTreeMap;

use lake::{Lake, LakeOptions, StoredRow};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, prop_oneof},
    test_runner::{Config, TestRunner},
};
use protocol::{MachineState, TimeRange};
use serde_json::{Value, json};

use crate::rows::{asset, at, gateway, parts, row, state, window};

#[derive(Debug, Clone)]
enum Act {
    /// This many entries of this gateway's stream.
    Push(usize, u64),
    /// The last entries of this gateway once more, as the journal does after a crash.
    Replay(usize, u64),
    Commit,
    Compact,
    /// Without a commit: hot rows are gone until they are replayed.
    Restart,
    Check,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..4_usize, 1..20_u64).prop_map(|(gateway, entries)| Act::Push(gateway, entries)),
        1 => (1..4_usize, 1..30_u64).prop_map(|(gateway, entries)| Act::Replay(gateway, entries)),
        3 => Just(Act::Commit),
        1 => Just(Act::Compact),
        1 => Just(Act::Restart),
        3 => Just(Act::Check),
    ]
}

/// Entry `seq` of a gateway: what is in it follows from the two numbers.
fn entry(gateway: usize, seq: u64) -> Vec<StoredRow> {
    let (seconds, machine) = (seq as i64 * 5, gateway * 2 + seq as usize % 2);
    let mut rows = vec![row(gateway, seq, window(machine, seconds, 50.0 + (seq % 11) as f64))];
    if seq.is_multiple_of(3) {
        let states = [MachineState::Producing, MachineState::Idle, MachineState::UnplannedStop];
        rows.push(row(gateway, seq, state(machine, seconds, states[seq as usize % states.len()])));
    }
    if seq.is_multiple_of(2) {
        rows.push(row(gateway, seq, parts(machine, seconds - 10, seconds, seq)));
    }
    rows
}

#[derive(Default)]
struct Model {
    pushed: BTreeMap<usize, u64>,
}

impl Model {
    fn rows(&self) -> Vec<StoredRow> {
        self.pushed.iter().flat_map(|(gateway, last)| (1..=*last).flat_map(|seq| entry(*gateway, seq))).collect()
    }
}

#[test]
fn any_history_of_the_lake_answers_as_a_list_of_rows() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 12, max_shrink_iters: 64, failure_persistence: None, ..Config::default() });
    runner
        .run(&vec(act(), 4..24), |acts| {
            runtime.block_on(play(acts));
            Ok(())
        })
        .unwrap();
}

async fn play(acts: Vec<Act>) {
    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    options.compact_min_files = 2;
    let mut lake = Lake::open(options.clone()).await.unwrap();
    let mut model = Model::default();
    for act in acts {
        match act {
            Act::Push(gateway, entries) => {
                let last = model.pushed.entry(gateway).or_default();
                let rows: Vec<StoredRow> = (*last + 1..=*last + entries).flat_map(|seq| entry(gateway, seq)).collect();
                *last += entries;
                assert_eq!(lake.push(rows).duplicates, 0);
            }
            Act::Replay(gateway, entries) => {
                let last = model.pushed.get(&gateway).copied().unwrap_or(0);
                let rows: Vec<StoredRow> = (last.saturating_sub(entries) + 1..=last).flat_map(|seq| entry(gateway, seq)).collect();
                assert_eq!(lake.push(rows).accepted, 0);
            }
            Act::Commit => drop(lake.commit().await.unwrap()),
            Act::Compact => drop(lake.compact().await.unwrap()),
            Act::Restart => {
                drop(lake);
                lake = Lake::open(options.clone()).await.unwrap();
                lake.push(model.rows());
            }
            Act::Check => check(&lake, &model).await,
        }
    }
    check(&lake, &model).await;
}

async fn check(lake: &Lake, model: &Model) {
    let rows = model.rows();
    let mut by_asset: BTreeMap<String, (u64, u64, f64)> = BTreeMap::new();
    for row in &rows {
        if let protocol::Record::Window(summary) = &row.record {
            let (windows, readings, highest) = by_asset.entry(summary.asset.to_string()).or_insert((0, 0, f64::MIN));
            (*windows, *readings, *highest) = (*windows + 1, *readings + summary.count, highest.max(summary.max));
        }
    }
    let wanted: Vec<Vec<Value>> = by_asset
        .into_iter()
        .map(|(asset, (windows, readings, highest))| vec![json!(asset), json!(windows), json!(readings), json!(highest)])
        .collect();
    let sql = "SELECT asset, count(*), sum(count), max(max) FROM window_summaries GROUP BY asset ORDER BY asset";
    assert_eq!(lake.sql(sql).await.unwrap().rows, wanted);

    let whole = TimeRange { from: at(-100), to: at(1_000_000) };
    for machine in [2, 3, 5] {
        let states: Vec<_> = rows.iter().filter_map(|row| as_state(row).filter(|state| state.asset == asset(machine)).cloned()).collect();
        assert_eq!(lake.states(&asset(machine), whole).await.unwrap(), states);
        let produced: u64 =
            rows.iter().filter_map(as_parts).filter(|count| count.asset == asset(machine)).map(|count| count.produced).sum();
        let found = lake.parts(&asset(machine), whole).await.unwrap();
        assert_eq!(found.iter().map(|count| count.produced).sum::<u64>(), produced);
    }
    for (number, _, mark) in lake.watermarks() {
        let known = (1..4).find(|candidate| gateway(*candidate) == number).unwrap();
        assert!(mark <= model.pushed[&known], "a mark above what was ever pushed");
    }
}

fn as_state(row: &StoredRow) -> Option<&protocol::StateChange> {
    match &row.record {
        protocol::Record::State(state) => Some(state),
        _ => None,
    }
}

fn as_parts(row: &StoredRow) -> Option<&protocol::PartCount> {
    match &row.record {
        protocol::Record::Parts(parts) => Some(parts),
        _ => None,
    }
}
