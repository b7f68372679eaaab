//! Points in time of the plant: whole microseconds since 1970-01-01T00:00:00Z, printed as RFC 3339 with six decimals.
//!
//! Everything in the crate gets its moments from [`crate::clock`]; nothing here reads a clock.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

/// Microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// This moment moved forward, saturating at the end of time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this moment is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = jiff::Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{}", timestamp.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A span in whole microseconds from fractional seconds; negative and NaN become zero.
#[must_use]
pub fn seconds(value: f64) -> Duration {
    Duration::from_micros((value.max(0.0) * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_with_all_its_microseconds() {
        assert_eq!(Moment(1_767_225_600_000_000).to_string(), "2026-01-01T00:00:00.000000Z");
        assert_eq!(Moment(1_767_225_600_123_456).to_string(), "2026-01-01T00:00:00.123456Z");
    }

    #[test]
    fn spans_never_go_negative() {
        assert_eq!(Moment(5).since(Moment(9)), Duration::ZERO);
        assert_eq!(Moment(9).since(Moment(5)), Duration::from_micros(4));
        assert_eq!(seconds(-1.0), Duration::ZERO);
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
    }
}
