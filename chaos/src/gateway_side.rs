//! The gateway of a run: core, commits and courier over a simulated disk, as one process that can be ended between any two steps.
//!
//! Does what the program's threads do (`drive`, `commit`, `upload`), one step at a time, whenever the world says so.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gateway::{
    clock::Now,
    commit::{self, Outcome},
    config::Config,
    core::{Commit, Core},
    pipeline,
    source::{Event, Message, Sample},
    timeline::{Memory, Run, SystemNow, Timeline},
    upload::{Answer, Courier, Request, Settings, Step},
};
use protocol::{GatewayId, GatewayStatus, StreamId, TimeQuality, Timestamp};
use spool::{OpenReport, Options, Spool, SpoolError, SpoolTime, simulated::SimDisk};

use crate::{
    fuse::{Fuse, Fused},
    queue::Micros,
    sensors::wall,
};

/// As the program's clock does.
const KEEP_EVERY: Micros = 600_000_000;

/// What a gateway has on disk, and the process that runs on it.
pub struct Gateway {
    pub id: GatewayId,
    pub disk: SimDisk,
    pub fuse: Fuse,
    pub config: Config,
    pub options: Options,
    pub clock: SystemClock,
    /// What it keeps of the time beside its spool.
    pub time: Option<Memory>,
    pub process: Option<Process>,
    pub boots: u64,
}

/// What the machine's own clock is wrong by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemClock {
    pub offset_us: i64,
}

/// A running gateway.
pub struct Process {
    pub spool: Arc<Spool>,
    pub core: Core,
    pub courier: Courier,
    timeline: Timeline,
    /// The last moment that was stamped provisionally, until the core knows better.
    provisional: Option<Now>,
    boot_id: u64,
    started: Now,
    /// The clock was right then.
    began_right: bool,
    last: Now,
    /// When what is kept of the time was written last.
    kept: Micros,
    /// When the request under way was sent.
    asked: Micros,
    /// When it began, in the run's time.
    pub zero: Micros,
    /// Taken from the core and not written yet.
    under_way: Option<Commit>,
    /// Written, and the core does not know.
    outcome: Option<Outcome>,
    /// The first commit has come to its end: sources are open.
    open: bool,
    /// A commit of this process is durable.
    pub left_a_trace: bool,
}

impl Gateway {
    /// Starts the process on what is on disk.
    ///
    /// # Errors
    /// The spool could not be opened.
    pub fn start(&mut self, at: Micros, boot_id: u64) -> Result<OpenReport, SpoolError> {
        let disk = Arc::new(Fused::new(self.disk.clone(), &self.fuse));
        let system = self.read_clock(at, at);
        let (spool, report) = Spool::open(disk, self.options, spool_time(system.wall))?;
        let run = Run { id: boot_id, kernel: 0, zero_us: 0, began: Timestamp::default(), offset_us: None };
        let last_commit = pipeline::committed_at(&spool.checkpoint());
        let mut timeline = Timeline::new(run, self.time.clone(), Timestamp::default(), last_commit);
        let now = timeline.now(system);
        let mut core = Core::new(&self.config, &spool.checkpoint(), now, boot_id);
        for dropped in commit::opened(&spool, &report, now) {
            core.dropped(now, dropped);
        }
        let settings = Settings {
            gateway: self.id.clone(),
            catch_up: self.config.collector.as_ref().map_or(gateway::config::CatchUp::NewestFirst, |c| c.catch_up),
            interval: self.config.collector.as_ref().map_or(Duration::from_secs(1), |c| c.upload_interval),
        };
        self.boots += 1;
        self.process = Some(Process {
            spool: Arc::new(spool),
            core,
            courier: Courier::new(settings),
            timeline,
            provisional: None,
            boot_id,
            started: now,
            began_right: now.time_quality != TimeQuality::Unsynced && self.clock.offset_us.abs() < 100_000,
            last: now,
            kept: at,
            asked: at,
            zero: at,
            under_way: None,
            outcome: None,
            open: false,
            left_a_trace: false,
        });
        Ok(report)
    }

    fn read_clock(&self, at: Micros, zero: Micros) -> SystemNow {
        SystemNow { wall: Timestamp::from_micros(wall(at) + self.clock.offset_us), mono_us: at - zero, synchronised: None }
    }

    /// The time as the gateway knows it. When it becomes known, the core is told before anything else happens.
    pub fn now(&mut self, at: Micros) -> Now {
        let zero = self.process.as_ref().map_or(at, |process| process.zero);
        let system = self.read_clock(at, zero);
        let Some(process) = &mut self.process else {
            return Now { wall: system.wall, mono_us: system.mono_us, time_quality: TimeQuality::Unsynced };
        };
        let now = process.timeline.now(system);
        process.last = now;
        if now.time_quality == TimeQuality::Unsynced {
            process.provisional = Some(now);
        } else if let Some(provisional) = process.provisional.take()
            && let Some(shift) = process.timeline.shift(&provisional.stamp(process.boot_id, false))
        {
            process.core.time_known(now, &shift);
        }
        now
    }

    /// Stamps of now are right, and so was the clock when the process began: a run that begins with a wrong clock can't say until when something
    /// may have been lost before it.
    pub fn is_clock_right(&mut self, at: Micros) -> bool {
        let now = self.now(at);
        let began_right = self.process.as_ref().is_some_and(|process| process.began_right);
        began_right && now.time_quality != TimeQuality::Unsynced && now.wall.micros_since(Timestamp::from_micros(wall(at))).abs() < 100_000
    }

    /// Writes down what is known of the time, as seldom as the program does.
    fn keep_time(&mut self, at: Micros, anyway: bool) {
        if let Some(process) = &mut self.process
            && (anyway || at - process.kept >= KEEP_EVERY)
        {
            process.kept = at;
            self.time = Some(process.timeline.memory(at - process.zero));
        }
    }

    /// A message has come to the broker.
    pub fn message(&mut self, at: Micros, topic: Bytes, payload: Bytes) {
        let received = self.now(at);
        if let Some(process) = &mut self.process {
            process.core.take_in(Sample { source: Config::BROKER, event: Event::Message(Message { topic, payload, received }) });
        }
    }

    /// A poll has come to its end.
    pub fn polled(&mut self, at: Micros, device: usize, result: gateway::decode::modbus::PollResult) {
        let received = self.now(at);
        let source = self.config.device_source(device);
        if let Some(process) = &mut self.process {
            process.core.take_in(Sample { source, event: Event::Poll { device, result, received } });
        }
    }

    /// Lets time pass. True if a commit has been taken and is to be written.
    pub fn tick(&mut self, at: Micros) -> bool {
        let now = self.now(at);
        let Some(process) = &mut self.process else { return false };
        process.core.tick(now);
        self.keep_time(at, false);
        let Some(process) = &mut self.process else { return false };
        if process.under_way.is_some() || process.outcome.is_some() {
            return false;
        }
        process.under_way = process.core.commit_due(now);
        process.under_way.is_some()
    }

    /// Writes the commit that was taken.
    pub fn write(&mut self, at: Micros) {
        let now = self.now(at);
        let Some(process) = &mut self.process else { return };
        if let Some(commit) = process.under_way.take() {
            let outcome = commit::write(&process.spool, commit, now, process.boot_id);
            process.left_a_trace |= matches!(outcome, Outcome::Durable { .. } | Outcome::Partial { .. });
            process.outcome = Some(outcome);
        }
    }

    /// Tells the core what became of it; true if records became durable.
    pub fn settle(&mut self, at: Micros) -> bool {
        let now = self.now(at);
        let Some(process) = &mut self.process else { return false };
        let Some(outcome) = process.outcome.take() else { return false };
        let durable = matches!(outcome, Outcome::Durable { .. });
        process.core.settle(now, outcome);
        process.open = true;
        durable
    }

    /// Messages and polls are taken in.
    pub fn is_open(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.open)
    }

    /// What is to be sent.
    pub fn next(&mut self, at: Micros) -> Option<Step> {
        let now = self.now(at);
        let process = self.process.as_mut()?;
        let status = process.status(now, &self.options);
        let timeline = &process.timeline;
        let step = process.courier.next(&process.spool, now, status, &|stamp, records| timeline.rebase(stamp, records));
        if matches!(step, Step::Send(_)) {
            process.asked = at;
        }
        Some(step)
    }

    /// An answer has come, or will not come.
    pub fn answered(&mut self, at: Micros, answer: Answer, random: f64) {
        if let (Some(process), Answer::Ack(ack)) = (&mut self.process, &answer) {
            process.timeline.learn(ack.received_at, at - process.asked, at - process.zero);
        }
        let now = self.now(at);
        let Some(process) = &mut self.process else { return };
        for dropped in process.courier.answered(&process.spool, now, answer, random) {
            process.core.dropped(now, dropped);
        }
        let _ = process.courier.take_dead_letters();
    }

    /// Ends in order: the last commit, then the spool is closed. False if it could not be written.
    pub fn finish(&mut self, at: Micros) -> bool {
        let mut durable = false;
        // A few tries, as a stopping service has them within its patience.
        for attempt in 0..3 {
            let later = at + attempt * 2_000_000;
            if self.process.as_ref().is_some_and(|process| process.under_way.is_some()) {
                self.write(later);
            }
            if self.process.as_ref().is_some_and(|process| process.outcome.is_some()) {
                self.settle(later);
            }
            let now = self.now(later);
            let Some(process) = &mut self.process else { return false };
            let commit = process.core.finish(now);
            process.under_way = Some(commit);
            self.write(later);
            durable = self.settle(later);
            if durable {
                break;
            }
        }
        if let Some(process) = &self.process {
            process.spool.flush();
        }
        self.keep_time(at, true);
        self.process = None;
        durable
    }

    /// Everything is with the collector, as far as this side knows.
    pub fn is_drained(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            let stats = process.core.stats();
            let idle = stats.open_windows == 0 && stats.held_back == 0 && stats.pending_records == 0;
            let written = process.under_way.is_none() && process.outcome.is_none();
            idle && written && process.spool.view().iter().all(spool::GenerationView::acknowledged)
        })
    }

    pub fn boot_id(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.boot_id)
    }
}

impl Process {
    /// The time when it was last read.
    pub fn last_read(&self) -> Now {
        self.last
    }

    fn status(&self, now: Now, options: &Options) -> GatewayStatus {
        let stats = self.core.stats();
        let running_us = i64::try_from(now.mono_us - self.started.mono_us).unwrap_or(i64::MAX);
        GatewayStatus {
            boot_id: self.boot_id,
            started_at: now.wall.plus_micros(-running_us),
            version: "sim".into(),
            time_quality: now.time_quality,
            readings_total: stats.readings_total,
            dropped_total: stats.dropped_total,
            duplicates_total: stats.duplicates_total,
            signals: stats.signals as u64,
            spool_bytes: self.spool.room().used,
            books: self.core.books(),
            spool_max_bytes: options.max_bytes,
            durable: true,
            ..GatewayStatus::default()
        }
    }
}

/// The spool's clock.
pub fn spool_time(wall: Timestamp) -> SpoolTime {
    SpoolTime(u64::try_from(wall.as_micros()).unwrap_or(0))
}

/// A request as the world carries it.
#[derive(Debug, Clone)]
pub struct Carried {
    pub body: Arc<Vec<u8>>,
    pub stream: StreamId,
    pub heartbeat: bool,
}

impl From<Request> for Carried {
    fn from(request: Request) -> Self {
        Self { stream: request.stream, heartbeat: request.range.is_none(), body: Arc::new(request.body) }
    }
}
