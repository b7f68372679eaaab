//! Roots and quantiles: the one place that speaks to the numerical crate. Roots are found by halving an interval: it never fails where a sign
//! changes, and the functions here cost little.
//!
//! Invariant: every answer is finite, or `None`.

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use super::finite;

/// Halvings of an interval: enough to come from any two numbers to neighbours.
const HALVINGS: usize = 1_100;

/// The root of `f` in `[low, high]`, where `f` changes its sign. `None` if it does not, or is not a number there.
pub(crate) fn root(f: impl Fn(f64) -> f64, low: f64, high: f64) -> Option<f64> {
    let (at_low, at_high) = (f(low), f(high));
    if at_low == 0.0 {
        return finite(low);
    }
    if at_high == 0.0 {
        return finite(high);
    }
    // Signs, not a product: the product of two small numbers underflows.
    if !at_low.is_finite() || !at_high.is_finite() || at_low.signum() == at_high.signum() {
        return None;
    }
    let (mut low, mut high) = (low, high);
    for _ in 0..HALVINGS {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            break;
        }
        let value = f(middle);
        if !value.is_finite() {
            return None;
        }
        if value.signum() == at_low.signum() {
            low = middle;
        } else {
            high = middle;
        }
    }
    finite(low + 0.5 * (high - low))
}

/// Walks from `start` in steps that double, up to `reach` away, until the sign of `f` differs from that at `start`; then the root between.
pub(crate) fn root_from(f: impl Fn(f64) -> f64, start: f64, first_step: f64, reach: f64) -> Option<f64> {
    let sign = f(start).signum();
    let (mut near, mut step) = (start, first_step);
    while (near - start).abs() < reach {
        let far = near + step;
        let value = f(far);
        if !value.is_finite() {
            return None;
        }
        if value.signum() != sign {
            return root(f, near.min(far), near.max(far));
        }
        near = far;
        step *= 2.0;
    }
    None
}

/// Quantile of chi-square with `df` degrees of freedom.
pub(crate) fn chi_square_quantile(p: f64, df: f64) -> Option<f64> {
    let law = ChiSquared::new(df).ok()?;
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    finite(law.inverse_cdf(p))
}

/// `P(X <= x)` for chi-square with `df` degrees of freedom.
pub(crate) fn chi_square_cdf(x: f64, df: f64) -> Option<f64> {
    finite(ChiSquared::new(df).ok()?.cdf(x))
}

/// `P(Z <= z)` of the standard normal.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// Quantile of the standard normal.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// How many standard deviations a two-sided interval of this confidence spans to each side.
pub(crate) fn two_sided_z(confidence: f64) -> f64 {
    normal_quantile(0.5 + 0.5 * confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_found_to_the_last_digits() {
        let r = root(|x| x * x - 2.0, 0.0, 2.0).unwrap();
        assert!((r - std::f64::consts::SQRT_2).abs() < 1e-14, "{r}");
    }

    #[test]
    fn no_change_of_sign_is_no_root() {
        assert_eq!(root(|x| x * x + 1.0, -1.0, 1.0), None);
        assert_eq!(root(|_| f64::NAN, -1.0, 1.0), None);
        assert_eq!(root_from(|x| (-x).exp(), 0.0, 0.1, 50.0), None);
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        assert!((chi_square_quantile(0.95, 4.0).unwrap() - 9.487_729_036_781_154).abs() < 1e-9);
        assert!((chi_square_quantile(0.05, 2.0).unwrap() - 0.102_586_588_775_101).abs() < 1e-12);
        assert!((two_sided_z(0.95) - 1.959_963_984_540_054).abs() < 1e-9);
        assert_eq!(chi_square_quantile(1.0, 2.0), None);
    }
}
