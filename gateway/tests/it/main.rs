//! The gateway as a whole, over real sockets, with a collector that can be told to misbehave.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod fake_collector;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod modbus;
#[cfg(test)]
mod outside_broker;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod publisher;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod time;
