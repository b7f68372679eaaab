//! Power over time: what a meter recorded, as pieces that never overlap.
//!
//! Stands between a meter's rows and everything that asks for the energy of a stretch of time. Pure.
//!
//! Invariants: pieces are in order and disjoint; what no piece covers is a hole and has no energy. Pieces depend on the recorded rows alone, never
//! on the period asked for, so the energies of two neighbouring periods add up to that of both. The order in which rows came does not matter.
//!
//! How a piece is made:
//! - a window's mean stands for the whole window. Several summaries of one window are averaged by their counts, as are windows that overlap;
//! - two readings of power make a straight line between them (trapezoid);
//! - two values of a cumulative counter make their difference, spread evenly.
//!
//! A distance up to `max_step_s` is measurement. Up to `max_interpolation_s` it is bridged, and counted as interpolated. A longer one is a hole; if a
//! counter went on over it, the energy is known but not when it was used: it is kept apart as *undated* and shared out by time.

use super::meter::{Meter, MeterNotes, MeterSettings, PowerWindow};
use protocol::TimeRange;

/// How a piece is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Measured,
    Interpolated,
    /// From a counter over a hole: in sum, not in time.
    Undated,
}

/// Power in kW over `[from, to)`, a straight line from `kw_from` to `kw_to`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    pub from: i64,
    pub to: i64,
    pub kw_from: f64,
    pub kw_to: f64,
    pub source: Source,
}

/// Microseconds of an hour.
pub(super) const HOUR_US: f64 = 3.6e9;

impl Piece {
    pub fn micros(&self) -> i64 {
        self.to - self.from
    }

    pub fn mean_kw(&self) -> f64 {
        f64::midpoint(self.kw_from, self.kw_to)
    }

    pub fn kwh(&self) -> f64 {
        self.mean_kw() * self.micros() as f64 / HOUR_US
    }

    fn at(&self, t: i64) -> f64 {
        let share = (t - self.from) as f64 / self.micros() as f64;
        self.kw_from + (self.kw_to - self.kw_from) * share
    }

    fn clipped(&self, from: i64, to: i64) -> Self {
        let (from, to) = (self.from.max(from), self.to.min(to));
        Self { from, to, kw_from: self.at(from), kw_to: self.at(to), source: self.source }
    }
}

/// What was used in a stretch of time, and how well that is known. Neighbouring stretches add up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Used {
    /// Measured and interpolated.
    pub kwh: f64,
    pub interpolated_kwh: f64,
    /// On top of `kwh`.
    pub undated_kwh: f64,
    pub measured_us: i64,
    pub interpolated_us: i64,
    pub total_us: i64,
}

impl Used {
    pub fn known_us(&self) -> i64 {
        self.measured_us + self.interpolated_us
    }

    /// Share of the time for which there is power, interpolated included.
    pub fn known_share(&self) -> f64 {
        if self.total_us > 0 { self.known_us() as f64 / self.total_us as f64 } else { 0.0 }
    }
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.kwh += other.kwh;
        self.interpolated_kwh += other.interpolated_kwh;
        self.undated_kwh += other.undated_kwh;
        self.measured_us += other.measured_us;
        self.interpolated_us += other.interpolated_us;
        self.total_us += other.total_us;
    }
}

/// The power of one meter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    pieces: Vec<Piece>,
}

impl Profile {
    /// From rows that were checked.
    pub(super) fn new(meter: &Meter, settings: &MeterSettings) -> (Self, MeterNotes) {
        let mut notes = MeterNotes::default();
        let pieces = match meter {
            Meter::Windows { unit, windows } => {
                let scaled = windows.iter().map(|w| PowerWindow { mean: w.mean * unit.kw(), ..*w }).collect();
                bridged(from_windows(scaled, settings, &mut notes), settings)
            }
            Meter::Readings { unit, readings } => {
                let points = readings.iter().map(|r| (r.at.0.as_micros(), r.value * unit.kw())).collect();
                from_readings(points, settings, &mut notes)
            }
            Meter::Counter { unit, readings, wraps_at } => {
                let points = readings.iter().map(|r| (r.at.0.as_micros(), r.value * unit.kwh())).collect();
                from_counter(points, wraps_at.map(|w| w * unit.kwh()), settings, &mut notes)
            }
        };
        (Self { pieces }, notes)
    }

    /// The pieces of `range`, cut to it.
    pub fn pieces(&self, range: TimeRange) -> impl Iterator<Item = Piece> + '_ {
        let (from, to) = (range.from.as_micros(), range.to.as_micros());
        let first = self.pieces.partition_point(|p| p.to <= from);
        self.pieces[first..].iter().take_while(move |p| p.from < to).map(move |p| p.clipped(from, to)).filter(|p| p.from < p.to)
    }

    /// The energy of `range`.
    pub fn used(&self, range: TimeRange) -> Used {
        let mut used = Used { total_us: range.to.micros_since(range.from).max(0), ..Used::default() };
        for piece in self.pieces(range) {
            match piece.source {
                Source::Measured => {
                    used.kwh += piece.kwh();
                    used.measured_us += piece.micros();
                }
                Source::Interpolated => {
                    used.kwh += piece.kwh();
                    used.interpolated_kwh += piece.kwh();
                    used.interpolated_us += piece.micros();
                }
                Source::Undated => used.undated_kwh += piece.kwh(),
            }
        }
        used
    }

    /// What of `range` has no power that is known in time.
    pub fn holes(&self, range: TimeRange) -> Vec<TimeRange> {
        let mut holes = Vec::new();
        let mut at = range.from.as_micros();
        let mut push = |from: i64, to: i64| {
            if from < to {
                let instant = protocol::Timestamp::from_micros;
                holes.push(TimeRange { from: instant(from), to: instant(to) });
            }
        };
        for piece in self.pieces(range).filter(|p| p.source != Source::Undated) {
            push(at, piece.from);
            at = piece.to;
        }
        push(at, range.to.as_micros());
        holes
    }
}

fn from_windows(mut windows: Vec<PowerWindow>, settings: &MeterSettings, notes: &mut MeterNotes) -> Vec<Piece> {
    windows.retain(|w| plausible(w.mean, settings, notes));
    windows.sort_by(|a, b| {
        (a.from.0, a.to.0, a.count).cmp(&(b.from.0, b.to.0, b.count)).then_with(|| a.mean.total_cmp(&b.mean)) // the same sum in any order of arrival
    });
    let mut edges: Vec<i64> = windows.iter().flat_map(|w| [w.from.0.as_micros(), w.to.0.as_micros()]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut pieces: Vec<Piece> = Vec::with_capacity(windows.len());
    let mut next = 0;
    let mut active: Vec<&PowerWindow> = Vec::new();
    for edge in edges.windows(2) {
        let (from, to) = (edge[0], edge[1]);
        active.retain(|w| w.to.0.as_micros() > from);
        while let Some(w) = windows.get(next).filter(|w| w.from.0.as_micros() <= from) {
            active.push(w);
            next += 1;
        }
        let Some(first) = active.first() else { continue };
        if active.iter().any(|w| (w.from, w.to) != (first.from, first.to)) {
            notes.overlapping_windows += 1;
        }
        // Weighted by how dense the readings lie, so that two halves of one window's readings make the mean of all.
        let density = |w: &PowerWindow| w.count as f64 / (w.to.0.micros_since(w.from.0)) as f64;
        let weight: f64 = active.iter().map(|w| density(w)).sum();
        let kw = if active.len() == 1 { first.mean } else { active.iter().map(|w| w.mean * (density(w) / weight)).sum() };
        pieces.push(Piece { from, to, kw_from: kw, kw_to: kw, source: Source::Measured });
    }
    pieces
}

/// Fills short distances between windows with a straight line.
fn bridged(pieces: Vec<Piece>, settings: &MeterSettings) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if let Some(before) = all.last().copied() {
            let gap = piece.from - before.to;
            if gap > 0 && gap <= settings.interpolation_us() {
                let bridge =
                    Piece { from: before.to, to: piece.from, kw_from: before.kw_to, kw_to: piece.kw_from, source: Source::Interpolated };
                all.push(bridge);
            }
        }
        all.push(piece);
    }
    all
}

fn from_readings(mut points: Vec<(i64, f64)>, settings: &MeterSettings, notes: &mut MeterNotes) -> Vec<Piece> {
    points.retain(|(_, kw)| plausible(*kw, settings, notes));
    points.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1)));
    let mut single: Vec<(i64, f64)> = Vec::with_capacity(points.len());
    for same in points.chunk_by(|a, b| a.0 == b.0) {
        notes.repeated_times += same.len() as u64 - 1;
        single.push((same[0].0, same.iter().map(|p| p.1).sum::<f64>() / same.len() as f64));
    }
    let mut pieces = Vec::with_capacity(single.len());
    for pair in single.windows(2) {
        let (from, to) = (pair[0].0, pair[1].0);
        let source = match to - from {
            gap if gap <= settings.step_us() => Source::Measured,
            gap if gap <= settings.interpolation_us() => Source::Interpolated,
            _ => continue,
        };
        pieces.push(Piece { from, to, kw_from: pair[0].1, kw_to: pair[1].1, source });
    }
    pieces
}

fn from_counter(mut points: Vec<(i64, f64)>, wraps_at: Option<f64>, settings: &MeterSettings, notes: &mut MeterNotes) -> Vec<Piece> {
    points.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1)));
    let mut single: Vec<(i64, f64)> = Vec::with_capacity(points.len());
    for same in points.chunk_by(|a, b| a.0 == b.0) {
        notes.repeated_times += same.len() as u64 - 1;
        single.push(same[same.len() - 1]);
    }
    let mut pieces = Vec::with_capacity(single.len());
    for pair in single.windows(2) {
        let ((from, before), (to, now)) = (pair[0], pair[1]);
        let hours = (to - from) as f64 / HOUR_US;
        let Some(kwh) = counted(before, now, hours, wraps_at, settings, notes) else { continue };
        let kw = kwh / hours;
        if !plausible(kw, settings, notes) {
            continue;
        }
        let source = match to - from {
            gap if gap <= settings.step_us() => Source::Measured,
            gap if gap <= settings.interpolation_us() => Source::Interpolated,
            _ => Source::Undated,
        };
        pieces.push(Piece { from, to, kw_from: kw, kw_to: kw, source });
    }
    pieces
}

/// The energy between two values of a counter. A lower value is a wrap if the counter was in the last tenth of its range and is in the first tenth
/// now. It is a new beginning if it shows at most a tenth of before, or no more than `max_power_kw` can have used since; then what it shows has been
/// used since, at least. Otherwise the counter ran backwards, and the energy is not known.
fn counted(before: f64, now: f64, hours: f64, wraps_at: Option<f64>, settings: &MeterSettings, notes: &mut MeterNotes) -> Option<f64> {
    if now >= before {
        return Some(now - before);
    }
    if let Some(modulus) = wraps_at.filter(|m| before >= 0.9 * m && before <= *m && now < 0.1 * m) {
        notes.wraps += 1;
        return Some(modulus - before + now);
    }
    if now <= before / 10.0 || settings.max_power_kw.is_some_and(|kw| now <= kw * hours) {
        notes.resets += 1;
        return Some(now);
    }
    notes.backwards += 1;
    None
}

fn plausible(kw: f64, settings: &MeterSettings, notes: &mut MeterNotes) -> bool {
    let ok = settings.max_power_kw.is_none_or(|max| kw.abs() <= max);
    notes.implausible += u64::from(!ok);
    ok
}
