//! Ages at failure, and ages of units that still run or were taken out before they failed (right censored).
//!
//! Invariants: every age is finite and positive, both lists are sorted, no list is longer than [`MAX_UNITS`].

use super::{FieldError, Flag};

/// Ages in each of the two lists.
pub const MAX_UNITS: usize = 100_000;
/// More than a hundred thousand years: a slip of the unit.
pub const MAX_HOURS: f64 = 1e9;
/// Less than 4 microseconds: not an age.
pub const MIN_HOURS: f64 = 1e-9;
/// Problems told of one list.
const MAX_TOLD: usize = 20;

/// Valid ages in operating hours.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    failures: Vec<f64>,
    censored: Vec<f64>,
    zero_censored: usize,
}

impl Sample {
    /// Checks the ages. A censored age of zero (a unit just put in) says nothing and is left out; a failure at zero is refused, for it has
    /// no likelihood under any lifetime law.
    ///
    /// # Errors
    /// Every age that can't be one, by its place (`failures[3]`), up to 20 of each list.
    pub fn new(failures: &[f64], censored: &[f64]) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let failures_kept = checked("failures", failures, false, &mut errors);
        let censored_kept = checked("censored", censored, true, &mut errors);
        if failures.is_empty() && censored.is_empty() {
            errors.push(FieldError::new("failures", "is empty, and so is censored: give at least one age in hours"));
        } else if errors.is_empty() && failures_kept.is_empty() && censored_kept.is_empty() {
            errors.push(FieldError::new("censored", "holds only ages of zero: no unit has run yet"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let zero_censored = censored.len() - censored_kept.len();
        Ok(Self { failures: failures_kept, censored: censored_kept, zero_censored })
    }

    /// Ages at failure, ascending.
    pub fn failures(&self) -> &[f64] {
        &self.failures
    }

    /// Ages without failure, ascending.
    pub fn censored(&self) -> &[f64] {
        &self.censored
    }

    pub fn len(&self) -> usize {
        self.failures.len() + self.censored.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sum of all ages.
    pub fn total_time(&self) -> f64 {
        self.failures.iter().sum::<f64>() + self.censored.iter().sum::<f64>()
    }

    pub fn max(&self) -> f64 {
        let last = |ages: &[f64]| ages.last().copied().unwrap_or(0.0);
        last(&self.failures).max(last(&self.censored))
    }

    /// What a reader must know of the sample itself.
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        match self.failures.len() {
            0 => flags.push(Flag::NoFailures),
            1 => flags.push(Flag::OneFailure),
            2..5 => flags.push(Flag::FewFailures),
            _ => {}
        }
        if self.failures.windows(2).any(|pair| pair[0] == pair[1]) {
            flags.push(Flag::TiedFailures);
        }
        if self.zero_censored > 0 {
            flags.push(Flag::ZeroCensoredIgnored);
        }
        flags
    }

    /// All ages with whether they are failures, ascending; at a tie failures come first, since a unit censored there had survived that age.
    pub fn in_order(&self) -> Vec<(f64, bool)> {
        let mut all: Vec<(f64, bool)> = self.failures.iter().map(|&t| (t, true)).chain(self.censored.iter().map(|&t| (t, false))).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        all
    }
}

fn checked(field: &str, ages: &[f64], zero_is_left_out: bool, errors: &mut Vec<FieldError>) -> Vec<f64> {
    if ages.len() > MAX_UNITS {
        errors.push(FieldError::new(field, format!("holds {} ages, more than {MAX_UNITS}: send fewer units", ages.len())));
        return Vec::new();
    }
    let before = errors.len();
    let mut kept = Vec::with_capacity(ages.len());
    for (i, &age) in ages.iter().enumerate() {
        if zero_is_left_out && age == 0.0 {
            continue;
        }
        if (MIN_HOURS..=MAX_HOURS).contains(&age) {
            kept.push(age);
        } else if errors.len() - before < MAX_TOLD {
            let detail = if age == 0.0 {
                "is 0: a unit that failed at once has no age; give the time it ran, or leave it out".to_owned()
            } else if age < 0.0 {
                "is negative: ages are hours since installation".to_owned()
            } else {
                format!("must be an age in hours, {MIN_HOURS:e} to {MAX_HOURS:e}")
            };
            errors.push(FieldError::new(format!("{field}[{i}]"), detail));
        }
    }
    kept.sort_by(f64::total_cmp);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_that_cannot_be_are_refused_by_their_place() {
        let errors = Sample::new(&[5.0, 0.0, -1.0, f64::NAN, f64::INFINITY], &[3.0, -2.0]).unwrap_err();
        let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["failures[1]", "failures[2]", "failures[3]", "failures[4]", "censored[1]"]);
        assert!(errors[0].detail.contains("is 0"));
    }

    #[test]
    fn nothing_given_is_refused() {
        assert_eq!(Sample::new(&[], &[]).unwrap_err()[0].field, "failures");
        assert_eq!(Sample::new(&[], &[0.0]).unwrap_err()[0].field, "censored");
    }

    #[test]
    fn a_list_too_long_is_refused_before_it_is_looked_at() {
        let errors = Sample::new(&vec![-1.0; MAX_UNITS + 1], &[]).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].detail.contains("more than 100000"));
    }

    #[test]
    fn only_twenty_problems_of_a_list_are_told() {
        assert_eq!(Sample::new(&[-1.0; 500], &[]).unwrap_err().len(), 20);
    }

    #[test]
    fn a_unit_just_installed_is_left_out_and_flagged() {
        let sample = Sample::new(&[4.0, 4.0], &[0.0, 7.0]).unwrap();
        assert_eq!(sample.censored(), [7.0]);
        assert_eq!(sample.flags(), [Flag::FewFailures, Flag::TiedFailures, Flag::ZeroCensoredIgnored]);
    }

    #[test]
    fn failures_stand_before_censored_units_of_the_same_age() {
        let sample = Sample::new(&[6.0, 6.0], &[6.0, 3.0]).unwrap();
        assert_eq!(sample.in_order(), [(3.0, false), (6.0, true), (6.0, true), (6.0, false)]);
    }
}
