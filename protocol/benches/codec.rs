//! What a summary costs on the wire and in time. `cargo bench -p protocol`.

#[path = "../tests/it/plant.rs"]
mod plant;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plant::Sensor;
use protocol::{Limits, Record, WindowSummary, decode_batch, decode_block, encode_batch, encode_block};

/// Which sensor each signal has.
type Sensors = fn(usize) -> Sensor;

const SIGNALS: usize = 60;
const WINDOWS: usize = 60;

fn codec(criterion: &mut Criterion) {
    let plants: [(&str, Sensors); 5] = [
        ("decimals (2 places)", |_| Sensor::Decimal(2)),
        ("decimals (1 to 3 places)", |s| Sensor::Decimal(1 + (s % 3) as i32)),
        ("decimals and singles", |s| if s % 2 == 0 { Sensor::Decimal(2) } else { Sensor::Single }),
        ("singles", |_| Sensor::Single),
        ("doubles", |_| Sensor::Double),
    ];
    println!("\nbytes a summary, {SIGNALS} signals x {WINDOWS} windows (a block: {SIGNALS} x 1)");
    println!("{:<26} {:>8} {:>8} {:>14}", "", "batch", "block", "postcard rows");
    for (name, sensor) in plants {
        let windows = plant::windows(SIGNALS, WINDOWS, sensor);
        let batch = encode_batch(&plant::batch(SIGNALS, &windows)).expect("within the limits").len();
        let block = encode_block(&records(&windows[..SIGNALS])).expect("within the limits").len();
        let rows = postcard_rows(&windows);
        let each = |bytes: usize, count: usize| bytes as f64 / count as f64;
        println!("{name:<26} {:>8.2} {:>8.2} {:>14.2}", each(batch, windows.len()), each(block, SIGNALS), each(rows, windows.len()));
    }

    let windows = plant::windows(SIGNALS, WINDOWS, |s| if s % 2 == 0 { Sensor::Decimal(2) } else { Sensor::Single });
    let batch = plant::batch(SIGNALS, &windows);
    let batch_bytes = encode_batch(&batch).expect("within the limits");
    let block = records(&windows[..SIGNALS]);
    let block_bytes = encode_block(&block).expect("within the limits");
    let limits = Limits::default();

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(windows.len() as u64));
    group.bench_function("encode batch", |b| b.iter(|| encode_batch(black_box(&batch))));
    group.bench_function("decode batch", |b| b.iter(|| decode_batch(black_box(&batch_bytes), &limits)));
    group.throughput(Throughput::Elements(block.len() as u64));
    group.bench_function("encode block", |b| b.iter(|| encode_block(black_box(&block))));
    group.bench_function("decode block", |b| b.iter(|| decode_block(black_box(&block_bytes), &limits)));
    group.finish();
}

fn records(windows: &[WindowSummary]) -> Vec<Record> {
    windows.iter().cloned().map(Record::Window).collect()
}

/// The reference: each summary on its own, its series as one number.
fn postcard_rows(windows: &[WindowSummary]) -> usize {
    windows
        .iter()
        .enumerate()
        .map(|(i, w)| {
            let names = (i % SIGNALS) as u32;
            let row = (
                names,
                w.start,
                w.end,
                w.count,
                (w.min, w.max, w.mean, w.stddev, w.first, w.last),
                w.quality,
                w.time_quality,
                w.correction,
            );
            postcard::to_stdvec(&row).map_or(0, |bytes| bytes.len())
        })
        .sum()
}

criterion_group!(benches, codec);
criterion_main!(benches);
