//! Detectors: look at each reading of a signal and say what is not as it should be.
//!
//! Stands beside the windows on the way of a reading: [`Detector`] is the configuration, [`State`] the memory of one detector for one signal.
//! Invariant: constant memory and time a reading; one excursion gives one anomaly (rising edge, then a cool-down on event time), and no
//! order of time stamps, however odd, makes a detector panic or stay silent for good.

use std::time::Duration;

use protocol::Severity;

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
