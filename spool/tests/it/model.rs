//! The spool against a model in memory, on sled and on a simulated disk: any order of appends, cursor moves, rotations, retirements,
//! closings and (simulated) kills.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use spool::{Append, Checkpoint, LANES, Lane, NewEntry, Options, Spool, SpoolTime, simulated::SimDisk};

use crate::tools::open_sim;

#[derive(Debug, Clone)]
enum Step {
    Append { entries: Vec<(u8, usize)>, parts: Vec<(u32, Option<usize>)>, whole: bool, retire: usize },
    Acknowledge { generation: usize, lane: u8, through: u64 },
    Rewind { generation: usize, lane: u8, to: u64 },
    Touch { generation: usize },
    Peek { generation: usize, lane: u8, from: u64, entries: usize },
    Rotate,
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![0usize..200, 4030usize..4060, 8000usize..9000];
    let entries = vec((0..LANES as u8, len), 0..5);
    let parts = vec((0u32..5, proptest::option::of(0usize..6000)), 0..3);
    prop_oneof![
        8 => (entries, parts, prop::bool::weighted(0.2), 0usize..20)
            .prop_map(|(entries, parts, whole, retire)| Step::Append { entries, parts, whole, retire }),
        3 => (0usize..5, 0..LANES as u8, 0u64..8).prop_map(|(generation, lane, through)| Step::Acknowledge { generation, lane, through }),
        1 => (0usize..5, 0..LANES as u8, 0u64..8).prop_map(|(generation, lane, to)| Step::Rewind { generation, lane, to }),
        1 => (0usize..5).prop_map(|generation| Step::Touch { generation }),
        3 => (0usize..5, 0..LANES as u8, 0u64..8, 0usize..5)
            .prop_map(|(generation, lane, from, entries)| Step::Peek { generation, lane, from, entries }),
        2 => Just(Step::Rotate),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

#[derive(Debug, Clone, Default)]
struct Generation {
    lanes: [Vec<Vec<u8>>; LANES],
    acked: [usize; LANES],
    touched: bool,
}

#[derive(Debug, Default)]
struct Model {
    generations: BTreeMap<u64, Generation>,
    checkpoint: BTreeMap<u32, Vec<u8>>,
}

fn fill(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|i| i.wrapping_mul(31).wrapping_add(salt * 7) as u8).collect()
}

/// The spool holds what the model holds; a generation without entries counts as none.
fn check(spool: &Spool, model: &Model) {
    let views = spool.view();
    let held: Vec<u64> = views.iter().filter(|v| v.lanes.iter().any(|lane| lane.next > 1)).map(|v| v.ordinal).collect();
    assert_eq!(held, model.generations.keys().copied().collect::<Vec<_>>());
    for view in views {
        let Some(generation) = model.generations.get(&view.ordinal) else { continue };
        assert_eq!(view.touched, generation.touched);
        for (lane, payloads) in generation.lanes.iter().enumerate() {
            let units: u64 = payloads.iter().map(|p| p.len() as u64).sum();
            let acked_units: u64 = payloads[..generation.acked[lane]].iter().map(|p| p.len() as u64).sum();
            let found = view.lanes[lane];
            let expected = (payloads.len() as u64 + 1, generation.acked[lane] as u64, units, acked_units);
            assert_eq!((found.next, found.acked, found.units, found.acked_units), expected);
        }
    }
    let checkpoint: Vec<_> = model.checkpoint.clone().into_iter().collect();
    assert_eq!(spool.checkpoint(), checkpoint);
}

fn run(steps: Vec<Step>, open: &dyn Fn() -> Spool, kill: &dyn Fn(Spool)) {
    let mut spool = open();
    let mut model = Model::default();
    for (i, step) in steps.into_iter().enumerate() {
        let ordinals: Vec<u64> = model.generations.keys().copied().collect();
        let nth = |n: usize| ordinals.get(n % ordinals.len().max(1)).copied();
        match step {
            Step::Append { entries, parts, whole, retire } => {
                let payloads: Vec<(u8, Vec<u8>)> = entries.iter().enumerate().map(|(k, (lane, len))| (*lane, fill(*len, i + k))).collect();
                let entries: Vec<NewEntry<'_>> =
                    payloads.iter().map(|(lane, payload)| NewEntry { lane: Lane(*lane), payload, units: payload.len() as u64 }).collect();
                let parts: Vec<(u32, Option<Vec<u8>>)> = parts.iter().map(|(part, len)| (*part, len.map(|len| fill(len, i)))).collect();
                let some: Vec<(u32, Option<&[u8]>)> = parts.iter().map(|(part, bytes)| (*part, bytes.as_deref())).collect();
                let all: Vec<(u32, &[u8])> = some.iter().filter_map(|(part, bytes)| Some((*part, (*bytes)?))).collect();
                let checkpoint = if whole { Checkpoint::Whole(&all) } else { Checkpoint::Parts(&some) };
                let current = spool.view().last().unwrap().ordinal;
                let retire: Vec<u64> = nth(retire).into_iter().filter(|_| retire < 3).collect();
                let may = retire.iter().all(|o| *o != current && !model.generations[o].touched);
                let result = spool.append(&Append { entries: &entries, checkpoint, retire: &retire, urgent: false }, SpoolTime(0));
                assert_eq!(result.is_ok(), may, "{result:?}");
                if let Ok(appended) = result {
                    for (lane, payload) in payloads {
                        let lane = &mut model.generations.entry(appended.generation).or_default().lanes[usize::from(lane)];
                        lane.push(payload);
                    }
                    if let Some(generation) = model.generations.get(&appended.generation) {
                        let ends = std::array::from_fn(|lane| generation.lanes[lane].len() as u64 + 1);
                        assert_eq!(appended.spans.map(|span| span.end), ends);
                    }
                    if whole {
                        model.checkpoint.clear();
                    }
                    for (part, bytes) in parts {
                        match bytes {
                            None if whole => None,
                            Some(bytes) => model.checkpoint.insert(part, bytes),
                            None => model.checkpoint.remove(&part),
                        };
                    }
                    retire.iter().for_each(|ordinal| drop(model.generations.remove(ordinal)));
                }
            }
            Step::Acknowledge { generation, lane, through } => {
                let Some(ordinal) = nth(generation) else { continue };
                let at = usize::from(lane);
                let known = model.generations.get_mut(&ordinal).unwrap();
                let to = known.lanes[at].len().min(through as usize).max(known.acked[at]);
                let moved = to - std::mem::replace(&mut known.acked[at], to);
                assert_eq!(spool.acknowledge(ordinal, Lane(lane), through).unwrap(), moved as u64);
            }
            Step::Rewind { generation, lane, to } => {
                let Some(ordinal) = nth(generation) else { continue };
                let acked = &mut model.generations.get_mut(&ordinal).unwrap().acked[usize::from(lane)];
                *acked = (*acked).min(to as usize);
                spool.rewind(ordinal, Lane(lane), to).unwrap();
            }
            Step::Touch { generation } => {
                let Some(ordinal) = nth(generation) else { continue };
                spool.touch(ordinal).unwrap();
                model.generations.get_mut(&ordinal).unwrap().touched = true;
            }
            Step::Peek { generation, lane, from, entries } => {
                let Some(ordinal) = nth(generation) else { continue };
                let held = &model.generations[&ordinal].lanes[usize::from(lane)];
                let expected: Vec<Vec<u8>> = held.iter().skip((from.max(1) - 1) as usize).take(entries).cloned().collect();
                let peek = spool.peek(ordinal, Lane(lane), from, entries, usize::MAX).unwrap();
                assert_eq!(peek.corrupt, []);
                let mut before: u64 = held.iter().take((from.max(1) - 1) as usize).map(|p| p.len() as u64).sum();
                for entry in &peek.entries {
                    assert_eq!((entry.units_before, entry.units), (before, entry.payload.len() as u64));
                    before += entry.units;
                }
                assert_eq!(peek.entries.into_iter().map(|e| e.payload).collect::<Vec<_>>(), expected);
            }
            Step::Rotate => drop(spool.rotate(SpoolTime(0)).unwrap()),
            Step::Reopen => {
                drop(spool);
                spool = open();
            }
            Step::Kill => {
                // Cursors are on disk after a flush, whatever happens then.
                spool.flush();
                kill(spool);
                spool = open();
            }
        }
        check(&spool, &model);
    }
    drop(spool);
    check(&open(), &model);
}

const OPTIONS: Options = Options {
    max_bytes: 1 << 30,
    min_free_bytes: 0,
    min_free_percent: 0,
    generation_bytes: 60_000,
    generation_age: std::time::Duration::from_secs(1),
    keep_acknowledged_bytes: 1 << 30,
    cache_bytes: 8 << 20,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_sequence_of_steps_does_what_the_model_does_on_a_simulated_disk(steps in vec(step(), 1..60), seed in any::<u64>()) {
        let disk = SimDisk::new(seed);
        run(steps, &|| {
            let (spool, report) = open_sim(&disk, OPTIONS);
            assert!(report.salvaged.is_empty() && !report.checkpoint_lost, "{report:?}");
            spool
        }, &|spool| {
            disk.kill();
            drop(spool);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_sequence_of_steps_does_what_the_model_does_on_sled(steps in vec(step(), 1..40)) {
        let root = tempfile::tempdir().unwrap();
        run(steps, &|| {
            let (spool, report) = Spool::open_dir(root.path(), OPTIONS, SpoolTime(0)).unwrap();
            assert!(report.salvaged.is_empty() && !report.checkpoint_lost, "{report:?}");
            spool
        }, &drop);
    }
}
