//! Takes typed values out of a table's keys; what is wrong or unknown becomes a problem, and reading goes on.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs,
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use super::{
    Floor, Place, Problem, Secret,
    tree::{Node, Value},
    values,
};

/// Problems of all sections.
pub(super) type Problems = RefCell<Vec<Problem>>;

/// One table of the configuration. Each getter makes its key known; [`Section::finish`] reports the others.
pub(super) struct Section<'a> {
    path: String,
    pub(super) place: Place,
    entries: Option<&'a BTreeMap<String, Node>>,
    known: RefCell<BTreeSet<String>>,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    pub(super) fn root(node: &'a Node, problems: &'a Problems) -> Self {
        Self::new(String::new(), node, problems)
    }

    fn new(path: String, node: &'a Node, problems: &'a Problems) -> Self {
        let entries = match &node.value {
            Value::Table(entries) => Some(entries),
            other => {
                let message = format!("must be a table, not {}", other.kind());
                problems.borrow_mut().push(Problem { place: node.place.clone(), key: path.clone(), message });
                None
            }
        };
        Self { path, place: node.place.clone(), entries, known: RefCell::default(), problems }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.known.borrow_mut().insert(key.to_owned());
        self.entries.and_then(|entries| entries.get(key))
    }

    /// Reports a problem of `key` (or of this section, with an empty key).
    pub(super) fn problem(&self, key: &str, message: impl Display) {
        let place = self.entries.and_then(|entries| entries.get(key)).map_or_else(|| self.place.clone(), |node| node.place.clone());
        let key = if key.is_empty() { self.path.clone() } else { self.path_of(key) };
        self.problems.borrow_mut().push(Problem { place, key, message: message.to_string() });
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// A table; `None` if it isn't there.
    pub(super) fn section(&self, key: &str) -> Option<Section<'a>> {
        self.node(key).map(|node| Section::new(self.path_of(key), node, self.problems))
    }

    /// A table; an empty one if it isn't there.
    pub(super) fn section_or_empty(&self, key: &str) -> Section<'a> {
        self.section(key).unwrap_or_else(|| Section {
            path: self.path_of(key),
            place: Place::File,
            entries: None,
            known: RefCell::default(),
            problems: self.problems,
        })
    }

    /// All tables of a list, at most `max`.
    pub(super) fn sections(&self, key: &str, max: usize) -> Vec<Section<'a>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::Array(items) = &node.value else {
            self.problem(key, format_args!("must be a list of tables, written [[{}]]", self.path_of(key)));
            return Vec::new();
        };
        if items.len() > max {
            self.problem(key, format_args!("has {} entries, more than {max}", items.len()));
        }
        items
            .iter()
            .take(max)
            .enumerate()
            .map(|(i, item)| Section::new(format!("{}[{i}]", self.path_of(key)), item, self.problems))
            .collect()
    }

    /// Keys of this table as they stand, for tables whose keys are free.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let keys: Vec<&str> = self.entries.iter().flat_map(|entries| entries.keys()).map(String::as_str).collect();
        self.known.borrow_mut().extend(keys.iter().map(|k| (*k).to_owned()));
        keys
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        match &self.node(key)?.value {
            Value::Text(text) | Value::Raw(text) if text.len() > 4_096 => {
                self.problem(key, "is longer than 4096 bytes");
                None
            }
            Value::Text(text) | Value::Raw(text) => Some(text.clone()),
            other => {
                self.problem(key, format_args!("must be a text in quotes, not {}", other.kind()));
                None
            }
        }
    }

    /// A text that may not be missing; `hint` says what to write.
    pub(super) fn required_text(&self, key: &str, hint: &str) -> Option<String> {
        if !self.has(key) {
            self.problem(key, format_args!("is missing; {hint}"));
        }
        self.text(key)
    }

    /// A text that `T` can be made of.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        text.parse().map_err(|error| self.problem(key, format_args!("{text:?} can't be used: {error}"))).ok()
    }

    /// The same, not to be missing.
    pub(super) fn required<T: FromStr<Err: Display>>(&self, key: &str, hint: &str) -> Option<T> {
        if !self.has(key) {
            self.problem(key, format_args!("is missing; {hint}"));
        }
        self.parsed(key)
    }

    /// One of some names.
    pub(super) fn choice<T: Copy>(&self, key: &str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(key) else { return default };
        choices.iter().find(|(name, _)| *name == text).map_or_else(
            || {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                self.problem(key, format_args!("{text:?} is none of {}", names.join(", ")));
                default
            },
            |(_, value)| *value,
        )
    }

    pub(super) fn integer(&self, key: &str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some(node) = self.node(key) else { return default };
        let value = match &node.value {
            Value::Integer(value) => Some(*value),
            Value::Raw(text) => text.trim().parse().ok(),
            _ => None,
        };
        match value {
            Some(value) if range.contains(&value) => value,
            Some(value) => {
                self.problem(key, format_args!("{value} is out of range; allowed is {} to {}", range.start(), range.end()));
                default
            }
            None => {
                self.problem(key, format_args!("must be a whole number, not {}", node.value.kind()));
                default
            }
        }
    }

    /// [`Section::integer`] as a count or size.
    pub(super) fn count(&self, key: &str, default: usize, range: RangeInclusive<usize>) -> usize {
        let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        usize::try_from(self.integer(key, signed(default), signed(*range.start())..=signed(*range.end()))).unwrap_or(default)
    }

    pub(super) fn float(&self, key: &str) -> Option<f64> {
        let node = self.node(key)?;
        let value = match &node.value {
            Value::Float(value) => Some(*value),
            Value::Integer(value) => Some(*value as f64),
            Value::Raw(text) => text.trim().parse().ok(),
            _ => None,
        };
        match value {
            Some(value) if value.is_finite() => Some(value),
            Some(_) => {
                self.problem(key, "must be finite");
                None
            }
            None => {
                self.problem(key, format_args!("must be a number, not {}", node.value.kind()));
                None
            }
        }
    }

    pub(super) fn float_in(&self, key: &str, default: f64, range: RangeInclusive<f64>) -> f64 {
        match self.float(key) {
            Some(value) if !range.contains(&value) => {
                self.problem(key, format_args!("{value} is out of range; allowed is {} to {}", range.start(), range.end()));
                default
            }
            Some(value) => value,
            None => default,
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        let Some(node) = self.node(key) else { return default };
        let value = match &node.value {
            Value::Bool(value) => Some(*value),
            Value::Raw(text) => text.trim().parse().ok(),
            _ => None,
        };
        value.unwrap_or_else(|| {
            self.problem(key, format_args!("must be true or false, not {}", node.value.kind()));
            default
        })
    }

    pub(super) fn duration(&self, key: &str, default: Duration, range: RangeInclusive<Duration>) -> Duration {
        let Some(node) = self.node(key) else { return default };
        let (Value::Text(text) | Value::Raw(text)) = &node.value else {
            self.problem(key, format_args!("must be a duration in quotes, as in \"5s\", not {}", node.value.kind()));
            return default;
        };
        match values::duration(text) {
            Ok(value) if range.contains(&value) => value,
            Ok(_) => {
                let (from, to) = (values::show(*range.start()), values::show(*range.end()));
                self.problem(key, format_args!("{text:?} is out of range; allowed is {from} to {to}"));
                default
            }
            Err(message) => {
                self.problem(key, message);
                default
            }
        }
    }

    pub(super) fn bytes(&self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(node) = self.node(key) else { return default };
        let value = match &node.value {
            Value::Text(text) | Value::Raw(text) => values::bytes(text),
            Value::Integer(value) => u64::try_from(*value).map_err(|_| format!("{value} is negative")),
            other => Err(format!("must be a size, as in \"64MiB\", not {}", other.kind())),
        };
        match value {
            Ok(value) if range.contains(&value) => value,
            Ok(value) => {
                self.problem(key, format_args!("{value} bytes is out of range; allowed is {} to {}", range.start(), range.end()));
                default
            }
            Err(message) => {
                self.problem(key, message);
                default
            }
        }
    }

    /// A share of a volume (`10%`) or a size.
    pub(super) fn floor(&self, key: &str, default: Floor) -> Floor {
        if let Some(Value::Text(text) | Value::Raw(text)) = self.node(key).map(|node| &node.value)
            && let Some(number) = text.trim().strip_suffix('%')
        {
            return match number.trim().parse() {
                Ok(percent @ 0..=90) => Floor::Percent(percent),
                _ => {
                    self.problem(
                        key,
                        format_args!("{text:?} is no share; write a whole number from 0% to 90%, or a size as in \"512MiB\""),
                    );
                    default
                }
            };
        }
        if self.has(key) { Floor::Bytes(self.bytes(key, 0, 0..=1 << 50)) } else { default }
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        let text = self.text(key)?;
        if text.is_empty() {
            self.problem(key, "is empty; write a path or leave the key out");
            return None;
        }
        Some(PathBuf::from(text))
    }

    /// The content of the file that the key names, without white space at the ends.
    pub(super) fn secret_file(&self, key: &str) -> Option<Secret> {
        let path = self.path(key)?;
        match fs::read_to_string(&path) {
            Ok(text) if text.len() <= 1 << 20 => Some(Secret::new(text.trim())),
            Ok(_) => {
                self.problem(key, format_args!("{} is larger than 1 MiB", path.display()));
                None
            }
            Err(error) => {
                self.problem(key, format_args!("{} can't be read: {error}", path.display()));
                None
            }
        }
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (key, node) in self.entries.into_iter().flatten().filter(|(key, _)| !known.contains(*key)) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let message = match values::nearest(key, known.iter().copied()) {
                Some(near) => format!("unknown key; did you mean {near:?}?"),
                None => format!("unknown key; known here: {}", known.join(", ")),
            };
            self.problems.borrow_mut().push(Problem { place: node.place.clone(), key: self.path_of(key), message });
        }
    }
}
