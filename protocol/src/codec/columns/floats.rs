//! Float columns, bit for bit: NaN payloads and the sign of zero come back.
//!
//! | tag | then |
//! |---|---|
//! | 0 constant | 8 bytes, little-endian |
//! | 1 plain | 8 bytes a row |
//! | 2 scaled | a byte `d`, an integer column `k`: each value is the double nearest to k / 10^d |
//! | 3 compressed | a byte string of pco over doubles |
//! | 4 plain single | 4 bytes a row: each value is a single-precision one |
//! | 5 compressed single | a byte string of pco over singles |

use crate::codec::{
    DecodeError, EncodeError,
    columns::{Column, compressed, put_ints, read_ints},
    wire::Cursor,
};

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const SCALED: u8 = 2;
const COMPRESSED: u8 = 3;
const PLAIN_SINGLE: u8 = 4;
const COMPRESSED_SINGLE: u8 = 5;

/// Powers of ten that a double holds exactly and that sensors use.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Beyond this a double has no room for a fraction; nothing is won by scaling.
const MAX_SCALED: f64 = 9_007_199_254_740_992.0;
/// Below this many rows pco's own head costs more than it could save.
const COMPRESS_FROM_ROWS: usize = 12;

/// The narrowest way to write a value exactly. Series of one kind share a column (`windows.rs`), because a single value of a wider kind
/// spoils a narrower column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A decimal number with this many places.
    Decimal(u8),
    Single,
    Double,
}

impl Kind {
    pub(crate) fn of(value: f64) -> Self {
        if let Some(places) = (0..POWERS.len()).find(|&p| scaled(value, p).is_some()) {
            Self::Decimal(places as u8)
        } else if single(value).is_some() {
            Self::Single
        } else {
            Self::Double
        }
    }

    /// The narrowest kind that holds both. Decimals that are no singles and singles that are no decimals need doubles.
    pub(crate) fn widen(self, other: Self) -> Self {
        match (self, other) {
            (Self::Decimal(a), Self::Decimal(b)) => Self::Decimal(a.max(b)),
            (Self::Decimal(0), Self::Single) | (Self::Single, Self::Decimal(0)) => Self::Single,
            (a, b) if a == b => a,
            _ => Self::Double,
        }
    }
}

pub(crate) fn put_floats(out: &mut Vec<u8>, values: &[f64]) -> Result<(), EncodeError> {
    let Some(first) = values.first() else { return Ok(()) };
    if values.iter().all(|v| v.to_bits() == first.to_bits()) {
        out.push(CONSTANT);
        out.extend_from_slice(&first.to_le_bytes());
        return Ok(());
    }
    if let Some((places, ints)) = scale(values) {
        out.push(SCALED);
        out.push(places);
        return put_ints(out, &ints);
    }
    if let Some(singles) = values.iter().map(|&v| single(v)).collect::<Option<Vec<f32>>>() {
        let plain = singles.len() * 4;
        if singles.len() >= COMPRESS_FROM_ROWS {
            let bytes = compressed::compress(&singles).map_err(EncodeError::Column)?;
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
        let bytes = compressed::compress(values).map_err(EncodeError::Column)?;
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
            let places = usize::from(cursor.byte(what)?);
            let power = *POWERS.get(places).ok_or(DecodeError::Malformed { what })?;
            match read_ints(cursor, rows, what)? {
                Column::Constant(k) => return Ok(Column::Constant(k as f64 / power)),
                Column::Values(ks) => ks.into_iter().map(|k| k as f64 / power).collect(),
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

/// The values times the smallest power of ten that makes them all integers, if there is one.
fn scale(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut places = 0;
    for &value in values {
        places = (places..POWERS.len()).find(|&p| scaled(value, p).is_some())?;
    }
    // A value that is exact with fewer places may not be with more, if it is large.
    let ints = values.iter().map(|&v| scaled(v, places)).collect::<Option<Vec<i64>>>()?;
    Some((places as u8, ints))
}

fn scaled(value: f64, places: usize) -> Option<i64> {
    let power = POWERS[places];
    let k = (value * power).round();
    // Comparing bits refuses NaN and -0.0, which have no integer.
    (k.abs() <= MAX_SCALED && ((k as i64) as f64 / power).to_bits() == value.to_bits()).then_some(k as i64)
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
        (-2_000_000i64..2_000_000, 0usize..5).prop_map(|(k, p)| k as f64 / POWERS[p])
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

        #[test]
        fn a_widened_kind_holds_both(a in prop_oneof![decimal(), any::<f32>().prop_map(f64::from), any_bits()], b in decimal()) {
            let kind = Kind::of(a).widen(Kind::of(b));
            match kind {
                Kind::Decimal(places) => prop_assert!(usize::from(places) < POWERS.len()),
                Kind::Single => prop_assert!(single(a).is_some() && single(b).is_some()),
                Kind::Double => {}
            }
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
