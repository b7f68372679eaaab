//! The two-parameter Weibull law: survival, conditional failure probability, residual life.
//!
//! `R(t) = exp(-(t/eta)^beta)`. Integrals of `R` are incomplete gamma functions: with `x = (t/eta)^beta`,
//! `integral_0^t R = eta * G(1 + 1/beta) * P(1/beta, x)` and mean residual life `= eta * G(1 + 1/beta) * Q(1/beta, x) / R(t)`.
//!
//! Invariant: both parameters are finite and positive.

use serde::{Deserialize, Serialize};
use statrs::function::gamma::{gamma_lr, gamma_ur, ln_gamma};
use utoipa::ToSchema;

use super::{FieldError, finite};

/// Beyond this cumulative hazard `Q(a, x) * exp(x)` is taken from its asymptotic series; its terms fall by `1/x`.
const ASYMPTOTIC: f64 = 100.0;

/// Shape and scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Weibull {
    /// Shape: below 1 early failures, 1 random, above 1 wear-out.
    pub beta: f64,
    /// Scale: the age that 36.8 % of the units reach.
    pub eta_h: f64,
}

impl Weibull {
    /// # Errors
    /// A shape outside 0.001..=1000, or a scale that is not a positive number.
    pub fn new(beta: f64, eta_h: f64) -> Result<Self, FieldError> {
        if !(1e-3..=1e3).contains(&beta) {
            return Err(FieldError::new("beta", "must be a shape in 0.001..=1000"));
        }
        if !(1e-12..=1e15).contains(&eta_h) {
            return Err(FieldError::new("eta_h", "must be a time in hours above 0"));
        }
        Ok(Self { beta, eta_h })
    }

    /// `(t/eta)^beta`; 0 for ages below zero.
    pub fn cumulative_hazard(&self, t_h: f64) -> f64 {
        if t_h > 0.0 { (t_h / self.eta_h).powf(self.beta) } else { 0.0 }
    }

    /// Probability to reach the age.
    pub fn reliability(&self, t_h: f64) -> f64 {
        (-self.cumulative_hazard(t_h)).exp()
    }

    /// The age by which the fraction `p` has failed (`0.1`: B10 life). `None` unless `0 < p < 1`.
    pub fn life(&self, p: f64) -> Option<f64> {
        if !(p > 0.0 && p < 1.0) {
            return None;
        }
        finite(self.eta_h * (-(-p).ln_1p()).powf(1.0 / self.beta))
    }

    /// Mean life. `None` if it is too large for a number.
    pub fn mean_h(&self) -> Option<f64> {
        finite(self.eta_h * ln_gamma(1.0 + 1.0 / self.beta).exp())
    }

    /// `integral_0^t R`: mean time in operation up to the age `t`.
    pub fn integral_h(&self, t_h: f64) -> Option<f64> {
        let x = self.cumulative_hazard(t_h);
        if x == 0.0 {
            return Some(t_h.max(0.0));
        }
        if !x.is_finite() {
            return self.mean_h();
        }
        finite(self.mean_h()? * gamma_lr(1.0 / self.beta, x))
    }

    /// Probability to fail within the next `hours` for a unit of this age.
    pub fn failure_within(&self, age_h: f64, hours: f64) -> f64 {
        let (now, then) = (self.cumulative_hazard(age_h), self.cumulative_hazard(age_h.max(0.0) + hours.max(0.0)));
        if now.is_finite() { -(now - then).exp_m1() } else { 1.0 }
    }

    /// The hours after which a unit of this age has failed with probability `p`. `None` unless `0 < p < 1`.
    pub fn residual_life(&self, age_h: f64, p: f64) -> Option<f64> {
        if !(p > 0.0 && p < 1.0) {
            return None;
        }
        let age = age_h.max(0.0);
        let (x, added) = (self.cumulative_hazard(age), -(-p).ln_1p());
        if x == 0.0 {
            return self.life(p);
        }
        // age * ((1 + added/x)^(1/beta) - 1), exact also where the hazard is so high that little is left.
        finite(age * ((added / x).ln_1p() / self.beta).exp_m1())
    }

    /// Mean hours left for a unit of this age.
    pub fn mean_residual_life_h(&self, age_h: f64) -> Option<f64> {
        let x = self.cumulative_hazard(age_h);
        if x == 0.0 {
            return self.mean_h();
        }
        let a = 1.0 / self.beta;
        if x < ASYMPTOTIC.max(4.0 * a) {
            return finite(self.mean_h()? * gamma_ur(a, x) * x.exp());
        }
        // G(a, x) exp(x) = x^(a-1) (1 + (a-1)/x + (a-1)(a-2)/x^2 + ...)
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 1..=20 {
            let next = term * (a - f64::from(k)) / x;
            if next.abs() >= f64::abs(term) || next.abs() < 1e-17 {
                break;
            }
            term = next;
            sum += term;
        }
        finite(age_h / (self.beta * x) * sum)
    }
}

#[cfg(test)]
mod tests;
