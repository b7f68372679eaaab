//! The six numbers of window summaries: min, max, mean, standard deviation, first and last of a group of rows.
//!
//! A byte says how: 0xff as they are, six float columns; otherwise it names a unit (`scale.rs`) of which min, max, first and last are
//! multiples. Then mean and deviation nearly follow from integers too: with n readings of k units each, n·mean = Σk and
//! (n·stddev)² = n·Σk² − (Σk)². So there are eight integer columns:
//!
//! | column | |
//! |---|---|
//! | min | k |
//! | max, first, last | k above min |
//! | sum | Σk above n·min, as near as the mean tells it |
//! | spread | (n·stddev)² in units², as near as the deviation tells it |
//! | mean error, deviation error | how many doubles lie between what the integers give and the number itself: whatever the integers are, the number comes back bit for bit |
//!
//! This halves what noisy decimals take: the low bits of a mean and a deviation look random, but are not.

use crate::{
    WindowSummary,
    codec::{
        DecodeError, EncodeError,
        columns::{Column, Scale, Shape, put_floats, put_ints, read_floats, read_ints},
        wire::Cursor,
    },
};

const AS_THEY_ARE: u8 = 0xff;
const NAMES: [&str; 6] = ["min", "max", "mean", "stddev", "first", "last"];

/// Writes the numbers of `rows` (at least one), as integers of `scale` if all of them are.
pub(crate) fn write(out: &mut Vec<u8>, rows: &[&WindowSummary], scale: Option<Scale>) -> Result<(), EncodeError> {
    let scaled = scale.and_then(|scale| rows.iter().map(|w| ScaledRow::of(w, scale)).collect::<Option<Vec<_>>>().map(|rows| (scale, rows)));
    let Some((scale, rows)) = scaled else {
        out.push(AS_THEY_ARE);
        let fields: [fn(&WindowSummary) -> f64; 6] = [|w| w.min, |w| w.max, |w| w.mean, |w| w.stddev, |w| w.first, |w| w.last];
        return fields.into_iter().try_for_each(|field| put_floats(out, &rows.iter().map(|w| field(w)).collect::<Vec<_>>()));
    };
    out.push(scale.to_byte());
    for column in 0..COLUMNS {
        let shape = if column == 0 { Shape::Steady } else { Shape::Noise };
        put_ints(out, &rows.iter().map(|row| row.0[column]).collect::<Vec<_>>(), shape)?;
    }
    Ok(())
}

/// Reads the numbers of `rows` (at least one) rows behind those that `values` holds already; `count` is the column of all rows.
pub(crate) fn read(cursor: &mut Cursor<'_>, rows: usize, count: &Column<i64>, values: &mut [Vec<f64>; 6]) -> Result<(), DecodeError> {
    const WHAT: &str = "window values";
    let form = cursor.byte(WHAT)?;
    if form == AS_THEY_ARE {
        for (field, name) in values.iter_mut().zip(NAMES) {
            read_floats(cursor, rows, name)?.append_to(rows, field);
        }
        return Ok(());
    }
    let scale = Scale::from_byte(form).ok_or(DecodeError::Malformed { what: WHAT })?;
    let from = values[0].len();
    let min = read_ints(cursor, rows, "min")?;
    let above_min = |column: Column<i64>, field: &mut Vec<f64>| {
        field.extend((0..rows).map(|row| scale.number(min.at(row).wrapping_add(column.at(row)))));
    };
    let [min_out, max_out, mean_out, stddev_out, first_out, last_out] = values;
    above_min(read_ints(cursor, rows, "max")?, max_out);
    above_min(read_ints(cursor, rows, "first")?, first_out);
    above_min(read_ints(cursor, rows, "last")?, last_out);
    let (sum, error) = (read_ints(cursor, rows, "mean")?, read_ints(cursor, rows, "mean error")?);
    mean_out.extend((0..rows).map(|row| {
        let n = count.at(from + row);
        step(mean_of(scale, n, sum.at(row).wrapping_add(n.wrapping_mul(min.at(row)))), error.at(row))
    }));
    let (spread, error) = (read_ints(cursor, rows, "stddev")?, read_ints(cursor, rows, "stddev error")?);
    stddev_out.extend((0..rows).map(|row| step(stddev_of(scale, count.at(from + row), spread.at(row)), error.at(row))));
    min_out.extend((0..rows).map(|row| scale.number(min.at(row))));
    Ok(())
}

const COLUMNS: usize = 8;

/// One row, in the order of the columns.
struct ScaledRow([i64; COLUMNS]);

impl ScaledRow {
    fn of(w: &WindowSummary, scale: Scale) -> Option<Self> {
        let min = scale.int(w.min)?;
        let above_min = |value| scale.int(value).map(|k| k.wrapping_sub(min));
        let n = w.count as i64;
        // Casts saturate: what is too large for an integer ends up in the error.
        let sum = (w.mean * n as f64 * scale.units()).round() as i64;
        let spread = (w.stddev * n as f64 * scale.units()).powi(2).round() as i64;
        Some(Self([
            min,
            above_min(w.max)?,
            above_min(w.first)?,
            above_min(w.last)?,
            sum.wrapping_sub(n.wrapping_mul(min)),
            steps(mean_of(scale, n, sum), w.mean),
            spread,
            steps(stddev_of(scale, n, spread), w.stddev),
        ]))
    }
}

fn mean_of(scale: Scale, n: i64, sum: i64) -> f64 {
    finite(sum as f64 / (n as f64 * scale.units()))
}

fn stddev_of(scale: Scale, n: i64, spread: i64) -> f64 {
    finite((spread as f64).sqrt() / (n as f64 * scale.units()))
}

/// Which NaN a division by zero gives depends on the processor; the bytes must not.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// Doubles from `a` to `b`, in the order of all bit patterns.
fn steps(a: f64, b: f64) -> i64 {
    rank(b).wrapping_sub(rank(a))
}

/// The double `steps` behind `a`.
fn step(a: f64, steps: i64) -> f64 {
    f64::from_bits(from_rank(rank(a).wrapping_add(steps)))
}

/// The place of a double among all, negative ones in descending order of their bits.
fn rank(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn from_rank(rank: i64) -> u64 {
    (rank ^ (((rank >> 63) as u64) >> 1) as i64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn steps_lead_from_any_double_to_any_other(a: u64, b: u64) {
            let (a, b) = (f64::from_bits(a), f64::from_bits(b));
            prop_assert_eq!(step(a, steps(a, b)).to_bits(), b.to_bits());
        }
    }

    #[test]
    fn neighbours_are_one_step_apart() {
        assert_eq!(steps(1.0, 1.0f64.next_up()), 1);
        assert_eq!(steps(-1.0, (-1.0f64).next_up()), 1);
        assert_eq!(steps(-0.0, 0.0), 1);
        assert_eq!(steps(f64::MIN_POSITIVE, f64::MIN_POSITIVE), 0);
    }
}
