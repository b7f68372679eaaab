//! Key figures of ISO 22400, from states, counts and the shift calendar.
//!
//! Stands behind the lake's typed reads (history) and the twin (the running shift), before the API: both ways use the same code.
//!
//! Invariant: pure. No clock, no I/O, no floating-point time before the last step.

pub mod calendar;
pub mod counters;
pub mod oee;
pub mod oee_request;
