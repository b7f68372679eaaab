//! Records as tables of columns, one table a kind of record; blocks and batches both carry this section.
//!
//! ```text
//! rows                      varint
//! kinds                     integer column: which table each row is in, in the order of the rows
//! assets, signals, texts    dictionaries (`dictionary.rs`)
//! tables                    windows, anomalies, states, parts, losses: those that have rows, in this order
//! ```
//! Within a table the rows keep their order, except that windows are laid out by series (`windows.rs`).

mod events;
mod values;
mod windows;

use crate::{
    AssetPath, Record, SignalName,
    codec::{
        DecodeError, EncodeError, Limits,
        columns::{Column, Shape, put_ints, read_ints},
        dictionary,
        limits::{ROW_WEIGHT, Tally},
        wire::{self, Cursor},
    },
};

const KINDS: usize = 5;

/// Writes the section.
pub(crate) fn write<'a>(
    out: &mut Vec<u8>,
    records: impl Iterator<Item = &'a Record> + Clone,
    tally: &mut Tally,
    limits: &Limits,
) -> Result<(), EncodeError> {
    let kinds: Vec<i64> = records.clone().map(kind_of).collect();
    if kinds.len() > limits.max_rows {
        return Err(EncodeError::TooManyRows { rows: kinds.len() as u64, max: limits.max_rows as u64 });
    }
    tally.charge(kinds.len() as u64, ROW_WEIGHT)?;
    wire::put_varint(out, kinds.len() as u64);
    put_ints(out, &kinds, Shape::Steady)?;

    let mut windows = Vec::new();
    let mut anomalies = Vec::new();
    let mut states = Vec::new();
    let mut parts = Vec::new();
    let mut losses = Vec::new();
    for record in records {
        match record {
            Record::Window(row) => windows.push(row),
            Record::Anomaly(row) => anomalies.push(row),
            Record::State(row) => states.push(row),
            Record::Parts(row) => parts.push(row),
            Record::Loss(row) => losses.push(row),
        }
    }
    let mut names = NamesBuilder::default();
    let mut tables = Vec::new();
    windows::write(&mut tables, &windows, &mut names, tally)?;
    events::write_anomalies(&mut tables, &anomalies, &mut names, tally)?;
    events::write_states(&mut tables, &states, &mut names, tally)?;
    events::write_parts(&mut tables, &parts, &mut names)?;
    events::write_losses(&mut tables, &losses, &mut names, tally)?;

    names.assets.write(out, tally)?;
    names.signals.write(out, tally)?;
    names.texts.write(out, tally)?;
    out.extend_from_slice(&tables);
    Ok(())
}

/// All columns of a section, decompressed; gives its records one by one.
#[derive(Debug)]
pub(crate) struct Reader {
    rows: usize,
    next: usize,
    kinds: Column<i64>,
    names: Names,
    windows: windows::Windows,
    anomalies: events::Anomalies,
    states: events::States,
    parts: events::Parts,
    losses: events::Losses,
}

impl Reader {
    pub(crate) fn open(cursor: &mut Cursor<'_>, tally: &mut Tally, limits: &Limits) -> Result<Self, DecodeError> {
        let rows = cursor.length("row count")?;
        if rows > limits.max_rows {
            return Err(DecodeError::TooManyRows { rows: rows as u64, max: limits.max_rows as u64 });
        }
        tally.charge(rows as u64, ROW_WEIGHT)?;
        let kinds = read_ints(cursor, rows, "record kinds")?;
        let mut counts = [0usize; KINDS];
        for row in 0..rows {
            *index_mut(&mut counts, kinds.at(row), "record kinds")? += 1;
        }
        let names = Names::read(cursor, tally)?;
        let [windows, anomalies, states, parts, losses] = counts;
        Ok(Self {
            rows,
            next: 0,
            kinds,
            names,
            windows: windows::Windows::read(cursor, windows, tally)?,
            anomalies: events::Anomalies::read(cursor, anomalies)?,
            states: events::States::read(cursor, states)?,
            parts: events::Parts::read(cursor, parts)?,
            losses: events::Losses::read(cursor, losses)?,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The next record; `None` after the last.
    pub(crate) fn next(&mut self, tally: &mut Tally) -> Result<Option<Record>, DecodeError> {
        if self.next == self.rows {
            return Ok(None);
        }
        let kind = self.kinds.at(self.next);
        self.next += 1;
        Ok(Some(match kind {
            0 => Record::Window(self.windows.next(&self.names, tally)?),
            1 => Record::Anomaly(self.anomalies.next(&self.names, tally)?),
            2 => Record::State(self.states.next(&self.names, tally)?),
            3 => Record::Parts(self.parts.next(&self.names)?),
            _ => Record::Loss(self.losses.next(&self.names, tally)?),
        }))
    }
}

fn kind_of(record: &Record) -> i64 {
    match record {
        Record::Window(_) => 0,
        Record::Anomaly(_) => 1,
        Record::State(_) => 2,
        Record::Parts(_) => 3,
        Record::Loss(_) => 4,
    }
}

#[derive(Debug, Default)]
struct NamesBuilder<'a> {
    assets: dictionary::Builder<'a>,
    signals: dictionary::Builder<'a>,
    texts: dictionary::Builder<'a>,
}

impl<'a> NamesBuilder<'a> {
    fn asset(&mut self, asset: &'a AssetPath) -> i64 {
        self.assets.index(asset.as_str()) as i64
    }

    fn signal(&mut self, signal: &'a SignalName) -> i64 {
        self.signals.index(signal.as_str()) as i64
    }

    fn text(&mut self, text: &'a str) -> i64 {
        self.texts.index(text) as i64
    }
}

/// The dictionaries of a section.
#[derive(Debug)]
struct Names {
    assets: Vec<AssetPath>,
    signals: Vec<SignalName>,
    texts: Vec<String>,
}

impl Names {
    fn read(cursor: &mut Cursor<'_>, tally: &mut Tally) -> Result<Self, DecodeError> {
        Ok(Self {
            assets: dictionary::read(cursor, tally, "assets", |text| Ok(AssetPath::new(text)?))?,
            signals: dictionary::read(cursor, tally, "signals", |text| Ok(SignalName::new(text)?))?,
            texts: dictionary::read(cursor, tally, "texts", |text| Ok(text.to_owned()))?,
        })
    }

    fn asset(&self, index: i64) -> Result<AssetPath, DecodeError> {
        at(&self.assets, index, "asset").cloned()
    }

    fn signal(&self, index: i64) -> Result<SignalName, DecodeError> {
        at(&self.signals, index, "signal").cloned()
    }

    /// A copy of a text, charged for: many rows may refer to one long text.
    fn text(&self, index: i64, tally: &mut Tally) -> Result<String, DecodeError> {
        let text = at(&self.texts, index, "text")?;
        tally.charge_text(text.len())?;
        Ok(text.clone())
    }
}

/// What a column's value points at.
fn at<'a, T>(items: &'a [T], index: i64, what: &'static str) -> Result<&'a T, DecodeError> {
    usize::try_from(index).ok().and_then(|i| items.get(i)).ok_or(DecodeError::Malformed { what })
}

fn index_mut<'a, T>(items: &'a mut [T], index: i64, what: &'static str) -> Result<&'a mut T, DecodeError> {
    usize::try_from(index).ok().and_then(|i| items.get_mut(i)).ok_or(DecodeError::Malformed { what })
}

/// The place before it moves on by one.
fn advance(place: &mut usize) -> usize {
    *place += 1;
    *place - 1
}
