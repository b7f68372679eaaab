//! Walks the parsed file and gathers problems, each with its line.
//!
//! Serves `resolve`. A reader for a derive would stop at the first problem; this one answers each with a default and goes on, so that
//! the operator sees all of them at once. Invariant: a key that nobody asked for is a problem.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Problem;

/// Prefix of overrides in the environment: `MILLRACE_<TABLE>__<KEY>`.
const ENV_PREFIX: &str = "MILLRACE_";

/// The file's text, the overrides, and what was found wrong so far.
pub(super) struct Gather<'t> {
    text: &'t str,
    env: BTreeMap<(String, String), String>,
    problems: RefCell<Vec<Problem>>,
}

/// One table of the file.
pub(super) struct Section<'g, 't> {
    gather: &'g Gather<'t>,
    path: String,
    table: Option<&'g DeTable<'t>>,
    line: Option<usize>,
    asked: RefCell<BTreeSet<&'static str>>,
}

/// A value that is neither table nor array.
struct Scalar<'a> {
    text: Cow<'a, str>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Flag,
    /// From the environment: text that stands for whatever is asked.
    Env,
}

impl<'t> Gather<'t> {
    pub(super) fn new(text: &'t str, env: Vec<(String, String)>) -> Self {
        let env = env
            .into_iter()
            .filter_map(|(name, value)| {
                let (table, key) = name.strip_prefix(ENV_PREFIX)?.split_once("__")?;
                Some(((table.to_ascii_lowercase(), key.to_ascii_lowercase()), value))
            })
            .collect();
        Self { text, env, problems: RefCell::default() }
    }

    pub(super) fn report(&self, line: Option<usize>, key: impl Into<String>, message: impl Display, advice: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { line, key: key.into(), message: message.to_string(), advice: advice.into() });
    }

    /// The line, from 1, that holds the byte at `span.start`.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        let end = span.start.min(self.text.len());
        self.text.as_bytes()[..end].iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    /// The whole file as a section.
    pub(super) fn root<'g>(&'g self, table: &'g DeTable<'t>) -> Section<'g, 't> {
        Section { gather: self, path: String::new(), table: Some(table), line: None, asked: RefCell::default() }
    }

    /// All problems, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        problems
    }
}

impl<'g, 't> Section<'g, 't> {
    /// The sub-table `key`; a missing one reads as an empty one.
    pub(super) fn section(&self, key: &'static str) -> Section<'g, 't> {
        let (table, line) = match self.find(key) {
            None => (None, None),
            Some(value) => {
                let line = Some(self.gather.line(&value.span()));
                match value.get_ref() {
                    DeValue::Table(table) => (Some(table), line),
                    _ => {
                        self.gather.report(line, self.name(key), "is not a table", format!("write it as [{key}] with its keys below"));
                        (None, line)
                    }
                }
            }
        };
        Section { gather: self.gather, path: self.name(key), table, line, asked: RefCell::default() }
    }

    /// The array of tables `[[key]]`.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'g, 't>> {
        let Some(value) = self.find(key) else { return Vec::new() };
        let line = Some(self.gather.line(&value.span()));
        let items = match value.get_ref() {
            DeValue::Array(items) => items,
            _ => {
                self.gather.report(line, self.name(key), "is not a list of tables", format!("write each as [[{key}]] with its keys below"));
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let (path, line) = (format!("{}[{index}]", self.name(key)), Some(self.gather.line(&item.span())));
            match item.get_ref() {
                DeValue::Table(table) => {
                    found.push(Section { gather: self.gather, path, table: Some(table), line, asked: RefCell::default() });
                }
                _ => self.gather.report(line, path, "is not a table", format!("write it as [[{key}]] with its keys below")),
            }
        }
        found
    }

    /// Whether the file has that key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.get(key).is_some())
    }

    /// A problem with the value of `key` (or its absence) that only the caller can see.
    pub(super) fn report(&self, key: &str, message: impl Display, advice: impl Into<String>) {
        let line = self.table.and_then(|table| table.get(key)).map(|value| self.gather.line(&value.span())).or(self.line);
        self.gather.report(line, self.name(key), message, advice);
    }

    /// The value of `key` through `parse`; a value that does not parse is reported with `advice` and reads as absent.
    pub(super) fn parsed<T, E: Display>(&self, key: &'static str, advice: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        self.scalar(key, Kind::Text, advice)?.and_then(|scalar| match parse(&scalar.text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report_value(key, &scalar, error, advice);
                None
            }
        })
    }

    pub(super) fn text(&self, key: &'static str, advice: &str) -> Option<String> {
        self.parsed(key, advice, |text| if text.is_empty() { Err("is empty") } else { Ok(text.to_owned()) })
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        const ADVICE: &str = "write true or false";
        let Some(Some(scalar)) = self.scalar(key, Kind::Flag, ADVICE) else { return default };
        scalar.text.parse().unwrap_or_else(|_| {
            self.report_value(key, &scalar, "is not a truth value", ADVICE);
            default
        })
    }

    pub(super) fn number(&self, key: &'static str, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        let advice = format!("write a whole number from {} to {}", allowed.start(), allowed.end());
        let Some(Some(scalar)) = self.scalar(key, Kind::Number, &advice) else { return default };
        match scalar.text.replace('_', "").parse() {
            Ok(number) if allowed.contains(&number) => number,
            _ => {
                self.report_value(key, &scalar, "is out of range", &advice);
                default
            }
        }
    }

    /// A number that may have a fraction.
    pub(super) fn float(&self, key: &'static str, allowed: RangeInclusive<f64>) -> Option<f64> {
        let advice = format!("write a number from {} to {}", allowed.start(), allowed.end());
        let scalar = self.scalar(key, Kind::Number, &advice)??;
        let number = scalar.text.replace('_', "").parse().ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            self.report_value(key, &scalar, "is out of range", &advice);
        }
        number
    }

    pub(super) fn duration(&self, key: &'static str, default: Duration, allowed: RangeInclusive<Duration>) -> Duration {
        self.optional_duration(key, allowed).unwrap_or(default)
    }

    pub(super) fn optional_duration(&self, key: &'static str, allowed: RangeInclusive<Duration>) -> Option<Duration> {
        let advice =
            format!("write a time with its unit, \"500ms\", \"2.5s\", \"10m\", \"1h\", from {:?} to {:?}", allowed.start(), allowed.end());
        self.parsed(key, &advice, |text| match parse_duration(text) {
            None => Err("is not a time with a unit"),
            Some(time) if allowed.contains(&time) => Ok(time),
            Some(_) => Err("is out of range"),
        })
    }

    /// A size: a number of bytes, or text with a unit.
    pub(super) fn bytes(&self, key: &'static str, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        let advice = format!("write a size, \"64 MiB\", from {} to {} bytes", allowed.start(), allowed.end());
        let Some(value) = self.find_scalar(key) else { return default };
        let parsed = value.as_ref().and_then(|scalar| parse_bytes(&scalar.text)).filter(|bytes| allowed.contains(bytes));
        parsed.unwrap_or_else(|| {
            self.report(key, "is not a size in the allowed range", advice);
            default
        })
    }

    pub(super) fn address(&self, key: &'static str, default: SocketAddr) -> SocketAddr {
        self.parsed(key, "write an IP address and a port, \"127.0.0.1:8080\" or \"[::]:8443\"", |text| {
            text.parse().map_err(|_| "is not an address with a port")
        })
        .unwrap_or(default)
    }

    /// A list of texts; from the environment, with commas between them.
    pub(super) fn texts(&self, key: &'static str, advice: &str) -> Vec<String> {
        let found = self.find(key);
        if let Some(text) = self.gather.env.get(&(self.path.clone(), key.to_owned())) {
            return text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
        }
        let Some(value) = found else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.report(key, "is not a list", advice);
            return Vec::new();
        };
        let texts: Vec<String> = items.iter().filter_map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
        if texts.len() != items.len() {
            self.report(key, "holds something that is not text", advice);
        }
        texts
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.into_inner();
        let prefix = if self.path.is_empty() { String::new() } else { format!("{}.", self.path) };
        for key in self.table.into_iter().flat_map(|table| table.keys()) {
            if !asked.contains(&**key.get_ref()) {
                let line = Some(self.gather.line(&key.span()));
                self.gather.report(line, format!("{prefix}{}", key.get_ref()), "unknown key", suggestion(key.get_ref(), &asked));
            }
        }
        // The gateway has a table [collector] of its own, whose overrides are none of our business.
        for (table, key) in self.gather.env.keys().filter(|(table, _)| *table == self.path && table != "collector") {
            if !asked.contains(key.as_str()) {
                let name = format!("{ENV_PREFIX}{}__{}", table.to_ascii_uppercase(), key.to_ascii_uppercase());
                self.gather.report(None, name, "unknown key in the environment", suggestion(key, &asked));
            }
        }
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn find(&self, key: &'static str) -> Option<&'g Spanned<DeValue<'t>>> {
        self.asked.borrow_mut().insert(key);
        self.table.and_then(|table| table.get(key))
    }

    /// `None`: absent. `Some(None)`: there, but a table or an array.
    fn find_scalar(&self, key: &'static str) -> Option<Option<Scalar<'g>>> {
        let found = self.find(key);
        if let Some(text) = self.gather.env.get(&(self.path.clone(), key.to_owned())) {
            return Some(Some(Scalar { text: Cow::Borrowed(text), kind: Kind::Env }));
        }
        found.map(|value| match value.get_ref() {
            DeValue::String(text) => Some(Scalar { text: Cow::Borrowed(text), kind: Kind::Text }),
            DeValue::Integer(number) => Some(Scalar { text: Cow::Owned(number.to_string()), kind: Kind::Number }),
            DeValue::Float(number) => Some(Scalar { text: Cow::Owned(number.to_string()), kind: Kind::Number }),
            DeValue::Boolean(flag) => Some(Scalar { text: Cow::Owned(flag.to_string()), kind: Kind::Flag }),
            DeValue::Datetime(time) => Some(Scalar { text: Cow::Owned(time.to_string()), kind: Kind::Text }),
            DeValue::Array(_) | DeValue::Table(_) => None,
        })
    }

    /// As [`Section::find_scalar`], with a value of another kind reported.
    fn scalar(&self, key: &'static str, kind: Kind, advice: &str) -> Option<Option<Scalar<'g>>> {
        let found = self.find_scalar(key)?;
        match found {
            Some(scalar) if scalar.kind == kind || scalar.kind == Kind::Env => Some(Some(scalar)),
            _ => {
                self.report(key, "is of the wrong type", advice);
                Some(None)
            }
        }
    }

    fn report_value(&self, key: &str, scalar: &Scalar<'_>, message: impl Display, advice: &str) {
        let text = &scalar.text;
        if scalar.kind == Kind::Env {
            let name = format!("{ENV_PREFIX}{}__{}", self.path.to_ascii_uppercase(), key.to_ascii_uppercase());
            self.gather.report(None, name, format_args!("{text:?} {message}"), advice);
        } else {
            self.report(key, format_args!("{text:?} {message}"), advice);
        }
    }
}

fn suggestion(key: &str, known: &BTreeSet<&'static str>) -> String {
    let near = known.iter().map(|candidate| (distance(key, candidate), candidate)).min();
    match near {
        Some((distance, candidate)) if distance <= 2 => format!("did you mean {candidate:?}?"),
        _ => format!("known here: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
    }
}

/// Edits (insert, remove, replace) between two short texts.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// `"500ms"`, `"2.5s"`, `"10m"`, `"1h"`, `"7d"`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = (text[..split].trim(), text[split..].trim());
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// `"1048576"`, `"64 KiB"`, `"1 GiB"`, `"10 MB"`.
fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..split].trim().replace('_', ""), text[split..].trim());
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
