//! Float columns, bit for bit: NaN payloads and the sign of zero come back.
//!
//! | tag | then |
//! |---|---|
//! | 0 constant | 8 bytes, little-endian |
//! | 1 plain | 8 bytes a row |
//! | 2 scaled | a byte that names the unit (`scale.rs`), an integer column of how many units each value is |
//! | 3 compressed | a byte string of pco over doubles |
//! | 4 plain single | 4 bytes a row: each value is a single-precision one |
//! | 5 compressed single | a byte string of pco over singles |

use pco::ModeSpec;

use crate::codec::{
    DecodeError, EncodeError,
    columns::{Column, Scale, Shape, compressed, put_ints, read_ints},
    wire::Cursor,
};

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const SCALED: u8 = 2;
const COMPRESSED: u8 = 3;
const PLAIN_SINGLE: u8 = 4;
const COMPRESSED_SINGLE: u8 = 5;

/// Below this many rows pco's own head costs more than it could save.
const COMPRESS_FROM_ROWS: usize = 12;

pub(crate) fn put_floats(out: &mut Vec<u8>, values: &[f64]) -> Result<(), EncodeError> {
    let Some(first) = values.first() else { return Ok(()) };
    if values.iter().all(|v| v.to_bits() == first.to_bits()) {
        out.push(CONSTANT);
        out.extend_from_slice(&first.to_le_bytes());
        return Ok(());
    }
    if let Some((scale, ints)) = scaled(values) {
        out.push(SCALED);
        out.push(scale.to_byte());
        return put_ints(out, &ints, Shape::Steady);
    }
    if let Some(singles) = values.iter().map(|&v| single(v)).collect::<Option<Vec<f32>>>() {
        let plain = singles.len() * 4;
        if singles.len() >= COMPRESS_FROM_ROWS {
            let bytes = compressed::compress(&singles, Shape::Steady, &ModeSpec::Auto).map_err(EncodeError::Column)?;
            if compressed::size(&bytes) < plain {
                out.push(COMPRESSED_SINGLE);
                compressed::put(out, &bytes);
                return Ok(());
            }
        }
        out.push(PLAIN_SINGLE);
        singles.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        return Ok(());
    }
    if values.len() >= COMPRESS_FROM_ROWS {
        let bytes = compressed::compress(values, Shape::Steady, &ModeSpec::Auto).map_err(EncodeError::Column)?;
        if compressed::size(&bytes) < values.len() * 8 {
            out.push(COMPRESSED);
            compressed::put(out, &bytes);
            return Ok(());
        }
    }
    out.push(PLAIN);
    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    Ok(())
}

pub(crate) fn read_floats(cursor: &mut Cursor<'_>, rows: usize, what: &'static str) -> Result<Column<f64>, DecodeError> {
    if rows == 0 {
        return Ok(Column::Values(Vec::new()));
    }
    let values = match cursor.byte(what)? {
        CONSTANT => return Ok(Column::Constant(f64::from_le_bytes(cursor.array(what)?))),
        PLAIN => {
            let bytes = cursor.take(rows.saturating_mul(8), what)?;
            bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
        }
        SCALED => {
            let scale = Scale::from_byte(cursor.byte(what)?).ok_or(DecodeError::Malformed { what })?;
            match read_ints(cursor, rows, what)? {
                Column::Constant(ints) => return Ok(Column::Constant(scale.number(ints))),
                Column::Values(ints) => ints.into_iter().map(|i| scale.number(i)).collect(),
            }
        }
        COMPRESSED => compressed::read::<f64>(cursor, rows, what)?,
        PLAIN_SINGLE => {
            let bytes = cursor.take(rows.saturating_mul(4), what)?;
            bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
        }
        COMPRESSED_SINGLE => compressed::read::<f32>(cursor, rows, what)?.into_iter().map(f64::from).collect(),
        _ => return Err(DecodeError::Malformed { what }),
    };
    Ok(Column::Values(values))
}

/// The values as integers, if all are decimals. (Singles do better as what they are, when each column is on its own.)
fn scaled(values: &[f64]) -> Option<(Scale, Vec<i64>)> {
    let scale = values.iter().try_fold(Scale::COARSEST, |scale, &v| scale.refine(v).filter(|s| matches!(s, Scale::Decimal(_))))?;
    // A value that is exact with fewer places may not be with more, if it is large.
    let ints = values.iter().map(|&v| scale.int(v)).collect::<Option<Vec<i64>>>()?;
    Some((scale, ints))
}

fn single(value: f64) -> Option<f32> {
    let narrow = value as f32;
    (f64::from(narrow).to_bits() == value.to_bits()).then_some(narrow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[f64]) -> Vec<u8> {
        let mut out = Vec::new();
        put_floats(&mut out, values).unwrap();
        let mut cursor = Cursor::new(&out);
        let column = read_floats(&mut cursor, values.len(), "floats").unwrap();
        cursor.finish().unwrap();
        for (row, value) in values.iter().enumerate() {
            assert_eq!(column.at(row).to_bits(), value.to_bits(), "row {row}: {value}");
        }
        out
    }

    fn any_bits() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits)
    }

    fn decimal() -> impl Strategy<Value = f64> {
        (-2_000_000i64..2_000_000, 0..5).prop_map(|(k, p)| k as f64 / 10f64.powi(p))
    }

    proptest! {
        #[test]
        fn any_bits_come_back(values in proptest::collection::vec(any_bits(), 0..400)) {
            round_trip(&values);
        }

        #[test]
        fn decimals_and_singles_and_odd_ones_come_back(
            values in proptest::collection::vec(prop_oneof![decimal(), any::<f32>().prop_map(f64::from), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY)], 0..400)
        ) {
            round_trip(&values);
        }

        #[test]
        fn decimals_are_scaled(values in proptest::collection::vec(decimal(), 2..100)) {
            prop_assume!(values.iter().any(|v| v != &values[0]));
            prop_assert_eq!(round_trip(&values)[0], SCALED);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), rows in 0usize..600) {
            let _ = read_floats(&mut Cursor::new(&bytes), rows, "floats");
        }
    }

    #[test]
    fn each_kind_of_value_takes_its_narrowest_form() {
        assert_eq!(round_trip(&[61.2, 61.4, 61.1])[0], SCALED);
        assert_eq!(round_trip(&[f64::from(0.1f32), f64::from(0.7f32)])[0], PLAIN_SINGLE);
        assert_eq!(round_trip(&[std::f64::consts::PI, std::f64::consts::E])[0], PLAIN);
        assert_eq!(round_trip(&[f64::NAN, f64::NAN])[0], CONSTANT);
        assert_eq!(round_trip(&[0.0, -0.0])[0], PLAIN_SINGLE);
    }
}
