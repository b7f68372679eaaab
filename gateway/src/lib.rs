//! The edge agent: takes samples from machines, makes summaries, anomalies, states and part counts of them, keeps them in the spool and
//! hands them to the collector.
//!
//! Way of a reading: source -> `decode` -> `sequence` -> `window` | `detect` | `machine` -> `pipeline` (one owner of all of it) -> spool ->
//! upload. The modules from `decode` to `pipeline` are pure: they get the time as [`clock::Now`] and do no I/O.

pub mod clock;
pub mod config;
pub mod decode;
pub mod detect;
pub mod ledger;
pub mod machine;
pub mod pipeline;
pub mod sequence;
pub mod window;
