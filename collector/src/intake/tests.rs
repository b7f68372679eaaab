//! The intake on a disk that fails, loses power and rots.

use protocol::{Books, HeldStream, SeqRange, StreamId};
use spool::{
    Options,
    simulated::{Faults, SimDisk},
};

use super::*;
use crate::ledger::{Mark, test_batch};

const NOW: Timestamp = Timestamp(1_000_000);

fn intake(disk: &SimDisk) -> Intake {
    let (spool, _) = Spool::open(Arc::new(disk.clone()), Options::default(), spool_time(NOW)).expect("opened");
    Intake::new(Arc::new(spool), Ledger::default(), Pacing::default())
}

/// Entries of ten readings each, one loss of one reading in each.
fn incoming(first: u64, last: u64) -> Incoming {
    let batch = test_batch(first, last);
    Incoming { received_at: NOW, bytes: codec::encode_batch(&batch).expect("encoded"), batch }
}

fn gateway() -> GatewayId {
    test_batch(1, 1).gateway
}

fn take(intake: &mut Intake, first: u64, last: u64) -> (Ack, Option<Entry>) {
    let mut taken = intake.take(NOW, vec![incoming(first, last)]).expect("taken");
    let (ack, entry) = taken.pop().expect("one answer");
    (ack.ack, entry)
}

#[test]
fn a_group_is_decided_in_order_and_written_at_once() {
    let disk = SimDisk::new(1);
    let mut intake = intake(&disk);
    let taken = intake.take(NOW, vec![incoming(1, 3), incoming(2, 5), incoming(5, 5), incoming(9, 9)]).expect("taken");
    let acks: Vec<_> = taken.iter().map(|(ack, _)| (ack.ack, ack.acked_through)).collect();
    assert_eq!(acks, [(Ack::Stored, Some(3)), (Ack::Stored, Some(5)), (Ack::Duplicate, Some(5)), (Ack::Stored, Some(9))]);
    let entries: Vec<_> = taken.into_iter().filter_map(|(_, entry)| entry).collect();
    assert_eq!(entries.iter().map(|entry| entry.place.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(entries[1].rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(intake.spool().counters().appends, 1);
    // One loss of each of six entries, and 30 readings of the hole.
    assert_eq!(intake.auditor().audit(&gateway(), NOW).expect("known").counts.lost, 36);
}

#[test]
fn after_a_failed_append_nothing_was_taken_and_the_next_one_works() {
    let disk = SimDisk::new(2);
    let mut intake = intake(&disk);
    take(&mut intake, 1, 3);
    let before = intake.auditor().audit(&gateway(), NOW);
    // More than the spool tries by itself.
    disk.set_faults(Faults { failing_syncs: 100, ..Faults::default() });
    assert!(intake.take(NOW, vec![incoming(4, 6), incoming(7, 8)]).is_err());
    assert_eq!(intake.ledger().through(&gateway(), test_batch(1, 1).stream), Some(3));
    assert_eq!(intake.auditor().audit(&gateway(), NOW).map(|audit| audit.counts), before.map(|audit| audit.counts));
    disk.set_faults(Faults::default());
    let (ack, entry) = take(&mut intake, 4, 6);
    assert_eq!((ack, entry.expect("stored").rows.len()), (Ack::Stored, 3), "the same handle heals");
    drop(intake);
    let mut again = self::intake(&disk);
    assert_eq!(again.replay().expect("read").len(), 2);
}

#[test]
fn what_was_answered_is_replayed_as_it_was_decided_and_what_was_let_go_is_not() {
    let disk = SimDisk::new(3);
    let mut first = intake(&disk);
    let entries: Vec<Entry> = [(1, 3), (2, 6), (9, 9)].into_iter().filter_map(|(from, to)| take(&mut first, from, to).1).collect();
    first.spool().acknowledge(entries[0].place.ordinal, LANE, entries[0].place.seq).expect("let go");
    first.spool().flush();
    drop(first);
    disk.power_cut();
    let mut again = intake(&disk);
    // The lake's mark is beyond what the journal still holds: that decides nothing.
    again.ledger_mut().learn([(gateway(), test_batch(1, 1).stream, 5)], NOW);
    assert_eq!(again.replay().expect("read"), entries[1..]);
    assert_eq!(again.ledger().mark(&gateway(), test_batch(1, 1).stream), Some(Mark { through: 9, readings: Some(90), skipped: 0 }));
    assert_eq!(take(&mut again, 9, 10).1.expect("stored").rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [10]);
}

#[test]
fn a_journal_that_rots_is_no_reason_not_to_start_and_what_it_lost_is_asked_for() {
    let (mut lost, mut told) = (0, 0);
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut first = intake(&disk);
        for from in [1, 4, 7, 10] {
            take(&mut first, from, from + 2);
        }
        drop(first);
        disk.kill();
        disk.flip_byte();
        let mut again = intake(&disk);
        let entries = again.replay().expect("it starts");
        assert!(entries.len() >= 3, "one byte takes no more than one entry");
        lost += 4 - entries.len();
        let stream = test_batch(1, 1).stream;
        let through = again.ledger().through(&gateway(), stream).unwrap_or(0);
        let mut heartbeat = incoming(1, 1);
        heartbeat.batch.range = None;
        heartbeat.batch.entries.clear();
        heartbeat.batch.records.clear();
        heartbeat.batch.status.books = Books::default();
        heartbeat.batch.status.streams = vec![HeldStream { stream, first: 1, acked: 12, next: 13 }];
        let taken = again.take(NOW, vec![heartbeat]).expect("answered");
        told += usize::from(!taken[0].0.wants.is_empty());
        assert_eq!(taken[0].0.wants.is_empty(), through == 12, "seed {seed}: {:?}", taken[0].0.wants);
    }
    assert!(lost > 0, "no byte was one of an entry");
    eprintln!("{lost} entries were lost, {told} at the end and asked for");
}

#[test]
fn while_another_collector_may_hold_what_is_missing_the_same_is_asked_for_again() {
    let disk = SimDisk::new(4);
    let (spool, _) = Spool::open(Arc::new(disk.clone()), Options::default(), spool_time(NOW)).expect("opened");
    let pacing = Pacing { elsewhere_patience_us: 1_000_000, ..Pacing::default() };
    let mut intake = Intake::new(Arc::new(spool), Ledger::with_patience(pacing.elsewhere_patience_us), pacing);
    let mut next = incoming(8, 9);
    next.batch.status.streams = vec![HeldStream { stream: StreamId(17), first: 8, acked: 7, next: 10 }];
    next.batch.range = Some(SeqRange { first: 8, last: 9 });
    let taken = intake.take(NOW, vec![next]).expect("answered");
    assert_eq!((taken[0].0.ack, taken[0].0.hold_ms), (Ack::Gap { expected: 8 }, 1_000));
    assert!(taken[0].1.is_none());
}
