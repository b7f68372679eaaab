//! The collectors' events: they start, take batches, commit to the lake step by step, and stop.
//!
//! Around `collector_side`, which is the process. Invariant: each step of a commit is an event of its own, so that a stop may come between.

use super::{Epoch, Event, Mutation, World, network::OnWire};
use crate::{
    collector_side::{self, ALL_TABLES, Bugs, Collector},
    network::Return,
    plan::{Side, Step, Stop, What},
    queue::{MILLISECOND, Micros, SECOND},
};
use spool::simulated::{Image, SimDisk};

/// With [`Mutation::EarlyAck`] the journal is written so much later than the answer.
const LATE_JOURNAL: Micros = 2 * SECOND;

pub(super) struct Site {
    pub(super) collector: Collector,
    pub(super) epoch: Epoch,
    pub(super) inbox: Vec<(u64, bool, Vec<u8>)>,
    pub(super) turning: bool,
    pub(super) starting: bool,
    /// With [`Mutation::EarlyAck`]: what was on disk before the last batches were acknowledged.
    pub(super) before: Option<(Image, Micros)>,
}

impl World {
    pub(super) fn add_site(&mut self, disk: SimDisk) {
        let shared = self.plan.has(|what| matches!(what, What::SecondCollector { .. }));
        let patience = if shared { i64::try_from(2 * self.plan.lake_interval + 30 * SECOND).unwrap_or(i64::MAX) } else { 0 };
        let pacing = ::collector::pacing::Pacing { elsewhere_patience_us: patience, ..Default::default() };
        disk.skip_sync(self.mutation == Some(Mutation::SkipSync));
        let bugs = Bugs { no_ledger: self.mutation == Some(Mutation::NoLedger) };
        let collector = Collector::new(disk, pacing, bugs);
        self.sites.push(Site { collector, epoch: 0, inbox: Vec::new(), turning: false, starting: true, before: None });
    }

    pub(super) fn start_collector(&mut self, site: usize) {
        self.sites[site].starting = false;
        if self.sites[site].collector.process.is_some() {
            return;
        }
        let now = self.wall();
        let Site { collector, epoch, inbox, turning, before, .. } = &mut self.sites[site];
        collector.fuse.renew();
        if let Some(wired) = self.wired.get(&Side::Collector).filter(|_| site == self.active) {
            collector.fuse.set(wired.operations);
        }
        *epoch += 1;
        (*turning, *before) = (false, None);
        inbox.clear();
        let epoch = *epoch;
        let started = collector.start(now, &self.lake);
        if self.blown_site(site) {
            return;
        }
        if let Err(error) = started {
            self.note("collector", "can't start", [site as u64, 0, 0]);
            if self.trace.prints() {
                println!("{error}");
            }
            self.sites[site].collector.end();
            self.come_back_site(site, 2 * SECOND);
            return;
        }
        self.note("collector", "starts", [site as u64, 0, 0]);
        let wait = self.schedule.between(MILLISECOND, self.plan.lake_interval);
        self.put(self.now + wait, Event::LakeTimer(site, epoch));
    }

    pub(super) fn arrive(&mut self, id: u64, body: &[u8], cut: Option<usize>, first: bool) {
        self.figures.arrivals += 1;
        let site = self.active;
        if self.sites[site].collector.process.is_none() {
            if first {
                self.broken(id);
            }
            return;
        }
        let bytes = body[..cut.unwrap_or(body.len()).min(body.len())].to_vec();
        self.sites[site].inbox.push((id, first, bytes));
        if !std::mem::replace(&mut self.sites[site].turning, true) {
            let epoch = self.sites[site].epoch;
            self.soon(10, 5 * MILLISECOND, Event::Turn(site, epoch));
        }
    }

    pub(super) fn turn(&mut self, site: usize) {
        let now = self.wall();
        let early = self.mutation == Some(Mutation::EarlyAck);
        let Site { collector, inbox, turning, before, .. } = &mut self.sites[site];
        *turning = false;
        let requests = std::mem::take(inbox);
        if early {
            *before = Some((collector.disk.snapshot(), self.now));
        }
        let bodies: Vec<Vec<u8>> = requests.iter().map(|(_, _, body)| body.clone()).collect();
        let taken = collector.take(now, &bodies).unwrap_or_default();
        let waiting: Vec<u64> = requests.iter().filter(|(_, first, _)| *first).map(|(id, ..)| *id).collect();
        if self.blown_site(site) {
            waiting.into_iter().for_each(|id| self.broken(id));
            return;
        }
        self.note("collector", "takes", [taken.stored, taken.duplicates, taken.gaps]);
        self.figures.duplicates += taken.duplicates;
        self.figures.gaps += taken.gaps;
        self.figures.refused += taken.refused;
        self.newest_stored = self.newest_stored.max(taken.newest);
        if taken.stored > 0 && !early && self.hit_site(site, Step::Journaled) {
            waiting.into_iter().for_each(|id| self.broken(id));
            return;
        }
        for ((id, first, _), answer) in requests.into_iter().zip(taken.answers) {
            let Some(flight) = self.flights.get(&id).filter(|_| first) else { continue };
            let (epoch, after) = (flight.epoch, flight.answer_after);
            let answer = match flight.answer {
                Return::Whole => OnWire::Answer(answer),
                Return::Cut(bytes) if answer.status == 200 => {
                    let body = answer.body[..bytes.min(answer.body.len().saturating_sub(1))].to_vec();
                    OnWire::Answer(collector_side::Answer { body, ..answer })
                }
                Return::Cut(_) => OnWire::Broken,
                Return::Lost => continue,
            };
            self.put(self.now + after, Event::Answered { epoch, id, answer });
        }
        if taken.stored > 0 && early {
            self.hit_site(site, Step::Journaled);
        }
    }

    pub(super) fn lake_timer(&mut self, site: usize) {
        let (now, epoch) = (self.wall(), self.sites[site].epoch);
        let shared = self.sites.len() > 1;
        let Some(process) = &mut self.sites[site].collector.process else { return };
        if shared {
            process.look_at_lake(&self.lake, now);
        }
        if self.lake_down == 0 && process.freeze() {
            self.soon(MILLISECOND, 50 * MILLISECOND, Event::Table(site, epoch, ALL_TABLES.start));
        } else {
            self.put(self.now + self.plan.lake_interval, Event::LakeTimer(site, epoch));
        }
    }

    pub(super) fn commit_table(&mut self, site: usize, table: usize) {
        let epoch = self.sites[site].epoch;
        if self.lake_down > 0 {
            // What could not be stored stays, and goes with the next commit.
            self.put(self.now + self.plan.lake_interval, Event::LakeTimer(site, epoch));
            return;
        }
        let Some(process) = &mut self.sites[site].collector.process else { return };
        let rows = process.commit_table(table, &mut self.lake);
        if rows > 0 {
            self.note("collector", "table committed", [site as u64, table as u64, rows as u64]);
            if self.hit_site(site, Step::TableCommitted) {
                return;
            }
        }
        if table + 1 < ALL_TABLES.end {
            self.soon(100, 20 * MILLISECOND, Event::Table(site, epoch, table + 1));
            return;
        }
        if let Some(process) = &mut self.sites[site].collector.process {
            process.tables_done();
        }
        if !self.hit_site(site, Step::LakeCommitted) {
            self.soon(100, 10 * MILLISECOND, Event::WriteStore(site, epoch));
        }
    }

    pub(super) fn write_store(&mut self, site: usize) {
        let Collector { process, store, .. } = &mut self.sites[site].collector;
        if let Some(process) = process {
            process.write_store(store);
        }
        if !self.hit_site(site, Step::StoreWritten) {
            let epoch = self.sites[site].epoch;
            self.soon(100, 10 * MILLISECOND, Event::Release(site, epoch));
        }
    }

    pub(super) fn release(&mut self, site: usize) {
        let Some(process) = &mut self.sites[site].collector.process else { return };
        let released = process.release();
        if self.blown_site(site) {
            return;
        }
        if released.is_err() {
            self.note("collector", "journal can't let go", [site as u64, 0, 0]);
        }
        let epoch = self.sites[site].epoch;
        self.put(self.now + self.plan.lake_interval, Event::LakeTimer(site, epoch));
    }

    pub(super) fn stop_site(&mut self, site: usize, stop: Stop) {
        self.count_stop(stop);
        let what = match stop {
            Stop::Clean => "stopped in order",
            Stop::Kill => "killed",
            Stop::PowerCut => "without power",
        };
        self.note("collector", what, [site as u64, 0, 0]);
        let now = self.now;
        let Site { collector, epoch, before, inbox, .. } = &mut self.sites[site];
        let waiting: Vec<u64> = inbox.drain(..).filter(|(_, first, _)| *first).map(|(id, ..)| id).collect();
        *epoch += 1;
        match stop {
            Stop::Clean => collector.end(),
            Stop::Kill => {
                collector.disk.kill();
                collector.end();
            }
            Stop::PowerCut => {
                collector.disk.power_cut();
                collector.end();
            }
        }
        if let Some((image, at)) = before.take()
            && stop != Stop::Clean
            && now - at < LATE_JOURNAL
        {
            // The journal had not been written when the answer left.
            collector.disk.restore(&image);
        }
        waiting.into_iter().for_each(|id| self.broken(id));
    }
}
