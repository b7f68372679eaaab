//! What the collector says against what was so, shift by shift, and what became of it by class of fault.
//!
//! The end of a month. Invariant: a shift without a figure where the truth has one counts as wholly wrong.

use std::{collections::BTreeMap, fmt};

use kpi::oee::{Oee, Tally};

use super::{
    Span,
    ask::{History, Reckoning},
    drive::Drive,
    machine::{Kind, Spec},
    shifts::Shift,
    truth::{Figures, Sums, sums},
};

/// What the figures may differ by: a tenth of a point.
pub const TOLERANCE: f64 = 0.001;
/// Whole parts, good and bad, that performance and quality of one shift may be off by, each: a count that crosses one of its two edges tells how many
/// were made, not when. For slow machines that weighs more than a tenth of a point; OEE and availability have no such excuse.
const PARTS_AT_EDGES: f64 = 2.0;
const UNHARMED: &str = "no fault";

/// By how much figures differ.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Errors {
    pub oee: f64,
    pub a: f64,
    pub p: f64,
    pub q: f64,
}

impl Errors {
    pub fn of(told: &Figures, truth: &Figures) -> Self {
        let apart = |told: Option<f64>, truth: Option<f64>| match (told, truth) {
            (Some(told), Some(truth)) => (told - truth).abs(),
            (None, None) => 0.0,
            _ => 1.0,
        };
        Self { oee: apart(told.oee, truth.oee), a: apart(told.a, truth.a), p: apart(told.p, truth.p), q: apart(told.q, truth.q) }
    }

    fn max(&self, other: &Self) -> Self {
        Self { oee: self.oee.max(other.oee), a: self.a.max(other.a), p: self.p.max(other.p), q: self.q.max(other.q) }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = |error: f64| error * 100.0;
        write!(f, "OEE {:.4} A {:.4} P {:.4} Q {:.4} points", points(self.oee), points(self.a), points(self.p), points(self.q))
    }
}

/// The same four of an answer.
pub fn figures(oee: &Oee) -> Figures {
    Figures { a: oee.availability, p: oee.performance, q: oee.quality, oee: oee.oee }
}

/// One machine and shift.
#[derive(Debug, Clone)]
pub struct Line {
    pub machine: &'static str,
    pub shift: String,
    pub classes: Vec<&'static str>,
    pub truth: Figures,
    pub told: Figures,
    pub errors: Errors,
    /// What performance and quality may be off by, for the parts at the edges of the shift.
    pub edges: (f64, f64),
    pub coverage: f64,
}

impl Line {
    pub fn is_right(&self) -> bool {
        let Errors { oee, a, p, q } = self.errors;
        oee <= TOLERANCE && a <= TOLERANCE && p <= TOLERANCE.max(self.edges.0) && q <= TOLERANCE.max(self.edges.1)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, shift, classes, truth, told, errors, coverage, .. } = self;
        write!(f, "{machine} {shift} {classes:?}: {errors}; coverage {coverage:.4}\n  truth {truth:?}\n  told  {told:?}")
    }
}

/// A month compared.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    pub lines: Vec<Line>,
    /// Of the whole month, by machine, and of all machines together.
    pub months: Vec<(String, Errors)>,
    /// A shift asked for by itself differs from the same shift as a part of the month.
    pub apart: Vec<String>,
}

impl Comparison {
    /// Every machine and shift that has passed, with the month's sums.
    pub fn of(drive: &Drive) -> Self {
        let reckoning = Reckoning::default();
        let now = drive.wall().as_micros();
        let passed: Vec<_> = drive.shifts.iter().filter(|shift| shift.range.1 <= now).collect();
        let Some((first, last)) = passed.first().zip(passed.last()) else { return Self::default() };
        let month: Span = (first.range.0, last.range.1);
        let mut comparison = Self::default();
        let (mut all_told, mut all_truth) = (Tally::default(), Sums::default());
        for (machine, spec) in drive.scenario.machines.iter().enumerate() {
            let history = History::read(drive, machine, month, &reckoning);
            let (mut told_sum, mut truth_sum) = (Tally::default(), Sums::default());
            for (number, shift) in passed.iter().enumerate() {
                let truth = sums(spec, drive.life(machine), shift.range, &shift.down);
                let tally = history.tally(shift.range);
                let oee = history.oee(&tally);
                let name = format!("{} {}", shift.name, kpi::utc::Utc(protocol::Timestamp::from_micros(shift.range.0)));
                let (told, truth_figures) = (figures(&oee), truth.figures());
                comparison.lines.push(Line {
                    machine: spec.name,
                    classes: classes(drive, machine, shift.range),
                    errors: Errors::of(&told, &truth_figures),
                    edges: edges(spec, &truth),
                    truth: truth_figures,
                    told,
                    coverage: oee.coverage.unwrap_or(0.0),
                    shift: name.clone(),
                });
                if number % 9 == machine {
                    let alone = History::read(drive, machine, shift.range, &reckoning);
                    if alone.oee(&alone.tally(shift.range)) != oee {
                        comparison.apart.push(format!("{} {name}", spec.name));
                    }
                }
                told_sum += &tally;
                truth_sum.add(&truth);
            }
            let told = figures(&history.oee(&told_sum));
            comparison.months.push((spec.name.into(), Errors::of(&told, &truth_sum.figures())));
            all_told += &told_sum;
            all_truth.add(&truth_sum);
        }
        let told = figures(&all_told.oee(&reckoning.rules, None));
        comparison.months.push(("all machines".into(), Errors::of(&told, &all_truth.figures())));
        comparison
    }

    pub fn worst(&self) -> Errors {
        self.lines.iter().fold(Errors::default(), |worst, line| worst.max(&line.errors))
    }

    /// Lines that are wrong by more than is allowed.
    pub fn wrong(&self) -> Vec<&Line> {
        self.lines.iter().filter(|line| !line.is_right()).collect()
    }

    /// By class of fault: machine-shifts that it touched, and the worst of each figure.
    pub fn by_class(&self) -> BTreeMap<&'static str, (usize, Errors)> {
        let mut classes: BTreeMap<&'static str, (usize, Errors)> = BTreeMap::new();
        for line in &self.lines {
            let of = if line.classes.is_empty() { &[UNHARMED][..] } else { &line.classes };
            for class in of {
                let entry = classes.entry(class).or_default();
                *entry = (entry.0 + 1, entry.1.max(&line.errors));
            }
        }
        classes
    }

    /// The table for people.
    pub fn table(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (class, (lines, errors)) in self.by_class() {
            let _ = writeln!(text, "{class:<38} {lines:>4} machine-shifts  {errors}");
        }
        for (name, errors) in &self.months {
            let _ = writeln!(text, "the month of {name:<25} {:>19}  {errors}", "");
        }
        let excused = self.lines.iter().filter(|line| line.is_right() && line.errors.p.max(line.errors.q) > TOLERANCE).count();
        let _ = writeln!(
            text,
            "{} machine-shifts, {excused} with a part at an edge that weighs more than a tenth of a point",
            self.lines.len()
        );
        text
    }
}

/// What the parts at the edges of a shift weigh: of performance and of quality.
fn edges(spec: &Spec, truth: &Sums) -> (f64, f64) {
    let slowest = spec.ideal_s.iter().copied().fold(0.0, f64::max);
    (2.0 * PARTS_AT_EDGES * slowest / (truth.ran_us as f64 / 1e6).max(1.0), PARTS_AT_EDGES / (truth.parts as f64).max(1.0))
}

/// What is told of a running shift while something is missing.
#[derive(Debug, Clone)]
pub struct SoFar {
    pub told: Figures,
    pub coverage: f64,
    /// What was so in the time that the collector says it knows.
    pub known: Figures,
    pub known_us: i64,
    /// Of the shift so far, what should be known.
    pub whole: Figures,
}

impl SoFar {
    pub fn of(drive: &Drive, machine: usize, shift: &Shift) -> Self {
        let now = drive.wall().as_micros();
        let so_far = (shift.range.0, shift.range.1.min(now));
        let history = History::read(drive, machine, so_far, &Reckoning::default());
        let oee = history.oee(&history.tally(so_far));
        let until = so_far.1.min(history.known_until.as_micros());
        let spec = &drive.scenario.machines[machine];
        let (mut known, mut at) = (Sums::default(), so_far.0);
        let holes = history.holes.iter().map(|hole| (hole.from.as_micros(), hole.to.as_micros()));
        for hole in holes.chain([(until, until)]) {
            let piece = (at, hole.0.min(until));
            if piece.0 < piece.1 {
                known.add(&sums(spec, drive.life(machine), piece, &shift.down));
            }
            at = at.max(hole.1);
        }
        Self {
            told: figures(&oee),
            coverage: oee.coverage.unwrap_or(0.0),
            known: known.figures(),
            known_us: known.planned_us,
            whole: sums(spec, drive.life(machine), so_far, &shift.down).figures(),
        }
    }

    /// Wrong about the shift so far, by more than what is allowed and what is on its way: a machine counts each minute, a gateway sends each half.
    pub fn is_off(&self) -> bool {
        let on_its_way = super::minutes(2) as f64 / (self.known_us as f64).max(1.0);
        Errors::of(&self.told, &self.whole).oee > TOLERANCE + on_its_way
    }
}

/// Classes of the faults that touch a machine's shift.
fn classes(drive: &Drive, machine: usize, shift: Span) -> Vec<&'static str> {
    let specs = &drive.scenario.machines;
    let touches =
        drive.scenario.faults.iter().filter(|fault| fault.concerns(machine, specs) && fault.span.0 < shift.1 && shift.0 < fault.span.1);
    let mut classes: Vec<_> = touches.map(|fault| fault.class).collect();
    if specs[machine].kind == Kind::Bare && !classes.is_empty() {
        classes.push("any fault, machine without stamps");
    }
    classes.sort_unstable();
    classes.dedup();
    classes
}
