//! Core, commits and spool over a simulated disk: whatever ends a run at whatever step, what was sent is stored once or told as lost.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use protocol::{DATA, EntryStamp, LANES, Record, StateChange, TimeQuality, Timestamp, WindowSummary};
use spool::{
    Lane, Options, Spool,
    simulated::{Faults, SimDisk},
};

use super::*;
use crate::{commit, entry, source::Message};

const TOPIC: &str = "p/a/l/m1/telemetry";
const S: i64 = 1_000_000;
const START: i64 = 1_767_225_600 * S;

fn config(extra: &str) -> Config {
    let text = format!(
        "[gateway]\nid = \"gw\"\n[broker]\n[[topic]]\ntemplate = \"{{site}}/{{area}}/{{line}}/{{machine}}/telemetry\"\n\
         timestamp = \"ts\"\nsequence = \"seq\"\nsession = \"session\"\nstate = \"state\"\n{extra}"
    );
    Config::parse(Path::new("test.toml"), &text, []).unwrap()
}

/// A gateway on a disk, and what was sent to it.
struct World {
    config: Config,
    options: Options,
    disk: SimDisk,
    run: Option<Run>,
    wall_us: i64,
    /// The time is not known.
    unset: bool,
    mono_us: u64,
    boots: u64,
    sent: u64,
    /// When each message was sent.
    times: Vec<i64>,
    /// A run ended while nothing could be written: what it took in last is known to be lost, but not when that was.
    ended_in_trouble: bool,
}

struct Run {
    spool: Spool,
    core: Core,
    taken: Option<Commit>,
    outcome: Option<Outcome>,
}

/// All that the spool holds.
#[derive(Default)]
struct Stored {
    windows: Vec<WindowSummary>,
    losses: Vec<Loss>,
    states: Vec<StateChange>,
    anomalies: usize,
    stamps: Vec<EntryStamp>,
}

impl World {
    fn new(extra: &str, options: Options) -> Self {
        let disk = SimDisk::new(7);
        let (wall_us, mono_us) = (START, 0);
        let mut world = Self {
            config: config(extra),
            options,
            disk,
            run: None,
            wall_us,
            unset: false,
            mono_us,
            boots: 0,
            sent: 0,
            times: Vec::new(),
            ended_in_trouble: false,
        };
        world.start();
        world
    }

    fn now(&self) -> Now {
        let time_quality = if self.unset { TimeQuality::Unsynced } else { TimeQuality::Synced };
        Now { wall: Timestamp::from_micros(self.wall_us), mono_us: self.mono_us, time_quality }
    }

    fn start(&mut self) {
        self.boots += 1;
        self.mono_us = 1_000 * self.boots;
        let now = self.now();
        let disk = Arc::new(self.disk.clone());
        let Ok((spool, report)) = Spool::open(disk, self.options, commit::spool_time(now)) else { return };
        let mut core = Core::new(&self.config, &spool.checkpoint(), now, self.boots);
        for dropped in commit::opened(&spool, &report, now) {
            core.dropped(now, dropped);
        }
        self.run = Some(Run { spool, core, taken: None, outcome: None });
        // As the program does before it starts its sources.
        for _ in 0..3 {
            self.step();
        }
    }

    fn send(&mut self) {
        self.sent += 1;
        self.times.push(self.wall_us);
        let (ts, seq) = (self.wall_us, self.sent);
        let state = if seq.is_multiple_of(3) { "idle" } else { "producing" };
        self.say(format!(r#"{{"ts":{ts},"session":"s","seq":{seq},"state":"{state}","a":{seq},"b":1.5}}"#));
    }

    fn say(&mut self, text: impl Into<Bytes>) {
        let received = self.now();
        let message = Message { topic: Bytes::from_static(TOPIC.as_bytes()), payload: text.into(), received };
        // What nobody was there to take in was not lost by the gateway, and not at a time that it could know.
        self.ended_in_trouble |= self.run.is_none();
        if let Some(run) = &mut self.run {
            run.core.take_in(Sample { source: Config::BROKER, event: Event::Message(message) });
        }
    }

    fn wait(&mut self, micros: u64) {
        self.mono_us += micros;
        self.wall_us += i64::try_from(micros).unwrap();
        let now = self.now();
        if let Some(run) = &mut self.run {
            run.core.tick(now);
        }
    }

    /// One step of a commit: taken, written, or settled.
    fn step(&mut self) {
        let now = self.now();
        let boot = self.boots;
        let Some(run) = &mut self.run else { return };
        if let Some(outcome) = run.outcome.take() {
            run.core.settle(now, outcome);
        } else if let Some(commit) = run.taken.take() {
            run.outcome = Some(commit::write(&run.spool, commit, now, boot));
        } else {
            run.taken = run.core.commit_due(now);
        }
    }

    /// Waits, and does all that is due.
    fn seconds(&mut self, seconds: u64) {
        for _ in 0..seconds * 5 {
            self.wait(200_000);
            for _ in 0..3 {
                self.step();
            }
        }
    }

    fn end(&mut self, cut: bool) {
        let now = self.now();
        self.ended_in_trouble |= self.run.as_ref().is_none_or(|run| run.core.view(now).failing.is_some() || run.outcome.is_some());
        if cut {
            self.disk.power_cut();
        } else {
            self.disk.kill();
        }
        self.run = None;
        self.start();
    }

    fn stop(&mut self) -> bool {
        while self.run.as_ref().is_some_and(|run| run.core.is_committing()) {
            self.step();
        }
        let now = self.now();
        let boot = self.boots;
        let Some(mut run) = self.run.take() else { return false };
        let commit = run.core.finish(now);
        let outcome = commit::write(&run.spool, commit, now, boot);
        let clean = matches!(outcome, Outcome::Durable { .. });
        run.core.settle(now, outcome);
        drop(run);
        self.ended_in_trouble |= !clean;
        self.disk.kill();
        self.start();
        clean
    }

    fn heal(&mut self) {
        self.disk.set_capacity(None);
        self.disk.set_faults(Faults::default());
        if self.run.is_none() {
            self.start();
        }
        self.seconds(3);
    }

    fn stored(&self) -> Stored {
        let mut stored = Stored::default();
        let spool = &self.run.as_ref().unwrap().spool;
        for generation in spool.view() {
            for lane in 0..LANES {
                let peek = spool.peek(generation.ordinal, Lane(u8::try_from(lane).unwrap()), 1, usize::MAX, usize::MAX).unwrap();
                assert!(peek.corrupt.is_empty());
                for found in peek.entries {
                    let (stamp, records) = entry::decode(&found.payload).unwrap();
                    assert_eq!(found.units, entry::readings(&records));
                    assert!(records.iter().all(|record| entry::lane(record) == lane));
                    stored.stamps.push(stamp);
                    for record in records {
                        match record {
                            Record::Window(window) => stored.windows.push(window),
                            Record::Loss(loss) => stored.losses.push(loss),
                            Record::Anomaly(_) => stored.anomalies += 1,
                            Record::State(state) => stored.states.push(state),
                            Record::Parts(_) => {}
                        }
                    }
                }
            }
        }
        stored
    }

    fn books(&self) -> Books {
        self.run.as_ref().unwrap().core.books()
    }

    /// Each reading that was sent is stored once or told as lost, in a range that holds it; and the gateway's own account says the same.
    fn check(&mut self) {
        self.heal();
        // The last message shows what is missing before it.
        self.wait(2_000_000);
        self.send();
        self.seconds(30);
        let stored = self.stored();
        let count: u64 = stored.windows.iter().map(|w| w.count).sum();
        let lost: u64 = stored.losses.iter().map(|l| l.count).sum();
        assert_eq!(count + lost, 2 * self.sent, "stored {count} and lost {lost}: {:#?}", stored.losses);
        let books = self.books();
        assert_eq!((books.taken, books.open), (count + books.lost_after, 0), "{books:?}");

        let length = 5 * S;
        let cell = |at: i64| at.div_euclid(length) * length;
        let mut missing: BTreeMap<i64, i64> = BTreeMap::new();
        for at in &self.times {
            *missing.entry(cell(*at)).or_default() += 2;
        }
        for window in &stored.windows {
            *missing.entry(cell(window.start.as_micros())).or_default() -= i64::try_from(window.count).unwrap();
        }
        for (start, readings) in missing {
            assert!(readings >= 0, "{readings} at {start}: a reading was stored twice");
            let covers = |l: &&Loss| l.count > 0 && l.from.as_micros() < start + length && l.to.as_micros() + 1 >= start;
            assert!(
                readings == 0 || self.ended_in_trouble || stored.losses.iter().any(|l| covers(&l)),
                "{readings} at {start}: {:#?}",
                stored.losses
            );
        }
    }
}

fn roomy() -> Options {
    Options { generation_bytes: 64 << 10, ..Options::default() }
}

#[derive(Debug, Clone)]
enum Event2 {
    Send,
    Wait(u64),
    Step,
    Seconds(u64),
    Kill,
    PowerCut,
    Stop,
    Full,
    FailSyncs(u32),
    Heal,
}

fn events() -> impl Strategy<Value = Vec<Event2>> {
    let event = prop_oneof![
        20 => Just(Event2::Send),
        10 => (0_u64..1_500_000).prop_map(Event2::Wait),
        20 => Just(Event2::Step),
        4 => (1_u64..6).prop_map(Event2::Seconds),
        2 => Just(Event2::Kill),
        2 => Just(Event2::PowerCut),
        1 => Just(Event2::Stop),
        1 => Just(Event2::Full),
        1 => (1_u32..4).prop_map(Event2::FailSyncs),
        2 => Just(Event2::Heal),
    ];
    prop::collection::vec(event, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_ends_a_run_each_reading_is_stored_once_or_told_as_lost(events in events(), small in any::<bool>()) {
        let mut world = World::new(if small { "[limits]\nmax_pending_records = 100" } else { "" }, roomy());
        // What was never committed can't be missed.
        world.send();
        world.seconds(3);
        for event in events {
            match event {
                Event2::Send => {
                    world.wait(1_000);
                    world.send();
                }
                Event2::Wait(micros) => world.wait(micros),
                Event2::Step => world.step(),
                Event2::Seconds(seconds) => world.seconds(seconds),
                Event2::Kill => world.end(false),
                Event2::PowerCut => world.end(true),
                Event2::Stop => {
                    world.stop();
                }
                Event2::Full => world.disk.set_capacity(Some(world.disk.used())),
                Event2::FailSyncs(syncs) => world.disk.set_faults(Faults { failing_syncs: syncs, ..Faults::default() }),
                Event2::Heal => world.heal(),
            }
        }
        world.check();
    }
}

#[test]
fn a_disk_that_is_full_costs_nothing_while_memory_lasts_and_heals_by_itself() {
    let mut world = World::new("", roomy());
    world.send();
    world.seconds(3);
    world.disk.set_capacity(Some(world.disk.used()));
    for _ in 0..60 {
        world.send();
        world.seconds(1);
    }
    let now = world.now();
    let view = world.run.as_ref().unwrap().core.view(now);
    assert!(view.failing.as_ref().unwrap().1.contains("no room"), "{:?}", view.failing);
    assert!(view.stats.pending_records > 10, "sampling goes on");
    world.disk.set_capacity(None);
    world.seconds(2);
    assert_eq!(world.run.as_ref().unwrap().core.view(world.now()).failing, None);
    world.check();
    assert_eq!(world.stored().losses.iter().map(|l| l.count).sum::<u64>(), 0);
}

#[test]
fn memory_that_does_not_last_gives_up_data_first_and_counts_it() {
    let mut world = World::new(
        "[limits]\nmax_pending_records = 100\n[[detector]]\nkind = \"limits\"\nsignal = \"b\"\nhigh = 1.0\ncool_down = \"0s\"",
        roomy(),
    );
    world.send();
    world.seconds(3);
    world.disk.set_faults(Faults { failing_syncs: u32::MAX, ..Faults::default() });
    for _ in 0..400 {
        world.send();
        world.seconds(6);
    }
    world.check();
    let stored = world.stored();
    let lost: Vec<&Loss> = stored.losses.iter().filter(|l| l.reason == LossReason::SpoolFull && l.count > 0).collect();
    assert!(!lost.is_empty() && lost.iter().all(|l| l.signal.is_some() && l.from < l.to), "{lost:?}");
    assert_eq!(stored.anomalies, 1);
}

/// It once was tried as it was for ever, and nothing became durable any more.
#[test]
fn more_than_an_empty_spool_can_hold_is_halved_until_it_fits() {
    let options = Options { max_bytes: 64 << 10, generation_bytes: 8 << 10, ..Options::default() };
    let quick = "[window]\nlength = \"1s\"\nallowed_lateness = \"0s\"\n[limits]\nmax_pending_records = 10000";
    let mut world = World::new(quick, options);
    world.disk.set_faults(Faults { failing_syncs: u32::MAX, ..Faults::default() });
    for message in 0..200_u64 {
        // Values that can't be compressed (SplitMix64).
        let value = |signal: u64| {
            let x = (message * 50 + signal + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (x ^ (x >> 31)) >> 12
        };
        let fields: Vec<String> = (0..50).map(|signal| format!("\"s{signal}\":{}", value(signal))).collect();
        world.say(format!("{{{}}}", fields.join(",")));
        world.seconds(1);
    }
    world.heal();
    world.seconds(60);
    let count: u64 = world.stored().windows.iter().map(|w| w.count).sum();
    let books = world.books();
    assert!(count > 0 && books.lost_after > 0, "{count} stored, {books:?}");
    assert_eq!((books.taken, books.taken), (10_000, count + books.lost_after + books.open), "{books:?}");
}

#[test]
fn a_spool_without_room_for_data_takes_what_is_urgent() {
    let options = Options { max_bytes: 256 << 10, generation_bytes: 32 << 10, ..Options::default() };
    let mut world = World::new("[window]\nlength = \"1s\"\nallowed_lateness = \"0s\"\n[spool]\noverflow_data = \"refuse\"", options);
    let mut partial = false;
    for _ in 0..6_000 {
        world.send();
        world.wait(1_100_000);
        for _ in 0..3 {
            world.step();
            partial |= world.run.as_ref().unwrap().outcome.as_ref().is_some_and(|outcome| matches!(outcome, Outcome::Partial { .. }));
        }
        if partial {
            break;
        }
    }
    assert!(partial, "{:?}", world.run.as_ref().unwrap().spool.room());
    let stored = world.stored().windows.len();
    world.end(true);
    world.options.max_bytes = 64 << 20;
    world.end(true);
    world.check();
    assert!(world.stored().windows.len() >= stored);
    assert!(world.stored().losses.iter().any(|l| l.reason == LossReason::PowerCut && l.count > 0 && l.signal.is_some()));
}

#[test]
fn a_spool_that_fills_thins_its_oldest_data_and_loses_no_reading() {
    let options = Options { max_bytes: 512 << 10, generation_bytes: 32 << 10, ..Options::default() };
    let mut world = World::new("[window]\nlength = \"1s\"\nallowed_lateness = \"0s\"", options);
    let mut retired = 0;
    for _ in 0..6_000 {
        world.send();
        world.wait(1_100_000);
        for _ in 0..3 {
            world.step();
            if let Some(Outcome::Durable { relief, .. }) = &world.run.as_ref().unwrap().outcome {
                retired += relief.retired;
            }
        }
        if retired >= 5 {
            break;
        }
    }
    assert!(retired >= 5, "{:?}", world.run.as_ref().unwrap().spool.room());
    let stored = world.stored();
    assert!(stored.windows.iter().any(|w| w.count > 5), "some are coarser");
    world.seconds(10);
    let count: u64 = world.stored().windows.iter().map(|w| w.count).sum();
    assert_eq!((count, world.books().lost_after, world.books().taken), (2 * world.sent, 0, 2 * world.sent));
}

#[test]
fn old_data_that_is_dropped_for_room_is_in_the_books_also_after_a_power_cut() {
    let options = Options { max_bytes: 512 << 10, generation_bytes: 32 << 10, ..Options::default() };
    let mut world = World::new("[window]\nlength = \"1s\"\nallowed_lateness = \"0s\"\n[spool]\noverflow_data = \"drop_oldest\"", options);
    for _ in 0..6_000 {
        world.send();
        world.wait(1_100_000);
        for _ in 0..3 {
            world.step();
        }
        if world.books().lost_after > 0 {
            break;
        }
    }
    let lost = world.books().lost_after;
    assert!(lost > 100, "{:?}", world.run.as_ref().unwrap().spool.room());
    world.end(true);
    assert_eq!(world.books().lost_after, lost);
    world.seconds(30);
    let told: u64 = world.stored().losses.iter().filter(|l| l.reason == LossReason::SpoolFull).map(|l| l.count).sum();
    assert_eq!(told, lost);
    let books = world.books();
    let held: u64 = world.run.as_ref().unwrap().spool.view().iter().map(|g| g.lanes[DATA].units - g.lanes[DATA].acked_units).sum();
    assert_eq!(books.taken, held + books.lost_after + books.open);
}

#[test]
fn a_write_budget_makes_commits_rarer_but_not_those_of_every_reading() {
    for (mode, rarer) in [("window", true), ("reading", false)] {
        let mut world = World::new(&format!("[durability]\nmode = \"{mode}\"\n[spool]\nwrite_budget_per_day = \"1MiB\""), roomy());
        let mut commits = [0, 0];
        let mut written = 0;
        for second in 0..1_600 {
            world.send();
            for _ in 0..5 {
                world.wait(200_000);
                for _ in 0..3 {
                    world.step();
                    if world.run.as_ref().unwrap().outcome.is_some() {
                        commits[usize::from(second >= 800)] += 1;
                    }
                }
            }
            written += 10_000;
            let now = world.now();
            world.run.as_mut().unwrap().core.written(now, written);
        }
        let stretch = world.run.as_ref().unwrap().core.view(world.now()).writes.stretch;
        assert_eq!(stretch > 9.0, rarer, "{mode}: {stretch}");
        assert_eq!(commits[1] * 3 < commits[0] * 2, rarer, "{mode}: {commits:?}");
    }
}

#[test]
fn a_clean_end_leaves_nothing_to_be_told() {
    let mut world = World::new("", roomy());
    for _ in 0..20 {
        world.send();
        world.wait(300_000);
        world.step();
        assert!(world.stop());
    }
    world.check();
    assert!(world.stored().losses.is_empty());
}

#[test]
fn a_power_cut_after_a_quiet_night_puts_in_doubt_its_last_minutes_alone() {
    let mut world = World::new("", roomy());
    world.send();
    world.seconds(60);
    let mut commits = 0;
    for _ in 0..8 * 3_600 {
        world.wait(1_000_000);
        for _ in 0..3 {
            world.step();
            commits += usize::from(world.run.as_ref().unwrap().outcome.is_some());
        }
    }
    assert!((40..=50).contains(&commits), "{commits} commits in eight hours");
    // One message is taken in and not committed.
    world.send();
    let cut = world.now().wall;
    world.end(true);
    world.seconds(10);
    world.send();
    world.seconds(10);
    let losses = world.stored().losses;
    let of = |reason| losses.iter().filter(|l| l.reason == reason).map(|l| l.count).collect::<Vec<_>>();
    assert_eq!((of(LossReason::PowerCut), of(LossReason::SequenceGap)), (vec![0], vec![1, 1]), "{losses:#?}");
    for loss in &losses {
        assert!(loss.from.plus_micros(601 * S) >= cut && loss.from <= cut, "not within ten minutes before the cut at {cut:?}: {loss:?}");
    }
    world.check();
}

/// How far the provisional timeline is off.
const OFF: i64 = 1_000 * S;

#[test]
fn time_that_becomes_known_moves_what_waits_and_closes_what_is_open() {
    let mut world = World::new("", roomy());
    world.unset = true;
    let began = world.now().wall;
    world.say(r#"{"state":"idle","a":1,"b":1.5}"#);
    world.wait(300_000);
    world.step();
    world.say(r#"{"a":2,"b":1.5}"#);
    let stamp = world.now().wall;
    world.unset = false;
    world.wall_us += OFF;
    let now = world.now();
    let run = world.run.as_mut().unwrap();
    let commit = run.taken.take().unwrap();
    run.core.time_known(now, &Shift { began, stamp, by_us: OFF, inherited: false });
    assert_eq!(run.core.stats().open_windows, 0);
    // What was under way comes back, and is moved as well.
    run.core.settle(now, Outcome::Failed { commit, relief: Relief::default(), reason: Reason::Closed });
    world.say(r#"{"a":3,"b":1.5}"#);
    world.seconds(10);
    let stored = world.stored();
    assert_eq!(stored.windows.iter().map(|w| w.count).sum::<u64>(), 6);
    let states: Vec<_> = stored.states.iter().map(|state| (state.event_time, state.time_quality)).collect();
    assert_eq!(states, [(began.plus_micros(OFF), TimeQuality::Holdover)]);
    assert!(stored.windows.iter().all(|w| w.end > began.plus_micros(OFF)), "{:?}", stored.windows);
    // No entry says that it was made before the time was known: it would be moved twice.
    assert!(stored.stamps.iter().all(|stamp| stamp.time_quality != TimeQuality::Unsynced));
}
