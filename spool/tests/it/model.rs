//! The spool against a model in memory: any order of appends, peeks, acknowledgements, reopenings and refusals.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};
use spool::{Options, Spool, SpoolError};

/// What may be held: two fifths of what the files may take.
const MAX_HELD: u64 = 60_000;

#[derive(Debug, Clone)]
enum Step {
    Append { lens: Vec<usize>, checkpoint: Option<usize> },
    Peek { from: u64, entries: usize, bytes: usize },
    Acknowledge { behind_first: i64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![0usize..200, 4070usize..4100, 8000usize..9000, Just(70_000)];
    prop_oneof![
        6 => (vec(len, 0..5), option::of(0usize..10_000)).prop_map(|(lens, checkpoint)| Step::Append { lens, checkpoint }),
        3 => (0u64..60, 0usize..20, 0usize..20_000).prop_map(|(from, entries, bytes)| Step::Peek { from, entries, bytes }),
        3 => (-3i64..12).prop_map(|behind_first| Step::Acknowledge { behind_first }),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug)]
struct Model {
    entries: BTreeMap<u64, Vec<u8>>,
    next: u64,
    checkpoint: Option<Vec<u8>>,
}

impl Model {
    fn first(&self) -> u64 {
        self.entries.keys().next().copied().unwrap_or(self.next)
    }
}

fn fill(len: usize, salt: u64) -> Vec<u8> {
    (0..len).map(|i| (i as u64).wrapping_mul(31).wrapping_add(salt * 7) as u8).collect()
}

fn check(spool: &Spool, model: &Model) {
    assert_eq!(spool.first_seq(), model.first());
    assert_eq!(spool.next_seq(), model.next);
    assert_eq!(spool.len(), model.entries.len() as u64);
    assert_eq!(spool.is_empty(), model.entries.is_empty());
    assert_eq!(spool.bytes_held() == 0, model.entries.is_empty());
    assert!(spool.bytes_held() <= MAX_HELD);
    assert_eq!(spool.checkpoint().unwrap(), model.checkpoint);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_sequence_of_steps_does_what_the_model_does(steps in vec(step(), 1..50)) {
        let root = tempfile::tempdir().unwrap();
        let options = Options { max_bytes: MAX_HELD / 2 * 5, ..Options::default() };
        let mut spool = Some(Spool::open(root.path(), options).unwrap().0);
        let stream = spool.as_ref().unwrap().stream();
        let mut model = Model { entries: BTreeMap::new(), next: 1, checkpoint: None };
        for (i, step) in steps.into_iter().enumerate() {
            let open = spool.as_ref().unwrap();
            match step {
                Step::Append { lens, checkpoint } => {
                    let payloads: Vec<Vec<u8>> = lens.iter().enumerate().map(|(k, len)| fill(*len, i as u64 + k as u64)).collect();
                    let checkpoint = checkpoint.map(|len| fill(len, i as u64));
                    let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                    let held = open.bytes_held();
                    match open.append(&slices, checkpoint.as_deref()) {
                        Ok(span) => {
                            prop_assert_eq!((span.first, span.len()), (model.next, payloads.len() as u64));
                            model.entries.extend((span.first..).zip(payloads));
                            model.next = span.end;
                            model.checkpoint = checkpoint.or(model.checkpoint.take());
                        }
                        Err(SpoolError::Full { bytes, max }) => {
                            prop_assert!(bytes > max && held > 0, "{} {}", bytes, held);
                            prop_assert_eq!(open.bytes_held(), held);
                        }
                        Err(SpoolError::TooLarge { .. }) => {
                            prop_assert!(payloads.iter().map(Vec::len).sum::<usize>() + payloads.len() * 60 > MAX_HELD as usize - 4096);
                        }
                        Err(other) => prop_assert!(false, "{other}"),
                    }
                }
                Step::Peek { from, entries, bytes } => {
                    let peek = open.peek(from, entries, bytes).unwrap();
                    prop_assert_eq!(peek.corrupt, []);
                    let mut taken = 0;
                    let expected: Vec<_> = model
                        .entries
                        .range(from..)
                        .take(entries)
                        .take_while(|(_, payload)| {
                            let go_on = taken == 0 || taken < bytes;
                            // A payload of no bytes fills nothing up.
                            taken += payload.len();
                            go_on
                        })
                        .collect();
                    let found: Vec<_> = peek.entries.iter().map(|e| (&e.seq, &e.payload)).collect();
                    if bytes > 0 {
                        prop_assert_eq!(found, expected);
                    } else {
                        prop_assert_eq!(found.len(), expected.len().min(1));
                    }
                }
                Step::Acknowledge { behind_first } => {
                    let through = model.first().saturating_add_signed(behind_first);
                    let before = model.entries.len();
                    model.entries.retain(|seq, _| *seq > through);
                    prop_assert_eq!(open.acknowledge(through).unwrap(), (before - model.entries.len()) as u64);
                }
                Step::Reopen => {
                    drop(spool.take());
                    let (again, report) = Spool::open(root.path(), options).unwrap();
                    prop_assert_eq!(again.stream(), stream);
                    prop_assert_eq!(report.recovered_entries, model.entries.len() as u64);
                    prop_assert!(!report.created && report.corrupt.is_empty());
                    spool = Some(again);
                }
            }
            check(spool.as_ref().unwrap(), &model);
        }
        drop(spool.take());
        let (again, _) = Spool::open(root.path(), options).unwrap();
        check(&again, &model);
        let peek = again.peek(0, usize::MAX, usize::MAX).unwrap();
        prop_assert_eq!(peek.entries.into_iter().map(|e| (e.seq, e.payload)).collect::<BTreeMap<_, _>>(), model.entries);
    }
}
