//! Tests of remaining life and risk on fleets made up by seed: a plant whose wear is known.

mod fleet;
mod learning;
mod parts;
mod risk;
