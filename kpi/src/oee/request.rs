//! `oee/calculate`: totals, several runs, or a log of events that the caller brings; or a machine of which the store has the record.
//!
//! Stands between the API and the tally. Pure. Invariant: what can't be a time, a count or a period is refused with its place in the request;
//! accepted input never makes NaN.

mod event_log;
mod explicit;

use protocol::{TimeRange, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

pub use event_log::{CounterEvent, EventLogRequest, PlannedDowntimeEvent, RunEvent, StateEvent};
pub use explicit::{ExplicitRequest, Run};

use super::{Catalogue, ReasonAssignment};
pub use crate::field::FieldError;
use crate::{field::wrong, utc::Utc};

/// A hundred years: longer times are slips of the unit.
const MAX_SECONDS: f64 = 3.2e9;
/// Events, intervals or runs in one request.
const MAX_ITEMS: usize = 200_000;
/// More parts than a double counts exactly are slips.
const MAX_COUNT: u64 = 1 << 53;

/// OEE of a machine's own data: read the record, and ask [`super::Prepared::tally`] for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// `site/area/line/machine`
    pub device_id: String,
    pub from: Utc,
    pub to: Utc,
}

/// A person says why a machine stood, or, without a reason, takes back what was said. A part of a stop may be named: so it is split.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterReasonRequest {
    pub from: Utc,
    pub to: Utc,
    /// A code of the catalogue.
    pub reason: Option<String>,
    #[serde(default)]
    pub comment: String,
}

impl RegisterReasonRequest {
    /// The registration, as event `id` by `by` at `now`.
    ///
    /// # Errors
    /// Every field that can't be.
    pub fn resolve(self, id: String, by: String, now: Timestamp, catalogue: &Catalogue) -> Result<ReasonAssignment, Vec<FieldError>> {
        let range = TimeRange { from: self.from.0, to: self.to.0 };
        let assignment = ReasonAssignment { id, range, reason: self.reason, by, at: now, comment: self.comment };
        assignment.check(catalogue, now).map(|()| assignment)
    }
}

/// One of three forms, told apart by their keys.
#[derive(Debug, Clone, PartialEq, ToSchema)]
#[schema(as = OeeRequest)]
pub enum CalculateRequest {
    #[schema(title = "explicit")]
    Explicit(ExplicitRequest),
    #[schema(title = "event_log")]
    EventLog(EventLogRequest),
    #[schema(title = "device")]
    Device(DeviceRequest),
}

impl CalculateRequest {
    /// # Errors
    /// What serde finds wrong, with the place that it names.
    pub fn from_json(body: serde_json::Value) -> Result<Self, serde_json::Error> {
        let has = |key: &str| body.get(key).is_some();
        if has("device_id") {
            serde_json::from_value(body).map(Self::Device)
        } else if has("window") || has("states") {
            serde_json::from_value(body).map(Self::EventLog)
        } else {
            serde_json::from_value(body).map(Self::Explicit)
        }
    }
}

fn check_cycle(ideal: Option<f64>, field: &str, errors: &mut Vec<FieldError>) {
    if ideal.is_some_and(|s| !(1e-9..=MAX_SECONDS).contains(&s)) {
        errors.push(wrong(field, "must be a time in seconds above 0"));
    }
}
