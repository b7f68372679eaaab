//! Backups put in place, and two collectors on one lake: what is missing is asked for, and what nobody has is told with its count.

use std::{path::Path, time::Duration};

use collector::app::Collector;
use protocol::{
    Ack, Batch, Books, DATA, EntryInfo, EntryStamp, HeldStream, Parent, Record, SeqRange, StampedRecord, StreamId, TimeQuality, Timestamp,
};

use crate::plant::{Gateway, NEVER_COMMIT, Site, eventually, number, summary};

const SOON: &str = "[lake]\ncommit_interval = \"200ms\"\n";
/// Readings of an entry: those of its one summary.
const READINGS: u64 = 10;

struct Generation {
    id: u64,
    parent: Option<Parent>,
    entries: u64,
    /// Its first entry tells what the run found.
    inherits: bool,
    acked: u64,
}

/// A gateway that holds what it has sent, until it is told not to.
struct Holding {
    gateway: Gateway,
    /// The oldest first; ids are multiples of 16.
    generations: Vec<Generation>,
    next_id: u64,
    taken: u64,
}

impl Holding {
    fn new(gateway: Gateway) -> Self {
        Self { gateway, generations: Vec::new(), next_id: 16, taken: 0 }
    }

    /// A new run; `after`: it goes on from there, as a backup of then would.
    fn start(&mut self, after: Option<(u64, u64)>, inherits: bool) -> u64 {
        let parent = after.map(|(generation, through)| Parent { generation, through: [0, through], readings: [0, through * READINGS] });
        let id = self.next_id;
        self.next_id += 16;
        self.generations.push(Generation { id, parent, entries: 0, inherits, acked: 0 });
        id
    }

    fn append(&mut self, entries: u64) {
        let current = self.generations.last_mut().expect("started");
        current.entries += entries;
        self.taken += entries * READINGS;
    }

    fn batch(&self, at: usize, first: u64, last: u64) -> Batch {
        let generation = &self.generations[at];
        let stream = StreamId::of(generation.id, DATA);
        let gateway = Gateway { stream, ..self.gateway.clone() };
        let mut batch = gateway.heartbeat();
        let info = |seq: u64| EntryInfo {
            stamp: Some(EntryStamp {
                boot_id: generation.id,
                mono_us: seq,
                wall: Timestamp(1),
                time_quality: TimeQuality::Holdover,
                inherited: generation.inherits && seq == 1,
            }),
            readings_before: (seq - 1) * READINGS,
            readings: READINGS,
        };
        // Windows of different generations do not overlap.
        let record = |seq: u64| StampedRecord { seq, record: Record::Window(summary(&self.gateway.name, generation.id * 1_000 + seq)) };
        batch.range = Some(SeqRange { first, last });
        batch.parent = generation.parent;
        batch.entries = (first..=last).map(info).collect();
        batch.records = (first..=last).map(record).collect();
        let held = |generation: &Generation| HeldStream {
            stream: StreamId::of(generation.id, DATA),
            first: 1,
            acked: generation.acked,
            next: generation.entries + 1,
        };
        batch.status.streams = self.generations.iter().rev().map(held).collect();
        let unsent: u64 = self.generations.iter().map(|generation| generation.entries - generation.acked).sum();
        batch.status.books = Books { taken: self.taken, held: unsent * READINGS, ..Books::default() };
        batch
    }

    /// Sends what is not acknowledged, the newest generation first, until nothing is left.
    async fn deliver(&mut self) {
        while let Some(at) = (0..self.generations.len()).rev().find(|at| self.generations[*at].acked < self.generations[*at].entries) {
            let generation = &self.generations[at];
            let batch = self.batch(at, generation.acked + 1, (generation.acked + 8).min(generation.entries));
            self.send(at, &batch).await;
        }
    }

    async fn send(&mut self, at: usize, batch: &Batch) {
        let ack = self.gateway.deliver(batch).await.ack.expect("acknowledged");
        let generation = &mut self.generations[at];
        generation.acked = match ack.ack {
            Ack::Stored | Ack::Duplicate => ack.acked_through.expect("known"),
            Ack::Gap { expected } => expected - 1,
            Ack::Heartbeat => generation.acked,
        };
        for want in ack.wants {
            let wanted = self.generations.iter_mut().find(|generation| generation.id == want.stream.generation()).expect("it is held");
            wanted.acked = wanted.acked.min(want.from - 1);
        }
        tokio::time::sleep(Duration::from_millis(u64::from(ack.hold_ms))).await;
    }

    async fn sum(&self, collector: &Collector) -> u64 {
        number(collector, &format!("SELECT coalesce(sum(count), 0) FROM window_summaries WHERE gateway = '{}'", self.gateway.name)).await
    }
}

async fn lost(collector: &Collector, reason: &str) -> (u64, u64) {
    let of = |what: &str| format!("SELECT {what} FROM losses WHERE reason = '{reason}'");
    (number(collector, &of("count(*)")).await, number(collector, &of("coalesce(sum(count), 0)")).await)
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("ran");
    assert!(copied.success());
}

fn audit(collector: &Collector, gateway: &Gateway) -> collector::audit::Audit {
    // Differences count when they have stayed for half a minute.
    let later = collector::clock::now().plus_micros(60_000_000);
    collector.app.auditor.audit(&gateway.name, later).expect("heard")
}

#[tokio::test]
async fn a_collector_restored_from_yesterday_asks_for_what_it_misses_and_tells_what_is_gone() {
    let site = Site::new(SOON).await;
    let collector = site.start().await;
    let mut plant = Holding::new(site.gateway("press-gw1", collector.uplink_address.port()).await);
    let first = plant.start(None, false);
    plant.append(10);
    plant.deliver().await;
    assert!(collector.stop().await);
    copy(&site.data_dir(), &site.dir.path().join("yesterday"));

    let collector = site.start().await;
    plant.gateway.port = collector.uplink_address.port();
    plant.append(10);
    plant.deliver().await;
    let second = plant.start(Some((first, 20)), false);
    plant.append(10);
    plant.start(Some((second, 10)), false);
    plant.append(10);
    plant.deliver().await;
    assert_eq!(plant.sum(&collector).await, 400);
    assert!(collector.stop().await);

    std::fs::remove_dir_all(site.data_dir()).expect("removed");
    copy(&site.dir.path().join("yesterday"), &site.data_dir());
    // What was acknowledged first had to make room.
    plant.generations.remove(0);
    let collector = site.start().await;
    plant.gateway.port = collector.uplink_address.port();
    assert_eq!(plant.sum(&collector).await, 100);
    plant.append(1);
    plant.deliver().await;
    assert_eq!(plant.sum(&collector).await, 100 + 210, "all that is held came again");
    // Another collector might have had it: it is given up only when the lake was asked again.
    let mut more = 0;
    while lost(&collector, "stream_gap").await.0 == 0 {
        more += 1;
        assert!(more < 300, "what is gone is not told");
        plant.append(1);
        plant.deliver().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    plant.append(1);
    plant.deliver().await;
    assert_eq!(lost(&collector, "stream_gap").await, (1, 100), "entries 11 to 20 of the first generation");
    let heartbeat = Batch { range: None, entries: Vec::new(), records: Vec::new(), ..plant.batch(1, 1, 1) };
    assert_eq!(plant.gateway.deliver(&heartbeat).await.acked(), Ack::Heartbeat);
    let audit = audit(&collector, &plant.gateway);
    assert_eq!((audit.verdict.as_str(), audit.counts.lost, audit.unaccounted), ("balanced", 100, 0), "{audit:?}");
    assert_eq!(audit.counts.stored + 100, plant.taken);
    assert!(collector.stop().await);

    let collector = site.start().await;
    plant.gateway.port = collector.uplink_address.port();
    plant.append(1);
    plant.deliver().await;
    assert_eq!(lost(&collector, "stream_gap").await, (1, 100), "it is told once");
    let quality = "SELECT count(*) FROM window_summaries WHERE boot_id = '0000000000000030'";
    assert!(number(&collector, quality).await > 10, "rows say which run made them");
    collector.stop().await;
}

#[tokio::test]
async fn two_collectors_on_one_lake_store_what_either_acknowledged_once() {
    let (ours, theirs) = (Site::new(SOON).await, Site::new(SOON).await);
    let lake = ours.data_dir().join("lake");
    std::fs::create_dir(&lake).expect("made");
    std::os::unix::fs::symlink(&lake, theirs.data_dir().join("lake")).expect("linked");
    let (a, b) = (ours.start().await, theirs.start().await);
    let mut plant = Holding::new(ours.gateway("press-gw1", a.uplink_address.port()).await);
    let other = theirs.gateway("press-gw1", b.uplink_address.port()).await;
    let first = plant.start(None, false);
    // Turn about, without a pause: what one has acknowledged the other does not know yet.
    let gateways = [plant.gateway.clone(), other];
    for turn in 0..12 {
        plant.gateway = gateways[turn % 2].clone();
        plant.append(3);
        plant.deliver().await;
        if turn == 6 {
            plant.start(Some((first, 21)), false);
        }
    }
    eventually("both commits", async || a.app.lake.hot_rows() + b.app.lake.hot_rows() == 0).await;
    assert!(a.stop().await && b.stop().await);
    let collector = ours.start().await;
    assert_eq!(plant.sum(&collector).await, 12 * 3 * READINGS);
    assert_eq!(number(&collector, "SELECT count(*) FROM losses").await, 0, "nothing was given up");
    collector::recount::verify(&collector.app, collector::clock::now()).await.expect("looked");
    assert_eq!(audit(&collector, &plant.gateway).twice, 0);
    collector.stop().await;
}

#[tokio::test]
async fn a_gateway_restored_from_a_backup_tells_nothing_twice_and_raises_an_alarm() {
    let site = Site::new(SOON).await;
    let collector = site.start().await;
    let mut plant = Holding::new(site.gateway("press-gw1", collector.uplink_address.port()).await);
    let first = plant.start(None, false);
    plant.append(10);
    plant.deliver().await;
    // A backup of when five entries had been made; the checkpoint of then is told again by the run that begins with it.
    plant.generations[0].entries = 5;
    plant.generations[0].acked = 5;
    plant.taken = 50;
    plant.start(Some((first, 5)), true);
    plant.append(4);
    plant.deliver().await;
    assert_eq!(plant.sum(&collector).await, 100 + 30, "the first entry is what another run has told");
    assert_eq!(lost(&collector, "restored").await, (1, 0));
    eventually("the alarm", async || {
        let alarms = collector.app.alarms.lock().of(&plant.gateway.name);
        alarms.iter().any(|alarm| alarm.kind == collector::alarms::AlarmKind::Restored)
    })
    .await;
    collector.stop().await;
}

#[tokio::test]
async fn backlogs_are_paced_and_live_is_not() {
    let site = Site::new(&format!("catch_up_rows_per_s = 100\n{NEVER_COMMIT}")).await;
    let collector = site.start().await;
    let mut plant = Holding::new(site.gateway("press-gw1", collector.uplink_address.port()).await);
    plant.start(None, false);
    plant.append(200);
    let live = plant.gateway.deliver(&plant.batch(0, 1, 8)).await.ack.expect("acknowledged");
    assert_eq!((live.hold_ms, live.catch_up_hold_ms), (0, 0));
    let backlog = Batch { catch_up: true, ..plant.batch(0, 9, 28) };
    let ack = plant.gateway.deliver(&backlog).await.ack.expect("acknowledged");
    assert_eq!(ack.hold_ms, 0);
    assert_eq!(ack.catch_up_hold_ms, 200, "20 rows at 100 a second");
    let live = plant.gateway.deliver(&plant.batch(0, 29, 30)).await.ack.expect("acknowledged");
    assert!(live.hold_ms == 0 && live.catch_up_hold_ms < 200, "{live:?}");
    // The thread looks at the levels before each group.
    plant.gateway.deliver(&plant.batch(0, 31, 31)).await;
    let text = collector.app.metrics.render();
    for metric in ["millrace_collector_catching_up_gateways", "millrace_collector_queued_batches", "millrace_collector_fill_ratio"] {
        assert!(text.contains(metric), "{metric} is not in {text}");
    }
    collector.stop().await;
}
