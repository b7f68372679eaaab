//! The codec from outside: what goes in comes out, and nothing else gets in.

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod plant;
#[cfg(test)]
mod round_trip;
