//! The gateway as a whole, over real sockets, with a collector that can be told to misbehave.

mod broker;
mod cli;
mod crash;
mod delivery;
mod enrolment;
mod fake_collector;
mod fixture;
mod modbus;
mod outside_broker;
mod peers;
mod publisher;
