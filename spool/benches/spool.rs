//! What durability costs, beside SQLite (WAL, synchronous=FULL) and fjall (synced at each commit) on the same records of 300 bytes to 30
//! KB. `cargo xtask bench --only spool`; set MILLRACE_BENCH_DIR to the disk that matters (the temporary folder may be in memory), and
//! MILLRACE_BENCH_HELD_MIB to the sizes at which opening is measured (default `16,64,256`; `1024` takes some minutes).

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use criterion::Criterion;
use fjall::{KeyspaceCreateOptions, PersistMode};
use spool::{Append, Lane, NewEntry, Options, Spool, SpoolTime};
use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

const THREADS: u64 = 32;
/// How long each figure of the table is measured.
const SPAN: Duration = Duration::from_secs(2);

/// A durable queue.
trait Queue: Sync {
    /// Adds records with the numbers from `first` on; they are durable when it returns.
    fn append(&self, first: u64, records: &[&[u8]]);
    /// All through `last` need not be kept.
    fn acknowledge(&self, last: u64);
}

struct OfSpool(Spool, AtomicU64);

impl OfSpool {
    fn open(dir: &Path) -> Self {
        let options = Options { max_bytes: 16 << 30, keep_acknowledged_bytes: 0, ..Options::default() };
        Self(Spool::open_dir(dir, options, SpoolTime(0)).expect("a spool opens").0, AtomicU64::new(0))
    }
}

impl Queue for OfSpool {
    fn append(&self, _first: u64, records: &[&[u8]]) {
        let entries: Vec<NewEntry<'_>> = records.iter().map(|payload| NewEntry { lane: Lane(1), payload, units: 1 }).collect();
        let appended = self.0.append(&Append { entries: &entries, ..Append::default() }, SpoolTime(0)).expect("room");
        self.1.fetch_max(appended.generation, Ordering::Relaxed);
    }

    fn acknowledge(&self, _last: u64) {
        self.0.acknowledge(self.1.load(Ordering::Relaxed), Lane(1), u64::MAX).expect("readable");
    }
}

struct OfSqlite(tokio::runtime::Runtime, SqlitePool);

impl OfSqlite {
    fn open(dir: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let options = SqliteConnectOptions::new()
            .filename(dir.join("queue.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(60));
        let pool = runtime.block_on(async {
            let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(120)).connect_with(options).await?;
            sqlx::query("CREATE TABLE IF NOT EXISTS queue (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL)").execute(&pool).await?;
            Ok::<_, sqlx::Error>(pool)
        });
        Self(runtime, pool.expect("SQLite opens"))
    }
}

impl Queue for OfSqlite {
    fn append(&self, first: u64, records: &[&[u8]]) {
        let done = self.0.block_on(async {
            let mut connection = self.1.acquire().await?;
            let mut transaction = SqliteConnection::begin(&mut connection).await?;
            for (seq, record) in (first..).zip(records) {
                let insert = sqlx::query("INSERT INTO queue (seq, payload) VALUES (?, ?)").bind(seq as i64).bind(*record);
                insert.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        });
        done.expect("written");
    }

    fn acknowledge(&self, last: u64) {
        self.0.block_on(sqlx::query("DELETE FROM queue WHERE seq <= ?").bind(last as i64).execute(&self.1)).expect("deleted");
    }
}

struct OfFjall(fjall::Database, fjall::Keyspace, AtomicU64);

impl OfFjall {
    fn open(dir: &Path) -> Self {
        let database = fjall::Database::builder(dir).open().expect("fjall opens");
        let keyspace = database.keyspace("queue", KeyspaceCreateOptions::default).expect("a keyspace");
        Self(database, keyspace, AtomicU64::new(0))
    }
}

impl Queue for OfFjall {
    fn append(&self, first: u64, records: &[&[u8]]) {
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncAll));
        for (seq, record) in (first..).zip(records) {
            batch.insert(&self.1, seq.to_be_bytes(), *record);
        }
        batch.commit().expect("written");
    }

    fn acknowledge(&self, last: u64) {
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncAll));
        for seq in self.2.swap(last + 1, Ordering::Relaxed)..=last {
            batch.remove(&self.1, seq.to_be_bytes());
        }
        batch.commit().expect("written");
    }
}

/// Records of 300 bytes to 30 KB that can't be compressed much.
fn records() -> Vec<Vec<u8>> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    (0..32)
        .map(|i| {
            let len = [300, 700, 1500, 3000, 900, 6000, 400, 30_000][i % 8];
            let next = |_| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (x >> 56) as u8
            };
            (0..len).map(next).collect()
        })
        .collect()
}

fn folder() -> tempfile::TempDir {
    match std::env::var_os("MILLRACE_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .expect("a folder to write to")
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.metadata().map_or(0, |m| if m.is_dir() { size(&e.path()) } else { m.len() })).sum()
}

type Open = fn(&Path) -> Box<dyn Queue>;

const QUEUES: [(&str, Open); 3] = [
    ("spool", |dir| Box::new(OfSpool::open(dir))),
    ("SQLite", |dir| Box::new(OfSqlite::open(dir))),
    ("fjall", |dir| Box::new(OfFjall::open(dir))),
];

/// Appends of `count` records a second from `threads` threads.
fn rate(queue: &dyn Queue, next: &AtomicU64, records: &[&[u8]], count: usize, threads: u64) -> f64 {
    let started = Instant::now();
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while started.elapsed() < SPAN {
                    let first = next.fetch_add(count as u64, Ordering::Relaxed);
                    let from = first as usize % records.len();
                    let chosen: Vec<&[u8]> = records.iter().cycle().skip(from).take(count).copied().collect();
                    queue.append(first, &chosen);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// Rows of figures, one for each queue.
fn table() {
    let records = records();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    let mut put = |name: &str, value: f64| match rows.iter_mut().find(|(row, _)| row == name) {
        Some((_, values)) => values.push(value),
        None => rows.push((name.to_owned(), vec![value])),
    };
    for (_, open) in QUEUES {
        let root = folder();
        let queue = open(root.path());
        let next = AtomicU64::new(1);
        put("appends of 1 record a second", rate(&*queue, &next, &records, 1, 1));
        put("appends of 32 records a second", rate(&*queue, &next, &records, 32, 1));
        put("appends of 1 record a second, 32 threads", rate(&*queue, &next, &records, 1, THREADS));
        queue.acknowledge(next.load(Ordering::Relaxed) - 1);
        let started = Instant::now();
        let mut acknowledging = Duration::ZERO;
        let mut rounds = 0;
        while started.elapsed() < SPAN {
            let first = next.fetch_add(32, Ordering::Relaxed);
            queue.append(first, &records);
            let before = Instant::now();
            queue.acknowledge(first + 31);
            acknowledging += before.elapsed();
            rounds += 1;
        }
        put("acknowledgements of 32 records a second", f64::from(rounds) / acknowledging.as_secs_f64());
    }
    let held = std::env::var("MILLRACE_BENCH_HELD_MIB").unwrap_or_else(|_| "16,64,256".to_owned());
    for mib in held.split(',').filter_map(|mib| mib.trim().parse::<u64>().ok()) {
        for (_, open) in QUEUES {
            let root = folder();
            let queue = open(root.path());
            let (mut first, mut bytes) = (1, 0);
            while bytes < mib << 20 {
                queue.append(first, &records);
                first += 32;
                bytes += records.iter().map(|r| r.len() as u64).sum::<u64>();
            }
            drop(queue);
            put(&format!("bytes on disk for a byte of payload, {mib} MiB held"), size(root.path()) as f64 / bytes as f64);
            let started = Instant::now();
            drop(std::hint::black_box(open(root.path())));
            put(&format!("milliseconds to open and close, {mib} MiB held"), started.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("{:56} {:>10} {:>10} {:>10} {:>9} {:>9}", "", "spool", "SQLite", "fjall", "/SQLite", "/fjall");
    for (name, values) in rows {
        let [spool, sqlite, fjall] = values.as_slice() else { continue };
        println!("{name:56} {spool:10.2} {sqlite:10.2} {fjall:10.2} {:9.2} {:9.2}", spool / sqlite, spool / fjall);
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20).measurement_time(SPAN);
    let records = records();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    for (name, open) in QUEUES {
        let root = folder();
        let queue = open(root.path());
        let next = AtomicU64::new(1);
        for (what, count) in [("append 1", 1), ("append 32", 32)] {
            criterion.bench_function(&format!("{name}, {what}"), |b| {
                b.iter(|| queue.append(next.fetch_add(count as u64, Ordering::Relaxed), &records[..count]));
            });
        }
    }
    criterion.final_summary();
    if std::env::args().any(|arg| arg == "--bench") {
        table();
    }
}
