//! How many readings a second one core takes from JSON payload through windows and detectors, and how much memory a signal needs.
//!
//! One iteration is one round: a message of ten readings from every machine, one second later than the last, with a tick and, each fifth
//! round, a commit, as in operation. Four detectors look at every signal.

use std::{hint::black_box, path::Path, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gateway::{
    budget,
    clock::Now,
    config::Config,
    pipeline::{Commit, Manner, Pipeline},
};
use protocol::{LossReason, Timestamp};

const SIGNALS_A_MACHINE: usize = 10;

const CONFIG: &str = r#"
[gateway]
id = "bench"
[broker]
[limits]
max_signals = 100000
max_assets = 10000
[[topic]]
template = "{site}/{area}/{line}/{machine}/telemetry"
timestamp = "ts"
sequence = "seq"
session = "session"
state = "state"
total_counter = "total"
[[detector]]
kind = "limits"
high = 1000.0
[[detector]]
kind = "rate_of_change"
max_per_second = 1000.0
[[detector]]
kind = "ewma"
[[detector]]
kind = "flat_line"
"#;

/// Machines that send once a second.
struct Plant {
    pipeline: Pipeline,
    topics: Vec<String>,
    round: u64,
    now: Now,
}

impl Plant {
    fn new(signals: usize) -> Self {
        let config = Config::parse(Path::new("bench.toml"), CONFIG, []).expect("the bench's configuration");
        let now = Now::synced(Timestamp::from_micros(1_767_225_600_000_000), 0);
        let pipeline = Pipeline::new(&config, &[], now, 1);
        let topics = (0..signals / SIGNALS_A_MACHINE).map(|m| format!("plant1/hall/line{}/m{m}/telemetry", m % 20)).collect();
        Self { pipeline, topics, round: 0, now }
    }

    /// The payloads of the next round, made outside of what is measured.
    fn payloads(&mut self) -> Vec<String> {
        self.round += 1;
        self.now = self.now.after(Duration::from_secs(1));
        (0..self.topics.len()).map(|machine| self.payload(machine)).collect()
    }

    fn payload(&self, machine: usize) -> String {
        let (at, round) = (self.now.wall.as_micros(), self.round);
        let signals: Vec<String> = (0..SIGNALS_A_MACHINE)
            .map(|signal| {
                let phase = (round * 37 + (machine * 11 + signal * 7) as u64) as f64 * 0.1;
                format!("\"signal_{signal}\":{:.3}", 50.0 + 10.0 * phase.sin())
            })
            .collect();
        let values = signals.join(",");
        format!(r#"{{"ts":{at},"session":"s1","seq":{round},"state":"producing","total":{round},{values}}}"#)
    }

    /// A full commit that becomes durable.
    fn commit(&mut self) -> Commit {
        let manner =
            Manner { full: true, clean: false, idle: false, interval_us: 5_000_000, reduced: false, budget: budget::Account::default() };
        let commit = self.pipeline.commit(self.now, manner);
        self.pipeline.settled(self.now, true, Commit::default(), LossReason::QueueFull);
        commit
    }

    fn take(&mut self, payloads: &[String]) {
        for (topic, payload) in self.topics.iter().zip(payloads) {
            self.pipeline.message(self.now, Config::BROKER, topic, payload.as_bytes());
        }
        self.pipeline.tick(self.now);
        if self.round.is_multiple_of(5) {
            black_box(self.commit());
        }
    }
}

fn rounds(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode_window_detect");
    group.measurement_time(Duration::from_secs(4)).sample_size(20);
    for signals in [1_000, 10_000] {
        let before = resident_kib();
        let mut plant = Plant::new(signals);
        for _ in 0..11 {
            let payloads = plant.payloads();
            plant.take(&payloads);
        }
        if let Some((before, after)) = before.zip(resident_kib()) {
            let parts = plant.commit().parts;
            let checkpoint = parts.iter().map(|(_, part)| part.as_ref().map_or(0, Vec::len)).sum::<usize>() / 1024;
            println!("{signals} signals: {} KiB resident more than before, checkpoint {checkpoint} KiB", after.saturating_sub(before));
        }
        let before = plant.pipeline.stats();
        assert_eq!((before.signals, before.dropped_total), (signals, 0));
        group.throughput(Throughput::Elements(signals as u64));
        let plant = std::cell::RefCell::new(plant);
        group.bench_function(format!("{signals}_signals"), |b| {
            b.iter_batched(|| plant.borrow_mut().payloads(), |payloads| plant.borrow_mut().take(&payloads), BatchSize::PerIteration);
        });
        let after = plant.borrow().pipeline.stats();
        assert_eq!((after.dropped_total, after.duplicates_total, after.late_total), (0, 0, 0));
    }
    group.finish();
}

/// Resident memory of this process, where /proc tells it.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

criterion_group!(benches, rounds);
criterion_main!(benches);
