//! The edge agent: takes samples from machines, makes summaries, anomalies, states and part counts of them, keeps them in the spool and
//! hands them to the collector.
//!
//! Way of a reading: `source` -> `inbox` -> `decode` -> `sequence` -> `window` | `detect` | `machine` -> `pipeline` (one owner of all of
//! it, driven by `drive`) -> `commit` -> spool -> `upload`. The modules from `decode` to `pipeline` are pure: they get the time as
//! [`clock::Now`] and do no I/O. `app` wires everything; its picture shows each channel with its bound.

pub mod app;
pub mod backoff;
pub mod budget;
pub mod clock;
pub mod commit;
pub mod config;
pub mod core;
pub mod decode;
pub mod detect;
pub mod drive;
pub mod enroll;
pub mod entry;
pub mod inbox;
pub mod ledger;
pub mod machine;
pub mod notify;
pub mod overflow;
pub mod pipeline;
pub mod pki;
pub mod reload;
pub mod sequence;
pub mod shutdown;
pub mod source;
pub mod status;
pub mod store;
pub mod time_floor;
pub mod timeline;
pub mod upload;
pub mod window;
