//! Takes a TOML table apart key by key, and remembers every problem with its line.
//!
//! Each key is taken out of its table when it is read; what is left when [`Reader::no_more`] is called is unknown and a problem.

use std::{fmt, ops::RangeInclusive, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::moment::seconds;

/// Something wrong, and where. Line 0: the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub line: usize,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

/// A table and the line of its head.
#[derive(Debug, Default)]
pub struct Table<'t> {
    pub line: usize,
    entries: Vec<(Spanned<String>, Spanned<DeValue<'t>>)>,
}

#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, problems: Vec::new() }
    }

    /// The whole document; `None` if it is no TOML.
    pub fn root(&mut self) -> Option<Table<'t>> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let line = error.span().map_or(1, |span| self.line(span.start));
            self.problem(line, error.message().to_owned());
        }
        errors.is_empty().then(|| self.entries(1, root.into_inner()))
    }

    /// All problems, in the order of their lines.
    pub fn finish(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems
    }

    pub fn problem(&mut self, line: usize, text: String) {
        self.problems.push(Problem { line, text });
    }

    /// An optional table; empty if it is not there.
    pub fn table(&mut self, table: &mut Table<'t>, key: &str) -> Table<'t> {
        let Some((line, value)) = self.take(table, key) else { return Table::default() };
        match value {
            DeValue::Table(inner) => self.entries(line, inner),
            other => self.wrong_type(line, key, "a table", &other).unwrap_or_default(),
        }
    }

    /// An optional array of tables, at most `max` of them.
    pub fn tables(&mut self, table: &mut Table<'t>, key: &str, max: usize) -> Vec<Table<'t>> {
        let Some((line, value)) = self.take(table, key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            return self.wrong_type(line, key, "an array of tables", &value).unwrap_or_default();
        };
        if array.len() > max {
            self.problem(line, format!("`{key}` has {} entries, at most {max} are allowed", array.len()));
        }
        let mut tables = Vec::new();
        for value in array.into_iter().take(max) {
            let line = self.line(value.span().start);
            match value.into_inner() {
                DeValue::Table(inner) => tables.push(self.entries(line, inner)),
                other => tables.extend(self.wrong_type(line, key, "a table", &other)),
            }
        }
        tables
    }

    /// An optional text that `check` understands.
    pub fn text<T>(&mut self, table: &mut Table<'t>, key: &str, check: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let (line, value) = self.take(table, key)?;
        match &value {
            DeValue::String(text) => check(text).map_err(|problem| self.problem(line, format!("`{key}`: {problem}"))).ok(),
            other => self.wrong_type(line, key, "a text", other),
        }
    }

    /// The same, but it must be there.
    pub fn required_text<T>(&mut self, table: &mut Table<'t>, key: &str, check: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.require(table, key);
        self.text(table, key, check)
    }

    /// An optional whole number.
    pub fn integer(&mut self, table: &mut Table<'t>, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let (line, value) = self.take(table, key)?;
        let DeValue::Integer(integer) = &value else { return self.wrong_type(line, key, "a whole number", &value) };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.out_of_range(line, key, integer.as_str(), &format!("{} to {}", range.start(), range.end())),
        }
    }

    /// An optional number, whole or not.
    pub fn number(&mut self, table: &mut Table<'t>, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let (line, value) = self.take(table, key)?;
        let text = match &value {
            DeValue::Integer(integer) => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            other => return self.wrong_type(line, key, "a number", other),
        };
        match text.parse::<f64>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.out_of_range(line, key, text, &format!("{} to {}", range.start(), range.end())),
        }
    }

    /// An optional span of time, like `"2.5s"`, within `range` seconds.
    pub fn duration(&mut self, table: &mut Table<'t>, key: &str, range: RangeInclusive<f64>) -> Option<Duration> {
        self.text(table, key, |text| {
            let duration = parse_duration(text)?;
            if range.contains(&duration.as_secs_f64()) {
                Ok(duration)
            } else {
                Err(format!("{text:?} is not within {}s to {}s", range.start(), range.end()))
            }
        })
    }

    /// The same, but it must be there.
    pub fn required_duration(&mut self, table: &mut Table<'t>, key: &str, range: RangeInclusive<f64>) -> Option<Duration> {
        self.require(table, key);
        self.duration(table, key, range)
    }

    /// Whatever is left is unknown.
    pub fn no_more(&mut self, table: Table<'t>) {
        for (key, _) in table.entries {
            let line = self.line(key.span().start);
            self.problem(line, format!("unknown key `{}`", key.get_ref()));
        }
    }

    fn require(&mut self, table: &Table<'t>, key: &str) {
        if !table.entries.iter().any(|(name, _)| name.get_ref() == key) {
            self.problem(table.line, format!("`{key}` is missing"));
        }
    }

    fn take(&self, table: &mut Table<'t>, key: &str) -> Option<(usize, DeValue<'t>)> {
        let index = table.entries.iter().position(|(name, _)| name.get_ref() == key)?;
        let (name, value) = table.entries.swap_remove(index);
        Some((self.line(name.span().start), value.into_inner()))
    }

    fn entries(&self, line: usize, table: DeTable<'t>) -> Table<'t> {
        let entry = |(key, value): (Spanned<std::borrow::Cow<'t, str>>, _)| {
            let span = key.span();
            (Spanned::new(span, key.into_inner().into_owned()), value)
        };
        Table { line, entries: table.into_iter().map(entry).collect() }
    }

    fn wrong_type<T>(&mut self, line: usize, key: &str, wanted: &str, value: &DeValue<'_>) -> Option<T> {
        self.problem(line, format!("`{key}` must be {wanted}, not a {}", value.type_str()));
        None
    }

    fn out_of_range<T>(&mut self, line: usize, key: &str, text: &str, range: &str) -> Option<T> {
        self.problem(line, format!("`{key}`: {text} is not within {range}"));
        None
    }

    fn line(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        self.text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

/// `"250ms"`, `"2.5s"`, `"3m"`, `"1h"`.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => f64::NAN,
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number >= 0.0 && (number * factor).is_finite() => Ok(seconds(number * factor)),
        _ => Err(format!("{text:?} is no span of time, like \"250ms\", \"2.5s\", \"3m\" or \"1h\"")),
    }
}
