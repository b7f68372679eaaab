//! What time it is, as well as this gateway can know it, and what rows that were stamped before it knew are worth afterwards.
//!
//! Stands between the system's clocks (`clock` reads them) and everything that is given a [`Now`]. Machines of this kind boot in 1970, or
//! where they were switched off; the clock is set later, by NTP, by a person, or never. So:
//!
//! ```text
//!                      system clock is sane                          answer of the collector
//!  unset, or known     ---------------------->  follows the system  -------------------------+ far behind it
//!  not to be set: own                           (synced)                                     v
//!  provisional time    --- answer of the collector -------------->  own time (holdover), from the last offset that was known
//!  (unsynced)                                                        ^                       |
//!                               system clock fell below the floor ---+   <-- system is sane -+
//! ```
//! - *Floor*: a moment that has surely passed. It grows with the monotonic clock, and is raised by nothing but what somebody else vouches
//!   for (the collector's authenticated answer, a clock that the system says is synchronised), less [`SLACK_US`]. A wrong clock can't raise it.
//! - *Provisional time*: one fixed offset from the monotonic clock, so that all rows stamped by it are moved by one number later.
//! - *Rebase*: a stamp holds the monotonic clock beside the wall; once the offset of its run is known, `mono + offset - wall` is what its
//!   rows are wrong by.
//!
//! Invariants: `mono_us` never goes back; provisional time never goes back; rows whose stamp is not unsynced are never moved. Pure.

use protocol::{EntryStamp, Record, TimeQuality, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{clock::Now, decode::time::CLOCK_SET};

/// The wall clock against the monotonic one: a change of more than this between two readings is a jump. A leap second is none.
pub const JUMP_US: i64 = 2_000_000;
/// How far two clocks that are both right may differ, the collector's and ours.
pub const SLACK_US: i64 = 300_000_000;
/// 2100-01-01: a clock beyond is as wrong as one in 1970.
const LATEST: Timestamp = Timestamp::from_micros(4_102_444_800_000_000);
/// An answer that took longer says too little of the time.
const LONGEST_ROUND_TRIP_US: u64 = 60_000_000;
/// A learned offset is corrected when it is off by more than this and than the answer's own uncertainty.
const CORRECT_US: i64 = 1_000_000;
/// Runs of which the offset is remembered.
const MAX_RUNS: usize = 16;
/// Events that wait to be told.
const MAX_EVENTS: usize = 16;

/// One reading of the system's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemNow {
    pub wall: Timestamp,
    pub mono_us: u64,
    /// Whether somebody keeps the wall clock right; `None` if that can't be known.
    pub synchronised: Option<bool>,
}

/// One run of the gateway, as far as it matters for what time its rows are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// `boot_id` of its stamps.
    pub id: u64,
    /// Which boot of the kernel it ran in; 0 if that is not known. Runs of one boot share a monotonic clock but for its zero.
    pub kernel: u64,
    /// The kernel's uptime where this run's monotonic clock reads 0.
    pub zero_us: i64,
    /// Its wall time at its first reading.
    pub began: Timestamp,
    /// True time less monotonic time, once that is known.
    pub offset_us: Option<i64>,
}

/// What is kept on disk between runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub floor: Timestamp,
    /// The last few, the newest last.
    pub runs: Vec<Run>,
}

/// Something that belongs into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The system's wall clock moved by so much against the monotonic one.
    Jumped { by_us: i64 },
    /// The time became known; rows of this run that were stamped before are wrong by so much.
    Known { by: Source, shift_us: i64 },
    /// The system's clock can't be believed any more; time runs on from where it was.
    Unbelievable { behind_floor_us: i64 },
    /// The floor was too high: somebody who knows the time says so.
    FloorLowered { by_us: i64 },
}

/// Who told the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    System,
    Collector,
}

/// How the time is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeStatus {
    pub quality: TimeQuality,
    pub jumps_total: u64,
    pub last_jump_us: i64,
    /// Our time less the collector's at its last answer.
    pub skew_us: Option<i64>,
    pub floor: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Wall time is the system's.
    System,
    /// Wall time is the monotonic clock plus this; `known` if that was true when it was set.
    Own { offset_us: i64, known: bool },
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Timeline {
    run: Run,
    earlier: Vec<Run>,
    /// The floor when the monotonic clock read `floor_mono_us`.
    floor: Timestamp,
    floor_mono_us: u64,
    /// Provisional time does not begin before this: rows of an earlier run lie there.
    resume_at: Timestamp,
    standing: Option<Standing>,
    quality: TimeQuality,
    /// Monotonic clock and system's offset at the last reading.
    last: Option<(u64, i64)>,
    trusted: bool,
    jumps: u64,
    last_jump_us: i64,
    skew_us: Option<i64>,
    events: Vec<Event>,
}

impl Timeline {
    /// The timeline of run `run` (its `began` and `offset_us` are found out), with what earlier ones left. `built`: no clock before the
    /// program's making is right. `resume_at`: when the last run committed last.
    pub fn new(run: Run, memory: Option<Memory>, built: Timestamp, resume_at: Option<Timestamp>) -> Self {
        let floor = built.max(CLOCK_SET);
        let (floor, earlier) = memory.map_or((floor, Vec::new()), |memory| {
            let kept = if memory.floor < LATEST { floor.max(memory.floor) } else { floor };
            (kept, memory.runs)
        });
        Self {
            run: Run { offset_us: None, ..run },
            earlier,
            floor,
            floor_mono_us: 0,
            resume_at: resume_at.filter(|at| *at < LATEST).unwrap_or(floor),
            standing: None,
            quality: TimeQuality::Unsynced,
            last: None,
            trusted: false,
            jumps: 0,
            last_jump_us: 0,
            skew_us: None,
            events: Vec::new(),
        }
    }

    /// The time at this reading of the system's clocks.
    pub fn now(&mut self, system: SystemNow) -> Now {
        let mono = self.last.map_or(system.mono_us, |(last, _)| last.max(system.mono_us));
        if self.last.is_none() {
            self.floor_mono_us = mono;
        }
        let offset = system.wall.as_micros().saturating_sub(signed(mono));
        let before = self.last.map_or(offset, |(_, before)| before);
        let jumped = offset.saturating_sub(before).saturating_abs() > JUMP_US;
        if jumped {
            self.jumped(offset.saturating_sub(before));
        }
        self.last = Some((mono, offset));

        let plausible = system.wall >= CLOCK_SET && system.wall < LATEST;
        self.trusted = plausible && system.synchronised == Some(true);
        if self.trusted {
            self.vouched(system.wall, mono);
        }
        let floor = self.floor_at(mono);
        let sane = self.trusted || (plausible && system.wall >= floor);
        let set = sane && system.synchronised != Some(false);
        let next = match self.standing {
            None if set => Standing::System,
            None => {
                let begin = if sane { system.wall } else { floor };
                Standing::Own { offset_us: begin.max(self.resume_at).as_micros().saturating_sub(signed(mono)), known: false }
            }
            Some(Standing::System) if sane => Standing::System,
            Some(Standing::System) => {
                self.tell(Event::Unbelievable { behind_floor_us: floor.micros_since(system.wall) });
                Standing::Own { offset_us: before, known: true }
            }
            Some(Standing::Own { .. }) if set => Standing::System,
            // Nobody keeps it right, but somebody has just set it to something sane.
            Some(Standing::Own { known: false, .. }) if sane && jumped => Standing::System,
            Some(own) => own,
        };
        let wall = match next {
            Standing::System => system.wall,
            Standing::Own { offset_us, .. } => Timestamp::from_micros(offset_us.saturating_add(signed(mono))),
        };
        if self.standing.is_none() {
            self.run.began = wall;
        }
        if next == Standing::System && self.standing != Some(Standing::System) {
            self.known(offset, Source::System);
        }
        self.standing = Some(next);
        self.quality = match next {
            Standing::System if system.synchronised == Some(false) => TimeQuality::Holdover,
            Standing::System => TimeQuality::Synced,
            Standing::Own { known: true, .. } => TimeQuality::Holdover,
            Standing::Own { known: false, .. } => TimeQuality::Unsynced,
        };
        Now { wall, mono_us: mono, time_quality: self.quality }
    }

    /// An authenticated answer of the collector: its clock read `collector` at some moment within the `round_trip_us` before `mono_us`.
    /// False if that says nothing.
    pub fn learn(&mut self, collector: Timestamp, round_trip_us: u64, mono_us: u64) -> bool {
        let Some((last, system_offset)) = self.last else { return false };
        if collector < CLOCK_SET || collector >= LATEST || round_trip_us > LONGEST_ROUND_TRIP_US {
            return false;
        }
        let mono = mono_us.max(last);
        let uncertain = signed(round_trip_us / 2);
        let offset = collector.plus_micros(uncertain).as_micros().saturating_sub(signed(mono_us));
        let ours = match self.standing {
            Some(Standing::Own { offset_us, .. }) => offset_us,
            _ => system_offset,
        };
        self.skew_us = Some(ours.saturating_sub(offset));
        // A clock that the system itself vouches for is not corrected from here; the collector tells people of the skew.
        if self.trusted {
            return true;
        }
        self.vouched(collector, mono);
        match self.standing {
            Some(Standing::Own { known: true, offset_us })
                if offset.saturating_sub(offset_us).saturating_abs() > CORRECT_US.max(uncertain) =>
            {
                self.standing = Some(Standing::Own { offset_us: offset, known: true });
                self.run.offset_us = Some(offset);
            }
            Some(Standing::Own { known: false, .. }) => {
                self.known(offset, Source::Collector);
                self.standing = Some(Standing::Own { offset_us: offset, known: true });
                self.quality = TimeQuality::Holdover;
            }
            Some(Standing::System) if offset.saturating_sub(system_offset) > SLACK_US => {
                self.tell(Event::Unbelievable { behind_floor_us: offset.saturating_sub(system_offset) });
                self.standing = Some(Standing::Own { offset_us: offset, known: true });
                self.quality = TimeQuality::Holdover;
            }
            _ => {}
        }
        true
    }

    /// Moves the rows of an entry to the time that they are of, if they were stamped on a provisional timeline of which that is known by now,
    /// and gives the entry's stamp as it then is. What is on the time of the source itself stays.
    #[must_use]
    pub fn rebase(&self, stamp: &EntryStamp, records: &mut [Record]) -> EntryStamp {
        let Some(shift) = self.shift(stamp) else { return *stamp };
        for record in records {
            shift.record(record);
        }
        EntryStamp { wall: stamp.wall.plus_micros(shift.by_us), time_quality: TimeQuality::Holdover, ..*stamp }
    }

    /// The move that what was stamped like this needs; `None` if it needs none, or if it is not known.
    pub fn shift(&self, stamp: &EntryStamp) -> Option<Shift> {
        let (run, offset_us) = self.run_of(stamp).filter(|_| stamp.time_quality == TimeQuality::Unsynced)?;
        let wall = Timestamp::from_micros(offset_us.saturating_add(signed(stamp.mono_us)));
        Some(Shift { began: run.began, stamp: stamp.wall, by_us: wall.micros_since(stamp.wall), inherited: stamp.inherited })
    }

    /// A moment of this run as its time is known now.
    #[must_use]
    pub fn settled(&self, then: Now) -> Now {
        match self.run.offset_us.filter(|_| then.time_quality == TimeQuality::Unsynced) {
            Some(offset) => {
                let wall = Timestamp::from_micros(offset.saturating_add(signed(then.mono_us)));
                Now { wall, time_quality: TimeQuality::Holdover, ..then }
            }
            None => then,
        }
    }

    /// A moment that has surely passed.
    pub fn floor_at(&self, mono_us: u64) -> Timestamp {
        self.floor.plus_micros(signed(mono_us.saturating_sub(self.floor_mono_us)))
    }

    /// What the next run is to know.
    pub fn memory(&self, mono_us: u64) -> Memory {
        let mut runs = self.earlier.clone();
        runs.push(self.run);
        let surplus = runs.len().saturating_sub(MAX_RUNS);
        runs.drain(..surplus);
        Memory { floor: self.floor_at(mono_us), runs }
    }

    pub fn status(&self) -> TimeStatus {
        let mono = self.last.map_or(0, |(mono, _)| mono);
        TimeStatus {
            quality: self.quality,
            jumps_total: self.jumps,
            last_jump_us: self.last_jump_us,
            skew_us: self.skew_us,
            floor: self.floor_at(mono),
        }
    }

    /// What is to be logged; each once.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        }
    }

    fn jumped(&mut self, by_us: i64) {
        self.jumps += 1;
        self.last_jump_us = by_us;
        self.tell(Event::Jumped { by_us });
    }

    /// Somebody who knows says that it is `at`.
    fn vouched(&mut self, at: Timestamp, mono: u64) {
        let floor = self.floor_at(mono);
        if at < floor {
            self.tell(Event::FloorLowered { by_us: floor.micros_since(at) });
        }
        if at < floor || at.plus_micros(-SLACK_US) > floor {
            (self.floor, self.floor_mono_us) = (at.plus_micros(-SLACK_US), mono);
        }
    }

    /// The offset of this run is known, and with it that of every run in the same boot of the kernel.
    fn known(&mut self, offset: i64, by: Source) {
        if let Some(Standing::Own { offset_us, known: false }) = self.standing {
            self.tell(Event::Known { by, shift_us: offset.saturating_sub(offset_us) });
        }
        self.run.offset_us = Some(offset);
        let Run { kernel, zero_us, .. } = self.run;
        for run in self.earlier.iter_mut().filter(|run| kernel != 0 && run.kernel == kernel && run.offset_us.is_none()) {
            run.offset_us = Some(offset.saturating_sub(zero_us).saturating_add(run.zero_us));
        }
    }

    fn run_of(&self, stamp: &EntryStamp) -> Option<(&Run, i64)> {
        let run = std::iter::once(&self.run).chain(&self.earlier).find(|run| run.id == stamp.boot_id)?;
        run.offset_us.map(|offset| (run, offset))
    }
}

/// A move of rows from a provisional timeline to the true one.
#[derive(Debug, Clone, Copy)]
pub struct Shift {
    /// Where the provisional timeline began: what is before it is of another run.
    pub began: Timestamp,
    /// The provisional time at which the rows were made.
    pub stamp: Timestamp,
    pub by_us: i64,
    pub inherited: bool,
}

impl Shift {
    /// Moves what of `record` lies on the provisional timeline.
    pub fn record(&self, record: &mut Record) {
        match record {
            Record::Window(window) if window.time_quality == TimeQuality::Unsynced && window.end > self.began => {
                window.start = window.start.plus_micros(self.by_us);
                window.end = window.end.plus_micros(self.by_us);
                window.time_quality = TimeQuality::Holdover;
            }
            // It may have been entered before the run began, as reckoned back from a time within it.
            Record::State(state) if state.time_quality == TimeQuality::Unsynced && (!self.inherited || state.event_time >= self.began) => {
                state.event_time = state.event_time.plus_micros(self.by_us);
                state.time_quality = TimeQuality::Holdover;
            }
            Record::Parts(parts) if parts.time_quality == TimeQuality::Unsynced && parts.to >= self.began => {
                parts.to = parts.to.plus_micros(self.by_us);
                if parts.from >= self.began {
                    parts.from = parts.from.plus_micros(self.by_us);
                }
                parts.from = parts.from.min(parts.to);
                parts.time_quality = TimeQuality::Holdover;
            }
            Record::Anomaly(anomaly) if self.is_provisional(anomaly.event_time) => {
                anomaly.event_time = anomaly.event_time.plus_micros(self.by_us);
            }
            Record::Loss(loss) => {
                let (from, to) = (self.is_provisional(loss.from), self.is_provisional(loss.to));
                if to {
                    loss.to = loss.to.plus_micros(self.by_us);
                }
                if from {
                    loss.from = loss.from.plus_micros(self.by_us);
                }
                loss.from = loss.from.min(loss.to);
            }
            _ => {}
        }
    }

    /// Moves a moment that is remembered, if it lies on the provisional timeline.
    #[must_use]
    pub fn moment(&self, at: Timestamp) -> Timestamp {
        if self.is_provisional(at) { at.plus_micros(self.by_us) } else { at }
    }

    /// Records without a time quality of their own: what happened shortly before they were written lies near the stamp's provisional time, or,
    /// if the source stamped it, near the true one.
    fn is_provisional(&self, at: Timestamp) -> bool {
        let (provisional, true_time) = (at.micros_since(self.stamp), at.micros_since(self.stamp.plus_micros(self.by_us)));
        at >= self.began && provisional.saturating_abs() <= true_time.saturating_abs()
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
