//! What stands in the place of an entry that can't be delivered as it is: losses that say what it held.
//!
//! They are sent under the entry's own sequence, so that the collector's ledger takes them exactly once, however often they are sent:
//! nothing of them has to be remembered on the gateway. The alternative, to book the loss with the pipeline and send an empty entry, would
//! lose or repeat the loss when the gateway dies between the two.
//!
//! Pure. Invariant: the counts of the losses add up to the readings of the entry; losses that it held itself keep their reason and count.

use std::collections::BTreeMap;

use protocol::{AssetPath, Loss, LossReason, Record, SignalName, Timestamp};

use crate::ledger::clip;

/// How much of an entry that was refused is still told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// By asset and signal, with time ranges.
    BySignal,
    /// Counts alone: a name in it may be what was refused.
    Plain,
}

type Key = (Option<AssetPath>, Option<SignalName>, LossReason);

/// The losses in place of `records`.
pub(super) fn rejected(records: &[Record], readings: u64, level: Level, why: &str, at: Timestamp) -> Vec<Loss> {
    let mut lines: BTreeMap<Key, (u64, Timestamp, Timestamp)> = BTreeMap::new();
    for record in records {
        let (asset, signal, reason, count, from, to) = facts(record);
        let key = if level == Level::BySignal { (asset.cloned(), signal.cloned(), reason) } else { (None, None, reason) };
        let line = lines.entry(key).or_insert((0, from, to));
        *line = (line.0.saturating_add(count), line.1.min(from), line.2.max(to));
    }
    if lines.is_empty() {
        lines.insert((None, None, LossReason::Rejected), (readings, at, at));
    }
    let detail = if level == Level::BySignal { clip(why) } else { "refused by the collector".into() };
    let loss = |((asset, signal, reason), (count, from, to))| Loss { asset, signal, reason, count, from, to, detail: detail.clone() };
    lines.into_iter().map(loss).collect()
}

/// The loss in place of an entry that can't be read back; it was made between `from` and `to`.
pub(super) fn unreadable(seq: u64, readings: u64, from: Timestamp, to: Timestamp) -> Loss {
    let detail = format!("spool entry {seq} could not be read back");
    Loss { asset: None, signal: None, reason: LossReason::SpoolCorrupt, count: readings, from, to: to.max(from), detail }
}

type Facts<'a> = (Option<&'a AssetPath>, Option<&'a SignalName>, LossReason, u64, Timestamp, Timestamp);

fn facts(record: &Record) -> Facts<'_> {
    let refused = LossReason::Rejected;
    match record {
        Record::Window(w) => (Some(&w.asset), Some(&w.signal), refused, w.count, w.start, w.end),
        Record::Anomaly(a) => (Some(&a.asset), Some(&a.signal), refused, 0, a.event_time, a.event_time),
        Record::State(s) => (Some(&s.asset), None, refused, 0, s.event_time, s.event_time),
        Record::Parts(p) => (Some(&p.asset), None, refused, 0, p.from, p.to),
        Record::Loss(l) => (l.asset.as_ref(), l.signal.as_ref(), l.reason, l.count, l.from, l.to),
    }
}

#[cfg(test)]
mod tests {
    use protocol::PartCount;

    use super::*;

    fn at(us: i64) -> Timestamp {
        Timestamp::from_micros(us)
    }

    fn records() -> Vec<Record> {
        let asset = AssetPath::new("p/a/l/m").unwrap();
        let window = |signal: &str, start: i64, count| super::super::testing::window("m", signal, start, count);
        let parts = PartCount {
            asset: asset.clone(),
            from: at(1),
            to: at(2),
            produced: 3,
            rejected: 0,
            reworked: 0,
            time_quality: protocol::TimeQuality::Synced,
        };
        let loss =
            Loss { asset: Some(asset), signal: None, reason: LossReason::PowerCut, count: 4, from: at(3), to: at(5), detail: "x".into() };
        vec![window("a", 0, 10), window("b", 0, 20), window("a", 1_000_000, 30), Record::Parts(parts), Record::Loss(loss)]
    }

    #[test]
    fn a_refused_entry_is_told_by_signal_and_range_and_what_it_told_is_told_again() {
        let told = rejected(&records(), 60, Level::BySignal, "400 no", at(9));
        let of = |signal: &str| told.iter().find(|loss| loss.signal.as_ref().is_some_and(|s| s.as_str() == signal)).unwrap();
        assert_eq!((of("a").count, of("a").from, of("a").to), (40, at(0), at(2_000_000)));
        assert_eq!((of("b").count, of("b").reason), (20, LossReason::Rejected));
        let kept = told.iter().find(|loss| loss.reason == LossReason::PowerCut).unwrap();
        assert_eq!((kept.count, kept.from, kept.to), (4, at(3), at(5)));
    }

    #[test]
    fn without_names_the_counts_stay() {
        let told = rejected(&records(), 60, Level::Plain, "400 no", at(9));
        assert!(told.iter().all(|loss| loss.asset.is_none() && loss.signal.is_none() && !loss.detail.contains("400")));
        let counts: Vec<(LossReason, u64)> = told.iter().map(|loss| (loss.reason, loss.count)).collect();
        assert_eq!(counts, [(LossReason::PowerCut, 4), (LossReason::Rejected, 60)]);
    }

    #[test]
    fn an_entry_without_records_is_told_all_the_same() {
        let told = rejected(&[], 7, Level::BySignal, "413", at(9));
        assert_eq!((told.len(), told[0].count, told[0].reason), (1, 7, LossReason::Rejected));
    }
}
