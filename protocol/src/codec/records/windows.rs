//! The table of window summaries, laid out by series (asset, signal and unit), so that each column runs through one signal's values after
//! another's instead of jumping between them row by row.
//!
//! ```text
//! series                    varint: how many, at most one a row
//! asset, signal, unit       integer columns of one row a series: indices into the dictionaries
//! groups                    varint: how many; then as many varints: how many series each holds
//! row series                integer column: the series of each row, in the order of the rows
//! -- from here on rows are in the order of their series, and within one in the order of the rows
//! start, length, count      integer columns
//! min max mean stddev first last    each one float column a group
//! quality, time quality, correction integer columns
//! ```
//! Groups part the series by the kind of their numbers (decimals of so many places, singles, doubles): the encoder is free in how.

use std::collections::HashMap;

use crate::{
    Quality, TimeQuality, Timestamp, WindowSummary,
    codec::{
        DecodeError, EncodeError,
        columns::{Column, FloatKind, put_floats, put_ints, read_floats, read_ints},
        limits::{SERIES_WEIGHT, Tally},
        records::{Names, NamesBuilder, advance, at},
        wire::{self, Cursor},
    },
};

type Field = fn(&WindowSummary) -> f64;
const FIELDS: [Field; 6] = [|w| w.min, |w| w.max, |w| w.mean, |w| w.stddev, |w| w.first, |w| w.last];
const FIELD_NAMES: [&str; 6] = ["min", "max", "mean", "stddev", "first", "last"];

/// Below this many rows the head of another column costs more than parting the series wins.
const GROUP_FROM_ROWS: usize = 64;

struct SeriesRow {
    names: [i64; 3],
    kind: FloatKind,
    rows: usize,
}

pub(crate) fn write<'a>(
    out: &mut Vec<u8>,
    rows: &[&'a WindowSummary],
    names: &mut NamesBuilder<'a>,
    tally: &mut Tally,
) -> Result<(), EncodeError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut series: Vec<SeriesRow> = Vec::new();
    let mut places = HashMap::new();
    let mut row_series = Vec::with_capacity(rows.len());
    for row in rows {
        tally.charge_text(row.unit.len())?;
        let key = [names.asset(&row.asset), names.signal(&row.signal), names.text(&row.unit)];
        let place = *places.entry(key).or_insert_with(|| {
            series.push(SeriesRow { names: key, kind: FloatKind::of(row.last), rows: 0 });
            series.len() - 1
        });
        series[place].rows += 1;
        if rows.len() >= GROUP_FROM_ROWS {
            series[place].kind =
                [row.min, row.max, row.first, row.last].map(FloatKind::of).into_iter().fold(series[place].kind, FloatKind::widen);
        }
        row_series.push(place);
    }
    tally.charge(series.len() as u64, SERIES_WEIGHT)?;

    let mut order: Vec<usize> = (0..series.len()).collect();
    if rows.len() >= GROUP_FROM_ROWS {
        order.sort_by_key(|&s| series[s].kind);
    }
    let groups: Vec<&[usize]> =
        if rows.len() >= GROUP_FROM_ROWS { order.chunk_by(|&a, &b| series[a].kind == series[b].kind).collect() } else { vec![&order] };
    let mut rank = vec![0usize; series.len()];
    order.iter().enumerate().for_each(|(r, &s)| rank[s] = r);

    wire::put_varint(out, series.len() as u64);
    for name in 0..3 {
        put_ints(out, &order.iter().map(|&s| series[s].names[name]).collect::<Vec<_>>())?;
    }
    wire::put_varint(out, groups.len() as u64);
    groups.iter().for_each(|group| wire::put_varint(out, group.len() as u64));
    put_ints(out, &row_series.iter().map(|&s| rank[s] as i64).collect::<Vec<_>>())?;

    let mut sorted: Vec<(usize, &WindowSummary)> = row_series.iter().map(|&s| rank[s]).zip(rows.iter().copied()).collect();
    sorted.sort_by_key(|(r, _)| *r);
    let ints = |value: fn(&WindowSummary) -> i64| sorted.iter().map(|(_, w)| value(w)).collect::<Vec<i64>>();
    put_ints(out, &ints(|w| w.start.as_micros()))?;
    put_ints(out, &ints(|w| w.end.as_micros().wrapping_sub(w.start.as_micros())))?;
    put_ints(out, &ints(|w| w.count as i64))?;
    for field in FIELDS {
        let mut from = 0;
        for group in &groups {
            let to = from + group.iter().map(|&s| series[s].rows).sum::<usize>();
            put_floats(out, &sorted[from..to].iter().map(|(_, w)| field(w)).collect::<Vec<_>>())?;
            from = to;
        }
    }
    put_ints(out, &ints(|w| w.quality as i64))?;
    put_ints(out, &ints(|w| w.time_quality as i64))?;
    put_ints(out, &ints(|w| i64::from(w.correction)))
}

/// The columns, and for each series the place of its next row in them.
#[derive(Debug)]
pub(crate) struct Windows {
    series: [Column<i64>; 3],
    places: Vec<usize>,
    row_series: Column<i64>,
    next: usize,
    start: Column<i64>,
    length: Column<i64>,
    count: Column<i64>,
    fields: [Vec<f64>; 6],
    quality: Column<i64>,
    time_quality: Column<i64>,
    correction: Column<i64>,
}

impl Windows {
    pub(crate) fn read(cursor: &mut Cursor<'_>, rows: usize, tally: &mut Tally) -> Result<Self, DecodeError> {
        let series_count = if rows == 0 { 0 } else { cursor.length("series")? };
        if series_count > rows || (rows > 0 && series_count == 0) {
            return Err(DecodeError::Malformed { what: "series" });
        }
        tally.charge(series_count as u64, SERIES_WEIGHT)?;
        let series = [
            read_ints(cursor, series_count, "series asset")?,
            read_ints(cursor, series_count, "series signal")?,
            read_ints(cursor, series_count, "series unit")?,
        ];
        let groups = read_groups(cursor, series_count)?;
        let row_series = read_ints(cursor, rows, "row series")?;
        let mut sizes = vec![0usize; series_count];
        for row in 0..rows {
            *super::index_mut(&mut sizes, row_series.at(row), "row series")? += 1;
        }
        let mut group_rows = Vec::with_capacity(groups.len());
        let mut from = 0;
        for group in groups {
            group_rows.push(sizes[from..from + group].iter().sum());
            from += group;
        }
        let mut total = 0;
        let places = sizes
            .iter()
            .map(|size| {
                total += size;
                total - size
            })
            .collect();
        Ok(Self {
            series,
            places,
            row_series,
            next: 0,
            start: read_ints(cursor, rows, "window start")?,
            length: read_ints(cursor, rows, "window length")?,
            count: read_ints(cursor, rows, "window count")?,
            fields: read_fields(cursor, rows, &group_rows)?,
            quality: read_ints(cursor, rows, "window quality")?,
            time_quality: read_ints(cursor, rows, "window time quality")?,
            correction: read_ints(cursor, rows, "window correction")?,
        })
    }

    /// The next row; at most as many times as there are rows.
    pub(crate) fn next(&mut self, names: &Names, tally: &mut Tally) -> Result<WindowSummary, DecodeError> {
        let series = self.row_series.at(self.next) as usize;
        self.next += 1;
        let row = advance(&mut self.places[series]);
        let [asset, signal, unit] = &self.series;
        let [min, max, mean, stddev, first, last] = &self.fields;
        let start = self.start.at(row);
        Ok(WindowSummary {
            asset: names.asset(asset.at(series))?,
            signal: names.signal(signal.at(series))?,
            unit: names.text(unit.at(series), tally)?,
            start: Timestamp::from_micros(start),
            end: Timestamp::from_micros(start.wrapping_add(self.length.at(row))),
            count: self.count.at(row) as u64,
            min: min[row],
            max: max[row],
            mean: mean[row],
            stddev: stddev[row],
            first: first[row],
            last: last[row],
            quality: *at(Quality::ALL, self.quality.at(row), "window quality")?,
            time_quality: *at(TimeQuality::ALL, self.time_quality.at(row), "window time quality")?,
            correction: *at(&[false, true], self.correction.at(row), "window correction")?,
        })
    }
}

/// How many series each group holds; together all of them.
fn read_groups(cursor: &mut Cursor<'_>, series: usize) -> Result<Vec<usize>, DecodeError> {
    const WHAT: &str = "series groups";
    if series == 0 {
        return Ok(Vec::new());
    }
    let count = cursor.length(WHAT)?;
    if count > series {
        return Err(DecodeError::Malformed { what: WHAT });
    }
    let mut left = series;
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        let size = cursor.length(WHAT)?;
        left = left.checked_sub(size).ok_or(DecodeError::Malformed { what: WHAT })?;
        groups.push(size);
    }
    if left == 0 { Ok(groups) } else { Err(DecodeError::Malformed { what: WHAT }) }
}

fn read_fields(cursor: &mut Cursor<'_>, rows: usize, group_rows: &[usize]) -> Result<[Vec<f64>; 6], DecodeError> {
    let mut fields = [const { Vec::new() }; 6];
    for (field, name) in fields.iter_mut().zip(FIELD_NAMES) {
        field.reserve_exact(rows);
        for &group in group_rows {
            read_floats(cursor, group, name)?.append_to(group, field);
        }
    }
    Ok(fields)
}
