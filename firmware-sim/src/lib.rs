//! A simulated plant: machines that behave, devices that measure them, links that carry the measurements away, and the truth beside it.
//!
//! Stands before everything else: `gateway` hears it over MQTT or polls it over Modbus TCP, and cannot tell it from real machines.
//! The way of a value: [`model`] (what the machine is and does) -> [`bus`] (registers of sensor chips) -> [`device`] (the firmware, on
//! unmodified driver crates) -> [`payload`] or [`registers`] -> [`link`]; [`truth`] writes down what really was.
//!
//! Invariant: what a machine does depends on its seed and its start alone. No link, queue or disk can hold it up or change it.

pub mod app;
pub mod asset;
pub mod bus;
pub mod clock;
pub mod config;
pub mod device;
pub mod generate;
pub mod instruments;
pub mod kpi;
pub mod link;
pub mod model;
pub mod moment;
pub mod payload;
pub mod registers;
pub mod truth;
pub mod worker;
