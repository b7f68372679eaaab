//! Numbers as integers of a unit: sensors give decimals (a JSON payload) or binary fractions (a single-precision register), and integers
//! take fewer bytes than the doubles that hold them.

/// The largest integer below which a double holds all integers.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
/// A double is 10^-d exactly divided for these powers, and sensors use no finer ones.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
const MAX_PLACES: u8 = 9;
/// Singles from about 0.001 on have their lowest bit at or above this power.
const MAX_BITS: u8 = 34;

/// The unit of integers that stand for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scale {
    /// 10^-d
    Decimal(u8),
    /// 2^-b
    Binary(u8),
}

impl Scale {
    /// The unit that all others of its family refine.
    pub(crate) const COARSEST: Self = Self::Decimal(0);

    fn decimal(value: f64, from: u8) -> Option<Self> {
        (from..=MAX_PLACES).map(Self::Decimal).find(|scale| scale.int(value).is_some())
    }

    fn binary(value: f64, from: u8) -> Option<Self> {
        (from..=MAX_BITS).map(Self::Binary).find(|scale| scale.int(value).is_some())
    }

    /// The coarsest unit not coarser than this one that `value` is a multiple of too; another family if there is none in this.
    /// Multiples of this unit are multiples of the result if it is of the same family.
    pub(crate) fn refine(self, value: f64) -> Option<Self> {
        match self {
            _ if self.int(value).is_some() => Some(self),
            Self::Decimal(places) => Self::decimal(value, places).or_else(|| Self::binary(value, 0)),
            Self::Binary(bits) => Self::binary(value, bits),
        }
    }

    /// How many units `value` is, if [`Scale::number`] gives back the same bits.
    pub(crate) fn int(self, value: f64) -> Option<i64> {
        let units = (value * self.units()).round();
        // Bits, not values: NaN and -0.0 have no integer.
        (units.abs() <= MAX_EXACT && self.number(units as i64).to_bits() == value.to_bits()).then_some(units as i64)
    }

    /// The double nearest to `ints` units.
    pub(crate) fn number(self, ints: i64) -> f64 {
        ints as f64 / self.units()
    }

    /// Units in 1.
    pub(crate) fn units(self) -> f64 {
        match self {
            Self::Decimal(places) => POWERS[usize::from(places.min(MAX_PLACES))],
            Self::Binary(bits) => (1u64 << bits.min(MAX_BITS)) as f64,
        }
    }

    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Decimal(places) => places,
            Self::Binary(bits) => 0x40 | bits,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            places @ 0..=MAX_PLACES => Some(Self::Decimal(places)),
            0x40.. if byte & 0x3f <= MAX_BITS && byte < 0x80 => Some(Self::Binary(byte & 0x3f)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_coarsest_unit_is_found() {
        assert_eq!(Scale::COARSEST.refine(0.0), Some(Scale::Decimal(0)));
        assert_eq!(Scale::COARSEST.refine(61.25), Some(Scale::Decimal(2)));
        assert_eq!(Scale::COARSEST.refine(-0.001), Some(Scale::Decimal(3)));
        assert_eq!(Scale::COARSEST.refine(f64::from(61.23f32)), Some(Scale::Binary(18)));
        for value in [-0.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, std::f64::consts::PI, 0.1 + 0.2] {
            assert_eq!(Scale::COARSEST.refine(value), None, "{value}");
        }
    }

    #[test]
    fn bytes_come_back_and_no_others_are_taken() {
        let known = (0..=255u8).filter_map(|b| Scale::from_byte(b).map(|s| (b, s)));
        let known: Vec<_> = known.inspect(|(b, s)| assert_eq!(s.to_byte(), *b)).collect();
        assert_eq!(known.len(), usize::from(MAX_PLACES) + 1 + usize::from(MAX_BITS) + 1);
    }

    proptest! {
        #[test]
        fn a_number_that_has_an_integer_comes_back(value in any::<f64>(), places in 0u8..=MAX_PLACES) {
            let rounded = (value % 1e6 * POWERS[usize::from(places)]).round() / POWERS[usize::from(places)];
            for number in [value, rounded, f64::from(value as f32)] {
                if let Some(scale) = Scale::COARSEST.refine(number) {
                    prop_assert_eq!(scale.number(scale.int(number).unwrap()).to_bits(), number.to_bits());
                }
            }
        }
    }
}
