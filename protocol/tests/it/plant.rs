//! Windows as a plant makes them: signals that wander and are noisy, quantised by their sensor.

use protocol::{
    AssetPath, Batch, Books, Descent, EntryInfo, EntryStamp, GatewayId, GatewayStatus, HeldStream, Parent, Quality, Record, SeqRange,
    SignalName, StampedRecord, StreamId, TimeQuality, Timestamp, WindowSummary,
};

/// How a sensor gives its numbers.
#[derive(Clone, Copy)]
pub enum Sensor {
    /// Decimals with this many places, as in a JSON payload.
    Decimal(i32),
    /// Single-precision registers.
    Single,
    /// All the bits that a double has.
    Double,
}

/// Five readings a window from each of `signals` signals, `windows` windows long, one signal after another within a window.
pub fn windows(signals: usize, windows: usize, sensor: impl Fn(usize) -> Sensor) -> Vec<WindowSummary> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let names = ["spindle_temperature", "vibration_velocity", "active_power"];
    let units = ["Cel", "mm/s", "kW"];
    let mut level: Vec<f64> = (0..signals).map(|s| [60.0, 2.0, 5.0][s % 3] * (0.8 + 0.4 * random.unit())).collect();
    let mut summaries = Vec::with_capacity(signals * windows);
    for window in 0..windows {
        for (signal, level) in level.iter_mut().enumerate() {
            let noise = [0.4, 0.15, 0.3][signal % 3];
            *level += 0.1 * noise * random.normal();
            let readings: [f64; 5] = std::array::from_fn(|_| quantise(*level + noise * random.normal(), sensor(signal)));
            let start = Timestamp::from_micros(1_767_225_600_000_000 + window as i64 * 5_000_000);
            summaries.push(summary(signal, names[signal % 3], units[signal % 3], start, &readings));
        }
    }
    summaries
}

/// A batch of those windows, one spool entry for each window's time.
pub fn batch(signals: usize, windows: &[WindowSummary]) -> Batch {
    let records: Vec<StampedRecord> = windows
        .iter()
        .enumerate()
        .map(|(i, w)| StampedRecord { seq: 1000 + (i / signals) as u64, record: Record::Window(w.clone()) })
        .collect();
    let range = Some(SeqRange { first: 1000, last: records.last().map_or(1000, |r| r.seq) });
    let status = GatewayStatus {
        boot_id: 0x1234_5678_9abc_def0,
        started_at: Timestamp::from_micros(1_767_220_000_000_000),
        version: "0.1.0".to_owned(),
        time_quality: TimeQuality::Synced,
        readings_total: 1_234_567,
        dropped_total: 0,
        duplicates_total: 0,
        signals: signals as u64,
        spool_bytes: 524_288,
        backlog_entries: 61,
        oldest_unsent_age_ms: 2100,
        books: Books { taken: 1_234_567, open: 60, held: 3600, ..Books::default() },
        spool_max_bytes: 1 << 30,
        written_today_bytes: 52_428_800,
        durable: true,
        streams: vec![HeldStream { stream: StreamId(0xfeed_f00d_dead_beed), first: 900, acked: 999, next: 1061 }],
        descents: vec![Descent {
            generation: 0xfeed_f00d_dead_beec,
            parent: Parent { generation: 0xfeed_f00d_dead_bee8, through: [12, 7_000], readings: [0, 420_000] },
        }],
        sources: Vec::new(),
    };
    let stamp = EntryStamp {
        boot_id: status.boot_id,
        mono_us: 5_900_000_000,
        wall: Timestamp::from_micros(1_767_225_899_000_000),
        time_quality: TimeQuality::Synced,
        inherited: false,
    };
    let readings: Vec<u64> = windows.chunks(signals).map(|entry| entry.iter().map(|w| w.count).sum()).collect();
    let mut before = 0;
    let entries = readings
        .iter()
        .map(|&readings| {
            before += readings;
            EntryInfo { stamp: Some(stamp), readings_before: before - readings, readings }
        })
        .collect();
    Batch {
        gateway: GatewayId::new("press-gw1").expect("a valid name"),
        stream: StreamId(0xfeed_f00d_dead_beed),
        parent: Some(Parent { generation: 0xfeed_f00d_0000_0000, through: [3, 5001], readings: [0, 720_000] }),
        range,
        floor_seq: 1000,
        catch_up: false,
        sent_at: Timestamp::from_micros(1_767_225_900_000_000),
        status,
        entries,
        records,
    }
}

fn summary(signal: usize, name: &str, unit: &str, start: Timestamp, readings: &[f64]) -> WindowSummary {
    let machine = signal / 3;
    let (mut mean, mut m2) = (0.0, 0.0);
    for (i, reading) in readings.iter().enumerate() {
        let delta = reading - mean;
        mean += delta / (i + 1) as f64;
        m2 += delta * (reading - mean);
    }
    WindowSummary {
        asset: AssetPath::new(&format!("plant1/press-shop/line{}/press-{machine}", machine / 8)).expect("a valid name"),
        signal: SignalName::new(name).expect("a valid name"),
        unit: unit.to_owned(),
        start,
        end: start.plus_micros(5_000_000),
        count: readings.len() as u64,
        min: readings.iter().copied().fold(f64::INFINITY, f64::min),
        max: readings.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        mean,
        stddev: (m2 / readings.len() as f64).sqrt(),
        first: readings[0],
        last: readings[readings.len() - 1],
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction: false,
    }
}

fn quantise(value: f64, sensor: Sensor) -> f64 {
    match sensor {
        Sensor::Decimal(places) => (value * 10f64.powi(places)).round() / 10f64.powi(places),
        Sensor::Single => f64::from(value as f32),
        Sensor::Double => value,
    }
}

/// xorshift64*: the same plant on each run.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}
