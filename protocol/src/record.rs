//! What a gateway has to say: the facts that it makes from raw samples. A [`Record`] is what the spool keeps and a batch carries.

use serde::{Deserialize, Serialize};

use crate::{AssetPath, Quality, SignalName, TimeQuality, Timestamp};

/// One decoded value of one signal, before it enters a window. Lives on the gateway only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub asset: AssetPath,
    pub signal: SignalName,
    /// When the source says that it was measured.
    pub event_time: Timestamp,
    /// When the gateway got it.
    pub received_at: Timestamp,
    /// Finite, in the signal's unit.
    pub value: f64,
    pub quality: Quality,
    pub time_quality: TimeQuality,
}

/// All readings of one signal in one tumbling window `[start, end)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowSummary {
    pub asset: AssetPath,
    pub signal: SignalName,
    /// UCUM code (`Cel`, `mm/s`, `kW`); empty if unknown.
    pub unit: String,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Readings in this summary, at least 1.
    pub count: u64,
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    /// Population standard deviation.
    pub stddev: f64,
    /// Value with the earliest event time.
    pub first: f64,
    /// Value with the latest event time.
    pub last: f64,
    /// The worst of the readings.
    pub quality: Quality,
    /// The worst of the readings.
    pub time_quality: TimeQuality,
    /// True if it holds only readings that came after the window had been closed; it adds to the summary sent before.
    pub correction: bool,
}

/// What a detector saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    pub asset: AssetPath,
    pub signal: SignalName,
    pub event_time: Timestamp,
    pub kind: AnomalyKind,
    pub severity: Severity,
    pub value: f64,
    /// The limit, rate or score that was passed, in the detector's own terms.
    pub threshold: f64,
    /// How far: |z| for `ewma`, units a second for `rate_of_change`, seconds for `flat_line`, the value itself for limits.
    pub score: f64,
    /// Which configured detector.
    pub detector: String,
    /// For people: what was seen and what was expected.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    LimitHigh,
    LimitLow,
    RateOfChange,
    Ewma,
    FlatLine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

/// What a machine is doing; stands until the next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    Producing,
    Idle,
    Setup,
    PlannedStop,
    UnplannedStop,
    Offline,
}

/// A machine entered `state` at `event_time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    pub asset: AssetPath,
    pub event_time: Timestamp,
    pub state: MachineState,
    /// The machine's own stop reason, empty if it gave none.
    pub reason: String,
    pub time_quality: TimeQuality,
}

/// Parts made in `(from, to]`, as the difference of cumulative counters with wraps and resets removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartCount {
    pub asset: AssetPath,
    pub from: Timestamp,
    pub to: Timestamp,
    /// All parts, good and rejected.
    pub produced: u64,
    pub rejected: u64,
    pub reworked: u64,
    pub time_quality: TimeQuality,
}

/// Something that was dropped for good, and why. The books balance only with these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// `None` if the drop could not be attributed to a machine (a topic that matches nothing).
    pub asset: Option<AssetPath>,
    pub signal: Option<SignalName>,
    pub reason: LossReason,
    /// Readings lost; for `Unmatched`, `Malformed` and `TooLarge` messages lost. 0 if it is not known how many: then the range is what is known.
    pub count: u64,
    pub from: Timestamp,
    pub to: Timestamp,
    /// For people and for tracing: topic, register, error.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// The payload was not what the topic's template promised.
    Malformed,
    /// NaN or infinite.
    NotFinite,
    /// No template matched the topic.
    Unmatched,
    /// Over the payload limit.
    TooLarge,
    /// The sender's sequence jumped: it was sent, but never reached the pipeline.
    SequenceGap,
    /// The embedded broker overran its segments before the pipeline read them.
    BrokerOverrun,
    /// A bounded queue was full.
    QueueFull,
    /// The spool was at its limit.
    SpoolFull,
    /// A spool entry could not be read back.
    SpoolCorrupt,
    /// The gateway stopped between two commits (power cut, kill).
    PowerCut,
    /// Too many signals or assets: over the configured limit.
    Cardinality,
    /// The device answered with an exception or not at all: a poll yielded nothing.
    DeviceError,
    /// The collector found a hole in the sequence that the gateway no longer can fill.
    StreamGap,
    /// Refused by the collector for good (poison batch).
    Rejected,
    /// A gateway was restored from a backup: what its old checkpoint held had been told by a later run, or is gone.
    Restored,
}

/// One entry of the way from the gateway to the lake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    Window(WindowSummary),
    Anomaly(Anomaly),
    State(StateChange),
    Parts(PartCount),
    Loss(Loss),
}

macro_rules! text_of {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in JSON, SQL and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The variant of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use text_of;

text_of!(AnomalyKind { LimitHigh = "limit_high", LimitLow = "limit_low", RateOfChange = "rate_of_change", Ewma = "ewma", FlatLine = "flat_line" });
text_of!(Severity { Low = "low", Medium = "medium", High = "high", Critical = "critical" });
text_of!(MachineState {
    Producing = "producing",
    Idle = "idle",
    Setup = "setup",
    PlannedStop = "planned_stop",
    UnplannedStop = "unplanned_stop",
    Offline = "offline",
});
text_of!(LossReason {
    Malformed = "malformed",
    NotFinite = "not_finite",
    Unmatched = "unmatched",
    TooLarge = "too_large",
    SequenceGap = "sequence_gap",
    BrokerOverrun = "broker_overrun",
    QueueFull = "queue_full",
    SpoolFull = "spool_full",
    SpoolCorrupt = "spool_corrupt",
    PowerCut = "power_cut",
    Cardinality = "cardinality",
    DeviceError = "device_error",
    StreamGap = "stream_gap",
    Rejected = "rejected",
    Restored = "restored",
});
