//! One gateway of the fleet: the real uploader on a spool in memory, and something that fills it.
//!
//! Invariants: an entry is noted as made before the uploader can see it; it is noted as delivered once, when an answer covers it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use gateway::{
    clock::{Clock, System},
    commit::spool_time,
    config::Config,
    core::{CoreView, Dropped},
    enroll, entry,
    pipeline::Stats,
    status::Board,
    store::Store,
    upload::{Answer, Exchange, Parts, Uploader},
};
use parking_lot::Mutex;
use protocol::{Ack, AssetPath, Books, DATA, Quality, Record, SignalName, StreamId, WindowSummary};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use spool::{Append, Checkpoint, Lane, NewEntry, Options, Spool, simulated::SimDisk};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const SIGNALS: [(&str, &str); 3] = [("spindle_temperature", "Cel"), ("vibration_velocity", "mm/s"), ("active_power", "kW")];
/// Enough for hours of an outage of this fleet; small, since there are hundreds in one process.
const SPOOL: Options = Options {
    max_bytes: 64 << 20,
    min_free_bytes: 0,
    min_free_percent: 0,
    generation_bytes: 1 << 20,
    generation_age: Duration::from_secs(3_600),
    keep_acknowledged_bytes: 0,
    cache_bytes: 1 << 20,
};

/// What is known of a member's deliveries.
#[derive(Debug, Default, Clone)]
pub struct Life {
    pub id: String,
    /// Readings in all entries that were made.
    pub readings: u64,
    pub entries: u64,
    /// Made and not acknowledged.
    pub waiting: BTreeMap<(StreamId, u64), Instant>,
    pub delivered: Vec<Delivered>,
    pub exchanges: Vec<Asked>,
    /// Losses that the uploader told of.
    pub dropped: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    pub made: Instant,
    pub acked: Instant,
}

/// A request and its answer.
#[derive(Debug, Clone)]
pub struct Asked {
    pub sent: Instant,
    pub took: Duration,
    pub kind: Kind,
    pub end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Heartbeat,
    Live,
    CatchUp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Acknowledged,
    /// The collector said when to come back.
    TurnedAway {
        after: Duration,
        reason: String,
    },
    /// No connection, or no answer of use.
    Failed(String),
    /// The content or the gateway was refused.
    Refused(String),
}

impl Asked {
    pub fn ended(&self) -> Instant {
        self.sent + self.took
    }
}

/// A gateway.
pub struct Member {
    config: Arc<Config>,
    asset: AssetPath,
    running: Option<Running>,
    life: Arc<Mutex<Life>>,
}

struct Running {
    boot_id: u64,
    spool: Arc<Spool>,
    board: Arc<Board>,
    fresh: Arc<Notify>,
    finish: CancellationToken,
    dropped: Mutex<mpsc::Receiver<Dropped>>,
    uploader: JoinHandle<()>,
}

impl Member {
    /// Gets a certificate with `token`, as `millrace-gateway enroll` does.
    pub async fn enrol(id: &str, folder: &Path, url: &str, token: &str) -> Result<Self> {
        let text = format!(
            "[gateway]\nid = \"{id}\"\ndata_dir = {folder:?}\n[collector]\nurl = \"{url}\"\n[broker]\nlisten = \"127.0.0.1:1883\"\n\
             [[topic]]\ntemplate = \"{{site}}/{{area}}/{{line}}/{{machine}}/telemetry\"\npayload = \"json\"\n"
        );
        let config = Config::parse(Path::new("fleet.toml"), &text, []).map_err(|error| anyhow::anyhow!("{error}"))?;
        std::fs::create_dir_all(&config.data_dir)?;
        enroll::enroll(&config, token, false).await?;
        let asset = AssetPath::new(&format!("plant/fleet/{id}/machine")).map_err(|error| anyhow::anyhow!("{error}"))?;
        let life = Life { id: id.to_owned(), ..Life::default() };
        Ok(Self { config: Arc::new(config), asset, running: None, life: Arc::new(Mutex::new(life)) })
    }

    /// Starts the uploader.
    pub fn start(&mut self, seed: u64) -> Result<()> {
        // One for each run of the program, as the gateway draws it; here by number, so that a run's identity is the same again.
        let boot_id = seed + 1;
        let clock = Arc::new(Clock::open(&self.config.data_dir, boot_id, None, System::machine()));
        let (spool, _) = Spool::open(Arc::new(SimDisk::new(seed)), SPOOL, spool_time(clock.now()))?;
        let store = Arc::new(Store::of(spool));
        let spool = store.spool().context("the spool was open")?;
        let board = Arc::new(Board::new(Arc::clone(&self.config), Arc::clone(&store), Arc::clone(&clock), boot_id, Vec::new()));
        let (dropped, losses) = mpsc::channel();
        let (fresh, finish) = (Arc::new(Notify::new()), CancellationToken::new());
        let parts = Parts {
            gateway: self.config.gateway.clone(),
            collector: self.config.collector.clone().context("a collector is configured")?,
            data_dir: self.config.data_dir.clone(),
            store,
            board: Arc::clone(&board),
            fresh: Arc::clone(&fresh),
            dropped,
            finish: finish.clone(),
        };
        let life = Arc::clone(&self.life);
        let watched = Uploader::new(parts).watched(move |exchange| life.lock().note(exchange));
        let uploader = tokio::spawn(watched.run());
        self.running = Some(Running { boot_id, spool, board, fresh, finish, dropped: Mutex::new(losses), uploader });
        Ok(())
    }

    /// Makes an entry every so often, until it is dropped.
    pub async fn make_entries(&self, phase: Duration, every: Duration, seed: u64) -> Result<()> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        tokio::time::sleep(phase).await;
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            self.make_entry(every, &mut random)?;
        }
    }

    /// A window of each signal, with a random number of readings.
    fn make_entry(&self, every: Duration, random: &mut ChaCha8Rng) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        let now = running.board.now();
        let start = now.wall.plus_micros(-i64::try_from(every.as_micros()).unwrap_or(i64::MAX));
        let mut records = Vec::with_capacity(SIGNALS.len());
        for (signal, unit) in SIGNALS {
            let value = 20.0 + f64::from(random.next_u32() % 1_000) / 100.0;
            records.push(Record::Window(WindowSummary {
                asset: self.asset.clone(),
                signal: SignalName::new(signal).map_err(|error| anyhow::anyhow!("{error}"))?,
                unit: unit.into(),
                start,
                end: now.wall.max(start.plus_micros(1)),
                count: u64::from(1 + random.next_u32() % 10),
                min: value - 1.0,
                max: value + 1.0,
                mean: value,
                stddev: 0.5,
                first: value - 0.5,
                last: value + 0.5,
                quality: Quality::default(),
                time_quality: now.time_quality,
                correction: false,
            }));
        }
        let readings = entry::readings(&records);
        let payload = entry::encode(&now.stamp(running.boot_id, false), &records)?;
        let mut life = self.life.lock();
        life.readings += readings;
        // As the core does: what a commit is about to move to the spool is counted in one place at a time.
        running.board.core(now, books(life.readings, readings));
        let entries = [NewEntry { lane: Lane(DATA as u8), payload: &payload, units: readings }];
        let append = Append { entries: &entries, checkpoint: Checkpoint::Unchanged, retire: &[], urgent: false };
        let appended = running.spool.append(&append, spool_time(now))?;
        running.board.core(now, books(life.readings, 0));
        let view = running.spool.view();
        let generation = view.iter().find(|generation| generation.ordinal == appended.generation).context("the generation is there")?;
        let stream = StreamId::of(generation.id, DATA);
        let made = Instant::now();
        for seq in appended.spans[DATA].first..appended.spans[DATA].end {
            life.entries += 1;
            life.waiting.insert((stream, seq), made);
        }
        drop(life);
        running.fresh.notify_one();
        Ok(())
    }

    pub fn was_acknowledged(&self) -> bool {
        !self.life.lock().delivered.is_empty()
    }

    pub fn was_heard_within(&self, span: Duration) -> bool {
        let life = self.life.lock();
        life.exchanges.iter().rev().take(20).any(|asked| asked.end == End::Acknowledged && asked.ended().elapsed() <= span)
    }

    /// Entries that are not acknowledged.
    pub fn backlog(&self) -> u64 {
        self.life.lock().waiting.len() as u64
    }

    /// Everything that was made before `moment` is delivered.
    pub fn has_caught_up(&self, moment: Instant) -> bool {
        !self.life.lock().waiting.values().any(|made| *made < moment)
    }

    /// The uploader ends.
    pub fn finish(&self) {
        if let Some(running) = &self.running {
            running.finish.cancel();
            self.life.lock().dropped += running.dropped.lock().try_iter().count() as u64;
        }
    }

    pub fn has_ended(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.uploader.is_finished())
    }

    pub fn life(&self) -> Life {
        self.life.lock().clone()
    }
}

impl Life {
    fn note(&mut self, exchange: &Exchange<'_>) {
        let kind = match (exchange.range, exchange.catch_up) {
            (None, _) => Kind::Heartbeat,
            (Some(_), false) => Kind::Live,
            (Some(_), true) => Kind::CatchUp,
        };
        let acked = exchange.sent + exchange.took;
        let end = match exchange.answer {
            Answer::Ack(ack) => {
                if let (Some(range), Ack::Stored | Ack::Duplicate) = (exchange.range, ack.ack) {
                    let through = ack.acked_through.unwrap_or(0).min(range.last);
                    let covered: Vec<_> =
                        self.waiting.range((exchange.stream, 0)..=(exchange.stream, through)).map(|(key, made)| (*key, *made)).collect();
                    for (key, made) in covered {
                        self.waiting.remove(&key);
                        self.delivered.push(Delivered { made, acked });
                    }
                }
                End::Acknowledged
            }
            Answer::Wait { reason, after: Some(after) } => End::TurnedAway { after: *after, reason: reason.clone() },
            Answer::Wait { reason, after: None } => End::Failed(reason.clone()),
            Answer::Refused { status, detail } => End::Refused(format!("{status} {detail}")),
            Answer::Unwelcome { reason, .. } => End::Refused(reason.clone()),
        };
        self.exchanges.push(Asked { sent: exchange.sent, took: exchange.took, kind, end });
    }
}

fn books(taken: u64, open: u64) -> CoreView {
    let books = Books { taken, open, ..Books::default() };
    CoreView { stats: Stats { readings_total: taken, signals: SIGNALS.len(), books, ..Stats::default() }, ..CoreView::default() }
}

#[cfg(test)]
mod tests {
    use protocol::{BatchAck, SeqRange, Timestamp};

    use super::*;

    #[test]
    fn an_entry_is_delivered_once_and_only_by_an_answer_that_covers_it() {
        let (stream, other, made) = (StreamId(8), StreamId(16), Instant::now());
        let mut life = Life::default();
        for seq in 1..=4 {
            life.waiting.insert((stream, seq), made);
            life.waiting.insert((other, seq), made);
        }
        let mut exchange = |ack: Ack, through: u64, range: Option<(u64, u64)>| {
            let ack = BatchAck {
                stream,
                ack,
                acked_through: Some(through),
                received_at: Timestamp(0),
                hold_ms: 0,
                catch_up_hold_ms: 0,
                wants: Vec::new(),
            };
            let range = range.map(|(first, last)| SeqRange { first, last });
            let answer = Answer::Ack(ack);
            life.note(&Exchange { stream, range, catch_up: false, sent: made, took: Duration::from_millis(5), answer: &answer });
            (life.delivered.len(), life.waiting.len())
        };
        assert_eq!(exchange(Ack::Heartbeat, 4, None), (0, 8));
        assert_eq!(exchange(Ack::Gap { expected: 1 }, 0, Some((1, 2))), (0, 8));
        assert_eq!(exchange(Ack::Stored, 9, Some((1, 2))), (2, 6), "never beyond what was sent");
        assert_eq!(exchange(Ack::Duplicate, 4, Some((1, 4))), (4, 4));
        assert_eq!(exchange(Ack::Duplicate, 4, Some((1, 4))), (4, 4));
    }
}
