//! TOML text and environment overrides as nodes that know where they came from.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::{ENV_PREFIX, Place, Problem};

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// From the environment: its type is what the key wants.
    Raw(String),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// A kind of value that no key takes (a date), by its name.
    Other(&'static str),
}

impl Value {
    /// For messages: "a text", "a table".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Raw(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads `text`; what can't be read is a problem, the rest is still there.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Node {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = error.span().map_or(Place::File, |span| Place::Line(lines.at(span.start)));
        problems.push(Problem { place, key: String::new(), message: format!("not valid TOML: {}", error.message()) });
    }
    let mut root = Node { place: Place::File, value: Value::Table(BTreeMap::new()) };
    if let Value::Table(entries) = &mut root.value {
        *entries = read_table(table.get_ref(), &lines, problems);
    }
    root
}

fn read_table(table: &DeTable<'_>, lines: &Lines, problems: &mut Vec<Problem>) -> BTreeMap<String, Node> {
    let mut entries = BTreeMap::new();
    for (key, value) in table {
        let line = lines.at(key.span().start);
        let node = read_value(value.get_ref(), line, lines, problems);
        entries.insert(key.get_ref().to_string(), node);
    }
    entries
}

fn read_value(value: &DeValue<'_>, line: usize, lines: &Lines, problems: &mut Vec<Problem>) -> Node {
    let place = Place::Line(line);
    let mut bad = |message: String| {
        problems.push(Problem { place: Place::Line(line), key: String::new(), message });
        Value::Other("a number out of range")
    };
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(error) => bad(format!("{} is no whole number: {error}", number.as_str())),
        },
        DeValue::Float(number) => match number.as_str().replace('_', "").parse() {
            Ok(number) => Value::Float(number),
            Err(error) => bad(format!("{} is no number: {error}", number.as_str())),
        },
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::Array(
            items.iter().map(|item| read_value(item.get_ref(), lines.at(item.span().start).max(line), lines, problems)).collect(),
        ),
        DeValue::Table(table) => Value::Table(read_table(table, lines, problems)),
    };
    Node { place, value }
}

/// Puts the overrides of `env` into the tree: `…__WINDOW__LENGTH` is `window.length`, `…__DATA_DIR` alone is `gateway.data_dir`.
pub(super) fn apply_env(root: &mut Node, env: impl IntoIterator<Item = (String, String)>, problems: &mut Vec<Problem>) {
    let mut overrides: Vec<(String, String)> = env.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
    overrides.sort_unstable();
    for (name, text) in overrides {
        let keys = name[ENV_PREFIX.len()..].to_ascii_lowercase();
        let mut keys: Vec<&str> = keys.split("__").collect();
        if keys.len() == 1 {
            keys.insert(0, "gateway");
        }
        let place = Place::Env(name.clone());
        if let Err(message) = set(root, &keys, &place, text) {
            problems.push(Problem { place, key: keys.join("."), message });
        }
    }
}

fn set(node: &mut Node, keys: &[&str], place: &Place, text: String) -> Result<(), String> {
    let Some((key, rest)) = keys.split_first() else {
        *node = Node { place: place.clone(), value: Value::Raw(text) };
        return Ok(());
    };
    match &mut node.value {
        Value::Table(entries) => {
            let fresh = || Node { place: place.clone(), value: Value::Table(BTreeMap::new()) };
            set(entries.entry((*key).to_owned()).or_insert_with(fresh), rest, place, text)
        }
        Value::Array(items) => {
            let count = items.len();
            let item = key.parse().ok().and_then(|index: usize| items.get_mut(index));
            set(item.ok_or_else(|| format!("{key:?} is no index of a list of {count} (from 0)"))?, rest, place, text)
        }
        other => Err(format!("is {}, which holds no keys", other.kind())),
    }
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i).collect())
    }

    /// Line of a byte, from 1.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|&end| end < byte) + 1
    }
}
