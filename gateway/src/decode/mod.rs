//! From raw samples to fields: topics, payloads, time stamps and registers. First step of the way of a reading.
//!
//! Invariant: any bytes and any topic give a value or an error that names what was wrong; nothing here panics, and nothing grows with
//! the input beyond the limits given.

pub mod json;
pub mod modbus;
pub mod time;
pub mod topic;
