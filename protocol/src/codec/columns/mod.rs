//! Columns: as many numbers of one kind as there are rows, in the shortest of a few encodings.
//!
//! A column is a tag byte and what the tag says; a column of no rows takes no byte at all. The number of rows is never part of the column:
//! it is declared (and capped) before, so a column can't ask for more memory than its rows are worth.

mod compressed;
mod floats;
mod ints;
mod scale;

pub(crate) use floats::{put_floats, read_floats};
pub(crate) use ints::{put_ints, read_ints};
pub(crate) use scale::Scale;

/// What the encoder knows about a column; it decides how hard it tries, not what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Rows may be near the row before.
    Steady,
    /// Rows have nothing to do with the row before.
    Noise,
}

/// A decoded column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column<T> {
    Constant(T),
    Values(Vec<T>),
}

impl<T: Copy> Column<T> {
    /// The value in `row`; `row` is below the number of rows that the column was read with.
    pub(crate) fn at(&self, row: usize) -> T {
        match self {
            Self::Constant(value) => *value,
            Self::Values(values) => values[row],
        }
    }

    pub(crate) fn append_to(self, rows: usize, out: &mut Vec<T>) {
        match self {
            Self::Constant(value) => out.resize(out.len() + rows, value),
            Self::Values(values) => out.extend_from_slice(&values),
        }
    }
}
