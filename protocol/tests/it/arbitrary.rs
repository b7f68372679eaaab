//! Any batch that the types allow.

use proptest::{collection::vec, option, prelude::*};
use protocol::{
    Ack, Anomaly, AnomalyKind, AssetPath, Batch, BatchAck, Books, Descent, EntryInfo, EntryStamp, GatewayId, GatewayStatus, HeldStream,
    Loss, LossReason, MachineState, Parent, PartCount, Quality, Record, SeqRange, Severity, SignalName, SourceStatus, StampedRecord,
    StateChange, StreamId, TimeQuality, Timestamp, Want, WindowSummary,
};

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<i64>(), (0i64..2_000_000_000).prop_map(|s| s * 1_000_000)].prop_map(Timestamp::from_micros)
}

/// Any bits but NaN, which is unequal to itself; NaN has a test of its own.
pub fn number() -> impl Strategy<Value = f64> {
    let bits = any::<u64>().prop_map(|b| if f64::from_bits(b).is_nan() { f64::INFINITY } else { f64::from_bits(b) });
    let single = any::<u32>().prop_map(|b| if f32::from_bits(b).is_nan() { -0.0 } else { f64::from(f32::from_bits(b)) });
    prop_oneof![4 => (-100_000i32..100_000).prop_map(|k| f64::from(k) / 100.0), 1 => bits, 1 => single]
}

fn asset() -> impl Strategy<Value = AssetPath> {
    prop_oneof![
        3 => (0..4u8).prop_map(|i| format!("plant1/press-shop/line{}/press-{i}", i % 2)),
        1 => "[A-Za-z0-9_.-]{1,40}(/[A-Za-z0-9_.-]{1,40}){3}",
    ]
    .prop_map(|text| AssetPath::new(&text).unwrap())
}

fn signal() -> impl Strategy<Value = SignalName> {
    prop_oneof![3 => "s[0-3]", 1 => "[a-z][a-z0-9_]{0,63}"].prop_map(|text| SignalName::new(&text).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("mm/s".to_owned()), any::<String>()]
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

fn window() -> impl Strategy<Value = WindowSummary> {
    let names = (asset(), signal(), text());
    let numbers = [(); 6].map(|()| number());
    (names, time(), time(), any::<u64>(), numbers, one_of(Quality::ALL), one_of(TimeQuality::ALL), any::<bool>()).prop_map(
        |((asset, signal, unit), start, end, count, [min, max, mean, stddev, first, last], quality, time_quality, correction)| {
            WindowSummary { asset, signal, unit, start, end, count, min, max, mean, stddev, first, last, quality, time_quality, correction }
        },
    )
}

fn anomaly() -> impl Strategy<Value = Anomaly> {
    let numbers = [(); 3].map(|()| number());
    (asset(), signal(), time(), one_of(AnomalyKind::ALL), one_of(Severity::ALL), numbers, text(), text()).prop_map(
        |(asset, signal, event_time, kind, severity, [value, threshold, score], detector, message)| Anomaly {
            asset,
            signal,
            event_time,
            kind,
            severity,
            value,
            threshold,
            score,
            detector,
            message,
        },
    )
}

fn state() -> impl Strategy<Value = StateChange> {
    (asset(), time(), one_of(MachineState::ALL), text(), one_of(TimeQuality::ALL))
        .prop_map(|(asset, event_time, state, reason, time_quality)| StateChange { asset, event_time, state, reason, time_quality })
}

fn parts() -> impl Strategy<Value = PartCount> {
    (asset(), time(), time(), any::<u64>(), any::<u64>(), any::<u64>(), one_of(TimeQuality::ALL)).prop_map(
        |(asset, from, to, produced, rejected, reworked, time_quality)| PartCount {
            asset,
            from,
            to,
            produced,
            rejected,
            reworked,
            time_quality,
        },
    )
}

fn loss() -> impl Strategy<Value = Loss> {
    (option::of(asset()), option::of(signal()), one_of(LossReason::ALL), any::<u64>(), time(), time(), text())
        .prop_map(|(asset, signal, reason, count, from, to, detail)| Loss { asset, signal, reason, count, from, to, detail })
}

pub fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        4 => window().prop_map(Record::Window),
        1 => anomaly().prop_map(Record::Anomaly),
        1 => state().prop_map(Record::State),
        1 => parts().prop_map(Record::Parts),
        1 => loss().prop_map(Record::Loss),
    ]
}

fn source() -> impl Strategy<Value = SourceStatus> {
    (text(), text(), any::<bool>(), option::of(time()), text()).prop_map(|(name, kind, connected, last_data_at, error)| SourceStatus {
        name,
        kind,
        connected,
        last_data_at,
        error,
    })
}

fn books() -> impl Strategy<Value = Books> {
    [(); 7].map(|()| any::<u64>()).prop_map(|[taken, lost_after, lost_before, duplicates, late, open, held]| Books {
        taken,
        lost_after,
        lost_before,
        duplicates,
        late,
        open,
        held,
    })
}

fn held() -> impl Strategy<Value = HeldStream> {
    [(); 4].map(|()| any::<u64>()).prop_map(|[stream, first, acked, next]| HeldStream { stream: StreamId(stream), first, acked, next })
}

fn stamp() -> impl Strategy<Value = EntryStamp> {
    (any::<u64>(), any::<u64>(), time(), one_of(TimeQuality::ALL), any::<bool>())
        .prop_map(|(boot_id, mono_us, wall, time_quality, inherited)| EntryStamp { boot_id, mono_us, wall, time_quality, inherited })
}

fn info() -> impl Strategy<Value = EntryInfo> {
    (option::of(stamp()), any::<u64>(), any::<u64>()).prop_map(|(stamp, readings_before, readings)| EntryInfo {
        stamp,
        readings_before,
        readings,
    })
}

fn parent() -> impl Strategy<Value = Parent> {
    (any::<u64>(), any::<[u64; 2]>(), any::<[u64; 2]>()).prop_map(|(generation, through, readings)| Parent {
        generation,
        through,
        readings,
    })
}

fn descent() -> impl Strategy<Value = Descent> {
    (any::<u64>(), parent()).prop_map(|(generation, parent)| Descent { generation, parent })
}

fn status() -> impl Strategy<Value = GatewayStatus> {
    let more = (books(), any::<u64>(), any::<u64>(), any::<bool>(), vec(held(), 0..4), vec(descent(), 0..4));
    ([(); 8].map(|()| any::<u64>()), time(), text(), one_of(TimeQuality::ALL), vec(source(), 0..4), more).prop_map(
        |(
            [boot_id, readings_total, dropped_total, duplicates_total, signals, spool_bytes, backlog_entries, age],
            started_at,
            version,
            time_quality,
            sources,
            (books, spool_max_bytes, written_today_bytes, durable, streams, descents),
        )| {
            GatewayStatus {
                boot_id,
                started_at,
                version,
                time_quality,
                readings_total,
                dropped_total,
                duplicates_total,
                signals,
                spool_bytes,
                backlog_entries,
                oldest_unsent_age_ms: age,
                books,
                spool_max_bytes,
                written_today_bytes,
                durable,
                streams,
                descents,
                sources,
            }
        },
    )
}

pub fn batch(max_rows: usize) -> impl Strategy<Value = Batch> {
    let gateway = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?".prop_map(|text| GatewayId::new(&text).unwrap());
    let records = vec((0u64..3, record()), 0..max_rows);
    let head = (option::of(parent()), any::<bool>(), any::<bool>(), info());
    (gateway, any::<u64>(), 0..u64::MAX / 2, any::<u64>(), time(), status(), records, head).prop_map(
        |(gateway, stream, first, floor_seq, sent_at, status, records, (parent, catch_up, heartbeat, info))| {
            let mut seq = first;
            let records: Vec<_> = records
                .into_iter()
                .map(|(step, record)| {
                    seq += step;
                    StampedRecord { seq, record }
                })
                .collect();
            let range = (!heartbeat || !records.is_empty()).then_some(SeqRange { first, last: seq });
            let entries = range.map_or(Vec::new(), |range| (range.first..=range.last).map(|_| info).collect());
            Batch { gateway, stream: StreamId(stream), parent, range, floor_seq, catch_up, sent_at, status, entries, records }
        },
    )
}

pub fn ack() -> impl Strategy<Value = BatchAck> {
    let ack =
        prop_oneof![Just(Ack::Stored), Just(Ack::Duplicate), any::<u64>().prop_map(|expected| Ack::Gap { expected }), Just(Ack::Heartbeat)];
    let want = (any::<u64>(), any::<u64>()).prop_map(|(stream, from)| Want { stream: StreamId(stream), from });
    (any::<u64>(), ack, option::of(any::<u64>()), time(), any::<(u32, u32)>(), vec(want, 0..4)).prop_map(
        |(stream, ack, acked_through, received_at, (hold_ms, catch_up_hold_ms), wants)| BatchAck {
            stream: StreamId(stream),
            ack,
            acked_through,
            received_at,
            hold_ms,
            catch_up_hold_ms,
            wants,
        },
    )
}
