//! The wall clock: the only place of the crate that reads it. It says how old a mark is, and nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970 (UTC).
#[expect(clippy::disallowed_methods, reason = "the clock module is where the wall clock is read")]
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
