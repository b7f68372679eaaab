//! How a machine's values leave it: published over MQTT ([`mqtt`]) or read over Modbus TCP ([`modbus`]).
//!
//! Invariant: links never hold up a machine. An MQTT link takes messages from a bounded queue; a Modbus link asks and waits for itself.

pub mod delivery;
pub mod modbus;
pub mod mqtt;
