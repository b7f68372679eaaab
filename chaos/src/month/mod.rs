//! A month of a plant with its truth: six machines, two gateways, one collector, faults of a month, and OEE by machine and shift against what was so.
//!
//! Beside `world`, which is about every step of delivery in minutes; here virtual time goes in larger steps, through the same real parts: the
//! gateway's core, commits and courier (`gateway_side`), the collector's intake, ledger and twin (`collector_side`), and `kpi::oee` over the rows that
//! the lake holds, read as the collector's history reads them.
//!
//! Way of the data: `machine` draws what happened, `talk` says it, `drive` carries it, `ask` reads it back, `truth` sums what happened, `check`
//! compares. Invariant: the truth is reckoned from what happened alone, by code that shares nothing with `kpi`.

pub mod ask;
pub mod check;
pub mod drive;
pub mod machine;
pub mod scenario;
pub mod shifts;
pub mod talk;
pub mod truth;

/// From a moment to a later one, in microseconds of UTC.
pub type Span = (i64, i64);

pub const fn seconds(n: i64) -> i64 {
    n * 1_000_000
}

pub const fn minutes(n: i64) -> i64 {
    seconds(n * 60)
}

pub const fn hours(n: i64) -> i64 {
    minutes(n * 60)
}
