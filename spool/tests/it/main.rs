//! The spool on a real file system.

#[cfg(test)]
mod basic;
#[cfg(test)]
mod child;
#[cfg(test)]
mod concurrent;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod model;
#[cfg(test)]
mod space;
#[cfg(test)]
mod write_error;
