//! Tumbling windows on event time, one series a signal.
//!
//! Stands between readings and summaries. A window `[start, end)` closes when the signal's watermark (newest event time minus allowed
//! lateness) passes its end, or when the monotonic clock passes its deadline: then a clock that jumped, or a signal that fell silent, leaves
//! nothing open. A reading for a window that has closed opens a correction, which only the deadline closes, so that a burst of late readings
//! becomes one summary.
//!
//! Invariant: every reading is in exactly one summary's count, whatever the order and the clocks; at most [`MAX_OPEN`] windows a signal.

use protocol::{AssetPath, Quality, SignalName, TimeQuality, Timestamp, WindowSummary};
use serde::{Deserialize, Serialize};

use crate::config;

/// Windows that a signal may have open; beyond, the one nearest to its deadline is closed.
pub const MAX_OPEN: usize = 32;
/// A correction waits at least so long for more late readings.
const MIN_CORRECTION_US: u64 = 1_000_000;

/// The settings in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    pub length_us: i64,
    pub lateness_us: i64,
    pub grace_us: i64,
}

impl From<config::Window> for Lengths {
    fn from(window: config::Window) -> Self {
        let micros = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX / 8);
        Self { length_us: micros(window.length).max(1), lateness_us: micros(window.allowed_lateness), grace_us: micros(window.idle_grace) }
    }
}

/// One value that goes into a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub at: Timestamp,
    pub value: f64,
    pub quality: Quality,
    pub time_quality: TimeQuality,
}

/// The windows of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    newest: i64,
    /// End of the latest window that was closed.
    closed_through: i64,
    open: Vec<Window>,
}

impl Default for Series {
    fn default() -> Self {
        Self { newest: i64::MIN, closed_through: i64::MIN, open: Vec::new() }
    }
}

impl Series {
    /// Takes a reading in; windows that it closes are handed to `closed`. Returns true if the reading came after its window had closed.
    pub fn add(&mut self, lengths: &Lengths, now_us: u64, point: Point, mut closed: impl FnMut(Window)) -> bool {
        let at = point.at.as_micros();
        if at > self.newest {
            self.newest = at;
            self.pass_watermark(lengths, &mut closed);
        }
        let start = at.div_euclid(lengths.length_us).saturating_mul(lengths.length_us);
        let end = start.saturating_add(lengths.length_us);
        let late = end <= self.closed_through.max(self.watermark(lengths));
        if let Some(window) = self.open.iter_mut().rev().find(|w| w.start == start) {
            window.add(at, &point);
            return window.correction;
        }
        if self.open.len() >= MAX_OPEN
            && let Some(first) = (0..self.open.len()).min_by_key(|i| self.open[*i].deadline_us)
        {
            self.close(first, lengths, &mut closed);
        }
        let wait = lengths.lateness_us.saturating_add(lengths.grace_us);
        let deadline = if late {
            now_us.saturating_add(micros(wait).max(MIN_CORRECTION_US))
        } else {
            now_us.saturating_add(micros(end.saturating_sub(at).saturating_add(wait)))
        };
        // Closing for room may have closed the very window that this reading would have opened as the first.
        let late = late || end <= self.closed_through;
        let mut window = Window::new(start, deadline, late);
        window.add(at, &point);
        self.open.push(window);
        late
    }

    /// Closes what is past its deadline.
    pub fn close_due(&mut self, lengths: &Lengths, now_us: u64, mut closed: impl FnMut(Window)) {
        while let Some(index) = self.open.iter().position(|w| w.deadline_us <= now_us) {
            self.close(index, lengths, &mut closed);
        }
    }

    /// Closes everything.
    pub fn close_all(&mut self, lengths: &Lengths, mut closed: impl FnMut(Window)) {
        while !self.open.is_empty() {
            self.close(0, lengths, &mut closed);
        }
    }

    /// The time became known: closes everything, and forgets a watermark beyond `latest`, which no reading can have reached.
    pub fn settle(&mut self, lengths: &Lengths, latest_us: i64, closed: impl FnMut(Window)) {
        self.close_all(lengths, closed);
        if self.newest > latest_us {
            *self = Self::default();
        }
    }

    /// Windows now open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Readings in them.
    pub fn open_readings(&self) -> u64 {
        self.open.iter().map(|window| window.count).sum()
    }

    fn watermark(&self, lengths: &Lengths) -> i64 {
        self.newest.saturating_sub(lengths.lateness_us)
    }

    fn pass_watermark(&mut self, lengths: &Lengths, closed: &mut impl FnMut(Window)) {
        let watermark = self.watermark(lengths);
        while let Some(index) = self.open.iter().position(|w| !w.correction && w.start.saturating_add(lengths.length_us) <= watermark) {
            self.close(index, lengths, closed);
        }
    }

    fn close(&mut self, index: usize, lengths: &Lengths, closed: &mut impl FnMut(Window)) {
        let window = self.open.remove(index);
        if !window.correction {
            self.closed_through = self.closed_through.max(window.start.saturating_add(lengths.length_us));
        }
        closed(window);
    }
}

/// What is known of one window so far (Welford's running mean and variance).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    start: i64,
    /// On the monotonic clock.
    deadline_us: u64,
    correction: bool,
    quality: Quality,
    time_quality: TimeQuality,
    count: u64,
    min: f64,
    max: f64,
    mean: f64,
    m2: f64,
    first_at: i64,
    first: f64,
    last_at: i64,
    last: f64,
}

impl Window {
    fn new(start: i64, deadline_us: u64, correction: bool) -> Self {
        Self {
            start,
            deadline_us,
            correction,
            quality: Quality::Good,
            time_quality: TimeQuality::Synced,
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            m2: 0.0,
            first_at: i64::MAX,
            first: 0.0,
            last_at: i64::MIN,
            last: 0.0,
        }
    }

    fn add(&mut self, at: i64, point: &Point) {
        let value = point.value;
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (value - self.mean);
        if at < self.first_at {
            (self.first_at, self.first) = (at, value);
        }
        // Of equal times the one that came last stands.
        if at >= self.last_at {
            (self.last_at, self.last) = (at, value);
        }
        self.quality = self.quality.max(point.quality);
        self.time_quality = self.time_quality.max(point.time_quality);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The record of this window.
    pub fn summary(&self, asset: AssetPath, signal: SignalName, unit: String, length_us: i64) -> WindowSummary {
        WindowSummary {
            asset,
            signal,
            unit,
            start: Timestamp::from_micros(self.start),
            end: Timestamp::from_micros(self.start.saturating_add(length_us)),
            count: self.count,
            min: self.min,
            max: self.max,
            // Rounding must not carry the mean of equal values outside of them.
            mean: self.mean.max(self.min).min(self.max),
            stddev: (self.m2.max(0.0) / self.count.max(1) as f64).sqrt(),
            first: self.first,
            last: self.last,
            quality: self.quality,
            time_quality: self.time_quality,
            correction: self.correction,
        }
    }
}

fn micros(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTHS: Lengths = Lengths { length_us: 5_000_000, lateness_us: 2_000_000, grace_us: 1_000_000 };
    const S: i64 = 1_000_000;

    fn point(at: i64, value: f64) -> Point {
        Point { at: Timestamp::from_micros(at), value, quality: Quality::Good, time_quality: TimeQuality::Synced }
    }

    fn summary(window: &Window) -> WindowSummary {
        window.summary(AssetPath::new("a/b/c/d").unwrap(), SignalName::new("x").unwrap(), String::new(), LENGTHS.length_us)
    }

    struct Run {
        series: Series,
        closed: Vec<WindowSummary>,
    }

    impl Run {
        fn new() -> Self {
            Self { series: Series::default(), closed: Vec::new() }
        }

        fn add(&mut self, now_us: u64, at: i64, value: f64) -> bool {
            let Self { series, closed } = self;
            series.add(&LENGTHS, now_us, point(at, value), |w| closed.push(summary(&w)))
        }

        fn due(&mut self, now_us: u64) {
            let Self { series, closed } = self;
            series.close_due(&LENGTHS, now_us, |w| closed.push(summary(&w)));
        }
    }

    #[test]
    fn a_window_closes_when_the_watermark_passes_its_end() {
        let mut run = Run::new();
        for (second, value) in [(0, 1.0), (4, 3.0), (5, 9.0), (3, 2.0), (6, 9.0)] {
            assert!(!run.add(0, second * S, value));
        }
        assert!(run.closed.is_empty(), "the newest reading is 6 s, the watermark 4 s");
        run.add(0, 7 * S, 9.0);
        let window = &run.closed[0];
        assert_eq!((window.count, window.min, window.max, window.mean, window.first, window.last), (3, 1.0, 3.0, 2.0, 1.0, 3.0));
        assert!((window.stddev - (2.0_f64 / 3.0).sqrt()).abs() < 1e-12 && !window.correction);
        assert_eq!((window.start.as_micros(), window.end.as_micros()), (0, 5 * S));
    }

    #[test]
    fn late_readings_become_one_correction_that_adds_up() {
        let mut run = Run::new();
        run.add(0, S, 1.0);
        run.add(0, 20 * S, 1.0);
        assert_eq!(run.closed.len(), 1);
        for i in 0..100 {
            assert!(run.add(1_000 * i, 2 * S + i64::try_from(i).unwrap(), 5.0));
        }
        run.due(2_000_000);
        assert_eq!(run.closed.len(), 1, "it waits for more");
        run.due(3_000_000);
        assert_eq!((run.closed[1].count, run.closed[1].correction, run.closed[1].start.as_micros()), (100, true, 0));
    }

    #[test]
    fn a_silent_signal_closes_by_the_monotonic_clock_wherever_its_own_clock_went() {
        let mut run = Run::new();
        run.add(10 * 1_000_000, 1_000_000 * S + 4 * S, 1.0);
        run.add(11 * 1_000_000, 3 * S, 1.0);
        assert_eq!(run.series.open(), 2);
        run.due(13 * 1_000_000);
        assert_eq!(run.series.open(), 2, "1 s of the window, 2 s of lateness and 1 s of grace are not over");
        run.due(14 * 1_000_000);
        assert_eq!(run.series.open(), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_wedge_the_series() {
        let mut run = Run::new();
        run.add(0, 7_200 * S, 1.0);
        let mut readings = 1;
        for second in 0..60_u64 {
            run.add(second * 1_000_000, i64::try_from(second).unwrap() * S, 1.0);
            run.due(second * 1_000_000);
            readings += 1;
        }
        run.due(100 * 1_000_000);
        assert_eq!(run.closed.iter().map(|w| w.count).sum::<u64>(), readings);
        assert!(run.closed.len() <= 1 + 60, "{}", run.closed.len());
    }

    #[test]
    fn open_windows_are_bounded() {
        let mut run = Run::new();
        for i in 0..1_000 {
            run.add(0, -i * 10 * S, 1.0);
            assert!(run.series.open() <= MAX_OPEN);
        }
        let Run { series, closed } = &mut run;
        series.close_all(&LENGTHS, |w| closed.push(summary(&w)));
        assert_eq!(closed.iter().map(|w| w.count).sum::<u64>(), 1_000);
    }

    proptest! {
        #[test]
        fn every_reading_is_in_exactly_one_summary(
            steps in prop::collection::vec((0_i64..200_000_000, -1e6_f64..1e6, 0_u64..3_000_000, any::<bool>()), 1..300)
        ) {
            let mut run = Run::new();
            let mut now = 0;
            let mut truth = std::collections::BTreeMap::<i64, (u64, f64, f64, f64)>::new();
            for (at, value, pause, tick) in steps {
                now += pause;
                run.add(now, at, value);
                let entry = truth.entry(at.div_euclid(LENGTHS.length_us) * LENGTHS.length_us).or_insert((0, f64::MAX, f64::MIN, 0.0));
                *entry = (entry.0 + 1, entry.1.min(value), entry.2.max(value), entry.3 + value);
                if tick {
                    run.due(now);
                }
            }
            let Run { series, closed } = &mut run;
            series.close_all(&LENGTHS, |w| closed.push(summary(&w)));
            let mut got = std::collections::BTreeMap::<i64, (u64, f64, f64, f64)>::new();
            let mut firsts = std::collections::BTreeSet::new();
            for w in closed {
                prop_assert!(w.count > 0 && w.min <= w.mean && w.mean <= w.max);
                prop_assert!(w.correction || firsts.insert(w.start), "two summaries that are no corrections for one window");
                let entry = got.entry(w.start.as_micros()).or_insert((0, f64::MAX, f64::MIN, 0.0));
                *entry = (entry.0 + w.count, entry.1.min(w.min), entry.2.max(w.max), entry.3 + w.mean * w.count as f64);
            }
            prop_assert_eq!(got.len(), truth.len());
            for (start, (count, min, max, sum)) in truth {
                let g = got[&start];
                prop_assert_eq!((g.0, g.1, g.2), (count, min, max));
                prop_assert!((g.3 - sum).abs() <= 1e-6 * (1.0 + count as f64 * 1e6));
            }
        }

        #[test]
        fn order_within_a_window_does_not_matter(values in prop::collection::vec(-1e9_f64..1e9, 1..50), seed in any::<u64>()) {
            let mut shuffled: Vec<(i64, f64)> = values.iter().enumerate().map(|(i, v)| (i64::try_from(i).unwrap(), *v)).collect();
            shuffled.sort_by_key(|(i, _)| (u64::try_from(*i).unwrap() + 1).wrapping_mul(seed | 1));
            let collect = |points: &[(i64, f64)]| {
                let mut window = Window::new(0, 0, false);
                for (at, value) in points {
                    window.add(*at, &point(*at, *value));
                }
                summary(&window)
            };
            let mut sorted = shuffled.clone();
            sorted.sort_by_key(|(at, _)| *at);
            let (a, b) = (collect(&sorted), collect(&shuffled));
            prop_assert_eq!((a.count, a.min, a.max, a.first, a.last), (b.count, b.min, b.max, b.first, b.last));
            prop_assert!((a.mean - b.mean).abs() <= 1e-3 && (a.stddev - b.stddev).abs() <= 1e-3);
        }
    }
}
