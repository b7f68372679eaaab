//! Thinning and accounting keep every reading in the sums.

use proptest::prelude::*;
use protocol::Quality;

use super::*;

const S: i64 = 1_000_000;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn window(machine: &str, signal: &str, start: i64, length: i64, values: &[f64], correction: bool) -> WindowSummary {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    WindowSummary {
        asset: AssetPath::new(&format!("p/a/l/{machine}")).unwrap(),
        signal: SignalName::new(signal).unwrap(),
        unit: String::new(),
        start: at(start),
        end: at(start + length),
        count: values.len() as u64,
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        mean,
        stddev: (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt(),
        first: values[0],
        last: values[values.len() - 1],
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction,
    }
}

fn windows(records: &[Record]) -> Vec<&WindowSummary> {
    records.iter().filter_map(|record| if let Record::Window(w) = record { Some(w) } else { None }).collect()
}

#[test]
fn a_minute_of_windows_becomes_one_with_the_same_statistics() {
    let values: Vec<f64> = (0..60).map(f64::from).collect();
    let fine = (0_i32..12).map(|i| {
        let from = usize::try_from(i).unwrap() * 5;
        Record::Window(window("m", "x", i64::from(i) * 5 * S, 5 * S, &values[from..from + 5], false))
    });
    let coarse = thin(fine.collect());
    let whole = window("m", "x", 0, 60 * S, &values, false);
    let got = windows(&coarse)[0];
    assert_eq!(coarse.len(), 1);
    assert!((got.mean - whole.mean).abs() < 1e-9 && (got.stddev - whole.stddev).abs() < 1e-9);
    assert_eq!((got.count, got.min, got.max, got.first, got.last), (60, 0.0, 59.0, 0.0, 59.0));
    assert_eq!((got.start, got.end), (whole.start, whole.end));
}

#[test]
fn corrections_are_joined_with_corrections_alone() {
    let fine = (0..24).map(|i| Record::Window(window("m", "x", i / 2 * 5 * S, 5 * S, &[1.0], i % 2 == 1)));
    let coarse = thin(fine.collect());
    let mut got: Vec<_> = windows(&coarse).iter().map(|w| (w.correction, w.count)).collect();
    got.sort_unstable();
    assert_eq!(got, [(false, 12), (true, 12)]);
}

#[test]
fn what_is_no_window_stays_and_part_counts_add_up() {
    let parts = (0_i64..24).map(|i| {
        Record::Parts(PartCount {
            asset: AssetPath::new("p/a/l/m").unwrap(),
            from: at(i * S),
            to: at((i + 1) * S),
            produced: 2,
            rejected: 1,
            reworked: 0,
            time_quality: TimeQuality::Synced,
        })
    });
    let loss = Loss { asset: None, signal: None, reason: LossReason::PowerCut, count: 3, from: at(0), to: at(1), detail: "x".into() };
    let coarse = thin(parts.chain([Record::Loss(loss.clone())]).collect());
    assert!(coarse.contains(&Record::Loss(loss)));
    let produced: Vec<u64> = coarse.iter().filter_map(|r| if let Record::Parts(p) = r { Some(p.produced) } else { None }).collect();
    assert_eq!(produced, [24, 24]);
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let quality = prop_oneof![Just(Quality::Good), Just(Quality::Uncertain), Just(Quality::Bad)];
    let time = prop_oneof![Just(TimeQuality::Synced), Just(TimeQuality::Holdover), Just(TimeQuality::Unsynced)];
    let length = prop_oneof![4 => Just(5 * S), 1 => Just(60 * S), 1 => Just(1)];
    let row = (0..2_usize, 0..3_usize, -40_i64..400, length, prop::collection::vec(-1e6_f64..1e6, 1..6), any::<bool>(), quality, time);
    prop::collection::vec(row, 0..200).prop_map(|rows| {
        let make = |(machine, signal, place, length, values, correction, quality, time_quality): (_, _, i64, i64, Vec<f64>, _, _, _)| {
            let (machine, signal): (usize, usize) = (machine, signal);
            let w = window(["m", "n"][machine], ["x", "y", "z"][signal], place * length, length, &values, correction);
            Record::Window(WindowSummary { quality, time_quality, ..w })
        };
        rows.into_iter().map(make).collect()
    })
}

/// What must not change, by series.
#[derive(Debug, PartialEq)]
struct Sums {
    count: u64,
    min: f64,
    max: f64,
    first_start: Timestamp,
    last_end: Timestamp,
    first: f64,
    quality: Quality,
    time_quality: TimeQuality,
}

fn sums(records: &[Record]) -> BTreeMap<Series, (Sums, f64, f64)> {
    let mut by_series: BTreeMap<Series, (Sums, f64, f64)> = BTreeMap::new();
    for w in windows(records) {
        let key = (w.asset.clone(), w.signal.clone(), w.unit.clone(), w.correction);
        let n = w.count as f64;
        let (sum, squares) = (w.mean * n, n * (w.stddev * w.stddev + w.mean * w.mean));
        match by_series.get_mut(&key) {
            None => {
                let (quality, time_quality) = (w.quality, w.time_quality);
                let (first_start, last_end, first) = (w.start, w.end, w.first);
                let sums = Sums { count: w.count, min: w.min, max: w.max, first_start, last_end, first, quality, time_quality };
                by_series.insert(key, (sums, sum, squares));
            }
            Some((sums, s, q)) => {
                sums.count += w.count;
                sums.min = sums.min.min(w.min);
                sums.max = sums.max.max(w.max);
                if w.start < sums.first_start {
                    (sums.first_start, sums.first) = (w.start, w.first);
                }
                sums.last_end = sums.last_end.max(w.end);
                sums.quality = sums.quality.max(w.quality);
                sums.time_quality = sums.time_quality.max(w.time_quality);
                *s += sum;
                *q += squares;
            }
        }
    }
    by_series
}

proptest! {
    #[test]
    fn thinning_keeps_count_sum_extremes_ends_and_the_worst_quality(records in records()) {
        let before = sums(&records);
        let coarse = thin(records.clone());
        let after = sums(&coarse);
        prop_assert!(coarse.len() <= records.len());
        prop_assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for (series, (sums, sum, squares)) in &before {
            let (got, got_sum, got_squares) = &after[series];
            prop_assert_eq!(got, sums);
            prop_assert!((got_sum - sum).abs() <= 1e-6 * (1.0 + sums.count as f64 * 1e6));
            prop_assert!((got_squares - squares).abs() <= 1e-6 * (1.0 + sums.count as f64 * 1e12));
        }
        for w in windows(&coarse) {
            prop_assert!(w.min <= w.mean && w.mean <= w.max && w.stddev >= 0.0 && w.start < w.end);
        }
        // Thinning what is thin already goes on, and keeps the same.
        let again: BTreeMap<_, _> = super::tests::sums(&thin(coarse));
        prop_assert!(again.iter().all(|(series, (sums, ..))| sums == &before[series].0));
    }

    #[test]
    fn accounting_is_exact_by_signal_and_range(records in records()) {
        let losses = account(&records);
        let mut expected: BTreeMap<(String, String), (u64, Timestamp, Timestamp)> = BTreeMap::new();
        for w in windows(&records) {
            let line = expected.entry((w.asset.to_string(), w.signal.to_string())).or_insert((0, w.start, w.end));
            *line = (line.0 + w.count, line.1.min(w.start), line.2.max(w.end));
        }
        let got: BTreeMap<_, _> = losses.iter()
            .map(|l| ((l.asset.as_ref().unwrap().to_string(), l.signal.as_ref().unwrap().to_string()), (l.count, l.from, l.to)))
            .collect();
        prop_assert_eq!(got, expected);
        prop_assert!(losses.iter().all(|l| l.reason == LossReason::SpoolFull));
    }
}

#[test]
fn the_oldest_closed_generation_that_nobody_has_seen_goes_first() {
    let lane = |next, acked| spool::LaneView { first: 1, next, acked, units: 0, acked_units: 0 };
    let generation = |ordinal, current, touched, urgent: (u64, u64), data: (u64, u64)| {
        let mut lanes = [spool::LaneView { first: 1, next: 1, ..spool::LaneView::default() }; spool::LANES];
        lanes[URGENT] = lane(urgent.0, urgent.1);
        lanes[DATA] = lane(data.0, data.1);
        let opened_at = spool::SpoolTime(0);
        GenerationView { ordinal, id: ordinal * 8, parent: None, current, touched, opened_at, bytes: 100, lanes }
    };
    let room = |level| Room { used: 0, max: 100, volume_free: None, volume_total: None, level };
    let view = [
        generation(1, false, false, (5, 4), (9, 8)),
        generation(2, false, true, (5, 0), (9, 0)),
        generation(3, false, false, (5, 0), (1, 0)),
        generation(4, false, false, (5, 0), (9, 0)),
        generation(5, true, false, (5, 0), (9, 0)),
    ];
    let thin = Overflow::default();
    assert_eq!(plan(&view, &room(Level::Ample), thin), None);
    assert_eq!(plan(&view, &room(Level::Short), thin), Some(Plan { ordinal: 4, data: DataOverflow::Thin, urgent_goes: false }));
    let refuse = Overflow { data: DataOverflow::Refuse, ..thin };
    assert_eq!(plan(&view, &room(Level::Short), refuse), None);
    assert_eq!(plan(&view, &room(Level::Full), refuse).map(|p| (p.ordinal, p.urgent_goes)), Some((3, true)));
    let neither = Overflow { data: DataOverflow::Refuse, urgent: UrgentOverflow::Refuse };
    assert_eq!(plan(&view, &room(Level::Full), neither), None);
    assert_eq!(plan(&view[..2], &room(Level::Full), thin), None, "acknowledged, or seen");
}
