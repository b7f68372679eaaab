//! The courier against a model of the collector, in virtual time, on a simulated disk.

mod faults;
mod order;
mod storm;
