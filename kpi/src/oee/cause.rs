//! Why an instant was, or was not, productive; the six big losses; and what to know before believing a figure.
//!
//! Stands before everything else of `oee`. Invariant: [`Cause`] is closed, and each cause has exactly one place in the ladder of times.

use std::ops::{BitOr, BitOrAssign};

use protocol::MachineState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why an instant was, or was not, productive. Which one it is says the order of precedence of [`super::timeline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Outside the shifts.
    NotPlanned,
    /// Planned downtime: a break, maintenance, or a stop that is planned by its reason or by the machine's word.
    PlannedStop,
    /// Within planned time, but nothing is known.
    NoData,
    UnplannedStop,
    /// Set-up, adjustment and changeover.
    Setup,
    /// A stop shorter than [`super::Rules::minor_stop_below_s`], or with a reason of that category.
    MinorStop,
    /// Ready, and not producing, for longer than a minor stop: waiting.
    Idle,
    /// The machine was off, or said so itself.
    Offline,
    /// Standing still that a person booked as slow running.
    ReducedSpeed,
    Producing,
}

impl Cause {
    pub const ALL: [Self; CAUSES] = [
        Self::NotPlanned,
        Self::PlannedStop,
        Self::NoData,
        Self::UnplannedStop,
        Self::Setup,
        Self::MinorStop,
        Self::Idle,
        Self::Offline,
        Self::ReducedSpeed,
        Self::Producing,
    ];

    /// The loss that this cause's time is; `None` for what is no loss of planned busy time.
    pub fn loss(self) -> Option<LossCategory> {
        match self {
            Self::PlannedStop => Some(LossCategory::PlannedStop),
            Self::UnplannedStop | Self::Idle | Self::Offline => Some(LossCategory::Breakdowns),
            Self::Setup => Some(LossCategory::SetupAndAdjustments),
            Self::MinorStop => Some(LossCategory::MinorStops),
            Self::ReducedSpeed => Some(LossCategory::ReducedSpeed),
            Self::NotPlanned | Self::NoData | Self::Producing => None,
        }
    }

    /// The name that JSON has.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotPlanned => "not_planned",
            Self::PlannedStop => "planned_stop",
            Self::NoData => "no_data",
            Self::UnplannedStop => "unplanned_stop",
            Self::Setup => "setup",
            Self::MinorStop => "minor_stop",
            Self::Idle => "idle",
            Self::Offline => "offline",
            Self::ReducedSpeed => "reduced_speed",
            Self::Producing => "producing",
        }
    }
}

/// Number of causes.
pub(super) const CAUSES: usize = 10;

impl From<MachineState> for Cause {
    fn from(state: MachineState) -> Self {
        match state {
            MachineState::Producing => Self::Producing,
            MachineState::Idle => Self::Idle,
            MachineState::Setup => Self::Setup,
            MachineState::PlannedStop => Self::PlannedStop,
            MachineState::UnplannedStop => Self::UnplannedStop,
            MachineState::Offline => Self::Offline,
        }
    }
}

/// The six big losses (Nakajima), and the planned stop, which is a loss of OOE and TEEP only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossCategory {
    PlannedStop,
    /// Unplanned stops, waiting, and planned time in which the machine was off.
    Breakdowns,
    SetupAndAdjustments,
    MinorStops,
    ReducedSpeed,
    ProcessDefects,
    StartupRejects,
}

impl LossCategory {
    /// The cause of a stop of this category. `None`: a stop makes no parts, so its loss can't be one of quality.
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::PlannedStop => Some(Cause::PlannedStop),
            Self::Breakdowns => Some(Cause::UnplannedStop),
            Self::SetupAndAdjustments => Some(Cause::Setup),
            Self::MinorStops => Some(Cause::MinorStop),
            Self::ReducedSpeed => Some(Cause::ReducedSpeed),
            Self::ProcessDefects | Self::StartupRejects => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlannedStop => "planned_stop",
            Self::Breakdowns => "breakdowns",
            Self::SetupAndAdjustments => "setup_and_adjustments",
            Self::MinorStops => "minor_stops",
            Self::ReducedSpeed => "reduced_speed",
            Self::ProcessDefects => "process_defects",
            Self::StartupRejects => "startup_rejects",
        }
    }
}

/// What to know before believing the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Flag {
    /// No planned busy time: no shift, or planned stops only.
    NothingPlanned,
    /// Nothing is known of all of the planned time.
    NoData,
    /// Nothing is known of some of it: see `coverage`.
    PartlyNoData,
    /// Parts were made of which no ideal cycle is known, or none is known at all.
    NoIdealCycle,
    /// Planned, but the machine never produced.
    NoProduction,
    NoParts,
    /// Parts were counted, but no production time: the states are wrong or late.
    PartsWithoutProduction,
    PerformanceAboveOne,
    RejectsAboveProduced,
    /// Parts were made outside the planned time: see `counts.outside_plan`.
    PartsOutsidePlan,
    /// Planned time outside the window was given; it counts as stopped.
    PlannedBeyondWindow,
    /// Intervals of the plan shared time: counted once.
    OverlappingPlan,
    /// Product runs shared time: the one that began later counts.
    OverlappingRuns,
    /// Intervals that end before they begin were left out.
    BackwardInterval,
    /// A registered stop reason covers time in which the machine said that it produced: the reason counts.
    ReasonOverProduction,
    /// A registered stop reason is in no catalogue, or is one of rejects: the machine's own state counts.
    UnknownReason,
    /// A cumulative counter stepped back a little: no parts until its highest value is passed.
    CounterRanBackwards,
    /// What was reported for a time after the newest that can be known was left out.
    FutureData,
    /// The state before the window is not held any more, or there was too much to hold: see history.
    Truncated,
    /// Explicit numbers came without `all_time_s`: TEEP is not known.
    AllTimeUnknown,
    /// The machine had another path for some of the period: the data of both are one machine's.
    Renamed,
}

/// A set of [`Flag`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u32);

impl Flags {
    const ALL: [Flag; 21] = [
        Flag::NothingPlanned,
        Flag::NoData,
        Flag::PartlyNoData,
        Flag::NoIdealCycle,
        Flag::NoProduction,
        Flag::NoParts,
        Flag::PartsWithoutProduction,
        Flag::PerformanceAboveOne,
        Flag::RejectsAboveProduced,
        Flag::PartsOutsidePlan,
        Flag::PlannedBeyondWindow,
        Flag::OverlappingPlan,
        Flag::OverlappingRuns,
        Flag::BackwardInterval,
        Flag::ReasonOverProduction,
        Flag::UnknownReason,
        Flag::CounterRanBackwards,
        Flag::FutureData,
        Flag::Truncated,
        Flag::AllTimeUnknown,
        Flag::Renamed,
    ];

    pub fn set(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u8;
    }

    pub fn set_if(&mut self, condition: bool, flag: Flag) {
        if condition {
            self.set(flag);
        }
    }

    pub fn holds(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// In the order of [`Flag`].
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Self::ALL.into_iter().filter(move |flag| self.holds(*flag))
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}
