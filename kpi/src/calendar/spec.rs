//! A calendar as it is written in a file or sent as JSON, and its way to a [`Calendar`].
//!
//! Invariant: every fault is told, with its place; a calendar that is made can be reckoned with.

use jiff::{
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Break, Calendar, Exception, ShiftRule, Weekdays};
use crate::{
    field::{FieldError, wrong},
    oee::{DowntimeKind, PlannedDowntime},
    utc::Utc,
};

/// Shifts, exceptions, or maintenance windows of one calendar.
const MAX_ITEMS: usize = 10_000;
/// Shifts with rules: each is compared with each.
const MAX_SHIFTS: usize = 100;

/// The shifts of a plant, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarSpec {
    /// IANA name.
    #[schema(example = "Europe/Berlin")]
    pub timezone: String,
    /// Without any, each local day is one shift, `day`.
    #[serde(default)]
    pub shifts: Vec<ShiftSpec>,
    #[serde(default)]
    pub exceptions: Vec<ExceptionSpec>,
    #[serde(default)]
    pub maintenance: Vec<MaintenanceSpec>,
}

/// A shift; over midnight if `end` is not after `start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShiftSpec {
    pub name: String,
    /// On the clock of the plant.
    #[schema(example = "22:00")]
    pub start: String,
    #[schema(example = "06:00")]
    pub end: String,
    /// `mon` to `sun`: the days that it begins on; without them every day.
    #[serde(default)]
    pub days: Vec<String>,
    #[serde(default)]
    pub breaks: Vec<BreakSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakSpec {
    pub name: String,
    pub start: String,
    pub end: String,
}

/// What is different on one local day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ExceptionSpec {
    Holiday {
        #[schema(example = "2026-12-25")]
        date: String,
        name: String,
    },
    Cancelled {
        date: String,
        shift: String,
    },
    Extra {
        date: String,
        shift: ShiftSpec,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceSpec {
    pub name: String,
    pub from: Utc,
    pub to: Utc,
}

impl CalendarSpec {
    /// # Errors
    /// Every field that can't be; overlapping shifts at `shifts`.
    pub fn resolve(&self) -> Result<Calendar, Vec<FieldError>> {
        let mut errors = Vec::new();
        let zone = TimeZone::get(&self.timezone)
            .map_err(|_| errors.push(wrong("timezone", format!("{:?} is not a known time zone", self.timezone))));
        if self.shifts.len() > MAX_SHIFTS {
            errors.push(wrong("shifts", format!("are more than {MAX_SHIFTS}")));
            return Err(errors);
        }
        if self.exceptions.len() > MAX_ITEMS || self.maintenance.len() > MAX_ITEMS {
            errors.push(wrong("exceptions", format!("or maintenance are more than {MAX_ITEMS}")));
            return Err(errors);
        }
        let rules: Vec<_> = self.shifts.iter().enumerate().filter_map(|(i, s)| s.resolve(&format!("shifts[{i}]"), &mut errors)).collect();
        let mut exceptions = Vec::new();
        for (i, e) in self.exceptions.iter().enumerate() {
            exceptions.extend(e.resolve(&format!("exceptions[{i}]"), &mut errors));
        }
        let mut maintenance = Vec::new();
        for (i, m) in self.maintenance.iter().enumerate() {
            if m.from >= m.to {
                errors.push(wrong(format!("maintenance[{i}].from"), "must be before to"));
            }
            let range = protocol::TimeRange { from: m.from.0, to: m.to.0 };
            maintenance.push(PlannedDowntime { range, kind: DowntimeKind::Maintenance, name: m.name.clone() });
        }
        let (Ok(zone), true) = (zone, errors.is_empty()) else { return Err(errors) };
        let calendar = Calendar::new(zone, rules).map_err(|e| vec![wrong("shifts", e.to_string())])?;
        let calendar = calendar.with_exceptions(exceptions).map_err(|e| vec![wrong("exceptions", e.to_string())])?;
        Ok(calendar.with_maintenance(maintenance))
    }
}

impl ShiftSpec {
    fn resolve(&self, field: &str, errors: &mut Vec<FieldError>) -> Option<ShiftRule> {
        let before = errors.len();
        let (start, end) = (time(&self.start, &format!("{field}.start"), errors), time(&self.end, &format!("{field}.end"), errors));
        if self.name.is_empty() {
            errors.push(wrong(format!("{field}.name"), "is missing"));
        }
        let mut days = Vec::new();
        for (i, day) in self.days.iter().enumerate() {
            match weekday(day) {
                Some(day) => days.push(day),
                None => errors.push(wrong(format!("{field}.days[{i}]"), format!("{day:?} is none of mon, tue, wed, thu, fri, sat, sun"))),
            }
        }
        let mut breaks = Vec::new();
        for (i, pause) in self.breaks.iter().enumerate() {
            let field = format!("{field}.breaks[{i}]");
            let start = time(&pause.start, &format!("{field}.start"), errors);
            if let (Some(start), Some(end)) = (start, time(&pause.end, &format!("{field}.end"), errors)) {
                breaks.push(Break { name: pause.name.clone(), start, end });
            }
        }
        let days = if self.days.is_empty() { Weekdays::ALL } else { Weekdays::of(&days) };
        let rule = ShiftRule { name: self.name.clone(), start: start?, end: end?, days, breaks };
        (errors.len() == before).then_some(rule)
    }
}

impl ExceptionSpec {
    fn resolve(&self, field: &str, errors: &mut Vec<FieldError>) -> Option<Exception> {
        let (Self::Holiday { date, .. } | Self::Cancelled { date, .. } | Self::Extra { date, .. }) = self;
        let Ok(date) = date.parse::<Date>() else {
            errors.push(wrong(format!("{field}.date"), "must be a date, such as 2026-12-25"));
            return None;
        };
        Some(match self {
            Self::Holiday { name, .. } => Exception::Holiday { date, name: name.clone() },
            Self::Cancelled { shift, .. } => Exception::Cancelled { date, shift: shift.clone() },
            Self::Extra { shift, .. } => Exception::Extra { date, shift: shift.resolve(&format!("{field}.shift"), errors)? },
        })
    }
}

fn time(text: &str, field: &str, errors: &mut Vec<FieldError>) -> Option<Time> {
    let time = text.parse::<Time>().ok().filter(|t| t.subsec_nanosecond() == 0);
    if time.is_none() {
        errors.push(wrong(field, "must be a time of the day, such as 06:00"));
    }
    time
}

/// A day of the week by its first three letters, `mon` to `sun`.
pub fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return None,
    })
}
