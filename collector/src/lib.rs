//! The collector: takes in what gateways deliver, keeps it, and answers questions about it.
//!
//! The way of a batch: `uplink` (mutual TLS) -> `ingest` (authenticate, cap, decode) -> `journal` (`ledger` decides fresh, duplicate or
//! gap; durable, then acknowledged) -> `pipeline` (`twin`, `live`, hot rows) -> `lake`. `api` answers from `twin`, `lake` and `store`.
//! `app` wires it. What is posted to the API goes the same way from `local` on, in the name of the reserved gateway `api`.
//!
//! Invariant: what was acknowledged to a gateway is stored exactly once, whatever fails when.

pub mod alarms;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod authority;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dashboard;
pub mod enroll;
pub mod forecasting;
pub mod health;
pub mod ingest;
pub mod intake;
pub mod journal;
pub mod ledger;
pub mod live;
pub mod local;
pub mod lock;
pub mod maintenance;
pub mod metering;
pub mod metrics;
pub mod pacing;
pub mod pipeline;
pub mod pki;
pub mod problem;
pub mod production;
pub mod quarantine;
pub mod recount;
pub mod replay;
pub mod store;
pub mod tally;
pub mod twin;
pub mod upkeep;
pub mod uplink;
pub mod watch;
