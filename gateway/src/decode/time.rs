//! Time stamps of sources: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970.
//!
//! The unit of a number is told by its size: each covers the years from 1973 (for milliseconds and below) to 5138.

use protocol::Timestamp;

use super::json::Scalar;

/// 2000-01-01: a stamp before this comes from a clock that was never set.
pub const EARLIEST: Timestamp = Timestamp::from_micros(946_684_800_000_000);

/// 2024-01-01: a gateway whose clock is before this has not been set.
pub const CLOCK_SET: Timestamp = Timestamp::from_micros(1_704_067_200_000_000);

/// Reads a time stamp; `None` if it is none.
pub fn timestamp(value: &Scalar<'_>) -> Option<Timestamp> {
    match value {
        Scalar::Text(text) => {
            let text = text.trim();
            match text.parse::<jiff::Timestamp>() {
                Ok(at) => Some(Timestamp::from_micros(at.as_microsecond())),
                Err(_) => text.parse().ok().and_then(from_number),
            }
        }
        Scalar::Unsigned(value) => i64::try_from(*value).ok().and_then(from_integer),
        Scalar::Signed(value) => from_integer(*value),
        Scalar::Float(value) => from_number(*value),
        Scalar::Bool(_) | Scalar::Null => None,
    }
}

fn from_integer(value: i64) -> Option<Timestamp> {
    let micros = match value.unsigned_abs() {
        0..100_000_000_000 => value * 1_000_000,
        100_000_000_000..100_000_000_000_000 => value * 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => value,
        _ => value / 1_000,
    };
    Some(Timestamp::from_micros(micros))
}

fn from_number(value: f64) -> Option<Timestamp> {
    let size = value.abs();
    let factor = if size < 1e11 {
        1e6
    } else if size < 1e14 {
        1e3
    } else if size < 1e17 {
        1.0
    } else {
        1e-3
    };
    let micros = (value * factor).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
    (micros.is_finite() && micros.abs() < 9e18).then(|| Timestamp::from_micros(micros as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_means_the_same_moment() {
        let want = Some(Timestamp::from_micros(1_767_225_600_123_456));
        for text in
            ["2026-01-01T00:00:00.123456Z", "2026-01-01T01:00:00.123456+01:00", " 2026-01-01T00:00:00.123456Z ", "1767225600.123456"]
        {
            assert_eq!(timestamp(&Scalar::Text(text.into())), want, "{text}");
        }
        assert_eq!(timestamp(&Scalar::Unsigned(1_767_225_600_123_456)), want);
        assert_eq!(timestamp(&Scalar::Unsigned(1_767_225_600_123_456_789)), want);
        assert_eq!(timestamp(&Scalar::Float(1_767_225_600.123_456)), want);
        assert_eq!(timestamp(&Scalar::Unsigned(1_767_225_600_123)), Some(Timestamp::from_micros(1_767_225_600_123_000)));
        assert_eq!(timestamp(&Scalar::Unsigned(1_767_225_600)), Some(Timestamp::from_micros(1_767_225_600_000_000)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01", "NaN", "inf", "1e300"] {
            assert_eq!(timestamp(&Scalar::Text(text.into())), None, "{text}");
        }
        assert_eq!(timestamp(&Scalar::Null), None);
        assert_eq!(timestamp(&Scalar::Unsigned(u64::MAX)), None);
        assert_eq!(timestamp(&Scalar::Float(f64::NAN)), None);
        assert!(timestamp(&Scalar::Signed(i64::MIN)).is_some());
    }
}
