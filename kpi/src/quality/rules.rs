//! Rules that tell a special cause from the common ones on a control chart.
//!
//! Stands behind `quality::chart`. Pure. Each looks at z, the distance from the centre in standard deviations of the point's own statistic.
//!
//! Western Electric (*Statistical Quality Control Handbook*, 1956): 1 one point beyond 3; 2 two of three beyond 2, on one side; 3 four of five beyond 1,
//! on one side; 4 eight in a row on one side. Nelson (*Journal of Quality Technology* 16, 1984): 1 one point beyond 3; 2 nine in a row on one side;
//! 3 six in a row rising or falling; 4 fourteen in a row alternating; 5 two of three beyond 2; 6 four of five beyond 1; 7 fifteen in a row within 1;
//! 8 eight in a row beyond 1, on either side.
//!
//! Invariants: a violation is told at the point that completes it, and a rule that stays broken is told at each further point. A missing subgroup ends
//! every run. A point on the centre is on no side, one exactly on a limit is not beyond it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which rules are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleSet {
    /// Points beyond the limits alone.
    LimitsOnly,
    #[default]
    WesternElectric,
    Nelson,
}

/// One rule; both sets share some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// One point beyond 3 standard deviations: Western Electric 1, Nelson 1.
    BeyondLimits,
    /// Two of three beyond 2 on one side: Western Electric 2, Nelson 5.
    TwoOfThree,
    /// Four of five beyond 1 on one side: Western Electric 3, Nelson 6.
    FourOfFive,
    /// Eight in a row on one side: Western Electric 4.
    EightOneSide,
    /// Nine in a row on one side: Nelson 2.
    NineOneSide,
    /// Six in a row rising or falling: Nelson 3.
    Trend,
    /// Fourteen in a row up and down by turns: Nelson 4.
    Alternating,
    /// Fifteen in a row within 1: Nelson 7.
    Stratified,
    /// Eight in a row beyond 1, on either side: Nelson 8.
    Mixture,
}

impl RuleSet {
    /// The rules for a chart of means or single values.
    pub const fn rules(self) -> &'static [Rule] {
        use Rule as R;
        match self {
            Self::LimitsOnly => &[R::BeyondLimits],
            Self::WesternElectric => &[R::BeyondLimits, R::TwoOfThree, R::FourOfFive, R::EightOneSide],
            Self::Nelson => {
                &[R::BeyondLimits, R::NineOneSide, R::Trend, R::Alternating, R::TwoOfThree, R::FourOfFive, R::Stratified, R::Mixture]
            }
        }
    }

    /// The rules for counts, which are skewed: those that look at order and limits alone (Nelson's tests 1 to 4).
    pub const fn rules_of_counts(self) -> &'static [Rule] {
        use Rule as R;
        match self {
            Self::LimitsOnly => &[R::BeyondLimits],
            Self::WesternElectric => &[R::BeyondLimits, R::EightOneSide],
            Self::Nelson => &[R::BeyondLimits, R::NineOneSide, R::Trend, R::Alternating],
        }
    }
}

/// A rule that is broken at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Violation {
    /// Index of the point that completes it.
    pub at: usize,
    /// Index of the first point that belongs to it.
    pub from: usize,
    pub rule: Rule,
}

/// Every violation, by point, then by rule. `None`: a missing subgroup.
pub fn violations(z: &[Option<f64>], rules: &[Rule]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut start = 0;
    for run in z.split(Option::is_none) {
        let run_z: Vec<f64> = run.iter().flatten().copied().collect();
        for at in 0..run_z.len() {
            for rule in rules {
                let length = rule.length();
                let Some(first) = (at + 1).checked_sub(length) else { continue };
                if rule.broken(&run_z[first..=at]) {
                    found.push(Violation { at: start + at, from: start + first, rule: *rule });
                }
            }
        }
        start += run.len() + 1;
    }
    found
}

impl Rule {
    /// Points that it looks at.
    const fn length(self) -> usize {
        match self {
            Self::BeyondLimits => 1,
            Self::TwoOfThree => 3,
            Self::FourOfFive => 5,
            Self::Trend => 6,
            Self::EightOneSide | Self::Mixture => 8,
            Self::NineOneSide => 9,
            Self::Alternating => 14,
            Self::Stratified => 15,
        }
    }

    fn broken(self, z: &[f64]) -> bool {
        // The point that completes "k of n" is one of the k.
        let k_beyond = |k: usize, limit: f64| {
            let last = z.last().copied().unwrap_or(0.0);
            last.abs() > limit && z.iter().filter(|v| v.abs() > limit && v.signum() == last.signum()).count() >= k
        };
        let one_side = || z.iter().all(|v| *v > 0.0) || z.iter().all(|v| *v < 0.0);
        let steps = || z.windows(2).map(|w| w[1] - w[0]);
        match self {
            Self::BeyondLimits => z.iter().all(|v| v.abs() > 3.0),
            Self::TwoOfThree => k_beyond(2, 2.0),
            Self::FourOfFive => k_beyond(4, 1.0),
            Self::EightOneSide | Self::NineOneSide => one_side(),
            Self::Trend => steps().all(|s| s > 0.0) || steps().all(|s| s < 0.0),
            Self::Alternating => z.windows(3).all(|w| (w[1] - w[0]) * (w[2] - w[1]) < 0.0),
            Self::Stratified => z.iter().all(|v| v.abs() < 1.0),
            Self::Mixture => z.iter().all(|v| v.abs() > 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(z: &[f64], rule: Rule) -> Vec<usize> {
        let z: Vec<Option<f64>> = z.iter().copied().map(Some).collect();
        violations(&z, &[rule]).into_iter().map(|v| v.at).collect()
    }

    #[test]
    fn each_rule_is_told_at_the_point_that_completes_it_and_not_one_earlier() {
        assert_eq!(told(&[0.0, 3.0, 3.01, -3.01], Rule::BeyondLimits), [2, 3]);
        assert_eq!(told(&[2.1, 0.0, 2.1, 0.0, 2.1], Rule::TwoOfThree), [2, 4]);
        assert_eq!(told(&[2.1, 0.0, -2.1, 2.0, 2.1], Rule::TwoOfThree), [] as [usize; 0]);
        assert_eq!(told(&[1.1, 1.1, 0.0, 1.1, 1.1, 0.5], Rule::FourOfFive), [4]);
        assert_eq!(told(&[0.1; 9], Rule::EightOneSide), [7, 8]);
        assert_eq!(told(&[-0.1; 9], Rule::NineOneSide), [8]);
        assert_eq!(told(&[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.4], Rule::Trend), [5]);
        let turns: Vec<f64> = (0..15).map(|i| if i % 2 == 0 { 0.5 } else { -0.5 }).collect();
        assert_eq!(told(&turns, Rule::Alternating), [13, 14]);
        assert_eq!(told(&turns, Rule::Stratified), [14]);
        assert_eq!(told(&[1.5, -1.5, 1.5, -1.5, 1.5, -1.5, 1.5, -1.5], Rule::Mixture), [7]);
    }

    #[test]
    fn a_missing_subgroup_ends_every_run_and_keeps_the_numbering() {
        let mut z = vec![Some(0.5); 7];
        z.push(None);
        z.extend([Some(0.5); 8]);
        let found = violations(&z, RuleSet::WesternElectric.rules());
        assert_eq!(found, [Violation { at: 15, from: 8, rule: Rule::EightOneSide }]);
    }

    #[test]
    fn a_point_on_the_centre_is_on_no_side() {
        let mut z = [0.5; 9];
        z[4] = 0.0;
        assert_eq!(told(&z, Rule::EightOneSide), [] as [usize; 0]);
    }
}
