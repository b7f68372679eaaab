//! Faults on purpose: the gateway's core and the collector's core in one process, on a seeded clock, disk, network and set of machines.
//!
//! Stands outside of the product and drives its own parts as they are: `gateway::core`, `gateway::commit`, `gateway::upload`, `collector::intake`
//! and the spool. One seed is one run: `plan` draws what goes wrong, `world` lets it happen in virtual time, `books` compares what was sampled
//! with what is stored and what is counted as lost. The same seed takes the same steps, always.
//!
//! Invariant: no real clock, no real disk, no thread, no order of a hash table takes part in a decision. `fleet` is the exception: it is about
//! what real sockets and a real process do.

pub mod books;
pub mod collector_side;
pub mod fleet;
pub mod fuse;
pub mod gateway_side;
pub mod lake;
pub mod month;
pub mod network;
pub mod plan;
pub mod queue;
pub mod random;
pub mod run;
pub mod sensors;
pub mod stopwatch;
pub mod trace;
pub mod world;
