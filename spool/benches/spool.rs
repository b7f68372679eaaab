//! What durability costs. `cargo bench -p spool`; set MILLRACE_BENCH_DIR to the disk that matters (the temporary folder may be in memory).

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use spool::{Options, Spool};

const ENTRY: [u8; 1500] = [0x5a; 1500];

fn dir() -> tempfile::TempDir {
    match std::env::var_os("MILLRACE_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .expect("a folder to write to")
}

fn open(dir: &Path) -> Spool {
    Spool::open(dir, Options { max_bytes: 8 << 30, ..Options::default() }).expect("a new spool opens").0
}

fn durable(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spool");
    group.sample_size(20).measurement_time(Duration::from_secs(4));

    let root = dir();
    let mut file = File::create(root.path().join("plain")).expect("a file");
    group.throughput(Throughput::Elements(1));
    group.bench_function("plain file, append + fdatasync (the reference)", |b| {
        b.iter(|| file.write_all(&ENTRY).and_then(|()| file.sync_data()).expect("written"));
    });

    let root = dir();
    let spool = open(root.path());
    group.bench_function("append 1", |b| b.iter(|| spool.append(&[&ENTRY], Some(b"checkpoint")).expect("room")));
    drop(spool);

    let root = dir();
    let spool = open(root.path());
    let entries: Vec<&[u8]> = vec![&ENTRY; 32];
    group.throughput(Throughput::Elements(32));
    group.bench_function("append 32 at once", |b| b.iter(|| spool.append(&entries, Some(b"checkpoint")).expect("room")));
    drop(spool);

    let root = dir();
    let spool = open(root.path());
    group.bench_function("append 1 from each of 32 threads", |b| {
        b.iter_custom(|rounds| many_threads(&spool, 32, rounds));
    });
    println!("appends a commit with 32 threads: {:.1}", spool.len() as f64 / spool.commits() as f64);
    drop(spool);

    let root = dir();
    let spool = open(root.path());
    group.bench_function("acknowledge 32", |b| {
        let append = || spool.append(&entries, None).expect("room").end - 1;
        b.iter_batched(append, |last| spool.acknowledge(last).expect("deleted"), BatchSize::PerIteration);
    });
    spool.append(&vec![ENTRY.as_slice(); 1000], None).expect("room");
    group.throughput(Throughput::Elements(100));
    group.bench_function("peek 100", |b| b.iter(|| spool.peek(0, 100, usize::MAX).expect("readable")));
    group.finish();
}

/// How long a start takes with much in the spool: each entry is read and checked.
fn open_full(_: &mut Criterion) {
    let root = dir();
    let spool = open(root.path());
    let entries: Vec<&[u8]> = vec![&ENTRY; 640];
    while spool.bytes_held() < 100 << 20 {
        spool.append(&entries, Some(b"checkpoint")).expect("room");
    }
    let (held, on_disk) = (spool.bytes_held() >> 20, spool.bytes_on_disk() >> 20);
    drop(spool);
    let started = Instant::now();
    let spool = open(root.path());
    println!("open with {held} MiB in {} entries ({on_disk} MiB on disk): {:.2?}", spool.len(), started.elapsed());
}

/// Time for `rounds` times `threads` appends, each thread on its own.
fn many_threads(spool: &Spool, threads: u64, rounds: u64) -> Duration {
    let left = AtomicU64::new(threads * rounds);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    spool.append(&[&ENTRY], None).expect("room");
                }
            });
        }
    });
    started.elapsed()
}

criterion_group!(benches, durable, open_full);
criterion_main!(benches);
