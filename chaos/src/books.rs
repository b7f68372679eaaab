//! The check: what was sampled against what is stored and what is counted as lost. Pure.
//!
//! For each signal: readings stored + readings counted lost = readings sampled. Where a loss of unknown count was told (a range of time in
//! which an unknown number may be missing), stored + counted may fall short, but never pass, and what is missing must lie in such a range. For
//! each window: never more than was sampled, and if as many, the very same (by their sum). Parts likewise.
//!
//! Readings that were taken while the gateway's clock was wrong may lie in any window: signals with such readings are compared as a whole.

use std::collections::BTreeMap;

use protocol::{Loss, LossReason, Record, Timestamp};

/// Times of a loss are those of messages; a window touches it if it is as near.
const SLACK_US: i64 = 2_000_000;
/// A window may stay open so long after its end.
const LATENESS_US: i64 = 5_000_000;

/// A reading as it was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// True time, in microseconds since 1970.
    pub at: i64,
    pub value: i64,
    /// The gateway's clock was right when it came.
    pub trusted: bool,
}

/// A signal by the plant's own account.
#[derive(Debug, Clone, Default)]
pub struct SeriesTruth {
    pub asset: String,
    pub signal: String,
    /// Its messages carry sequence numbers: what is missing between two of them can be counted.
    pub sequenced: bool,
    pub readings: Vec<Reading>,
    /// How many there were in all.
    pub sampled: u64,
    /// Of these, lost between device and gateway.
    pub lost_on_the_way: u64,
}

/// A machine by the plant's own account.
#[derive(Debug, Clone, Default)]
pub struct MachineTruth {
    pub asset: String,
    /// Its counters in the first message handed over.
    pub first: Option<(u64, u64)>,
    /// Parts made from then on, as far as a message told of them.
    pub produced: u64,
    pub rejected: u64,
    /// When it began new sessions: what was lost at the end of the one before nobody can count.
    pub renewed: Vec<i64>,
}

/// All that was sampled.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    pub series: Vec<SeriesTruth>,
    pub machines: Vec<MachineTruth>,
    /// When something may have been lost of which nothing whatever remains: a run whose disk took nothing before it was killed, and one of which
    /// nothing had been delivered when its disk was put back to a backup. Readings of machines without sequence numbers may be missing then.
    pub untold: Vec<(i64, i64)>,
}

/// What may be demanded of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Nothing went wrong that can lose a reading.
    pub lossless: bool,
    /// Length of the gateway's windows.
    pub window_us: i64,
    /// What times are shown from.
    pub zero_us: i64,
}

impl Terms {
    fn shown(self, from: i64, to: i64) -> String {
        format!("{:.3} s to {:.3} s", (from - self.zero_us) as f64 / 1e6, (to - self.zero_us) as f64 / 1e6)
    }
}

/// The result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balance {
    /// What does not balance, for people. Empty: all is well.
    pub violations: Vec<String>,
    pub sampled: u64,
    pub stored: u64,
    /// Counted as lost.
    pub lost: u64,
    /// Neither, but in a range that was told.
    pub unknown: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sum {
    count: u64,
    sum: i128,
}

impl Sum {
    fn add(&mut self, count: u64, sum: i128) {
        self.count += count;
        self.sum += sum;
    }
}

#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
    stored: Sum,
}

/// Compares.
pub fn check<'a>(truth: &Truth, records: impl IntoIterator<Item = &'a Record>, terms: Terms) -> Balance {
    let mut balance = Balance::default();
    let mut windows: BTreeMap<(&str, &str), Vec<Span>> = BTreeMap::new();
    let mut losses: Vec<&Loss> = Vec::new();
    let mut parts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for record in records {
        match record {
            Record::Window(w) => {
                let sum = (w.mean * w.count as f64).round() as i128;
                let span = Span { from: w.start.as_micros(), to: w.end.as_micros(), stored: Sum { count: w.count, sum } };
                windows.entry((w.asset.as_str(), w.signal.as_str())).or_default().push(span);
            }
            Record::Parts(p) => {
                let sum = parts.entry(p.asset.as_str()).or_default();
                *sum = (sum.0 + p.produced, sum.1 + p.rejected);
            }
            Record::Loss(loss) => losses.push(loss),
            Record::Anomaly(_) | Record::State(_) => {}
        }
    }
    let untold: Vec<Loss> = truth.untold.iter().map(|(from, to)| untold(*from, *to)).collect();
    losses.extend(&untold);
    let losses = Losses::sorted(&losses);
    let mut missing = 0_u64;
    for series in &truth.series {
        let spans = windows.remove(&(series.asset.as_str(), series.signal.as_str())).unwrap_or_default();
        let renewed = truth.machines.iter().find(|m| m.asset == series.asset).map_or(&[][..], |m| &m.renewed);
        missing += check_series(&mut balance, series, spans, &losses, (renewed, terms));
    }
    for (asset, signal) in windows.keys() {
        balance.violations.push(format!("{asset} {signal}: stored, but there is no such signal"));
    }
    // Readings counted as lost without the name of a signal stand for those that are missing somewhere.
    balance.lost += losses.pooled;
    if missing < losses.pooled {
        balance.violations.push(format!("{} readings counted lost without a signal's name, but only {missing} are missing", losses.pooled));
    } else if missing > losses.pooled {
        balance.unknown = missing - losses.pooled;
        if losses.unknown.is_empty() {
            balance.violations.push(format!("{} readings are missing, and no loss tells of them", balance.unknown));
        }
    }
    for machine in &truth.machines {
        let (produced, rejected) = parts.remove(machine.asset.as_str()).unwrap_or_default();
        let excused = losses.parts_excused(&machine.asset);
        for (what, made, counted) in [("parts", machine.produced, produced), ("rejected parts", machine.rejected, rejected)] {
            if counted > made || (counted < made && !excused) {
                balance.violations.push(format!("{}: {made} {what} made, {counted} counted", machine.asset));
            }
        }
    }
    if terms.lossless {
        for loss in losses.all.iter().filter(|loss| loss.reason != LossReason::SequenceGap && loss.reason != LossReason::DeviceError) {
            balance.violations.push(format!("nothing could be lost, but a loss was told: {}", shown(loss, terms)));
        }
    }
    balance
}

const UNTOLD: &str = "nothing remains of it";

fn untold(from: i64, to: i64) -> Loss {
    let (from, to) = (Timestamp::from_micros(from), Timestamp::from_micros(to));
    Loss { asset: None, signal: None, reason: LossReason::PowerCut, count: 0, from, to, detail: UNTOLD.into() }
}

/// Returns the readings that are neither stored nor counted as lost by name.
fn check_series(
    balance: &mut Balance,
    series: &SeriesTruth,
    spans: Vec<Span>,
    losses: &Losses<'_>,
    (renewed, terms): (&[i64], Terms),
) -> u64 {
    let name = format!("{} {}", series.asset, series.signal);
    let sampled = series.readings.iter().fold(Sum::default(), |mut sum, r| {
        sum.add(1, i128::from(r.value));
        sum
    });
    let stored = spans.iter().fold(Sum::default(), |mut sum, s| {
        sum.add(s.stored.count, s.stored.sum);
        sum
    });
    let own: Vec<&Loss> = losses.of(&series.asset, &series.signal).collect();
    let counted: u64 = own.iter().map(|loss| loss.count).sum();
    balance.sampled += sampled.count;
    balance.stored += stored.count;
    balance.lost += counted;
    if stored.count > sampled.count {
        balance.violations.push(format!("{name}: {} sampled, {} stored", sampled.count, stored.count));
    } else if stored.count + counted > sampled.count {
        balance.violations.push(format!("{name}: {} sampled, {} stored and {counted} counted lost", sampled.count, stored.count));
    } else if stored.count == sampled.count && stored.sum != sampled.sum {
        balance.violations.push(format!("{name}: as many stored as sampled, but not the same ({} and {})", sampled.sum, stored.sum));
    }
    if terms.lossless && counted != series.lost_on_the_way {
        let way = series.lost_on_the_way;
        balance.violations.push(format!("{name}: {way} lost on the way to the gateway, {counted} counted"));
    }
    let missing = sampled.count.saturating_sub(stored.count + counted);
    let trusted = series.readings.iter().all(|reading| reading.trusted);
    let ranges: Vec<&Loss> = losses.unknown.iter().copied().filter(|loss| excuses(loss, series, renewed)).collect();
    if missing > 0 && ranges.is_empty() && losses.pooled == 0 {
        let text = format!("{name}: {} sampled, {} stored, {counted} counted lost, {missing} missing", sampled.count, stored.count);
        balance.violations.push(text);
    }
    if trusted {
        for place in places(series, spans, terms.window_us) {
            // Of what can be counted without being told, the time is not known.
            let untold = losses.unknown.iter().filter(|loss| loss.detail == UNTOLD);
            let covering = own.iter().chain(&ranges).chain(&losses.unnamed).chain(untold).copied();
            check_place(balance, (&name, &place, terms), covering);
        }
    }
    missing
}

/// The time of a loss without a machine's name is when entries were made: their windows had ended by then.
fn covers(loss: &Loss, (from, to): (i64, i64), terms: Terms) -> bool {
    let before =
        if loss.asset.is_none() && loss.reason != LossReason::PowerCut { SLACK_US + terms.window_us + LATENESS_US } else { SLACK_US };
    loss.from.as_micros() - before <= to && from <= loss.to.as_micros() + SLACK_US
}

/// A stretch of time: windows that overlap, or a window's length in which nothing is stored.
struct Place {
    from: i64,
    to: i64,
    sampled: Sum,
    stored: Sum,
}

fn check_place<'a>(balance: &mut Balance, (name, place, terms): (&str, &Place, Terms), mut losses: impl Iterator<Item = &'a Loss>) {
    let Place { from, to, sampled, stored } = place;
    let span = terms.shown(*from, *to);
    if stored.count > sampled.count {
        let text = format!("{name}: {} sampled in {span}, {} stored", sampled.count, stored.count);
        balance.violations.push(text);
    } else if stored.count == sampled.count && stored.sum != sampled.sum {
        balance.violations.push(format!("{name}: not the readings of {span} are stored there"));
    } else if stored.count < sampled.count && !losses.any(|loss| covers(loss, (*from, *to), terms)) {
        let less = sampled.count - stored.count;
        balance.violations.push(format!("{name}: {less} missing in {span}, and no loss covers that time"));
    }
}

fn places(series: &SeriesTruth, mut spans: Vec<Span>, window_us: i64) -> Vec<Place> {
    let window = window_us.max(1);
    for reading in &series.readings {
        let from = reading.at.div_euclid(window) * window;
        spans.push(Span { from, to: from + window, stored: Sum::default() });
    }
    spans.sort_by_key(|span| (span.from, span.to));
    let mut places: Vec<Place> = Vec::new();
    for span in spans {
        match places.last_mut() {
            Some(place) if span.from < place.to => {
                place.to = place.to.max(span.to);
                place.stored.add(span.stored.count, span.stored.sum);
            }
            _ => places.push(Place { from: span.from, to: span.to, sampled: Sum::default(), stored: span.stored }),
        }
    }
    for reading in &series.readings {
        let index = places.partition_point(|place| place.to <= reading.at);
        places[index].sampled.add(1, i128::from(reading.value));
    }
    places
}

/// True if a loss of unknown count may stand for readings of `series`.
fn excuses(loss: &Loss, series: &SeriesTruth, renewed: &[i64]) -> bool {
    if loss.asset.as_ref().is_some_and(|asset| asset.as_str() != series.asset) {
        return false;
    }
    if loss.signal.as_ref().is_some_and(|signal| signal.as_str() != series.signal) {
        return false;
    }
    // What a kill took of a machine with sequence numbers is counted by them, unless its session ended.
    let countable = loss.reason == LossReason::PowerCut && series.sequenced && !loss.detail.contains("checkpoint");
    !countable || !renewed.is_empty()
}

struct Losses<'a> {
    all: Vec<&'a Loss>,
    /// With a signal's name and a count.
    named: BTreeMap<(&'a str, &'a str), Vec<&'a Loss>>,
    /// With a count, without a signal's name.
    unnamed: Vec<&'a Loss>,
    pooled: u64,
    /// Without a count.
    unknown: Vec<&'a Loss>,
}

impl<'a> Losses<'a> {
    fn sorted(all: &[&'a Loss]) -> Self {
        let mut losses = Self { all: all.to_vec(), named: BTreeMap::new(), unnamed: Vec::new(), pooled: 0, unknown: Vec::new() };
        for loss in all.iter().copied() {
            match (&loss.asset, &loss.signal) {
                (Some(asset), Some(signal)) if loss.count > 0 => {
                    losses.named.entry((asset.as_str(), signal.as_str())).or_default().push(loss);
                }
                _ if loss.count > 0 => {
                    losses.pooled += loss.count;
                    losses.unnamed.push(loss);
                }
                // A machine's states or parts, unless it is a gap that names no signals.
                (Some(_), None) if loss.reason != LossReason::SequenceGap => {}
                _ => losses.unknown.push(loss),
            }
        }
        losses
    }

    fn of(&self, asset: &str, signal: &str) -> impl Iterator<Item = &'a Loss> + use<'a> {
        self.named.get(&(asset, signal)).cloned().unwrap_or_default().into_iter()
    }

    fn parts_excused(&self, asset: &str) -> bool {
        // A kill takes no parts: the counters tell them again.
        let kept = |loss: &Loss| {
            matches!(loss.reason, LossReason::SequenceGap | LossReason::DeviceError)
                || (loss.reason == LossReason::PowerCut && !loss.detail.contains("checkpoint"))
        };
        self.all.iter().any(|loss| !kept(loss) && loss.asset.as_ref().is_none_or(|a| a.as_str() == asset))
    }
}

/// A loss in one line.
pub fn shown(loss: &Loss, terms: Terms) -> String {
    let asset = loss.asset.as_ref().map_or("-", |asset| asset.as_str());
    let signal = loss.signal.as_ref().map_or("-", |signal| signal.as_str());
    let span = terms.shown(loss.from.as_micros(), loss.to.as_micros());
    format!("{} {asset} {signal} count {} in {span} ({})", loss.reason, loss.count, loss.detail)
}

#[cfg(test)]
mod tests {
    use protocol::{Quality, TimeQuality, WindowSummary};

    use super::*;

    const S: i64 = 1_000_000;
    const TERMS: Terms = Terms { lossless: false, window_us: 10 * S, zero_us: 0 };

    /// Ten readings of 1 to 10 in the first ten seconds.
    fn truth(sequenced: bool) -> Truth {
        let readings = (0..10).map(|i| Reading { at: i * S, value: i + 1, trusted: true }).collect();
        let series = SeriesTruth { asset: "p/a/l/m".into(), signal: "x".into(), sequenced, readings, ..SeriesTruth::default() };
        let machines = vec![MachineTruth { asset: "p/a/l/m".into(), produced: 3, ..MachineTruth::default() }];
        Truth { series: vec![series], machines, ..Truth::default() }
    }

    fn window(count: u64, mean: f64) -> Record {
        Record::Window(WindowSummary {
            asset: "p/a/l/m".parse().unwrap(),
            signal: "x".parse().unwrap(),
            unit: String::new(),
            start: Timestamp::from_micros(0),
            end: Timestamp::from_micros(10 * S),
            count,
            min: 1.0,
            max: 10.0,
            mean,
            stddev: 0.0,
            first: 1.0,
            last: 1.0,
            quality: Quality::Good,
            time_quality: TimeQuality::Synced,
            correction: false,
        })
    }

    fn parts(produced: u64) -> Record {
        let at = Timestamp::from_micros(S);
        let asset = "p/a/l/m".parse().unwrap();
        let time_quality = TimeQuality::Synced;
        Record::Parts(protocol::PartCount { asset, from: at, to: at, produced, rejected: 0, reworked: 0, time_quality })
    }

    fn loss(reason: LossReason, signal: Option<&str>, count: u64, (from, to): (i64, i64)) -> Record {
        Record::Loss(Loss {
            asset: signal.map(|_| "p/a/l/m".parse().unwrap()),
            signal: signal.map(|signal| signal.parse().unwrap()),
            reason,
            count,
            from: Timestamp::from_micros(from),
            to: Timestamp::from_micros(to),
            detail: String::new(),
        })
    }

    fn violations(sequenced: bool, records: &[Record]) -> Vec<String> {
        check(&truth(sequenced), records, TERMS).violations
    }

    #[test]
    fn all_stored_is_clean_and_one_too_many_or_another_value_is_not() {
        assert_eq!(violations(true, &[window(10, 5.5), parts(3)]), Vec::<String>::new());
        assert!(!violations(true, &[window(10, 5.5), window(1, 1.0), parts(3)]).is_empty());
        assert!(!violations(true, &[window(10, 5.4), parts(3)]).is_empty(), "a wrong value");
        assert!(!violations(true, &[window(10, 5.5), parts(4)]).is_empty());
        assert!(!violations(true, &[window(10, 5.5), parts(2)]).is_empty());
    }

    #[test]
    fn what_is_missing_must_be_counted() {
        let gap = |count| loss(LossReason::SequenceGap, Some("x"), count, (8 * S, 9 * S));
        assert!(!violations(true, &[window(8, 4.5), parts(3)]).is_empty());
        assert!(!violations(true, &[window(8, 4.5), gap(1), parts(3)]).is_empty());
        assert_eq!(violations(true, &[window(8, 4.5), gap(2), parts(3)]), Vec::<String>::new());
        assert!(!violations(true, &[window(8, 4.5), gap(3), parts(3)]).is_empty(), "more counted than missing");
        let unnamed = |count| loss(LossReason::SpoolCorrupt, None, count, (0, 9 * S));
        assert_eq!(violations(true, &[window(8, 4.5), unnamed(2), parts(3)]), Vec::<String>::new());
        assert!(!violations(true, &[window(8, 4.5), unnamed(3), parts(3)]).is_empty());
    }

    #[test]
    fn a_range_of_unknown_count_excuses_only_its_time_and_only_what_can_not_be_counted() {
        let cut = |from, to| loss(LossReason::PowerCut, None, 0, (from, to));
        assert_eq!(violations(false, &[window(8, 4.5), cut(8 * S, 9 * S), parts(3)]), Vec::<String>::new());
        assert!(!violations(false, &[window(8, 4.5), cut(20 * S, 30 * S), parts(3)]).is_empty(), "another time");
        assert!(!violations(true, &[window(8, 4.5), cut(8 * S, 9 * S), parts(3)]).is_empty(), "it has numbers to count by");
        let restored = loss(LossReason::Restored, None, 0, (8 * S, 9 * S));
        assert_eq!(violations(true, &[window(8, 4.5), restored.clone(), parts(2)]), Vec::<String>::new());
        assert!(!violations(true, &[window(11, 5.5), restored, parts(3)]).is_empty(), "never more than sampled");
    }

    #[test]
    fn a_run_in_which_nothing_can_be_lost_tells_no_loss() {
        let terms = Terms { lossless: true, ..TERMS };
        let cut = loss(LossReason::PowerCut, None, 0, (0, S));
        assert_eq!(check(&truth(true), &[window(10, 5.5), parts(3)], terms).violations, Vec::<String>::new());
        assert!(!check(&truth(true), &[window(10, 5.5), parts(3), cut], terms).violations.is_empty());
    }

    #[test]
    fn coarser_windows_are_compared_as_a_whole() {
        let mut truth = truth(true);
        truth.series[0].readings.push(Reading { at: 12 * S, value: 7, trusted: true });
        let Record::Window(mut coarse) = window(11, 62.0 / 11.0) else { unreachable!() };
        coarse.end = Timestamp::from_micros(120 * S);
        assert_eq!(check(&truth, &[Record::Window(coarse), parts(3)], TERMS).violations, Vec::<String>::new());
    }

    #[test]
    fn with_a_wrong_clock_only_the_whole_is_compared() {
        let mut truth = truth(true);
        truth.series[0].readings[0].trusted = false;
        let Record::Window(mut moved) = window(10, 5.5) else { unreachable!() };
        (moved.start, moved.end) = (Timestamp::from_micros(-500 * S), Timestamp::from_micros(-490 * S));
        assert_eq!(check(&truth, &[Record::Window(moved), parts(3)], TERMS).violations, Vec::<String>::new());
    }
}
