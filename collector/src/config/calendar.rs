//! Shifts, breaks, holidays and single changes of the plan, from the file to a [`Calendar`].
//!
//! Serves `resolve`. Invariant: two shifts never cover the same minute, a break lies within its shift, and what is cancelled is there; otherwise it is a
//! problem with its line.

use jiff::{
    civil::{Date, Time},
    tz::TimeZone,
};
use kpi::calendar::{Break, Calendar, CalendarError, Exception, ShiftRule, Weekdays, weekday};

use super::read::Section;

const TIME: &str = "write a time of day, \"06:00\"";
const DATE: &str = "write a date, \"2026-12-25\"";
const NAME: &str = "write a short name, \"early\"";
const DAYS: &str = "write days of the week, [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]";

pub(super) fn read(root: &Section<'_, '_>, zone: TimeZone) -> Calendar {
    let mut rules: Vec<ShiftRule> = Vec::new();
    for section in root.sections("shift") {
        if let Some(mut rule) = shift(&section) {
            rule.days = days(&section);
            if rules.iter().any(|other| other.name == rule.name) {
                section.report("name", format_args!("{:?} is there twice", rule.name), "give each shift its own name");
            } else {
                rules.push(rule);
            }
        }
        section.finish();
    }
    if rules.is_empty() {
        let at = |hour| Time::constant(hour, 0, 0, 0);
        rules = [("early", 6, 14), ("late", 14, 22), ("night", 22, 6)]
            .map(|(name, start, end)| ShiftRule::daily(name, at(start), at(end)))
            .into();
    }
    let exceptions = exceptions(root);
    let whole_days = Calendar::whole_days(zone.clone());
    let calendar = match Calendar::new(zone, rules) {
        Ok(calendar) => calendar,
        Err(error) => {
            root.report("shift", &error, advice(&error));
            return whole_days;
        }
    };
    calendar.with_exceptions(exceptions).unwrap_or_else(|error| {
        let key = if matches!(error, CalendarError::UnknownShift { .. }) { "cancelled_shift" } else { "extra_shift" };
        root.report(key, &error, advice(&error));
        whole_days
    })
}

fn advice(error: &CalendarError) -> &'static str {
    match error {
        CalendarError::Overlap { .. } => "let one end where the other starts, or give them different days",
        CalendarError::SameName { .. } => "give each shift its own name",
        CalendarError::BreakOutside { .. } => "let the break begin and end within its shift",
        CalendarError::UnknownShift { .. } => "name a [[shift]]",
    }
}

/// Name, start, end and breaks; `None` if one is missing.
fn shift(section: &Section<'_, '_>) -> Option<ShiftRule> {
    let name = needed(section, "name", section.text("name", NAME), NAME);
    let (start, end) = start_and_end(section);
    let mut breaks = Vec::new();
    for pause in section.sections("break") {
        let name = needed(&pause, "name", pause.text("name", NAME), NAME);
        if let (Some(name), (Some(start), Some(end))) = (name, start_and_end(&pause)) {
            breaks.push(Break { name, start, end });
        }
        pause.finish();
    }
    let rule = ShiftRule { breaks, ..ShiftRule::daily(name?, start?, end?) };
    Some(rule)
}

fn start_and_end(section: &Section<'_, '_>) -> (Option<Time>, Option<Time>) {
    let time = |key| needed(section, key, section.parsed(key, TIME, |text| parse_time(text).ok_or("is not a time of day")), TIME);
    let (start, end) = (time("start"), time("end"));
    if start.is_some() && start == end {
        section.report("end", "is the start: there would be no time", TIME);
    }
    (start, end)
}

fn needed<T>(section: &Section<'_, '_>, key: &str, value: Option<T>, advice: &str) -> Option<T> {
    if value.is_none() && !section.has(key) {
        section.report(key, "is needed", advice);
    }
    value
}

fn days(section: &Section<'_, '_>) -> Weekdays {
    let mut days = Vec::new();
    for text in section.texts("days", DAYS) {
        match weekday(&text) {
            Some(day) => days.push(day),
            None => section.report("days", format_args!("{text:?} is not a day of the week"), DAYS),
        }
    }
    if days.is_empty() { Weekdays::ALL } else { Weekdays::of(&days) }
}

fn exceptions(root: &Section<'_, '_>) -> Vec<Exception> {
    let mut exceptions = Vec::new();
    for section in root.sections("holiday") {
        let name = section.text("name", "write what it is called, \"Christmas Day\"").unwrap_or_default();
        exceptions.extend(date(&section).map(|date| Exception::Holiday { date, name }));
        section.finish();
    }
    for section in root.sections("extra_shift") {
        let date = date(&section);
        if let (Some(date), Some(shift)) = (date, shift(&section)) {
            exceptions.push(Exception::Extra { date, shift });
        }
        section.finish();
    }
    for section in root.sections("cancelled_shift") {
        let name = needed(&section, "shift", section.text("shift", NAME), NAME);
        if let (Some(date), Some(shift)) = (date(&section), name) {
            exceptions.push(Exception::Cancelled { date, shift });
        }
        section.finish();
    }
    exceptions
}

fn date(section: &Section<'_, '_>) -> Option<Date> {
    let date = section.parsed("date", DATE, |text| text.parse::<Date>().map_err(|_| "is not a date"));
    needed(section, "date", date, DATE)
}

fn parse_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}
