//! A point in time as people and programs outside see it: RFC 3339 in UTC, with microseconds.
//!
//! Stands between `protocol::Timestamp` (an integer, used everywhere inside) and JSON. Pure.

use std::fmt;

use protocol::{TimeRange, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// RFC 3339 UTC, `2026-01-01T06:00:00.000000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-01T06:00:00.000000Z")]
pub struct Utc(pub Timestamp);

/// A text that is no RFC 3339 time with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time, such as 2026-01-01T06:00:00Z")]
pub struct NotATime;

impl Utc {
    /// # Errors
    /// [`NotATime`].
    pub fn parse(text: &str) -> Result<Self, NotATime> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self(Timestamp::from_micros(instant.as_microsecond())))
    }
}

impl From<Timestamp> for Utc {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0.as_micros()) {
            Ok(instant) => write!(f, "{instant:.6}"),
            // Beyond the calendar: only a broken clock gets there.
            Err(_) => write!(f, "{}us", self.0.as_micros()),
        }
    }
}

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Utc {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// A half-open interval `[from, to)` as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    pub from: Utc,
    pub to: Utc,
}

impl From<TimeRange> for Period {
    fn from(range: TimeRange) -> Self {
        Self { from: Utc(range.from), to: Utc(range.to) }
    }
}

impl Period {
    pub fn range(self) -> TimeRange {
        TimeRange { from: self.from.0, to: self.to.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_microseconds_and_reads_any_offset() {
        let at = Utc::parse("2026-01-01T07:00:00.1234567+01:00").unwrap();
        assert_eq!(at.to_string(), "2026-01-01T06:00:00.123456Z");
        assert_eq!(serde_json::from_str::<Utc>("\"2026-01-01T06:00:00.123456Z\"").unwrap(), at);
        for wrong in ["", "yesterday", "2026-01-01T06:00:00", "1767247200"] {
            assert_eq!(Utc::parse(wrong), Err(NotATime), "{wrong}");
        }
    }
}
