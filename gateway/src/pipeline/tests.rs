//! The pipeline as a whole: made = summarised + lost + duplicates, across faults, kills and any order.

mod faults;
mod flow;
mod identity;
mod restart;
mod time;

use std::path::Path;

use protocol::{Loss, LossReason, PartCount, Record, StateChange, Timestamp, WindowSummary};

use super::*;
use crate::{
    config::Config,
    decode::modbus::{Block, Outcome, PollResult, Read, Table},
};

const TOPIC: &str = "p/a/l/m1/telemetry";

/// A pipeline, its clocks, and all that it committed.
struct Bench {
    config: Config,
    pipeline: Pipeline,
    now: Now,
    stored: Vec<Record>,
    /// Of these, what told of the run before.
    inherited: Vec<Record>,
    /// The checkpoint's parts as they are on disk.
    parts: BTreeMap<u32, Vec<u8>>,
    boots: u64,
}

fn config(extra: &str) -> Config {
    let text = format!(
        r#"
[gateway]
id = "gw"
[broker]
[[topic]]
template = "{{site}}/{{area}}/{{line}}/{{machine}}/telemetry"
timestamp = "ts"
sequence = "seq"
session = "session"
state = "state"
state_since = "since"
stop_reason = "reason"
total_counter = "total"
reject_counter = "reject"
[[topic]]
template = "{{site}}/{{area}}/{{line}}/{{machine}}/values/{{signal}}"
payload = "number"
[[modbus]]
name = "m7"
address = "127.0.0.1:5027"
asset = "p/a/l/m7"
sequence = {{ address = 0, type = "uint32" }}
session = {{ address = 2 }}
state = {{ address = 3, map = {{ 1 = "producing", 5 = "unplanned_stop" }} }}
state_elapsed_ms = {{ address = 4, type = "uint32" }}
total_counter = {{ address = 6 }}
reject_counter = {{ address = 7 }}
[[modbus.register]]
signal = "temperature"
address = 8
type = "float32"
unit = "Cel"
[[modbus.register]]
signal = "power"
address = 12
type = "int16"
scale = 0.01
{extra}
"#
    );
    Config::parse(Path::new("test.toml"), &text, []).unwrap()
}

fn manner(full: bool, clean: bool) -> Manner {
    Manner { full, clean, idle: false, interval_us: 5_000_000, reduced: false, budget: budget::Account::default() }
}

impl Bench {
    fn new(extra: &str) -> Self {
        let config = config(extra);
        let now = Now::synced(Timestamp::from_micros(1_767_225_600_000_000), 5_000_000);
        let pipeline = Pipeline::new(&config, &[], now, 1);
        Self { config, pipeline, now, stored: Vec::new(), inherited: Vec::new(), parts: BTreeMap::new(), boots: 1 }
    }

    fn send(&mut self, topic: &str, payload: &str) {
        self.pipeline.message(self.now, Config::BROKER, topic, payload.as_bytes());
    }

    /// A message of `TOPIC` with a time stamp of now; `rest` are further fields.
    fn telemetry(&mut self, seq: u64, rest: &str) {
        let ts = self.now.wall.as_micros();
        self.send(TOPIC, &format!(r#"{{"ts":{ts},"session":"s1","seq":{seq},{rest}}}"#));
    }

    fn wait(&mut self, micros: u64) {
        self.now = self.now.after(Duration::from_micros(micros));
        self.pipeline.tick(self.now);
    }

    fn seconds(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.wait(250_000);
        }
    }

    /// A commit of all that changed, which becomes durable.
    fn commit(&mut self, clean: bool) {
        self.commit_some(true, clean);
    }

    fn commit_some(&mut self, full: bool, clean: bool) {
        let commit = self.pipeline.commit(self.now, manner(full, clean));
        let Commit { urgent, data, inherited, parts, .. } = commit;
        self.inherited.extend(inherited.iter().cloned());
        self.stored.extend(inherited.into_iter().chain(urgent).chain(data));
        for (id, part) in parts {
            match part {
                Some(bytes) => self.parts.insert(id, bytes),
                None => self.parts.remove(&id),
            };
        }
        self.pipeline.settled(self.now, true, Commit::default(), LossReason::QueueFull);
    }

    /// Starts anew from the last commit, on another monotonic clock.
    fn restart(&mut self) {
        self.now.mono_us = 77 * self.boots;
        self.boots += 1;
        let parts: Vec<(u32, Vec<u8>)> = self.parts.clone().into_iter().collect();
        self.pipeline = Pipeline::new(&self.config, &parts, self.now, self.boots);
    }

    /// The books are right: what was taken in is in records, in windows, or lost.
    fn balance(&self) {
        let books = self.pipeline.books();
        assert_eq!(books.taken, self.counted() + books.open + books.lost_after, "{books:?}");
    }

    /// Waits until nothing is held back, and commits.
    fn drain(&mut self) {
        for _ in 0..100 {
            self.seconds(1);
            self.commit(false);
            let stats = self.pipeline.stats();
            self.balance();
            if stats.open_windows + stats.held_back + stats.pending_records == 0 {
                return;
            }
        }
        panic!("held back for ever: {:?}", self.pipeline.stats());
    }

    fn windows(&self) -> Vec<&WindowSummary> {
        self.stored.iter().filter_map(|r| if let Record::Window(w) = r { Some(w) } else { None }).collect()
    }

    fn losses(&self, reason: LossReason) -> Vec<&Loss> {
        self.stored.iter().filter_map(|r| if let Record::Loss(l) = r { Some(l) } else { None }).filter(|l| l.reason == reason).collect()
    }

    fn lost(&self, reason: LossReason) -> u64 {
        self.losses(reason).iter().map(|l| l.count).sum()
    }

    fn states(&self) -> Vec<&StateChange> {
        self.stored.iter().filter_map(|r| if let Record::State(s) = r { Some(s) } else { None }).collect()
    }

    fn parts(&self) -> Vec<&PartCount> {
        self.stored.iter().filter_map(|r| if let Record::Parts(p) = r { Some(p) } else { None }).collect()
    }

    fn counted(&self) -> u64 {
        self.windows().iter().map(|w| w.count).sum()
    }
}

/// An answer of the device: sequence, session, state, elapsed, counters, temperature, power.
fn registers(seq: u32, state: u16, elapsed_ms: u32, counters: (u16, u16), temperature: f32, power: i16) -> PollResult {
    let high = |value: u32| u16::try_from(value >> 16).unwrap();
    let low = |value: u32| u16::try_from(value & 0xffff).unwrap();
    let t = temperature.to_bits();
    let words = vec![
        high(seq),
        low(seq),
        7,
        state,
        high(elapsed_ms),
        low(elapsed_ms),
        counters.0,
        counters.1,
        high(t),
        low(t),
        0,
        0,
        power.cast_unsigned(),
    ];
    PollResult { reads: vec![Read { block: Block { table: Table::Input, address: 0, quantity: 13 }, outcome: Outcome::Words(words) }] }
}

fn failed(outcome: Outcome) -> PollResult {
    PollResult { reads: vec![Read { block: Block { table: Table::Input, address: 0, quantity: 13 }, outcome }] }
}
