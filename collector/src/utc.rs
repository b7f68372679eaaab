//! A point in time as people and programs outside see it: RFC 3339 in UTC, with microseconds. It is the crate `kpi`'s.

pub use ::kpi::utc::{NotATime, Period, Utc};
