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
//! values                    of each group (`values.rs`)
//! quality, time quality, correction     integer columns
//! ```
//! Groups part the series by the unit of their numbers; the encoder is free in how.

use std::collections::HashMap;

use crate::{
    Quality, TimeQuality, Timestamp, WindowSummary,
    codec::{
        DecodeError, EncodeError,
        columns::{Column, Scale, Shape, put_ints, read_ints},
        limits::{SERIES_WEIGHT, Tally},
        records::{Names, NamesBuilder, advance, at, values},
        wire::{self, Cursor},
    },
};

/// A group of fewer rows than this joins another: the heads of its columns cost more than its own unit wins.
const GROUP_FROM_ROWS: usize = 32;

struct SeriesRow {
    names: [i64; 3],
    unit: Unit,
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
            series.push(SeriesRow { names: key, unit: Unit::Exact(Scale::COARSEST), rows: 0 });
            series.len() - 1
        });
        series[place].rows += 1;
        series[place].unit = [row.min, row.max, row.first, row.last].into_iter().fold(series[place].unit, Unit::refine);
        row_series.push(place);
    }
    tally.charge(series.len() as u64, SERIES_WEIGHT)?;

    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by_key(|&s| series[s].unit);
    let groups = part(&series, &order);
    let mut rank = vec![0usize; series.len()];
    order.iter().enumerate().for_each(|(r, &s)| rank[s] = r);

    wire::put_varint(out, series.len() as u64);
    for name in 0..3 {
        put_ints(out, &order.iter().map(|&s| series[s].names[name]).collect::<Vec<_>>(), Shape::Steady)?;
    }
    wire::put_varint(out, groups.len() as u64);
    groups.iter().for_each(|group| wire::put_varint(out, group.series as u64));
    put_ints(out, &row_series.iter().map(|&s| rank[s] as i64).collect::<Vec<_>>(), Shape::Steady)?;

    let mut sorted: Vec<(usize, &WindowSummary)> = row_series.iter().map(|&s| rank[s]).zip(rows.iter().copied()).collect();
    sorted.sort_by_key(|(r, _)| *r);
    let put = |out: &mut Vec<u8>, value: fn(&WindowSummary) -> i64| {
        put_ints(out, &sorted.iter().map(|(_, w)| value(w)).collect::<Vec<i64>>(), Shape::Steady)
    };
    put(out, |w| w.start.as_micros())?;
    put(out, |w| w.end.as_micros().wrapping_sub(w.start.as_micros()))?;
    put(out, |w| w.count as i64)?;
    let mut rest = sorted.iter().map(|(_, w)| *w);
    for group in &groups {
        values::write(out, &rest.by_ref().take(group.rows).collect::<Vec<_>>(), group.scale)?;
    }
    put(out, |w| w.quality as i64)?;
    put(out, |w| w.time_quality as i64)?;
    put(out, |w| i64::from(w.correction))
}

/// What the numbers of a series are multiples of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Exact(Scale),
    None,
}

impl Unit {
    fn refine(self, value: f64) -> Self {
        match self {
            Self::Exact(scale) => scale.refine(value).map_or(Self::None, Self::Exact),
            Self::None => Self::None,
        }
    }
}

/// Series that share the columns of their values.
struct Group {
    series: usize,
    rows: usize,
    scale: Option<Scale>,
}

/// Parts series, sorted by their unit, into groups of one unit. A small group joins the next finer unit, if that is of the same family
/// (multiples of the coarser are multiples of the finer); families never share, for their common unit is no unit at all.
fn part(series: &[SeriesRow], order: &[usize]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for &s in order {
        let SeriesRow { unit, rows, .. } = series[s];
        let scale = if let Unit::Exact(scale) = unit { Some(scale) } else { None };
        match groups.last_mut() {
            Some(group) if group.scale == scale || (group.rows < GROUP_FROM_ROWS && same_family(group.scale, scale)) => {
                group.series += 1;
                group.rows += rows;
                group.scale = scale;
            }
            _ => groups.push(Group { series: 1, rows, scale }),
        }
    }
    groups
}

fn same_family(a: Option<Scale>, b: Option<Scale>) -> bool {
    matches!((a, b), (Some(Scale::Decimal(_)), Some(Scale::Decimal(_))) | (Some(Scale::Binary(_)), Some(Scale::Binary(_))))
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
    values: [Vec<f64>; 6],
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
        let start = read_ints(cursor, rows, "window start")?;
        let length = read_ints(cursor, rows, "window length")?;
        let count = read_ints(cursor, rows, "window count")?;
        let mut values = [const { Vec::new() }; 6];
        values.iter_mut().for_each(|field| field.reserve_exact(rows));
        for rows in group_rows {
            values::read(cursor, rows, &count, &mut values)?;
        }
        Ok(Self {
            series,
            places,
            row_series,
            next: 0,
            start,
            length,
            count,
            values,
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
        let [min, max, mean, stddev, first, last] = &self.values;
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
