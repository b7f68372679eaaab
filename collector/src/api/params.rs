//! Query parameters: each is read with its type, and all that is wrong is told at once.
//!
//! Stands at the beginning of every GET handler. Invariant: an unknown or repeated parameter is an error, so that a slip of the pen never answers
//! another question.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use kpi::utc::Utc;
use protocol::{TimeRange, Timestamp};

use super::problem::{Problem, ProblemField};

/// The parameters of one request, while they are being read.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<ProblemField>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|e| Problem::bad_request(format!("the query is not readable: {e}")))?;
        Ok(Self::new(pairs))
    }
}

impl Params {
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self { pairs, known: Vec::new(), errors: Vec::new() }
    }

    /// `Some(None)` if it is not there, `None` if it is wrong (which [`Params::finish`] will tell).
    pub fn optional<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<Option<T>> {
        self.known.push(name);
        let mut values = self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let (first, second) = (values.next(), values.next());
        let result = match (first, second) {
            (None, _) | (Some(""), None) => return Some(None),
            (Some(_), Some(_)) => Err("is given twice".to_owned()),
            (Some(value), None) => parse(value),
        };
        match result {
            Ok(value) => Some(Some(value)),
            Err(detail) => {
                self.wrong(name, detail);
                None
            }
        }
    }

    /// `None` if it is missing or wrong (which [`Params::finish`] will tell).
    pub fn required<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.optional(name, parse)? {
            Some(value) => Some(value),
            None => {
                self.wrong(name, "is missing");
                None
            }
        }
    }

    /// `from` and `to`; `to` is now and `from` is `default_us` before it if they are not given. At most `max_us` long.
    pub fn period(&mut self, now: Timestamp, default_us: i64, max_us: i64) -> Option<TimeRange> {
        let (from, to) = (self.optional("from", time), self.optional("to", time));
        let (from, to) = (from?, to?);
        let to = to.unwrap_or(now);
        let from = from.unwrap_or(to.plus_micros(-default_us));
        if from >= to {
            self.wrong("from", "must be before to");
            return None;
        }
        if to.micros_since(from) > max_us {
            self.wrong("from", format!("is more than {} days before to", max_us / 86_400_000_000));
            return None;
        }
        Some(TimeRange { from, to })
    }

    /// `limit`, 1 to `max`.
    pub fn limit(&mut self, default: usize, max: usize) -> Option<usize> {
        let limit = self.optional("limit", |text| match text.parse() {
            Ok(n) if (1..=max).contains(&n) => Ok(n),
            _ => Err(format!("must be a number from 1 to {max}")),
        })?;
        Some(limit.unwrap_or(default))
    }

    pub fn wrong(&mut self, field: &str, detail: impl Into<String>) {
        self.errors.push(ProblemField { field: field.to_owned(), detail: detail.into() });
    }

    /// All values, if all are there.
    ///
    /// # Errors
    /// Everything that was found wrong, and every parameter that nobody asked for.
    pub fn finish<V: Complete>(mut self, values: V) -> Result<V::Values, Problem> {
        for (key, _) in &self.pairs {
            if !self.known.contains(&key.as_str()) && !self.errors.iter().any(|e| e.field == *key) {
                let detail = format!("is unknown here; known are: {}", self.known.join(", "));
                self.errors.push(ProblemField { field: key.clone(), detail });
            }
        }
        match values.complete() {
            Some(values) if self.errors.is_empty() => Ok(values),
            _ => Err(Problem::invalid(self.errors)),
        }
    }
}

/// Options that are all there, or not.
pub trait Complete {
    type Values;
    fn complete(self) -> Option<Self::Values>;
}

macro_rules! complete {
    ($($name:ident)+) => {
        impl<$($name),+> Complete for ($(Option<$name>,)+) {
            type Values = ($($name,)+);
            #[expect(non_snake_case, reason = "the type's name is the variable's")]
            fn complete(self) -> Option<Self::Values> {
                let ($($name,)+) = self;
                Some(($($name?,)+))
            }
        }
    };
}
complete!(A);
complete!(A B);
complete!(A B C);
complete!(A B C D);
complete!(A B C D E);
complete!(A B C D E F);

/// RFC 3339; a `+` that arrived as a space is taken for what was meant.
pub fn time(text: &str) -> Result<Timestamp, String> {
    Utc::parse(text)
        .or_else(|e| if text.contains(' ') { Utc::parse(&text.replace(' ', "+")) } else { Err(e) })
        .map(|utc| utc.0)
        .map_err(|e| e.to_string())
}

/// Anything that reads itself from text and tells what is wrong.
pub fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| e.to_string())
}

#[cfg(test)]
mod tests {
    use protocol::AssetPath;

    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn everything_that_is_wrong_is_listed_at_once() {
        let mut p = params(&[("asset", "press-1"), ("from", "yesterday"), ("limit", "0"), ("bukket", "hour")]);
        let asset = p.required("asset", parsed::<AssetPath>);
        let period = p.period(Timestamp(0), 1, 1);
        let limit = p.limit(10, 100);
        let problem = serde_json::to_value(p.finish((asset, period, limit)).unwrap_err()).unwrap();
        let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["asset", "from", "limit", "bukket"]);
    }

    #[test]
    fn periods_have_defaults_an_order_and_a_greatest_length() {
        let now = time("2026-01-02T00:00:00Z").unwrap();
        let mut p = params(&[]);
        let period = p.period(now, 3_600_000_000, i64::MAX);
        let (period,) = p.finish((period,)).unwrap();
        assert_eq!((period.from, period.to), (time("2026-01-01T23:00:00Z").unwrap(), now));
        for (from, to) in [("2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z"), ("2025-01-02T00:00:00Z", "2026-01-02T00:00:00Z")] {
            let mut p = params(&[("from", from), ("to", to)]);
            let period = p.period(now, 1, 86_400_000_000);
            assert!(p.finish((period,)).is_err());
        }
        assert_eq!(time("2026-01-02T01:00:00 01:00"), Ok(now), "a + that was not escaped");
    }

    #[test]
    fn a_parameter_given_twice_or_missing_is_an_error() {
        let mut p = params(&[("a", "1"), ("a", "2")]);
        let (a, b) = (p.required("a", parsed::<u8>), p.required("b", parsed::<u8>));
        assert!(p.finish((a, b)).is_err());
    }
}
