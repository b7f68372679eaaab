//! Key figures of ISO 22400: the crate `kpi`, under the names that the API and the twin use.

pub use ::kpi::{calendar, counters, oee, oee::request as oee_request};
