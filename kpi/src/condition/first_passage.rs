//! When a drifting, diffusing quantity first passes its limit.
//!
//! For `X(t) = mu t + sigma B(t)` at a distance `d` below the limit the first passage is inverse Gaussian. With an uncertain drift
//! `mu ~ N(m, s^2)` it is
//! (Peng and Tseng 2009; Si et al. 2012), with `S^2 = sigma^2 t + s^2 t^2`:
//! `P(T <= t) = Phi(-C) + exp(A) Phi(-B)`, `C = (d - m t) / S`, `B = (2 s^2 d t + sigma^2 (m t + d)) / (sigma^2 S)`.
//! `A` is very large where sigma is small; but `A = (B^2 - C^2) / 2`, so the second term is `exp(-C^2/2)` times the Mills ratio of `B`,
//! which is not.

use crate::reliability::solve::normal_cdf;

/// A normal drift, given a distance and a diffusion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    /// To the limit; not above 0: passed.
    pub(super) distance: f64,
    pub(super) drift: f64,
    pub(super) drift_variance: f64,
    /// Variance of the diffusion per unit of time.
    pub(super) diffusion: f64,
}

impl Passage {
    /// Probability to have passed the limit by `t`.
    pub(super) fn by(&self, t: f64) -> f64 {
        if self.distance <= 0.0 {
            return 1.0;
        }
        if t <= 0.0 {
            return 0.0;
        }
        let spread = (self.diffusion * t + self.drift_variance * t * t).sqrt();
        if spread <= f64::MIN_POSITIVE {
            return if self.drift * t >= self.distance { 1.0 } else { 0.0 };
        }
        let c = (self.distance - self.drift * t) / spread;
        let first = normal_cdf(-c);
        let b = (2.0 * self.drift_variance * self.distance * t / self.diffusion + self.drift * t + self.distance) / spread;
        let second = if !b.is_finite() {
            0.0
        } else if b > 0.0 {
            (-0.5 * c * c).exp() * scaled_tail(b)
        } else {
            (0.5 * (b * b - c * c)).exp() * normal_cdf(-b)
        };
        (first + second).clamp(0.0, 1.0)
    }
}

/// `Phi(-b) exp(b^2 / 2)` for `b > 0`.
fn scaled_tail(b: f64) -> f64 {
    if b < 5.0 {
        return normal_cdf(-b) * (0.5 * b * b).exp();
    }
    // Laplace's continued fraction 1 / (b + 1 / (b + 2 / (b + ...))).
    let mut fraction = b;
    for k in (1..=40).rev() {
        fraction = b + f64::from(k) / fraction;
    }
    1.0 / (fraction * (2.0 * std::f64::consts::PI).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inverse Gaussian with mean 10 and shape 100 (scipy: invgauss(0.1, scale=100)).
    #[test]
    fn a_known_drift_is_inverse_gaussian() {
        let p = Passage { distance: 10.0, drift: 1.0, drift_variance: 0.0, diffusion: 1.0 };
        for (t, wanted) in [(5.0, 0.016_361_8), (10.0, 0.562_8), (20.0, 0.992)] {
            let found = p.by(t);
            let sqrt = t.sqrt();
            let direct = normal_cdf((t - 10.0) / sqrt) + 20.0_f64.exp() * normal_cdf(-(t + 10.0) / sqrt);
            assert!((found - direct).abs() < 1e-9, "{found} {direct}");
            assert!((found - wanted).abs() < 0.01, "{t}: {found}");
        }
    }

    #[test]
    fn an_uncertain_drift_is_the_mean_over_drifts() {
        let p = Passage { distance: 8.0, drift: 0.9, drift_variance: 0.09, diffusion: 0.5 };
        for t in [2.0, 8.0, 15.0, 60.0] {
            let n = 4_000;
            let mean = (0..n)
                .map(|i| {
                    let z = crate::reliability::solve::normal_quantile((f64::from(i) + 0.5) / f64::from(n));
                    Passage { drift: 0.9 + 0.3 * z, drift_variance: 0.0, ..p }.by(t)
                })
                .sum::<f64>()
                / f64::from(n);
            assert!((p.by(t) - mean).abs() < 1e-4, "{t}: {} {mean}", p.by(t));
        }
    }

    #[test]
    fn the_probability_rises_from_nought_and_stays_one_at_most() {
        for diffusion in [0.0, 1e-30, 1e-12, 1e-3, 1.0, 1e6] {
            for drift in [-2.0, 0.0, 1e-6, 1.0, 50.0] {
                for drift_variance in [0.0, 1e-12, 0.1, 10.0] {
                    let p = Passage { distance: 3.0, drift, drift_variance, diffusion };
                    let mut before = 0.0;
                    for i in -40..60 {
                        let now = p.by(1.5_f64.powi(i));
                        assert!(now.is_finite() && now >= before - 1e-9 && now <= 1.0, "{p:?} {i} {now} {before}");
                        before = now;
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_passed_has_passed() {
        assert_eq!(Passage { distance: 0.0, drift: -1.0, drift_variance: 1.0, diffusion: 1.0 }.by(0.0), 1.0);
    }
}
