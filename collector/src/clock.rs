//! The wall clock: the only place of the crate that reads it. Pure modules take the time as an argument.

use protocol::Timestamp;

/// Now, in microseconds since 1970 (UTC).
#[expect(clippy::disallowed_methods, reason = "the clock module is where the wall clock is read")]
pub fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}
