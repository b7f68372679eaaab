//! The catalogue of stop reasons: a tree of codes, each of one of the six big losses or a planned stop.
//!
//! Stands beside the record of a machine: it says what a registered reason means. Invariants: codes are unique, parents exist, there are no circles,
//! and every reason has a category, its own or that of its nearest ancestor that has one.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cause::LossCategory;
use crate::field::{FieldError, wrong};

const MAX_REASONS: usize = 5_000;
const MAX_DEPTH: usize = 8;
const MAX_CODE: usize = 64;

/// One reason, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopReason {
    #[schema(example = "M-12")]
    pub code: String,
    #[schema(example = "Motor too hot")]
    pub name: String,
    /// That of the parent if it is not given.
    #[serde(default)]
    pub category: Option<LossCategory>,
    /// The code of the reason above.
    #[serde(default)]
    pub parent: Option<String>,
    /// Not offered any more; what was registered with it stays.
    #[serde(default)]
    pub retired: bool,
}

/// Reasons by code.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    reasons: Vec<StopReason>,
    categories: Vec<LossCategory>,
    by_code: HashMap<String, usize>,
}

impl Catalogue {
    /// # Errors
    /// Every reason that can't be.
    pub fn new(reasons: Vec<StopReason>) -> Result<Self, Vec<FieldError>> {
        if reasons.len() > MAX_REASONS {
            return Err(vec![wrong("reasons", format!("are more than {MAX_REASONS}"))]);
        }
        let mut errors = Vec::new();
        let mut by_code = HashMap::with_capacity(reasons.len());
        for (i, reason) in reasons.iter().enumerate() {
            if reason.code.is_empty() || reason.code.len() > MAX_CODE {
                errors.push(wrong(format!("reasons[{i}].code"), format!("must have 1 to {MAX_CODE} characters")));
            }
            if by_code.insert(reason.code.clone(), i).is_some() {
                errors.push(wrong(format!("reasons[{i}].code"), format!("{:?} is there twice", reason.code)));
            }
        }
        let mut categories = Vec::with_capacity(reasons.len());
        for (i, reason) in reasons.iter().enumerate() {
            let mut category = reason.category;
            let mut parent = reason.parent.as_deref();
            let mut depth = 0;
            while let Some(code) = parent {
                let Some(above) = by_code.get(code).and_then(|&i| reasons.get(i)) else {
                    if depth == 0 {
                        errors.push(wrong(format!("reasons[{i}].parent"), format!("{code:?} is not in the catalogue")));
                    }
                    break;
                };
                category = category.or(above.category);
                parent = above.parent.as_deref();
                depth += 1;
                if depth > MAX_DEPTH {
                    errors.push(wrong(format!("reasons[{i}].parent"), format!("leads in a circle, or more than {MAX_DEPTH} levels up")));
                    break;
                }
            }
            match category {
                Some(category) => categories.push(category),
                None => errors
                    .push(wrong(format!("reasons[{i}].category"), "is missing, here and above: one of the six big losses or planned_stop")),
            }
        }
        if errors.is_empty() { Ok(Self { reasons, categories, by_code }) } else { Err(errors) }
    }

    pub fn get(&self, code: &str) -> Option<&StopReason> {
        self.reasons.get(*self.by_code.get(code)?)
    }

    pub fn category(&self, code: &str) -> Option<LossCategory> {
        self.categories.get(*self.by_code.get(code)?).copied()
    }

    /// The codes from the root to `code`; of an unknown code, itself.
    pub fn path<'a>(&'a self, code: &'a str) -> Vec<&'a str> {
        let mut path = vec![code];
        let mut parent = self.get(code).and_then(|r| r.parent.as_deref());
        while let Some(above) = parent {
            path.push(above);
            parent = self.get(above).and_then(|r| r.parent.as_deref());
        }
        path.reverse();
        path
    }

    /// Whether `code` is `ancestor` or lies below it.
    pub fn is_within(&self, code: &str, ancestor: &str) -> bool {
        self.path(code).contains(&ancestor)
    }

    pub fn reasons(&self) -> &[StopReason] {
        &self.reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: &str, category: Option<LossCategory>, parent: Option<&str>) -> StopReason {
        StopReason { code: code.into(), name: code.to_lowercase(), category, parent: parent.map(Into::into), retired: false }
    }

    #[test]
    fn a_reason_has_its_own_category_or_that_of_the_one_above() {
        use LossCategory::{Breakdowns, PlannedStop};
        let catalogue = Catalogue::new(vec![
            reason("M1", None, Some("M")),
            reason("M", Some(Breakdowns), None),
            reason("M2", Some(PlannedStop), Some("M")),
            reason("M11", None, Some("M1")),
        ])
        .unwrap();
        assert_eq!(["M11", "M2", "X"].map(|c| catalogue.category(c)), [Some(Breakdowns), Some(PlannedStop), None]);
        assert_eq!(catalogue.path("M11"), ["M", "M1", "M11"]);
        assert!(catalogue.is_within("M11", "M") && catalogue.is_within("M", "M") && !catalogue.is_within("M", "M1"));
    }

    #[test]
    fn circles_doubles_and_strangers_are_told() {
        let faults = Catalogue::new(vec![
            reason("A", None, Some("B")),
            reason("B", Some(LossCategory::Breakdowns), Some("A")),
            reason("C", Some(LossCategory::Breakdowns), Some("nobody")),
            reason("C", None, None),
        ]);
        let fields: Vec<_> = faults.unwrap_err().into_iter().map(|e| e.field).collect();
        assert_eq!(fields, ["reasons[3].code", "reasons[0].parent", "reasons[1].parent", "reasons[2].parent", "reasons[3].category"]);
    }
}
