//! The only place of the gateway that reads a clock; everything else is given a [`Now`].
//!
//! A [`Clock`] joins the system's clocks with the [`Timeline`] that makes the best of them, keeps the timeline's memory in a file
//! (`time_floor`), and writes to the log what happened to the time. Everybody who needs the time shares one.
//!
//! Invariant: `mono_us` never goes back within a process and means nothing in another one; `wall` may jump in either direction, and
//! `time_quality` says how far it can be trusted.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use protocol::{EntryStamp, Record, TimeQuality, Timestamp};

use crate::{
    sequence::text_id,
    time_floor,
    timeline::{Event, Run, Shift, SystemNow, TimeStatus, Timeline},
};

/// What systemd-timesyncd makes when it has set the clock, and its folder, which is there whenever it runs.
const WITNESS: &str = "/run/systemd/timesync/synchronized";
/// How often the witness is looked for.
const WITNESS_EVERY_US: u64 = 1_000_000;
/// The memory is written at most this often, but for news.
const WRITE_EVERY_US: u64 = 600_000_000;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall time as well as it is known; may jump.
    pub wall: Timestamp,
    /// Microseconds on a clock that only runs forward, from an arbitrary zero in this process.
    pub mono_us: u64,
    /// How well the wall time is known.
    pub time_quality: TimeQuality,
}

impl Now {
    /// A moment whose time is known well.
    pub const fn synced(wall: Timestamp, mono_us: u64) -> Self {
        Self { wall, mono_us, time_quality: TimeQuality::Synced }
    }

    /// This moment after `pause` on both clocks.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        let wall = self.wall.plus_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        Self { wall, mono_us: self.mono_us.saturating_add(micros), ..self }
    }

    /// The stamp of an entry made at this moment in run `boot_id`.
    pub fn stamp(self, boot_id: u64, inherited: bool) -> EntryStamp {
        EntryStamp { boot_id, mono_us: self.mono_us, wall: self.wall, time_quality: self.time_quality, inherited }
    }
}

/// Where the time is read: the machine's clocks, or those of a test.
#[derive(Clone)]
pub struct System {
    pub read: Arc<dyn Fn() -> SystemNow + Send + Sync>,
    /// Which boot of the kernel this is; 0 if that can't be known.
    pub kernel: u64,
    /// The kernel's uptime where `mono_us` is 0.
    pub zero_us: i64,
}

impl System {
    /// The machine's own clocks.
    pub fn machine() -> Self {
        let (kernel, zero_us) = *kernel();
        let witness = Mutex::new((None, None));
        let read = move || {
            let mono_us = mono();
            let mut witness = witness.lock().unwrap_or_else(PoisonError::into_inner);
            let (looked_at, synchronised) = &mut *witness;
            if looked_at.is_none_or(|at: u64| mono_us.saturating_sub(at) >= WITNESS_EVERY_US) {
                (*looked_at, *synchronised) = (Some(mono_us), synchronised_by(Path::new(WITNESS)));
            }
            SystemNow { wall: wall(), mono_us, synchronised: *synchronised }
        };
        Self { read: Arc::new(read), kernel, zero_us }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::machine()
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Clock {
    system: System,
    /// Where the timeline's memory is kept.
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    timeline: Timeline,
    /// When the memory was last written (monotonic); `None`: there is news.
    written_us: Option<u64>,
    failing: bool,
}

impl Clock {
    /// The clock of run `boot_id`, with what earlier runs left in `data_dir`. `last_commit`: when the spool was last written to.
    pub fn open(data_dir: &Path, boot_id: u64, last_commit: Option<Timestamp>, system: System) -> Self {
        let file = data_dir.join(time_floor::FILE);
        let memory = time_floor::read(&file).unwrap_or_else(|error| {
            tracing::error!(%error, file = %file.display(), "the floor of known time is not usable; going on without it");
            None
        });
        let run = Run { id: boot_id, kernel: system.kernel, zero_us: system.zero_us, began: Timestamp::default(), offset_us: None };
        let timeline = Timeline::new(run, memory, built(), last_commit);
        let clock = Self { system, file, state: Mutex::new(State { timeline, written_us: None, failing: false }) };
        let now = clock.now();
        if now.time_quality == TimeQuality::Unsynced {
            tracing::warn!("the clock is not set, or not known to be: rows are stamped provisionally until the time is known");
        }
        clock
    }

    /// Reads the clocks.
    pub fn now(&self) -> Now {
        let mut state = self.lock();
        // Under the lock, so that readings come in the order in which they were made.
        let now = state.timeline.now((self.system.read)());
        self.tell(&mut state);
        now
    }

    /// Takes the time from an authenticated answer of the collector, which came `round_trip` after it was asked for.
    pub fn learn(&self, collector: Timestamp, round_trip: Duration) {
        let mut state = self.lock();
        let now = state.timeline.now((self.system.read)());
        let round_trip_us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        state.timeline.learn(collector, round_trip_us, now.mono_us);
        self.tell(&mut state);
    }

    /// See [`Timeline::rebase`].
    #[must_use]
    pub fn rebase(&self, stamp: &EntryStamp, records: &mut [Record]) -> EntryStamp {
        if stamp.time_quality == TimeQuality::Unsynced { self.lock().timeline.rebase(stamp, records) } else { *stamp }
    }

    /// See [`Timeline::shift`].
    pub fn shift(&self, stamp: &EntryStamp) -> Option<Shift> {
        self.lock().timeline.shift(stamp)
    }

    /// A moment of this run as its time is known now.
    #[must_use]
    pub fn settled(&self, then: Now) -> Now {
        if then.time_quality == TimeQuality::Unsynced { self.lock().timeline.settled(then) } else { then }
    }

    pub fn status(&self) -> TimeStatus {
        self.lock().timeline.status()
    }

    /// The time by which certificates are judged: while it is not known, only what has surely passed.
    pub fn certificate_time(&self) -> Timestamp {
        let now = self.now();
        match now.time_quality {
            TimeQuality::Unsynced => self.status().floor,
            _ => now.wall,
        }
    }

    pub fn is_known(&self) -> bool {
        self.now().time_quality != TimeQuality::Unsynced
    }

    /// Writes the memory down if its time has come, or `anyway`. Blocks on the disk.
    pub fn keep(&self, anyway: bool) {
        let now = self.now();
        let memory = {
            let mut state = self.lock();
            let due = state.written_us.is_none_or(|at| now.mono_us.saturating_sub(at) >= WRITE_EVERY_US);
            if !due && !anyway {
                return;
            }
            state.written_us = Some(now.mono_us);
            state.timeline.memory(now.mono_us)
        };
        let result = time_floor::write(&self.file, &memory);
        let mut state = self.lock();
        match result {
            Ok(()) => state.failing = false,
            Err(error) if !std::mem::replace(&mut state.failing, true) => {
                tracing::warn!(%error, file = %self.file.display(), "the floor of known time can't be written");
            }
            Err(_) => {}
        }
    }

    fn tell(&self, state: &mut State) {
        for event in state.timeline.take_events() {
            match event {
                Event::Jumped { by_us } => tracing::warn!(by_s = by_us as f64 / 1e6, "the system's clock jumped"),
                Event::Known { by, shift_us } => {
                    tracing::info!(?by, shift_s = shift_us as f64 / 1e6, "the time is known: rows stamped before are moved by this");
                    state.written_us = None;
                }
                Event::Unbelievable { behind_floor_us } => {
                    let behind_s = behind_floor_us as f64 / 1e6;
                    tracing::error!(behind_s, "the system's clock is behind what is known to have passed; time runs on without it");
                }
                Event::FloorLowered { by_us } => {
                    tracing::warn!(by_s = by_us as f64 / 1e6, "the floor of known time was too high");
                    state.written_us = None;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When this program was made, if its build said so.
fn built() -> Timestamp {
    let seconds = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

/// Whether somebody keeps the clock right; `None` if the service that would say so does not run.
fn synchronised_by(witness: &Path) -> Option<bool> {
    if witness.exists() {
        return Some(true);
    }
    witness.parent().is_some_and(Path::exists).then_some(false)
}

#[expect(clippy::disallowed_methods, reason = "the clock of this crate")]
fn wall() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

fn mono() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Which boot of the kernel this is, and its uptime where this process's monotonic clock reads 0.
fn kernel() -> &'static (u64, i64) {
    static KERNEL: OnceLock<(u64, i64)> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let read = |path| std::fs::read_to_string(path).ok();
        let uptime = read("/proc/uptime").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        let boot = read("/proc/sys/kernel/random/boot_id");
        match (boot, uptime) {
            #[expect(clippy::cast_possible_truncation, reason = "an uptime in microseconds fits for 290,000 years")]
            (Some(boot), Some(uptime)) => (text_id(boot.trim()), (uptime * 1e6) as i64 - i64::try_from(mono()).unwrap_or(0)),
            _ => (0, 0),
        }
    })
}

/// Bytes that this process has caused to be written to storage since it started; `None` where the system does not say.
pub fn bytes_written() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_witness_says_whether_somebody_keeps_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        let witness = dir.path().join("timesync/synchronized");
        assert_eq!(synchronised_by(&witness), None);
        std::fs::create_dir(dir.path().join("timesync")).unwrap();
        assert_eq!(synchronised_by(&witness), Some(false));
        std::fs::write(&witness, "").unwrap();
        assert_eq!(synchronised_by(&witness), Some(true));
    }

    #[test]
    fn the_machines_clock_runs_forward() {
        let system = System::machine();
        let (first, second) = ((system.read)(), (system.read)());
        assert!(second.mono_us >= first.mono_us && first.wall > crate::decode::time::CLOCK_SET);
        assert_eq!(*kernel(), *kernel());
    }

    #[test]
    fn a_floor_outlives_the_run_and_a_damaged_one_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let at = |wall: i64| System {
            read: Arc::new(move || SystemNow { wall: Timestamp::from_micros(wall), mono_us: 0, synchronised: Some(true) }),
            kernel: 0,
            zero_us: 0,
        };
        let then = 1_790_000_000_000_000;
        Clock::open(dir.path(), 1, None, at(then)).keep(false);
        let unset = || System {
            read: Arc::new(|| SystemNow { wall: Timestamp::from_micros(0), mono_us: 0, synchronised: None }),
            kernel: 0,
            zero_us: 0,
        };
        let clock = Clock::open(dir.path(), 2, None, unset());
        assert_eq!(clock.now().wall, Timestamp::from_micros(then - crate::timeline::SLACK_US));
        assert!(!clock.is_known());
        std::fs::write(dir.path().join(time_floor::FILE), "nonsense").unwrap();
        let clock = Clock::open(dir.path(), 3, None, unset());
        assert_eq!(clock.now().wall, crate::decode::time::CLOCK_SET.max(built()));
    }
}
