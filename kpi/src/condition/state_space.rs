//! A drift, a diffusion and a noise: the filter behind [`super::degradation`].
//!
//! `x(t + dt) = x(t) + mu dt + N(0, q dt)`, observed as `y = x + N(0, r)`. With flat priors on the first level and the drift, the first
//! two observations
//! fix both exactly; from there a Kalman filter. Variances are in units of one scale `v` (`r = v (1 - rho)`, `q dt = v rho` for the mean
//! step), which is
//! integrated out: `v` is `squares / chi2(n - 2)`.
//!
//! Invariant: times strictly rise, at least 4 observations.

/// What is known after the last observation, for one `rho`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filtered {
    pub(super) level: f64,
    pub(super) drift: f64,
    /// Variances of level and drift, and their covariance, in units of `v`.
    pub(super) level_variance: f64,
    pub(super) drift_variance: f64,
    pub(super) covariance: f64,
    /// Diffusion per unit of time, in units of `v`.
    pub(super) diffusion: f64,
    /// Sum of squared, scaled innovations.
    pub(super) squares: f64,
    /// Logarithm of the marginal likelihood, up to a constant that is the same for all `rho`.
    pub(super) log_marginal: f64,
}

pub(super) fn filter(times: &[f64], values: &[f64], rho: f64) -> Option<Filtered> {
    let n = times.len();
    if n < 4 || values.len() != n {
        return None;
    }
    let mean_step = (times[n - 1] - times[0]) / (n - 1) as f64;
    let (r, q) = (1.0 - rho, rho / mean_step);
    let dt = times[1] - times[0];
    let (mut level, mut drift) = (values[1], (values[1] - values[0]) / dt);
    let (mut ll, mut dd, mut ld) = (r, (q * dt + 2.0 * r) / (dt * dt), r / dt);
    let (mut squares, mut log_determinant) = (0.0, 0.0);
    for k in 2..n {
        let dt = times[k] - times[k - 1];
        level += drift * dt;
        ll += dt * (2.0 * ld + dt * dd) + q * dt;
        ld += dt * dd;
        let (innovation, s) = (values[k] - level, ll + r);
        squares += innovation * innovation / s;
        log_determinant += s.ln();
        let (gain_level, gain_drift) = (ll / s, ld / s);
        level += gain_level * innovation;
        drift += gain_drift * innovation;
        dd -= gain_drift * ld;
        ld *= 1.0 - gain_level;
        ll *= 1.0 - gain_level;
    }
    let squares = squares.max(1e-24);
    let log_marginal = -0.5 * log_determinant - 0.5 * (n - 2) as f64 * f64::ln(squares);
    let found = Filtered {
        level,
        drift,
        level_variance: ll.max(0.0),
        drift_variance: dd.max(0.0),
        covariance: ld,
        diffusion: q,
        squares,
        log_marginal,
    };
    (log_marginal.is_finite() && level.is_finite() && drift.is_finite()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without diffusion the filter is least squares: here of y = 1, 3, 2, 5, 4 at t = 0..4 (slope 0.8, level at the end 4.6, residual
    /// squares 3.6).
    #[test]
    fn without_diffusion_it_is_least_squares() {
        let f = filter(&[0.0, 1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 5.0, 4.0], 0.0).unwrap();
        assert!((f.drift - 0.8).abs() < 1e-12 && (f.level - 4.6).abs() < 1e-12 && (f.squares - 3.6).abs() < 1e-12);
        assert!((f.drift_variance - 0.1).abs() < 1e-12 && (f.level_variance - 0.6).abs() < 1e-12);
    }

    /// Without noise the drift is that from the first to the last value.
    #[test]
    fn without_noise_only_the_ends_matter() {
        let f = filter(&[0.0, 1.0, 2.5, 3.0, 4.0], &[1.0, 3.0, 2.0, 5.0, 4.0], 1.0).unwrap();
        assert!((f.drift - 0.75).abs() < 1e-12 && (f.level - 4.0).abs() < 1e-12 && f.level_variance == 0.0);
        assert!((f.drift_variance - 0.25).abs() < 1e-12);
    }

    #[test]
    fn too_few_observations_are_none() {
        assert!(filter(&[0.0, 1.0, 2.0], &[0.0, 1.0, 2.0], 0.5).is_none());
    }
}
