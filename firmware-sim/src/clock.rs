//! The only place that reads a clock.
//!
//! Invariant: the plant's time never goes back and never jumps. The wall clock is read once; after that the monotonic clock counts on,
//! so that a correction of the wall clock cannot make a machine produce twice or not at all.

use std::time::Duration;

use tokio::time::Instant;

use crate::moment::Moment;

/// The plant's clock, anchored to the wall clock at its start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Moment,
    monotonic: Instant,
}

impl Clock {
    /// Anchors the clock now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the crate's clock module")]
    pub fn start() -> Self {
        Self { wall: Moment(jiff::Timestamp::now().as_microsecond()), monotonic: Instant::now() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.wall.plus(self.monotonic.elapsed())
    }

    /// Returns when `moment` has come, at once if it has passed.
    pub async fn sleep_until(&self, moment: Moment) {
        // Timers fire on whole milliseconds; a moment further away than a year is as good as never.
        let span = moment.since(self.wall).min(Duration::from_secs(365 * 86_400));
        tokio::time::sleep_until(self.monotonic + span).await;
    }
}
