//! What Millrace computes of a plant, as pure functions of what was recorded and a given time: no clock, no I/O, no async.
//!
//! Stands between the stored rows (`lake`) or the live ones (the collector's twin), and the API. Live and historical answers come from here both,
//! so they can't differ.
//!
//! Invariants: no answer holds NaN or an infinity; what is undefined is `None`, with a flag that says why. Roll-ups add sums and never average ratios.

pub mod calendar;
pub mod condition;
pub mod counters;
pub mod energy;
pub mod field;
pub mod forecast;
pub mod oee;
pub mod quality;
pub mod reliability;
pub mod rul;
pub mod utc;
