//! Detectors: look at each reading of a signal and say what is not as it should be.
//!
//! Stands beside the windows on the way of a reading: [`Detector`] is the configuration, [`State`] the memory of one detector for one signal.
//! Invariant: constant memory and time a reading; one excursion gives one anomaly (rising edge, then a cool-down on event time), and no
//! order of time stamps, however odd, makes a detector panic or stay silent for good.

mod ewma;
mod flat_line;
mod limits;
mod rate_of_change;

use std::time::Duration;

use protocol::{AnomalyKind, Severity, Timestamp};
use serde::{Deserialize, Serialize};

/// A configured detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    pub name: String,
    /// Which assets: `*` stands for any run of characters.
    pub assets: String,
    /// Which signals, likewise.
    pub signal: String,
    pub severity: Severity,
    /// After an anomaly, this detector is silent for this signal for so long (event time).
    pub cool_down: Duration,
    pub kind: Kind,
}

/// What a detector looks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Outside of `low..=high`; over again once it is inside by `hysteresis`.
    Limits { low: Option<f64>, high: Option<f64>, hysteresis: f64 },
    /// Changes by more than `max_per_second` (in either direction) between readings at least `min_interval` apart.
    RateOfChange { max_per_second: f64, min_interval: Duration },
    /// Further than `threshold` standard deviations from the exponentially weighted mean, after `warm_up` readings.
    Ewma { alpha: f64, threshold: f64, warm_up: u32, min_stddev: f64 },
    /// Stays within `tolerance` for `duration`.
    FlatLine { duration: Duration, tolerance: f64 },
}

impl Detector {
    /// True if it looks at this signal.
    pub fn covers(&self, asset: &str, signal: &str) -> bool {
        matches(&self.assets, asset) && matches(&self.signal, signal)
    }

    /// A number that stays the same as long as the detector does; memory of another one is of no use to it.
    pub fn fingerprint(&self) -> u64 {
        crate::sequence::text_id(&format!("{self:?}"))
    }
}

/// What one detector remembers of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    memory: Memory,
    /// The excursion that goes on.
    active: Option<AnomalyKind>,
    raised_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Memory {
    Limits(limits::Memory),
    RateOfChange(rate_of_change::Memory),
    Ewma(ewma::Memory),
    FlatLine(flat_line::Memory),
}

/// What a kind of detector says of one reading.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    /// As it should be.
    Normal,
    /// Neither: an excursion goes on if there is one, and none begins.
    Between,
    /// An excursion.
    Out(Finding),
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    pub kind: AnomalyKind,
    pub threshold: f64,
    pub score: f64,
    /// The value that was to be expected, where there is one.
    pub expected: Option<f64>,
}

impl State {
    pub fn new(detector: &Detector) -> Self {
        let memory = match detector.kind {
            Kind::Limits { .. } => Memory::Limits(limits::Memory::default()),
            Kind::RateOfChange { .. } => Memory::RateOfChange(rate_of_change::Memory::default()),
            Kind::Ewma { .. } => Memory::Ewma(ewma::Memory::default()),
            Kind::FlatLine { .. } => Memory::FlatLine(flat_line::Memory::default()),
        };
        Self { memory, active: None, raised_at: None }
    }

    /// Moves what is remembered to another timeline: a time that became known is no standstill and no sudden rise.
    pub fn shift(&mut self, moment: &dyn Fn(Timestamp) -> Timestamp) {
        let remembered = match &mut self.memory {
            Memory::RateOfChange(memory) => memory.since(),
            Memory::FlatLine(memory) => memory.since(),
            Memory::Limits(_) | Memory::Ewma(_) => None,
        };
        for at in remembered.into_iter().chain(&mut self.raised_at) {
            *at = moment(*at);
        }
    }

    /// Looks at a reading; gives a finding when an excursion begins outside of the cool-down.
    pub fn look(&mut self, detector: &Detector, at: Timestamp, value: f64) -> Option<Finding> {
        let look = match (&mut self.memory, &detector.kind) {
            (Memory::Limits(memory), Kind::Limits { low, high, hysteresis }) => memory.look(*low, *high, *hysteresis, value),
            (Memory::RateOfChange(memory), Kind::RateOfChange { max_per_second, min_interval }) => {
                memory.look(*max_per_second, *min_interval, at, value)
            }
            (Memory::Ewma(memory), Kind::Ewma { alpha, threshold, warm_up, min_stddev }) => {
                memory.look(&ewma::Settings { alpha: *alpha, threshold: *threshold, warm_up: *warm_up, min_stddev: *min_stddev }, value)
            }
            (Memory::FlatLine(memory), Kind::FlatLine { duration, tolerance }) => memory.look(*duration, *tolerance, at, value),
            _ => {
                *self = Self::new(detector);
                return None;
            }
        };
        match look {
            Look::Normal => self.active = None,
            Look::Between => {}
            Look::Out(finding) => {
                let begins = self.active.replace(finding.kind) != Some(finding.kind);
                let cool_down = i64::try_from(detector.cool_down.as_micros()).unwrap_or(i64::MAX);
                // In either direction: a clock that was set back must not silence the detector.
                let cool = self.raised_at.is_none_or(|raised| at.micros_since(raised).saturating_abs() >= cool_down);
                if begins && cool {
                    self.raised_at = Some(at);
                    return Some(finding);
                }
            }
        }
        None
    }
}

impl Finding {
    /// For people.
    pub fn message(&self, signal: &str, unit: &str, value: f64) -> String {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let (value, threshold, score) = (short(value), short(self.threshold), short(self.score));
        match self.kind {
            AnomalyKind::LimitHigh => format!("{signal} is {value}{unit}, above the limit of {threshold}{unit}"),
            AnomalyKind::LimitLow => format!("{signal} is {value}{unit}, below the limit of {threshold}{unit}"),
            AnomalyKind::RateOfChange => {
                format!("{signal} changed by {score}{unit} a second to {value}{unit}; at most {threshold}{unit} a second is normal")
            }
            AnomalyKind::Ewma => {
                let expected = short(self.expected.unwrap_or_default());
                format!("{signal} is {value}{unit}, {score} standard deviations from the usual {expected}{unit}; {threshold} are allowed")
            }
            AnomalyKind::FlatLine => format!("{signal} has stood at {value}{unit} for {score} s; at most {threshold} s is normal"),
        }
    }
}

/// A number as people read it: about four digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = if size >= 1_000.0 {
        0
    } else if size >= 100.0 {
        1
    } else if size >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// True if `text` has the shape of `pattern`, in which `*` stands for any run of characters. Linear in both but for the last `*`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            back = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests;
