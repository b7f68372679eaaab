//! Constants of control charts for normal data.
//!
//! Stands before charts and capability. Pure.
//!
//! d2 and d3 are mean and standard deviation of the range of n standard normal values, from their integrals
//! d2 = int 1 - (1 - F(x))^n - F(x)^n dx and d3^2 = E(R^2) - d2^2; to three decimals the table of ASTM E2587 and Montgomery, *Introduction to
//! Statistical Quality Control*, appendix VI. c4 = sqrt(2/(n-1)) G(n/2) / G((n-1)/2), with the gamma function G. The rest follows:
//! A2 = 3 / (d2 sqrt n), D3,4 = 1 -+ 3 d3/d2, A3 = 3 / (c4 sqrt n), B3,4 = 1 -+ 3 sqrt(1 - c4^2)/c4.

use statrs::function::gamma::ln_gamma;

/// Values of a subgroup of which a range is still used.
pub const MAX_RANGE_SIZE: u64 = 25;

/// (d2, d3) for n = 2 to 25.
const RANGE: [(f64, f64); 24] = [
    (std::f64::consts::FRAC_2_SQRT_PI, 0.852502),
    (1.692569, 0.888368),
    (2.058751, 0.879808),
    (2.325929, 0.864082),
    (2.534413, 0.848040),
    (2.704357, 0.833205),
    (2.847201, 0.819831),
    (2.970026, 0.807834),
    (3.077505, 0.797051),
    (3.172873, 0.787315),
    (3.258455, 0.778478),
    (3.335980, 0.770416),
    (3.406763, 0.763023),
    (3.471827, 0.756211),
    (3.531983, 0.749908),
    (3.587884, 0.744052),
    (3.640064, 0.738591),
    (3.688963, 0.733481),
    (3.734950, 0.728686),
    (3.778336, 0.724173),
    (3.819385, 0.719915),
    (3.858323, 0.715887),
    (3.895348, 0.712068),
    (3.930629, 0.708441),
];

/// Mean and standard deviation of the range of `n` standard normal values; `None` unless 2 to 25.
pub fn d2_d3(n: u64) -> Option<(f64, f64)> {
    RANGE.get(usize::try_from(n).ok()?.checked_sub(2)?).copied()
}

/// Mean of the standard deviation of `n` standard normal values, n at least 2.
pub fn c4(n: u64) -> Option<f64> {
    if n < 2 {
        return None;
    }
    let n = n as f64;
    // The difference of the logarithms loses its digits where n is very large; the series of Stirling does not.
    if n > 1e4 {
        return Some(1.0 - 1.0 / (4.0 * (n - 1.0)) + 1.0 / (32.0 * (n - 1.0).powi(2)));
    }
    Some((2.0 / (n - 1.0)).sqrt() * (ln_gamma(n / 2.0) - ln_gamma((n - 1.0) / 2.0)).exp())
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ContinuousCDF, Normal};

    use super::*;

    #[test]
    fn table_of_ranges_is_the_integral() {
        let normal = Normal::standard();
        for n in 2..=25_u64 {
            let power = i32::try_from(n).unwrap();
            let h = 0.01;
            let integral: f64 = (-900..900)
                .map(|i| f64::from(i) * h)
                .map(|x| normal.cdf(x))
                .map(|p| h * (1.0 - (1.0 - p).powi(power) - p.powi(power)))
                .sum();
            assert!((integral - d2_d3(n).unwrap().0).abs() < 2e-6, "{n}: {integral}");
        }
        assert_eq!((d2_d3(1), d2_d3(26), c4(1)), (None, None, None));
    }

    /// Montgomery, Introduction to Statistical Quality Control, appendix VI.
    #[test]
    fn derived_constants_are_those_of_the_published_table() {
        for (n, a2, d3_limit, d4_limit, c4_expected, a3, b3, b4) in [
            (2, 1.880, 0.0, 3.267, 0.7979, 2.659, 0.0, 3.267),
            (5, 0.577, 0.0, 2.114, 0.9400, 1.427, 0.0, 2.089),
            (7, 0.419, 0.076, 1.924, 0.9594, 1.182, 0.118, 1.882),
            (10, 0.308, 0.223, 1.777, 0.9727, 0.975, 0.284, 1.716),
            (25, 0.153, 0.459, 1.541, 0.9896, 0.606, 0.565, 1.435),
        ] {
            let ((d2, d3), c4) = (d2_d3(n).unwrap(), c4(n).unwrap());
            let root = (n as f64).sqrt();
            let spread = 3.0 * (1.0 - c4 * c4).sqrt() / c4;
            let computed = [
                3.0 / (d2 * root),
                (1.0 - 3.0 * d3 / d2).max(0.0),
                1.0 + 3.0 * d3 / d2,
                c4,
                3.0 / (c4 * root),
                (1.0 - spread).max(0.0),
                1.0 + spread,
            ];
            for (is, published) in computed.into_iter().zip([a2, d3_limit, d4_limit, c4_expected, a3, b3, b4]) {
                assert!((is - published).abs() < 1.1e-3, "n {n}: {is} is not {published}");
            }
        }
    }

    #[test]
    fn c4_is_continuous_where_its_formula_changes() {
        let (below, above) = (c4(10_000).unwrap(), c4(10_001).unwrap());
        assert!(above > below && above - below < 1e-8);
    }
}
