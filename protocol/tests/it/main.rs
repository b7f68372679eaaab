//! The codec from outside: what goes in comes out, and nothing else gets in.

mod arbitrary;
mod golden;
mod hostile;
mod plant;
mod round_trip;
