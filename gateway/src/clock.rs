//! The only place of the gateway that reads a clock; everything else is given a [`Now`].
//!
//! Invariant: `mono_us` never goes back within a process and means nothing in another one; `wall` may jump in either direction.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use protocol::Timestamp;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall time; may jump.
    pub wall: Timestamp,
    /// Microseconds on a clock that only runs forward, from an arbitrary zero in this process.
    pub mono_us: u64,
}

impl Now {
    /// This moment after `pause` on both clocks.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        Self { wall: self.wall.plus_micros(i64::try_from(micros).unwrap_or(i64::MAX)), mono_us: self.mono_us.saturating_add(micros) }
    }
}

/// Reads both clocks.
#[expect(clippy::disallowed_methods, reason = "the clock of this crate")]
pub fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let mono = START.get_or_init(Instant::now).elapsed();
    Now {
        wall: Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()),
        mono_us: u64::try_from(mono.as_micros()).unwrap_or(u64::MAX),
    }
}
