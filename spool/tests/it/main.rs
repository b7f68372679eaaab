//! The spool on a real file system and on a simulated disk.

#[cfg(test)]
mod basic;
#[cfg(test)]
mod child;
#[cfg(test)]
mod concurrent;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod deferred;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod large;
#[cfg(test)]
mod model;
#[cfg(test)]
mod power;
#[cfg(test)]
mod space;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod write_error;
