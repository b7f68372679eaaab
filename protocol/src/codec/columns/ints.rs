//! Integer columns. Unsigned values are carried as the signed ones of the same bits.
//!
//! | tag | then |
//! |---|---|
//! | 0 constant | zigzag varint |
//! | 1 plain | a varint a row |
//! | 2 signed | a zigzag varint a row |
//! | 3 deltas | a zigzag varint a row: the (wrapping) difference to the row before, the first to 0 |
//! | 4 runs | pairs of a zigzag varint and a varint: value, how often (at least once) |
//! | 5 compressed | a byte string of pco (`compressed.rs`) |

use pco::ModeSpec;

use crate::codec::{
    DecodeError, EncodeError,
    columns::{Column, Shape, compressed},
    wire::{self, Cursor, unzigzag, varint_len, zigzag},
};

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const SIGNED: u8 = 2;
const DELTAS: u8 = 3;
const RUNS: u8 = 4;
const COMPRESSED: u8 = 5;

/// Below this many bytes pco's own head costs more than it could save.
const COMPRESS_FROM_BYTES: usize = 24;

pub(crate) fn put_ints(out: &mut Vec<u8>, values: &[i64], shape: Shape) -> Result<(), EncodeError> {
    let Some(&first) = values.first() else { return Ok(()) };
    let sizes = Sizes::of(values);
    if sizes.runs == 1 {
        out.push(CONSTANT);
        wire::put_varint(out, zigzag(first));
        return Ok(());
    }
    let (mut tag, mut best) = (PLAIN, sizes.plain);
    for (other, size) in [(SIGNED, sizes.signed), (DELTAS, sizes.deltas), (RUNS, sizes.run_bytes)] {
        if size < best {
            (tag, best) = (other, size);
        }
    }
    if best >= COMPRESS_FROM_BYTES {
        let bytes = compressed::compress(values, shape, &ModeSpec::Classic).map_err(EncodeError::Column)?;
        if compressed::size(&bytes) < best {
            out.push(COMPRESSED);
            compressed::put(out, &bytes);
            return Ok(());
        }
    }
    out.push(tag);
    match tag {
        PLAIN => values.iter().for_each(|&v| wire::put_varint(out, v as u64)),
        SIGNED => values.iter().for_each(|&v| wire::put_varint(out, zigzag(v))),
        DELTAS => {
            let mut previous = 0i64;
            for &value in values {
                wire::put_varint(out, zigzag(value.wrapping_sub(previous)));
                previous = value;
            }
        }
        _ => {
            for run in values.chunk_by(|a, b| a == b) {
                wire::put_varint(out, zigzag(run[0]));
                wire::put_varint(out, run.len() as u64);
            }
        }
    }
    Ok(())
}

pub(crate) fn read_ints(cursor: &mut Cursor<'_>, rows: usize, what: &'static str) -> Result<Column<i64>, DecodeError> {
    if rows == 0 {
        return Ok(Column::Values(Vec::new()));
    }
    let tag = cursor.byte(what)?;
    if tag == CONSTANT {
        return Ok(Column::Constant(unzigzag(cursor.varint(what)?)));
    }
    let values = match tag {
        PLAIN => read_varints(cursor, rows, what, |_, v| v as i64)?,
        SIGNED => read_varints(cursor, rows, what, |_, v| unzigzag(v))?,
        DELTAS => read_varints(cursor, rows, what, |previous, v| previous.wrapping_add(unzigzag(v)))?,
        RUNS => read_runs(cursor, rows, what)?,
        COMPRESSED => compressed::read::<i64>(cursor, rows, what)?,
        _ => return Err(DecodeError::Malformed { what }),
    };
    Ok(Column::Values(values))
}

fn read_varints(cursor: &mut Cursor<'_>, rows: usize, what: &'static str, next: fn(i64, u64) -> i64) -> Result<Vec<i64>, DecodeError> {
    let mut values = Vec::with_capacity(rows);
    let mut previous = 0;
    for _ in 0..rows {
        previous = next(previous, cursor.varint(what)?);
        values.push(previous);
    }
    Ok(values)
}

fn read_runs(cursor: &mut Cursor<'_>, rows: usize, what: &'static str) -> Result<Vec<i64>, DecodeError> {
    let mut values = Vec::with_capacity(rows);
    while values.len() < rows {
        let value = unzigzag(cursor.varint(what)?);
        let run = cursor.length(what)?;
        if run == 0 || run > rows - values.len() {
            return Err(DecodeError::Malformed { what });
        }
        values.resize(values.len() + run, value);
    }
    Ok(values)
}

/// What each of the simple encodings would take, without its tag.
struct Sizes {
    plain: usize,
    signed: usize,
    deltas: usize,
    runs: usize,
    run_bytes: usize,
}

impl Sizes {
    fn of(values: &[i64]) -> Self {
        let mut sizes = Self { plain: 0, signed: 0, deltas: 0, runs: 0, run_bytes: 0 };
        let mut previous = 0i64;
        for run in values.chunk_by(|a, b| a == b) {
            let value = varint_len(zigzag(run[0]));
            sizes.plain += run.len() * varint_len(run[0] as u64);
            sizes.signed += run.len() * value;
            sizes.deltas += varint_len(zigzag(run[0].wrapping_sub(previous))) + run.len() - 1;
            sizes.runs += 1;
            sizes.run_bytes += value + varint_len(run.len() as u64);
            previous = run[0];
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[i64]) -> usize {
        let mut out = Vec::new();
        put_ints(&mut out, values, Shape::Steady).unwrap();
        let mut cursor = Cursor::new(&out);
        let column = read_ints(&mut cursor, values.len(), "ints").unwrap();
        cursor.finish().unwrap();
        for (row, value) in values.iter().enumerate() {
            assert_eq!(column.at(row), *value, "row {row}");
        }
        out.len()
    }

    proptest! {
        #[test]
        fn any_column_comes_back(values in proptest::collection::vec(prop_oneof![any::<i64>(), -3i64..3, Just(i64::MIN)], 0..700)) {
            round_trip(&values);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), rows in 0usize..600) {
            let _ = read_ints(&mut Cursor::new(&bytes), rows, "ints");
        }
    }

    #[test]
    fn regular_columns_are_short() {
        assert_eq!(round_trip(&[]), 0);
        assert_eq!(round_trip(&[5; 1000]), 2);
        assert!(round_trip(&(0..10).map(|i| 1_700_000_000_000_000 + i * 5).collect::<Vec<_>>()) <= 18);
        assert!(round_trip(&(0..3600).map(|i| i % 60).collect::<Vec<_>>()) < 250);
        assert!(round_trip(&(0..3600).map(|i| 1_700_000_000_000_000 + (i % 60) * 5_000_000).collect::<Vec<_>>()) < 400);
    }

    #[test]
    fn a_run_longer_than_the_column_is_malformed() {
        let mut out = vec![RUNS];
        wire::put_varint(&mut out, 0);
        wire::put_varint(&mut out, u64::MAX / 2);
        assert!(matches!(read_ints(&mut Cursor::new(&out), 10, "ints"), Err(DecodeError::Malformed { .. })));
    }
}
