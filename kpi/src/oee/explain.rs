//! Why a figure is what it is: every interval with its cause, its evidence and its parts, and every product run with its own figures.
//!
//! Stands behind the timeline, before the API. Invariant: the intervals are the spans that the figure is the sum of, without gaps, and the parts of
//! all of them are its parts.

use protocol::{TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Oee,
    cause::{Cause, LossCategory},
    figures::Quantities,
    prepared::Prepared,
    tally::{Tally, micros_between},
    timeline::{Rule, Span},
};
use crate::{calendar::clipped, utc::Utc};

/// A stretch of time with one cause.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Interval {
    pub from: Utc,
    pub to: Utc,
    pub seconds: f64,
    pub cause: Cause,
    pub loss: Option<LossCategory>,
    /// The rule of precedence that decided.
    pub rule: Rule,
    /// A code of the catalogue, the machine's own text, or the name of a planned downtime.
    pub reason: Option<String>,
    /// The reason's name in the catalogue.
    pub reason_name: Option<String>,
    pub evidence: Evidence,
    /// What was made in it; `None`: nothing.
    pub parts: Option<IntervalParts>,
}

/// Parts of an interval. Where it shares the interval that they were counted in with others, by producing time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct IntervalParts {
    pub produced: u64,
    pub rejected: u64,
    pub reworked: u64,
    /// The time that they should have taken.
    pub ideal_s: Option<f64>,
    /// What they took longer: the speed loss of the interval, negative if it was faster.
    pub slow_s: Option<f64>,
}

/// One product run, or what of it lies in the asked period.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunFigures {
    pub product: String,
    pub order: String,
    pub from: Utc,
    pub to: Utc,
    pub oee: Oee,
}

/// What an interval rests on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct Evidence {
    /// What the machine said of itself.
    #[schema(value_type = Option<String>)]
    pub state: Option<&'static str>,
    /// When it said so: the time of the state change.
    pub state_since: Option<Utc>,
    /// How long it stood in that state, wherever the asked period ends; so far, if it still does.
    pub stood_s: Option<f64>,
    /// The machine's own reason.
    pub machine_reason: Option<String>,
    /// The registration that decided, who made it, when, and what was said.
    pub registration: Option<String>,
    pub registered_by: Option<String>,
    pub registered_at: Option<Utc>,
    pub comment: Option<String>,
    pub from_product: Option<String>,
    pub to_product: Option<String>,
}

impl Prepared {
    /// The intervals of `window`, in order, without gaps; no more than `max`, so a page goes on where the last one ends.
    pub fn intervals(&self, window: TimeRange, known_until: Timestamp, max: usize) -> Vec<Interval> {
        let mut intervals = Vec::new();
        self.sweep(window, known_until, |span| {
            if intervals.len() < max {
                intervals.push(self.interval(&span, known_until));
            }
        });
        intervals
    }

    /// The product runs of `window` by themselves, in order.
    pub fn run_figures(&self, window: TimeRange, known_until: Timestamp) -> Vec<RunFigures> {
        let figures = self.running.pieces().iter().filter_map(|piece| {
            let here = clipped(piece.range, window)?;
            let (run, ideal) = self.runs.get(piece.index)?;
            let cycle_s = ideal.map(super::IdealCycle::seconds);
            let oee = self.tally(here, known_until).oee(&self.rules, cycle_s);
            Some(RunFigures { product: run.product.clone(), order: run.order.clone(), from: here.from.into(), to: here.to.into(), oee })
        });
        figures.collect()
    }

    fn interval_parts(&self, span: &Span, known_until: Timestamp) -> Option<IntervalParts> {
        let mut tally = Tally::default();
        self.share_parts(span.range, known_until, &mut tally);
        let parts = tally.parts;
        let ideal_s = Quantities::of(&tally, false).ideal_s;
        let took_s = micros_between(span.range.from, span.range.to) as f64 / 1e6;
        (parts != super::PartTally::default()).then_some(IntervalParts {
            produced: parts.produced,
            rejected: parts.rejected,
            reworked: parts.reworked,
            ideal_s,
            slow_s: ideal_s.map(|ideal| took_s - ideal),
        })
    }

    fn interval(&self, span: &Span, known_until: Timestamp) -> Interval {
        let why = &span.why;
        let reason = why.label.and_then(|label| self.labels.text(label)).map(|text| text.to_string());
        let mut evidence = Evidence::default();
        if let Some(run) = why.state.and_then(|i| self.states.get(i)) {
            let end = run.stood_to.unwrap_or(known_until).min(known_until);
            evidence.state = Some(run.state.as_str());
            evidence.state_since = Some(run.at.into());
            evidence.stood_s = Some(micros_between(run.stood_from, end) as f64 / 1e6);
            evidence.machine_reason = run.label.and_then(|label| self.labels.text(label)).map(|text| text.to_string());
        }
        match why.rule {
            Rule::RegisteredReason => {
                if let Some((assignment, _)) = why.entry.and_then(|i| self.assignments.get(i)) {
                    evidence.registration = Some(assignment.id.clone());
                    evidence.registered_by = Some(assignment.by.clone());
                    evidence.registered_at = Some(assignment.at.into());
                    evidence.comment = Some(assignment.comment.clone()).filter(|c| !c.is_empty());
                }
            }
            Rule::Changeover => {
                if let Some(changeover) = why.entry.and_then(|i| self.changeovers.get(i)) {
                    evidence.from_product = Some(changeover.from_product.clone());
                    evidence.to_product = Some(changeover.to_product.clone());
                }
            }
            _ => {}
        }
        Interval {
            from: span.range.from.into(),
            to: span.range.to.into(),
            seconds: micros_between(span.range.from, span.range.to) as f64 / 1e6,
            cause: why.cause,
            loss: why.cause.loss(),
            rule: why.rule,
            reason_name: reason.as_deref().and_then(|code| self.catalogue.get(code)).map(|r| r.name.clone()),
            reason,
            evidence,
            parts: self.interval_parts(span, known_until),
        }
    }
}
